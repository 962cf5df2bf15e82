/*
 * fixed-ram: the superblock, which says that a snapshot is complete
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "qapi/error.h"
#include "layout.h"
#include "superblock.h"

static uint32_t superblock_crc(const DiskSuperblock *disk)
{
    return fixed_ram_crc32c(disk, offsetof(DiskSuperblock, crc));
}

void fixed_ram_superblock_encode(const FixedRamSuperblock *sb,
                                 uint8_t out[FIXED_RAM_SUPERBLOCK_BYTES])
{
    DiskSuperblock disk = {
        .version = cpu_to_le32(SUPERBLOCK_VERSION),
        .start = cpu_to_le64(sb->start),
    };

    assert(sb->state != FIXED_RAM_PLAIN);
    memcpy(disk.magic, SUPERBLOCK_MAGIC, sizeof(disk.magic));
    memcpy(disk.id, sb->id, sizeof(disk.id));
    if (sb->state == FIXED_RAM_COMPLETE) {
        disk.state = cpu_to_le32(SUPERBLOCK_COMPLETE);
        disk.stream_end = cpu_to_le64(sb->stream_end);
        disk.index_offset = cpu_to_le64(sb->index_offset);
        disk.index_length = cpu_to_le64(sb->index_length);
        disk.index_crc = cpu_to_le32(sb->index_crc);
    } else {
        disk.state = cpu_to_le32(SUPERBLOCK_BEING_WRITTEN);
    }
    disk.crc = cpu_to_le32(superblock_crc(&disk));
    memcpy(out, &disk, sizeof(disk));
}

/* What is wrong with the bytes, whatever the file is, or NULL. */
static const char *check_bytes(const DiskSuperblock *disk)
{
    if (memcmp(disk->magic, SUPERBLOCK_MAGIC, sizeof(disk->magic))) {
        return "there is something else in its place";
    }
    if (le32_to_cpu(disk->crc) != superblock_crc(disk)) {
        return "its checksum is wrong";
    }
    if (le32_to_cpu(disk->version) != SUPERBLOCK_VERSION) {
        return "of a version that is not known here";
    }
    if (!buffer_is_zero(disk->zero, sizeof(disk->zero))) {
        return "bytes are set that must be zero";
    }
    return NULL;
}

static const char *check_being_written(const FixedRamSuperblock *sb)
{
    return sb->stream_end || sb->index_offset || sb->index_length ||
           sb->index_crc ? "it has an index, but is being written" : NULL;
}

static const char *check_complete(const FixedRamSuperblock *sb,
                                  const FixedRamSnapshot *snapshot)
{
    if (sb->stream_end <= snapshot->ram_end) {
        return "the stream ends before its RAM";
    }
    if (sb->index_offset < sb->stream_end ||
        !QEMU_IS_ALIGNED(sb->index_offset, INDEX_ALIGNMENT)) {
        return "the index is not where it can be";
    }
    if (sb->index_length < sizeof(IndexHeader) ||
        sb->index_length > INDEX_MAX) {
        return "the index has an impossible length";
    }
    return NULL;
}

/* The superblock is as it was written: then it is the file that is not. */
static bool check_length(const FixedRamSuperblock *sb, uint64_t offset,
                         const FixedRamSource *source, Error **errp)
{
    uint64_t index_end;

    if (!uadd64_overflow(sb->index_offset, sb->index_length, &index_end) &&
        index_end <= source->size) {
        return true;
    }
    error_setg(errp, "snapshot '%s': offset 0x%" PRIx64 ": the superblock's "
               "index of 0x%" PRIx64 " bytes at offset 0x%" PRIx64 " reaches "
               "beyond the file's end at 0x%" PRIx64 ": the file was cut short",
               source->name, offset, sb->index_length, sb->index_offset,
               source->size);
    return false;
}

/* Decode @disk; what is wrong with it, or NULL. */
static const char *decode(const DiskSuperblock *disk,
                          const FixedRamSnapshot *snapshot,
                          FixedRamSuperblock *sb)
{
    const char *wrong = check_bytes(disk);

    if (wrong) {
        return wrong;
    }
    memcpy(sb->id, disk->id, sizeof(sb->id));
    sb->start = le64_to_cpu(disk->start);
    sb->stream_end = le64_to_cpu(disk->stream_end);
    sb->index_offset = le64_to_cpu(disk->index_offset);
    sb->index_length = le64_to_cpu(disk->index_length);
    sb->index_crc = le32_to_cpu(disk->index_crc);
    if (sb->start != snapshot->start) {
        return "it belongs to a stream that begins elsewhere";
    }
    switch (le32_to_cpu(disk->state)) {
    case SUPERBLOCK_BEING_WRITTEN:
        sb->state = FIXED_RAM_BEING_WRITTEN;
        return check_being_written(sb);
    case SUPERBLOCK_COMPLETE:
        sb->state = FIXED_RAM_COMPLETE;
        return check_complete(sb, snapshot);
    default:
        return "in a state that is not known here";
    }
}

/* Is there a place for a superblock? */
static bool have_slot(const FixedRamSnapshot *snapshot, uint64_t *offset)
{
    const FixedRamBlockInfo *first;
    uint64_t bitmap_end;

    if (!snapshot->blocks->len) {
        return false;
    }
    first = fixed_ram_snapshot_block(snapshot, 0);
    bitmap_end = first->bitmap_offset +
                 fixed_ram_bitmap_bytes(first->length, snapshot->page_size);
    *offset = fixed_ram_superblock_offset(first->pages_offset);
    return first->pages_offset - bitmap_end >= FIXED_RAM_SUPERBLOCK_BYTES;
}

bool fixed_ram_superblock_read(FixedRamSource *source,
                               const FixedRamSnapshot *snapshot,
                               FixedRamSuperblock *sb, Error **errp)
{
    DiskSuperblock disk;
    const char *wrong;
    uint64_t offset;

    *sb = (FixedRamSuperblock) { .state = FIXED_RAM_PLAIN };
    if (!have_slot(snapshot, &offset)) {
        return true;
    }
    if (!fixed_ram_source_read(source, &disk, sizeof(disk), offset, errp)) {
        error_prepend(errp, "superblock: ");
        return false;
    }
    if (buffer_is_zero(&disk, sizeof(disk))) {
        return true;
    }
    wrong = decode(&disk, snapshot, sb);
    if (wrong) {
        error_setg(errp, "snapshot '%s': offset 0x%" PRIx64 ": damaged "
                   "superblock: %s", source->name, offset, wrong);
        return false;
    }
    return check_length(sb, offset, source, errp);
}

void fixed_ram_superblock_incomplete(const FixedRamSource *source,
                                     Error **errp)
{
    error_setg(errp, "snapshot '%s' is incomplete: its save was cut off",
               source->name);
}

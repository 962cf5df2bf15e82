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
#include "superblock.h"

/*
 * How long a reader waits for an appender that is writing the superblock, which
 * is one call of the kernel: two seconds in all.
 */
#define RETRIES_MAX     2000
#define RETRY_PAUSE_US  1000

static uint32_t superblock_crc(const DiskSuperblock *disk)
{
    return fixed_ram_layout_crc32c(disk, offsetof(DiskSuperblock, crc));
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

/* The bytes must be a superblock, whatever the rest of the file is. */
static void check_bytes(FixedRamReader *r, uint64_t at,
                        const DiskSuperblock *disk)
{
    uint32_t crc = superblock_crc(disk), version = le32_to_cpu(disk->version);

    if (memcmp(disk->magic, SUPERBLOCK_MAGIC, sizeof(disk->magic))) {
        fixed_ram_reader_fail(r, at, "damaged superblock: it does not begin "
                              "with '%s'", SUPERBLOCK_MAGIC);
    } else if (le32_to_cpu(disk->crc) != crc) {
        fixed_ram_reader_fail(r, at, "damaged superblock: it has CRC 0x%08"
                              PRIx32 ", expected 0x%08" PRIx32, crc,
                              le32_to_cpu(disk->crc));
    } else if (version != SUPERBLOCK_VERSION) {
        fixed_ram_reader_fail_unknown(r, at, "the superblock has version %"
                                      PRIu32 ", expected %d", version,
                                      SUPERBLOCK_VERSION);
    } else if (!buffer_is_zero(disk->zero, sizeof(disk->zero))) {
        fixed_ram_reader_fail(r, at, "damaged superblock: bytes are set that "
                              "must be zero");
    }
}

static void check_being_written(FixedRamReader *r, uint64_t at,
                                const FixedRamSuperblock *sb)
{
    if (sb->stream_end || sb->index_offset || sb->index_length ||
        sb->index_crc) {
        fixed_ram_reader_fail(r, at, "damaged superblock: it has an index, but "
                              "says that it is being written");
    }
}

static void check_complete(FixedRamReader *r, uint64_t at,
                           const FixedRamSuperblock *sb,
                           const FixedRamRamSection *ram)
{
    if (sb->stream_end <= ram->ram_end) {
        fixed_ram_reader_fail(r, at, "damaged superblock: the stream ends at "
                              "offset 0x%" PRIx64 ", before its RAM ends at 0x%"
                              PRIx64, sb->stream_end, ram->ram_end);
    } else if (sb->index_offset < sb->stream_end ||
               !QEMU_IS_ALIGNED(sb->index_offset, INDEX_ALIGNMENT)) {
        fixed_ram_reader_fail(r, at, "damaged superblock: the index is at "
                              "offset 0x%" PRIx64 ", expected a multiple of "
                              "0x%x behind the stream's end at 0x%" PRIx64,
                              sb->index_offset, INDEX_ALIGNMENT,
                              sb->stream_end);
    } else if (sb->index_length < sizeof(IndexHeader) ||
               sb->index_length > INDEX_MAX) {
        fixed_ram_reader_fail(r, at, "damaged superblock: the index has the "
                              "impossible length 0x%" PRIx64 ", expected 0x%zx "
                              "to 0x%" PRIx64, sb->index_length,
                              sizeof(IndexHeader), (uint64_t)INDEX_MAX);
    }
}

/*
 * The superblock itself is intact, so the file was cut short later, or it has
 * grown since it was opened: an appender puts the index at its end.
 */
static void check_length(FixedRamReader *r, uint64_t at,
                         const FixedRamSuperblock *sb)
{
    uint64_t size = r->source->size, index_end;

    if (uadd64_overflow(sb->index_offset, sb->index_length, &index_end)) {
        index_end = UINT64_MAX;
    }
    if (index_end > size) {
        size = fixed_ram_source_measure(r->source);
    }
    if (index_end > size) {
        fixed_ram_reader_fail(r, at, "the superblock's index of 0x%" PRIx64
                              " bytes at offset 0x%" PRIx64 " reaches beyond "
                              "the file's end at 0x%" PRIx64 ": the file was "
                              "cut short", sb->index_length, sb->index_offset,
                              size);
    }
}

static void decode(const DiskSuperblock *disk, FixedRamSuperblock *sb)
{
    memcpy(sb->id, disk->id, sizeof(sb->id));
    sb->start = le64_to_cpu(disk->start);
    sb->stream_end = le64_to_cpu(disk->stream_end);
    sb->index_offset = le64_to_cpu(disk->index_offset);
    sb->index_length = le64_to_cpu(disk->index_length);
    sb->index_crc = le32_to_cpu(disk->index_crc);
}

static void check_fields(FixedRamReader *r, uint64_t at,
                         const FixedRamRamSection *ram, uint32_t state,
                         FixedRamSuperblock *sb)
{
    if (sb->start != ram->start) {
        fixed_ram_reader_fail(r, at, "damaged superblock: it belongs to a "
                              "stream that begins elsewhere, at offset 0x%"
                              PRIx64 " instead of 0x%" PRIx64, sb->start,
                              ram->start);
        return;
    }
    switch (state) {
    case SUPERBLOCK_BEING_WRITTEN:
        sb->state = FIXED_RAM_BEING_WRITTEN;
        check_being_written(r, at, sb);
        break;
    case SUPERBLOCK_COMPLETE:
        sb->state = FIXED_RAM_COMPLETE;
        check_complete(r, at, sb, ram);
        check_length(r, at, sb);
        break;
    default:
        fixed_ram_reader_fail_unknown(r, at, "the superblock has state %" PRIu32
                                      ", expected %d or %d", state,
                                      SUPERBLOCK_BEING_WRITTEN,
                                      SUPERBLOCK_COMPLETE);
    }
}

/* Where the superblock lies.  Returns false if there is no space for one. */
static bool find_slot(const FixedRamRamSection *ram, uint64_t *offset)
{
    const FixedRamBlockInfo *first;
    uint64_t bitmap_end;

    if (!ram->blocks->len) {
        return false;
    }
    first = fixed_ram_ramsection_block(ram, 0);
    bitmap_end = first->bitmap_offset +
                 fixed_ram_ramsection_bitmap_bytes(first->length,
                                                   ram->page_size);
    *offset = fixed_ram_superblock_offset(first->pages_offset);
    return first->pages_offset - bitmap_end >= FIXED_RAM_SUPERBLOCK_BYTES;
}

/*
 * A read beside an appender's write may return a mixture of two superblocks,
 * whose CRC is wrong.  Read it again then, at least once: the write may just
 * have ended.
 */
static void read_bytes(FixedRamReader *r, uint64_t offset,
                       DiskSuperblock *disk)
{
    bool changing, good;
    unsigned tries = 0;

    do {
        changing = fixed_ram_source_changing(r->source);
        if (tries && changing) {
            g_usleep(RETRY_PAUSE_US);
        }
        fixed_ram_reader_forget(r, offset);
        fixed_ram_reader_get(r, disk, sizeof(*disk));
        good = r->error ||
               memcmp(disk->magic, SUPERBLOCK_MAGIC, sizeof(disk->magic)) ||
               superblock_crc(disk) == le32_to_cpu(disk->crc);
    } while (!good && (changing || !tries) && tries++ < RETRIES_MAX);
}

bool fixed_ram_superblock_read(FixedRamReader *r,
                               const FixedRamRamSection *ram,
                               FixedRamSuperblock *sb)
{
    DiskSuperblock disk;
    uint64_t offset;

    *sb = (FixedRamSuperblock) { .state = FIXED_RAM_PLAIN };
    if (!find_slot(ram, &offset)) {
        return !r->error;
    }
    read_bytes(r, offset, &disk);
    if (r->error) {
        error_prepend(&r->error, "superblock: ");
    } else if (!buffer_is_zero(&disk, sizeof(disk))) {
        check_bytes(r, offset, &disk);
        if (!r->error) {
            decode(&disk, sb);
            check_fields(r, offset, ram, le32_to_cpu(disk.state), sb);
        }
    }
    return !r->error;
}

/*
 * fixed-ram: append parts to a complete snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "append.h"
#include "keep-crc.h"
#include "lock.h"
#include "space.h"
#include "../util/bytes.h"
#include "../util/io.h"

/* Of new parts, so that they share no block of the file system with others. */
#define PLACE_ALIGNMENT     (64 * KiB)

/*
 * Begin
 */

static bool open_file(FixedRamAppend *a, const FixedRamSnapshot *s,
                      Error **errp)
{
    const char *name = s->source->name;

    a->fd = qemu_open(s->source->path, O_RDWR | O_NONBLOCK, errp);
    if (a->fd < 0) {
        error_prepend(errp, "snapshot '%s' cannot be changed: ", name);
        return false;
    }
    a->source = fixed_ram_source_new_fd(a->fd, name);
    if (!fixed_ram_source_is_file(s->source, a->fd)) {
        error_setg(errp, "snapshot '%s' cannot be changed: this is the name of "
                   "another file now", name);
        return false;
    }
    a->locked = fixed_ram_lock_append(a->fd, name, errp);
    return a->locked;
}

/* Only a saver could have put another snapshot there. */
static bool examine(FixedRamAppend *a, const FixedRamSnapshot *s, Error **errp)
{
    a->old_size = fixed_ram_source_measure(a->source);
    a->now = fixed_ram_snapshot_open(a->source, s->start, s->page_size, errp);
    if (!a->now) {
        return false;
    }
    if (!a->now->index || memcmp(a->now->sb.id, s->sb.id, sizeof(s->sb.id))) {
        error_setg(errp, "snapshot '%s' cannot be changed: another snapshot "
                   "was written to the file", s->source->name);
        return false;
    }
    return true;
}

/* Keep all sections but the one that is replaced, and SPACE. */
static bool read_sections(FixedRamAppend *a, Error **errp)
{
    const FixedRamSuperblock *sb = &a->now->sb;
    g_autofree uint8_t *index = g_malloc(sb->index_length);

    if (!fixed_ram_source_read(a->source, index, sb->index_length,
                               sb->index_offset, errp)) {
        return false;
    }
    /* The index was checked, so each section ends in it. */
    for (uint64_t at = sizeof(IndexHeader); at < sb->index_length; ) {
        SectionHeader header;
        uint32_t type;
        uint64_t length;

        memcpy(&header, index + at, sizeof(header));
        type = le32_to_cpu(header.type);
        length = sizeof(header) + ROUND_UP(le64_to_cpu(header.length),
                                           INDEX_PADDING);
        if (type == a->type) {
            a->flags = le32_to_cpu(header.flags);
        } else if (type != SECTION_SPACE) {
            fixed_ram_bytes_put(a->sections, index + at, length);
            a->section_count++;
        }
        at += length;
    }
    return true;
}

static bool same_index(const FixedRamSnapshot *s, const FixedRamSnapshot *other)
{
    return s->sb.index_offset == other->sb.index_offset &&
           s->sb.index_crc == other->sb.index_crc;
}

FixedRamAppend *fixed_ram_append_begin(const FixedRamSnapshot *s,
                                       SectionType type, Error **errp)
{
    g_autoptr(FixedRamAppend) a = g_new0(FixedRamAppend, 1);

    a->type = type;
    a->sections = g_byte_array_new();
    if (!s->index) {
        error_setg(errp, "snapshot '%s' cannot be changed: it was saved "
                   "without fixed-ram, and has no index", s->source->name);
        return NULL;
    }
    if (!open_file(a, s, errp) || !examine(a, s, errp) ||
        !read_sections(a, errp)) {
        return NULL;
    }
    a->alone = same_index(a->now, s) && !fixed_ram_lock_others(a->fd);
    return g_steal_pointer(&a);
}

/*
 * Place and write
 */

static uint64_t index_bytes(const FixedRamAppend *a)
{
    return sizeof(IndexHeader) + a->sections->len +
           (a->payload ? sizeof(SectionHeader) + a->payload : 0) +
           sizeof(SectionHeader) + sizeof(SpaceFields);
}

/* Returns a place in the snapshot's space that nothing uses, or 0. */
static uint64_t find_free(const FixedRamAppend *a, uint64_t length)
{
    g_autoptr(GArray) free = fixed_ram_space_free(a->now->index, &a->now->sb);

    for (size_t i = 0; a->alone && i < free->len; i++) {
        const FixedRamIndexSpace *range = &g_array_index(free,
                                                         FixedRamIndexSpace, i);
        uint64_t at = ROUND_UP(range->offset, PLACE_ALIGNMENT);
        uint64_t end = fixed_ram_space_end(range);

        if (at <= end && length <= end - at) {
            return at;
        }
    }
    return 0;
}

/* The space goes on if it reaches to the file's end; else a new one begins. */
static void grow_space(FixedRamAppend *a, uint64_t end)
{
    const FixedRamSuperblock *sb = &a->now->sb;
    uint64_t from = a->old_size;

    if (a->space.length) {
        from = fixed_ram_space_end(&a->space) == from ? a->space.offset : from;
    } else if (fixed_ram_space_used_end(a->now->index, sb) == from) {
        /* A save writes all parts one behind the other. */
        from = sb->stream_end;
    }
    a->space = (FixedRamIndexSpace) { .offset = from, .length = end - from };
}

uint64_t fixed_ram_append_place(FixedRamAppend *a, uint64_t length,
                                uint32_t payload)
{
    uint64_t from_index = ROUND_UP(length, INDEX_ALIGNMENT);
    uint64_t total;

    assert(payload % INDEX_PADDING == 0);
    a->payload = payload;
    total = from_index + index_bytes(a);
    a->space = a->now->index->space;
    a->offset = find_free(a, total);
    a->grown = !a->offset;
    if (a->grown) {
        a->offset = ROUND_UP(a->old_size, PLACE_ALIGNMENT);
        grow_space(a, a->offset + total);
    }
    a->index_offset = a->offset + from_index;
    a->end = a->offset + total;
    a->placed = true;
    return a->offset;
}

bool fixed_ram_append_write(FixedRamAppend *a, const void *buf, size_t length,
                            uint64_t offset, Error **errp)
{
    return fixed_ram_write_snapshot(a->fd, a->source->name, buf, length, offset,
                                    errp);
}

/*
 * Commit
 */

static bool sync_file(FixedRamAppend *a, Error **errp)
{
    return fixed_ram_sync_snapshot(a->fd, a->source->name, errp);
}

/* Where the space's last part will end once the old ones are given back. */
static uint64_t last_end(const FixedRamAppend *a)
{
    FixedRamIndex kept = *a->now->index;
    FixedRamSuperblock sb = a->now->sb;

    kept.has_set = kept.has_set && a->type != SECTION_WORKING_SET;
    sb.index_offset = a->index_offset;
    sb.index_length = a->end - a->index_offset;
    return fixed_ram_space_used_end(&kept, &sb);
}

/* The old parts were at the file's end, so the file is going to be cut. */
static bool will_shrink(const FixedRamAppend *a)
{
    return a->alone && !a->grown &&
           fixed_ram_space_end(&a->now->index->space) == a->old_size;
}

static void put_section(GByteArray *out, uint32_t type, uint32_t flags,
                        const void *payload, size_t length)
{
    SectionHeader header = {
        .type = cpu_to_le32(type),
        .flags = cpu_to_le32(flags),
        .length = cpu_to_le64(length),
    };

    fixed_ram_bytes_put(out, &header, sizeof(header));
    fixed_ram_bytes_put(out, payload, length);
}

static GByteArray *make_index(const FixedRamAppend *a, const void *payload)
{
    GByteArray *out = g_byte_array_new();
    IndexHeader header = {
        .version = cpu_to_le32(INDEX_VERSION),
        .sections = cpu_to_le32(a->section_count + !!a->payload + 1),
    };
    SpaceFields space = {
        .offset = cpu_to_le64(a->space.offset),
        .length = cpu_to_le64(a->space.length),
    };

    memcpy(header.magic, INDEX_MAGIC, sizeof(header.magic));
    memcpy(header.id, a->now->sb.id, sizeof(header.id));
    fixed_ram_bytes_put(out, &header, sizeof(header));
    fixed_ram_bytes_put(out, a->sections->data, a->sections->len);
    if (a->payload) {
        put_section(out, a->type, a->flags, payload, a->payload);
    }
    put_section(out, SECTION_SPACE, 0, &space, sizeof(space));
    return out;
}

/* The last word of the index has no meaning: it gives the index this CRC. */
static void set_crc(GByteArray *index, uint32_t crc)
{
    size_t length = index->len - sizeof(uint32_t);

    QEMU_BUILD_BUG_ON(offsetof(SpaceFields, fill) + sizeof(uint32_t) !=
                      sizeof(SpaceFields));
    stl_le_p(index->data + length,
             fixed_ram_keep_crc(index->data, length, 0, crc));
}

/* @out: the superblock with the new index and its own CRC of before */
static void make_superblock(const FixedRamAppend *a, uint64_t index_length,
                            FixedRamSuperblock *sb,
                            uint8_t out[FIXED_RAM_SUPERBLOCK_BYTES])
{
    DiskSuperblock *disk = (DiskSuperblock *)out;
    uint32_t crc;

    *sb = a->now->sb;
    fixed_ram_superblock_encode(sb, out);
    crc = le32_to_cpu(disk->crc);
    sb->index_offset = a->index_offset;
    sb->index_length = index_length;
    fixed_ram_superblock_encode(sb, out);
    sb->index_crc = fixed_ram_keep_crc(out, offsetof(DiskSuperblock, index_crc),
                                       sizeof(disk->zero), crc);
    fixed_ram_superblock_encode(sb, out);
    assert(le32_to_cpu(disk->crc) == crc);
}

static uint64_t superblock_offset(const FixedRamAppend *a)
{
    return fixed_ram_superblock_offset(
        fixed_ram_ramsection_block(a->now->ram, 0)->pages_offset);
}

bool fixed_ram_append_commit(FixedRamAppend *a, const void *payload,
                             Error **errp)
{
    uint8_t disk[FIXED_RAM_SUPERBLOCK_BYTES];
    g_autoptr(GByteArray) index = NULL;
    FixedRamSuperblock sb;

    assert(a->placed);
    a->alone = a->alone && !fixed_ram_lock_others(a->fd);
    if (will_shrink(a)) {
        a->space.length = last_end(a) - a->space.offset;
    }
    index = make_index(a, payload);
    assert(a->index_offset + index->len == a->end);
    if (index->len > INDEX_MAX) {
        error_setg(errp, "snapshot '%s': cannot write an index of %u bytes, "
                   "at most %u are allowed", a->source->name, index->len,
                   (unsigned)INDEX_MAX);
        return false;
    }
    make_superblock(a, index->len, &sb, disk);
    set_crc(index, sb.index_crc);
    if (!fixed_ram_append_write(a, index->data, index->len, a->index_offset,
                                errp) || !sync_file(a, errp)) {
        return false;
    }
    a->switched = true;
    a->committed = fixed_ram_append_write(a, disk, SUPERBLOCK_CHANGES,
                                          superblock_offset(a), errp) &&
                   sync_file(a, errp);
    return a->committed;
}

/*
 * End.  Errors are ignored: the snapshot is good, the file merely too large.
 */

static void punch(const FixedRamAppend *a, uint64_t offset, uint64_t length)
{
#ifdef CONFIG_FALLOCATE_PUNCH_HOLE
    fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
              length);
#endif
}

static void cut(const FixedRamAppend *a, uint64_t size)
{
    if (fixed_ram_source_measure(a->source) > size) {
        (void)!ftruncate(a->fd, size);
    }
}

static void give_new_parts_back(const FixedRamAppend *a)
{
    if (a->grown) {
        cut(a, a->old_size);
    } else {
        punch(a, a->offset, a->end - a->offset);
    }
}

/* A loader that comes now sees the new superblock. */
static void give_old_parts_back(const FixedRamAppend *a)
{
    g_autoptr(FixedRamSnapshot) now = NULL;
    g_autoptr(GArray) free = NULL;

    fixed_ram_source_measure(a->source);
    now = fixed_ram_snapshot_open(a->source, a->now->start, a->now->page_size,
                                  NULL);
    if (!now || !a->alone || fixed_ram_lock_others(a->fd)) {
        return;
    }
    free = fixed_ram_space_free(now->index, &now->sb);
    for (size_t i = 0; i < free->len; i++) {
        const FixedRamIndexSpace *range = &g_array_index(free,
                                                         FixedRamIndexSpace, i);

        punch(a, range->offset, range->length);
    }
    if (will_shrink(a)) {
        cut(a, fixed_ram_space_end(&now->index->space));
    }
}

void fixed_ram_append_end(FixedRamAppend *a)
{
    if (!a) {
        return;
    }
    if (a->committed) {
        give_old_parts_back(a);
    } else if (a->placed && !a->switched) {
        give_new_parts_back(a);
    }
    if (a->locked) {
        fixed_ram_lock_append_release(a->fd);
    }
    fixed_ram_snapshot_free(a->now);
    fixed_ram_source_unref(a->source);
    g_byte_array_unref(a->sections);
    g_free(a);
}

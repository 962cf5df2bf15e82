/*
 * fixed-ram: the section of a stream that holds RAM at fixed offsets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "ramsection.h"
#include "../util/sparse.h"

#define RAM_FLAG_MEM_SIZE       0x04
#define RAM_FLAG_EOS            0x10
#define BLOCK_HEADER_VERSION    1
#define DELTA_HEADER_VERSION    2

/* A live save writes a section for each of its rounds, day and night. */
#define MAX_RAM_SECTIONS        (16 * MiB)

/* Bytes of a bitmap that are read at once. */
#define PIECE_BYTES             (64 * KiB)

FixedRamRamSection *fixed_ram_ramsection_new(uint64_t start,
                                             uint64_t page_size)
{
    FixedRamRamSection *ram = g_new0(FixedRamRamSection, 1);

    ram->start = start;
    ram->page_size = page_size;
    ram->blocks = g_array_new(false, true, sizeof(FixedRamBlockInfo));
    return ram;
}

void fixed_ram_ramsection_free(FixedRamRamSection *ram)
{
    if (ram) {
        g_array_unref(ram->blocks);
        g_free(ram);
    }
}

ssize_t fixed_ram_ramsection_index(const FixedRamRamSection *ram,
                                   const char *name)
{
    for (size_t i = 0; i < ram->blocks->len; i++) {
        if (!strcmp(fixed_ram_ramsection_block(ram, i)->name, name)) {
            return i;
        }
    }
    return -1;
}

FixedRamBlockInfo *fixed_ram_ramsection_find(const FixedRamRamSection *ram,
                                             const char *name)
{
    ssize_t i = fixed_ram_ramsection_index(ram, name);

    return i < 0 ? NULL : fixed_ram_ramsection_block(ram, i);
}

/* @r is behind the header.  Is it possible that all of @info is true? */
static void check_block(FixedRamReader *r, const FixedRamRamSection *ram,
                        const FixedRamBlockInfo *info)
{
    uint64_t at = info->header_offset;
    uint64_t bitmap_end;

    if (!info->length || !QEMU_IS_ALIGNED(info->length, ram->page_size)) {
        fixed_ram_reader_fail(r, at, "block '%s': length 0x%" PRIx64 " is not "
                              "a multiple of the page size %" PRIu64,
                              info->name, info->length, ram->page_size);
        return;
    }
    if (!QEMU_IS_ALIGNED(info->pages_offset, ram->page_size)) {
        fixed_ram_reader_fail(r, at, "block '%s': pages at offset 0x%" PRIx64
                              " are not aligned to the page size %" PRIu64,
                              info->name, info->pages_offset, ram->page_size);
        return;
    }
    if (info->bitmap_offset != fixed_ram_reader_offset(r) ||
        uadd64_overflow(info->bitmap_offset,
                        fixed_ram_ramsection_bitmap_bytes(info->length,
                                                          ram->page_size),
                        &bitmap_end) ||
        bitmap_end > info->pages_offset) {
        fixed_ram_reader_fail(r, at, "block '%s': bitmap at offset 0x%" PRIx64
                              " does not lie behind its header at 0x%" PRIx64
                              " and before its pages at 0x%" PRIx64, info->name,
                              info->bitmap_offset, fixed_ram_reader_offset(r),
                              info->pages_offset);
    }
}

static void skip_pages(FixedRamReader *r, const FixedRamBlockInfo *info)
{
    uint64_t end;

    if (uadd64_overflow(info->pages_offset, info->length, &end) ||
        end > r->source->size) {
        fixed_ram_reader_fail(r, info->header_offset, "block '%s': 0x%" PRIx64
                              " bytes of pages at offset 0x%" PRIx64 " reach "
                              "beyond the file's end at 0x%" PRIx64, info->name,
                              info->length, info->pages_offset,
                              r->source->size);
        return;
    }
    fixed_ram_reader_seek(r, end);
}

/* What the header says besides @info must fit what was read before it. */
static void check_header(FixedRamReader *r, const FixedRamRamSection *ram,
                         const FixedRamBlockInfo *info, uint32_t version,
                         uint64_t page_size)
{
    uint32_t expected = ram->delta ? DELTA_HEADER_VERSION
                                   : BLOCK_HEADER_VERSION;
    uint64_t at = info->header_offset;

    if (ram->blocks->len == FIXED_RAM_BLOCKS_MAX) {
        fixed_ram_reader_fail(r, at, "block '%s': found more than %d blocks",
                              info->name, FIXED_RAM_BLOCKS_MAX);
    }
    if (version != expected) {
        fixed_ram_reader_fail_unknown(r, at, "block '%s': the header has "
                                      "version %" PRIu32 ", expected %"
                                      PRIu32, info->name, version, expected);
    }
    if (page_size != ram->page_size) {
        fixed_ram_reader_fail(r, at, "block '%s' has page size %" PRIu64
                              ", expected %" PRIu64, info->name, page_size,
                              ram->page_size);
    }
    if (fixed_ram_ramsection_find(ram, info->name)) {
        fixed_ram_reader_fail(r, at, "block '%s' is there twice", info->name);
    }
}

/* Parse the next block's header and add the block to @ram. */
static void read_header(FixedRamReader *r, FixedRamRamSection *ram)
{
    FixedRamBlockInfo info = { .header_offset = fixed_ram_reader_offset(r) };
    uint64_t page_size;
    uint32_t version;

    fixed_ram_reader_name(r, info.name);
    if (r->error) {
        return;
    }
    info.length = fixed_ram_reader_be64(r);
    version = fixed_ram_reader_be32(r);
    page_size = fixed_ram_reader_be64(r);
    info.bitmap_offset = fixed_ram_reader_be64(r);
    info.pages_offset = fixed_ram_reader_be64(r);
    if (r->error) {
        error_prepend(&r->error, "block '%s': ", info.name);
        return;
    }
    if (!ram->blocks->len) {
        ram->delta = version == DELTA_HEADER_VERSION;
    }
    check_header(r, ram, &info, version, page_size);
    if (!r->error) {
        check_block(r, ram, &info);
        g_array_append_val(ram->blocks, info);
    }
}

uint64_t fixed_ram_ramsection_read_total(FixedRamReader *r,
                                         uint64_t page_size)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint64_t total = fixed_ram_reader_be64(r);
    uint64_t flags = total & (page_size - 1);

    if (flags != RAM_FLAG_MEM_SIZE) {
        fixed_ram_reader_fail(r, offset, "the RAM section begins with flags 0x%"
                              PRIx64 ", expected 0x%x", flags,
                              RAM_FLAG_MEM_SIZE);
    }
    return total - flags;
}

static void read_blocks(FixedRamReader *r, FixedRamRamSection *ram)
{
    uint64_t total = fixed_ram_ramsection_read_total(r, ram->page_size);

    while (total && !r->error) {
        uint64_t offset = fixed_ram_reader_offset(r);
        const FixedRamBlockInfo *info;

        read_header(r, ram);
        if (r->error) {
            break;
        }
        info = fixed_ram_ramsection_block(ram, ram->blocks->len - 1);
        skip_pages(r, info);
        if (info->length > total) {
            fixed_ram_reader_fail(r, offset, "block '%s' has length 0x%" PRIx64
                                  ", but only 0x%" PRIx64 " bytes of RAM are "
                                  "left", info->name, info->length, total);
            break;
        }
        total -= info->length;
    }
    ram->ram_end = fixed_ram_reader_offset(r);
}

/* Skip the footer of a section of RAM; older machine types write none. */
static uint8_t next_section(FixedRamReader *r, uint32_t ram_section,
                            uint64_t *offset)
{
    uint8_t type;

    *offset = fixed_ram_reader_offset(r);
    type = fixed_ram_reader_u8(r);
    if (type == STREAM_FOOTER) {
        uint32_t section = fixed_ram_reader_be32(r);

        if (section != ram_section) {
            fixed_ram_reader_fail(r, *offset, "section %" PRIu32 " ends here, "
                                  "expected section %" PRIu32, section,
                                  ram_section);
        }
        *offset = fixed_ram_reader_offset(r);
        type = fixed_ram_reader_u8(r);
    }
    return type;
}

/*
 * RAM's other sections hold no pages; the state of the devices follows them.
 * A save that was cut off leaves nothing there, or zeros, which the base would
 * take for the regular end of the stream.
 */
static void check_ram_end(FixedRamReader *r, uint32_t ram_section)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint64_t flags = fixed_ram_reader_be64(r);
    unsigned sections = 0;
    uint8_t type;

    if (flags != RAM_FLAG_EOS) {
        fixed_ram_reader_fail(r, offset, "found flags 0x%" PRIx64 " where the "
                              "list of RAM blocks ends, expected 0x%x: the "
                              "save was cut off, or the file is damaged",
                              flags, RAM_FLAG_EOS);
    }
    type = next_section(r, ram_section, &offset);
    while ((type == STREAM_SECTION_PART || type == STREAM_SECTION_END) &&
           sections++ < MAX_RAM_SECTIONS &&
           fixed_ram_reader_be32(r) == ram_section &&
           fixed_ram_reader_be64(r) == RAM_FLAG_EOS) {
        type = next_section(r, ram_section, &offset);
    }
    if (type == STREAM_EOF) {
        fixed_ram_reader_fail(r, offset, "the stream ends after RAM, without "
                              "any device's state: the save was cut off");
    }
}

/* The page size in the header that comes next; @r stays in front of it. */
static uint64_t peek_page_size(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    char name[FIXED_RAM_NAME_MAX + 1];
    uint64_t page_size;

    fixed_ram_reader_name(r, name);
    if (r->error) {
        return 0;
    }
    fixed_ram_reader_be64(r);   /* length */
    fixed_ram_reader_be32(r);   /* version */
    page_size = fixed_ram_reader_be64(r);
    if (r->error) {
        error_prepend(&r->error, "block '%s': ", name);
    }
    if (!is_power_of_2(page_size) || page_size < FIXED_RAM_PAGE_SIZE_MIN ||
        page_size > FIXED_RAM_PAGE_SIZE_MAX) {
        fixed_ram_reader_fail(r, offset, "block '%s' has page size %" PRIu64
                              ", expected a power of two from %d to %d", name,
                              page_size, (int)FIXED_RAM_PAGE_SIZE_MIN,
                              (int)FIXED_RAM_PAGE_SIZE_MAX);
    }
    fixed_ram_reader_seek(r, offset);
    return page_size;
}

FixedRamRamSection *
fixed_ram_ramsection_read_first(FixedRamReader *r, uint64_t start,
                                const FixedRamStreamHead *head)
{
    g_autoptr(FixedRamRamSection) ram = fixed_ram_ramsection_new(start, 0);

    fixed_ram_reader_seek(r, head->end);
    fixed_ram_reader_be64(r);   /* bytes of RAM */
    ram->page_size = peek_page_size(r);
    read_header(r, ram);
    return r->error ? NULL : g_steal_pointer(&ram);
}

FixedRamRamSection *fixed_ram_ramsection_read(FixedRamReader *r,
                                              uint64_t start,
                                              const FixedRamStreamHead *head,
                                              uint64_t page_size)
{
    g_autoptr(FixedRamRamSection) ram = fixed_ram_ramsection_new(start,
                                                                 page_size);

    fixed_ram_reader_seek(r, head->end);
    read_blocks(r, ram);
    if (!r->error) {
        check_ram_end(r, head->ram_section);
    }
    return r->error ? NULL : g_steal_pointer(&ram);
}

/* A bitmap in memory that begins as zeros, and its parts. */
typedef struct Bitmap {
    unsigned long *bits;
    unsigned long *parts;
} Bitmap;

/* Copy what is not zero; the memory of all other parts is not touched. */
static void copy_parts(const Bitmap *bitmap, uint64_t at, const uint8_t *piece,
                       size_t length)
{
    for (size_t i = 0; i < length; i += FIXED_RAM_PART_BYTES) {
        size_t n = MIN(length - i, FIXED_RAM_PART_BYTES);

        if (!buffer_is_zero(piece + i, n)) {
            memcpy((uint8_t *)bitmap->bits + at + i, piece + i, n);
            set_bit((at + i) / FIXED_RAM_PART_BYTES, bitmap->parts);
        }
    }
}

/* Read @length bytes at @offset of the file, except for holes. */
static bool read_bitmap(const Bitmap *bitmap, FixedRamSource *source,
                        uint64_t offset, uint64_t length, Error **errp)
{
    g_autofree uint8_t *piece = g_malloc(PIECE_BYTES);
    uint64_t at = 0;

    QEMU_BUILD_BUG_ON(PIECE_BYTES % FIXED_RAM_PART_BYTES);
    while (at < length) {
        uint64_t data = fixed_ram_source_next_data(source, offset + at);
        size_t n;

        if (data >= offset + length) {
            break;
        }
        /* A part may begin in a hole. */
        at = ROUND_DOWN(data - offset, FIXED_RAM_PART_BYTES);
        n = MIN(length - at, PIECE_BYTES);
        if (!fixed_ram_source_read(source, piece, n, offset + at, errp)) {
            return false;
        }
        copy_parts(bitmap, at, piece, n);
        at += n;
    }
    return true;
}

unsigned long *
fixed_ram_ramsection_read_bitmap(const FixedRamRamSection *ram,
                                 FixedRamSource *source,
                                 const FixedRamBlockInfo *info,
                                 unsigned long **parts, Error **errp)
{
    uint64_t pages = info->length / ram->page_size;
    uint64_t bytes = fixed_ram_ramsection_bitmap_bytes(info->length,
                                                       ram->page_size);
    g_autofree unsigned long *bits = g_try_malloc0(bytes);
    g_autofree unsigned long *found = bitmap_new(fixed_ram_sparse_parts(pages));

    QEMU_BUILD_BUG_ON(sizeof(unsigned long) != sizeof(uint64_t));

    if (!bits) {
        error_setg(errp, "snapshot '%s': block '%s': cannot allocate a bitmap "
                   "of %" PRIu64 " bytes", source->name, info->name, bytes);
        return NULL;
    }
    if (!read_bitmap(&(Bitmap) { bits, found }, source, info->bitmap_offset,
                     bytes, errp)) {
        error_prepend(errp, "block '%s': ", info->name);
        return NULL;
    }
    if (pages % 64 && bits[pages / 64] >> (pages % 64)) {
        error_setg(errp, "snapshot '%s': block '%s': the bitmap at offset 0x%"
                   PRIx64 " has bits set beyond the block's end",
                   source->name, info->name, info->bitmap_offset);
        return NULL;
    }
    if (parts) {
        *parts = g_steal_pointer(&found);
    }
    return g_steal_pointer(&bits);
}

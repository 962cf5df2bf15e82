/*
 * fixed-ram: the snapshot's metadata, from bytes to checked structs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "ramsection.h"
#include "reader.h"

/* The stream's own marks; see docs/devel/migration/main.rst */
#define STREAM_MAGIC            0x5145564d
#define STREAM_VERSION          3
#define STREAM_EOF              0x00
#define STREAM_SECTION_START    0x01
#define STREAM_SECTION_PART     0x02
#define STREAM_SECTION_END      0x03
#define STREAM_SUBSECTION       0x05
#define STREAM_CONFIGURATION    0x07
#define STREAM_COMMAND          0x08
#define STREAM_FOOTER           0x7e

#define RAM_SECTION_VERSION     4
#define RAM_FLAG_MEM_SIZE       0x04
#define RAM_FLAG_EOS            0x10
#define BLOCK_HEADER_VERSION    1

/* More than any machine has; keeps a bad count from costing memory. */
#define MAX_CAPABILITIES        256
#define MAX_MACHINE_NAME        4096
#define MAX_BLOCKS              4096
#define MAX_COMMANDS            1024
/* A live save writes one for each of its rounds, day and night. */
#define MAX_RAM_SECTIONS        (16 * MiB)

/* Headers lie far from each other. */
#define BUFFER_BYTES            4096

/* Which capabilities shaped the snapshot; is mapped-ram one of them? */
static bool read_capabilities(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t count = fixed_ram_reader_be32(r);
    bool mapped = false;

    if (count > MAX_CAPABILITIES) {
        fixed_ram_reader_fail(r, offset, "%" PRIu32 " capabilities in the "
                              "configuration, at most %d can be", count,
                              MAX_CAPABILITIES);
    }
    for (uint32_t i = 0; i < count && !r->error; i++) {
        char name[FIXED_RAM_NAME_MAX + 1];

        offset = fixed_ram_reader_offset(r);
        fixed_ram_reader_string(r, name);
        mapped = mapped || !strcmp(name, "mapped-ram");
        if (!strcmp(name, "x-ignore-shared")) {
            fixed_ram_reader_fail(r, offset, "saved with x-ignore-shared, "
                                  "which cannot be loaded this way");
        }
    }
    return mapped;
}

/* Returns whether it says that the layout is mapped-ram's. */
static bool read_subsection(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    char name[FIXED_RAM_NAME_MAX + 1];
    uint8_t uuid[16];

    fixed_ram_reader_string(r, name);
    fixed_ram_reader_be32(r);   /* version */
    if (!strcmp(name, "configuration/capabilities")) {
        return read_capabilities(r);
    } else if (!strcmp(name, "configuration/target-page-bits")) {
        fixed_ram_reader_be32(r);
    } else if (!strcmp(name, "configuration/uuid")) {
        fixed_ram_reader_get(r, uuid, sizeof(uuid));
    } else {
        fixed_ram_reader_fail(r, offset, "unknown part '%s' of the "
                              "configuration", name);
    }
    return false;
}

static void read_configuration(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t length = fixed_ram_reader_be32(r);
    bool mapped = false;

    if (length > MAX_MACHINE_NAME) {
        fixed_ram_reader_fail(r, offset, "the machine's name has %" PRIu32
                              " bytes", length);
        return;
    }
    fixed_ram_reader_seek(r, fixed_ram_reader_offset(r) + length);
    while (!r->error) {
        uint64_t here = fixed_ram_reader_offset(r);

        if (fixed_ram_reader_u8(r) != STREAM_SUBSECTION) {
            fixed_ram_reader_seek(r, here);
            break;
        }
        mapped |= read_subsection(r);
    }
    if (!mapped) {
        fixed_ram_reader_fail(r, offset, "saved without fixed-ram or "
                              "mapped-ram: its pages have no fixed places");
    }
}

/* Go to the first byte of the RAM section's content; returns its number. */
static uint32_t find_ram_section(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    char name[FIXED_RAM_NAME_MAX + 1];
    uint32_t magic = fixed_ram_reader_be32(r);
    uint32_t version = fixed_ram_reader_be32(r);
    unsigned commands = 0;
    uint32_t section, instance;

    if (magic != STREAM_MAGIC || version != STREAM_VERSION) {
        fixed_ram_reader_fail(r, offset, "this is not a VM snapshot (found "
                              "magic 0x%" PRIx32 " version %" PRIu32
                              ", expected 0x%x version %d)", magic, version,
                              STREAM_MAGIC, STREAM_VERSION);
    }
    while (!r->error) {
        uint8_t type;

        offset = fixed_ram_reader_offset(r);
        type = fixed_ram_reader_u8(r);
        if (type == STREAM_CONFIGURATION) {
            read_configuration(r);
        } else if (type == STREAM_COMMAND && commands++ < MAX_COMMANDS) {
            uint16_t length;

            fixed_ram_reader_be16(r); /* which one */
            length = fixed_ram_reader_be16(r);
            fixed_ram_reader_seek(r, fixed_ram_reader_offset(r) + length);
        } else if (type == STREAM_SECTION_START) {
            break;
        } else {
            fixed_ram_reader_fail(r, offset, "section of type %d before the "
                                  "one that holds RAM", type);
        }
    }

    section = fixed_ram_reader_be32(r);
    fixed_ram_reader_string(r, name);
    instance = fixed_ram_reader_be32(r);
    version = fixed_ram_reader_be32(r);
    if (strcmp(name, "ram") || instance || version != RAM_SECTION_VERSION) {
        fixed_ram_reader_fail(r, offset, "section '%s' instance %" PRIu32
                              " version %" PRIu32 ", expected 'ram' instance "
                              "0 version %d", name, instance, version,
                              RAM_SECTION_VERSION);
    }
    return section;
}

/* @info is read up to here; is it possible? */
static void check_block(FixedRamReader *r, const FixedRamSnapshot *s,
                        const FixedRamBlockInfo *info)
{
    uint64_t at = info->header_offset;
    uint64_t bitmap_end;

    if (!info->length || !QEMU_IS_ALIGNED(info->length, s->page_size)) {
        fixed_ram_reader_fail(r, at, "block '%s': length 0x%" PRIx64 " is not "
                              "a multiple of the page size %" PRIu64,
                              info->name, info->length, s->page_size);
        return;
    }
    if (!QEMU_IS_ALIGNED(info->pages_offset, s->page_size)) {
        fixed_ram_reader_fail(r, at, "block '%s': pages at offset 0x%" PRIx64
                              " are not aligned to the page size %" PRIu64,
                              info->name, info->pages_offset, s->page_size);
        return;
    }
    if (info->bitmap_offset != fixed_ram_reader_offset(r) ||
        uadd64_overflow(info->bitmap_offset,
                        fixed_ram_bitmap_bytes(info->length, s->page_size),
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

/* The next block's header; it joins @s. */
static void read_header(FixedRamReader *r, FixedRamSnapshot *s)
{
    FixedRamBlockInfo info = { .header_offset = fixed_ram_reader_offset(r) };
    uint64_t page_size;
    uint32_t version;

    fixed_ram_reader_string(r, info.name);
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

    if (s->blocks->len == MAX_BLOCKS) {
        fixed_ram_reader_fail(r, info.header_offset, "block '%s': more than %d "
                              "blocks", info.name, MAX_BLOCKS);
    }
    if (version != BLOCK_HEADER_VERSION) {
        fixed_ram_reader_fail(r, info.header_offset, "block '%s': version %"
                              PRIu32 " of the header, expected %d", info.name,
                              version, BLOCK_HEADER_VERSION);
    }
    if (page_size != s->page_size) {
        fixed_ram_reader_fail(r, info.header_offset, "block '%s': page size %"
                              PRIu64 ", this target has %" PRIu64, info.name,
                              page_size, s->page_size);
    }
    if (fixed_ram_snapshot_find(s, info.name)) {
        fixed_ram_reader_fail(r, info.header_offset, "block '%s' is there "
                              "twice", info.name);
    }
    if (r->error) {
        return;
    }
    check_block(r, s, &info);
    g_array_append_val(s->blocks, info);
}

static void read_blocks(FixedRamReader *r, FixedRamSnapshot *s)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint64_t total = fixed_ram_reader_be64(r);
    uint64_t flags = total & (s->page_size - 1);

    total -= flags;
    if (flags != RAM_FLAG_MEM_SIZE) {
        fixed_ram_reader_fail(r, offset, "the RAM section begins with flags 0x%"
                              PRIx64 ", expected 0x%x", flags,
                              RAM_FLAG_MEM_SIZE);
    }
    while (total && !r->error) {
        const FixedRamBlockInfo *info;

        offset = fixed_ram_reader_offset(r);
        read_header(r, s);
        if (r->error) {
            break;
        }
        info = fixed_ram_snapshot_block(s, s->blocks->len - 1);
        skip_pages(r, info);
        if (info->length > total) {
            fixed_ram_reader_fail(r, offset, "block '%s': length 0x%" PRIx64
                                  ", but only 0x%" PRIx64 " bytes of RAM are "
                                  "left", info->name, info->length, total);
            break;
        }
        total -= info->length;
    }
    s->ram_end = fixed_ram_reader_offset(r);
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
                                  "expected %" PRIu32, section, ram_section);
        }
        *offset = fixed_ram_reader_offset(r);
        type = fixed_ram_reader_u8(r);
    }
    return type;
}

/*
 * RAM's other sections hold nothing, and end with the one that says so.  Then
 * comes the state of devices.  A save that was cut off leaves nothing there,
 * or zeros, which would pass for the stream's end.
 */
static void check_ram_end(FixedRamReader *r, uint32_t ram_section)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint64_t flags = fixed_ram_reader_be64(r);
    unsigned sections = 0;
    uint8_t type;

    if (flags != RAM_FLAG_EOS) {
        fixed_ram_reader_fail(r, offset, "flags 0x%" PRIx64 " where the list "
                              "of RAM blocks ends, expected 0x%x: the save was "
                              "cut off, or the file is damaged", flags,
                              RAM_FLAG_EOS);
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

static FixedRamSnapshot *snapshot_new(uint64_t start, uint64_t page_size)
{
    FixedRamSnapshot *s = g_new0(FixedRamSnapshot, 1);

    s->start = start;
    s->page_size = page_size;
    s->blocks = g_array_new(false, true, sizeof(FixedRamBlockInfo));
    return s;
}

/* As the next header has it, which is still to be read. */
static uint64_t peek_page_size(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    char name[FIXED_RAM_NAME_MAX + 1];
    uint64_t page_size;

    fixed_ram_reader_string(r, name);
    fixed_ram_reader_be64(r);   /* length */
    fixed_ram_reader_be32(r);   /* version */
    page_size = fixed_ram_reader_be64(r);
    if (!is_power_of_2(page_size) || page_size < FIXED_RAM_PAGE_SIZE_MIN ||
        page_size > FIXED_RAM_PAGE_SIZE_MAX) {
        fixed_ram_reader_fail(r, offset, "block '%s': pages of %" PRIu64
                              " bytes", name, page_size);
    }
    fixed_ram_reader_seek(r, offset);
    return page_size;
}

FixedRamSnapshot *fixed_ram_format_read_first(FixedRamSource *source,
                                              uint64_t start, Error **errp)
{
    g_autoptr(FixedRamSnapshot) s = snapshot_new(start, 0);
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, start,
                                                       BUFFER_BYTES);

    find_ram_section(r);
    fixed_ram_reader_be64(r);   /* bytes of RAM */
    s->page_size = peek_page_size(r);
    read_header(r, s);
    if (r->error) {
        error_propagate(errp, g_steal_pointer(&r->error));
        return NULL;
    }
    return g_steal_pointer(&s);
}

FixedRamSnapshot *fixed_ram_format_read(FixedRamSource *source,
                                        uint64_t start, uint64_t page_size,
                                        Error **errp)
{
    g_autoptr(FixedRamSnapshot) s = snapshot_new(start, page_size);
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, start,
                                                       BUFFER_BYTES);
    uint32_t ram_section;

    ram_section = find_ram_section(r);
    if (!r->error) {
        read_blocks(r, s);
        check_ram_end(r, ram_section);
    }
    if (r->error) {
        error_propagate(errp, g_steal_pointer(&r->error));
        return NULL;
    }
    return g_steal_pointer(&s);
}

void fixed_ram_snapshot_free(FixedRamSnapshot *snapshot)
{
    if (snapshot) {
        g_array_unref(snapshot->blocks);
        g_free(snapshot);
    }
}

FixedRamBlockInfo *
fixed_ram_snapshot_find(const FixedRamSnapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->blocks->len; i++) {
        FixedRamBlockInfo *info = fixed_ram_snapshot_block(snapshot, i);

        if (!strcmp(info->name, name)) {
            return info;
        }
    }
    return NULL;
}

unsigned long *fixed_ram_format_read_bitmap(FixedRamSource *source,
                                            const FixedRamSnapshot *snapshot,
                                            const FixedRamBlockInfo *info,
                                            Error **errp)
{
    uint64_t pages = info->length / snapshot->page_size;
    uint64_t bytes = fixed_ram_bitmap_bytes(info->length,
                                            snapshot->page_size);
    g_autofree unsigned long *bitmap = g_try_malloc(bytes);

    QEMU_BUILD_BUG_ON(sizeof(unsigned long) != sizeof(uint64_t));

    if (!bitmap) {
        error_setg(errp, "snapshot '%s': block '%s': no memory for a bitmap "
                   "of %" PRIu64 " bytes", source->name, info->name, bytes);
        return NULL;
    }
    if (!fixed_ram_source_read(source, bitmap, bytes, info->bitmap_offset,
                               errp)) {
        error_prepend(errp, "block '%s': ", info->name);
        return NULL;
    }
    if (pages % 64 && bitmap[pages / 64] >> (pages % 64)) {
        error_setg(errp, "snapshot '%s': block '%s': the bitmap at offset 0x%"
                   PRIx64 " has bits set beyond the block's end",
                   source->name, info->name, info->bitmap_offset);
        return NULL;
    }
    return g_steal_pointer(&bitmap);
}

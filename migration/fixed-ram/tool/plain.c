/*
 * qemu-snapshot: plain migration streams, in which pages lie in any order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "plain.h"

/* As in migration/ram.h, which can only be included for a target. */
#define FLAG_ZERO               0x002
#define FLAG_PAGE               0x008
#define FLAG_EOS                0x010
#define FLAG_CONTINUE           0x020
#define FLAG_XBZRLE             0x040
#define FLAG_HOOK               0x080
#define FLAG_COMPRESS_PAGE      0x100
#define FLAG_MULTIFD_FLUSH      0x200

#define TABLE_PAGES             512

typedef struct Walk {
    FixedRamReader *r;
    const FixedRamStreamHead *head;
    ToolPlain *plain;
    ssize_t block;              /* the last one named; -1: none yet */
    uint64_t records;           /* pages that were sent so far */
} Walk;

static void plain_block_free(void *opaque)
{
    ToolPlainBlock *block = opaque;

    for (uint64_t i = 0; block->places && i < block->tables; i++) {
        g_free(block->places[i]);
    }
    g_free(block->places);
    g_free(block->data);
    g_free(block);
}

void tool_plain_free(ToolPlain *plain)
{
    if (plain) {
        fixed_ram_ramsection_free(plain->ram);
        g_ptr_array_unref(plain->blocks);
        g_array_unref(plain->pieces);
        g_free(plain);
    }
}

uint64_t tool_plain_place(const ToolPlainBlock *block, uint64_t page)
{
    return block->places[page / TABLE_PAGES][page % TABLE_PAGES];
}

static void set_place(ToolPlainBlock *block, uint64_t page, uint64_t offset)
{
    uint64_t **table = &block->places[page / TABLE_PAGES];

    if (!*table) {
        *table = g_new0(uint64_t, TABLE_PAGES);
    }
    (*table)[page % TABLE_PAGES] = offset;
    set_bit(page, block->data);
}

/* Memory for the map of a block's pages.  Returns false if there is none. */
static bool allocate_maps(ToolPlainBlock *block, uint64_t pages)
{
    block->tables = DIV_ROUND_UP(pages, TABLE_PAGES);
    block->data = bitmap_try_new(pages);
    block->places = g_try_new0(uint64_t *, block->tables);
    return block->data && block->places;
}

/* Parse the next block; @left bytes of RAM were not named so far. */
static void add_block(Walk *w, uint64_t left)
{
    FixedRamRamSection *ram = w->plain->ram;
    FixedRamBlockInfo info = {
        .header_offset = fixed_ram_reader_offset(w->r),
    };
    ToolPlainBlock *block = g_new0(ToolPlainBlock, 1);
    uint64_t pages;

    g_ptr_array_add(w->plain->blocks, block);
    fixed_ram_reader_name(w->r, info.name);
    info.length = block->length = fixed_ram_reader_be64(w->r);
    pages = info.length / ram->page_size;
    if (fixed_ram_ramsection_find(ram, info.name)) {
        fixed_ram_reader_fail(w->r, info.header_offset, "block '%s' is there "
                              "twice", info.name);
    } else if (ram->blocks->len == FIXED_RAM_BLOCKS_MAX) {
        fixed_ram_reader_fail(w->r, info.header_offset, "block '%s': found "
                              "more than %d blocks", info.name,
                              FIXED_RAM_BLOCKS_MAX);
    } else if (!info.length || info.length > left ||
               info.length % ram->page_size) {
        fixed_ram_reader_fail(w->r, info.header_offset, "block '%s' has length "
                              "0x%" PRIx64 ", expected a multiple of the page "
                              "size %" PRIu64 " up to 0x%" PRIx64 ", the bytes "
                              "of RAM that are left", info.name, info.length,
                              ram->page_size, left);
    } else if (!w->r->error && !allocate_maps(block, pages)) {
        fixed_ram_reader_fail(w->r, info.header_offset, "block '%s': cannot "
                              "allocate the map of %" PRIu64 " pages",
                              info.name, pages);
    }
    g_array_append_val(ram->blocks, info);
}

static void read_blocks(Walk *w)
{
    FixedRamRamSection *ram = w->plain->ram;
    uint64_t total = fixed_ram_ramsection_read_total(w->r, ram->page_size);

    while (total && !w->r->error) {
        add_block(w, total);
        total -= fixed_ram_ramsection_block(ram, ram->blocks->len - 1)->length;
    }
}

/* Why a record with these flags is not understood; NULL: it is. */
static const char *refuse(uint64_t flags)
{
    if (flags & FLAG_MULTIFD_FLUSH) {
        return "saved with multifd, whose pages are not in the stream";
    } else if (flags & FLAG_XBZRLE) {
        return "saved with xbzrle, which sends differences of pages";
    } else if (flags & FLAG_COMPRESS_PAGE) {
        return "saved with compress, which QEMU does not have any more";
    } else if (flags & FLAG_HOOK) {
        return "saved through RDMA";
    }
    return NULL;
}

static void read_page(Walk *w, uint64_t offset, uint64_t addr, uint64_t flags)
{
    const ToolPlain *plain = w->plain;
    uint64_t page = addr / plain->ram->page_size;
    char name[FIXED_RAM_NAME_MAX + 1] = "";
    ToolPlainBlock *block;

    if (!(flags & FLAG_CONTINUE)) {
        fixed_ram_reader_name(w->r, name);
        w->block = fixed_ram_ramsection_index(plain->ram, name);
    }
    if (w->block < 0) {
        fixed_ram_reader_fail(w->r, offset, "found a page of the unknown block "
                              "'%s'", name);
        return;
    }
    block = tool_plain_block(plain, w->block);
    if (addr >= block->length) {
        fixed_ram_reader_fail(w->r, offset, "block '%s': found a page at 0x%"
                              PRIx64 ", expected one below 0x%" PRIx64,
                              fixed_ram_ramsection_block(plain->ram,
                                                         w->block)->name,
                              addr, block->length);
        return;
    }
    w->records++;
    if (flags & FLAG_PAGE) {
        set_place(block, page, fixed_ram_reader_offset(w->r));
        fixed_ram_reader_skip(w->r, plain->ram->page_size);
    } else {
        uint8_t value = fixed_ram_reader_u8(w->r);

        clear_bit(page, block->data);
        if (value) {
            fixed_ram_reader_fail(w->r, offset, "found a page that is filled "
                                  "with 0x%02x, expected zeros", value);
        }
    }
}

static void add_piece(Walk *w, uint64_t offset)
{
    ToolPiece piece = {
        .offset = offset, .length = fixed_ram_reader_offset(w->r) - offset,
    };

    g_array_append_val(w->plain->pieces, piece);
}

/* Read up to the end of a section; returns the offset of its end mark. */
static uint64_t read_records(Walk *w)
{
    uint64_t mask = w->plain->ram->page_size - 1;
    uint64_t offset = 0;

    while (!w->r->error) {
        uint64_t word, flags;
        const char *why_not;

        offset = fixed_ram_reader_offset(w->r);
        word = fixed_ram_reader_be64(w->r);
        flags = word & mask;
        why_not = refuse(flags);
        if (why_not) {
            fixed_ram_reader_fail_unknown(w->r, offset, "%s", why_not);
        } else if (word == FLAG_EOS) {
            break;
        } else if ((flags & ~FLAG_CONTINUE) == FLAG_PAGE ||
                   (flags & ~FLAG_CONTINUE) == FLAG_ZERO) {
            read_page(w, offset, word & ~mask, flags);
        } else {
            fixed_ram_reader_fail(w->r, offset, "found flags 0x%" PRIx64
                                  ", expected those of a page of RAM", flags);
        }
    }
    return offset;
}

/* Older machine types write no footers. */
static void skip_footer(Walk *w)
{
    uint64_t offset = fixed_ram_reader_offset(w->r);

    if (fixed_ram_reader_u8(w->r) != STREAM_FOOTER) {
        fixed_ram_reader_seek(w->r, offset);
    } else if (fixed_ram_reader_be32(w->r) != w->head->ram_section) {
        fixed_ram_reader_fail(w->r, offset, "another section ends here, "
                              "expected RAM's section %" PRIu32,
                              w->head->ram_section);
    }
}

/* A device's state in several sections, which have no length. */
static void fail_device(Walk *w, uint64_t offset)
{
    fixed_ram_reader_fail_unknown(w->r, offset, "a device sends its state in "
                                  "parts, with dirty-bitmaps for example: "
                                  "they cannot be told from RAM's");
}

/*
 * A section that continues RAM.  Only of the last one the frame is kept: the
 * others hold nothing but pages.  Returns whether more may follow.
 */
static bool read_part(Walk *w, uint64_t offset, bool last)
{
    uint64_t mark;

    if (fixed_ram_reader_be32(w->r) != w->head->ram_section) {
        fail_device(w, offset);
        return false;
    }
    if (last) {
        add_piece(w, offset);
    }
    mark = read_records(w);
    skip_footer(w);
    if (last) {
        add_piece(w, mark);
    }
    return !last;
}

static void read_command(Walk *w, uint64_t offset)
{
    fixed_ram_reader_be16(w->r); /* which one */
    fixed_ram_reader_skip(w->r, fixed_ram_reader_be16(w->r));
    add_piece(w, offset);
}

/*
 * RAM is complete behind its last section.  A save with background-snapshot
 * writes no such section: it sends each page once, and then the state of the
 * devices.  Other devices' states in front of RAM's last section, as of a
 * device that is needed before RAM, are not understood.
 */
static void end_background(Walk *w, uint64_t offset)
{
    const FixedRamRamSection *ram = w->plain->ram;
    uint64_t pages = 0;

    for (size_t i = 0; i < ram->blocks->len; i++) {
        pages += fixed_ram_ramsection_block(ram, i)->length / ram->page_size;
    }
    if (w->records < pages) {
        fixed_ram_reader_fail_unknown(w->r, offset, "the state of a device "
                                      "comes after %" PRIu64 " of %" PRIu64
                                      " pages of RAM", w->records, pages);
    }
    fixed_ram_reader_seek(w->r, offset);
}

static void read_sections(Walk *w)
{
    bool more = true;

    while (more && !w->r->error) {
        uint64_t offset = fixed_ram_reader_offset(w->r);
        uint8_t type = fixed_ram_reader_u8(w->r);

        if (type == STREAM_SECTION_PART || type == STREAM_SECTION_END) {
            more = read_part(w, offset, type == STREAM_SECTION_END);
        } else if (type == STREAM_COMMAND) {
            read_command(w, offset);
        } else if (type == STREAM_SECTION_FULL) {
            end_background(w, offset);
            more = false;
        } else if (type == STREAM_SECTION_START) {
            fail_device(w, offset);
        } else {
            fixed_ram_reader_fail(w->r, offset, "found a section of type %d "
                                  "before RAM is complete", type);
        }
    }
    w->plain->ram->ram_end = fixed_ram_reader_offset(w->r);
}

static void check_capabilities(FixedRamReader *r,
                               const FixedRamStreamHead *head)
{
    bool shared = fixed_ram_stream_head_has(head, "x-ignore-shared");

    if (head->postcopy || shared) {
        fixed_ram_reader_fail_unknown(r, head->end, "saved with %s, which is "
                                      "not supported", shared
                                      ? "x-ignore-shared" : "postcopy-ram");
    }
}

ToolPlain *tool_plain_read(FixedRamReader *r, const FixedRamStreamHead *head,
                           uint64_t page_size)
{
    g_autoptr(ToolPlain) plain = g_new0(ToolPlain, 1);
    Walk w = { .r = r, .head = head, .plain = plain, .block = -1 };
    uint64_t mark;

    plain->ram = fixed_ram_ramsection_new(0, page_size);
    plain->blocks = g_ptr_array_new_with_free_func(plain_block_free);
    plain->pieces = g_array_new(false, true, sizeof(ToolPiece));
    check_capabilities(r, head);
    if (!r->error) {
        read_blocks(&w);
    }
    if (!r->error) {
        mark = read_records(&w);
        skip_footer(&w);
        add_piece(&w, mark);
        read_sections(&w);
    }
    return r->error ? NULL : g_steal_pointer(&plain);
}

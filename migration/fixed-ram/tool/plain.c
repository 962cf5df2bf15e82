/*
 * qemu-snapshot: plain migration streams, in which pages lie in any order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "plain.h"

/* As migration/ram.h has them; its header needs a target. */
#define FLAG_ZERO               0x002
#define FLAG_MEM_SIZE           0x004
#define FLAG_PAGE               0x008
#define FLAG_EOS                0x010
#define FLAG_CONTINUE           0x020
#define FLAG_XBZRLE             0x040
#define FLAG_HOOK               0x080
#define FLAG_COMPRESS_PAGE      0x100
#define FLAG_MULTIFD_FLUSH      0x200

#define TABLE_PAGES             512
#define MAX_BLOCKS              4096

typedef struct Walk {
    FixedRamReader *r;
    const ToolHead *head;
    ToolPlain *plain;
    ToolPlainBlock *block;      /* the last one named; NULL: none yet */
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
    g_ptr_array_unref(plain->blocks);
    g_array_unref(plain->pieces);
    g_free(plain);
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

static ToolPlainBlock *find_block(const ToolPlain *plain, const char *name)
{
    for (size_t i = 0; i < plain->blocks->len; i++) {
        ToolPlainBlock *block = tool_plain_block(plain, i);

        if (!strcmp(block->name, name)) {
            return block;
        }
    }
    return NULL;
}

static void add_block(Walk *w, uint64_t left)
{
    uint64_t offset = fixed_ram_reader_offset(w->r);
    ToolPlainBlock *block = g_new0(ToolPlainBlock, 1);
    uint64_t pages;
    bool twice;

    fixed_ram_reader_string(w->r, block->name);
    block->length = fixed_ram_reader_be64(w->r);
    twice = find_block(w->plain, block->name);
    g_ptr_array_add(w->plain->blocks, block);
    if (twice || w->plain->blocks->len > MAX_BLOCKS) {
        fixed_ram_reader_fail(w->r, offset, "block '%s': %s", block->name,
                              twice ? "is there twice" : "too many blocks");
    } else if (!block->length || block->length > left ||
               block->length % w->plain->page_size) {
        fixed_ram_reader_fail(w->r, offset, "block '%s': a length of 0x%" PRIx64
                              " bytes is not possible with pages of %" PRIu64
                              " and 0x%" PRIx64 " bytes of RAM left",
                              block->name, block->length, w->plain->page_size,
                              left);
    }
    if (w->r->error) {
        return;
    }
    pages = block->length / w->plain->page_size;
    block->tables = DIV_ROUND_UP(pages, TABLE_PAGES);
    block->data = bitmap_try_new(pages);
    block->places = g_try_new0(uint64_t *, block->tables);
    if (!block->data || !block->places) {
        fixed_ram_reader_fail(w->r, offset, "block '%s': no memory for the map "
                              "of %" PRIu64 " pages", block->name, pages);
    }
}

static void read_blocks(Walk *w)
{
    uint64_t offset = fixed_ram_reader_offset(w->r);
    uint64_t total = fixed_ram_reader_be64(w->r);
    uint64_t flags = total & (w->plain->page_size - 1);

    total -= flags;
    if (flags != FLAG_MEM_SIZE) {
        fixed_ram_reader_fail(w->r, offset, "the RAM section begins with flags "
                              "0x%" PRIx64 ", expected 0x%x", flags,
                              FLAG_MEM_SIZE);
    }
    while (total && !w->r->error) {
        size_t n = w->plain->blocks->len;

        add_block(w, total);
        if (!w->r->error) {
            total -= tool_plain_block(w->plain, n)->length;
        }
    }
}

/* What of migration's repertoire is not a page; NULL: nothing. */
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
    char name[FIXED_RAM_NAME_MAX + 1];
    uint64_t page = addr / w->plain->page_size;

    if (!(flags & FLAG_CONTINUE)) {
        fixed_ram_reader_string(w->r, name);
        w->block = find_block(w->plain, name);
    }
    if (!w->block || addr >= w->block->length) {
        fixed_ram_reader_fail(w->r, offset, "a page at 0x%" PRIx64 " of %s",
                              addr, w->block ? "a block that is shorter"
                              : "no block that there is");
        return;
    }
    if (flags & FLAG_PAGE) {
        set_place(w->block, page, fixed_ram_reader_offset(w->r));
        fixed_ram_reader_skip(w->r, w->plain->page_size);
    } else {
        uint8_t value = fixed_ram_reader_u8(w->r);

        clear_bit(page, w->block->data);
        if (value) {
            fixed_ram_reader_fail(w->r, offset, "a zero page of %d", value);
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

/* Up to the end of a section; returns where the mark of its end lies. */
static uint64_t read_records(Walk *w)
{
    uint64_t mask = w->plain->page_size - 1;
    uint64_t offset = 0;

    while (!w->r->error) {
        uint64_t word, flags;
        const char *why_not;

        offset = fixed_ram_reader_offset(w->r);
        word = fixed_ram_reader_be64(w->r);
        flags = word & mask;
        why_not = refuse(flags);
        if (why_not) {
            fixed_ram_reader_fail(w->r, offset, "%s", why_not);
        } else if (word == FLAG_EOS) {
            break;
        } else if ((flags & ~FLAG_CONTINUE) == FLAG_PAGE ||
                   (flags & ~FLAG_CONTINUE) == FLAG_ZERO) {
            read_page(w, offset, word & ~mask, flags);
        } else {
            fixed_ram_reader_fail(w->r, offset, "flags 0x%" PRIx64 " where a "
                                  "page of RAM is expected", flags);
        }
    }
    return offset;
}

/* Older machine types write none. */
static void skip_footer(Walk *w)
{
    uint64_t offset = fixed_ram_reader_offset(w->r);

    if (fixed_ram_reader_u8(w->r) != STREAM_FOOTER) {
        fixed_ram_reader_seek(w->r, offset);
    } else if (fixed_ram_reader_be32(w->r) != w->head->ram_section) {
        fixed_ram_reader_fail(w->r, offset, "another section ends here than "
                              "the one of RAM");
    }
}

/* A section that goes on with RAM; the last one is kept, without its pages. */
static bool read_part(Walk *w, uint64_t offset, bool last)
{
    uint64_t mark;

    if (fixed_ram_reader_be32(w->r) != w->head->ram_section) {
        fixed_ram_reader_fail(w->r, offset, "a device sends its state in "
                              "parts: they cannot be told from RAM's");
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
        } else {
            fixed_ram_reader_fail(w->r, offset, "section of type %d before RAM "
                                  "is complete", type);
        }
    }
    w->plain->ram_end = fixed_ram_reader_offset(w->r);
}

ToolPlain *tool_plain_read(FixedRamReader *r, const ToolHead *head,
                           uint64_t page_size, Error **errp)
{
    g_autoptr(ToolPlain) plain = g_new0(ToolPlain, 1);
    Walk w = { .r = r, .head = head, .plain = plain };
    uint64_t mark;

    plain->page_size = page_size;
    plain->blocks = g_ptr_array_new_with_free_func(plain_block_free);
    plain->pieces = g_array_new(false, true, sizeof(ToolPiece));
    if (head->postcopy || tool_head_has(head, "x-ignore-shared")) {
        fixed_ram_reader_fail(r, head->end, "saved with %s, which is not "
                              "supported", head->postcopy ? "postcopy-ram"
                              : "x-ignore-shared");
    }
    read_blocks(&w);
    if (!r->error) {
        mark = read_records(&w);
        skip_footer(&w);
        add_piece(&w, mark);
        read_sections(&w);
    }
    if (r->error) {
        error_propagate(errp, g_steal_pointer(&r->error));
        return NULL;
    }
    return g_steal_pointer(&plain);
}

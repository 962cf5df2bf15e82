/*
 * qemu-snapshot convert: where the parts of the new snapshot lie
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "layout.h"
#include "../util/bytes.h"

/* The same as in migration/ram.c. */
#define PAGES_ALIGNMENT     (1 * MiB)

#define HEADER_VERSION      1
#define SUBSECTION_VERSION  1
#define CAPABILITY          "mapped-ram"

/* The same bytes as in @file. */
static bool put_copy(GByteArray *to, const ToolFile *file, uint64_t from,
                     uint64_t end, Error **errp)
{
    guint at = to->len;

    g_byte_array_set_size(to, at + (end - from));
    return fixed_ram_source_read(file->snapshot->source, to->data + at,
                                 end - from, from, errp);
}

/*
 * QEMU compares these capabilities with its own when it loads the stream.  Add
 * mapped-ram; a stream without any has no subsection for them.
 */
static void put_capabilities(GByteArray *to, const FixedRamStreamHead *head)
{
    static const uint8_t mark = STREAM_SUBSECTION;

    if (!head->has_capabilities) {
        fixed_ram_bytes_put(to, &mark, 1);
        fixed_ram_bytes_put_name(to, "configuration/capabilities");
        fixed_ram_bytes_put_be32(to, SUBSECTION_VERSION);
    }
    fixed_ram_bytes_put_be32(to, head->capabilities->len + 1);
    for (size_t i = 0; i < head->capabilities->len; i++) {
        fixed_ram_bytes_put_name(to, g_ptr_array_index(head->capabilities, i));
    }
    fixed_ram_bytes_put_name(to, CAPABILITY);
}

/* The last field before the first block's header is the amount of RAM. */
static bool make_head(ToolLayout *l, const ToolFile *file, Error **errp)
{
    const FixedRamStreamHead *head = file->snapshot->head;
    uint64_t start = file->snapshot->start;
    uint64_t end = head->end + sizeof(uint64_t);
    uint64_t resume = head->has_capabilities ? head->capabilities_end
                                             : head->capabilities_at;

    if (!file->plain || !head->has_configuration) {
        return put_copy(l->head, file, start, end, errp);
    }
    if (!put_copy(l->head, file, start, head->capabilities_at, errp)) {
        return false;
    }
    put_capabilities(l->head, head);
    return put_copy(l->head, file, resume, end, errp);
}

/* The superblock lies between the first block's bitmap and its pages. */
static uint64_t place_block(ToolLayout *l, const ToolBlock *block,
                            uint64_t at)
{
    ToolLayoutBlock b = { .header = g_byte_array_new(), .header_offset = at };
    uint64_t superblock = l->blocks->len ? 0 : FIXED_RAM_SUPERBLOCK_BYTES;
    uint64_t bitmap_end;

    fixed_ram_bytes_put_name(b.header, block->name);
    fixed_ram_bytes_put_be64(b.header, block->length);
    fixed_ram_bytes_put_be32(b.header, HEADER_VERSION);
    fixed_ram_bytes_put_be64(b.header, block->page_size);
    b.bitmap_offset = at + b.header->len + 2 * sizeof(uint64_t);
    bitmap_end = b.bitmap_offset +
                 fixed_ram_ramsection_bitmap_bytes(block->length,
                                                   block->page_size);
    b.pages_offset = ROUND_UP(bitmap_end + superblock, PAGES_ALIGNMENT);
    fixed_ram_bytes_put_be64(b.header, b.bitmap_offset);
    fixed_ram_bytes_put_be64(b.header, b.pages_offset);
    g_array_append_val(l->blocks, b);
    return b.pages_offset + block->length;
}

static void make_tail(ToolLayout *l, const ToolFile *file, uint64_t in_end)
{
    uint64_t from = tool_file_ram_end(file);
    ToolPiece rest = { .offset = from, .length = in_end - from };

    if (file->plain) {
        g_array_append_vals(l->tail, file->plain->pieces->data,
                            file->plain->pieces->len);
    }
    g_array_append_val(l->tail, rest);
}

static void block_clear(void *opaque)
{
    ToolLayoutBlock *block = opaque;

    g_byte_array_unref(block->header);
}

ToolLayout *tool_layout_new(const ToolFile *file, uint64_t start,
                            uint64_t in_end, Error **errp)
{
    g_autoptr(ToolLayout) l = g_new0(ToolLayout, 1);
    uint64_t at;

    l->head = g_byte_array_new();
    l->tail = g_array_new(false, false, sizeof(ToolPiece));
    l->blocks = g_array_new(false, false, sizeof(ToolLayoutBlock));
    g_array_set_clear_func(l->blocks, block_clear);
    if (!file->blocks->len) {
        error_setg(errp, "snapshot '%s' has no RAM",
                   file->snapshot->source->name);
        return NULL;
    }
    if (!make_head(l, file, errp)) {
        return NULL;
    }
    at = start + l->head->len;
    for (size_t i = 0; i < file->blocks->len; i++) {
        at = place_block(l, tool_file_block(file, i), at);
    }
    l->superblock = fixed_ram_superblock_offset(
        tool_layout_block(l, 0)->pages_offset);
    l->ram_end = at;
    make_tail(l, file, in_end);
    return g_steal_pointer(&l);
}

void tool_layout_free(ToolLayout *l)
{
    g_byte_array_unref(l->head);
    g_array_unref(l->tail);
    g_array_unref(l->blocks);
    g_free(l);
}

/*
 * qemu-snapshot convert: a RAM block on its way to the new snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/qemu-progress.h"
#include "copy.h"
#include "../util/sparse.h"

ToolCopy *tool_copy_new(const ToolFile *file, const ToolLayout *layout,
                        size_t i, uint64_t key, bool find_zeros, Error **errp)
{
    ToolCopy *copy = g_new0(ToolCopy, 1);

    copy->file = file;
    copy->in = tool_file_block(file, i);
    copy->out = tool_layout_block(layout, i);
    copy->find_zeros = find_zeros;
    copy->data = bitmap_try_new(copy->in->pages);
    if (!copy->data) {
        error_setg(errp, "block '%s': there is no memory for a bitmap of %"
                   PRIu64 " pages", copy->in->name, copy->in->pages);
        tool_copy_free(copy);
        return NULL;
    }
    if (fixed_ram_sums_built()) {
        copy->sums = fixed_ram_page_sums_new(copy->in->length,
                                             copy->in->page_size, key, errp);
        if (!copy->sums) {
            error_prepend(errp, "block '%s': ", copy->in->name);
            tool_copy_free(copy);
            return NULL;
        }
    }
    return copy;
}

void tool_copy_free(ToolCopy *copy)
{
    fixed_ram_page_sums_free(copy->sums);
    g_free(copy->data);
    g_free(copy->parts);
    g_free(copy);
}

static void note_page(ToolCopy *copy, uint64_t page, const uint8_t *bytes)
{
    size_t size = copy->in->page_size;

    if (!test_bit(page, copy->in->data) ||
        (copy->find_zeros && buffer_is_zero(bytes, size))) {
        return;
    }
    set_bit(page, copy->data);
    if (copy->sums) {
        fixed_ram_page_sums_add(copy->sums, page * size, bytes, size);
    }
}

/* @buf holds pages from @first up to @end; write those that are noted. */
static bool write_pages(const ToolCopy *copy, ToolWriter *out,
                        const uint8_t *buf, uint64_t first, uint64_t end,
                        Error **errp)
{
    uint64_t size = copy->in->page_size;
    uint64_t from = find_next_bit(copy->data, end, first);

    while (from < end) {
        uint64_t to = find_next_zero_bit(copy->data, end, from);

        if (!tool_writer_put(out, buf + (from - first) * size,
                             (to - from) * size,
                             copy->out->pages_offset + from * size, errp)) {
            return false;
        }
        from = find_next_bit(copy->data, end, to);
    }
    return true;
}

static bool copy_chunk(ToolCopy *copy, ToolWriter *out, uint8_t *buf,
                       uint64_t first, uint64_t end, Error **errp)
{
    const ToolPages pages = {
        .file = copy->file,
        .block = copy->in,
        .page = first,
        .pages = end - first,
        .buf = buf,
    };

    if (!tool_block_has_data(copy->in, first, end - first)) {
        return true;
    }
    if (!tool_block_read_good(&pages, errp)) {
        return false;
    }
    for (uint64_t page = first; page < end; page++) {
        note_page(copy, page, buf + (page - first) * copy->in->page_size);
    }
    return write_pages(copy, out, buf, first, end, errp);
}

static bool copy_pages(ToolCopy *copy, ToolWriter *out, uint8_t *buf,
                       double share, Error **errp)
{
    uint64_t pages = copy->in->pages;
    uint64_t chunk = TOOL_CHUNK_BYTES / copy->in->page_size;

    for (uint64_t first = 0; first < pages; first += chunk) {
        uint64_t end = MIN(first + chunk, pages);

        if (!copy_chunk(copy, out, buf, first, end, errp)) {
            return false;
        }
        qemu_progress_print(share * (end - first) / pages, 100);
    }
    return true;
}

static size_t bitmap_bytes(const ToolCopy *copy)
{
    return fixed_ram_ramsection_bitmap_bytes(copy->in->length,
                                             copy->in->page_size);
}

/* The output has a hole there: write what is not zero. */
static bool write_bitmap(ToolCopy *copy, ToolWriter *out, Error **errp)
{
    size_t from, end = 0;

    copy->parts = fixed_ram_sparse_scan(copy->data, copy->in->pages);
    if (copy->sums) {
        fixed_ram_page_sums_close(copy->sums, copy->data, copy->parts,
                                  copy->in->length);
    }
    while (fixed_ram_sparse_next_bytes(copy->parts, bitmap_bytes(copy), end,
                                       &from, &end)) {
        if (!tool_writer_put(out, (uint8_t *)copy->data + from, end - from,
                             copy->out->bitmap_offset + from, errp)) {
            return false;
        }
    }
    return true;
}

bool tool_copy_run(ToolCopy *copy, ToolWriter *out, uint8_t *buf, double share,
                   Error **errp)
{
    const GByteArray *header = copy->out->header;

    return tool_writer_put(out, header->data, header->len,
                           copy->out->header_offset, errp) &&
           copy_pages(copy, out, buf, share, errp) &&
           write_bitmap(copy, out, errp);
}

FixedRamIndexBlock tool_copy_describe(const ToolCopy *copy)
{
    FixedRamIndexBlock entry = {
        .length = copy->in->length,
        .page_size = copy->in->page_size,
        .bitmap_offset = copy->out->bitmap_offset,
        .pages_offset = copy->out->pages_offset,
        .pages = bitmap_count_one(copy->data, copy->in->pages),
    };

    pstrcpy(entry.name, sizeof(entry.name), copy->in->name);
    if (copy->sums) {
        entry.bitmap_sum = fixed_ram_sums_sparse(copy->data, copy->parts,
                                                 bitmap_bytes(copy));
    }
    return entry;
}

/*
 * qemu-snapshot: the pages of a RAM block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "block.h"

/* Pages without data are read, too, if this avoids a second read. */
#define GAP_BYTES   (64 * KiB)

bool tool_block_next_run(const ToolBlock *block, uint64_t page, uint64_t end,
                         ToolRun *run)
{
    uint64_t stop;

    if (page >= end) {
        return false;
    }
    run->page = page;
    run->data = test_bit(page, block->data);
    stop = run->data ? find_next_zero_bit(block->data, end, page)
                     : find_next_bit(block->data, end, page);
    run->pages = stop - page;
    return true;
}

bool tool_block_has_data(const ToolBlock *block, uint64_t page,
                         uint64_t pages)
{
    return find_next_bit(block->data, page + pages, page) < page + pages;
}

uint64_t tool_block_place(const ToolBlock *block, uint64_t page)
{
    return block->plain ? tool_plain_place(block->plain, page)
                        : block->pages_offset + page * block->page_size;
}

/* @page has data: returns where the pages end that one read should get. */
static uint64_t span_end(const ToolBlock *block, uint64_t page, uint64_t end)
{
    uint64_t stop = page;
    ToolRun run;

    while (tool_block_next_run(block, page, end, &run)) {
        page += run.pages;
        if (run.data) {
            stop = page;
        } else if (block->plain || run.pages * block->page_size > GAP_BYTES) {
            break;
        }
    }
    return stop;
}

/* The file may hold anything at the places of pages without data. */
static void clear_gaps(const ToolPages *p)
{
    const ToolBlock *block = p->block;
    uint64_t end = p->page + p->pages;
    ToolRun run = { .page = p->page };

    while (tool_block_next_run(block, run.page + run.pages, end, &run)) {
        if (!run.data) {
            memset(p->buf + (run.page - p->page) * block->page_size, 0,
                   run.pages * block->page_size);
        }
    }
}

static bool read_span(const ToolPages *p, uint64_t from, uint64_t to,
                      Error **errp)
{
    FixedRamSource *source = p->file->snapshot->source;
    uint64_t size = p->block->page_size;
    uint8_t *buf = p->buf + (from - p->page) * size;

    if (!p->block->plain) {
        return fixed_ram_source_read_pages(source, buf, (to - from) * size,
                                           tool_block_place(p->block, from),
                                           errp);
    }
    for (; from < to; from++, buf += size) {
        if (!fixed_ram_source_read(source, buf, size,
                                   tool_block_place(p->block, from), errp)) {
            return false;
        }
    }
    return true;
}

bool tool_block_read(const ToolPages *p, Error **errp)
{
    const ToolBlock *block = p->block;
    uint64_t end = p->page + p->pages;
    uint64_t from = find_next_bit(block->data, end, p->page);

    while (from < end) {
        uint64_t to = span_end(block, from, end);

        if (!read_span(p, from, to, errp)) {
            error_prepend(errp, "block '%s': ", block->name);
            return false;
        }
        from = find_next_bit(block->data, end, to);
    }
    clear_gaps(p);
    return true;
}

/* The caller sets where the pages are in memory. */
static FixedRamCluster cluster_of(const ToolBlock *block, uint64_t number)
{
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / block->page_size;
    uint64_t page = number * per_cluster;

    return (FixedRamCluster) {
        .data = block->data,
        .page = page,
        .pages = MIN(block->pages - page, per_cluster),
        .page_size = block->page_size,
    };
}

bool tool_block_sum(const ToolFile *file, const ToolBlock *block,
                    uint64_t cluster, uint64_t *sum, Error **errp)
{
    FixedRamCluster c = cluster_of(block, cluster);

    if (!fixed_ram_sumtable_has_data(&c)) {
        *sum = fixed_ram_sumtable_sum_cluster(file->table, &c);
        return true;
    }
    return fixed_ram_sumtable_get(file->table, file->snapshot->source,
                                  block->first_cluster + cluster, sum, errp);
}

/* False, too, if the checksum that it should have cannot be read. */
static bool is_good(const ToolPages *p, uint64_t cluster, ToolBad *bad)
{
    const ToolFile *file = p->file;
    FixedRamCluster c = cluster_of(p->block, cluster);

    c.buf = p->buf + (c.page - p->page) * c.page_size;
    c.pages = MIN(c.pages, p->page + p->pages - c.page);
    *bad = (ToolBad) { .cluster = cluster };
    bad->found = fixed_ram_sumtable_sum_cluster(file->table, &c);
    return fixed_ram_sumtable_get(file->table, file->snapshot->source,
                                  p->block->first_cluster + cluster,
                                  &bad->expected, &bad->error) &&
           fixed_ram_sumtable_accepts(&c, bad->found, bad->expected);
}

bool tool_block_find_bad(const ToolPages *p, uint64_t cluster, ToolBad *bad)
{
    uint64_t end = (p->page + p->pages) * p->block->page_size;

    if (!p->file->table) {
        return false;
    }
    for (; cluster * FIXED_RAM_CLUSTER_BYTES < end; cluster++) {
        if (!is_good(p, cluster, bad)) {
            return true;
        }
    }
    return false;
}

bool tool_block_read_good(const ToolPages *p, Error **errp)
{
    ToolBad bad;

    if (!tool_block_read(p, errp)) {
        return false;
    }
    if (!tool_block_find_bad(p, tool_block_first_cluster(p), &bad)) {
        return true;
    }
    if (bad.error) {
        error_propagate(errp, bad.error);
    } else {
        error_setg(errp, "snapshot '%s': block '%s': the %" PRIu64 " KiB at 0x%"
                   PRIx64 " are damaged: found checksum %016" PRIx64
                   ", expected %016" PRIx64, p->file->snapshot->source->name,
                   p->block->name, (uint64_t)(FIXED_RAM_CLUSTER_BYTES / KiB),
                   bad.cluster * FIXED_RAM_CLUSTER_BYTES, bad.found,
                   bad.expected);
    }
    return false;
}

/*
 * qemu-snapshot: the pages of a RAM block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "block.h"

/* Pages without data that are read along rather than left out. */
#define GAP_BYTES   (64 * KiB)

bool tool_block_next_run(const ToolBlock *block, uint64_t page, ToolRun *run)
{
    uint64_t end;

    if (page >= block->pages) {
        return false;
    }
    run->page = page;
    run->data = test_bit(page, block->data);
    end = run->data ? find_next_zero_bit(block->data, block->pages, page)
                    : find_next_bit(block->data, block->pages, page);
    run->pages = end - page;
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

/* From a page with data on: pages up to @end that are best read in one go. */
static uint64_t span_end(const ToolBlock *block, uint64_t page, uint64_t end)
{
    uint64_t stop = page;
    ToolRun run;

    while (tool_block_next_run(block, page, &run) && run.page < end) {
        page = run.page + run.pages;
        if (run.data) {
            stop = MIN(page, end);
        } else if (block->plain || run.pages * block->page_size > GAP_BYTES) {
            break;
        }
    }
    return stop;
}

static void clear_gaps(const ToolBlock *block, uint64_t page, uint64_t end,
                       uint8_t *buf)
{
    uint64_t at = page;
    ToolRun run;

    while (at < end && tool_block_next_run(block, at, &run)) {
        if (!run.data) {
            memset(buf + (at - page) * block->page_size, 0,
                   MIN(run.pages, end - at) * block->page_size);
        }
        at += run.pages;
    }
}

static bool read_span(const ToolFile *file, const ToolBlock *block,
                      uint64_t page, uint64_t end, uint8_t *buf, Error **errp)
{
    if (!block->plain) {
        return fixed_ram_source_read_pages(file->snapshot->source, buf,
                                           (end - page) * block->page_size,
                                           tool_block_place(block, page),
                                           errp);
    }
    for (; page < end; page++, buf += block->page_size) {
        if (!fixed_ram_source_read(file->snapshot->source, buf,
                                   block->page_size,
                                   tool_block_place(block, page), errp)) {
            return false;
        }
    }
    return true;
}

bool tool_block_read(const ToolFile *file, const ToolBlock *block,
                     uint64_t page, uint64_t pages, void *buf, Error **errp)
{
    uint64_t end = page + pages;
    uint64_t at = page;

    while (at < end) {
        uint64_t from = MIN(find_next_bit(block->data, end, at), end);
        uint64_t to = from < end ? span_end(block, from, end) : end;
        uint8_t *bytes = (uint8_t *)buf + (from - page) * block->page_size;

        if (from < end &&
            !read_span(file, block, from, to, bytes, errp)) {
            error_prepend(errp, "block '%s': ", block->name);
            return false;
        }
        at = to;
    }
    /* Whatever the file holds there. */
    clear_gaps(block, page, end, buf);
    return true;
}

int tool_block_next_bad(const ToolFile *file, const ToolBlock *block,
                        const uint8_t *buf, uint64_t end, uint64_t *cluster,
                        ToolBad *bad, Error **errp)
{
    uint64_t first = *cluster;

    while (file->table && *cluster * FIXED_RAM_CLUSTER_BYTES < end) {
        uint64_t at = *cluster * FIXED_RAM_CLUSTER_BYTES;
        uint64_t length = MIN(end - at, FIXED_RAM_CLUSTER_BYTES);
        FixedRamCluster c = {
            .buf = buf + (*cluster - first) * FIXED_RAM_CLUSTER_BYTES,
            .data = block->data,
            .page = at / block->page_size,
            .pages = length / block->page_size,
            .page_size = block->page_size,
        };

        bad->cluster = (*cluster)++;
        bad->found = fixed_ram_sumtable_sum_cluster(&c);
        if (!fixed_ram_sumtable_get(file->table, file->snapshot->source,
                                    block->first_cluster + bad->cluster,
                                    &bad->expected, errp)) {
            return -1;
        }
        if (bad->found != bad->expected) {
            return 1;
        }
    }
    return 0;
}

bool tool_block_read_good(const ToolFile *file, const ToolBlock *block,
                          uint64_t page, uint64_t pages, void *buf,
                          Error **errp)
{
    uint64_t cluster = page * block->page_size / FIXED_RAM_CLUSTER_BYTES;
    uint64_t end = (page + pages) * block->page_size;
    ToolBad bad;
    int ret;

    if (!tool_block_read(file, block, page, pages, buf, errp)) {
        return false;
    }
    ret = tool_block_next_bad(file, block, buf, end, &cluster, &bad, errp);
    if (ret > 0) {
        error_setg(errp, "snapshot '%s': block '%s': %" PRIu64 " KiB at 0x%"
                   PRIx64 " are damaged: checksum %016" PRIx64 ", saved was "
                   "%016" PRIx64, file->snapshot->source->name, block->name,
                   (uint64_t)(FIXED_RAM_CLUSTER_BYTES / KiB),
                   bad.cluster * FIXED_RAM_CLUSTER_BYTES, bad.found,
                   bad.expected);
    }
    return ret == 0;
}

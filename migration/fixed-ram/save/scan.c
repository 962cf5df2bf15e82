/*
 * fixed-ram: find and copy the pages of a slice that have data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "scan.h"
#include "../format/sums.h"

/* Returns false if the page is zero. */
static bool take_page(const FixedRamScan *scan, size_t page)
{
    bool copied = scan->copied && test_bit(page, scan->copied);
    uint8_t *to = scan->buf + page * scan->page_size;
    const uint8_t *from = copied ? to : scan->mem + page * scan->page_size;

    if (buffer_is_zero(from, scan->page_size)) {
        return false;
    }
    if (!copied) {
        memcpy(to, from, scan->page_size);
    }
    if (scan->sums) {
        fixed_ram_page_sums_set(scan->sums, scan->first + page,
                                fixed_ram_sums_get(to, scan->page_size));
    }
    return true;
}

size_t fixed_ram_scan(const FixedRamScan *scan)
{
    size_t found = 0, page = 0;

    while ((page = find_next_bit(scan->wanted, scan->pages, page)) <
           scan->pages) {
        if (test_bit(page, scan->populated) && take_page(scan, page)) {
            set_bit(page, scan->data);
            found++;
        } else {
            clear_bit(page, scan->data);
        }
        page++;
    }
    return found;
}

bool fixed_ram_scan_compare(FixedRamScan *scan, FixedRamDeltaBlock *delta,
                            unsigned long *same, Error **errp)
{
    const unsigned long *data = scan->data - BIT_WORD(scan->first);
    size_t per_cluster = FIXED_RAM_CLUSTER_BYTES / scan->page_size;

    bitmap_zero(same, scan->pages);
    scan->same = same;
    for (size_t at = 0; at < scan->pages; at += per_cluster) {
        size_t pages = MIN(per_cluster, scan->pages - at);
        uint64_t first = scan->first + at;
        uint64_t sum = fixed_ram_page_sums_peek(scan->sums, data, first,
                                                first + pages);
        bool found = false;

        if (sum && !fixed_ram_delta_compare(delta, first / per_cluster, sum,
                                            &found, errp)) {
            return false;
        }
        if (found) {
            bitmap_set(same, at, pages);
        }
    }
    return true;
}

/* Is @page, which is wanted, to be written? */
static bool is_written(const FixedRamScan *scan, size_t page)
{
    return test_bit(page, scan->data) &&
           !(scan->same && test_bit(page, scan->same));
}

static void fill_gap(const FixedRamScan *scan, size_t first, size_t end)
{
    memset(scan->buf + first * scan->page_size, 0,
           (end - first) * scan->page_size);
}

bool fixed_ram_scan_next_run(const FixedRamScan *scan, size_t pos,
                             size_t *first, size_t *end)
{
    size_t most = FIXED_RAM_SCAN_GAP / scan->page_size;
    size_t page = pos, zeros = 0;

    while (page < scan->pages && !(test_bit(page, scan->wanted) &&
                                   is_written(scan, page))) {
        page++;
    }
    *first = *end = page;
    while (page < scan->pages && test_bit(page, scan->wanted)) {
        size_t gap = page - *end, data = *end - *first - zeros;

        if (is_written(scan, page)) {
            fill_gap(scan, *end, page);
            zeros += gap;
            *end = page + 1;
        } else if (gap + 1 > most || zeros + gap + 1 > data) {
            break;
        }
        page++;
    }
    return *end > *first;
}

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

static bool is_copied(const FixedRamScan *scan, size_t page)
{
    return scan->copied && test_bit(page, scan->copied);
}

static uint8_t *place(const FixedRamScan *scan, size_t page)
{
    return scan->buf + page * scan->page_size;
}

static const uint8_t *content(const FixedRamScan *scan, size_t page)
{
    return is_copied(scan, page) ? place(scan, page)
                                 : scan->mem + page * scan->page_size;
}

static void record_sum(const FixedRamScan *scan, size_t page,
                       const uint8_t *bytes)
{
    if (scan->sums) {
        fixed_ram_page_sums_add(scan->sums,
                                (scan->first + page) * scan->page_size, bytes,
                                scan->page_size);
    }
}

static void copy_page(const FixedRamScan *scan, size_t page)
{
    uint8_t *to = place(scan, page);

    if (!is_copied(scan, page)) {
        memcpy(to, content(scan, page), scan->page_size);
    }
    record_sum(scan, page, to);
}

static void sum_page(const FixedRamScan *scan, size_t page)
{
    record_sum(scan, page, content(scan, page));
}

/* Returns the number of pages with data, for which @take is called. */
static size_t scan_pages(const FixedRamScan *scan, size_t page, size_t end,
                         void (*take)(const FixedRamScan *, size_t))
{
    size_t found = 0;

    while ((page = find_next_bit(scan->wanted, end, page)) < end) {
        if (test_bit(page, scan->populated) &&
            !buffer_is_zero(content(scan, page), scan->page_size)) {
            set_bit(page, scan->data);
            take(scan, page);
            found++;
        } else {
            clear_bit(page, scan->data);
        }
        page++;
    }
    return found;
}

/* The sum of the cluster that these pages are, 0 if it has no data. */
static uint64_t cluster_sum(const FixedRamScan *scan, size_t page, size_t end)
{
    const unsigned long *data = scan->data - BIT_WORD(scan->first);

    return fixed_ram_page_sums_peek(scan->sums, data, scan->first + page,
                                    scan->first + end);
}

static void copy_pages(const FixedRamScan *scan, size_t page, size_t end)
{
    while ((page = find_next_bit(scan->wanted, end, page)) < end) {
        if (test_bit(page, scan->data)) {
            copy_page(scan, page);
        }
        page++;
    }
}

/*
 * Most clusters of a delta are what the base has, and to copy memory takes
 * longer than to read it.  So the sums are of the memory itself at first.  If a
 * device writes to a page meanwhile, the page is dirty and is saved again.
 */
static bool scan_cluster(const FixedRamScan *scan, size_t page, size_t end,
                         size_t *found, Error **errp)
{
    uint64_t number = (scan->first + page) * scan->page_size /
                      FIXED_RAM_CLUSTER_BYTES;
    uint64_t sum;
    bool same = false;

    *found += scan_pages(scan, page, end, sum_page);
    sum = cluster_sum(scan, page, end);
    if (sum && !fixed_ram_delta_compare(scan->delta, number, sum, &same,
                                        errp)) {
        return false;
    }
    if (same) {
        bitmap_set(scan->same, page, end - page);
    } else {
        bitmap_clear(scan->same, page, end - page);
        copy_pages(scan, page, end);
    }
    return true;
}

bool fixed_ram_scan(const FixedRamScan *scan, size_t *found, Error **errp)
{
    size_t per_cluster = FIXED_RAM_CLUSTER_BYTES / scan->page_size;

    if (!scan->delta) {
        *found += scan_pages(scan, 0, scan->pages, copy_page);
        return true;
    }
    for (size_t page = 0; page < scan->pages; page += per_cluster) {
        if (!scan_cluster(scan, page, MIN(page + per_cluster, scan->pages),
                          found, errp)) {
            return false;
        }
    }
    return true;
}

/* Is @page, which is wanted, to be written? */
static bool is_written(const FixedRamScan *scan, size_t page)
{
    return test_bit(page, scan->data) &&
           !(scan->delta && test_bit(page, scan->same));
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

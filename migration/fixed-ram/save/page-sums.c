/*
 * fixed-ram: the checksums of the pages of a block that is being saved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/memalign.h"
#include "qapi/error.h"
#include "page-sums.h"
#include "../format/sums.h"
#include "../util/sparse.h"

struct FixedRamPageSums {
    /* Of pages, each set by one thread at a time; once closed, of clusters */
    uint64_t *sums;
    uint64_t count;
    size_t page_size;
    uint64_t key;
    uint64_t zeros;             /* the sum of a page of zeros */
    /* Of clusters, 0: it must be computed.  NULL: all must. */
    uint64_t *known;
    /*
     * Once closed: a bit for each GROUP of clusters, set if one of them has
     * data.  The sums of other groups are undefined.
     */
    unsigned long *groups;
};

/* So many sums fill a page of the host. */
#define GROUP   512

FixedRamPageSums *fixed_ram_page_sums_new(uint64_t max_length,
                                          size_t page_size, uint64_t key,
                                          Error **errp)
{
    FixedRamPageSums *sums = g_new0(FixedRamPageSums, 1);

    assert(is_power_of_2(page_size) && page_size <= FIXED_RAM_CLUSTER_BYTES);
    sums->page_size = page_size;
    sums->key = key;
    sums->zeros = fixed_ram_sums_zero_page(key, page_size);
    sums->count = max_length / page_size;
    /* The kernel allocates memory only for entries that are written. */
    sums->sums = g_try_new0(uint64_t, sums->count);
    if (!sums->sums && sums->count) {
        error_setg(errp, "no memory for the checksums of 0x%" PRIx64
                   " bytes of RAM", max_length);
        g_free(sums);
        return NULL;
    }
    return sums;
}

void fixed_ram_page_sums_free(FixedRamPageSums *sums)
{
    if (sums) {
        g_free(sums->groups);
        g_free(sums->known);
        g_free(sums->sums);
        g_free(sums);
    }
}

void fixed_ram_page_sums_set(FixedRamPageSums *sums, uint64_t page,
                             uint64_t sum)
{
    assert(page < sums->count);
    sums->sums[page] = sum;
}

void fixed_ram_page_sums_know(FixedRamPageSums *sums, uint64_t cluster,
                              uint64_t sum)
{
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / sums->page_size;

    if (!sums->known && sum) {
        sums->known = g_new0(uint64_t, DIV_ROUND_UP(sums->count, per_cluster));
    }
    if (sums->known) {
        sums->known[cluster] = sum;
    }
}

/* One buffer for each thread, aligned for O_DIRECT. */
static uint8_t *copy_buffer(void)
{
    static GPrivate buffer = G_PRIVATE_INIT(qemu_vfree);
    uint8_t *buf = g_private_get(&buffer);

    if (!buf) {
        buf = qemu_memalign(FIXED_RAM_CLUSTER_BYTES,
                            FIXED_RAM_PAGE_SUMS_COPY_BYTES);
        g_private_set(&buffer, buf);
    }
    return buf;
}

void fixed_ram_page_sums_add(FixedRamPageSums *sums, uint64_t offset,
                             const uint8_t *mem, size_t length)
{
    for (size_t at = 0; at < length; at += sums->page_size) {
        fixed_ram_page_sums_set(sums, (offset + at) / sums->page_size,
                                fixed_ram_sums_page(sums->key, mem + at,
                                                    sums->page_size));
    }
}

uint8_t *fixed_ram_page_sums_copy(FixedRamPageSums *sums, uint64_t offset,
                                  const uint8_t *mem, size_t length)
{
    uint8_t *buf = copy_buffer();

    assert(length <= FIXED_RAM_PAGE_SUMS_COPY_BYTES);
    /* One page at a time, while it is in the first cache of the CPU. */
    for (size_t at = 0; at < length; at += sums->page_size) {
        memcpy(buf + at, mem + at, sums->page_size);
        fixed_ram_page_sums_add(sums, offset + at, buf + at, sums->page_size);
    }
    return buf;
}

uint64_t fixed_ram_page_sums_peek(const FixedRamPageSums *sums,
                                  const unsigned long *data, uint64_t first,
                                  uint64_t end)
{
    uint64_t of_pages[FIXED_RAM_CLUSTER_BYTES / KiB];

    if (find_next_bit(data, end, first) == end) {
        return 0;
    }
    for (uint64_t page = first; page < end; page++) {
        of_pages[page - first] = test_bit(page, data) ? sums->sums[page]
                                                      : sums->zeros;
    }
    return fixed_ram_sums_cluster(sums->key, of_pages, end - first);
}

/*
 * Compute the sums of a group in place: what the sum of a cluster replaces is
 * the sum of a page of this cluster or of an earlier one.
 */
static void close_group(FixedRamPageSums *sums, const unsigned long *data,
                        uint64_t group, uint64_t pages)
{
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / sums->page_size;
    uint64_t end = MIN((group + 1) * GROUP, DIV_ROUND_UP(pages, per_cluster));

    for (uint64_t i = group * GROUP; i < end; i++) {
        sums->sums[i] = sums->known && sums->known[i] ? sums->known[i] :
            fixed_ram_page_sums_peek(sums, data, i * per_cluster,
                                     MIN((i + 1) * per_cluster, pages));
    }
    set_bit(group, sums->groups);
}

void fixed_ram_page_sums_close(FixedRamPageSums *sums,
                               const unsigned long *data,
                               const unsigned long *parts, uint64_t length)
{
    uint64_t clusters = fixed_ram_sums_clusters(length);
    uint64_t group_pages = GROUP * FIXED_RAM_CLUSTER_BYTES / sums->page_size;
    uint64_t pages = length / sums->page_size;
    uint64_t page = 0;

    assert(pages <= sums->count);
    sums->groups = bitmap_new(DIV_ROUND_UP(clusters, GROUP));
    while ((page = fixed_ram_sparse_next(data, parts, pages, page)) < pages) {
        close_group(sums, data, page / group_pages, pages);
        page = ROUND_UP(page + 1, group_pages);
    }
    sums->sums = g_renew(uint64_t, sums->sums, clusters);
    sums->count = clusters;
}

uint64_t fixed_ram_page_sums_clusters(const FixedRamPageSums *sums)
{
    return sums->count;
}

uint64_t fixed_ram_page_sums_cluster(const FixedRamPageSums *sums,
                                     uint64_t cluster)
{
    return test_bit(cluster / GROUP, sums->groups) ? sums->sums[cluster] : 0;
}

uint64_t fixed_ram_page_sums_next(const FixedRamPageSums *sums,
                                  uint64_t cluster)
{
    uint64_t groups = DIV_ROUND_UP(sums->count, GROUP);
    uint64_t group = find_next_bit(sums->groups, groups, cluster / GROUP);

    return MIN(MAX(cluster, group * GROUP), sums->count);
}

/*
 * fixed-ram: which content of RAM is what was saved, found out once more
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* docs/interop/fixed-ram.rst */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "migration/fixed-ram/format/sums.h"
#include "check-pages.h"

#define CHUNK_SUMS      512     /* words of the table that have one checksum */

typedef struct BadCluster {
    size_t block;
    uint64_t cluster;           /* of that block */
} BadCluster;

uint64_t cluster_sum(const Decoded *d, const DecodedBlock *b, uint64_t page,
                     uint64_t key)
{
    uint64_t end = MIN(page + CLUSTER_PAGES, b->length / INPUT_PAGE);
    uint64_t sums[CLUSTER_PAGES];
    uint8_t buf[INPUT_PAGE];
    size_t n = 0;

    for (; page < end; page++) {
        decoded_page(d, b, page, buf);
        stq_le_p(&sums[n++], fixed_ram_sums_page(key, buf, INPUT_PAGE));
    }
    return fixed_ram_sums_page(key, sums, n * 8);
}

bool cluster_holds_data(const Decoded *d, const DecodedBlock *b, uint64_t page)
{
    uint64_t end = MIN(page + CLUSTER_PAGES, b->length / INPUT_PAGE);

    while (page < end && !decoded_bit(d, b, page)) {
        page++;
    }
    return page < end;
}

/* Is word number @n of the table @sum, and is that what was written there? */
static bool table_has(const FixedRamIndex *index, const Decoded *d, uint64_t n,
                      uint64_t sum)
{
    uint64_t first = n - n % CHUNK_SUMS;
    uint64_t words = MIN(index->table.length / 8 - first, CHUNK_SUMS);
    uint64_t chunk[CHUNK_SUMS];

    input_read(d->in, chunk, words * 8, index->table.offset + first * 8);
    return le64_to_cpu(chunk[n - first]) == sum &&
           fixed_ram_sums_get(chunk, words * 8) ==
           g_array_index(index->table.chunk_sums, uint64_t, n / CHUNK_SUMS);
}

BadClusters *bad_clusters(const FixedRamIndex *index, const Decoded *d)
{
    BadClusters *bad = g_array_new(false, false, sizeof(BadCluster));
    uint64_t n = 0;

    for (size_t i = 0; i < d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(d, i);
        uint64_t pages = b->length / INPUT_PAGE;

        for (uint64_t page = 0; page < pages; page += CLUSTER_PAGES, n++) {
            BadCluster cluster = { i, page / CLUSTER_PAGES };

            if (cluster_holds_data(d, b, page) &&
                !table_has(index, d, n,
                           cluster_sum(d, b, page, index->table.key))) {
                g_array_append_val(bad, cluster);
            }
        }
    }
    return bad;
}

bool bad_clusters_have(const BadClusters *bad, size_t i, uint64_t page)
{
    for (size_t n = 0; n < bad->len; n++) {
        const BadCluster *c = &g_array_index(bad, BadCluster, n);

        if (c->block == i && c->cluster == page / CLUSTER_PAGES) {
            return true;
        }
    }
    return false;
}

bool bad_clusters_named(const BadClusters *bad, const Decoded *d,
                        const char *text)
{
    for (size_t n = 0; n < bad->len; n++) {
        const BadCluster *c = &g_array_index(bad, BadCluster, n);
        g_autofree char *block = g_strdup_printf(
            "block '%s' offset 0x", decoded_block(d, c->block)->name);
        const char *at = strstr(text, block);

        if (at && g_ascii_strtoull(at + strlen(block), NULL, 16) ==
                  c->cluster * CLUSTER_PAGES * INPUT_PAGE) {
            return true;
        }
    }
    return false;
}

/*
 * fixed-ram: the table of content checksums, read as it is needed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "sums.h"
#include "sumtable.h"

/*
 * The kernel may need 0.1 ms for each MiB that it is asked to read ahead, and
 * what lies in holes is never needed.
 */
#define EXPECT_MAX  (8 * MiB)
#define EXPECT_STEP (64 * KiB)

#define CHUNK_SUMS  (FIXED_RAM_CHUNK_BYTES / sizeof(uint64_t))
/* Enough for pages of 256 bytes; targets have 1 KiB or more. */
#define PAGES_MAX   (FIXED_RAM_CLUSTER_BYTES / 256)

struct FixedRamSumTable {
    unsigned refs;              /* atomic */
    uint64_t offset;            /* in the file */
    uint64_t length;            /* bytes */
    uint64_t key;               /* of the sums */
    GArray *chunk_sums;         /* of uint64_t */
    /*
     * For each chunk its checksums, or NULL until a thread has read them; they
     * stay until the table is freed.  Atomic.
     */
    uint64_t **chunks;
};

FixedRamSumTable *fixed_ram_sumtable_new(const FixedRamIndex *index)
{
    FixedRamSumTable *table;

    if (!index->has_sums || !fixed_ram_sums_built()) {
        return NULL;
    }
    table = g_new0(FixedRamSumTable, 1);
    table->refs = 1;
    table->offset = index->table.offset;
    table->length = index->table.length;
    table->key = index->table.key;
    table->chunk_sums = g_array_ref(index->table.chunk_sums);
    table->chunks = g_new0(uint64_t *, table->chunk_sums->len);
    return table;
}

FixedRamSumTable *fixed_ram_sumtable_ref(FixedRamSumTable *table)
{
    if (table) {
        qatomic_inc(&table->refs);
    }
    return table;
}

void fixed_ram_sumtable_unref(FixedRamSumTable *table)
{
    if (!table || qatomic_fetch_dec(&table->refs) != 1) {
        return;
    }
    for (size_t i = 0; i < table->chunk_sums->len; i++) {
        g_free(table->chunks[i]);
    }
    g_free(table->chunks);
    g_array_unref(table->chunk_sums);
    g_free(table);
}

void fixed_ram_sumtable_expect(const FixedRamSumTable *table,
                               FixedRamSource *source)
{
    uint64_t at = table->offset, left = EXPECT_MAX;
    uint64_t end = table->offset + table->length;

    while (left && (at = fixed_ram_source_next_data(source, at)) < end) {
        fixed_ram_source_expect(source, at, MIN(end - at, EXPECT_STEP));
        at += EXPECT_STEP;
        left -= EXPECT_STEP;
    }
}

/* Read chunk @i and compare its checksum.  The caller frees the result. */
static uint64_t *read_chunk(const FixedRamSumTable *table,
                            FixedRamSource *source, uint64_t i, Error **errp)
{
    uint64_t at = i * FIXED_RAM_CHUNK_BYTES;
    size_t length = MIN(table->length - at, FIXED_RAM_CHUNK_BYTES);
    uint64_t expected = g_array_index(table->chunk_sums, uint64_t, i);
    g_autofree uint64_t *chunk = g_malloc(length);
    uint64_t sum;

    if (!fixed_ram_source_read(source, chunk, length, table->offset + at,
                               errp)) {
        error_prepend(errp, "checksums: ");
        return NULL;
    }
    sum = fixed_ram_sums_get(chunk, length);
    if (sum != expected) {
        error_setg(errp, "snapshot '%s': the checksums at offset 0x%" PRIx64
                   ": checksum 0x%016" PRIx64 ", expected 0x%016" PRIx64,
                   source->name, table->offset + at, sum, expected);
        return NULL;
    }
    return g_steal_pointer(&chunk);
}

/*
 * Several threads may read the same chunk at once.  The first one to finish
 * publishes its copy; the others free theirs and use that one.
 */
static const uint64_t *get_chunk(FixedRamSumTable *table,
                                 FixedRamSource *source, uint64_t i,
                                 Error **errp)
{
    uint64_t *chunk = qatomic_load_acquire(&table->chunks[i]);
    uint64_t *other;

    if (chunk) {
        return chunk;
    }
    chunk = read_chunk(table, source, i, errp);
    if (!chunk) {
        return NULL;
    }
    other = qatomic_cmpxchg(&table->chunks[i], NULL, chunk);
    if (other) {
        g_free(chunk);
        return other;
    }
    return chunk;
}

bool fixed_ram_sumtable_get(FixedRamSumTable *table, FixedRamSource *source,
                            uint64_t cluster, uint64_t *sum, Error **errp)
{
    const uint64_t *chunk;

    assert(cluster < table->length / sizeof(uint64_t));
    chunk = get_chunk(table, source, cluster / CHUNK_SUMS, errp);
    if (!chunk) {
        return false;
    }
    *sum = le64_to_cpu(chunk[cluster % CHUNK_SUMS]);
    return true;
}

uint64_t fixed_ram_sumtable_key(const FixedRamSumTable *table)
{
    return table->key;
}

uint64_t fixed_ram_sumtable_sum_cluster(const FixedRamSumTable *table,
                                        const FixedRamCluster *cluster)
{
    uint64_t sums[PAGES_MAX];

    assert(cluster->pages <= ARRAY_SIZE(sums));
    for (size_t i = 0; i < cluster->pages; i++) {
        sums[i] = test_bit(cluster->page + i, cluster->data)
                  ? fixed_ram_sums_page(table->key, cluster->buf +
                                        i * cluster->page_size,
                                        cluster->page_size)
                  : fixed_ram_sums_zero_page(table->key, cluster->page_size);
    }
    return fixed_ram_sums_cluster(table->key, sums, cluster->pages);
}

bool fixed_ram_sumtable_has_data(const FixedRamCluster *cluster)
{
    uint64_t end = cluster->page + cluster->pages;

    return find_next_bit(cluster->data, end, cluster->page) < end;
}

bool fixed_ram_sumtable_accepts(const FixedRamCluster *cluster,
                                uint64_t found, uint64_t expected)
{
    return found == expected ||
           (!expected && !fixed_ram_sumtable_has_data(cluster));
}

/*
 * fixed-ram: checksums for a load without a guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "migration/fixed-ram/format/sums.h"
#include "rig-sums.h"

#define KEY             0x123456789abcdef0  /* of checksums */
#define CLUSTER_PAGES   (FIXED_RAM_CLUSTER_BYTES / DISK_PAGE)

static uint64_t count_clusters(const FixedRamMap *map)
{
    uint64_t clusters = 0;

    for (size_t i = 0; i < map->blocks->len; i++) {
        clusters +=
            fixed_ram_sums_clusters(fixed_ram_map_block(map, i)->length);
    }
    return clusters;
}

uint64_t rig_sums_reserve(Disk *disk, const FixedRamMap *map)
{
    uint64_t offset = ROUND_UP(disk->size, DISK_PAGE);

    disk->size = offset + ROUND_UP(count_clusters(map) * sizeof(uint64_t),
                                   DISK_PAGE);
    return offset;
}

static bool has_data(const FixedRamBlock *block, uint64_t cluster)
{
    uint64_t page = cluster * CLUSTER_PAGES;
    uint64_t end = MIN(page + CLUSTER_PAGES, block->length / DISK_PAGE);

    return find_next_bit(block->data, end, page) < end;
}

/* By the book: what a page is worth is not left to the code under test. */
static uint64_t sum_cluster(const Disk *disk, const FixedRamBlock *block,
                            uint64_t cluster)
{
    static const uint8_t zeros[DISK_PAGE];
    uint64_t page = cluster * CLUSTER_PAGES;
    uint64_t end = MIN(page + CLUSTER_PAGES, block->length / DISK_PAGE);
    uint64_t sums[CLUSTER_PAGES];
    size_t n = 0;

    for (; page < end; page++) {
        const uint8_t *from = test_bit(page, block->data)
            ? disk->bytes + block->pages_offset + page * DISK_PAGE : zeros;

        sums[n++] = cpu_to_le64(fixed_ram_sums_page(KEY, from, DISK_PAGE));
    }
    return fixed_ram_sums_page(KEY, sums, n * sizeof(*sums));
}

FixedRamSumTable *rig_sums_write(Disk *disk, FixedRamMap *map,
                                 uint64_t offset)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    uint64_t length = count_clusters(map) * sizeof(uint64_t);
    uint8_t *table = disk->bytes + offset;
    uint64_t at = 0;

    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);

        block->first_cluster = at / sizeof(uint64_t);
        for (uint64_t n = 0; n < fixed_ram_sums_clusters(block->length); n++) {
            /* Without data there is a hole, or what older snapshots have. */
            stq_le_p(table + at, n % 2 && !has_data(block, n)
                                 ? 0 : sum_cluster(disk, block, n));
            at += sizeof(uint64_t);
        }
    }
    g_assert_cmpuint(at, ==, length);

    index->has_sums = true;
    index->table.offset = offset;
    index->table.key = KEY;
    index->table.length = length;
    for (at = 0; at < length; at += FIXED_RAM_CHUNK_BYTES) {
        uint64_t n = MIN(length - at, FIXED_RAM_CHUNK_BYTES);
        uint64_t sum = fixed_ram_sums_get(table + at, n);

        g_array_append_val(index->table.chunk_sums, sum);
    }
    return fixed_ram_sumtable_new(index);
}

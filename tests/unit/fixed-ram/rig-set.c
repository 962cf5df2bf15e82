/*
 * fixed-ram: a working set for a load without a guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/units.h"
#include "rig-set.h"

void rig_set_add(FixedRamWorkingSet *set, const FixedRamMap *map,
                 uint32_t block, uint64_t first, uint64_t pages)
{
    const unsigned long *data = fixed_ram_map_block(map, block)->data;

    for (uint64_t page = first; page < first + pages; page++) {
        fixed_ram_working_set_add(set, block, page, 1, test_bit(page, data));
    }
}

/* Some pages of all blocks, scattered, alone and in short runs. */
void rig_set_scattered(FixedRamWorkingSet *set, const FixedRamMap *map)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);

    for (unsigned i = 0; i < 120; i++) {
        uint32_t number = g_rand_int_range(rand, 0, map->blocks->len);
        FixedRamBlock *block = fixed_ram_map_block(map, number);
        /* Few extents, so that the set remains small with large units. */
        uint64_t pages = MIN(block->length, 2 * FIXED_RAM_EXTENT_BYTES) /
                         DISK_PAGE;
        uint64_t first = g_rand_int_range(rand, 0, pages);

        rig_set_add(set, map, number, first,
                    MIN(g_rand_int_range(rand, 1, 6), pages - first));
    }
}

/* Backwards, all pages of all blocks, in runs that cross extents. */
void rig_set_everything(FixedRamWorkingSet *set, const FixedRamMap *map)
{
    for (int i = map->blocks->len - 1; i >= 0; i--) {
        uint64_t pages = fixed_ram_map_block(map, i)->length / DISK_PAGE;

        while (pages) {
            uint32_t n = MIN(pages, 700);

            pages -= n;
            rig_set_add(set, map, i, pages, n);
        }
    }
}

/* By the book: page by page. */
GArray *rig_set_data(const FixedRamWorkingSet *set, const FixedRamMap *map)
{
    GArray *data = g_array_new(false, false, sizeof(uintptr_t));

    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);
        const FixedRamBlock *block = fixed_ram_map_block(map, run->block);

        for (uint64_t n = run->first; n < run->first + run->pages; n++) {
            uintptr_t addr = (uintptr_t)block->host + n * DISK_PAGE;

            if (test_bit(n, block->data)) {
                g_array_append_val(data, addr);
            }
        }
    }
    return data;
}

uint64_t rig_set_bytes(const FixedRamWorkingSet *set, const FixedRamMap *map)
{
    g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) data = rig_set_data(set, map);

    for (size_t i = 0; i < data->len; i++) {
        g_hash_table_add(known, (void *)g_array_index(data, uintptr_t, i));
    }
    return g_hash_table_size(known) * DISK_PAGE;
}

void rig_set_reserve(FixedRamWorkingSet *set, Disk *disk)
{
    set->pack_offset = ROUND_UP(disk->size, MiB);
    set->pack_length = set->data_pages * DISK_PAGE;
    disk->size = set->pack_offset + set->pack_length;
}

void rig_set_pack(FixedRamWorkingSet *set, const FixedRamMap *map, Disk *disk)
{
    g_autoptr(GArray) data = rig_set_data(set, map);
    uint8_t *to = disk->bytes + set->pack_offset;

    g_assert_cmpuint(data->len, ==, set->data_pages);
    for (size_t i = 0; i < data->len; i++) {
        uintptr_t addr = g_array_index(data, uintptr_t, i);
        FixedRamBlock *block = fixed_ram_map_find(map, addr);

        memcpy(to + i * DISK_PAGE, disk->bytes + block->pages_offset +
               (addr - (uintptr_t)block->host), DISK_PAGE);
    }
    for (uint64_t at = 0; at < set->pack_length; at += 64 * KiB) {
        uint64_t sum = fixed_ram_sums_get(
            to + at, MIN(64 * KiB, set->pack_length - at));

        g_array_append_val(set->pack_sums, sum);
    }
}

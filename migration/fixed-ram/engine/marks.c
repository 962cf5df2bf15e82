/*
 * fixed-ram: the units that belong to a working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "marks.h"

void fixed_ram_marks_init(FixedRamMap *map)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);

        g_free(block->marks);
        block->marks = bitmap_new(block->units);
    }
}

bool fixed_ram_marks_set(FixedRamBlock *block, uint64_t unit)
{
    return !test_and_set_bit(unit, block->marks);
}

void fixed_ram_marks_set_run(FixedRamBlock *block, const FixedRamRun *run)
{
    uint64_t first = run->offset / block->unit;
    uint64_t end = DIV_ROUND_UP(run->offset + run->length, block->unit);

    bitmap_set(block->marks, first, end - first);
}

bool fixed_ram_marks_get(const FixedRamBlock *block, uint64_t unit)
{
    return test_bit(unit, block->marks);
}

/*
 * fixed-ram: blocks without memory, for tests of the page map
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "blocks.h"

FixedRamBlock *block_new(const char *name, uint64_t pages, uint64_t unit)
{
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);

    g_strlcpy(block->name, name, sizeof(block->name));
    block->length = pages * PAGE;
    block->page_size = PAGE;
    block->unit = unit;
    block->data = bitmap_new(pages);
    return block;
}

FixedRamBlock *add_full(FixedRamMap *map, const char *name, uint64_t pages,
                        uint64_t unit)
{
    FixedRamBlock *block = block_new(name, pages, unit);

    bitmap_set(block->data, 0, pages);
    fixed_ram_map_add(map, block);
    return block;
}

FixedRamBlock *add_coarse(FixedRamMap *map, uint64_t units, uint64_t unit)
{
    FixedRamBlock *block = block_new("coarse", units, unit);

    block->length = units * unit;
    block->page_size = unit;
    bitmap_set(block->data, 0, units);
    fixed_ram_map_add(map, block);
    return block;
}

/*
 * fixed-ram: which memory is registered with userfaultfd
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "ranges.h"

/*
 * Each range may become a mapping of its own in the kernel, which allows a
 * process about 65,000 of them.
 */
#define RANGES_MAX      1024

/*
 * The next range of @block from @pos on that holds data, in whole extents.
 * Gaps of @gap bytes or more separate ranges.
 */
static bool next_range(const FixedRamBlock *block, uint64_t pos, uint64_t gap,
                       FixedRamRun *range)
{
    uint64_t extent = block->extent_units * block->unit;
    FixedRamRun data;
    uint64_t end;

    if (!fixed_ram_block_next_data(block, pos, block->length, 0, &data)) {
        return false;
    }
    range->offset = ROUND_DOWN(data.offset, extent);
    /* By extents, not by pages: the guest waits for this, and RAM is large. */
    do {
        end = ROUND_UP(data.offset + data.length, extent);
    } while (fixed_ram_block_next_data(block, end, block->length, 0, &data) &&
             ROUND_DOWN(data.offset, extent) - end < gap);
    range->length = MIN(end, block->length) - range->offset;
    return true;
}

static size_t count_ranges(const FixedRamMap *map, uint64_t gap)
{
    size_t count = 0;

    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamRun range = { };

        while (next_range(fixed_ram_map_block(map, i),
                          range.offset + range.length, gap, &range)) {
            count++;
        }
    }
    return count;
}

/* The smallest gap between ranges for which there are not too many of them. */
static uint64_t choose_gap(const FixedRamMap *map)
{
    uint64_t gap = FIXED_RAM_EXTENT_BYTES;

    while (count_ranges(map, gap) > RANGES_MAX && gap < map->total) {
        gap *= 2;
    }
    return gap;
}

static bool register_block(const FixedRamBlock *block, uint64_t gap,
                           FixedRamUffd *uffd, Error **errp)
{
    FixedRamRun range = { };

    while (next_range(block, range.offset + range.length, gap, &range)) {
        if (!fixed_ram_uffd_register(uffd, block->host + range.offset,
                                     range.length, errp)) {
            return false;
        }
    }
    return true;
}

bool fixed_ram_ranges_register(const FixedRamMap *map, FixedRamUffd *uffd,
                               Error **errp)
{
    ERRP_GUARD();
    uint64_t gap = choose_gap(map);

    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);

        if (!register_block(block, gap, uffd, errp)) {
            error_prepend(errp, "block '%s': ", block->name);
            return false;
        }
    }
    return true;
}

void fixed_ram_ranges_unregister(const FixedRamMap *map, FixedRamUffd *uffd)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);

        fixed_ram_uffd_unregister(uffd, block->host, block->length);
    }
}

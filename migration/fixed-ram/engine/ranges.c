/*
 * fixed-ram: which memory is registered with userfaultfd
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/host-utils.h"
#include "ranges.h"

/*
 * Each range may become a mapping of its own in the kernel, which allows a
 * process about 65,000 of them.
 */
#define RANGES_MAX      1024

/* Lengths of gaps: 2 MiB, 4 MiB and so on, as far as an address can count. */
#define GAPS            43

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

/*
 * Count the ranges of @block by the length of the gap before them: @counts[N]
 * is for gaps from 2^N extents on.  The first range is always one of its own.
 */
static void count_ranges(const FixedRamBlock *block, size_t counts[GAPS])
{
    unsigned n = GAPS - 1;
    FixedRamRun range;
    uint64_t end = 0;

    while (next_range(block, end, FIXED_RAM_EXTENT_BYTES, &range)) {
        if (end) {
            n = 63 - clz64((range.offset - end) / FIXED_RAM_EXTENT_BYTES);
        }
        counts[n]++;
        end = range.offset + range.length;
    }
}

/* The smallest gap between ranges for which there are not too many of them. */
static uint64_t choose_gap(const FixedRamMap *map)
{
    size_t counts[GAPS] = { }, sum = 0;
    unsigned n = GAPS;

    for (size_t i = 0; i < map->blocks->len; i++) {
        count_ranges(fixed_ram_map_block(map, i), counts);
    }
    while (n && sum + counts[n - 1] <= RANGES_MAX) {
        sum += counts[--n];
    }
    return FIXED_RAM_EXTENT_BYTES << MIN(n, GAPS - 1);
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

/*
 * fixed-ram: the page map: the state of each page of each block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "map.h"
#include "../format/sums.h"

static void block_free(void *opaque)
{
    FixedRamBlock *block = opaque;

    g_free(block->data);
    g_free(block->parts);
    g_free(block->pending);
    g_free(block->absent);
    g_free(block->whole);
    g_free(block->marks);
    g_free(block);
}

FixedRamMap *fixed_ram_map_new(void)
{
    FixedRamMap *map = g_new0(FixedRamMap, 1);

    map->blocks = g_ptr_array_new_with_free_func(block_free);
    return map;
}

void fixed_ram_map_free(FixedRamMap *map)
{
    if (map) {
        g_ptr_array_unref(map->blocks);
        g_free(map);
    }
}

/* With units of one page the bitmaps have the same shape: copy what is set. */
static void copy_pages(FixedRamBlock *block)
{
    uint64_t parts = fixed_ram_sparse_parts(block->units);
    uint64_t words = BITS_TO_LONGS(block->units);

    for (uint64_t part = find_first_bit(block->parts, parts); part < parts;
         part = find_next_bit(block->parts, parts, part + 1)) {
        uint64_t first = part * FIXED_RAM_PART_WORDS;
        size_t n = MIN(words - first, FIXED_RAM_PART_WORDS);

        memcpy(block->pending + first, block->data + first, n * sizeof(long));
        memcpy(block->absent + first, block->data + first, n * sizeof(long));
        block->wanted += bitmap_count_one(block->data + first,
                                          n * BITS_PER_LONG) * block->unit;
    }
}

static void set_units(FixedRamBlock *block)
{
    FixedRamRun run;
    uint64_t pos = 0;

    while (fixed_ram_block_next_data(block, pos, block->length, 0, &run)) {
        uint64_t first = run.offset / block->unit;
        uint64_t end = DIV_ROUND_UP(run.offset + run.length, block->unit);

        bitmap_set(block->pending, first, end - first);
        bitmap_set(block->absent, first, end - first);
        block->wanted += (end - first) * block->unit;
        pos = MIN(end * block->unit, block->length);
    }
}

void fixed_ram_map_add(FixedRamMap *map, FixedRamBlock *block)
{
    if (!block->parts) {
        block->parts = fixed_ram_sparse_scan(block->data, block->length /
                                                          block->page_size);
    }
    block->number = map->blocks->len;
    block->units = block->length / block->unit;
    block->extent_units = MIN(MAX(FIXED_RAM_EXTENT_BYTES / block->unit, 1),
                              FIXED_RAM_EXTENT_WORDS * BITS_PER_LONG);
    block->extents = DIV_ROUND_UP(block->units, block->extent_units);
    block->first_extent = map->extents;
    block->pending = bitmap_new(block->units);
    block->absent = bitmap_new(block->units);
    block->whole = bitmap_new(block->extents);
    if (block->unit == block->page_size) {
        copy_pages(block);
    } else {
        set_units(block);
    }
    map->extents += block->extents;
    map->total += block->length;
    map->wanted += block->wanted;
    map->left += block->wanted;
    g_ptr_array_add(map->blocks, block);
}

FixedRamBlock *fixed_ram_map_find(const FixedRamMap *map, uintptr_t addr)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);

        if (addr - (uintptr_t)block->host < block->length) {
            return block;
        }
    }
    return NULL;
}

bool fixed_ram_map_received(const FixedRamBlock *block, uint64_t unit)
{
    unsigned long word = qatomic_load_acquire(&block->absent[BIT_WORD(unit)]);

    return !(word & BIT_MASK(unit));
}

void fixed_ram_map_absent(const FixedRamBlock *block, unsigned long *pages)
{
    uint64_t per_unit = block->unit / block->page_size;
    uint64_t unit = find_first_bit(block->absent, block->units);

    while (unit < block->units) {
        if (!fixed_ram_map_received(block, unit)) {
            bitmap_set(pages, unit * per_unit, per_unit);
        }
        unit = find_next_bit(block->absent, block->units, unit + 1);
    }
    /* The caller looks at the memory next. */
    smp_rmb();
}

bool fixed_ram_map_is_zero(const FixedRamBlock *block, uint64_t unit)
{
    uint64_t pos = unit * block->unit;
    FixedRamRun data;

    return !fixed_ram_block_next_data(block, pos, pos + block->unit, 0, &data);
}

bool fixed_ram_map_was_claimed(const FixedRamBlock *block, uint64_t unit)
{
    return unit < block->units &&
           !(qatomic_read(&block->pending[BIT_WORD(unit)]) & BIT_MASK(unit)) &&
           !fixed_ram_map_is_zero(block, unit);
}

size_t fixed_ram_map_extent(const FixedRamBlock *block, uint64_t unit)
{
    return block->first_extent + unit / block->extent_units;
}

/* Make @claim an empty one in extent number @extent of @block. */
static void claim_init(FixedRamClaim *claim, FixedRamBlock *block,
                       size_t extent)
{
    *claim = (FixedRamClaim) {
        .block = block,
        .extent = extent,
        .word = BIT_WORD(extent * block->extent_units),
    };
}

bool fixed_ram_map_claim_around(FixedRamBlock *block, uint64_t unit,
                                unsigned span, FixedRamClaim *claim)
{
    size_t word = BIT_WORD(unit);
    unsigned first = ROUND_DOWN(unit % BITS_PER_LONG, span);
    unsigned long group = MAKE_64BIT_MASK(first, span);
    unsigned long old = qatomic_read(&block->pending[word]);

    /*
     * Another thread may claim the unit meanwhile; a fetch-and would then claim
     * the neighbours only.  Returning them is not enough: a fault thread may
     * have seen them claimed, and relies on this thread to place them.
     */
    do {
        unsigned long seen;

        if (!(old & BIT_MASK(unit))) {
            return false;
        }
        seen = qatomic_cmpxchg(&block->pending[word], old, old & ~group);
        if (seen == old) {
            break;
        }
        old = seen;
    } while (true);

    claim_init(claim, block, unit / block->extent_units);
    claim->mask[word - claim->word] = old & group;
    return true;
}

/* The block of extent number @extent of the map. */
static FixedRamBlock *map_extent_block(const FixedRamMap *map, size_t extent)
{
    size_t low = 0, high = map->blocks->len - 1;

    while (low < high) {
        size_t mid = (low + high + 1) / 2;

        if (fixed_ram_map_block(map, mid)->first_extent <= extent) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    return fixed_ram_map_block(map, low);
}

/*
 * Should a huge page back this extent?  It must be a full extent of a block
 * that may have huge pages, and at least half of it must be data: else a huge
 * page wastes memory.  With units of one page the bitmaps of pages and of units
 * have the same shape.
 */
static bool extent_is_huge(const FixedRamBlock *block, size_t extent)
{
    uint64_t units = block->extent_units;

    return block->huge && block->unit == block->page_size &&
           units == FIXED_RAM_EXTENT_WORDS * BITS_PER_LONG &&
           units * block->unit == FIXED_RAM_EXTENT_BYTES &&
           (extent + 1) * units <= block->units &&
           bitmap_count_one_with_offset(block->data, extent * units, units) >=
           units / 2;
}

bool fixed_ram_map_may_be_huge(const FixedRamBlock *block, uint64_t unit)
{
    return extent_is_huge(block, unit / block->extent_units);
}

/* Claim the missing units among @wish in word number @i of the extent. */
static bool claim_word(FixedRamClaim *claim, size_t i, unsigned long wish)
{
    unsigned long *word = &claim->block->pending[claim->word + i];

    if (qatomic_read(word) & wish) {
        claim->mask[i] = qatomic_fetch_and(word, ~wish) & wish;
    }
    return claim->mask[i];
}

bool fixed_ram_map_claim_run(FixedRamBlock *block, const FixedRamRun *run,
                             FixedRamClaim *claim)
{
    uint64_t unit = run->offset / block->unit;
    uint64_t end = unit + run->length / block->unit;
    bool any = false;

    claim_init(claim, block, unit / block->extent_units);
    while (unit < end) {
        unsigned bit = unit % BITS_PER_LONG;
        unsigned count = MIN(end - unit, BITS_PER_LONG - bit);

        any |= claim_word(claim, BIT_WORD(unit) - claim->word,
                          MAKE_64BIT_MASK(bit, count));
        unit += count;
    }
    return any;
}

/* Could one huge page still back the extent: is all of its data missing? */
static bool extent_is_intact(const FixedRamBlock *block, size_t extent)
{
    size_t word = extent * FIXED_RAM_EXTENT_WORDS;

    if (!extent_is_huge(block, extent)) {
        return false;
    }
    for (size_t i = word; i < word + FIXED_RAM_EXTENT_WORDS; i++) {
        if (qatomic_read(&block->pending[i]) != block->data[i]) {
            return false;
        }
    }
    return true;
}

/* Claim in extent number @extent of @block: @all of it, or one word of it. */
static bool claim_extent(FixedRamBlock *block, size_t extent, bool all,
                         FixedRamClaim *claim)
{
    uint64_t unit = extent * block->extent_units;
    uint64_t end = MIN(unit + block->extent_units, block->units);
    bool any = false;

    claim_init(claim, block, extent);
    for (size_t i = 0; unit < end && (all || !any); i++) {
        unsigned bit = unit % BITS_PER_LONG;
        unsigned count = MIN(end - unit, BITS_PER_LONG - bit);

        any |= claim_word(claim, i, MAKE_64BIT_MASK(bit, count));
        unit += count;
    }
    return any;
}

bool fixed_ram_map_claim_intact(FixedRamBlock *block, uint64_t unit,
                                FixedRamClaim *claim)
{
    size_t extent = unit / block->extent_units;

    return extent_is_intact(block, extent) &&
           claim_extent(block, extent, true, claim);
}

bool fixed_ram_map_claim_in(FixedRamMap *map, size_t extent, bool all,
                            FixedRamClaim *claim)
{
    FixedRamBlock *block = map_extent_block(map, extent);

    extent -= block->first_extent;
    return claim_extent(block, extent,
                        all || extent_is_intact(block, extent), claim);
}

/* The first extent of @block from extent @from on that has data. */
static size_t next_extent(const FixedRamBlock *block, size_t from)
{
    uint64_t extent_pages = block->extent_units * block->unit /
                            block->page_size;
    uint64_t pages = block->length / block->page_size;
    uint64_t page = fixed_ram_sparse_next(block->data, block->parts, pages,
                                          from * extent_pages);

    return page < pages ? page / extent_pages : block->extents;
}

/*
 * The first extent of the map from extent @from on that has data, or the first
 * one of the next block.
 */
static size_t map_next_extent(const FixedRamMap *map, size_t from)
{
    const FixedRamBlock *block;

    if (from >= map->extents) {
        return map->extents;
    }
    block = map_extent_block(map, from);
    return block->first_extent + next_extent(block, from - block->first_extent);
}

/* Move the map's cursor behind the next extent; false if there is none. */
static bool take_extent(FixedRamMap *map, size_t *extent)
{
    size_t from, seen = qatomic_read(&map->cursor);

    do {
        from = seen;
        *extent = map_next_extent(map, from);
        if (*extent == map->extents) {
            return false;
        }
        seen = qatomic_cmpxchg(&map->cursor, from, *extent + 1);
    } while (seen != from);
    return true;
}

bool fixed_ram_map_claim_next(FixedRamMap *map, FixedRamCursor *cursor,
                              bool all, FixedRamClaim *claim)
{
    while (!cursor->valid ||
           !fixed_ram_map_claim_in(map, cursor->extent, all, claim)) {
        cursor->valid = take_extent(map, &cursor->extent);
        if (!cursor->valid) {
            return false;
        }
    }
    return true;
}

void fixed_ram_map_return(const FixedRamClaim *claim)
{
    for (size_t i = 0; i < FIXED_RAM_EXTENT_WORDS; i++) {
        if (claim->mask[i]) {
            qatomic_or(&claim->block->pending[claim->word + i],
                       claim->mask[i]);
        }
    }
}

bool fixed_ram_map_receive(FixedRamMap *map, FixedRamBlock *block,
                           const FixedRamRun *run, uint64_t bytes)
{
    uint64_t unit = run->offset / block->unit;
    uint64_t end = unit + run->length / block->unit;

    while (unit < end) {
        unsigned bit = unit % BITS_PER_LONG;
        unsigned count = MIN(end - unit, BITS_PER_LONG - bit);

        /* A full barrier: the page is in place before the bit is clear. */
        qatomic_and(&block->absent[BIT_WORD(unit)],
                    ~MAKE_64BIT_MASK(bit, count));
        unit += count;
    }
    return qatomic_fetch_sub(&map->left, bytes) == bytes && bytes;
}

void fixed_ram_map_rewind(FixedRamMap *map)
{
    qatomic_set(&map->cursor, 0);
}

uint64_t fixed_ram_map_left(const FixedRamMap *map)
{
    /* A thread that sees 0 here must also see all pages in place. */
    return qatomic_load_acquire(&map->left);
}

void fixed_ram_map_set_whole(const FixedRamClaim *claim)
{
    set_bit_atomic(claim->extent, claim->block->whole);
}

GPtrArray *fixed_ram_map_split_extents(const FixedRamMap *map)
{
    GPtrArray *split = g_ptr_array_new();

    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);

        for (size_t extent = next_extent(block, 0); extent < block->extents;
             extent = next_extent(block, extent + 1)) {
            if (!test_bit(extent, block->whole) &&
                extent_is_huge(block, extent)) {
                g_ptr_array_add(split, block->host +
                                extent * FIXED_RAM_EXTENT_BYTES);
            }
        }
    }
    return split;
}

bool fixed_ram_block_next_data(const FixedRamBlock *block, uint64_t pos,
                               uint64_t end, uint64_t gap, FixedRamRun *run)
{
    uint64_t size = block->page_size;
    uint64_t last = end / size, to;
    uint64_t from = fixed_ram_sparse_next_run(block->data, block->parts, last,
                                              pos / size, gap / size, &to);

    if (from >= last) {
        return false;
    }
    run->offset = from * size;
    run->length = (to - from) * size;
    return true;
}

/*
 * fixed-ram: the page map, who reads which page and what is there already
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "map.h"

static void block_free(void *opaque)
{
    FixedRamBlock *block = opaque;

    g_free(block->data);
    g_free(block->pending);
    g_free(block->received);
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

/* Mark as missing the units that hold data; returns how many. */
static uint64_t block_init_units(FixedRamBlock *block)
{
    FixedRamRun run = { };
    uint64_t pos = 0;

    while (fixed_ram_block_next_data(block, pos, block->length, &run)) {
        uint64_t first = run.offset / block->unit;
        uint64_t end = DIV_ROUND_UP(run.offset + run.length, block->unit);

        bitmap_set(block->pending, first, end - first);
        bitmap_clear(block->received, first, end - first);
        pos = MIN(end * block->unit, block->length);
    }
    return bitmap_count_one(block->pending, block->units);
}

void fixed_ram_map_add(FixedRamMap *map, FixedRamBlock *block)
{
    uint64_t wanted;

    block->units = block->length / block->unit;
    block->first_word = map->words;
    block->pending = bitmap_new(block->units);
    block->received = bitmap_new(block->units);
    bitmap_set(block->received, 0, block->units);

    wanted = block_init_units(block) * block->unit;
    map->words += BITS_TO_LONGS(block->units);
    map->total += block->length;
    map->wanted += wanted;
    map->left += wanted;
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
    unsigned long word = qatomic_load_acquire(&block->received[BIT_WORD(unit)]);

    return word & BIT_MASK(unit);
}

/* Claim the missing units among @wish in word number @word of @block. */
static bool claim_units(FixedRamBlock *block, size_t word, unsigned long wish,
                        FixedRamClaim *claim)
{
    unsigned long old = qatomic_fetch_and(&block->pending[word], ~wish);

    *claim = (FixedRamClaim) {
        .block = block, .word = word, .mask = old & wish,
    };
    return claim->mask;
}

bool fixed_ram_map_claim_around(FixedRamBlock *block, uint64_t unit,
                                unsigned span, FixedRamClaim *claim)
{
    size_t word = BIT_WORD(unit);
    unsigned first = ROUND_DOWN(unit % BITS_PER_LONG, span);
    unsigned long group = MAKE_64BIT_MASK(first, span);
    unsigned long old = qatomic_read(&block->pending[word]);
    unsigned long new;

    /*
     * A plain fetch-and could win the neighbours and lose the unit itself.
     * Giving them back would need a wake-up for whoever asked in between.
     */
    do {
        if (!(old & BIT_MASK(unit))) {
            return false;
        }
        new = old & ~group;
        unsigned long seen = qatomic_cmpxchg(&block->pending[word], old, new);
        if (seen == old) {
            break;
        }
        old = seen;
    } while (true);

    *claim = (FixedRamClaim) {
        .block = block, .word = word, .mask = old & group,
    };
    return true;
}

/* The block of word number @word of the map. */
static FixedRamBlock *map_word_block(const FixedRamMap *map, size_t word)
{
    size_t low = 0, high = map->blocks->len - 1;

    while (low < high) {
        size_t mid = (low + high + 1) / 2;

        if (fixed_ram_map_block(map, mid)->first_word <= word) {
            low = mid;
        } else {
            high = mid - 1;
        }
    }
    return fixed_ram_map_block(map, low);
}

/* The lowest of the units in @units, and those up to @span after it. */
static unsigned long lowest_units(unsigned long units, uint64_t span)
{
    if (!units || span >= BITS_PER_LONG) {
        return units;
    }
    return units & (MAKE_64BIT_MASK(0, span) << ctz64(units));
}

bool fixed_ram_map_claim_next(FixedRamMap *map, FixedRamCursor *cursor,
                              uint64_t bytes, FixedRamClaim *claim)
{
    while (true) {
        FixedRamBlock *block;
        unsigned long wish;
        size_t word;

        if (!cursor->valid) {
            /* The plain read keeps the cursor from running away. */
            if (qatomic_read(&map->cursor) >= map->words) {
                return false;
            }
            cursor->word = qatomic_fetch_inc(&map->cursor);
            if (cursor->word >= map->words) {
                return false;
            }
            cursor->valid = true;
        }

        block = map_word_block(map, cursor->word);
        word = cursor->word - block->first_word;
        wish = lowest_units(qatomic_read(&block->pending[word]),
                            MAX(bytes / block->unit, 1));
        if (!wish) {
            cursor->valid = false;
        } else if (claim_units(block, word, wish, claim)) {
            return true;
        }
    }
}

void fixed_ram_map_return(const FixedRamClaim *claim)
{
    qatomic_or(&claim->block->pending[claim->word], claim->mask);
}

bool fixed_ram_map_receive(FixedRamMap *map, const FixedRamClaim *claim)
{
    uint64_t bytes = ctpop64(claim->mask) * claim->block->unit;

    /* A full barrier: the page is in place before the bit says so. */
    qatomic_or(&claim->block->received[claim->word], claim->mask);
    return qatomic_fetch_sub(&map->left, bytes) == bytes;
}

void fixed_ram_map_rewind(FixedRamMap *map)
{
    qatomic_set(&map->cursor, 0);
}

uint64_t fixed_ram_map_left(const FixedRamMap *map)
{
    /* Whoever sees that nothing is left sees the pages in place, too. */
    return qatomic_load_acquire(&map->left);
}

bool fixed_ram_claim_cut(FixedRamClaim *claim, FixedRamClaim *part,
                         FixedRamRun *run)
{
    uint64_t unit = claim->block->unit;
    unsigned first, count;

    if (!claim->mask) {
        return false;
    }
    first = ctz64(claim->mask);
    count = cto64(claim->mask >> first);

    *part = *claim;
    part->mask = MAKE_64BIT_MASK(first, count);
    claim->mask &= ~part->mask;
    run->offset = (claim->word * BITS_PER_LONG + first) * unit;
    run->length = count * unit;
    return true;
}

bool fixed_ram_block_next_data(const FixedRamBlock *block, uint64_t pos,
                               uint64_t end, FixedRamRun *run)
{
    uint64_t last = end / block->page_size;
    uint64_t from = find_next_bit(block->data, last, pos / block->page_size);
    uint64_t to;

    if (from >= last) {
        return false;
    }
    to = find_next_zero_bit(block->data, last, from);
    run->offset = from * block->page_size;
    run->length = (to - from) * block->page_size;
    return true;
}

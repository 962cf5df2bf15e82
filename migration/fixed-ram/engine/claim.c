/*
 * fixed-ram: what a thread has claimed of an extent
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "claim.h"
#include "../format/sums.h"

FixedRamRun fixed_ram_claim_extent(const FixedRamClaim *claim)
{
    const FixedRamBlock *block = claim->block;
    uint64_t bytes = block->extent_units * block->unit;
    uint64_t offset = claim->extent * bytes;

    return (FixedRamRun) {
        .offset = offset, .length = MIN(bytes, block->length - offset),
    };
}

uint64_t fixed_ram_claim_bytes(const FixedRamClaim *claim)
{
    return bitmap_count_one(claim->mask,
                            FIXED_RAM_EXTENT_WORDS * BITS_PER_LONG) *
           claim->block->unit;
}

/* Where in the mask of @claim the unit at @offset of the block has its bit. */
static size_t claim_bit(const FixedRamClaim *claim, uint64_t offset)
{
    return offset / claim->block->unit - claim->word * BITS_PER_LONG;
}

uint64_t fixed_ram_claim_bytes_in(const FixedRamClaim *claim,
                                  const FixedRamRun *run)
{
    uint64_t unit = claim->block->unit;

    return bitmap_count_one_with_offset(claim->mask,
                                        claim_bit(claim, run->offset),
                                        run->length / unit) * unit;
}

bool fixed_ram_claim_has(const FixedRamClaim *claim, uint64_t offset)
{
    return test_bit(claim_bit(claim, offset), claim->mask);
}

static bool may_be_huge(const FixedRamClaim *claim)
{
    const FixedRamBlock *block = claim->block;

    return fixed_ram_map_may_be_huge(block,
                                     claim->extent * block->extent_units);
}

bool fixed_ram_claim_is_whole(const FixedRamClaim *claim)
{
    return may_be_huge(claim) &&
           !memcmp(claim->mask, claim->block->data + claim->word,
                   sizeof(claim->mask));
}

bool fixed_ram_claim_is_most(const FixedRamClaim *claim)
{
    const FixedRamBlock *block = claim->block;
    uint64_t bits = FIXED_RAM_EXTENT_WORDS * BITS_PER_LONG;

    return may_be_huge(claim) &&
           bitmap_count_one(claim->mask, bits) >=
           bitmap_count_one(block->data + claim->word, bits) / 4 * 3;
}

bool fixed_ram_claim_completes(const FixedRamClaim *claim)
{
    for (size_t i = 0; i < FIXED_RAM_EXTENT_WORDS; i++) {
        size_t word = claim->word + i;

        if (qatomic_load_acquire(&claim->block->absent[word]) &
            ~claim->mask[i]) {
            return false;
        }
    }
    return true;
}

bool fixed_ram_claim_next(const FixedRamClaim *claim, uint64_t pos,
                          uint64_t gap, FixedRamRun *run)
{
    const uint64_t bits = FIXED_RAM_EXTENT_WORDS * BITS_PER_LONG;
    uint64_t unit = claim->block->unit;
    uint64_t base = claim->word * BITS_PER_LONG * unit;
    uint64_t end;
    uint64_t first = fixed_ram_sparse_next_run(claim->mask, NULL, bits,
                                               pos > base
                                               ? DIV_ROUND_UP(pos - base, unit)
                                               : 0, gap / unit, &end);

    if (first >= bits) {
        return false;
    }
    run->offset = base + first * unit;
    run->length = (end - first) * unit;
    return true;
}

bool fixed_ram_claim_next_padded(const FixedRamClaim *claim, FixedRamRun *run)
{
    const FixedRamBlock *block = claim->block;
    FixedRamRun extent = fixed_ram_claim_extent(claim);
    uint64_t size = block->unit;        /* of a page, where it matters */
    uint64_t pos, end;

    if (!fixed_ram_claim_next(claim, 0, 0, run)) {
        return false;
    }
    if (!may_be_huge(claim)) {
        return true;
    }
    pos = run->offset;
    while (pos % FIXED_RAM_CLUSTER_BYTES &&
           fixed_ram_map_is_zero(block, pos / size - 1)) {
        pos -= size;
    }
    end = run->offset + run->length;
    while (end < extent.offset + extent.length &&
           (fixed_ram_claim_has(claim, end) ||
            (end % FIXED_RAM_CLUSTER_BYTES &&
             fixed_ram_map_is_zero(block, end / size)))) {
        end += size;
    }
    run->offset = pos;
    run->length = end - pos;
    return true;
}

void fixed_ram_claim_drop(FixedRamClaim *claim, const FixedRamRun *run)
{
    bitmap_clear(claim->mask, claim_bit(claim, run->offset),
                 run->length / claim->block->unit);
}

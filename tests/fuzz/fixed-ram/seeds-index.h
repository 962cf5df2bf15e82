/*
 * fixed-ram: superblock and index for seeds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_SEEDS_INDEX_H
#define TESTS_FUZZ_FIXED_RAM_SEEDS_INDEX_H

#include "seeds.h"

typedef enum SeedIndex {
    INDEX_NONE,                 /* as stock QEMU writes it */
    INDEX_CUT_OFF,              /* the save has not come to its end */
    INDEX_BARE,                 /* no more than there must be */
    INDEX_SUMS,
    INDEX_FULL,
    INDEX_LATER,                /* has an unknown section; the file goes on */
} SeedIndex;

typedef enum SeedSet {
    SEED_SET_NONE,
    SEED_SET_RECORDED,               /* without a packed copy */
    SEED_SET_PACKED,
    SEED_SET_GUESSED,
    SEED_SET_LARGE,                  /* nearly all pages, packed */
} SeedSet;

/**
 * seed_add_index(): to a snapshot that is complete otherwise
 *
 * @layers: number of those of a delta, which have been added; 0: it is full
 */
void seed_add_index(Seed *s, SeedIndex kind, SeedSet set, unsigned layers);

/**
 * seed_seal(): make the metadata's checksums right again
 *
 * @input: a mutation of a seed, of @size bytes
 * @superblock: where it has its superblock
 */
void seed_seal(uint8_t *input, size_t size, uint32_t superblock);

#endif

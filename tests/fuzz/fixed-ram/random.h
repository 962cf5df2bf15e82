/*
 * fixed-ram: numbers that look random, the same ones everywhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_RANDOM_H
#define TESTS_FUZZ_FIXED_RAM_RANDOM_H

typedef struct Random {
    uint64_t state;
} Random;

/* splitmix64: any state is a good one. */
static inline uint64_t random_u64(Random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

/* A number below @limit, which is not 0. */
static inline uint64_t random_below(Random *r, uint64_t limit)
{
    return random_u64(r) % limit;
}

#endif

/*
 * fixed-ram: working sets for seeds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_SEEDS_SET_H
#define TESTS_FUZZ_FIXED_RAM_SEEDS_SET_H

#include "seeds-writer.h"

/** seed_put_set(): the packed copy, if there is to be one, and the list */
void seed_put_set(SeedWriter *w);

/** seed_put_set_section(), seed_put_space(): what sections contain */
void seed_put_set_section(SeedWriter *w);
void seed_put_space(SeedWriter *w);

/**
 * seed_seal_set(): make the checksum of the list right again
 *
 * @in: the input; @index: where the index is in the file
 * @input: the same bytes as @in has, @size of them
 */
void seed_seal_set(const Input *in, uint8_t *input, size_t size,
                   uint64_t index, uint64_t length);

#endif

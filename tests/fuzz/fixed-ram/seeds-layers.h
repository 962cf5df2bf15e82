/*
 * fixed-ram: layers of deltas among the seeds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_SEEDS_LAYERS_H
#define TESTS_FUZZ_FIXED_RAM_SEEDS_LAYERS_H

#include "seeds-writer.h"

/** seed_plan_layers(): choose the layer of each cluster, for w->d */
void seed_plan_layers(SeedWriter *w);

/** seed_put_map(), seed_put_layers(): the map, and the section's payload */
void seed_put_map(SeedWriter *w);
void seed_put_layers(SeedWriter *w);

/**
 * seed_seal_layers(): make the checksum of the map right again
 *
 * @in: the input; @index: where the index is in the file
 * @input: the same bytes as @in has, @size of them
 */
void seed_seal_layers(const Input *in, uint8_t *input, size_t size,
                      uint64_t index, uint64_t length);

#endif

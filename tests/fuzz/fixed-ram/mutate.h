/*
 * fixed-ram: snapshots that are nearly good ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_MUTATE_H
#define TESTS_FUZZ_FIXED_RAM_MUTATE_H

#include "random.h"

/**
 * mutate(): an input made of one of @seeds
 *
 * The same state of @random gives the same input.
 */
GByteArray *mutate(const GPtrArray *seeds, Random *random);

#endif

/*
 * fixed-ram: plain migration streams to begin fuzzing with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_SEEDS_PLAIN_H
#define TESTS_FUZZ_FIXED_RAM_SEEDS_PLAIN_H

#include "seeds.h"

/** seeds_add_plain(): add them to @seeds; no load takes one */
void seeds_add_plain(GPtrArray *seeds);

#endif

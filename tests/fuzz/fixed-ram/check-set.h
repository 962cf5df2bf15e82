/*
 * fixed-ram: what holds for every working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_CHECK_SET_H
#define TESTS_FUZZ_FIXED_RAM_CHECK_SET_H

#include "migration/fixed-ram/format/working-set.h"
#include "decode.h"

/* As decode.h they share nothing with the code under test. */

/**
 * check_set_section(): is what was taken what the section says, and possible?
 *
 * @at, @length: the section's payload in the file
 */
void check_set_section(const FixedRamIndex *index,
                       const FixedRamSuperblock *sb, const Decoded *d,
                       uint64_t at, uint64_t length);

/** check_set(): the same for a list that was taken */
void check_set(const FixedRamWorkingSet *set, const FixedRamIndex *index,
               const Decoded *d);

/**
 * packed_page(): what the packed copy has for a page of block number @i
 *
 * @verified: only if the checksum of its chunk is right
 *
 * Returns false if it has nothing.
 */
bool packed_page(const FixedRamWorkingSet *set, const Decoded *d, size_t i,
                 uint64_t page, bool verified, uint8_t *buf);

#endif

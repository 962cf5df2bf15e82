/*
 * fixed-ram: what holds for every superblock and index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_CHECK_INDEX_H
#define TESTS_FUZZ_FIXED_RAM_CHECK_INDEX_H

#include "migration/fixed-ram/format/index.h"
#include "decode.h"

/* As decode.h they share nothing with the code under test. */

/** check_superblock(): is it what the file says, and possible? */
void check_superblock(const FixedRamSuperblock *sb, const Decoded *d);

/** check_index(): the same for an index that was taken */
void check_index(const FixedRamIndex *index, const FixedRamSuperblock *sb,
                 const Decoded *d);

/** check_verified(): the stream has been found to be what was saved */
void check_verified(const FixedRamIndex *index, const Decoded *d);

/** check_table_sum(): is this the sum of cluster number @cluster? */
void check_table_sum(const FixedRamIndex *index, const Decoded *d,
                     uint64_t cluster, uint64_t sum);

/** check_crc32c(): bit by bit */
uint32_t check_crc32c(const uint8_t *bytes, size_t length);

#endif

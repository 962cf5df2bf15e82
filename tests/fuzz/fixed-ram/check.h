/*
 * fixed-ram: what holds for every snapshot and every error
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_CHECK_H
#define TESTS_FUZZ_FIXED_RAM_CHECK_H

#include "migration/fixed-ram/format/ramsection.h"
#include "decode.h"

/** check_error(): does it name the file and an offset?  Frees it. */
void check_error(Error *err);

/** check_snapshot(): is all of it possible, and what the file says? */
void check_snapshot(const FixedRamRamSection *s, const Decoded *d);

/** check_bitmap(): the same for a block's bitmap; number @i of @d. */
void check_bitmap(const unsigned long *bitmap, const Decoded *d, size_t i);

#endif

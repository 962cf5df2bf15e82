/*
 * What scenarios of deltas are made of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_DELTA_H
#define TEST_FIXED_RAM_DELTA_H

#include "qemu/units.h"
#include "migration/fixed-ram-scenario.h"

/*
 * "other" is the base, "copy" a full snapshot of the same moment as the delta,
 * which is the scenario's snapshot.  What is loaded from the delta must be what
 * "copy" holds.
 */

/* In the pattern, where no page is zero and where every other one is. */
#define FRT_CHANGED         (PATTERN_START + 4 * MiB)
#define FRT_CHANGED_BYTES   (300 * KiB)

/* The parameter fixed-ram-base; "" is none. */
void frt_set_base(QTestState *qts, const char *name);

/* Save the source's guest, which is stopped, as the base. */
void frt_save_base(FixedRamTest *t);
/* frt_start() and all up to the base; false if the scenario is skipped. */
bool frt_delta_begin(FixedRamTest *t);

/* A new loading side with what @name holds, and with more options. */
void frt_load_target(FixedRamTest *t, const char *name);
void frt_load_target_with(FixedRamTest *t, const char *name, const char *opts);

/* A run of pages, single ones, pages that become zero, and one that was. */
void frt_delta_change(QTestState *qts);

/* The loading side, which has not run, saves what it has. */
void frt_save_target(FixedRamTest *t, const char *base, const char *name);

/* The loading side has what @name holds, or the pattern has these bytes. */
void frt_assert_loaded(FixedRamTest *t, const char *name);
void frt_assert_pattern(QTestState *qts, const uint8_t *want);
/* The bitmaps of the delta are those of "copy". */
void frt_assert_delta_bitmaps(FixedRamTest *t);

/* All of this: up to the delta, and a loading side that is to load it. */
bool frt_delta_prepare(FixedRamTest *t);

/* What the file takes on the disk. */
uint64_t frt_disk_bytes(const char *name);

#endif

/*
 * What scenarios of live saves are made of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_LIVE_H
#define TEST_FIXED_RAM_LIVE_H

#include "qemu/units.h"
#include "migration/fixed-ram-scenario.h"

/* The guest's memory is smaller, so pages of all its blocks lie before this. */
#define FRT_LIVE_PAGES_END  (150 * MiB)

/* Before frt_start(); false if the scenario is skipped. */
bool frt_live_start(FixedRamTest *t);
void frt_live_begin(FixedRamTest *t);

/*
 * The same with a filled guest, of which writes of pages hang from some place
 * on.  The guest runs meanwhile.
 */
bool frt_live_begin_held(FixedRamTest *t);
/*
 * What the guest writes to has been saved.  Else the pool could be full, and a
 * vCPU that waits for the disk can neither be stopped nor reset.
 */
bool frt_live_begin_held_late(FixedRamTest *t);
/* Nothing hangs any more, the save completes, and the scenario ends. */
void frt_live_release(FixedRamTest *t);

void frt_live_wait_running(QTestState *qts);
void frt_live_wait_complete(FixedRamTest *t);
/* The snapshot must be complete, and what it should be; the guest runs on. */
void frt_live_wait_saved(FixedRamTest *t);

/*
 * The guest adds one to a byte of each page, one page after the other.  So at
 * any moment the bytes are equal up to one page, and less by one from there on.
 */
void frt_live_check_moment(const Snapshot *s);

#endif

/*
 * What fixed-ram's scenarios do during a load and during its pause
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_PAUSE_H
#define TEST_FIXED_RAM_PAUSE_H

#include "migration/fixed-ram-scenario.h"

/*
 * The scenario has .crawl and .start.oob.  While the loaders crawl, pages that
 * no thread touches are missing.
 */

/* A load that has begun: the guest runs, or waits for cont. */
void frt_begin_crawl(FixedRamTest *t);
/* Both out-of-band. */
void frt_pause(FixedRamTest *t);
void frt_recover(FixedRamTest *t);

/*
 * The load is paused.  migrate-recover from the file @name begins and fails:
 * the load is paused again, and query-migrate says all of @what, "this|that".
 */
void frt_assert_recovery_fails(FixedRamTest *t, const char *name,
                               const char *what);

/* Runs while the load is active, and again while it is paused. */
typedef void FixedRamAction(FixedRamTest *t, bool paused);

/* From the start to a load that has been paused and goes on. */
bool frt_in_both_states(FixedRamTest *t, FixedRamAction *action);
/* From there to the end; the guest has not run. */
void frt_finish(FixedRamTest *t);
/*
 * Compare the paused guest's memory with the snapshot, although blocks have
 * come or gone: compare all blocks that are left, the largest one before @end.
 */
void frt_compare_ram_up_to(FixedRamTest *t, uint64_t end);

/*
 * snapshot-save or snapshot-load, of the node disk0, to its end: an error that
 * says @refusal, or none if that is NULL.
 */
void frt_snapshot_job(QTestState *qts, const char *command,
                      const char *refusal);

/* The load is paused.  A vCPU is started and waits for a page. */
void frt_start_waiting_cpu(FixedRamTest *t);

/*
 * The load is paused.  The command must wait for memory; so does the main
 * thread, yet out-of-band commands are answered.  Then the load goes on, and
 * the command succeeds.
 */
void frt_assert_waits(FixedRamTest *t, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

#endif

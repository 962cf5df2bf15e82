/*
 * Scenarios that record working sets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_MIGRATION_FIXED_RAM_WORKING_SET_H
#define TEST_MIGRATION_FIXED_RAM_WORKING_SET_H

#include "migration/fixed-ram-scenario.h"

/* Pages that frt_touch_pages() reads. */
#define FRT_TOUCHED     11

/* frt_touched_addr(): the guest address of number @i of these pages. */
uint64_t frt_touched_addr(size_t i);

/* frt_touch_pages(): read them, each once, in this order. */
void frt_touch_pages(QTestState *qts);

/* frt_set_record(): have a load record for @seconds. */
void frt_set_record(QTestState *qts, int seconds);

/* frt_set_figure(): a member of query-migrate's "working-set" or "record". */
int64_t frt_set_figure(QTestState *qts, const char *group, const char *name);

/* frt_has_group(): does query-migrate say anything about one of these? */
bool frt_has_group(QTestState *qts, const char *group);

/* frt_assert_record(): does query-migrate say that the record is @status? */
void frt_assert_record(QTestState *qts, const char *status);

/* frt_wait_written(): until the set is written, or not because of @why. */
void frt_wait_written(FixedRamTest *t, const char *why);

/* frt_begin_record(): up to a load that records: the guest waits for cont. */
bool frt_begin_record(FixedRamTest *t);

/* frt_end_record(): the guest runs for the time of the record. */
void frt_end_record(FixedRamTest *t, const char *why);

/* frt_check_order(): the set names the pages that were touched, in order. */
void frt_check_order(FixedRamTest *t, bool packed);

/* frt_load_with_set(): load again, on demand; the guest stays paused. */
void frt_load_with_set(FixedRamTest *t);

/* frt_read_snapshot(): the scenario's file; the caller frees it. */
char *frt_read_snapshot(const FixedRamTest *t, gsize *length);

#endif

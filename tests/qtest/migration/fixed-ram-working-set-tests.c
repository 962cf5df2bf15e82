/*
 * QTest testcases for fixed-ram: working sets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-pause.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/fixed-ram-working-set.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* Record, and load with the set; compare all of RAM. */
static void record_and_load(FixedRamTest *t)
{
    if (!frt_begin_record(t)) {
        return;
    }
    frt_end_record(t, NULL);
    frt_check_figures(t);
    if (!t->offset) {
        frt_check_order(t, true);
    }
    frt_load_with_set(t);
    frt_end(t);
}

static void test_fixed_ram(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    record_and_load(&args);
}

static void test_mapped_ram(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_MAPPED | FR_POSTCOPY,
    };

    record_and_load(&args);
}

static void test_multifd_direct(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_DEMAND | FR_MULTIFD | FR_DIRECT,
    };

    record_and_load(&args);
}

/* The load verifies nothing, apart from what it writes. */
static void test_no_verify(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .start.opts_target = "-global migration.fixed-ram-verify=off",
    };

    record_and_load(&args);
}

static void test_offset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_DEMAND, .offset = FILE_TEST_OFFSET,
    };

    record_and_load(&args);
}

/* Two vCPUs, and the guest was saved while it ran. */
static void test_live_smp(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .start.opts_source = "-smp 2",
        .start.opts_target = "-smp 2",
    };

    record_and_load(&args);
}

static void test_no_pack(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_record(args.to, 1);
    migrate_set_parameter_bool(args.to, "fixed-ram-record-pack", false);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    frt_touch_pages(args.to);
    frt_end_record(&args, NULL);
    g_assert_cmpint(frt_set_figure(args.to, "record", "packed"), ==, 0);
    frt_check_order(&args, false);
    frt_load_with_set(&args);
    frt_end(&args);
}

/* A guest that runs at once, and a share that would come before it does. */
static void test_running(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
        .percent = 50,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_record(args.to, 1);
    frt_load_begin(&args);
    frt_wait_written(&args, NULL);
    frt_wait_status(args.to, "completed");
    frt_check(&args);
    frt_end(&args);
}

/* A second record takes the place of the first one. */
static void test_again(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_end_record(&args, NULL);
    frt_restart_target(&args, "defer", "");
    frt_set_record(args.to, 1);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    g_assert_false(frt_has_group(args.to, "working-set"));
    frt_touch_pages(args.to);
    frt_end_record(&args, NULL);
    frt_check_order(&args, true);
    frt_load_with_set(&args);
    frt_end(&args);
}

/* The parameter has the set ignored. */
static void test_off(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_end_record(&args, NULL);
    frt_restart_target(&args, "defer", "");
    migrate_set_parameter_bool(args.to, "fixed-ram-working-set", false);
    frt_load(&args);
    g_assert_false(frt_has_group(args.to, "working-set"));
    g_assert_false(frt_has_group(args.to, "record"));
    frt_check(&args);
    frt_end(&args);
}

/* An eager load has no use for a set. */
static void test_eager(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_end_record(&args, NULL);
    frt_restart_target(&args, "defer", "");
    args.load = FR_FIXED;
    frt_load(&args);
    g_assert_false(frt_has_group(args.to, "working-set"));
    frt_check(&args);
    frt_end(&args);
}

/* The base loads a snapshot with a set as any other. */
static void test_stock(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_end_record(&args, NULL);
    args.stock_load = true;
    args.load = FR_MAPPED;
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/*
 * What cannot be recorded
 */

static void assert_incoming_refused(FixedRamTest *t, const char *why)
{
    frt_set_record(t->to, 1);
    frt_set_mode(t->to, t->load);
    frt_assert_refused(t->to, why, "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", t->uri);
    frt_set_record(t->to, 0);
    frt_load(t);
    frt_check(t);
    frt_end(t);
}

static void test_refused_mapped_ram(void)
{
    FixedRamTest args = { .save = FR_MAPPED, .load = FR_DEMAND };

    if (frt_prepare(&args)) {
        assert_incoming_refused(&args, "fixed-ram-record|a file of mapped-ram "
                                "has no place for a working set");
    }
}

static void test_refused_eager(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_FIXED };

    if (frt_prepare(&args)) {
        assert_incoming_refused(&args,
                                "fixed-ram-record|the load is not on demand");
    }
}

/* The file cannot be opened for writing: only the record is lost. */
static void test_read_only(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND, .fds = 1 };
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    gsize length_before, length_after;

    if (!frt_prepare(&args)) {
        return;
    }
    before = frt_read_snapshot(&args, &length_before);
    frt_set_record(args.to, 1);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    frt_touch_pages(args.to);
    frt_end_record(&args, "/dev/fdset/1");
    after = frt_read_snapshot(&args, &length_after);
    g_assert_cmpmem(before, length_before, after, length_after);
    frt_check_figures(&args);
    frt_end(&args);
}

/*
 * Damaged sets
 */

/* Flip a bit at @offset of the scenario's snapshot. */
static void flip(FixedRamTest *t, uint64_t offset)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    int fd = open(path, O_RDWR);
    uint8_t byte;

    g_assert_cmpint(pread(fd, &byte, 1, offset), ==, 1);
    byte ^= 4;
    g_assert_cmpint(pwrite(fd, &byte, 1, offset), ==, 1);
    close(fd);
}

static void load_damaged(bool list)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    uint64_t offset;

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_end_record(&args, NULL);
    {
        g_autoptr(Snapshot) s = frt_open_snapshot(&args);
        g_autoptr(SnapshotIndex) index = snapshot_index_open(s);

        offset = list ? index->list_offset : index->pack_offset + 5000;
    }
    flip(&args, offset);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    g_assert_cmpint(frt_has_group(args.to, "working-set"), ==, !list);
    flip(&args, offset);
    frt_check(&args);
    frt_end(&args);
}

static void test_damaged_pack(void)
{
    load_damaged(false);
}

static void test_damaged_list(void)
{
    load_damaged(true);
}

static const FixedRamCase cases[] = {
    { "record/fixed-ram", test_fixed_ram },
    { "record/mapped-ram", test_mapped_ram },
    { "record/multifd-direct", test_multifd_direct },
    { "record/no-verify", test_no_verify },
    { "record/offset", test_offset, true },
    { "record/live-smp", test_live_smp },
    { "record/no-pack", test_no_pack },
    { "record/running", test_running },
    { "record/again", test_again },
    { "off", test_off },
    { "eager", test_eager },
    { "stock", test_stock },
    { "refused/mapped-ram", test_refused_mapped_ram },
    { "refused/eager", test_refused_eager },
    { "read-only", test_read_only },
    { "damaged/pack", test_damaged_pack },
    { "damaged/list", test_damaged_list },
};

void frt_add_working_set_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "working-set", cases, ARRAY_SIZE(cases));
}

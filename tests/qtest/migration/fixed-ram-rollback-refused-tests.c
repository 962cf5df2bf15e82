/*
 * QTest testcases for fixed-ram: rollbacks that are refused and change nothing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define MAPPED \
    .save = FR_FIXED, \
    .load = FR_FIXED, \
    .load_mode = "mapped"

#define CANARY          (112 * MiB)     /* behind the pattern */

static void assert_refused(FixedRamTest *t, const char *words)
{
    qtest_writeq(t->to, CANARY, 0x1122334455667788);
    frt_assert_refused(t->to, words, FRT_ROLLBACK);
    g_assert_cmphex(qtest_readq(t->to, CANARY), ==, 0x1122334455667788);
}

static void test_mode(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "eager",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_assert_refused(args.to, "the load has not ended", FRT_ROLLBACK);
    frt_load(&args);
    assert_refused(&args, "no mapping of a snapshot");
    frt_hmp_says(args.to, "fixed_ram_rollback", "no mapping of a snapshot");
    frt_end(&args);
}

static void test_disk(void)
{
    FixedRamTest args = { MAPPED };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    frt_change_memory(args.to);
    frt_assert_refused(args.to, "disk 'd0' is writable",
                       "{ 'execute': 'fixed-ram-rollback' }");
    frt_assert_refused(args.to, "disk 'd0' is writable",
                       "{ 'execute': 'fixed-ram-rollback', "
                       "'arguments': { 'disks': 'refuse' } }");
    frt_hmp_says(args.to, "fixed_ram_rollback", "disk 'd0' is writable");
    frt_hmp_silent(args.to, "fixed_ram_rollback -k");
    frt_compare_ram(&args);
    frt_end(&args);
}

static void plug_dimm(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': "
                             "{ 'qom-type': 'memory-backend-ram', "
                             "'id': 'mem1', 'size': %d } }", 16 << 20);
    qtest_qmp_device_add(qts, "pc-dimm", "dimm1", "{ 'memdev': 'mem1' }");
}

/* Memory, a device, and a device that has come and gone. */
static void test_plugged(void)
{
    FixedRamTest args = {
        MAPPED,
        .start.memory_backend = "-m %s,slots=2,maxmem=1G",
        .start.opts_source = "-device usb-ehci,id=bus0",
        .start.opts_target = "-device usb-ehci,id=bus0",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    qtest_qmp_device_add(args.to, "usb-tablet", "tablet0", "{}");
    assert_refused(&args, "tablet0|was plugged since");
    qtest_qmp_device_del(args.to, "tablet0");
    frt_roll_back(&args);
    plug_dimm(args.to);
    assert_refused(&args, "mem1|was plugged since");
    frt_end(&args);
}

static void test_unplugged(void)
{
    FixedRamTest args = {
        MAPPED,
        .start.opts_source = "-device usb-ehci,id=bus0 "
                             "-device usb-tablet,id=tablet0",
        .start.opts_target = "-device usb-ehci,id=bus0 "
                             "-device usb-tablet,id=tablet0",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    frt_roll_back(&args);
    qtest_qmp_device_del(args.to, "tablet0");
    assert_refused(&args, "tablet0|was unplugged since");
    qtest_qmp_device_add(args.to, "usb-tablet", "tablet0", "{}");
    assert_refused(&args, "tablet0|was unplugged since");
    frt_end(&args);
}

static void test_busy(void)
{
    g_autofree char *uri = frt_file_uri("other");
    FixedRamTest args = { MAPPED };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    migrate_set_capability(args.to, "multifd", true);
    migrate_set_capability(args.to, "fixed-ram", false);
    migrate_set_capability(args.to, "mapped-ram", false);
    assert_refused(&args, "'multifd' is set");
    migrate_set_capability(args.to, "multifd", false);
    frt_set_mode(args.to, args.load);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    migrate_ensure_non_converge(args.to);
    migrate_qmp(args.to, NULL, uri, NULL, "{}");
    wait_for_migration_status(args.to, "active", NULL);
    assert_refused(&args, "is being migrated or saved");
    migrate_cancel(args.to);
    wait_for_migration_status(args.to, "cancelled", NULL);
    frt_roll_back(&args);
    frt_end(&args);
}

/* These bitmaps would be there already when they are loaded again. */
static void test_bitmaps(void)
{
    g_autofree char *uri = frt_file_uri("other");
    FixedRamTest args = { MAPPED };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'block-dirty-bitmap-add',"
                             "'arguments': { 'node': 'd0', 'name': 'b0' } }");
    migrate_set_capability(args.from, "dirty-bitmaps", true);
    frt_save_again(args.from, args.save, "other");
    migrate_set_capability(args.to, "dirty-bitmaps", true);
    frt_set_mode(args.to, args.load);
    frt_incoming(&args, uri);
    frt_wait_status(args.to, "completed");
    assert_refused(&args, "holds dirty bitmaps");
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "mode", test_mode },
    { "disk", test_disk },
    { "plugged", test_plugged },
    { "unplugged", test_unplugged },
    { "busy", test_busy },
    { "bitmaps", test_bitmaps },
};

void frt_add_rollback_refused_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "rollback-refused", cases, ARRAY_SIZE(cases));
}

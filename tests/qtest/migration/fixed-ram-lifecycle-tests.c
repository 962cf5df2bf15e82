/*
 * QTest testcases for fixed-ram: the way that a save and a load take
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/*
 * What the loading side tells
 */

static void test_events_demand(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active RESUME completed");
    frt_check(&args);
    frt_end(&args);
}

static void test_events_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .live = true,
        .run = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpstr(args.events->str, ==, "setup active RESUME completed");
    frt_check(&args);
    frt_end(&args);
}

static void assert_latency(QTestState *qts)
{
    QDict *info = migrate_query(qts);
    QDict *latency = qdict_get_qdict(qdict_get_qdict(info, "fixed-ram"),
                                     "fault-latency");
    double p50, p99, max;

    g_assert_nonnull(latency);
    g_assert(qdict_get_double(latency, "mean") > 0);
    p50 = qdict_get_double(latency, "p50");
    p99 = qdict_get_double(latency, "p99");
    max = qdict_get_double(latency, "max");
    g_assert(p50 > 0 && p50 <= p99 && p99 <= max);
    qobject_unref(info);
}

static void test_figures(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
        .crawl = true,
    };
    g_autofree char *faults = NULL;
    QDict *info;

    if (!frt_prepare(&args)) {
        return;
    }
    info = migrate_query(args.to);
    g_assert_false(qdict_haskey(info, "fixed-ram"));
    qobject_unref(info);

    frt_load_begin(&args);
    wait_for_serial("dest_serial");
    frt_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(frt_ram_figure(args.to, "remaining"), >, 0);
    g_assert_cmpint(frt_ram_figure(args.to, "remaining"), <,
                    frt_ram_figure(args.to, "total"));
    g_assert_cmpint(frt_ram_figure(args.to, "transferred"), >, 0);
    assert_latency(args.to);
    frt_hmp_says(args.to, "info migrate", "postcopy-active");
    frt_hmp_says(args.to, "info migrate", "fixed-ram load: on demand, ");
    frt_hmp_says(args.to, "info migrate", " s left\r\n");

    frt_load_rest(&args);
    g_assert_cmpint(frt_ram_figure(args.to, "postcopy-requests"), ==,
                    frt_figure(args.to, "faults"));
    assert_latency(args.to);
    faults = g_strdup_printf(" MiB/s, %" PRId64 " faults\r\n",
                             frt_figure(args.to, "faults"));
    frt_hmp_says(args.to, "info migrate",
                 "fixed-ram load: on demand, 100% of ");
    frt_hmp_says(args.to, "info migrate", faults);
    info = migrate_query(args.to);
    g_assert_cmpint(qdict_get_int(info, "total-time"), >, 0);
    g_assert_cmpfloat(qdict_get_double(qdict_get_qdict(info, "ram"), "mbps"),
                      >, 0);
    qobject_unref(info);
    frt_hmp_says(args.to, "info migrate", "fixed-ram loaded by faults: ");
    frt_hmp_says(args.to, "info migrate",
                 "fixed-ram loaded by loaders: ");
    frt_hmp_says(args.to, "info migrate", "fixed-ram fault latency: ");
    frt_check(&args);
    frt_end(&args);
}

static void test_figures_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpint(frt_figure(args.to, "faults"), ==, 0);
    frt_hmp_says(args.to, "info migrate", "fixed-ram load: eager, 100% of ");
    frt_check(&args);
    frt_end(&args);
}

static void test_blocktime(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND | FR_BLOCKTIME,
        .live = true,
        .run = true,
    };
    QDict *info;

    if (!migration_get_env()->uffd_feature_thread_id) {
        g_test_skip("userfaultfd does not name threads here");
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    info = migrate_query(args.to);
    g_assert_cmpint(qdict_get_int(info, "postcopy-blocktime"), >=, 0);
    g_assert_cmpuint(qlist_size(qdict_get_qlist(info,
                                                "postcopy-vcpu-blocktime")),
                     ==, 1);
    qobject_unref(info);
    frt_check(&args);
    frt_end(&args);
}

/*
 * The share that is loaded before the guest starts
 */

/* Bytes that are missing when the guest may run; loaders crawl from then on. */
static int64_t left_at_start(FixedRamTest *t)
{
    frt_load_begin(t);
    frt_wait_event(t, "postcopy-active");
    return frt_ram_figure(t->to, "remaining");
}

static void test_share_none(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    int64_t left;

    if (!frt_prepare(&args)) {
        return;
    }
    left = left_at_start(&args);
    g_assert_cmpint(left, >, 0);
    g_test_message("%" PRId64 " MiB left", left >> 20);
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

static void test_share_half(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .percent = 50,
        .crawl = true,
    };
    int64_t left;

    if (!frt_prepare(&args)) {
        return;
    }
    left = left_at_start(&args);
    g_test_message("%" PRId64 " MiB left", left >> 20);
    g_assert_cmpint(left, <=, frt_ram_figure(args.to, "transferred"));
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/* No page is left for the loaders to hold back. */
static void test_share_all(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .percent = 100,
        .live = true,
        .run = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpint(frt_figure(args.to, "fault-bytes"), ==, 0);
    frt_check(&args);
    frt_end(&args);
}

/*
 * migrate-start-postcopy as soon as the load has begun.  The share may have
 * been loaded already; then the command has no effect.
 */
static void test_start_postcopy(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .percent = 100,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_assert_refused(args.to, "postcopy",
                       "{ 'execute': 'migrate-start-postcopy' }");
    frt_load_begin(&args);
    qtest_qmp_assert_success(args.to,
                             "{ 'execute': 'migrate-start-postcopy' }");
    frt_load_rest(&args);
    frt_assert_refused(args.to, "postcopy",
                       "{ 'execute': 'migrate-start-postcopy' }");
    args.percent = 0;
    frt_check(&args);
    frt_end(&args);
}

/*
 * Guests saved paused, and -S
 */

static void test_saved_paused(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .run = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    g_assert_false(frt_running(args.to));
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    wait_for_serial("dest_serial");
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

static void test_saved_paused_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .run = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_false(frt_running(args.to));
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    frt_check(&args);
    frt_end(&args);
}

static void test_no_autostart(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active completed");
    g_assert_false(frt_running(args.to));
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    args.run = true;
    frt_check(&args);
    frt_end(&args);
}

static void test_command_line(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
    };
    g_autofree char *uri = frt_file_uri(FILE_TEST_FILENAME);

    if (!frt_prepare(&args)) {
        return;
    }
    frt_restart_target(&args, uri, "-global migration.fixed-ram=on "
                       "-global migration.x-postcopy-ram=on");
    args.load = FR_DEMAND;
    frt_wait_status(args.to, "completed");
    frt_check(&args);
    frt_end(&args);
}

static void test_command_line_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
    };
    g_autofree char *uri = frt_file_uri(FILE_TEST_FILENAME);

    if (!frt_prepare(&args)) {
        return;
    }
    frt_restart_target(&args, uri, "-global migration.fixed-ram=on");
    args.load = FR_FIXED;
    frt_wait_status(args.to, "completed");
    frt_check(&args);
    frt_end(&args);
}

/*
 * What a save leaves in the file
 */

static void test_sparse(void)
{
    FixedRamTest args = {
        .start.memory_backend = "-m 1G",
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    struct stat st;

    if (!frt_prepare(&args)) {
        return;
    }
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, >, 1 * GiB);
    {
        g_autoptr(Snapshot) s = snapshot_open(path, 0);
        uint64_t data = snapshot_data(s);

        g_assert_cmpuint(data, <, 200 * MiB);
        g_assert_cmpuint((uint64_t)st.st_blocks * 512, <, data + 8 * MiB);
    }
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/*
 * The streams byte by byte, but for the empty rounds between RAM and devices:
 * how many there are depends on how long writing takes.
 */
static void assert_same_files(const char *a, const char *b)
{
    g_autofree char *path_a = frt_path(a);
    g_autofree char *path_b = frt_path(b);
    g_autoptr(Snapshot) sa = snapshot_open(path_a, 0);
    g_autoptr(Snapshot) sb = snapshot_open(path_b, 0);
    size_t devices = sa->end - sa->devices;
    size_t pages = g_array_index(sa->blocks, SnapshotBlock, 0).pages_offset;

    g_assert_cmpuint(sa->ram_end, ==, sb->ram_end);
    g_assert_cmpint(memcmp(sa->data, sb->data, pages - SUPERBLOCK_BYTES),
                    ==, 0);
    g_assert_cmpint(memcmp(sa->data + pages, sb->data + pages,
                           sa->ram_end - pages), ==, 0);
    g_assert_cmpuint(devices, ==, sb->end - sb->devices);
    g_assert_cmpint(memcmp(sa->data + sa->devices, sb->data + sb->devices,
                           devices), ==, 0);
}

/* One paused guest, loaded and saved by two QEMUs. */
static void test_postcopy_on_saver(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_MAPPED,
    };
    const struct {
        const char *name;
        unsigned mode;
    } saves[] = {
        { "copy", FR_FIXED },
        { "other", FR_FIXED | FR_POSTCOPY },
    };

    if (!frt_prepare(&args)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(saves); i++) {
        g_autofree char *uri = frt_file_uri(saves[i].name);

        frt_restart_target(&args, "defer", "");
        frt_load(&args);
        frt_set_mode(args.to, saves[i].mode);
        migrate_ensure_converge(args.to);
        migrate_qmp(args.to, NULL, uri, NULL, "{}");
        wait_for_migration_complete(args.to);
    }
    assert_same_files("copy", "other");
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "events-demand", test_events_demand },
    { "events-eager", test_events_eager, true },
    { "figures-demand", test_figures, true },
    { "figures-eager", test_figures_eager, true },
    { "blocktime", test_blocktime, true },
    { "share-none", test_share_none, true },
    { "share-half", test_share_half },
    { "share-all", test_share_all, true },
    { "start-postcopy", test_start_postcopy },
    { "saved-paused-demand", test_saved_paused },
    { "saved-paused-eager", test_saved_paused_eager, true },
    { "no-autostart", test_no_autostart, true },
    { "command-line-demand", test_command_line },
    { "command-line-eager", test_command_line_eager, true },
    { "save-sparse", test_sparse },
    { "save-postcopy-ram", test_postcopy_on_saver, true },
};

void frt_add_lifecycle_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "lifecycle", cases, ARRAY_SIZE(cases));
}

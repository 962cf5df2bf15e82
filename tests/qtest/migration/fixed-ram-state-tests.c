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

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active RESUME completed");
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void test_events_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .live = true,
        .run = true,
    };

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load(&args);
    g_assert_cmpstr(args.events->str, ==, "setup active RESUME completed");
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void assert_latency(QTestState *who)
{
    QDict *info = migrate_query(who);
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
    QDict *info;

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    info = migrate_query(args.to);
    g_assert_false(qdict_haskey(info, "fixed-ram"));
    qobject_unref(info);

    fixed_ram_load_begin(&args);
    wait_for_serial("dest_serial");
    fixed_ram_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(fixed_ram_ram_figure(args.to, "remaining"), >, 0);
    g_assert_cmpint(fixed_ram_ram_figure(args.to, "remaining"), <,
                    fixed_ram_ram_figure(args.to, "total"));
    g_assert_cmpint(fixed_ram_ram_figure(args.to, "transferred"), >, 0);
    assert_latency(args.to);
    fixed_ram_hmp_says(args.to, "info migrate", "postcopy-active");
    fixed_ram_hmp_says(args.to, "info migrate", "fixed-ram load: on demand");

    fixed_ram_load_rest(&args);
    g_assert_cmpint(fixed_ram_ram_figure(args.to, "postcopy-requests"), ==,
                    fixed_ram_figure(args.to, "faults"));
    assert_latency(args.to);
    fixed_ram_hmp_says(args.to, "info migrate", "fixed-ram load: on demand");
    fixed_ram_hmp_says(args.to, "info migrate", "fixed-ram faults: ");
    fixed_ram_hmp_says(args.to, "info migrate", "fixed-ram loaded by faults: ");
    fixed_ram_hmp_says(args.to, "info migrate",
                       "fixed-ram loaded by loaders: ");
    fixed_ram_hmp_says(args.to, "info migrate", "fixed-ram fault latency: ");
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void test_figures_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
    };

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load(&args);
    g_assert_cmpint(fixed_ram_figure(args.to, "faults"), ==, 0);
    fixed_ram_hmp_says(args.to, "info migrate", "fixed-ram load: eager");
    fixed_ram_check(&args);
    fixed_ram_end(&args);
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
    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load(&args);
    info = migrate_query(args.to);
    g_assert_cmpint(qdict_get_int(info, "postcopy-blocktime"), >=, 0);
    g_assert_cmpuint(qlist_size(qdict_get_qlist(info,
                                                "postcopy-vcpu-blocktime")),
                     ==, 1);
    qobject_unref(info);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

/*
 * How much comes before the guest starts
 */

/* Bytes that are missing when the guest could run; loaders crawl then. */
static int64_t left_at_start(FixedRamTest *t)
{
    fixed_ram_load_begin(t);
    fixed_ram_wait_event(t, "postcopy-active");
    return fixed_ram_ram_figure(t->to, "remaining");
}

static void test_share_none(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    int64_t left;

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    left = left_at_start(&args);
    g_assert_cmpint(left, >, 0);
    g_test_message("%" PRId64 " MiB left", left >> 20);
    fixed_ram_load_rest(&args);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
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

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    left = left_at_start(&args);
    g_test_message("%" PRId64 " MiB left", left >> 20);
    g_assert_cmpint(left, <=, fixed_ram_ram_figure(args.to, "transferred"));
    fixed_ram_load_rest(&args);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

/* Nothing is left that could be held back. */
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

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load(&args);
    g_assert_cmpint(fixed_ram_figure(args.to, "fault-bytes"), ==, 0);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

/*
 * migrate-start-postcopy as soon as the load has begun.  Whether the share
 * was still being loaded cannot be known, but it must do no harm.
 */
static void test_start_postcopy(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .percent = 100,
        .crawl = true,
    };

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_assert_refused(args.to, "postcopy",
                             "{ 'execute': 'migrate-start-postcopy' }");
    fixed_ram_load_begin(&args);
    qtest_qmp_assert_success(args.to,
                             "{ 'execute': 'migrate-start-postcopy' }");
    fixed_ram_load_rest(&args);
    fixed_ram_assert_refused(args.to, "postcopy",
                             "{ 'execute': 'migrate-start-postcopy' }");
    args.percent = 0;
    fixed_ram_check(&args);
    fixed_ram_end(&args);
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

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load_begin(&args);
    fixed_ram_wait_status(args.to, "postcopy-active");
    g_assert_false(fixed_ram_running(args.to));
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    wait_for_serial("dest_serial");
    fixed_ram_load_rest(&args);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void test_saved_paused_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .run = true,
    };

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load(&args);
    g_assert_false(fixed_ram_running(args.to));
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void test_no_autostart(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
    };

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_load(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active completed");
    g_assert_false(fixed_ram_running(args.to));
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    args.run = true;
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void test_command_line(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
    };
    g_autofree char *uri = fixed_ram_file_uri(FILE_TEST_FILENAME);

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_restart_target(&args, uri, "-global migration.fixed-ram=on "
                             "-global migration.x-postcopy-ram=on");
    args.load = FR_DEMAND;
    fixed_ram_wait_status(args.to, "completed");
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void test_command_line_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
    };
    g_autofree char *uri = fixed_ram_file_uri(FILE_TEST_FILENAME);

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_restart_target(&args, uri, "-global migration.fixed-ram=on");
    args.load = FR_FIXED;
    fixed_ram_wait_status(args.to, "completed");
    fixed_ram_check(&args);
    fixed_ram_end(&args);
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
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    struct stat st;

    if (!fixed_ram_prepare(&args)) {
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
    fixed_ram_load(&args);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

/*
 * The streams byte by byte, but for the empty rounds between RAM and devices:
 * how many there are depends on how long writing takes.
 */
static void assert_same_files(const char *a, const char *b)
{
    g_autofree char *path_a = fixed_ram_path(a);
    g_autofree char *path_b = fixed_ram_path(b);
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

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(saves); i++) {
        g_autofree char *uri = fixed_ram_file_uri(saves[i].name);

        fixed_ram_restart_target(&args, "defer", "");
        fixed_ram_load(&args);
        fixed_ram_set_mode(args.to, saves[i].mode);
        migrate_ensure_converge(args.to);
        migrate_qmp(args.to, NULL, uri, NULL, "{}");
        wait_for_migration_complete(args.to);
    }
    assert_same_files("copy", "other");
    fixed_ram_end(&args);
}

static const FixedRamCase cases[] = {
    { "state/events-demand", test_events_demand },
    { "state/events-eager", test_events_eager, true },
    { "state/figures-demand", test_figures, true },
    { "state/figures-eager", test_figures_eager, true },
    { "state/blocktime", test_blocktime, true },
    { "state/share-none", test_share_none, true },
    { "state/share-half", test_share_half },
    { "state/share-all", test_share_all, true },
    { "state/start-postcopy", test_start_postcopy },
    { "state/saved-paused-demand", test_saved_paused },
    { "state/saved-paused-eager", test_saved_paused_eager, true },
    { "state/no-autostart", test_no_autostart, true },
    { "state/command-line-demand", test_command_line },
    { "state/command-line-eager", test_command_line_eager, true },
    { "save/sparse", test_sparse },
    { "save/postcopy-ram", test_postcopy_on_saver, true },
};

void fixed_ram_add_state_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}

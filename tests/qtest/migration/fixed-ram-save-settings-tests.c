/*
 * QTest testcases for fixed-ram: what a save of a stopped guest chooses itself
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/*
 * The source's guest is saved with nothing set but what a test sets.  A trace
 * event tells what the save has chosen.
 */
#define EVENT   "fixed_ram_outgoing_bulk_start"
#define LIMIT   (128 * MiB)     /* the default of max-bandwidth */

typedef struct Chosen {
    bool bulk;                  /* it was a bulk save */
    int direct;
    uint64_t limit;             /* bytes a second */
} Chosen;

static Chosen read_log(void)
{
    g_autofree char *path = frt_path("other");
    g_autofree char *log = NULL;
    Chosen chosen = { };
    const char *text;

    g_assert_true(g_file_get_contents(path, &log, NULL, NULL));
    text = strstr(log, " direct ");
    chosen.bulk = text;
    g_assert_true(!text || sscanf(text, " direct %d limit %" SCNu64,
                                  &chosen.direct, &chosen.limit) == 2);
    return chosen;
}

static bool start(FixedRamTest *t, const char *opts)
{
    g_autofree char *log = frt_path("other");
    g_autofree char *all = g_strdup_printf("-trace " EVENT " -D %s %s", log,
                                           opts);
    bool ok;

#ifndef CONFIG_TRACE_LOG
    g_test_skip("trace events are not logged");
    return false;
#endif
    t->save = FR_FIXED;
    t->load = FR_FIXED;
    t->bare = true;
    t->start.opts_source = all;
    ok = frt_start(t);
    t->start.opts_source = NULL;
    if (ok) {
        frt_fill(t);
    }
    return ok;
}

/* Also loads the snapshot and compares the guests. */
static Chosen save(FixedRamTest *t)
{
    Chosen chosen;

    frt_save(t);
    chosen = read_log();
    frt_load(t);
    frt_check(t);
    frt_end(t);
    return chosen;
}

static bool have_direct(void)
{
    return probe_o_direct_support(migration_get_env()->tmpfs);
}

static uint64_t max_bandwidth(QTestState *qts)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate-parameters' }");
    uint64_t value = qdict_get_int(rsp, "max-bandwidth");

    qobject_unref(rsp);
    return value;
}

/*
 * The limit
 */

/* The parameter has its default as always, but that is no limit. */
static void test_default(void)
{
    FixedRamTest args = { };
    Chosen chosen;

    if (!start(&args, "")) {
        return;
    }
    g_assert_cmpuint(max_bandwidth(args.from), ==, LIMIT);
    chosen = save(&args);
    g_assert_true(chosen.bulk);
    g_assert_cmpuint(chosen.limit, ==, 0);
    g_assert_cmpint(chosen.direct, ==, have_direct());
}

/* Other parameters do not count. */
static void test_other(void)
{
    FixedRamTest args = { };

    if (start(&args, "-global migration.max-postcopy-bandwidth=7M")) {
        migrate_set_parameter_int(args.from, "downtime-limit", 200);
        migrate_set_parameter_int(args.from, "avail-switchover-bandwidth", 7);
        g_assert_cmpuint(save(&args).limit, ==, 0);
    }
}

/* QEMU keeps the limit of a tenth of a second, rounded. */
static void assert_limit(uint64_t limit, uint64_t want)
{
    g_assert_cmpuint(limit, ==, want / 10 * 10);
}

/* The default's value counts as well once it was set. */
static void test_limit_qmp(void)
{
    FixedRamTest args = { };

    if (start(&args, "")) {
        migrate_set_parameter_int(args.from, "max-bandwidth", LIMIT);
        assert_limit(save(&args).limit, LIMIT);
    }
}

static void test_limit_hmp(void)
{
    FixedRamTest args = { };

    if (start(&args, "")) {
        frt_hmp_silent(args.from, "migrate_set_parameter max-bandwidth 300M");
        assert_limit(save(&args).limit, 300 * MiB);
    }
}

static void test_limit_global(void)
{
    FixedRamTest args = { };

    if (start(&args, "-global migration.x-max-bandwidth=134217728")) {
        assert_limit(save(&args).limit, LIMIT);
    }
}

static void test_limit_lifted(void)
{
    FixedRamTest args = { };

    if (start(&args, "-global migration.x-max-bandwidth=1M")) {
        migrate_set_parameter_int(args.from, "max-bandwidth", 0);
        g_assert_cmpuint(save(&args).limit, ==, 0);
    }
}

/*
 * A limit of -global is in force: at a byte a second the save would take years.
 * Lifted during the save it has no effect any more.
 */
static void test_limit_kept(void)
{
    const char *over[] = { "completed", "failed", NULL };
    FixedRamTest args = { };

    if (!start(&args, "-global migration.x-max-bandwidth=10")) {
        return;
    }
    frt_set_mode(args.from, FR_FIXED);
    /* The big lock is not held before there is next to nothing left. */
    migrate_set_parameter_int(args.from, "downtime-limit", 1);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_status(args.from, "active", over);
    while (!frt_ram_figure(args.from, "transferred")) {
        g_usleep(1000);
    }
    g_usleep(100 * 1000);
    wait_for_migration_status(args.from, "active", over);
    migrate_set_parameter_int(args.from, "max-bandwidth", 0);
    frt_wait_saved(args.from);
    frt_check_saved(&args);
    frt_end(&args);
}

/* While the guest runs QEMU's own limit is in force. */
static void test_live(void)
{
    FixedRamTest args = { .live = true };

    if (start(&args, "")) {
        migrate_set_parameter_int(args.from, "downtime-limit", 30000);
        g_assert_false(save(&args).bulk);
    }
}

/*
 * Direct or buffered
 */

static void test_direct(bool direct)
{
    FixedRamTest args = { };

    if (!have_direct()) {
        g_test_skip("the file system does not support O_DIRECT");
    } else if (start(&args, "")) {
        migrate_set_parameter_bool(args.from, "direct-io", direct);
        g_assert_cmpint(save(&args).direct, ==, direct);
    }
}

static void test_direct_on(void)
{
    test_direct(true);
}

static void test_direct_off(void)
{
    test_direct(false);
}

/* A set with one descriptor has none with O_DIRECT: no message, no error. */
static void test_direct_fds(unsigned fds)
{
    FixedRamTest args = {
        .fds = fds,
        .direct_fd = fds > 1,
    };

    if (!have_direct()) {
        g_test_skip("the file system does not support O_DIRECT");
    } else if (start(&args, "")) {
        g_assert_cmpint(save(&args).direct, ==, fds > 1);
    }
}

static void test_fdset(void)
{
    test_direct_fds(1);
}

static void test_fdset_direct(void)
{
    test_direct_fds(2);
}

static const FixedRamCase cases[] = {
    { "default", test_default },
    { "limit/other-parameters", test_other, true },
    { "limit/qmp", test_limit_qmp },
    { "limit/hmp", test_limit_hmp, true },
    { "limit/global", test_limit_global },
    { "limit/lifted", test_limit_lifted, true },
    { "limit/kept", test_limit_kept, true },
    { "live", test_live, true },
    { "direct/on", test_direct_on, true },
    { "direct/off", test_direct_off },
    { "direct/fdset", test_fdset },
    { "direct/fdset-direct", test_fdset_direct, true },
};

void frt_add_save_settings_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "save-settings", cases, ARRAY_SIZE(cases));
}

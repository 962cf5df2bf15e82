/*
 * QTest testcases for fixed-ram: how a file is loaded, as the user says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"

#define NO_MACHINE "-machine none -nodefaults "
#define GLOBAL     "-global migration.fixed-ram-load-mode="

static void set_mode(QTestState *qts, const char *mode)
{
    migrate_set_parameter_str(qts, "fixed-ram-load-mode", mode);
}

static void assert_mode(QTestState *qts, const char *mode)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate-parameters' }");

    g_assert_cmpstr(qdict_get_str(rsp, "fixed-ram-load-mode"), ==, mode);
    qobject_unref(rsp);
}

/*
 * The parameter
 */

static const char *const modes[] = { "on-demand", "eager", "auto" };

static void test_qmp(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    assert_mode(qts, "auto");
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        set_mode(qts, modes[i]);
        assert_mode(qts, modes[i]);
    }
    frt_assert_refused(qts, "soon", "{ 'execute': 'migrate-set-parameters', "
                       "'arguments': { 'fixed-ram-load-mode': 'soon' } }");
    assert_mode(qts, "auto");
    qtest_quit(qts);
}

static void test_hmp(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        g_autofree char *set = g_strdup_printf(
            "migrate_set_parameter fixed-ram-load-mode %s", modes[i]);
        g_autofree char *line = g_strdup_printf("fixed-ram-load-mode: %s\r\n",
                                                modes[i]);

        frt_hmp_silent(qts, set);
        frt_hmp_says(qts, "info migrate_parameters", line);
    }
    frt_hmp_says(qts, "migrate_set_parameter fixed-ram-load-mode soon",
                 "soon");
    qtest_quit(qts);
}

static void test_global(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        QTestState *qts = qtest_initf(NO_MACHINE GLOBAL "%s", modes[i]);

        assert_mode(qts, modes[i]);
        qtest_quit(qts);
    }
}

/*
 * Loads
 */

/* Did fixed-ram load the guest, and how? */
static bool loaded_by_us(QTestState *qts, bool *on_demand)
{
    QDict *info = migrate_query(qts);
    QDict *figures = qdict_get_qdict(info, "fixed-ram");

    *on_demand = figures && qdict_get_bool(figures, "on-demand");
    qobject_unref(info);
    return figures;
}

static void check_load(FixedRamTest *t, bool by_us, bool on_demand)
{
    bool was_on_demand;

    g_assert_cmpint(loaded_by_us(t->to, &was_on_demand), ==, by_us);
    g_assert_cmpint(was_on_demand, ==, on_demand);
    /* Clients that know nothing of postcopy see nothing of it. */
    g_assert_null(strstr(t->events->str, "postcopy"));
    g_assert_cmpint(!!strstr(t->events->str, "job-running"), ==, on_demand);
    frt_check(t);
    frt_end(t);
}

static void test_load(FixedRamTest *t, bool by_us, bool on_demand)
{
    if (frt_prepare(t)) {
        frt_load(t);
        check_load(t, by_us, on_demand);
    }
}

static void test_demand(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    test_load(&args, true, true);
}

/* Management software sets what it knows, and that is not fixed-ram. */
static void test_demand_mapped(void)
{
    FixedRamTest args = {
        .stock_save = true,
        .save = FR_MAPPED | FR_MULTIFD,
        .load = FR_MAPPED | FR_MULTIFD,
        .load_mode = "on-demand",
    };

    test_load(&args, true, true);
}

static void test_demand_qmp(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .live = true,
        .run = true,
    };

    if (!migration_get_env()->has_uffd) {
        g_test_skip("there is no userfaultfd here");
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    args.load_mode = "on-demand";
    set_mode(args.to, args.load_mode);
    migrate_set_capability(args.to, "postcopy-ram", false);
    frt_load(&args);
    check_load(&args, true, true);
}

static void test_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .load_mode = "eager",
    };

    test_load(&args, true, false);
}

static void test_eager_mapped_postcopy(void)
{
    FixedRamTest args = {
        .stock_save = true,
        .save = FR_MAPPED,
        .load = FR_MAPPED | FR_POSTCOPY,
        .load_mode = "eager",
    };

    test_load(&args, true, false);
}

static void test_eager_mapped(void)
{
    FixedRamTest args = {
        .stock_save = true,
        .save = FR_MAPPED,
        .load = FR_MAPPED,
        .load_mode = "eager",
    };

    test_load(&args, true, false);
}

/* The load that no setting of ours changes. */
static void test_auto_mapped(void)
{
    FixedRamTest args = {
        .start.opts_target = GLOBAL "auto",
        .save = FR_MAPPED,
        .load = FR_MAPPED,
    };

    test_load(&args, false, false);
}

/* The mode is about loads: a save is what it is without it. */
static void test_save(void)
{
    FixedRamTest args = {
        .start.opts_source = GLOBAL "on-demand",
        .save = FR_MAPPED,
        .load = FR_MAPPED,
        .stock_load = true,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    /* Excluded on the loading side only. */
    migrate_set_capability(args.from, "mapped-ram", true);
    migrate_set_capability(args.from, "x-ignore-shared", true);
    migrate_set_capability(args.from, "x-ignore-shared", false);
    frt_save(&args);
    frt_load(&args);
    check_load(&args, false, false);
}

/*
 * What does not go together
 */

static void test_preempt(void)
{
    QTestState *qts = qtest_init(NO_MACHINE GLOBAL "eager");

    migrate_set_capability(qts, "mapped-ram", true);
    migrate_set_capability(qts, "postcopy-ram", true);
    frt_assert_refused(
        qts, "mapped-ram|postcopy-preempt",
        "{ 'execute': 'migrate-set-capabilities', 'arguments': "
        "{ 'capabilities': [ { 'capability': 'postcopy-preempt', "
        "'state': true } ] } }");
    qtest_quit(qts);
}

static void incoming_refused(QTestState *qts, const char *says)
{
    g_autofree char *uri = frt_file_uri("other");

    frt_assert_refused(qts, says, "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", uri);
}

/* Refused before anything has changed: the file is not even there. */
static void test_ignore_shared(void)
{
    QTestState *qts = qtest_init(NO_MACHINE GLOBAL "eager -incoming defer");

    migrate_set_capability(qts, "mapped-ram", true);
    migrate_set_capability(qts, "x-ignore-shared", true);
    incoming_refused(qts, "x-ignore-shared|fixed-ram-load-mode");
    migrate_set_capability(qts, "x-ignore-shared", false);
    incoming_refused(qts, "No such file");
    qtest_quit(qts);
}

static const FixedRamCase cases[] = {
    { "parameter/qmp", test_qmp },
    { "parameter/hmp", test_hmp },
    { "parameter/global", test_global, true },
    { "on-demand/fixed-ram", test_demand },
    { "on-demand/mapped-ram", test_demand_mapped },
    { "on-demand/qmp", test_demand_qmp, true },
    { "eager/fixed-ram", test_eager },
    { "eager/mapped-ram-postcopy", test_eager_mapped_postcopy, true },
    { "eager/mapped-ram", test_eager_mapped, true },
    { "auto/mapped-ram", test_auto_mapped, true },
    { "save", test_save },
    { "refused/postcopy-preempt", test_preempt, true },
    { "refused/x-ignore-shared", test_ignore_shared },
};

void frt_add_load_mode_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "load-mode", cases, ARRAY_SIZE(cases));
}

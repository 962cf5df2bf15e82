/*
 * QTest testcases for fixed-ram: management that knows mapped-ram only
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * Before each save and each load libvirt sets every capability that it knows,
 * true or false.  For its format "sparse" it sets mapped-ram and multifd, for
 * the others neither.  It does not know fixed-ram and leaves it alone.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram-faults.h"
#include "migration/migration-qmp.h"

#define NO_MACHINE "-machine none -nodefaults "
#define WISH       "-global migration.fixed-ram=on "

static const char *const known[] = {
    "xbzrle", "auto-converge", "rdma-pin-all", "zero-blocks", "postcopy-ram",
    "pause-before-switchover", "late-block-activate", "multifd",
    "dirty-bitmaps", "return-path", "zero-copy-send", "postcopy-preempt",
    "switchover-ack", "mapped-ram",
};

/* @on: names of those to set, separated by spaces; the others are cleared */
static QList *capabilities(const char *on)
{
    g_auto(GStrv) names = g_strsplit(on, " ", -1);
    QList *list = qlist_new();

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        QDict *cap = qdict_new();

        qdict_put_str(cap, "capability", known[i]);
        qdict_put_bool(cap, "state",
                       g_strv_contains((const char **)names, known[i]));
        qlist_append(list, cap);
    }
    return list;
}

static void set_all(QTestState *qts, const char *on)
{
    qtest_qmp_assert_success(
        qts, "{ 'execute': 'migrate-set-capabilities', "
        "'arguments': { 'capabilities': %p } }", capabilities(on));
}

static void set_explicit(QTestState *qts, bool fixed, bool mapped)
{
    qtest_qmp_assert_success(
        qts, "{ 'execute': 'migrate-set-capabilities', 'arguments': "
        "{ 'capabilities': [ { 'capability': 'fixed-ram', 'state': %i }, "
        "{ 'capability': 'mapped-ram', 'state': %i } ] } }", fixed, mapped);
}

static void assert_set(QTestState *qts, bool fixed, bool mapped)
{
    frt_hmp_says(qts, "info migrate_capabilities",
                 fixed ? "fixed-ram: on" : "fixed-ram: off");
    frt_hmp_says(qts, "info migrate_capabilities",
                 mapped ? "mapped-ram: on" : "mapped-ram: off");
}

/*
 * -global migration.fixed-ram=on
 */

static void test_wish_layout(void)
{
    QTestState *qts = qtest_init(NO_MACHINE WISH);

    assert_set(qts, true, true);
    set_all(qts, "");
    assert_set(qts, false, false);
    set_all(qts, "mapped-ram multifd");
    assert_set(qts, true, true);
    set_all(qts, "");
    /* What a client cleared stays cleared when it sets something else. */
    migrate_set_capability(qts, "auto-converge", true);
    assert_set(qts, false, false);
    migrate_set_capability(qts, "mapped-ram", true);
    assert_set(qts, true, true);
    qtest_quit(qts);
}

/* It stays away from what it excludes. */
static void test_wish_excluded(void)
{
    QTestState *qts = qtest_init(NO_MACHINE WISH);

    /* The layout was a part of the wish. */
    migrate_set_capability(qts, "return-path", true);
    assert_set(qts, false, false);
    migrate_set_capability(qts, "return-path", false);
    assert_set(qts, true, true);
    /* Here a client asks for it. */
    set_all(qts, "mapped-ram return-path");
    assert_set(qts, false, true);
    set_all(qts, "mapped-ram");
    assert_set(qts, true, true);
    qtest_quit(qts);
}

/* A client that names fixed-ram has it as strictly as without -global. */
static void test_wish_named(void)
{
    QTestState *qts = qtest_init(NO_MACHINE WISH);

    frt_assert_refused(
        qts, "fixed-ram|mapped-ram",
        "{ 'execute': 'migrate-set-capabilities', 'arguments': "
        "{ 'capabilities': [ { 'capability': 'fixed-ram', 'state': true }, "
        "{ 'capability': 'mapped-ram', 'state': false } ] } }");
    /* What was refused has no effect. */
    set_all(qts, "");
    assert_set(qts, false, false);
    set_explicit(qts, true, true);
    frt_assert_refused(qts, "fixed-ram|clears both",
                       "{ 'execute': 'migrate-set-capabilities', "
                       "'arguments': { 'capabilities': %p } }",
                       capabilities(""));
    frt_assert_refused(qts, "fixed-ram|return-path",
                       "{ 'execute': 'migrate-set-capabilities', "
                       "'arguments': { 'capabilities': %p } }",
                       capabilities("mapped-ram return-path"));
    assert_set(qts, true, true);
    set_explicit(qts, false, false);
    migrate_set_capability(qts, "mapped-ram", true);
    assert_set(qts, false, true);
    qtest_quit(qts);
}

/* Without -global nothing joins in, and "off" is no wish. */
static void test_no_wish(void)
{
    static const char *const opts[] = {
        "", "-global migration.fixed-ram=off",
    };

    for (size_t i = 0; i < ARRAY_SIZE(opts); i++) {
        QTestState *qts = qtest_initf(NO_MACHINE "%s", opts[i]);

        set_all(qts, "mapped-ram multifd");
        assert_set(qts, false, true);
        set_all(qts, "");
        assert_set(qts, false, false);
        qtest_quit(qts);
    }
}

/*
 * Saves and loads
 */

static bool verified(QTestState *qts)
{
    QDict *info = migrate_query(qts);
    QDict *figures = qdict_get_qdict(info, "fixed-ram");
    bool was = figures && qdict_get_bool(figures, "verified");

    qobject_unref(info);
    return was;
}

/* @on: what management sets on both sides */
static bool save_and_load(FixedRamTest *t, const char *on)
{
    if (!frt_start(t)) {
        return false;
    }
    frt_fill(t);
    set_all(t->from, on);
    migrate_ensure_converge(t->from);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
    frt_wait_saved(t->from);
    set_all(t->to, on);
    frt_incoming(t, t->uri);
    frt_wait_status(t->to, "completed");
    if (g_str_has_prefix(on, "mapped-ram")) {
        frt_wait_job(t->to, NULL);
    }
    return true;
}

static void test_sparse(void)
{
    FixedRamTest args = {
        .start.opts_source = WISH,
        .start.opts_target = WISH,
        .load_mode = "on-demand",
    };

    if (save_and_load(&args, "mapped-ram multifd")) {
        g_assert_true(verified(args.to));
        g_assert_nonnull(strstr(args.events->str, "job-running"));
        set_all(args.to, "");
        frt_check(&args);
        frt_end(&args);
    }
}

/* A file of stock QEMU's has no checksums, and is loaded on demand, too. */
static void test_sparse_stock(void)
{
    FixedRamTest args = {
        .stock_save = true,
        .start.opts_target = WISH,
        .load_mode = "on-demand",
    };

    if (save_and_load(&args, "mapped-ram multifd")) {
        g_assert_false(verified(args.to));
        g_assert_nonnull(strstr(args.events->str, "job-running"));
        set_all(args.to, "");
        frt_check(&args);
        frt_end(&args);
    }
}

/* A plain stream, which is not for us. */
static void test_plain(void)
{
    FixedRamTest args = {
        .start.opts_source = WISH,
        .start.opts_target = WISH,
        .load_mode = "on-demand",
        .save = FR_FIXED,
    };

    if (!save_and_load(&args, "")) {
        return;
    }
    g_assert_null(strstr(args.events->str, "job"));
    /* The loaded memory, in a file that can be compared with the source's. */
    frt_save_again(args.to, 0, FILE_TEST_FILENAME);
    frt_check_saved(&args);
    frt_end(&args);
}

/*
 * Recovery without out-of-band commands, which libvirt does not enable
 */

static void recover_in_band(FixedRamTest *t)
{
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-recover' }");
}

/* QEMU's descriptor is all that is left of the file, and a copy for us. */
static void lose_file(FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autofree char *copy = frt_path("copy");

    qtest_qmp_assert_success(t->to, "{ 'execute': 'remove-fd', "
                             "'arguments': { 'fdset-id': 1 } }");
    g_assert_cmpint(rename(copy, path), ==, 0);
}

/*
 * virsh managedsave unlinks the file when the guest runs again.  The stream
 * follows a header and XML, so it begins anywhere.  While a vCPU waits for a
 * page, in-band commands have the load read its own descriptor again.
 */
static void test_managed_save(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.opts_target = WISH,
        .load_mode = "on-demand",
        .save = FR_FIXED,
        .live = true,
        .run = true,
        .offset = 92 + 4321,
        .fds = 1,
    };
    uint64_t failed;

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    set_all(args.to, "mapped-ram multifd");
    frt_load_hanging(&args);
    lose_file(&args);
    frt_wait_vcpu_waits(&args);
    frt_load_failing(&args, EIO);
    failed = frt_faults_injected(0);
    recover_in_band(&args);
    /* The file is the right one, and its pages cannot be read yet. */
    frt_faults_wait_injected(0, failed + 1);
    frt_wait_paused(&args, strerror(EIO));
    frt_faults_off(0);
    recover_in_band(&args);
    frt_wait_status(args.to, "completed");
    frt_wait_job(args.to, NULL);
    set_all(args.to, "");
    frt_check(&args);
    frt_faults_end(&args);
}

static const FixedRamCase cases[] = {
    { "wish/layout", test_wish_layout },
    { "wish/excluded", test_wish_excluded },
    { "wish/named", test_wish_named },
    { "wish/none", test_no_wish },
    { "sparse/ours", test_sparse },
    { "sparse/stock", test_sparse_stock },
    { "plain", test_plain },
    { "managed-save", test_managed_save },
};

void frt_add_management_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "management", cases, ARRAY_SIZE(cases));
}

/*
 * QTest testcases for fixed-ram: saves of guests that run on
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/bootfile.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-live.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

static const char *completed[] = { "completed", NULL };

/* Up to a saved snapshot; false if the scenario is skipped. */
static bool prepare(FixedRamTest *t)
{
    if (!frt_live_start(t) || !frt_start(t)) {
        return false;
    }
    frt_fill(t);
    frt_live_begin(t);
    frt_live_wait_saved(t);
    return true;
}

static void save_and_load(FixedRamTest *t)
{
    if (prepare(t)) {
        frt_load(t);
        frt_check(t);
        frt_end(t);
    }
}

static void test_eager(void)
{
    FixedRamTest args = { .load = FR_FIXED };

    save_and_load(&args);
}

static void test_demand(void)
{
    FixedRamTest args = { .load = FR_DEMAND };

    save_and_load(&args);
}

/* The guest that was saved runs on, and has the disk: it lets go of it. */
static void test_run(void)
{
    FixedRamTest args = { .load = FR_DEMAND, .run = true };

    if (prepare(&args)) {
        qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(args.from, "{ 'execute': "
                                 "'blockdev-set-active', 'arguments': "
                                 "{ 'active': false } }");
        frt_load(&args);
        frt_check(&args);
        frt_end(&args);
    }
}

static void test_plain(void)
{
    FixedRamTest args = { .load = FR_MAPPED, .stock_load = true };

    save_and_load(&args);
}

static void test_mapped(void)
{
    FixedRamTest args = { .load = FR_FIXED, .load_mode = "mapped" };

    if (prepare(&args)) {
        frt_load(&args);
        frt_compare(&args);
        frt_end(&args);
    }
}

static void test_direct(void)
{
    FixedRamTest args = { .save = FR_DIRECT, .load = FR_FIXED };

    save_and_load(&args);
}

static void test_buffered(void)
{
    FixedRamTest args = { .save = FR_BUFFERED, .load = FR_FIXED };

    save_and_load(&args);
}

/* Memory that is shared is in the page tables of this process, too. */
static void test_shared(void)
{
    FixedRamTest args = {
        .start.memory_backend = "-object memory-backend-memfd,id=pc.ram,"
                                "size=%s,share=on -machine memory-backend="
                                "pc.ram",
        .load = FR_FIXED,
    };

    save_and_load(&args);
}

/* One save after the other, of a guest that never stops. */
static void test_again(void)
{
    FixedRamTest args = { .load = FR_DEMAND };

    if (!prepare(&args)) {
        return;
    }
    for (int i = 0; i < 3; i++) {
        migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
        frt_live_wait_saved(&args);
    }
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/* What has not changed since the last save is not written once more. */
static void save_delta(FixedRamTest *t)
{
    g_autofree char *base = frt_path("other");
    g_autofree char *delta = frt_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) loaded = NULL;
    struct stat full, changed;

    if (!prepare(t)) {
        return;
    }
    g_assert_cmpint(stat(delta, &full), ==, 0);
    g_assert_cmpint(rename(delta, base), ==, 0);
    migrate_set_parameter_str(t->from, "fixed-ram-base", base);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
    frt_live_wait_complete(t);
    g_assert_true(frt_running(t->from));
    g_assert_cmpint(stat(delta, &changed), ==, 0);
    g_assert_cmpuint(changed.st_blocks, <, full.st_blocks - 6 * MiB / 512);
    frt_load(t);
    loaded = frt_save_and_open(t);
    frt_check_pattern(t, loaded);
    frt_live_check_moment(loaded);
    frt_end(t);
}

static void test_delta(void)
{
    FixedRamTest args = { .load = FR_FIXED };

    save_delta(&args);
}

static void test_delta_demand(void)
{
    FixedRamTest args = { .save = FR_DIRECT, .load = FR_DEMAND };

    save_delta(&args);
}

/*
 * QEMU itself changes memory that no saver has reached.  Direct writes would go
 * through io_uring, which the library does not hold.
 */
static void test_write(void)
{
    FixedRamTest args = { .save = FR_BUFFERED };

    if (frt_live_begin_held_late(&args)) {
        frt_wipe_pattern(args.from);
        frt_live_release(&args);
    }
}

static void test_reset(void)
{
    FixedRamTest args = { .save = FR_BUFFERED };

    if (frt_live_begin_held_late(&args)) {
        qtest_qmp_assert_success(args.from, "{ 'execute': 'system_reset' }");
        qtest_qmp_eventwait(args.from, "RESET");
        frt_live_release(&args);
    }
}

/* What cannot be done meanwhile. */
static void test_refused_meanwhile(void)
{
    FixedRamTest args = { .save = FR_BUFFERED };

    if (frt_live_begin_held_late(&args)) {
        frt_assert_refused(args.from, "migration", "{ 'execute': 'migrate', "
                           "'arguments': { 'uri': %s } }", args.uri);
        frt_assert_refused(args.from, "migrat", "{ 'execute': 'device_add', "
                           "'arguments': { 'driver': 'virtio-rng-pci' } }");
        frt_assert_refused(args.from, "migration",
                           "{ 'execute': 'migrate-set-capabilities', "
                           "'arguments': { 'capabilities': [ { 'capability': "
                           "'background-snapshot', 'state': false } ] } }");
        qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
        qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
        frt_live_release(&args);
    }
}

/* The save is given up at once, and the guest has not noticed. */
static void test_cancel(void)
{
    FixedRamTest args = { .save = FR_BUFFERED };

    if (frt_live_begin_held(&args)) {
        migrate_cancel(args.from);
        frt_faults_off(0);
        wait_for_migration_status(args.from, "cancelled", completed);
        g_assert_true(frt_running(args.from));
        frt_assert_being_written(FILE_TEST_FILENAME);
        frt_wipe_pattern(args.from);
        frt_write_pattern(args.from);
        frt_live_begin(&args);
        frt_live_release(&args);
    }
}

static void assert_failed_saying(FixedRamTest *t, const char *what)
{
    QDict *info;

    wait_for_migration_status(t->from, "failed", completed);
    info = migrate_query(t->from);
    frt_assert_says(qdict_get_str(info, "error-desc"), what);
    qobject_unref(info);
    g_assert_true(frt_running(t->from));
    frt_assert_being_written(FILE_TEST_FILENAME);
}

static bool G_GNUC_PRINTF(2, 3)
try_qmp(QTestState *qts, const char *fmt, ...)
{
    va_list ap;
    QDict *rsp;
    bool ok;

    va_start(ap, fmt);
    rsp = qtest_vqmp(qts, fmt, ap);
    va_end(ap);
    ok = qdict_haskey(rsp, "return");
    qobject_unref(rsp);
    return ok;
}

/*
 * The status is "failed" some time before capabilities can be changed, and that
 * some time before another save can begin.
 */
static void begin_again(FixedRamTest *t)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;

    while (!try_qmp(t->from, "{ 'execute': 'migrate-set-capabilities', "
                    "'arguments': { 'capabilities': [ { 'capability': "
                    "'background-snapshot', 'state': true } ] } }") ||
           !try_qmp(t->from, "{ 'execute': 'migrate', 'arguments': "
                    "{ 'uri': %s } }", t->uri)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

static void save_failing(uint32_t mode, int error, const char *what)
{
    FixedRamTest args = { .save = FR_BUFFERED, .start.hide_stderr = true };

    if (!frt_live_start(&args) || !frt_faults_begin_save(&args)) {
        return;
    }
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = mode,
        .error = error,
        .first = 40 * MiB,
        .end = FRT_LIVE_PAGES_END,
    });
    frt_live_begin(&args);
    assert_failed_saying(&args, what);
    frt_faults_off(0);
    begin_again(&args);
    frt_live_release(&args);
}

/* The guest prints a letter each time that it has written to all its pages. */
static size_t count_rounds(void)
{
    g_autofree char *path = frt_path("src_serial");
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return st.st_size;
}

static void wait_guest_rounds(size_t more)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;
    size_t before = count_rounds();

    while (count_rounds() < before + more) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/*
 * The disk hangs, and the guest writes until no copy more finds room.  QEMU's
 * main thread, which writes the pattern, waits, too, but not for ever.
 */
static void test_hanging(void)
{
    FixedRamTest args = { .save = FR_BUFFERED, .start.hide_stderr = true };

    if (frt_live_begin_held(&args)) {
        frt_wipe_pattern(args.from);
        wait_guest_rounds(2);
        frt_write_pattern(args.from);
        frt_faults_off(0);
        assert_failed_saying(&args, FILE_TEST_FILENAME "|took no data");
        begin_again(&args);
        frt_live_release(&args);
    }
}

static void test_full(void)
{
    save_failing(FIXED_RAM_FAULTS_WRITE_FULL, ENOSPC, "pc.ram|No space left");
}

static void test_error(void)
{
    save_failing(FIXED_RAM_FAULTS_WRITE_ERROR, EIO, "pc.ram|Input/output");
}

/* No device has this disk, so the guest does not notice that it is bad. */
#define BAD_DISK \
    "-drive if=none,id=bad,driver=blkdebug,image.driver=null-co," \
    "inject-error.0.event=none,inject-error.0.iotype=flush"

/*
 * The guest stops for a moment while its devices' state is saved.  A disk that
 * cannot be flushed then fails the save, and the guest runs on all the same.
 */
static void test_early(void)
{
    FixedRamTest args = {
        .start = { .opts_source = BAD_DISK, .hide_stderr = true },
    };

    if (!frt_live_start(&args) || !frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    /* A flush does nothing before the first write. */
    frt_hmp_silent(args.from, "qemu-io bad \"write -q 0 512\"");
    frt_live_begin(&args);
    wait_for_migration_status(args.from, "failed", completed);
    frt_live_wait_running(args.from);
    frt_assert_being_written(FILE_TEST_FILENAME);
    frt_hmp_silent(args.from, "drive_del bad");
    begin_again(&args);
    frt_live_wait_saved(&args);
    frt_end(&args);
}

/* QEMU's standard input is a file, and the save reads nothing from it. */
static void test_input(void)
{
    g_autofree char *path = frt_path("other");
    g_autofree char *opts = g_strdup_printf("< %s", path);
    FixedRamTest args = { .start.opts_source = opts };
    g_autofree char *position = NULL;
    g_autofree char *info = NULL;

    g_assert_true(g_file_set_contents(path, opts, -1, NULL));
    if (!prepare(&args)) {
        return;
    }
    info = g_strdup_printf("/proc/%d/fdinfo/0", qtest_pid(args.from));
    g_assert_true(g_file_get_contents(info, &position, NULL, NULL));
    g_assert_true(g_str_has_prefix(position, "pos:\t0\n"));
    frt_end(&args);
}

/* Where QEMU's standard input leads to. */
static char *standard_input(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/0", qtest_pid(qts));

    return g_file_read_link(path, NULL);
}

/* The base's own background snapshot closes only what it has opened. */
static void test_early_stock(void)
{
    FixedRamTest args = {
        .start = { .opts_source = BAD_DISK, .hide_stderr = true },
    };
    g_autofree char *before = NULL, *after = NULL;

    if (!frt_live_start(&args)) {
        return;
    }
    args.save = 0;
    if (!frt_start(&args)) {
        return;
    }
    frt_hmp_silent(args.from, "qemu-io bad \"write -q 0 512\"");
    before = standard_input(args.from);
    frt_live_begin(&args);
    wait_for_migration_status(args.from, "failed", completed);
    frt_live_wait_running(args.from);
    after = standard_input(args.from);
    g_assert_cmpstr(before, ==, after);
    frt_end(&args);
}

/* A limit that is lifted is lifted at once. */
static void test_limit(void)
{
    FixedRamTest args = { .load = FR_FIXED };

    if (!frt_live_start(&args) || !frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    migrate_set_parameter_int(args.from, "max-bandwidth", MiB);
    frt_live_begin(&args);
    wait_for_migration_status(args.from, "active", completed);
    migrate_set_parameter_int(args.from, "max-bandwidth", 0);
    frt_live_wait_saved(&args);
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

static void assert_save_refused(QTestState *qts, const char *what)
{
    g_autofree char *uri = frt_file_uri("other");

    migrate_set_capability(qts, "background-snapshot", true);
    frt_assert_refused(qts, what, "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': %s } }", uri);
}

/* RAM that is a mapping of a snapshot cannot be protected. */
static void test_refused_mapped(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (prepare(&args)) {
        frt_load(&args);
        assert_save_refused(args.to, "pc.ram|is a mapping of a snapshot");
        frt_end(&args);
    }
}

/* Settings decide in which order they are made, but not what they mean. */
static void test_settings(void)
{
    FixedRamTest args = { .start.hide_stderr = true };

    if (!frt_live_start(&args) || !frt_start(&args)) {
        return;
    }
    migrate_set_capability(args.from, "background-snapshot", true);
    frt_assert_refused(args.from, "Background-snapshot|mapped-ram",
                       "{ 'execute': 'migrate-set-capabilities', "
                       "'arguments': { 'capabilities': [ { 'capability': "
                       "'mapped-ram', 'state': true } ] } }");
    migrate_set_capability(args.from, "fixed-ram", true);
    frt_assert_refused(args.from, "Background-snapshot|multifd",
                       "{ 'execute': 'migrate-set-capabilities', "
                       "'arguments': { 'capabilities': [ { 'capability': "
                       "'multifd', 'state': true } ] } }");
    migrate_set_capability(args.from, "fixed-ram", false);
    frt_fill(&args);
    frt_live_begin(&args);
    frt_live_wait_saved(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "eager", test_eager },
    { "demand", test_demand },
    { "run", test_run },
    { "plain", test_plain },
    { "mapped", test_mapped },
    { "direct", test_direct, true },
    { "buffered", test_buffered, true },
    { "shared", test_shared },
    { "again", test_again },
    { "delta", test_delta },
    { "delta/demand", test_delta_demand },
    { "write", test_write },
    { "reset", test_reset, true },
    { "refused-meanwhile", test_refused_meanwhile },
    { "cancel", test_cancel },
    { "full", test_full },
    { "error", test_error, true },
    { "hanging", test_hanging },
    { "early", test_early },
    { "early-stock", test_early_stock },
    { "input", test_input },
    { "limit", test_limit },
    { "refused/mapped", test_refused_mapped },
    { "settings", test_settings },
};

void frt_add_live_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "live", cases, ARRAY_SIZE(cases));
}

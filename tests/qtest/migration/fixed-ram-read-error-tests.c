/*
 * QTest testcases for fixed-ram: the file cannot be read while the guest runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * A failed read pauses the load, and migrate-recover continues it.  Most of
 * these tests begin with a guest that may run and has no page, because reads
 * hang.  Then the reads fail.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-pause.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define AFTER_PAUSE \
    "postcopy-recover-setup postcopy-recover postcopy-active"

/*
 * Pause and recover
 */

static void recover_in_band(FixedRamTest *t, const char *name)
{
    g_autofree char *uri = frt_file_uri(name);

    g_string_truncate(t->events, 0);
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-recover', "
                             "'arguments': { 'uri': %s } }", uri);
}

static void recover_out_of_band(FixedRamTest *t, const char *name)
{
    g_autofree char *uri = frt_file_uri(name);

    g_string_truncate(t->events, 0);
    migrate_recover(t->to, uri);
}

/* The file is still bad: every recovery ends in another pause. */
static void recover_and_fail(FixedRamTest *t, int error)
{
    for (int i = 0; i < 4; i++) {
        if (i % 2) {
            recover_out_of_band(t, FILE_TEST_FILENAME);
        } else {
            recover_in_band(t, FILE_TEST_FILENAME);
        }
        frt_wait_paused(t, strerror(error));
        g_assert_cmpstr(t->events->str, ==, AFTER_PAUSE " postcopy-paused");
    }
}

/* Recoveries from a missing file and from a file that is no snapshot. */
static void recover_wrongly(FixedRamTest *t)
{
    g_autofree char *other = frt_path("other");

    g_string_truncate(t->events, 0);
    frt_assert_recovery_fails(t, "other", "other|No such file");
    g_assert_true(g_file_set_contents(other, "Not a snapshot", -1, NULL));
    frt_assert_recovery_fails(t, "other", "other|not a VM snapshot");
}

static void complete(FixedRamTest *t)
{
    frt_wait_status(t->to, "completed");
    g_assert_cmpstr(t->events->str, ==, AFTER_PAUSE " completed");
    frt_check(t);
}

static void test_error(int error)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_load_hanging(&args);
    frt_load_failing(&args, error);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active postcopy-paused");
    recover_and_fail(&args, error);
    recover_wrongly(&args);
    frt_faults_off(0);
    recover_in_band(&args, FILE_TEST_FILENAME);
    complete(&args);
    frt_faults_end(&args);
}

static void test_eio(void)
{
    test_error(EIO);
}

static void test_estale(void)
{
    test_error(ESTALE);
}

static void test_enospc(void)
{
    test_error(ENOSPC);
}

static void test_enolink(void)
{
    test_error(ENOLINK);
}

/* The whole file cannot be read any more, but a copy can. */
static void test_copy(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND | FR_MULTIFD,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_load_hanging(&args);
    frt_load_failing(&args, EIO);
    g_string_truncate(args.events, 0);
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_ERROR,
        .error = ESTALE,
    });
    frt_assert_recovery_fails(&args, FILE_TEST_FILENAME,
                              FILE_TEST_FILENAME "|Stale");
    recover_out_of_band(&args, "copy");
    frt_wait_status(args.to, "completed");
    /* The test itself reads the snapshot now. */
    frt_faults_off(0);
    complete(&args);
    frt_faults_end(&args);
}

static bool guest_has_gone_round(void)
{
    g_autofree char *path = frt_path("dest_serial");
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return strchr(text, 'B');
}

/* The vCPU waits for its page, and the other threads continue. */
static void test_vcpu(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_load_hanging(&args);
    frt_wait_vcpu_waits(&args);
    frt_load_failing(&args, EIO);
    recover_and_fail(&args, EIO);
    recover_wrongly(&args);
    g_assert_true(frt_running(args.to));
    /* The guest prints a letter when it has gone through all its memory. */
    g_assert_false(guest_has_gone_round());
    frt_faults_off(0);
    recover_out_of_band(&args, FILE_TEST_FILENAME);
    complete(&args);
    frt_faults_end(&args);
}

/* The reply to a command that was sent, or to one sent before it. */
static void assert_reply(FixedRamTest *t, const char *id, const char *member)
{
    QDict *rsp = qtest_qmp_receive(t->to);

    if (g_strcmp0(qdict_get_try_str(rsp, "id"), id) ||
        !qdict_haskey(rsp, member)) {
        g_autoptr(GString) text = qobject_to_json(QOBJECT(rsp));

        g_test_message("not the \"%s\" to \"%s\": %s", member, id, text->str);
        g_assert_not_reached();
    }
    qobject_unref(rsp);
}

static void send_recover(FixedRamTest *t, const char *name)
{
    g_autofree char *uri = frt_file_uri(name);

    g_string_truncate(t->events, 0);
    qtest_qmp_send(t->to, "{ 'exec-oob': 'migrate-recover', 'id': 'recover', "
                   "'arguments': { 'uri': %s } }", uri);
}

/*
 * The load and the main loop continue.  Another thread answers out-of-band
 * commands, so that answer may come at any place among the replies.
 */
static void assert_all_answered(FixedRamTest *t)
{
    static const char *const in_band[] = { "save", "status" };
    size_t next = 0;
    bool recovered = false;

    while (next < ARRAY_SIZE(in_band) || !recovered) {
        QDict *rsp = qtest_qmp_receive(t->to);
        const char *id = qdict_get_str(rsp, "id");

        g_assert_true(qdict_haskey(rsp, "return"));
        if (g_str_equal(id, "recover")) {
            g_assert_false(recovered);
            recovered = true;
        } else {
            g_assert_cmpuint(next, <, ARRAY_SIZE(in_band));
            g_assert_cmpstr(id, ==, in_band[next++]);
        }
        qobject_unref(rsp);
    }
}

/* The main loop waits for a page: only out-of-band commands are answered. */
static void test_main_loop(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_load_hanging(&args);
    frt_load_failing(&args, EIO);
    frt_occupy_main_loop(&args);
    qtest_qmp_send(args.to, "{ 'execute': 'query-status', 'id': 'status' }");
    for (int i = 0; i < 3; i++) {
        send_recover(&args, "copy");
        assert_reply(&args, "recover", "return");
        frt_wait_told(&args, "postcopy-recover-setup postcopy-paused");
        send_recover(&args, FILE_TEST_FILENAME);
        assert_reply(&args, "recover", "return");
        frt_wait_told(&args, AFTER_PAUSE " postcopy-paused");
    }
    frt_faults_off(0);
    send_recover(&args, FILE_TEST_FILENAME);
    assert_all_answered(&args);
    frt_check_other(&args);
    complete(&args);
    frt_faults_end(&args);
}

/*
 * Reads hang, and the user recovers from a copy.  Neither the load nor the end
 * of the process waits for those reads.
 */

/* Only the old file hangs: the copy takes its name. */
static void complete_hanging(FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autofree char *copy = frt_path("copy");

    frt_wait_status(t->to, "completed");
    g_assert_cmpint(rename(copy, path), ==, 0);
    frt_check_figures(t);
    frt_faults_wait_hanging(0, 1);
}

static void quit_hanging(FixedRamTest *t)
{
    frt_faults_wait_hanging(0, 1);
    qtest_qmp_assert_success(t->to, "{ 'execute': 'quit' }");
    qtest_wait_qemu(t->to);
    t->run = false;
    frt_faults_forget();
}

static void test_hanging_run(bool run)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = run,
        .run = run,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_load_hanging(&args);
    if (run) {
        frt_wait_vcpu_waits(&args);
    }
    migrate_pause(args.to);
    frt_wait_paused(&args, "paused by the user");
    recover_out_of_band(&args, "copy");
    complete_hanging(&args);
    if (run) {
        frt_check(&args);
    } else {
        frt_compare_ram(&args);
    }
    quit_hanging(&args);
    frt_faults_end(&args);
}

static void test_hanging(void)
{
    test_hanging_run(false);
}

static void test_hanging_vcpu(void)
{
    test_hanging_run(true);
}

/* The main loop waits for one of these pages.  In the end all reads return. */
static void test_hanging_main_loop(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND | FR_MULTIFD,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_load_hanging(&args);
    frt_occupy_main_loop(&args);
    qtest_qmp_send(args.to, "{ 'execute': 'query-status', 'id': 'status' }");
    qtest_qmp_send(args.to, "{ 'exec-oob': 'migrate-pause', 'id': 'pause' }");
    assert_reply(&args, "pause", "return");
    frt_wait_told(&args, "postcopy-paused");
    send_recover(&args, "copy");
    assert_all_answered(&args);
    frt_check_other(&args);
    complete_hanging(&args);
    /* The bytes that those reads returned are not used. */
    frt_faults_turn(0, FIXED_RAM_FAULTS_OFF, 0);
    frt_faults_wait_none_hanging(0);
    frt_compare_ram(&args);
    frt_faults_end(&args);
}

/* The file gets shorter than it was. */
static void test_truncated(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autofree char *copy = frt_path("copy");

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_load_hanging(&args);
    g_assert_cmpint(truncate(path, 50 * MiB), ==, 0);
    frt_faults_off(0);
    frt_wait_paused(&args, FILE_TEST_FILENAME "|pc.ram|ends at offset");
    g_string_truncate(args.events, 0);
    frt_assert_recovery_fails(&args, FILE_TEST_FILENAME,
                              FILE_TEST_FILENAME "|pc.ram|end");
    recover_in_band(&args, "copy");
    g_assert_cmpint(rename(copy, path), ==, 0);
    complete(&args);
    frt_faults_end(&args);
}

/* The file was unlinked; QEMU reads it through its descriptor. */
static void test_vanished(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *folder = frt_path("folder");
    g_autofree char *away = frt_path("folder/away");
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autofree char *copy = frt_path("copy");

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    g_assert_cmpint(mkdir(folder, 0700), ==, 0);
    g_assert_cmpint(link(path, away), ==, 0);
    g_free(args.uri);
    args.uri = frt_file_uri("folder/away");
    frt_load_hanging(&args);
    g_assert_cmpint(unlink(away), ==, 0);
    g_assert_cmpint(rmdir(folder), ==, 0);
    g_assert_cmpint(rename(copy, path), ==, 0);
    frt_faults_off(0);
    frt_wait_status(args.to, "completed");
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active completed");
    frt_check(&args);
    frt_faults_end(&args);
}

/*
 * Errors that pass are not reported
 */

static void test_transient(int error, unsigned load, uint64_t first)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = load,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_ERROR,
        .error = error,
        .every = 2,
        .first = first,
    });
    frt_load(&args);
    g_assert_cmpint(frt_faults_injected(0), >, 0);
    g_assert_null(strstr(args.events->str, "paused"));
    frt_faults_off(0);
    frt_check(&args);
    frt_faults_end(&args);
}

static void test_eintr(void)
{
    test_transient(EINTR, FR_DEMAND, 0);
}

static void test_eintr_eager(void)
{
    test_transient(EINTR, FR_FIXED, 0);
}

static void test_eagain(void)
{
    test_transient(EAGAIN, FR_DEMAND, 0);
}

static const FixedRamCase cases[] = {
    { "pause/eio", test_eio },
    { "pause/estale", test_estale, true },
    { "pause/enospc", test_enospc, true },
    { "pause/enolink", test_enolink, true },
    { "pause/copy", test_copy },
    { "pause/vcpu", test_vcpu },
    { "pause/main-loop", test_main_loop },
    { "pause/hanging", test_hanging },
    { "pause/hanging-vcpu", test_hanging_vcpu, true },
    { "pause/hanging-main-loop", test_hanging_main_loop, true },
    { "pause/truncated", test_truncated },
    { "vanished", test_vanished },

    { "transient/eintr", test_eintr },
    { "transient/eintr-eager", test_eintr_eager, true },
    { "transient/eagain", test_eagain, true },
};

void frt_add_read_error_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "read-error", cases, ARRAY_SIZE(cases));
}

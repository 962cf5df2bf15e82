/*
 * Scenarios in which QEMU ends in the middle of a load
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "migration/fixed-ram-exit.h"
#include "migration/fixed-ram-faults.h"
#include "migration/migration-qmp.h"

/*
 * QEMU promises to end within two seconds.  Tests run on machines of all kinds,
 * so they are more patient.
 */
#define PATIENCE_SECONDS 20

static void assert_gone(FixedRamExitTest *test, const char *way)
{
    FixedRamTest *t = &test->scenario;
    gint64 begun = g_get_monotonic_time();

    while (qtest_probe_child(t->to)) {
        g_assert_cmpint(g_get_monotonic_time() - begun, <,
                        PATIENCE_SECONDS * G_USEC_PER_SEC);
        g_usleep(1000);
    }
    g_test_message("%s: gone after %d ms", way,
                   (int)((g_get_monotonic_time() - begun) / 1000));
    /* libqtest looks at it when it closes the connection. */
    qtest_set_expected_status(t->to, test->status);
    frt_faults_forget();
    if (test->after) {
        test->after();
    }
}

static void end_by_signal(FixedRamExitTest *test, int number)
{
    g_assert_cmpint(kill(qtest_pid(test->scenario.to), number), ==, 0);
    assert_gone(test, strsignal(number));
}

static void end_by_quit(FixedRamExitTest *test)
{
    qtest_qmp_send(test->scenario.to, "{ 'execute': 'quit' }");
    assert_gone(test, "quit");
}

void frt_exit_test(FixedRamExitTest *test)
{
    FixedRamTest *t = &test->scenario;

    t->start.oob = true;
    t->start.hide_stderr = true;
    t->save = t->save ?: FR_FIXED;
    if (!(test->kernel ? frt_faults_begin_kernel(t) : frt_faults_begin(t))) {
        return;
    }
    test->enter(t);
    end_by_signal(test, SIGTERM);
    frt_restart_target(t, "defer", "");
    test->enter(t);
    end_by_signal(test, SIGINT);
    if (test->ways & QUIT) {
        frt_restart_target(t, "defer", "");
        test->enter(t);
        end_by_quit(test);
    }
    /* Only the connections are left to be closed. */
    t->run = false;
    frt_faults_end(t);
}

/*
 * States
 */

void frt_enter_preflight(FixedRamTest *t)
{
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_HANG,
    });
    frt_set_mode(t->to, t->load);
    qtest_qmp_send(t->to, "{ 'execute': 'migrate-incoming', "
                   "'arguments': { 'uri': %s } }", t->uri);
    frt_faults_wait_hanging(0, 1);
}

void frt_enter_stream(FixedRamTest *t)
{
    frt_faults_set_devices(t, FIXED_RAM_FAULTS_HANG, 0);
    frt_set_mode(t->to, t->load);
    /* There is no reply if pre-flight reads the devices' state. */
    qtest_qmp_send(t->to, "{ 'execute': 'migrate-incoming', "
                   "'arguments': { 'uri': %s } }", t->uri);
    frt_faults_wait_hanging(1, 1);
}

void frt_enter_hanging(FixedRamTest *t)
{
    frt_load_hanging(t);
    if (t->run) {
        frt_wait_vcpu_waits(t);
    }
}

void frt_enter_paused(FixedRamTest *t)
{
    frt_enter_hanging(t);
    frt_load_failing(t, EIO);
}

void frt_enter_recovering(FixedRamTest *t)
{
    frt_enter_paused(t);
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_HANG,
    });
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-recover', "
                             "'arguments': { 'uri': %s } }", t->uri);
    frt_faults_wait_hanging(0, 1);
}

/*
 * QTest testcases for fixed-ram: its capability and its parameter
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"

#ifdef CONFIG_LINUX
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

/* No guest is needed to set an option. */
#define NO_MACHINE "-machine none -nodefaults "

static bool capability(QTestState *qts, const char *name)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-migrate-capabilities' }");
    QListEntry *entry;
    bool found = false, state = false;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), entry) {
        QDict *cap = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_str_equal(qdict_get_str(cap, "capability"), name)) {
            found = true;
            state = qdict_get_bool(cap, "state");
        }
    }
    g_assert_true(found);
    qobject_unref(rsp);
    return state;
}

static void assert_capabilities(QTestState *qts, bool fixed, bool mapped)
{
    g_assert_cmpint(capability(qts, "fixed-ram"), ==, fixed);
    g_assert_cmpint(capability(qts, "mapped-ram"), ==, mapped);
}

static void set_two(QTestState *qts, const char *a, bool a_state,
                    const char *b, bool b_state)
{
    qtest_qmp_assert_success(
        qts, "{ 'execute': 'migrate-set-capabilities', 'arguments': "
        "{ 'capabilities': [ { 'capability': %s, 'state': %i }, "
        "{ 'capability': %s, 'state': %i } ] } }", a, a_state, b, b_state);
}

static void assert_capability_refused(QTestState *qts, const char *name,
                                      bool state, const char *what)
{
    frt_assert_refused(
        qts, what, "{ 'execute': 'migrate-set-capabilities', 'arguments': "
        "{ 'capabilities': [ { 'capability': %s, 'state': %i } ] } }",
        name, state);
}

static int64_t percent(QTestState *qts)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate-parameters' }");
    int64_t value = qdict_get_int(rsp, "fixed-ram-precopy-percent");

    qobject_unref(rsp);
    return value;
}

static void test_capability(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    assert_capabilities(qts, false, false);
    migrate_set_capability(qts, "fixed-ram", true);
    assert_capabilities(qts, true, true);
    /* Setting what is set already succeeds. */
    migrate_set_capability(qts, "mapped-ram", true);
    migrate_set_capability(qts, "fixed-ram", true);
    assert_capabilities(qts, true, true);
    assert_capability_refused(qts, "mapped-ram", false, "fixed-ram");
    assert_capabilities(qts, true, true);
    migrate_set_capability(qts, "fixed-ram", false);
    assert_capabilities(qts, false, false);
    migrate_set_capability(qts, "fixed-ram", false);

    /* mapped-ram alone is the base's. */
    migrate_set_capability(qts, "mapped-ram", true);
    assert_capabilities(qts, false, true);
    migrate_set_capability(qts, "fixed-ram", true);
    assert_capabilities(qts, true, true);
    migrate_set_capability(qts, "fixed-ram", false);
    assert_capabilities(qts, false, false);
    qtest_quit(qts);
}

static void test_capability_order(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    set_two(qts, "fixed-ram", true, "mapped-ram", true);
    assert_capabilities(qts, true, true);
    set_two(qts, "fixed-ram", false, "mapped-ram", false);
    assert_capabilities(qts, false, false);
    set_two(qts, "mapped-ram", true, "fixed-ram", true);
    assert_capabilities(qts, true, true);
    set_two(qts, "mapped-ram", false, "fixed-ram", false);
    assert_capabilities(qts, false, false);

    /* Together with what a load on demand by several threads needs. */
    set_two(qts, "multifd", true, "fixed-ram", true);
    assert_capabilities(qts, true, true);
    migrate_set_capability(qts, "postcopy-ram", true);
    set_two(qts, "fixed-ram", false, "multifd", false);
    assert_capabilities(qts, false, false);
    qtest_quit(qts);
}

static void test_capability_hmp(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    frt_hmp_silent(qts, "migrate_set_capability fixed-ram on");
    frt_hmp_says(qts, "info migrate_capabilities", "fixed-ram: on");
    frt_hmp_says(qts, "info migrate_capabilities", "mapped-ram: on");
    frt_hmp_says(qts, "migrate_set_capability mapped-ram off", "fixed-ram");
    assert_capabilities(qts, true, true);
    frt_hmp_silent(qts, "migrate_set_capability fixed-ram off");
    assert_capabilities(qts, false, false);
    qtest_quit(qts);
}

static void test_capability_global(void)
{
    QTestState *qts = qtest_init(NO_MACHINE "-global migration.fixed-ram=on "
                                 "-global migration.x-multifd=on");

    assert_capabilities(qts, true, true);
    migrate_set_capability(qts, "fixed-ram", false);
    assert_capabilities(qts, false, false);
    qtest_quit(qts);
}

static void test_percent(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    g_assert_cmpint(percent(qts), ==, 0);
    migrate_set_parameter_int(qts, "fixed-ram-precopy-percent", 100);
    for (int bad = 101; bad <= 1001; bad += 300) {
        frt_assert_refused(
            qts, "fixed-ram-precopy-percent",
            "{ 'execute': 'migrate-set-parameters', "
            "'arguments': { 'fixed-ram-precopy-percent': %d } }", bad);
    }
    frt_assert_refused(
        qts, "fixed-ram-precopy-percent",
        "{ 'execute': 'migrate-set-parameters', "
        "'arguments': { 'fixed-ram-precopy-percent': -1 } }");
    g_assert_cmpint(percent(qts), ==, 100);
    migrate_set_parameter_int(qts, "fixed-ram-precopy-percent", 0);
    qtest_quit(qts);
}

static void test_percent_hmp(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    frt_hmp_silent(qts, "migrate_set_parameter fixed-ram-precopy-percent 40");
    frt_hmp_says(qts, "migrate_set_parameter fixed-ram-precopy-percent 101",
                 "fixed-ram-precopy-percent");
    frt_hmp_says(qts, "info migrate_parameters",
                 "fixed-ram-precopy-percent: 40");
    g_assert_cmpint(percent(qts), ==, 40);
    qtest_quit(qts);
}

static void test_percent_global(void)
{
    QTestState *qts = qtest_init(
        NO_MACHINE "-global migration.fixed-ram-precopy-percent=30");

    g_assert_cmpint(percent(qts), ==, 30);
    qtest_quit(qts);
}

/*
 * The parameters of working sets
 */

static void assert_working_set(QTestState *qts, int record, bool pack,
                               bool use)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate-parameters' }");

    g_assert_cmpint(qdict_get_int(rsp, "fixed-ram-record"), ==, record);
    g_assert_cmpint(qdict_get_bool(rsp, "fixed-ram-record-pack"), ==, pack);
    g_assert_cmpint(qdict_get_bool(rsp, "fixed-ram-working-set"), ==, use);
    qobject_unref(rsp);
}

static void test_working_set(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    assert_working_set(qts, 0, true, true);
    migrate_set_parameter_int(qts, "fixed-ram-record", 65535);
    migrate_set_parameter_bool(qts, "fixed-ram-record-pack", false);
    assert_working_set(qts, 65535, false, true);
    migrate_set_parameter_bool(qts, "fixed-ram-working-set", false);
    assert_working_set(qts, 65535, false, false);
    for (int bad = -1; bad <= 65536; bad += 65537) {
        frt_assert_refused(qts, "fixed-ram-record",
                           "{ 'execute': 'migrate-set-parameters', "
                           "'arguments': { 'fixed-ram-record': %d } }", bad);
    }
    migrate_set_parameter_bool(qts, "fixed-ram-record-pack", true);
    migrate_set_parameter_int(qts, "fixed-ram-record", 0);
    assert_working_set(qts, 0, true, false);
    qtest_quit(qts);
}

static void test_working_set_hmp(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    frt_hmp_silent(qts, "migrate_set_parameter fixed-ram-record 40");
    frt_hmp_silent(qts, "migrate_set_parameter fixed-ram-record-pack off");
    frt_hmp_says(qts, "migrate_set_parameter fixed-ram-record 65536",
                 "fixed-ram-record");
    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-record: 40");
    frt_hmp_says(qts, "info migrate_parameters",
                 "fixed-ram-record-pack: off");
    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-working-set: on");
    frt_hmp_silent(qts, "migrate_set_parameter fixed-ram-working-set off");
    frt_hmp_says(qts, "info migrate_parameters",
                 "fixed-ram-working-set: off");
    assert_working_set(qts, 40, false, false);
    qtest_quit(qts);
}

static void test_describe(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-describe: on");
    migrate_set_parameter_bool(qts, "fixed-ram-describe", false);
    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-describe: off");
    frt_hmp_silent(qts, "migrate_set_parameter fixed-ram-describe on");
    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-describe: on");
    qtest_quit(qts);
    qts = qtest_init(NO_MACHINE "-global migration.fixed-ram-describe=off");
    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-describe: off");
    qtest_quit(qts);
}

static void test_working_set_global(void)
{
    QTestState *qts = qtest_init(
        NO_MACHINE "-global migration.fixed-ram-record=7 "
        "-global migration.fixed-ram-record-pack=off "
        "-global migration.fixed-ram-working-set=off");

    assert_working_set(qts, 7, false, false);
    qtest_quit(qts);
}

/*
 * What does not go together, in both orders
 */

static void assert_excluded(const char *first, const char *name,
                            const char *says)
{
    QTestState *qts = qtest_init(NO_MACHINE);
    g_autofree char *what = g_strdup_printf("fixed-ram|%s", says);

    if (first) {
        migrate_set_capability(qts, first, true);
    }
    migrate_set_capability(qts, "fixed-ram", true);
    assert_capability_refused(qts, name, true, what);
    g_assert_false(capability(qts, name));
    migrate_set_capability(qts, "fixed-ram", false);

    migrate_set_capability(qts, name, true);
    assert_capability_refused(qts, "fixed-ram", true, what);
    assert_capabilities(qts, false, false);
    qtest_quit(qts);
}

static void test_xbzrle(void)
{
    assert_excluded(NULL, "xbzrle", "'xbzrle'");
}

static void test_ignore_shared(void)
{
    assert_excluded(NULL, "x-ignore-shared", "'x-ignore-shared'");
}

static void test_zero_copy_send(void)
{
    assert_excluded("multifd", "zero-copy-send", "'zero-copy-send'");
}

static void test_return_path(void)
{
    assert_excluded(NULL, "return-path", "'return-path'");
}

static void test_postcopy_preempt(void)
{
    assert_excluded("postcopy-ram", "postcopy-preempt", "'postcopy-preempt'");
}

static void test_rdma_pin_all(void)
{
    assert_excluded(NULL, "rdma-pin-all", "'rdma-pin-all'");
}

/* A QEMU without COLO reports that instead. */
static void test_colo(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);
    QDict *rsp;

    migrate_set_capability(qts, "fixed-ram", true);
    rsp = qtest_qmp(qts, "{ 'execute': 'migrate-set-capabilities', "
                    "'arguments': { 'capabilities': [ { 'capability': "
                    "'x-colo', 'state': true } ] } }");
    g_assert_true(qdict_haskey(rsp, "error"));
    g_assert_nonnull(strcasestr(qdict_get_str(qdict_get_qdict(rsp, "error"),
                                              "desc"), "colo"));
    qobject_unref(rsp);
    qtest_quit(qts);
}

static void test_compression(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    migrate_set_capability(qts, "fixed-ram", true);
    frt_assert_refused(qts, "fixed-ram|multifd-compression",
                       "{ 'execute': 'migrate-set-parameters', "
                       "'arguments': { 'multifd-compression': 'zlib' } }");
    migrate_set_capability(qts, "fixed-ram", false);
    migrate_set_parameter_str(qts, "multifd-compression", "zlib");
    assert_capability_refused(qts, "fixed-ram", true,
                              "fixed-ram|multifd-compression");
    assert_capabilities(qts, false, false);
    qtest_quit(qts);
}

static void test_tls(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    migrate_set_capability(qts, "fixed-ram", true);
    frt_assert_refused(qts, "fixed-ram|tls-creds",
                       "{ 'execute': 'migrate-set-parameters', "
                       "'arguments': { 'tls-creds': 'tls0' } }");
    migrate_set_capability(qts, "fixed-ram", false);
    migrate_set_parameter_str(qts, "tls-creds", "tls0");
    assert_capability_refused(qts, "fixed-ram", true, "fixed-ram|tls-creds");
    assert_capabilities(qts, false, false);
    qtest_quit(qts);
}

static const char * const streams[] = {
    "tcp:127.0.0.1:0", "exec:cat", "unix:/nonexistent/socket", "fd:0",
};

static void test_stream_out(void)
{
    QTestState *qts = qtest_init(NO_MACHINE);

    migrate_set_capability(qts, "fixed-ram", true);
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        frt_assert_refused(qts, "seekable",
                           "{ 'execute': 'migrate', "
                           "'arguments': { 'uri': %s } }", streams[i]);
    }
    qtest_quit(qts);
}

static void test_stream_in(void)
{
    QTestState *qts = qtest_init(NO_MACHINE "-incoming defer");

    migrate_set_capability(qts, "fixed-ram", true);
    for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
        frt_assert_refused(qts, "seekable",
                           "{ 'execute': 'migrate-incoming', "
                           "'arguments': { 'uri': %s } }", streams[i]);
    }
    qtest_quit(qts);
}

/* QEMU must refuse to start, and say why. */
static void assert_start_refused(const char *opts, const char *says)
{
    g_autofree char *command = g_strdup_printf(
        "echo quit | %s -display none -monitor stdio " NO_MACHINE "%s",
        g_getenv("QTEST_QEMU_BINARY"), opts);
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    g_autofree char *text = NULL;
    int status = 0;

    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL,
                               G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                               &text, &status, NULL));
    g_assert_cmpint(status, !=, 0);
    if (!strstr(text, says)) {
        g_test_message("%s: does not say \"%s\": %s", opts, says, text);
        g_assert_not_reached();
    }
}

static void test_global_refused(void)
{
    assert_start_refused("-global migration.fixed-ram=on "
                         "-global migration.x-xbzrle=on", "'xbzrle'");
    assert_start_refused("-global migration.x-return-path=on "
                         "-global migration.fixed-ram=on", "'return-path'");
    assert_start_refused("-global migration.fixed-ram=on "
                         "-global migration.x-multifd=on "
                         "-global migration.multifd-compression=zlib",
                         "multifd-compression");
    assert_start_refused("-global migration.fixed-ram-precopy-percent=101",
                         "fixed-ram-precopy-percent");
}

#ifdef CONFIG_LINUX
/* From here on this process and its children get no userfaultfd. */
static bool forbid_userfaultfd(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_userfaultfd, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[1])),
        /* USERFAULTFD_IOC_NEW */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, _IO(0xaa, 0x00), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {
        .len = ARRAY_SIZE(filter),
        .filter = filter,
    };

    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

static void refused_without_userfaultfd(void)
{
    QTestState *qts = qtest_init("-machine none -incoming defer");

    migrate_set_capability(qts, "fixed-ram", true);
    frt_assert_refused(
        qts, "/dev/userfaultfd|vm.unprivileged_userfaultfd",
        "{ 'execute': 'migrate-set-capabilities', 'arguments': "
        "{ 'capabilities': [ { 'capability': 'postcopy-ram', "
        "'state': true } ] } }");
    migrate_set_capability(qts, "fixed-ram", true);
    frt_assert_refused(
        qts, "/dev/userfaultfd|vm.unprivileged_userfaultfd",
        "{ 'execute': 'migrate-set-parameters', "
        "'arguments': { 'fixed-ram-load-mode': 'on-demand' } }");
    migrate_set_capability(qts, "fixed-ram", false);
    migrate_set_parameter_str(qts, "fixed-ram-load-mode", "on-demand");
    assert_capability_refused(qts, "mapped-ram", true, "/dev/userfaultfd");
    migrate_set_parameter_str(qts, "fixed-ram-load-mode", "eager");
    migrate_set_capability(qts, "postcopy-ram", false);
    migrate_set_capability(qts, "mapped-ram", true);
    qtest_quit(qts);
}

/* A mode that only -global asks for does not keep a guest from its load. */
static void eager_without_userfaultfd(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };
    QDict *info;

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpstr(args.events->str, ==, "setup active completed");
    info = migrate_query(args.to);
    g_assert_false(qdict_get_bool(qdict_get_qdict(info, "fixed-ram"),
                                  "on-demand"));
    qobject_unref(info);
    frt_check(&args);
    frt_end(&args);
}

static void run_without_userfaultfd(void (*run)(void))
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        if (!forbid_userfaultfd()) {
            _exit(77);
        }
        run();
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        g_test_skip("seccomp filters are not available");
        return;
    }
    g_assert_cmpint(status, ==, 0);
}

static void test_no_userfaultfd(void)
{
    run_without_userfaultfd(refused_without_userfaultfd);
}

static void test_eager_instead(void)
{
    run_without_userfaultfd(eager_without_userfaultfd);
}
#endif

static const FixedRamCase cases[] = {
    { "capability/qmp", test_capability },
    { "capability/qmp-order", test_capability_order },
    { "capability/hmp", test_capability_hmp },
    { "capability/global", test_capability_global },
    { "percent/qmp", test_percent },
    { "percent/hmp", test_percent_hmp, true },
    { "percent/global", test_percent_global, true },
    { "working-set/qmp", test_working_set },
    { "working-set/hmp", test_working_set_hmp },
    { "working-set/global", test_working_set_global, true },
    { "describe", test_describe },
    { "refused/xbzrle", test_xbzrle },
    { "refused/x-colo", test_colo, true },
    { "refused/x-ignore-shared", test_ignore_shared },
    { "refused/zero-copy-send", test_zero_copy_send, true },
    { "refused/return-path", test_return_path, true },
    { "refused/postcopy-preempt", test_postcopy_preempt },
    { "refused/rdma-pin-all", test_rdma_pin_all, true },
    { "refused/multifd-compression", test_compression },
    { "refused/tls-creds", test_tls },
    { "refused/stream-out", test_stream_out },
    { "refused/stream-in", test_stream_in },
    { "refused/global", test_global_refused, true },
#ifdef CONFIG_LINUX
    { "refused/no-userfaultfd", test_no_userfaultfd },
    { "eager-instead", test_eager_instead },
#endif
};

void frt_add_option_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "option", cases, ARRAY_SIZE(cases));
}

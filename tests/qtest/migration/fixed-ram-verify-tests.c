/*
 * QTest testcases for fixed-ram: what is verified, and what is not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"

static void set_verify(QTestState *qts, const char *value)
{
    migrate_set_parameter_str(qts, "fixed-ram-verify", value);
}

static void assert_parameter(QTestState *qts, const char *value)
{
    QDict *params = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-migrate-parameters' }");

    g_assert_cmpstr(qdict_get_str(params, "fixed-ram-verify"), ==, value);
    qobject_unref(params);
}

static void assert_verified(QTestState *qts, bool yes)
{
    QDict *info = migrate_query(qts);

    g_assert_cmpint(qdict_get_bool(qdict_get_qdict(info, "fixed-ram"),
                                   "verified"), ==, yes);
    qobject_unref(info);
    frt_hmp_says(qts, "info migrate", yes ? "verified by checksums: yes"
                                          : "verified by checksums: no");
}

static void test_parameter(void)
{
    QTestState *qts = qtest_init("-machine none");

    assert_parameter(qts, "on");
    set_verify(qts, "off");
    assert_parameter(qts, "off");
    frt_hmp_says(qts, "info migrate_parameters",
                 "fixed-ram-verify: off");
    frt_hmp_silent(qts, "migrate_set_parameter fixed-ram-verify full");
    assert_parameter(qts, "full");
    qtest_quit(qts);

    qts = qtest_init("-machine none -global migration.fixed-ram-verify=off");
    assert_parameter(qts, "off");
    qtest_quit(qts);
}

/* The load must succeed; @verified: query-migrate says that it was verified. */
static void load_says(unsigned save, bool save_verify, unsigned load,
                      bool load_verify, bool verified)
{
    FixedRamTest args = {
        .save = save,
        .load = load,
        .no_sums = !save_verify,
    };

    if (!frt_start(&args)) {
        return;
    }
    set_verify(args.from, save_verify ? "on" : "off");
    frt_fill(&args);
    frt_save(&args);
    set_verify(args.to, load_verify ? "on" : "off");
    frt_load(&args);
    assert_verified(args.to, verified);
    frt_check(&args);
    frt_end(&args);
}

static void test_on(void)
{
    load_says(FR_FIXED, true, FR_DEMAND, true, true);
}

static void test_on_eager(void)
{
    load_says(FR_FIXED, true, FR_FIXED, true, true);
}

static void test_off(void)
{
    load_says(FR_FIXED, true, FR_DEMAND, false, false);
}

static void test_off_save(void)
{
    load_says(FR_FIXED, false, FR_DEMAND, true, false);
}

static void test_mapped(void)
{
    load_says(FR_MAPPED, true, FR_FIXED, true, false);
}

/* In the middle of the pattern; the second time it is right again. */
static void invert_byte(FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = snapshot_open(path, 0);
    uint64_t at = frt_pattern_block(t, s)->pages_offset +
                  PATTERN_START + PATTERN_BYTES / 4 * 3 + 100;
    int fd = open(path, O_RDWR);
    uint8_t byte = ~s->data[at];

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
    close(fd);
}

/* A loader finds the damaged page, unless the load does not verify. */
static void test_spoiled(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    QDict *info;

    if (!frt_prepare(&args)) {
        return;
    }
    invert_byte(&args);
    frt_set_mode(args.to, args.load);
    frt_incoming(&args, args.uri);
    frt_wait_status(args.to, "postcopy-paused");
    info = migrate_query(args.to);
    g_assert_nonnull(strstr(qdict_get_str(info, "error-desc"), "expected 0x"));
    qobject_unref(info);

    frt_restart_target(&args, "defer", "");
    frt_set_mode(args.to, args.load);
    set_verify(args.to, "off");
    frt_incoming(&args, args.uri);
    frt_wait_status(args.to, "completed");
    assert_verified(args.to, false);
    frt_end(&args);
}

/*
 * All of the file is verified before anything changes.  So after a refusal the
 * same QEMU loads the file when it is right again.
 */
static void load_full(const char *mode)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = mode,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    invert_byte(&args);
    frt_set_mode(args.to, args.load);
    set_verify(args.to, "full");
    frt_assert_refused(args.to, "block|expected 0x", "{ 'execute': "
                       "'migrate-incoming', 'arguments': { 'uri': %s } }",
                       args.uri);
    g_assert_cmpstr(args.events->str, ==, "");
    invert_byte(&args);
    frt_load(&args);
    assert_verified(args.to, true);
    frt_compare(&args);
    frt_end(&args);
}

static void test_full_eager(void)
{
    load_full("eager");
}

static void test_full_on_demand(void)
{
    load_full("on-demand");
}

static void test_full_mapped(void)
{
    load_full("mapped");
}

/* The file is read-only for ever after.  Returns 0 or an errno. */
static int enable_fs_verity(const char *path)
{
    struct fsverity_enable_arg arg = {
        .version = 1,
        .hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
        .block_size = SNAPSHOT_PAGE_SIZE,
    };
    int fd = open(path, O_RDONLY);
    int ret;

    g_assert_cmpint(fd, >=, 0);
    ret = ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) ? errno : 0;
    close(fd);
    return ret;
}

/* The kernel verifies what it reads, and QEMU says so. */
static void test_fs_verity(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };
    g_autofree char *path = NULL;
    int ret;

    if (!frt_prepare(&args)) {
        return;
    }
    path = frt_path(FILE_TEST_FILENAME);
    ret = enable_fs_verity(path);
    if (ret) {
        g_autofree char *why = g_strdup_printf("no fs-verity in '%s': %s",
                                               path, strerror(ret));

        g_test_skip(why);
    } else {
        frt_load(&args);
        assert_verified(args.to, true);
        frt_check(&args);
    }
    frt_end(&args);
}

/* Without checksums QEMU cannot do what was asked for. */
static void test_full_no_sums(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .load = FR_FIXED,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, args.load);
    set_verify(args.to, "full");
    frt_assert_refused(args.to, "has no checksums", "{ 'execute': "
                       "'migrate-incoming', 'arguments': { 'uri': %s } }",
                       args.uri);
    set_verify(args.to, "on");
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/* The error describes the saved machine and this machine. */
static void test_machine(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    const char *incoming = "{ 'execute': 'migrate-incoming', 'arguments': "
                           "{ 'uri': %s, 'exit-on-error': false } }";

    if (!frt_prepare(&args)) {
        return;
    }
    frt_restart_target(&args, "defer", "-m 96M");
    frt_set_mode(args.to, args.load);
    frt_assert_refused(args.to, "was saved with 150 MiB of RAM, this machine "
                       "has 96 MiB", incoming, args.uri);

    frt_restart_target(&args, "defer", "-machine isapc");
    frt_set_mode(args.to, args.load);
    frt_assert_refused(args.to, "was saved from machine type pc-|, this is "
                       "isapc", incoming, args.uri);

    /* The same machine with one more RAM block. */
    frt_restart_target(&args, "defer", "-device isa-vga");
    frt_set_mode(args.to, args.load);
    frt_assert_refused(args.to, "RAM block", incoming, args.uri);

    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/* What fails in the devices' state may be explained by the options, too. */
static void test_devices(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.opts_source = "-smp 2",
        .save = FR_FIXED,
        .load = FR_FIXED,
    };
    static const char *completed[] = { "completed", NULL };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, args.load);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': false } }", args.uri);
    wait_for_migration_status(args.to, "failed", completed);
    frt_assert_reason(args.to,
                      "it was saved with -smp 2, this QEMU has no -smp");
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "parameter", test_parameter },
    { "on", test_on },
    { "on-eager", test_on_eager, true },
    { "off", test_off, true },
    { "off-save", test_off_save },
    { "mapped", test_mapped },
    { "spoiled", test_spoiled },
    { "full/eager", test_full_eager, true },
    { "full/on-demand", test_full_on_demand },
    { "full/mapped", test_full_mapped },
    { "full/no-sums", test_full_no_sums },
    { "fs-verity", test_fs_verity },
    { "machine", test_machine, true },
    { "devices", test_devices, true },
};

void frt_add_verify_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "verify", cases, ARRAY_SIZE(cases));
}

/*
 * QTest testcases for fixed-ram: what is verified, and what is not
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"

static void set_verify(QTestState *who, bool on)
{
    qtest_qmp_assert_success(who, "{ 'execute': 'migrate-set-parameters', "
                             "'arguments': { 'fixed-ram-verify': %i } }", on);
}

static void assert_parameter(QTestState *who, bool on)
{
    QDict *params = qtest_qmp_assert_success_ref(
        who, "{ 'execute': 'query-migrate-parameters' }");

    g_assert_cmpint(qdict_get_bool(params, "fixed-ram-verify"), ==, on);
    qobject_unref(params);
}

static void assert_verified(QTestState *who, bool yes)
{
    QDict *info = migrate_query(who);

    g_assert_cmpint(qdict_get_bool(qdict_get_qdict(info, "fixed-ram"),
                                   "verified"), ==, yes);
    qobject_unref(info);
    fixed_ram_hmp_says(who, "info migrate", yes ? "verified by checksums: yes"
                                                : "verified by checksums: no");
}

static void test_parameter(void)
{
    QTestState *who = qtest_init("-machine none");

    assert_parameter(who, true);
    set_verify(who, false);
    assert_parameter(who, false);
    fixed_ram_hmp_says(who, "info migrate_parameters",
                       "fixed-ram-verify: off");
    fixed_ram_hmp_says(who, "migrate_set_parameter fixed-ram-verify on", "");
    assert_parameter(who, true);
    qtest_quit(who);

    who = qtest_init("-machine none -global migration.fixed-ram-verify=off");
    assert_parameter(who, false);
    qtest_quit(who);
}

/* A load that is right; is it verified? */
static void load_says(unsigned save, bool save_verify, unsigned load,
                      bool load_verify, bool verified)
{
    FixedRamTest args = {
        .save = save,
        .load = load,
        .no_sums = !save_verify,
    };

    if (!fixed_ram_start(&args)) {
        return;
    }
    set_verify(args.from, save_verify);
    fixed_ram_fill(&args);
    fixed_ram_save(&args);
    set_verify(args.to, load_verify);
    fixed_ram_load(&args);
    assert_verified(args.to, verified);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
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

/* The byte that was in the middle of the pattern is another one now. */
static void spoil_pattern(FixedRamTest *t)
{
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = snapshot_open(path, 0);
    uint64_t at = fixed_ram_pattern_block(t, s)->pages_offset +
                  PATTERN_START + PATTERN_BYTES / 4 * 3 + 100;
    int fd = open(path, O_RDWR);
    uint8_t byte = ~s->data[at];

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
    close(fd);
}

/* Nobody asks for the page: it is found all the same, unless nobody looks. */
static void test_spoiled(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    QDict *info;

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    spoil_pattern(&args);
    fixed_ram_set_mode(args.to, args.load);
    fixed_ram_incoming(&args, args.uri);
    fixed_ram_wait_status(args.to, "postcopy-paused");
    info = migrate_query(args.to);
    g_assert_nonnull(strstr(qdict_get_str(info, "error-desc"), "expected 0x"));
    qobject_unref(info);

    fixed_ram_restart_target(&args, "defer", "");
    fixed_ram_set_mode(args.to, args.load);
    set_verify(args.to, false);
    fixed_ram_incoming(&args, args.uri);
    fixed_ram_wait_status(args.to, "completed");
    assert_verified(args.to, false);
    fixed_ram_end(&args);
}

/* What was saved, and what this is. */
static void test_machine(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    const char *incoming = "{ 'execute': 'migrate-incoming', 'arguments': "
                           "{ 'uri': %s, 'exit-on-error': false } }";

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    fixed_ram_restart_target(&args, "defer", "-m 96M");
    fixed_ram_set_mode(args.to, args.load);
    fixed_ram_assert_refused(args.to, "was saved from pc-|MiB of RAM, this is "
                             "pc-|with 96 MiB|the sizes of RAM differ",
                             incoming, args.uri);

    fixed_ram_restart_target(&args, "defer", "-machine isapc");
    fixed_ram_set_mode(args.to, args.load);
    fixed_ram_assert_refused(args.to, "was saved from pc-|this is isapc|the "
                             "machine types differ", incoming, args.uri);

    /* The same machine but for one block more. */
    fixed_ram_restart_target(&args, "defer", "-device isa-vga");
    fixed_ram_set_mode(args.to, args.load);
    fixed_ram_assert_refused(args.to, "was saved from pc-|RAM block", incoming,
                             args.uri);

    fixed_ram_restart_target(&args, "defer", "");
    fixed_ram_load(&args);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static const FixedRamCase cases[] = {
    { "verify/parameter", test_parameter },
    { "verify/on", test_on },
    { "verify/on-eager", test_on_eager, true },
    { "verify/off", test_off, true },
    { "verify/off-save", test_off_save },
    { "verify/mapped", test_mapped },
    { "verify/spoiled", test_spoiled },
    { "verify/machine", test_machine, true },
};

void fixed_ram_add_verify_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}

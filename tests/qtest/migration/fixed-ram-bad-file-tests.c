/*
 * QTest testcases for fixed-ram: what cannot be loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * migrate-incoming reports the error before anything has changed.  So each of
 * these tests then loads the good snapshot with the same QEMU.
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"

static void assert_load_refused(FixedRamTest *t, const char *uri,
                                const char *what)
{
    frt_assert_refused(t->to, what, "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", uri);
    g_assert_cmpstr(t->events->str, ==, "");
}

/*
 * @spoil damages "other", a copy.  Its load is refused; then the snapshot
 * loads.
 */
static void test_bad_file(unsigned load, void (*spoil)(const char *path),
                          const char *what)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = load,
    };
    g_autofree char *path = frt_path("other");
    g_autofree char *uri = frt_file_uri("other");
    g_autofree char *says = g_strdup_printf("other|%s", what);

    if (!frt_prepare(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "other");
    spoil(path);
    frt_set_mode(args.to, load);
    assert_load_refused(&args, uri, says);
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

static void spoil_missing(const char *path)
{
    unlink(path);
}

static void test_missing(void)
{
    test_bad_file(FR_DEMAND, spoil_missing, "No such file");
}

static void test_missing_eager(void)
{
    test_bad_file(FR_FIXED, spoil_missing, "No such file");
}

static void spoil_empty(const char *path)
{
    g_assert_cmpint(truncate(path, 0), ==, 0);
}

static void test_empty(void)
{
    test_bad_file(FR_DEMAND, spoil_empty, "ends");
}

static void spoil_text(const char *path)
{
    g_assert(g_file_set_contents(path, "This is not what you look for.", -1,
                                 NULL));
}

static void test_text(void)
{
    test_bad_file(FR_DEMAND, spoil_text, "not a VM snapshot");
}

static void spoil_header(const char *path)
{
    g_assert_cmpint(truncate(path, 80), ==, 0);
}

static void test_truncated_header(void)
{
    test_bad_file(FR_DEMAND, spoil_header, "ends");
}

static void spoil_pages(const char *path)
{
    g_assert_cmpint(truncate(path, 64 * MiB), ==, 0);
}

static void test_truncated_pages(void)
{
    test_bad_file(FR_DEMAND, spoil_pages, "pc.ram|end");
}

static void test_truncated_pages_eager(void)
{
    test_bad_file(FR_FIXED, spoil_pages, "pc.ram|end");
}

static void spoil_directory(const char *path)
{
    unlink(path);
    g_assert_cmpint(mkdir(path, 0700), ==, 0);
}

static void test_directory(void)
{
    g_autofree char *path = frt_path("other");

    test_bad_file(FR_DEMAND, spoil_directory, "not a regular file");
    rmdir(path);
}

/* One bit of the length in the header of pc.ram. */
static void spoil_length(const char *path)
{
    g_autoptr(Snapshot) s = snapshot_open(path, 0);
    const uint8_t *name = memmem(s->data, 64 * KiB, "\x06pc.ram", 7);
    int fd = open(path, O_WRONLY);
    uint64_t length;

    g_assert_nonnull(name);
    g_assert_cmpint(fd, >=, 0);
    length = cpu_to_be64(ldq_be_p(name + 7) ^ (1ULL << 46));
    g_assert_cmpint(pwrite(fd, &length, 8, name + 7 - s->data), ==, 8);
    close(fd);
}

static void test_flipped_length(void)
{
    test_bad_file(FR_DEMAND, spoil_length, "pc.ram|offset 0x");
}

static void test_flipped_length_eager(void)
{
    test_bad_file(FR_FIXED, spoil_length, "pc.ram|offset 0x");
}

/* A migration stream whose pages have no fixed offsets. */
static void test_no_places(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *uri = frt_file_uri("copy");

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, FR_FIXED);
    frt_incoming(&args, args.uri);
    frt_wait_status(args.to, "completed");
    migrate_set_capability(args.to, "fixed-ram", false);
    migrate_ensure_converge(args.to);
    migrate_qmp(args.to, NULL, uri, NULL, "{}");
    frt_wait_status(args.to, "completed");

    frt_restart_target(&args, "defer", "");
    frt_set_mode(args.to, FR_DEMAND);
    assert_load_refused(&args, uri, "copy|mapped-ram");
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/* Without an index only the list of blocks tells the machines apart. */
static void test_ram_size(unsigned load)
{
    FixedRamTest args = {
        .save = FR_MAPPED,
        .load = load,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    args.start.memory_backend = "-m 160M";
    frt_restart_target(&args, "defer", "");
    frt_set_mode(args.to, load);
    assert_load_refused(&args, args.uri, FILE_TEST_FILENAME "|pc.ram");
    g_assert_false(frt_running(args.to));
    frt_end(&args);
}

static void test_ram_size_demand(void)
{
    test_ram_size(FR_DEMAND);
}

static void test_ram_size_eager(void)
{
    test_ram_size(FR_FIXED);
}

static const FixedRamCase cases[] = {
    { "missing-demand", test_missing },
    { "missing-eager", test_missing_eager, true },
    { "empty", test_empty, true },
    { "text", test_text, true },
    { "directory", test_directory, true },
    { "truncated-header", test_truncated_header, true },
    { "truncated-pages-demand", test_truncated_pages },
    { "truncated-pages-eager", test_truncated_pages_eager, true },
    { "flipped-length-demand", test_flipped_length, true },
    { "flipped-length-eager", test_flipped_length_eager, true },
    { "no-places", test_no_places, true },
    { "ram-size-demand", test_ram_size_demand, true },
    { "ram-size-eager", test_ram_size_eager, true },
};

void frt_add_bad_file_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "bad-file", cases, ARRAY_SIZE(cases));
}

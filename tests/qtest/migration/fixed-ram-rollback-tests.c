/*
 * QTest testcases for fixed-ram: back to the snapshot that is mapped
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/bootfile.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-pause.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define MAPPED \
    .save = FR_FIXED, \
    .load = FR_FIXED, \
    .load_mode = "mapped"

#define ROUNDS          6
#define ROUNDS_FULL     100
#define WRITES          300
/* Multiples of 16: then QEMU has just freed its old memory maps. */
#define GROWTH_WARM     256
#define GROWTH_ROUNDS   2048
#define GROWTH_MANY     10240
#define GROWTH_TIMES    3

#define ROLLBACK_HMP    "fixed_ram_rollback -k"

static void assert_status(QTestState *qts, const char *status)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-status' }");

    g_assert_cmpstr(qdict_get_str(rsp, "status"), ==, status);
    qobject_unref(rsp);
}

/*
 * Work between a load and a rollback
 */

/* The guest adds one to a byte of each of its pages, round after round. */
static void let_guest_work(QTestState *qts)
{
    uint8_t before = qtest_readb(qts, X86_TEST_MEM_START);

    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
    while (qtest_readb(qts, X86_TEST_MEM_START) == before) {
        g_usleep(1000);
    }
    qtest_qmp_assert_success(qts, "{ 'execute': 'stop' }");
}

/* Pages anywhere: written to, of data and of zeros. */
static void scribble(QTestState *qts, GRand *rand)
{
    for (int i = 0; i < WRITES; i++) {
        uint64_t page = g_rand_int_range(rand, 0, 149 * MiB / KiB / 4);
        uint64_t length = g_rand_int_range(rand, 1, 3 * SNAPSHOT_PAGE_SIZE);

        /* Leave video memory and the firmware's windows alone. */
        if (page >= 160 && page < 256) {
            continue;
        }
        qtest_memset(qts, page * SNAPSHOT_PAGE_SIZE, g_rand_int(rand), length);
    }
}

/* Timers, interrupt controllers, the serial line, the palette, the RTC. */
static void change_devices(QTestState *qts, GRand *rand)
{
    static const uint16_t ports[] = { 0x21, 0xa1, 0x42, 0x3fb, 0x3c8, 0x3c9 };

    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        qtest_outb(qts, ports[i], g_rand_int(rand));
    }
    qtest_outb(qts, 0x70, 0x40 + g_rand_int_range(rand, 0, 16));
    qtest_outb(qts, 0x71, g_rand_int(rand));
    qtest_memset(qts, 0xb8000, g_rand_int(rand), 4000);
}

static void work(FixedRamTest *t, GRand *rand)
{
    let_guest_work(t->to);
    scribble(t->to, rand);
    change_devices(t->to, rand);
}

/*
 * The oracle: what is saved after a rollback is what is saved after a load
 */

static void check_against(const Snapshot *want, FixedRamTest *t)
{
    g_autoptr(Snapshot) have = NULL;

    have = frt_save_and_open(t);
    snapshot_assert_same_ram(want, have);
    g_assert_true(snapshot_same_devices(want, have, false));
    /* As the load had it; frt_save_and_open() has cleared it. */
    frt_set_mode(t->to, t->load);
}

/* The guest of a fresh load, saved: devices differ a bit from the snapshot. */
static Snapshot *save_fresh(FixedRamTest *t)
{
    g_autofree char *path = frt_path("other");
    Snapshot *s;

    frt_save_again(t->to, t->load, "other");
    s = snapshot_open(path, 0);
    frt_set_mode(t->to, t->load);
    return s;
}

static void check_rounds(FixedRamTest *t, unsigned rounds)
{
    g_autofree char *before = frt_file_sum(FILE_TEST_FILENAME), *after = NULL;
    g_autoptr(Snapshot) fresh = NULL, s = frt_open_snapshot(t);
    GRand *rand = g_rand_new_with_seed(20261);

    frt_load(t);
    fresh = save_fresh(t);
    snapshot_assert_same_ram(s, fresh);
    for (unsigned i = 0; i < rounds; i++) {
        frt_roll_back(t);
        assert_status(t->to, "paused");
        work(t, rand);
        frt_roll_back(t);
        check_against(fresh, t);
    }
    after = frt_file_sum(FILE_TEST_FILENAME);
    g_assert_cmpstr(before, ==, after);
    g_rand_free(rand);
}

static void test_rounds(FixedRamTest *t, unsigned rounds)
{
    if (frt_prepare(t)) {
        check_rounds(t, rounds);
        frt_end(t);
    }
}

static void test_oracle(void)
{
    FixedRamTest args = { MAPPED };

    test_rounds(&args, ROUNDS);
}

static void test_oracle_many(void)
{
    FixedRamTest args = { MAPPED };

    test_rounds(&args, ROUNDS_FULL);
}

/* A file of mapped-ram has no index and no checksums. */
static void test_mapped_ram(void)
{
    FixedRamTest args = {
        .save = FR_MAPPED,
        .load = FR_MAPPED,
        .load_mode = "mapped",
    };

    test_rounds(&args, 2);
}

/* The kernel does not tell which pages were written to. */
static void test_no_scan(void)
{
    FixedRamTest args = { MAPPED };

    g_setenv("QEMU_FIXED_RAM_NO_PAGEMAP_SCAN", "1", true);
    test_rounds(&args, 2);
    g_unsetenv("QEMU_FIXED_RAM_NO_PAGEMAP_SCAN");
}

/* The file has old bytes in the place of zero pages. */
static void test_stale(void)
{
    FixedRamTest args = {
        MAPPED,
        .start.hide_stderr = true,
        .live = true,
        .wipe = true,
    };
    g_autoptr(Snapshot) s = NULL;
    GRand *rand;

    if (!frt_prepare(&args)) {
        return;
    }
    s = frt_open_snapshot(&args);
    g_assert_cmpuint(snapshot_stale_pages(s), >, 0);
    rand = g_rand_new_with_seed(4711);
    frt_load(&args);
    for (int i = 0; i < 3; i++) {
        scribble(args.to, rand);
        frt_write_pattern(args.to);
        frt_roll_back(&args);
        /* It was saved while it ran. */
        assert_status(args.to, "running");
    }
    qtest_qmp_assert_success(args.to, "{ 'execute': 'stop' }");
    frt_check_pattern(&args, s);
    g_rand_free(rand);
    frt_end(&args);
}

/*
 * Translated code.  The guest's program prints a letter; the test changes the
 * letter, and the program prints that, until a rollback.
 */

/* Of "mov $66,%ax" in the program at 0x7c00. */
#define LETTER_ADDRESS  0x7c68
#define LETTER          'B'
#define OTHER           'Z'

/* Wait until the serial line has more of @letter than before. */
static void wait_letter(char letter)
{
    g_autofree char *path = frt_path("dest_serial");
    size_t seen = 0;

    for (bool first = true; ; first = false) {
        g_autofree char *text = NULL;
        size_t length, count = 0;

        g_assert_true(g_file_get_contents(path, &text, &length, NULL));
        for (size_t i = 0; i < length; i++) {
            count += text[i] == letter;
        }
        if (!first && count > seen + 1) {
            return;
        }
        if (first) {
            seen = count;
        }
        g_usleep(1000);
    }
}

static void test_code(void)
{
    FixedRamTest args = { MAPPED, .live = true, .run = true };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(qtest_readb(args.to, LETTER_ADDRESS), ==, LETTER);
        wait_letter(LETTER);
        qtest_writeb(args.to, LETTER_ADDRESS, OTHER);
        wait_letter(OTHER);
        frt_roll_back(&args);
        assert_status(args.to, "running");
    }
    wait_letter(LETTER);
    frt_end(&args);
}

/*
 * A page that came from the copy of a recovery is the file's again, and can be
 * recovered again.
 */
static void test_recovered(void)
{
    g_autofree char *uri = frt_file_uri(FILE_TEST_FILENAME);
    FixedRamTest args = {
        MAPPED,
        .start.oob = true,
        .start.hide_stderr = true,
    };

    if (!frt_faults_begin_kernel(&args)) {
        return;
    }
    frt_load(&args);
    frt_faults_set_pages(&args, FIXED_RAM_FAULTS_ERROR, EIO);
    frt_occupy_main_loop(&args);
    frt_wait_told(&args, "completed postcopy-paused");
    qtest_qmp_send(args.to, "{ 'exec-oob': 'migrate-recover', 'id': 'recover', "
                   "'arguments': { 'uri': %s } }", uri);
    for (bool saved = false; !saved; ) {
        QDict *reply = qtest_qmp_receive(args.to);

        g_assert_true(qdict_haskey(reply, "return"));
        saved = g_str_equal(qdict_get_str(reply, "id"), "save");
        qobject_unref(reply);
    }
    frt_wait_status(args.to, "completed");
    frt_faults_off(0);
    frt_change_memory(args.to);
    frt_roll_back(&args);
    frt_compare_ram(&args);
    frt_faults_end(&args);
}

/*
 * States
 */

static void test_states(void)
{
    FixedRamTest args = { MAPPED };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    /* Running, reset, and as a save leaves it: paused in the end. */
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    frt_roll_back(&args);
    assert_status(args.to, "paused");
    qtest_qmp_assert_success(args.to, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(args.to, "RESET");
    frt_roll_back(&args);
    assert_status(args.to, "paused");
    frt_save_again(args.to, args.load, "other");
    assert_status(args.to, "postmigrate");
    frt_roll_back(&args);
    assert_status(args.to, "paused");
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    g_assert_true(frt_running(args.to));
    frt_hmp_silent(args.to, ROLLBACK_HMP);
    frt_compare(&args);
    frt_end(&args);
}

/*
 * Nothing grows
 */

typedef struct Size {
    unsigned fds;
    unsigned mappings;
    uint64_t kib;               /* of anonymous memory */
} Size;

static char *proc(QTestState *qts, const char *name)
{
    return g_strdup_printf("/proc/%d/%s", (int)qtest_pid(qts), name);
}

static Size measure(QTestState *qts)
{
    g_autofree char *fds = proc(qts, "fd"), *maps = proc(qts, "maps");
    g_autofree char *status = proc(qts, "status");
    g_autofree char *text = NULL, *lines = NULL;
    GDir *dir = g_dir_open(fds, 0, NULL);
    Size size = { };

    g_assert_true(g_file_get_contents(maps, &lines, NULL, NULL));
    g_assert_true(g_file_get_contents(status, &text, NULL, NULL));
    while (g_dir_read_name(dir)) {
        size.fds++;
    }
    for (const char *at = lines; (at = strchr(at, '\n')); at++) {
        size.mappings++;
    }
    size.kib = g_ascii_strtoull(strstr(text, "RssAnon:") + 8, NULL, 10);
    g_dir_close(dir);
    return size;
}

static void roll_back_often(FixedRamTest *t, GRand *rand, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        qtest_memset(t->to, (105 + g_rand_int_range(rand, 0, 40)) * MiB, 1,
                     64 * KiB);
        frt_roll_back(t);
    }
}

static bool has_grown(const Size *before, const Size *after)
{
    g_test_message("%u fds, %u mappings, %" PRIu64 " KiB; %u fds, %u "
                   "mappings, %" PRIu64 " KiB", before->fds, before->mappings,
                   before->kib, after->fds, after->mappings, after->kib);
    return after->fds != before->fds ||
           after->mappings > before->mappings + 8 ||
           after->kib > before->kib + 8 * KiB;
}

/*
 * What leaks grows each time.  The allocator's free memory grows as well, but
 * not each time: when the thread that frees old memory maps lags as never
 * before, on a busy host by 30 MiB, which the allocator keeps.
 */
static void growth(unsigned rounds)
{
    FixedRamTest args = { MAPPED };
    bool grown = true;
    GRand *rand;
    Size before, after;

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    rand = g_rand_new_with_seed(17);
    roll_back_often(&args, rand, GROWTH_WARM);
    after = measure(args.to);
    for (unsigned i = 0; i < GROWTH_TIMES && grown; i++) {
        before = after;
        roll_back_often(&args, rand, rounds);
        after = measure(args.to);
        grown = has_grown(&before, &after);
    }
    g_assert_false(grown);
    g_rand_free(rand);
    frt_compare_ram(&args);
    frt_end(&args);
}

static void test_growth(void)
{
    growth(GROWTH_ROUNDS);
}

/* This takes minutes: "migration-test -m thorough -p PATH" runs it. */
static void test_growth_many(void)
{
    if (g_test_thorough()) {
        growth(GROWTH_MANY);
    } else {
        g_test_skip("only with -m thorough");
    }
}

static const FixedRamCase cases[] = {
    { "oracle", test_oracle },
    { "oracle-many", test_oracle_many, true },
    { "mapped-ram", test_mapped_ram },
    { "no-scan", test_no_scan },
    { "stale", test_stale },
    { "code", test_code },
    { "recovered", test_recovered },
    { "states", test_states },
    { "growth-many", test_growth_many, true },
    { "growth", test_growth },
};

void frt_add_rollback_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "rollback", cases, ARRAY_SIZE(cases));
}

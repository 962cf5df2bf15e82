/*
 * QTest testcases for fixed-ram: working sets that a live save guesses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/bootfile.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/fixed-ram-working-set.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/*
 * The guest writes to its 100 MiB all the time.  So that these are no large
 * part of its data, other memory gets data that it does not change.
 */
#define LARGE           "-m 560M"
#define COLD_START      (112 * MiB)
#define COLD_BYTES      (400 * MiB)

/* How many of the pages from @start to before @end are in the set? */
static uint64_t pages_in_set(const Snapshot *s, const SnapshotIndex *index,
                             uint64_t start, uint64_t end)
{
    const uint8_t *run = s->data + index->list_offset;
    uint64_t found = 0;

    start /= SNAPSHOT_PAGE_SIZE;
    end /= SNAPSHOT_PAGE_SIZE;
    for (uint64_t i = 0; i < index->set_runs; i++, run += 16) {
        const SnapshotBlock *block = &g_array_index(s->blocks, SnapshotBlock,
                                                    lduw_le_p(run));
        uint64_t first = MAX(ldq_le_p(run + 8), start);
        uint64_t last = MIN(ldq_le_p(run + 8) + ldl_le_p(run + 4), end);

        if (block == snapshot_largest_block(s) && first < last) {
            found += last - first;
        }
    }
    return found;
}

/* Up to a save that has passed through all memory twice. */
static bool begin_save(FixedRamTest *t)
{
    if (!frt_start(t)) {
        return false;
    }
    frt_fill(t);
    if (t->start.opts_source) {
        qtest_memset(t->from, COLD_START, 0x5a, COLD_BYTES);
    }
    frt_save_begin(t, t->uri);
    migrate_set_parameter_int(t->from, "max-bandwidth", 200 * MiB);
    frt_wait_rounds(t->from, 3);
    return true;
}

static void end_save(FixedRamTest *t)
{
    migrate_ensure_converge(t->from);
    frt_wait_saved(t->from);
    frt_check_saved(t);
}

/* What the guest wrote last is in the set, and hardly anything else. */
static void check_set(FixedRamTest *t)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    g_autoptr(SnapshotIndex) index = snapshot_index_open(s);
    uint64_t cold;

    g_assert_true(index->has_set);
    g_assert_cmpuint(index->set_kind, ==, 2);
    g_assert_cmpuint(index->pack_offset, ==, 0);
    g_assert_cmpuint(pages_in_set(s, index, PATTERN_START,
                                  PATTERN_START + PATTERN_BYTES), ==,
                     PATTERN_BYTES / SNAPSHOT_PAGE_SIZE);
    g_assert_cmpuint(pages_in_set(s, index, X86_TEST_MEM_START,
                                  X86_TEST_MEM_END), >, 0);
    cold = pages_in_set(s, index, COLD_START, COLD_START + COLD_BYTES);
    g_assert_cmpuint(cold, ==, 0);
}

static void assert_no_set(FixedRamTest *t)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    g_autoptr(SnapshotIndex) index = snapshot_index_open(s);

    g_assert_false(index->has_set);
}

static void assert_kind(QTestState *qts, const char *kind)
{
    QDict *info = migrate_query(qts);
    QDict *set = qdict_get_qdict(qdict_get_qdict(info, "fixed-ram"),
                                 "working-set");

    g_assert_cmpstr(qdict_get_str(set, "kind"), ==, kind);
    qobject_unref(info);
}

/* Save a guest that writes on and on, load it with the set and without. */
static void save_and_load(unsigned save)
{
    FixedRamTest args = {
        .save = save,
        .load = FR_DEMAND,
        .live = true,
        .start.opts_source = LARGE,
        .start.opts_target = LARGE,
    };

    if (!begin_save(&args)) {
        return;
    }
    /* The round in which this is saved must be one of the last two. */
    migrate_ensure_non_converge(args.from);
    frt_write_pattern(args.from);
    end_save(&args);
    check_set(&args);

    frt_load(&args);
    assert_kind(args.to, "guessed");
    g_assert_cmpint(frt_set_figure(args.to, "working-set", "placed"), >, 0);
    frt_hmp_says(args.to, "info migrate", "fixed-ram working set: ");
    frt_check_figures(&args);
    frt_compare_ram(&args);

    frt_restart_target(&args, "defer", "");
    migrate_set_parameter_bool(args.to, "fixed-ram-working-set", false);
    frt_load(&args);
    g_assert_false(frt_has_group(args.to, "working-set"));
    frt_end(&args);
}

static void test_plain(void)
{
    save_and_load(FR_FIXED);
}

static void test_multifd(void)
{
    save_and_load(FR_FIXED | FR_MULTIFD);
}

/* A record takes the place of the guess. */
static void test_record(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .start.opts_source = LARGE,
        .start.opts_target = LARGE,
    };

    if (!begin_save(&args)) {
        return;
    }
    end_save(&args);
    frt_set_record(args.to, 1);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    g_assert_false(frt_has_group(args.to, "working-set"));
    frt_touch_pages(args.to);
    frt_end_record(&args, NULL);
    frt_check_order(&args, true);
    frt_end(&args);
}

/* The parameter of the saving side. */
static void test_off(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .live = true,
        .start.opts_source =
            LARGE " -global migration.fixed-ram-working-set=off",
    };

    if (!begin_save(&args)) {
        return;
    }
    end_save(&args);
    assert_no_set(&args);
    frt_end(&args);
}

/* The guest changes nearly all of its memory. */
static void test_all(void)
{
    FixedRamTest args = { .save = FR_FIXED, .live = true };

    if (!begin_save(&args)) {
        return;
    }
    migrate_ensure_non_converge(args.from);
    frt_write_pattern(args.from);
    end_save(&args);
    assert_no_set(&args);
    frt_end(&args);
}

static void test_stopped(void)
{
    FixedRamTest args = { .save = FR_FIXED };

    if (!frt_prepare(&args)) {
        return;
    }
    assert_no_set(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "plain", test_plain },
    { "multifd", test_multifd },
    { "record", test_record },
    { "off", test_off, true },
    { "all", test_all },
    { "stopped", test_stopped },
};

void frt_add_guess_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "guess", cases, ARRAY_SIZE(cases));
}

/*
 * QTest testcases for fixed-ram: deltas of guests whose RAM is a mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-delta.h"
#include "migration/fixed-ram-faults.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define MAPPED  "-global migration.fixed-ram-load-mode=mapped"

/* The pages of each layer are mapped from its file, and a rollback does so. */
static void test_load(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_FIXED, .load_mode = "mapped",
    };

    if (!frt_delta_prepare(&args)) {
        return;
    }
    frt_load(&args);
    frt_assert_loaded(&args, "copy");
    frt_wipe_pattern(args.to);
    frt_roll_back(&args);
    frt_assert_loaded(&args, "copy");
    frt_end(&args);
}

/* A delta of a guest that was loaded from a delta takes the layers of that. */
static void test_chain(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_FIXED, .load_mode = "mapped",
    };
    g_autofree uint8_t *want = g_malloc(PATTERN_BYTES);

    if (!frt_delta_prepare(&args)) {
        return;
    }
    frt_load(&args);
    qtest_memset(args.to, PATTERN_START + 5 * MiB, 0x99, 100 * KiB);
    qtest_memset(args.to, FRT_CHANGED, 0, 8 * KiB);
    frt_read_memory(args.to, PATTERN_START, want, PATTERN_BYTES);
    frt_save_target(&args, FILE_TEST_FILENAME, "disk");
    g_assert_cmpuint(frt_disk_bytes("disk"), <, 4 * MiB);
    frt_load_target(&args, "disk");
    frt_assert_pattern(args.to, want);
    frt_load_target_with(&args, "disk", MAPPED);
    frt_assert_pattern(args.to, want);
    frt_end(&args);
}

/* The kernel tells what has changed, and nothing else is compared. */
static void test_kernel(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    if (!frt_delta_begin(&args)) {
        return;
    }
    frt_load_target(&args, "other");
    frt_delta_change(args.to);
    frt_save_target(&args, "", "copy");
    frt_load_target_with(&args, "other", MAPPED);
    frt_delta_change(args.to);
    frt_save_target(&args, "other", FILE_TEST_FILENAME);
    g_assert_cmpuint(frt_disk_bytes(FILE_TEST_FILENAME), <,
                     frt_disk_bytes("copy") - 6 * MiB);
    frt_assert_delta_bitmaps(&args);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_assert_loaded(&args, "copy");
    frt_end(&args);
}

/* A mapping of another snapshot is compared by its content. */
static void test_other(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_FIXED };

    if (!frt_delta_begin(&args)) {
        return;
    }
    frt_load_target(&args, "other");
    frt_delta_change(args.to);
    frt_save_target(&args, "", "copy");
    frt_load_target_with(&args, "copy", MAPPED);
    frt_save_target(&args, "other", FILE_TEST_FILENAME);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_assert_loaded(&args, "copy");
    frt_end(&args);
}

/*
 * After the kernel has told, pages are written to in clusters that were left to
 * the base: one gets other content, one becomes zero.
 */
static void test_torn(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_FIXED };
    g_autofree uint8_t *want = g_malloc(PATTERN_BYTES);
    g_autofree char *path = frt_path("other");
    g_autoptr(Snapshot) base = NULL;
    uint64_t pages;

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    frt_save_base(&args);
    base = snapshot_open(path, 0);
    pages = frt_pattern_block(&args, base)->pages_offset;
    frt_load_target_with(&args, "other", MAPPED);
    frt_delta_change(args.to);
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = pages + FRT_CHANGED,
        .end = pages + FRT_CHANGED + FRT_CHANGED_BYTES,
    });
    frt_set_base(args.to, "other");
    frt_set_mode(args.to, args.save);
    migrate_ensure_converge(args.to);
    migrate_qmp(args.to, NULL, args.uri, NULL, "{}");
    frt_faults_wait_hanging(0, 1);
    qtest_writel(args.to, PATTERN_START + 5 * MiB + 8192, 0xabcdef01);
    qtest_memset(args.to, PATTERN_START + 5 * MiB + 200 * KiB, 0, 4096);
    frt_read_memory(args.to, PATTERN_START, want, PATTERN_BYTES);
    frt_faults_off(0);
    frt_wait_saved(args.to);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_assert_pattern(args.to, want);
    frt_faults_end(&args);
}

static const FixedRamCase cases[] = {
    { "load", test_load },
    { "chain", test_chain },
    { "kernel", test_kernel },
    { "other", test_other },
    { "torn", test_torn },
};

void frt_add_delta_mapped_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "delta-mapped", cases, ARRAY_SIZE(cases));
}

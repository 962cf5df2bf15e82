/*
 * What scenarios of deltas are made of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-delta.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

void frt_set_base(QTestState *qts, const char *name)
{
    g_autofree char *path = *name ? frt_path(name) : g_strdup("");

    migrate_set_parameter_str(qts, "fixed-ram-base", path);
}

void frt_save_target(FixedRamTest *t, const char *base, const char *name)
{
    g_autofree char *uri = frt_file_uri(name);

    frt_set_base(t->to, base);
    frt_set_mode(t->to, t->save);
    migrate_ensure_converge(t->to);
    migrate_qmp(t->to, NULL, uri, NULL, "{}");
    frt_wait_saved(t->to);
}

void frt_load_target_with(FixedRamTest *t, const char *name, const char *opts)
{
    g_autofree char *uri = frt_file_uri(name);

    frt_restart_target(t, "defer", opts);
    frt_set_mode(t->to, FR_FIXED);
    frt_incoming(t, uri);
    frt_wait_status(t->to, "completed");
}

void frt_load_target(FixedRamTest *t, const char *name)
{
    frt_load_target_with(t, name, "");
}

void frt_delta_change(QTestState *qts)
{
    qtest_memset(qts, FRT_CHANGED, 0x77, FRT_CHANGED_BYTES);
    for (unsigned i = 0; i < 8; i++) {
        qtest_writel(qts, PATTERN_START + i * 300 * KiB, 0x12345678);
    }
    qtest_memset(qts, PATTERN_START + 6 * MiB, 0, 100 * KiB);
    qtest_writel(qts, PATTERN_START - 10 * MiB, 0x87654321);
}

void frt_save_base(FixedRamTest *t)
{
    g_autofree char *uri = frt_file_uri("other");

    frt_set_mode(t->from, FR_FIXED);
    migrate_ensure_converge(t->from);
    migrate_qmp(t->from, NULL, uri, NULL, "{}");
    frt_wait_saved(t->from);
}

bool frt_delta_begin(FixedRamTest *t)
{
    if (!frt_start(t)) {
        return false;
    }
    frt_fill(t);
    frt_save_base(t);
    return true;
}

uint64_t frt_disk_bytes(const char *name)
{
    g_autofree char *path = frt_path(name);
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return st.st_blocks * 512ULL;
}

void frt_assert_loaded(FixedRamTest *t, const char *name)
{
    g_autofree char *path = frt_path(name);
    g_autoptr(Snapshot) want = snapshot_open(path, 0);
    g_autoptr(Snapshot) have = frt_save_and_open(t);

    snapshot_assert_same_ram(want, have);
}

/* In a block's header a byte, the name, and the length come before it. */
static void assert_versions(const Snapshot *s, uint32_t version)
{
    for (guint i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *b = &g_array_index(s->blocks, SnapshotBlock, i);

        g_assert_cmpuint(ldl_be_p(s->data + b->header_offset + 1 +
                                  strlen(b->name) + 8), ==, version);
    }
}

void frt_assert_delta_bitmaps(FixedRamTest *t)
{
    g_autofree char *path = frt_path("copy");
    g_autoptr(Snapshot) want = snapshot_open(path, 0);
    g_autoptr(Snapshot) have = frt_open_snapshot(t);

    assert_versions(want, 1);
    assert_versions(have, 2);
    snapshot_assert_same_bitmaps(want, have);
}

void frt_assert_pattern(QTestState *qts, const uint8_t *want)
{
    g_autofree uint8_t *have = g_malloc(PATTERN_BYTES);
    size_t same = 0;

    frt_read_memory(qts, PATTERN_START, have, PATTERN_BYTES);
    while (same < PATTERN_BYTES && want[same] == have[same]) {
        same++;
    }
    g_assert_cmphex(same, ==, PATTERN_BYTES);
}

bool frt_delta_prepare(FixedRamTest *t)
{
    g_autofree char *mode = t->load_mode
        ? g_strdup_printf("-global migration.fixed-ram-load-mode=%s",
                          t->load_mode) : g_strdup("");

    if (!frt_delta_begin(t)) {
        return false;
    }
    frt_load_target(t, "other");
    frt_delta_change(t->to);
    frt_save_target(t, "", "copy");
    frt_load_target(t, "other");
    frt_delta_change(t->to);
    frt_save_target(t, "other", FILE_TEST_FILENAME);
    /* What has changed, and the devices' state. */
    g_assert_cmpuint(frt_disk_bytes(FILE_TEST_FILENAME), <,
                     frt_disk_bytes("copy") - 6 * MiB);
    frt_restart_target(t, "defer", mode);
    return true;
}

/*
 * What scenarios of live saves are made of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/bootfile.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-live.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

void frt_live_check_moment(const Snapshot *s)
{
    const SnapshotBlock *block = snapshot_block(s, "pc.ram");
    uint64_t first = X86_TEST_MEM_START / SNAPSHOT_PAGE_SIZE;
    uint64_t end = X86_TEST_MEM_END / SNAPSHOT_PAGE_SIZE;
    uint8_t now = snapshot_page(block, first)[0];
    bool edge = false;

    for (uint64_t page = first; page < end; page++) {
        uint8_t byte = snapshot_page(block, page)[0];

        if (byte != now) {
            g_assert_false(edge);
            g_assert_cmpuint(byte, ==, (uint8_t)(now - 1));
            edge = true;
            now = byte;
        }
    }
}

/* The snapshot is complete, and what it should be; the guest runs on. */
static void check_saved(FixedRamTest *t)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);

    g_assert_true(frt_running(t->from));
    snapshot_check_index(s, !t->no_sums);
    g_assert_cmpuint(snapshot_stale_pages(s), ==, 0);
    frt_check_pattern(t, s);
    frt_live_check_moment(s);
}

bool frt_live_start(FixedRamTest *t)
{
    if (!migration_get_env()->has_uffd) {
        g_test_skip("there is no userfaultfd here");
        return false;
    }
    t->live = true;
    t->save |= FR_FIXED;
    return true;
}

void frt_live_begin(FixedRamTest *t)
{
    frt_set_mode(t->from, t->save);
    migrate_set_capability(t->from, "background-snapshot", true);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
}

void frt_live_wait_running(QTestState *qts)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;

    while (!frt_running(qts)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

void frt_live_wait_complete(FixedRamTest *t)
{
    wait_for_migration_complete(t->from);
    frt_live_wait_running(t->from);
}

void frt_live_wait_saved(FixedRamTest *t)
{
    frt_live_wait_complete(t);
    check_saved(t);
}

static bool begin_held_from(FixedRamTest *t, uint64_t first)
{
    if (!frt_live_start(t) || !frt_faults_begin_save(t)) {
        return false;
    }
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = first,
        .end = FRT_LIVE_PAGES_END,
    });
    frt_live_begin(t);
    frt_faults_wait_hanging(0, 1);
    frt_live_wait_running(t->from);
    return true;
}

bool frt_live_begin_held(FixedRamTest *t)
{
    return begin_held_from(t, 2 * MiB);
}

bool frt_live_begin_held_late(FixedRamTest *t)
{
    return begin_held_from(t, X86_TEST_MEM_END + 2 * MiB);
}

void frt_live_release(FixedRamTest *t)
{
    frt_faults_off(0);
    frt_live_wait_saved(t);
    frt_faults_end(t);
}

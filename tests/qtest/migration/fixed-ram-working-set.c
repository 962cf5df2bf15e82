/*
 * Scenarios that record working sets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-working-set.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* Pages of the pattern, zero and not, in the order in which they are read. */
static const unsigned touched[FRT_TOUCHED] = {
    1900, 3, 2, 2047, 700, 701, 702, 256, 511, 1200, 0,
};

uint64_t frt_touched_addr(size_t i)
{
    return PATTERN_START + touched[i] * SNAPSHOT_PAGE_SIZE;
}

void frt_touch_pages(QTestState *qts)
{
    for (size_t i = 0; i < FRT_TOUCHED; i++) {
        qtest_readb(qts, frt_touched_addr(i));
    }
}

void frt_set_record(QTestState *qts, int seconds)
{
    migrate_set_parameter_int(qts, "fixed-ram-record", seconds);
}

/* A member of query-migrate's "working-set" or "record". */
int64_t frt_set_figure(QTestState *qts, const char *group, const char *name)
{
    QDict *info = migrate_query(qts);
    QDict *stats = qdict_get_qdict(info, "fixed-ram");
    int64_t value;

    g_assert_true(qdict_haskey(stats, group));
    value = qdict_get_int(qdict_get_qdict(stats, group), name);
    qobject_unref(info);
    return value;
}

bool frt_has_group(QTestState *qts, const char *group)
{
    QDict *info = migrate_query(qts);
    bool has = qdict_haskey(qdict_get_qdict(info, "fixed-ram"), group);

    qobject_unref(info);
    return has;
}

void frt_assert_record(QTestState *qts, const char *status)
{
    QDict *info = migrate_query(qts);
    QDict *stats = qdict_get_qdict(info, "fixed-ram");

    g_assert_cmpstr(qdict_get_str(qdict_get_qdict(stats, "record"), "status"),
                    ==, status);
    qobject_unref(info);
}

/* Wait until the set has been written, or not because of @why. */
void frt_wait_written(FixedRamTest *t, const char *why)
{
    QDict *event = qtest_qmp_eventwait_ref(t->to, "FIXED_RAM_WORKING_SET");
    QDict *data = qdict_get_qdict(event, "data");
    const char *error = qdict_get_try_str(data, "error");

    if (why) {
        g_assert_nonnull(error);
        if (!strstr(error, why)) {
            g_test_message("\"%s\" does not say \"%s\"", error, why);
            g_assert_not_reached();
        }
        frt_assert_record(t->to, "failed");
        frt_hmp_says(t->to, "info migrate", "fixed-ram record: failed");
        frt_hmp_says(t->to, "info migrate", why);
    } else {
        g_assert_cmpstr(error, ==, NULL);
        frt_assert_record(t->to, "written");
        frt_hmp_says(t->to, "info migrate", "fixed-ram record: written");
        g_assert_cmpint(frt_set_figure(t->to, "record", "pages"), ==,
                        qdict_get_int(data, "pages"));
        g_assert_cmpint(frt_set_figure(t->to, "record", "packed"), ==,
                        qdict_get_int(data, "packed"));
        g_assert_cmpint(qdict_get_int(data, "data-pages"), <=,
                        qdict_get_int(data, "pages"));
    }
    qobject_unref(event);
}

/* Up to a load that records: the guest waits for cont. */
bool frt_begin_record(FixedRamTest *t)
{
    if (!frt_prepare(t)) {
        return false;
    }
    frt_set_record(t->to, 1);
    frt_load_begin(t);
    frt_wait_status(t->to, "postcopy-active");
    frt_touch_pages(t->to);
    frt_assert_record(t->to, "recording");
    g_assert_cmpint(frt_set_figure(t->to, "record", "pages"), >=,
                    FRT_TOUCHED);
    g_assert_cmpint(frt_figure(t->to, "loader-bytes"), ==, 0);
    return true;
}

/* The guest runs for the time of the record. */
void frt_end_record(FixedRamTest *t, const char *why)
{
    qtest_qmp_assert_success(t->to, "{ 'execute': 'cont' }");
    frt_wait_written(t, why);
    frt_wait_status(t->to, "completed");
}

/* The set names the pages that were touched, in this order. */
void frt_check_order(FixedRamTest *t, bool packed)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    g_autoptr(SnapshotIndex) index = snapshot_index_open(s);
    const SnapshotBlock *block = frt_pattern_block(t, s);
    const uint8_t *run = s->data + index->list_offset;
    size_t found = 0;

    g_assert_true(index->has_set);
    g_assert_cmpuint(index->set_kind, ==, 1);
    g_assert_cmpint(index->pack_offset != 0, ==, packed);
    for (uint64_t i = 0; i < index->set_runs; i++, run += 16) {
        uint32_t number = lduw_le_p(run), pages = ldl_le_p(run + 4);
        uint64_t first = ldq_le_p(run + 8);

        if (&g_array_index(s->blocks, SnapshotBlock, number) != block) {
            continue;
        }
        for (uint64_t page = first; page < first + pages; page++) {
            if (found < FRT_TOUCHED &&
                page == frt_touched_addr(found) / SNAPSHOT_PAGE_SIZE) {
                found++;
            }
        }
    }
    g_assert_cmpuint(found, ==, FRT_TOUCHED);
}

/* Load once more, on demand and with the set; the guest stays paused. */
void frt_load_with_set(FixedRamTest *t)
{
    frt_restart_target(t, "defer", "");
    frt_load_begin(t);
    frt_wait_status(t->to, "completed");
    g_assert_cmpint(frt_set_figure(t->to, "working-set", "pages"), >=,
                    FRT_TOUCHED);
    g_assert_cmpint(frt_set_figure(t->to, "working-set", "placed"), >, 0);
    g_assert_cmpint(frt_set_figure(t->to, "working-set", "placed"), <=,
                    frt_set_figure(t->to, "working-set", "pages"));
    g_assert_cmpint(frt_set_figure(t->to, "working-set", "faults-outside"), <=,
                    frt_figure(t->to, "faults"));
    frt_hmp_says(t->to, "info migrate", "fixed-ram working set: ");
    frt_check_figures(t);
    frt_compare(t);
}

char *frt_read_snapshot(const FixedRamTest *t, gsize *length)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    char *bytes;

    g_assert_true(g_file_get_contents(path, &bytes, length, NULL));
    return bytes;
}

/*
 * What fixed-ram's scenarios do during a load and during its pause
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

/* How often to check that the main thread still waits. */
#define ROUNDS                  10
#define ROUND_USEC              30000

void frt_begin_crawl(FixedRamTest *t)
{
    g_assert(t->crawl && t->start.oob);
    frt_load_begin(t);
    frt_wait_status(t->to, "postcopy-active");
}

void frt_pause(FixedRamTest *t)
{
    qtest_qmp_assert_success(t->to, "{ 'exec-oob': 'migrate-pause', "
                             "'id': 'pause' }");
    frt_wait_status(t->to, "postcopy-paused");
}

void frt_recover(FixedRamTest *t)
{
    migrate_recover(t->to, t->uri);
    /* Not much may have been left to load. */
    frt_wait_status(t->to, "postcopy-active|completed");
}

void frt_assert_recovery_fails(FixedRamTest *t, const char *name,
                               const char *what)
{
    g_autofree char *uri = frt_file_uri(name);

    g_string_truncate(t->events, 0);
    migrate_recover(t->to, uri);
    frt_wait_status(t->to, "postcopy-paused");
    frt_wait_event(t, "postcopy-paused");
    g_assert_cmpstr(t->events->str, ==,
                    "postcopy-recover-setup postcopy-paused");
    frt_assert_reason(t->to, what);
}

bool frt_in_both_states(FixedRamTest *t, FixedRamAction *action)
{
    if (!frt_prepare(t)) {
        return false;
    }
    frt_begin_crawl(t);
    action(t, false);
    frt_pause(t);
    action(t, true);
    frt_recover(t);
    return true;
}

void frt_finish(FixedRamTest *t)
{
    frt_load_rest(t);
    frt_check(t);
    frt_end(t);
}

void frt_compare_ram_up_to(FixedRamTest *t, uint64_t end)
{
    g_autoptr(Snapshot) want = frt_open_snapshot(t);
    g_autoptr(Snapshot) have = NULL;

    have = frt_save_and_open(t);
    for (size_t i = 0; i < want->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(want->blocks,
                                                    SnapshotBlock, i);
        uint64_t length = block == frt_pattern_block(t, want)
            ? end : block->length;

        if (snapshot_block(have, block->name)) {
            snapshot_assert_same_range(want, have, block->name, 0,
                                       length / SNAPSHOT_PAGE_SIZE);
        }
    }
}

/* These commands start a job, whose error query-jobs reports. */
void frt_snapshot_job(QTestState *qts, const char *command,
                      const char *refusal)
{
    QDict *rsp = NULL, *job;

    qtest_qmp_assert_success(qts, "{ 'execute': %s, 'arguments': { 'job-id': "
                             "'job0', 'tag': 'x', 'vmstate': 'disk0', "
                             "'devices': [ 'disk0' ] } }", command);
    do {
        qobject_unref(rsp);
        rsp = qtest_qmp(qts, "{ 'execute': 'query-jobs' }");
        job = qobject_to(QDict, qlist_peek(qdict_get_qlist(rsp, "return")));
        g_assert_nonnull(job);
    } while (!g_str_equal(qdict_get_str(job, "status"), "concluded"));
    if (refusal) {
        g_assert_nonnull(strstr(qdict_get_str(job, "error"), refusal));
    } else {
        g_assert_cmpstr(qdict_get_try_str(job, "error"), ==, NULL);
    }
    qobject_unref(rsp);
    qtest_qmp_assert_success(qts, "{ 'execute': 'job-dismiss', "
                             "'arguments': { 'id': 'job0' } }");
}

void frt_start_waiting_cpu(FixedRamTest *t)
{
    int64_t before = frt_figure(t->to, "faults");

    qtest_qmp_assert_success(t->to, "{ 'execute': 'cont' }");
    while (frt_figure(t->to, "faults") == before) {
        g_usleep(1000);
    }
}

/* Takes replies until @last; returns a letter for each, in order. */
static char *take_replies(QTestState *qts, const char *last)
{
    GString *seen = g_string_new(NULL);
    bool done = false;

    while (!done) {
        QDict *reply = qtest_qmp_receive(qts);
        const char *id = qdict_get_str(reply, "id");

        if (!qdict_haskey(reply, "return")) {
            g_test_message("%s: %s", id, qdict_get_str(
                               qdict_get_qdict(reply, "error"), "desc"));
            g_assert_not_reached();
        }
        g_string_append_c(seen, id[0]);
        done = g_str_equal(id, last);
        qobject_unref(reply);
    }
    return g_string_free(seen, false);
}

void frt_assert_waits(FixedRamTest *t, const char *fmt, ...)
{
    g_autofree char *rest = NULL;
    va_list ap;

    va_start(ap, fmt);
    qtest_qmp_vsend(t->to, fmt, ap);
    va_end(ap);
    /* Some commands are answered at once, and carried out before the next. */
    qtest_qmp_send(t->to, "{ 'execute': 'query-status', 'id': 'later' }");
    for (int i = 0; i < ROUNDS; i++) {
        g_autofree char *seen = NULL;

        qtest_qmp_send(t->to, "{ 'exec-oob': 'query-yank', 'id': 'oob' }");
        seen = take_replies(t->to, "oob");
        g_assert_null(strchr(seen, 'l'));
        g_usleep(ROUND_USEC);
    }
    qtest_qmp_send(t->to, "{ 'exec-oob': 'migrate-recover', 'id': 'recover', "
                   "'arguments': { 'uri': %s } }", t->uri);
    rest = take_replies(t->to, "later");
    if (!strchr(rest, 'r')) {
        g_free(take_replies(t->to, "recover"));
    }
    frt_wait_status(t->to, "postcopy-active");
}

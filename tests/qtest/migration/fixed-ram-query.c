/*
 * Asking and telling QEMU in fixed-ram's scenarios
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"

#define LOAD_JOB "fixed-ram-load"

/* Member @name of query-migrate's member @group. */
static int64_t figure_of(QTestState *qts, const char *group, const char *name)
{
    QDict *info = migrate_query(qts);
    int64_t value;

    g_assert(qdict_haskey(info, group));
    value = qdict_get_int(qdict_get_qdict(info, group), name);
    qobject_unref(info);
    return value;
}

int64_t frt_figure(QTestState *qts, const char *name)
{
    return figure_of(qts, "fixed-ram", name);
}

int64_t frt_ram_figure(QTestState *qts, const char *name)
{
    return figure_of(qts, "ram", name);
}

void frt_wait_status(QTestState *qts, const char *status)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;
    g_auto(GStrv) wanted = g_strsplit(status, "|", 0);

    while (true) {
        QDict *info = migrate_query_not_failed(qts);
        const char *now = qdict_get_try_str(info, "status");
        bool there = now && g_strv_contains((const char *const *)wanted, now);
        bool completed = !g_strcmp0(now, "completed");

        qobject_unref(info);
        if (there) {
            return;
        }
        g_assert_false(completed);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/* What a change of the job's status is called here; NULL: it is another job. */
static char *job_event(QDict *event)
{
    QDict *data = qdict_get_qdict(event, "data");

    return g_str_equal(qdict_get_str(data, "id"), LOAD_JOB)
        ? g_strdup_printf("job-%s", qdict_get_str(data, "status")) : NULL;
}

bool frt_record_event(QTestState *qts, const char *name, QDict *event,
                         void *opaque)
{
    GString *events = opaque;
    g_autofree char *job = NULL;

    if (g_str_equal(name, "MIGRATION")) {
        name = qdict_get_str(qdict_get_qdict(event, "data"), "status");
    } else if (g_str_equal(name, "JOB_STATUS_CHANGE")) {
        job = job_event(event);
        if (!job) {
            return false;
        }
        name = job;
    } else if (!g_str_equal(name, "STOP") && !g_str_equal(name, "RESUME")) {
        return false;
    }
    g_string_append_printf(events, "%s%s", events->len ? " " : "", name);
    return true;
}

QDict *frt_load_job(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-jobs' }");
    QDict *job = NULL;
    QListEntry *entry;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(rsp, "return"), entry) {
        QDict *one = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_str_equal(qdict_get_str(one, "id"), LOAD_JOB)) {
            job = qobject_ref(one);
        }
    }
    qobject_unref(rsp);
    return job;
}

void frt_wait_job(QTestState *qts, const char *status)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;
    bool there = false;

    while (!there) {
        QDict *job = frt_load_job(qts);

        there = !g_strcmp0(job ? qdict_get_str(job, "status") : NULL, status);
        g_assert_true(job || there);
        qobject_unref(job);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

void frt_assert_reason(QTestState *qts, const char *what)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;
    QDict *info = migrate_query(qts);

    while (!qdict_haskey(info, "error-desc")) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        qobject_unref(info);
        g_usleep(1000);
        info = migrate_query(qts);
    }
    frt_assert_says(qdict_get_str(info, "error-desc"), what);
    qobject_unref(info);
}

void frt_wait_event(FixedRamTest *t, const char *event)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;

    while (!strstr(t->events->str, event)) {
        qobject_unref(migrate_query_not_failed(t->to));
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

void frt_wait_told(FixedRamTest *t, const char *event)
{
    while (!strstr(t->events->str, event)) {
        QDict *told = qtest_qmp_receive_dict(t->to);

        g_assert_true(qdict_haskey(told, "event"));
        frt_record_event(t->to, qdict_get_str(told, "event"), told, t->events);
        qobject_unref(told);
    }
}

void frt_roll_back(FixedRamTest *t)
{
    qtest_qmp_assert_success(t->to, FRT_ROLLBACK);
}

bool frt_running(QTestState *qts)
{
    QDict *status = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-status' }");
    bool running = qdict_get_bool(status, "running");

    qobject_unref(status);
    return running;
}

bool frt_base_is(QTestState *qts, int major, int minor)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-version' }");
    QDict *version = qdict_get_qdict(rsp, "qemu");
    int64_t found = qdict_get_int(version, "major") * 100 +
                    qdict_get_int(version, "minor");

    qobject_unref(rsp);
    return found >= major * 100 + minor;
}

void frt_assert_says(const char *text, const char *what)
{
    g_auto(GStrv) parts = g_strsplit(what, "|", -1);

    for (size_t i = 0; parts[i]; i++) {
        if (!strstr(text, parts[i])) {
            g_test_message("\"%s\" does not say \"%s\"", text, parts[i]);
            g_assert_not_reached();
        }
    }
}

void frt_assert_refused(QTestState *qts, const char *what,
                        const char *fmt, ...)
{
    va_list ap;
    QDict *rsp;

    va_start(ap, fmt);
    rsp = qtest_vqmp(qts, fmt, ap);
    va_end(ap);
    if (!qdict_haskey(rsp, "error")) {
        g_test_message("not refused, though it should: %s", what);
        g_assert_not_reached();
    }
    frt_assert_says(qdict_get_str(qdict_get_qdict(rsp, "error"), "desc"), what);
    qobject_unref(rsp);
}

void frt_hmp_says(QTestState *qts, const char *command,
                  const char *what)
{
    g_autofree char *text = qtest_hmp(qts, "%s", command);

    if (!strstr(text, what)) {
        g_test_message("%s does not say \"%s\": %s", command, what, text);
        g_assert_not_reached();
    }
}

void frt_hmp_silent(QTestState *qts, const char *command)
{
    g_autofree char *text = qtest_hmp(qts, "%s", command);

    g_assert_cmpstr(text, ==, "");
}

/*
 * A snapshot that is spoiled in many ways, and loaded each time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-hostile.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define OPTIONS         "-machine pc -nodefaults -vga none -m 2M -rtc clock=vm"
#define LOW_MEMORY      (640 * 1024)
#define HIGH_MEMORY     (1024 * 1024)
#define MEMORY_END      (2 * 1024 * 1024)
#define WAIT_SECONDS    240

static const char *const outcome_names[] = {
    "refused", "failed", "paused", "loaded",
};

/*
 * The machines
 */

static QTestState *start_machine(const char *more)
{
    return qtest_initf(OPTIONS " %s %s", more,
                       getenv("QTEST_LOG") ? "" : "2>/dev/null");
}

/* Some pages are data, each with a content of its own, and some are zero. */
static void fill_memory(QTestState *qts)
{
    for (uint64_t at = 0; at < MEMORY_END; at += SNAPSHOT_PAGE_SIZE) {
        uint64_t page = at / SNAPSHOT_PAGE_SIZE;

        if ((at < LOW_MEMORY || at >= HIGH_MEMORY) && page % 5 &&
            page / 32 != 10) {
            qtest_memset(qts, at, 1 + page % 255, SNAPSHOT_PAGE_SIZE);
        }
    }
}

static void save_machine(unsigned mode)
{
    g_autofree char *uri = frt_file_uri(FILE_TEST_FILENAME);
    QTestState *from = start_machine("");

    fill_memory(from);
    frt_set_mode(from, mode);
    migrate_ensure_converge(from);
    migrate_qmp(from, NULL, uri, NULL, "{}");
    frt_wait_status(from, "completed");
    qtest_quit(from);
}

void hostile_start(Hostile *h, unsigned save)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autofree char *other = frt_path("other");

    h->save = save;
    save_machine(save);
    frt_copy_file(FILE_TEST_FILENAME, "other");
    h->good = snapshot_open(path, 0);
    h->uri = frt_file_uri("other");
    h->fd = open(other, O_RDWR);
    g_assert_cmpint(h->fd, >=, 0);
    h->load = FR_FIXED;
}

void hostile_end(Hostile *h)
{
    g_test_message("%u tried: %u refused, %u failed before the guest ran, "
                   "%u paused, %u loaded and right", h->tried,
                   h->count[REFUSED], h->count[FAILED], h->count[PAUSED],
                   h->count[LOADED]);
    if (h->to) {
        qtest_quit(h->to);
    }
    snapshot_close(h->good);
    close(h->fd);
    frt_remove_files();
    g_free(h->uri);
    g_assert_cmpuint(h->wrong, ==, 0);
}

/*
 * A load
 */

/* Eager and on demand in turn. */
static void next_mode(Hostile *h)
{
    bool demand = !(h->load & FR_POSTCOPY) && migration_get_env()->has_uffd;

    h->load = demand ? FR_DEMAND : FR_FIXED;
    if (h->to) {
        migrate_set_capability(h->to, "postcopy-ram", demand);
    } else {
        h->to = start_machine("-incoming defer");
        frt_set_mode(h->to, h->load);
    }
}

/* Each error of pre-flight names the file and the offset. */
static bool incoming(Hostile *h)
{
    QDict *rsp = qtest_qmp(h->to, "{ 'execute': 'migrate-incoming', "
                           "'arguments': { 'uri': %s, 'exit-on-error': false "
                           "} }", h->uri);
    bool ok = qdict_haskey(rsp, "return");

    if (!ok) {
        const char *text = qdict_get_str(qdict_get_qdict(rsp, "error"),
                                         "desc");

        if (!strstr(text, "other'") || !strstr(text, "offset 0x")) {
            g_test_message("file and offset are not in: %s", text);
            g_assert_not_reached();
        }
    }
    qobject_unref(rsp);
    return ok;
}

HostileOutcome hostile_ending(Hostile *h)
{
    QDict *info = migrate_query(h->to);
    const char *status = qdict_get_try_str(info, "status");
    HostileOutcome outcome = OUTCOMES;

    if (!g_strcmp0(status, "completed")) {
        outcome = LOADED;
    } else if (!g_strcmp0(status, "failed")) {
        outcome = FAILED;
    } else if (!g_strcmp0(status, "postcopy-paused")) {
        outcome = PAUSED;
    }
    /* A load that goes on may already have the reason why it will pause. */
    if (outcome != OUTCOMES) {
        g_assert_cmpint(outcome != LOADED, ==,
                        qdict_haskey(info, "error-desc"));
    }
    qobject_unref(info);
    return outcome;
}

static HostileOutcome wait_for_end(Hostile *h)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;
    HostileOutcome outcome;

    while ((outcome = hostile_ending(h)) == OUTCOMES) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(500);
    }
    return outcome;
}

void hostile_check_loaded(Hostile *h, const Snapshot *want)
{
    g_autofree char *again = frt_path("again");
    g_autoptr(Snapshot) have = NULL;

    frt_save_again(h->to, h->load, "again");
    have = snapshot_open(again, 0);
    snapshot_assert_same_ram(want, have);
}

HostileOutcome hostile_begin(Hostile *h)
{
    HostileOutcome outcome = REFUSED;

    next_mode(h);
    if (incoming(h)) {
        outcome = wait_for_end(h);
        if (outcome == FAILED) {
            g_assert_false(frt_running(h->to));
        }
    }
    h->tried++;
    h->count[outcome]++;
    return outcome;
}

void hostile_finish(Hostile *h, HostileOutcome outcome)
{
    if (outcome != REFUSED) {
        qtest_quit(h->to);
        h->to = NULL;
    }
}

HostileOutcome hostile_try(Hostile *h, const Snapshot *want)
{
    HostileOutcome outcome = hostile_begin(h);

    if (outcome == LOADED && want) {
        hostile_check_loaded(h, want);
    }
    hostile_finish(h, outcome);
    return outcome;
}

void hostile_wrong(Hostile *h, const char *what, uint64_t at,
                   HostileOutcome outcome)
{
    g_test_message("%s at 0x%" PRIx64 ": %s", what, at,
                   outcome_names[outcome]);
    h->wrong++;
}

void hostile_load_good_after(Hostile *h, void (*spoil)(Hostile *h),
                            void (*mend)(Hostile *h))
{
    for (int i = 0; i < 2; i++) {
        spoil(h);
        g_assert_cmpint(hostile_try(h, h->good), ==, REFUSED);
        mend(h);
        g_assert_cmpint(hostile_try(h, h->good), ==, LOADED);
    }
}

/*
 * Bytes
 */

void hostile_flip(Hostile *h, uint64_t at, uint8_t mask)
{
    uint8_t byte;

    g_assert_cmpint(pread(h->fd, &byte, 1, at), ==, 1);
    byte ^= mask;
    g_assert_cmpint(pwrite(h->fd, &byte, 1, at), ==, 1);
}

void hostile_try_flip(Hostile *h, uint64_t at, uint8_t mask, bool must_refuse,
                     bool bitmap)
{
    g_autofree char *path = frt_path("other");
    g_autoptr(Snapshot) flipped = NULL;
    HostileOutcome outcome;

    hostile_flip(h, at, mask);
    if (bitmap) {
        /* The load cannot detect these flips: pages become data, or zero. */
        flipped = snapshot_open(path, 0);
    }
    outcome = hostile_try(h, must_refuse ? NULL : flipped ?: h->good);
    if ((must_refuse && outcome != REFUSED) ||
        (bitmap && outcome != LOADED)) {
        hostile_wrong(h, "byte flipped", at, outcome);
    }
    hostile_flip(h, at, mask);
}

uint8_t hostile_one_bit(uint64_t at)
{
    return 1 << at % 8;
}

void hostile_try_range(Hostile *h, uint64_t from, uint64_t to, bool must_refuse)
{
    for (uint64_t at = from; at < to; at++) {
        bool all_first = at / 8 % 2;

        hostile_try_flip(h, at, all_first ? 0xff : hostile_one_bit(at),
                         must_refuse, false);
        hostile_try_flip(h, at, all_first ? hostile_one_bit(at) : 0xff,
                         must_refuse, false);
    }
}

void hostile_spoil_total(Hostile *h)
{
    hostile_flip(h, h->good->total_offset, 0x80);
}

/*
 * What fixed-ram's scenarios are made of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/bootfile.h"
#include "migration/fixed-ram-compat.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define MULTIFD_CHANNELS        4
#define FDSET                   1

static const struct {
    unsigned bit;
    const char *name;
} mode_capabilities[] = {
    { FR_FIXED, "fixed-ram" },
    { FR_MAPPED, "mapped-ram" },
    { FR_POSTCOPY, "postcopy-ram" },
    { FR_MULTIFD, "multifd" },
    { FR_BLOCKTIME, "postcopy-blocktime" },
};

void frt_set_mode(QTestState *qts, unsigned mode)
{
    for (size_t i = 0; i < ARRAY_SIZE(mode_capabilities); i++) {
        if (mode & mode_capabilities[i].bit) {
            migrate_set_capability(qts, mode_capabilities[i].name, true);
        }
    }
    if (mode & FR_MULTIFD) {
        migrate_set_parameter_int(qts, "multifd-channels", MULTIFD_CHANNELS);
    }
    if (mode & (FR_DIRECT | FR_BUFFERED)) {
        migrate_set_parameter_bool(qts, "direct-io", !!(mode & FR_DIRECT));
    }
}

static void clear_mode(QTestState *qts, unsigned mode)
{
    if (mode & FR_DIRECT) {
        migrate_set_parameter_bool(qts, "direct-io", false);
    }
    for (size_t i = ARRAY_SIZE(mode_capabilities); i-- > 0; ) {
        if (mode & mode_capabilities[i].bit) {
            migrate_set_capability(qts, mode_capabilities[i].name, false);
        }
    }
}

/*
 * The steps
 */

static bool on_demand(const FixedRamTest *t)
{
    return t->load_mode ? g_str_equal(t->load_mode, "on-demand")
                        : t->load & FR_POSTCOPY;
}

static bool can_run(const FixedRamTest *t)
{
    const MigrationTestEnv *env = migration_get_env();

    if (on_demand(t) && !env->has_uffd) {
        g_test_skip("there is no userfaultfd here");
        return false;
    }
    if (((t->save | t->load) & FR_DIRECT) &&
        !probe_o_direct_support(env->tmpfs)) {
        g_test_skip("the file system does not support O_DIRECT");
        return false;
    }
    return true;
}

static char *make_uri(const FixedRamTest *t)
{
    g_autofree char *path = t->fds ? g_strdup_printf("/dev/fdset/%d", FDSET)
                                   : frt_path(FILE_TEST_FILENAME);

    return t->offset ? g_strdup_printf("file:%s,offset=%" PRIu64, path,
                                       t->offset)
                     : g_strdup_printf("file:%s", path);
}

/* The bytes before the stream are not QEMU's, and must stay. */
static void make_file(const FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autofree char *head = g_malloc(t->offset);

    memset(head, FILE_TEST_MARKER, t->offset);
    g_assert(g_file_set_contents(path, head, t->offset, NULL));
}

static int start_guests(FixedRamTest *t, const char *uri, const char *opts)
{
    MigrateStart start = t->start;
    const char *stock = g_getenv("QTEST_QEMU_STOCK");
    const char *var = t->stock_save ? "QTEST_QEMU_BINARY_SRC"
                                    : "QTEST_QEMU_BINARY_DST";
    bool use_stock = stock && (t->stock_save || t->stock_load);
    g_autofree char *source = g_strdup_printf("-rtc clock=vm %s",
                                              start.opts_source ?: "");
    g_autofree char *target = g_strdup_printf("-rtc clock=vm %s %s %s",
                                              t->run ? "" : "-S",
                                              start.opts_target ?: "", opts);
    int ret;

    start.opts_source = source;
    start.opts_target = target;
    /* RAM is one block, "pc.ram", whatever the base's own tests use. */
    start.memory_backend = start.memory_backend ?: "-m %s";
    if (use_stock) {
        g_setenv(var, stock, true);
    }
    ret = frt_migrate_start(&t->from, &t->to, uri, &start);
    if (use_stock) {
        g_unsetenv(var);
    }
    if (!ret) {
        g_string_truncate(t->events, 0);
        qtest_qmp_set_event_callback(t->to, frt_record_event, t->events);
    }
    return ret;
}

void frt_restart_target(FixedRamTest *t, const char *uri,
                        const char *opts)
{
    qtest_quit(t->to);
    t->start.only_target = true;
    g_assert_cmpint(start_guests(t, uri, opts), ==, 0);
}

bool frt_start(FixedRamTest *t)
{
    g_autofree char *opts = t->load_mode
        ? g_strdup_printf("-global migration.fixed-ram-load-mode=%s",
                          t->load_mode) : g_strdup("");

    if (!can_run(t)) {
        return false;
    }
    t->events = g_string_new(NULL);
    if (start_guests(t, "defer", opts)) {
        g_string_free(t->events, true);
        return false;
    }
    t->uri = make_uri(t);
    return true;
}

void frt_fill(FixedRamTest *t)
{
    wait_for_serial("src_serial");
    if (!t->live) {
        qtest_qmp_assert_success(t->from, "{ 'execute': 'stop' }");
        wait_for_stop(t->from, get_src());
    }
    frt_write_pattern(t->from);
}

static void hand_over_fds(FixedRamTest *t, QTestState *qts, int flags)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);

    for (unsigned i = 0; i < t->fds; i++) {
#ifdef O_DIRECT
        int direct = i && (((t->save | t->load) & FR_DIRECT) || t->direct_fd)
                     ? O_DIRECT : 0;
#else
        int direct = 0;
#endif
        int fd = open(path, flags | direct);

        g_assert_cmpint(fd, >=, 0);
        qtest_qmp_fds_assert_success(qts, &fd, 1, "{ 'execute': 'add-fd', "
                                     "'arguments': { 'fdset-id': %d } }",
                                     FDSET);
        close(fd);
    }
}

void frt_wait_saved(QTestState *qts)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;
    bool over = false;

    wait_for_migration_complete(qts);
    while (!over) {
        QDict *status = qtest_qmp_assert_success_ref(
            qts, "{ 'execute': 'query-status' }");

        over = g_str_equal(qdict_get_str(status, "status"), "postmigrate");
        qobject_unref(status);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/* Let a live save write all memory once, then make some of it zero. */
static void wipe_while_saving(FixedRamTest *t)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;

    while (get_migration_pass(t->from) < 2) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    frt_wipe_pattern(t->from);
    migrate_ensure_converge(t->from);
}

void frt_save(FixedRamTest *t)
{
    if (t->fds || t->offset) {
        make_file(t);
        hand_over_fds(t, t->from, O_WRONLY);
    }
    frt_set_mode(t->from, t->save);
    if (t->wipe) {
        migrate_set_parameter_int(t->from, "max-bandwidth", 100 * MiB);
        migrate_set_parameter_int(t->from, "downtime-limit", 1);
    } else if (!t->bare) {
        migrate_ensure_converge(t->from);
    }
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
    if (t->wipe) {
        wipe_while_saving(t);
    }
    frt_wait_saved(t->from);
    frt_check_saved(t);
}

void frt_incoming(FixedRamTest *t, const char *uri)
{
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
}

void frt_load_begin(FixedRamTest *t)
{
    hand_over_fds(t, t->to, O_RDONLY);
    frt_set_mode(t->to, t->load);
    if (t->percent) {
        migrate_set_parameter_int(t->to, "fixed-ram-precopy-percent",
                                  t->percent);
    }
    if (t->crawl) {
        migrate_set_parameter_int(t->to, "max-postcopy-bandwidth", 1);
    }
    frt_incoming(t, t->uri);
}

bool frt_in_background(const FixedRamTest *t)
{
    return t->load_mode && on_demand(t) && !(t->load & FR_POSTCOPY);
}

/* Until all of RAM is there. */
static void wait_loaded(FixedRamTest *t)
{
    frt_wait_status(t->to, "completed");
    if (frt_in_background(t)) {
        frt_wait_job(t->to, NULL);
    }
}

void frt_load(FixedRamTest *t)
{
    frt_load_begin(t);
    wait_loaded(t);
}

void frt_load_rest(FixedRamTest *t)
{
    migrate_set_parameter_int(t->to, "max-postcopy-bandwidth", 0);
    wait_loaded(t);
}

void frt_save_again(QTestState *qts, unsigned mode, const char *name)
{
    g_autofree char *uri = frt_file_uri(name);

    clear_mode(qts, mode);
    migrate_set_capability(qts, "mapped-ram", true);
    migrate_ensure_converge(qts);
    migrate_qmp(qts, NULL, uri, NULL, "{}");
    frt_wait_saved(qts);
    migrate_set_capability(qts, "mapped-ram", false);
}

Snapshot *frt_open_snapshot(const FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);

    return snapshot_open(path, t->offset);
}

Snapshot *frt_save_and_open(FixedRamTest *t)
{
    g_autofree char *path = frt_path("again");

    frt_save_again(t->to, t->load, "again");
    return snapshot_open(path, 0);
}

void frt_compare_ram(FixedRamTest *t)
{
    g_autoptr(Snapshot) want = frt_open_snapshot(t);
    g_autoptr(Snapshot) have = frt_save_and_open(t);

    snapshot_assert_same_ram(want, have);
}

/* A load on demand places whole units, an eager load single pages. */
static uint64_t loaded_by(const FixedRamTest *t)
{
    return t->unit && on_demand(t) ? t->unit : SNAPSHOT_PAGE_SIZE;
}

/* Each data page was loaded once, by a fault or by a loader. */
void frt_check_figures(FixedRamTest *t)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    const SnapshotBlock *block = frt_pattern_block(t, s);
    int64_t bytes = snapshot_data(s) -
                    snapshot_block_data(block, SNAPSHOT_PAGE_SIZE) +
                    snapshot_block_data(block, loaded_by(t));
    int64_t by_fault = frt_figure(t->to, "fault-bytes");

    g_assert_cmpint(by_fault + frt_figure(t->to, "loader-bytes"), ==,
                    bytes);
    g_assert_cmpint(frt_ram_figure(t->to, "transferred"), ==, bytes);
    g_assert_cmpint(frt_ram_figure(t->to, "remaining"), ==, 0);
    if (!on_demand(t) || t->percent == 100) {
        g_assert_cmpint(by_fault, ==, 0);
    }
}

/*
 * The state of some devices differs after any load.  If it does, compare with
 * what the base loads from the snapshot.  That is a second witness for RAM,
 * too.
 */
static void compare_with_base(FixedRamTest *t, const char *path,
                              const Snapshot *have)
{
    g_autofree char *file = frt_path("base");
    g_autofree char *uri = g_strdup_printf("file:%s,offset=%" PRIu64, path,
                                           t->offset);
    g_autoptr(Snapshot) base = NULL;

    t->stock_load = true;
    frt_restart_target(t, "defer", "");
    frt_set_mode(t->to, FR_MAPPED);
    frt_incoming(t, uri);
    frt_wait_status(t->to, "completed");
    frt_save_again(t->to, FR_MAPPED, "base");
    base = snapshot_open(file, 0);
    snapshot_assert_same_ram(base, have);
    g_assert_true(snapshot_same_devices(base, have, false));
}

void frt_compare(FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) want = frt_open_snapshot(t);
    g_autoptr(Snapshot) have = NULL;

    have = frt_save_and_open(t);
    snapshot_assert_same_ram(want, have);
    /* A guest that was saved while it ran is paused now. */
    if (!snapshot_same_devices(want, have, t->live)) {
        compare_with_base(t, path, have);
    }
}

/* The guest has run: compare the memory that it does not use. */
static void compare_running(FixedRamTest *t)
{
    g_autoptr(Snapshot) want = frt_open_snapshot(t);
    g_autoptr(Snapshot) have = NULL;

    qtest_qmp_assert_success(t->to, "{ 'execute': 'stop' }");
    have = frt_save_and_open(t);
    snapshot_assert_same_range(want, have,
                               frt_pattern_block(t, want)->name,
                               X86_TEST_MEM_END / SNAPSHOT_PAGE_SIZE,
                               (PATTERN_START + PATTERN_BYTES) /
                               SNAPSHOT_PAGE_SIZE);
    qtest_qmp_assert_success(t->to, "{ 'execute': 'cont' }");
}

static bool by_our_engine(const FixedRamTest *t)
{
    return t->load_mode || (t->load & (FR_FIXED | FR_POSTCOPY));
}

void frt_check(FixedRamTest *t)
{
    if (by_our_engine(t)) {
        frt_check_figures(t);
    }
    if (t->run) {
        wait_for_serial("dest_serial");
        compare_running(t);
    } else {
        frt_compare(t);
    }
}

/* migrate_end() checks a running guest's memory once more. */
void frt_end(FixedRamTest *t)
{
    migrate_end(t->from, t->to, t->run);
    frt_remove_files();
    g_string_free(t->events, true);
    g_free(t->uri);
}

bool frt_prepare(FixedRamTest *t)
{
    if (!frt_start(t)) {
        return false;
    }
    frt_fill(t);
    frt_save(t);
    return true;
}

void frt_test(FixedRamTest *t)
{
    if (!frt_prepare(t)) {
        return;
    }
    frt_load(t);
    frt_check(t);
    frt_end(t);
}

void frt_save_begin(FixedRamTest *t, const char *uri)
{
    frt_set_mode(t->from, t->save);
    migrate_ensure_non_converge(t->from);
    migrate_qmp(t->from, NULL, uri, NULL, "{}");
    wait_for_migration_status(t->from, "active", NULL);
}

void frt_wait_rounds(QTestState *qts, uint64_t rounds)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;

    while (get_migration_pass(qts) < rounds) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

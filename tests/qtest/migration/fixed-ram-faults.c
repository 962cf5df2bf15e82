/*
 * Reads of a snapshot that fail
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram/save/writer.h"
#include "migration/fixed-ram-faultfs.h"
#include "migration/fixed-ram-faults.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define LIBRARY         "libfixed-ram-faults.so"
#define WAIT_SECONDS    120
/* A page of the pattern that is not zero. */
#define MISSING_PAGE    (PATTERN_START + 7 * MiB)

static FixedRamFaults *faults;
static char *asan_options;      /* as they were before */
static uint64_t total;          /* of all tests */
static uint64_t total_before;   /* this one */

static void map_faults(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, FIXED_RAM_FAULTS_BYTES), ==, 0);
    faults = mmap(NULL, FIXED_RAM_FAULTS_BYTES, PROT_READ | PROT_WRITE,
                  MAP_SHARED, fd, 0);
    g_assert_true(faults != MAP_FAILED);
    close(fd);
}

static bool preload(void)
{
    g_autofree char *library = frt_built_program(LIBRARY);
    g_autofree char *path = frt_path("faults");
    g_autofree char *asan = NULL;

    if (!library) {
        g_test_skip("the library that makes reads fail was not built");
        return false;
    }
    map_faults(path);
    total_before = total;
    asan_options = g_strdup(g_getenv("ASAN_OPTIONS"));
    asan = g_strdup_printf("%s:verify_asan_link_order=0", asan_options ?: "");
    g_setenv("ASAN_OPTIONS", asan, true);
    g_setenv(FIXED_RAM_FAULTS_ENV, path, true);
    g_setenv("LD_PRELOAD", library, true);
    /* The library cannot intercept io_uring. */
    g_setenv(FIXED_RAM_PLAIN_WRITES, "1", true);
    return true;
}

void frt_faults_off(unsigned number)
{
    FixedRamFaultsRule *rule = &faults->rules[number];

    qatomic_set_mb(&rule->mode, FIXED_RAM_FAULTS_OFF);
    total += qatomic_xchg(&rule->injected, 0);
}

void frt_faults_set(unsigned number, const FixedRamFaultsRule *fault)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    FixedRamFaultsRule *rule = &faults->rules[number];
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    frt_faults_off(number);
    qatomic_set(&rule->error, fault->error);
    qatomic_set(&rule->device, st.st_dev);
    qatomic_set(&rule->inode, st.st_ino);
    qatomic_set(&rule->first, fault->first);
    qatomic_set(&rule->end, fault->end ?: UINT64_MAX);
    qatomic_set(&rule->after, fault->after);
    qatomic_set(&rule->every, fault->every);
    qatomic_set(&rule->left, fault->left ?: FIXED_RAM_FAULTS_ALWAYS);
    qatomic_set(&rule->reads, 0);
    qatomic_set_mb(&rule->mode, fault->mode);
}

void frt_faults_turn(unsigned number, uint32_t mode, int error)
{
    FixedRamFaultsRule *rule = &faults->rules[number];

    qatomic_set_mb(&rule->error, error);
    qatomic_set_mb(&rule->mode, mode);
}

static void preload_end(void)
{
    g_unsetenv("LD_PRELOAD");
    g_unsetenv(FIXED_RAM_PLAIN_WRITES);
    g_unsetenv(FIXED_RAM_FAULTS_ENV);
    if (asan_options) {
        g_setenv("ASAN_OPTIONS", asan_options, true);
    } else {
        g_unsetenv("ASAN_OPTIONS");
    }
    g_free(g_steal_pointer(&asan_options));
}

static void unmap_faults(void)
{
    for (unsigned i = 0; i < FIXED_RAM_FAULTS_RULES; i++) {
        frt_faults_off(i);
    }
    munmap(g_steal_pointer(&faults), FIXED_RAM_FAULTS_BYTES);
    g_test_message("%" PRIu64 " faults injected, %" PRIu64 " in all so far",
                   total - total_before, total);
}

bool frt_faults_begin(FixedRamTest *t)
{
    if (!preload()) {
        return false;
    }
    if (!frt_prepare(t)) {
        preload_end();
        unmap_faults();
        return false;
    }
    return true;
}

bool frt_faults_begin_kernel(FixedRamTest *t)
{
    bool mounted;

    if (!preload()) {
        return false;
    }
    mounted = frt_faultfs_start();
    preload_end();
    if (!mounted || !frt_prepare(t)) {
        frt_faultfs_stop();
        unmap_faults();
        return false;
    }
    g_free(t->uri);
    t->uri = frt_faultfs_uri(FILE_TEST_FILENAME);
    return true;
}

bool frt_faults_begin_save(FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);

    if (!preload()) {
        return false;
    }
    if (!frt_start(t)) {
        preload_end();
        unmap_faults();
        return false;
    }
    frt_fill(t);
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    return true;
}

void frt_faults_end(FixedRamTest *t)
{
    frt_end(t);
    if (frt_faultfs_mounted()) {
        frt_faultfs_stop();
    } else {
        preload_end();
    }
    unmap_faults();
}

/* The library counts in the server of the file system, or in QEMU. */
void frt_faults_forget(void)
{
    for (unsigned i = 0; i < FIXED_RAM_FAULTS_RULES; i++) {
        frt_faults_off(i);
        if (frt_faultfs_mounted()) {
            frt_faults_wait_none_hanging(i);
        } else {
            qatomic_set(&faults->rules[i].hanging, 0);
        }
    }
}

uint64_t frt_faults_injected(unsigned number)
{
    return qatomic_read(&faults->rules[number].injected);
}

static void wait_count(const uint64_t *count, uint64_t least)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (qatomic_read(count) < least) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

void frt_faults_wait_injected(unsigned number, uint64_t reads)
{
    wait_count(&faults->rules[number].injected, reads);
}

void frt_faults_wait_hanging(unsigned number, uint64_t reads)
{
    wait_count(&faults->rules[number].hanging, reads);
}

void frt_faults_wait_none_hanging(unsigned number)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (qatomic_read(&faults->rules[number].hanging)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/*
 * Loads that fail
 */

FixedRamFaultsRule frt_faults_pages(FixedRamTest *t)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    const SnapshotBlock *block = frt_pattern_block(t, s);

    return (FixedRamFaultsRule) {
        .first = block->pages_offset + 2 * MiB,
        .end = block->pages_offset + block->length,
    };
}

void frt_faults_set_pages(FixedRamTest *t, uint32_t mode, int error)
{
    FixedRamFaultsRule rule = frt_faults_pages(t);

    rule.mode = mode;
    rule.error = error;
    frt_faults_set(0, &rule);
}

void frt_faults_set_devices(FixedRamTest *t, uint32_t mode, int error)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);

    frt_faults_set(1, &(FixedRamFaultsRule) {
        .mode = mode,
        .error = error,
        .first = s->devices + 64 * KiB,
    });
}

void frt_load_hanging(FixedRamTest *t)
{
    frt_faults_set_pages(t, FIXED_RAM_FAULTS_HANG, 0);
    frt_load_begin(t);
    frt_wait_status(t->to, frt_in_background(t) ? "completed"
                                                : "postcopy-active");
    frt_faults_wait_hanging(0, 1);
}

/*
 * Where the thread sleeps, if it sleeps in no system call, which the kernel
 * tells as "-1" with the stack pointer and the address of the instruction.
 */
static char *thread_fault(pid_t process, int64_t thread)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%" PRId64 "/syscall",
                                            process, thread);
    char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    if (!g_str_has_prefix(text, "-1 ")) {
        g_clear_pointer(&text, g_free);
    }
    return text;
}

static int64_t first_vcpu_thread(QTestState *qts)
{
    g_autoptr(QDict) reply = qtest_qmp(qts, "{ 'execute': 'query-cpus-fast' }");
    const QListEntry *first = qlist_first(qdict_get_qlist(reply, "return"));

    return qdict_get_int(qobject_to(QDict, qlist_entry_obj(first)),
                         "thread-id");
}

/*
 * A page that can be read comes within a millisecond, and the vCPU goes on.
 * The count of requests does not tell the two apart.
 */
void frt_wait_vcpu_waits(FixedRamTest *t)
{
    int64_t thread = first_vcpu_thread(t->to);
    g_autofree char *fault = NULL;
    unsigned same = 0;

    while (same < 200) {
        g_autofree char *before = g_steal_pointer(&fault);

        g_usleep(1000);
        fault = thread_fault(qtest_pid(t->to), thread);
        same = fault && !g_strcmp0(fault, before) ? same + 1 : 0;
    }
}

void frt_load_device_hanging(FixedRamTest *t, bool exit_on_error)
{
    frt_faults_set_pages(t, FIXED_RAM_FAULTS_HANG, 0);
    frt_set_mode(t->to, FR_DEMAND | FR_MULTIFD);
    migrate_set_parameter_int(t->to, "multifd-channels", 1);
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': %i } }", t->uri, exit_on_error);
    /* The loader has one read, and the fault of the main thread another one. */
    frt_faults_wait_hanging(0, 2);
}

void frt_load_failing(FixedRamTest *t, int error)
{
    frt_faults_turn(0, FIXED_RAM_FAULTS_ERROR, error);
    frt_wait_paused(t, strerror(error));
}

void frt_wait_paused(FixedRamTest *t, const char *what)
{
    /* In the background the status is "completed" before. */
    frt_wait_event(t, "postcopy-paused");
    frt_wait_status(t->to, "postcopy-paused");
    frt_assert_reason(t->to, what);
}

void frt_occupy_main_loop(FixedRamTest *t)
{
    g_autofree char *path = frt_path("other");
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    qtest_qmp_send(t->to, "{ 'execute': 'pmemsave', 'id': 'save', "
                   "'arguments': { 'val': %lld, 'size': %d, "
                   "'filename': %s } }", (long long)MISSING_PAGE,
                   SNAPSHOT_PAGE_SIZE, path);
    /* pmemsave creates the file before it reads memory. */
    while (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

void frt_check_other(FixedRamTest *t)
{
    g_autofree char *other = frt_path("other");
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    const SnapshotBlock *block = frt_pattern_block(t, s);
    g_autofree char *page = NULL;
    size_t length;

    g_assert_true(g_file_get_contents(other, &page, &length, NULL));
    g_assert_cmpmem(page, length,
                    snapshot_page(block, MISSING_PAGE / SNAPSHOT_PAGE_SIZE),
                    SNAPSHOT_PAGE_SIZE);
}

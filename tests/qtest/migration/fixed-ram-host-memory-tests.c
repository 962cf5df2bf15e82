/*
 * QTest testcases for fixed-ram: memory that is locked, allocated, limited
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include <sys/mman.h>
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

/*
 * Locked memory
 */

/* A line of /proc/PID/status, in KiB. */
static uint64_t process_kib(QTestState *qts, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", qtest_pid(qts));
    g_autofree char *text = NULL;
    const char *line;
    uint64_t value;

    g_assert(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, name);
    g_assert_nonnull(line);
    g_assert_cmpint(qemu_strtou64(line + strlen(name) + 1, NULL, 10, &value),
                    ==, -EINVAL);
    return value;
}

static bool may_lock_memory(void)
{
    size_t size = GiB;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool may = p != MAP_FAILED && !mlock2(p, size, MLOCK_ONFAULT);

    if (p != MAP_FAILED) {
        munmap(p, size);
    }
    return may;
}

static void lock_action(FixedRamTest *t, bool paused)
{
    g_assert_cmpuint(process_kib(t->to, "VmLck:"), ==, 0);
}

static void test_locked(const char *opts)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.opts_target = opts,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!may_lock_memory()) {
        g_test_skip("memory must not be locked here (RLIMIT_MEMLOCK)");
        return;
    }
    if (!frt_in_both_states(&args, lock_action)) {
        return;
    }
    frt_load_rest(&args);
    g_assert_cmpuint(process_kib(args.to, "VmLck:"), >, 150 * KiB);
    frt_check(&args);
    frt_end(&args);
}

static void test_mem_lock(void)
{
    test_locked("-overcommit mem-lock=on");
}

static void test_mem_lock_on_fault(void)
{
    test_locked("-overcommit mem-lock=on-fault");
}

/* postcopy-ram has unlocked the memory, but the load is eager. */
static void test_mem_lock_eager(void)
{
    FixedRamTest args = {
        .start.opts_target = "-overcommit mem-lock=on",
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .load_mode = "eager",
    };

    if (!may_lock_memory()) {
        g_test_skip("memory must not be locked here (RLIMIT_MEMLOCK)");
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpuint(process_kib(args.to, "VmLck:"), >, 150 * KiB);
    frt_check(&args);
    frt_end(&args);
}

/*
 * Allocated memory
 */

#define PREALLOC "-object memory-backend-ram,id=mem0,size=150M,prealloc=on"

/* Before the load all memory is populated.  The load gives it back first. */
static void test_prealloc(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.memory_backend = "-m %s -machine memory-backend=mem0",
        .start.opts_source = PREALLOC,
        .start.opts_target = PREALLOC,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    uint64_t before;

    if (!frt_prepare(&args)) {
        return;
    }
    before = process_kib(args.to, "RssAnon:");
    g_assert_cmpuint(before, >=, 150 * KiB);
    frt_begin_crawl(&args);
    g_assert_cmpuint(process_kib(args.to, "RssAnon:"), <, before - 100 * KiB);
    frt_pause(&args);
    g_assert_cmpuint(process_kib(args.to, "RssAnon:"), <, before - 100 * KiB);
    frt_recover(&args);
    frt_finish(&args);
}

static const FixedRamCase cases[] = {
    { "mem-lock", test_mem_lock },
    { "mem-lock-on-fault", test_mem_lock_on_fault, true },
    { "mem-lock-eager", test_mem_lock_eager, true },
    { "prealloc", test_prealloc, true },
};

void frt_add_host_memory_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "host-memory", cases, ARRAY_SIZE(cases));
}

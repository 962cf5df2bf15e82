/*
 * fixed-ram: unit tests of threads, throttles and buffers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/util/buffer.h"
#include "migration/fixed-ram/util/thread.h"
#include "migration/fixed-ram/util/throttle.h"

/* --- threads --- */

typedef struct Seen {
    char name[16];
    sigset_t blocked;
    QemuEvent done;
} Seen;

static void *look_around(void *opaque)
{
    Seen *seen = opaque;

    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    qemu_event_set(&seen->done);
    return seen;
}

/* A thread has its name, leaves signals to others, and its creator does not. */
static void test_thread(void)
{
    sigset_t before, after;
    QemuThread thread;
    Seen seen = { };

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (int mode = 0; mode < 2; mode++) {
        bool joinable = mode == 0;

        qemu_event_init(&seen.done, false);
        g_assert_true(fixed_ram_thread_create(
            &thread, "fixed-ram/looks", look_around, &seen,
            joinable ? QEMU_THREAD_JOINABLE : QEMU_THREAD_DETACHED,
            &error_abort));
        qemu_event_wait(&seen.done);
        if (joinable) {
            g_assert_true(qemu_thread_join(&thread) == &seen);
        }
        g_assert_cmpstr(seen.name, ==, "fixed-ram/looks");
        g_assert_cmpint(sigismember(&seen.blocked, SIGTERM), ==, 1);
        g_assert_cmpint(sigismember(&seen.blocked, SIGSEGV), ==, 0);
        qemu_event_destroy(&seen.done);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    g_assert_cmpint(sigismember(&after, SIGTERM), ==,
                    sigismember(&before, SIGTERM));
}

/* --- throttles --- */

typedef struct Waiter {
    QemuThread thread;
    FixedRamThrottle throttle;
    uint64_t speed;             /* atomic */
    QemuEvent asked;            /* the throttle has asked for the speed */
    bool through;               /* atomic */
} Waiter;

static uint64_t waiter_speed(void *opaque)
{
    Waiter *w = opaque;

    qemu_event_set(&w->asked);
    return qatomic_read(&w->speed);
}

static void *waiter_thread(void *opaque)
{
    Waiter *w = opaque;

    fixed_ram_throttle_wait(&w->throttle, 1 * GiB);
    qatomic_set(&w->through, true);
    return NULL;
}

/* A thread that would wait for years. */
static void waiter_start(Waiter *w)
{
    *w = (Waiter) { .speed = 1 };
    qemu_event_init(&w->asked, false);
    fixed_ram_throttle_init(&w->throttle, waiter_speed, w);
    fixed_ram_thread_create(&w->thread, "waits", waiter_thread, w,
                            QEMU_THREAD_JOINABLE, &error_abort);
    for (int i = 0; i < 3; i++) {
        qemu_event_wait(&w->asked);
        qemu_event_reset(&w->asked);
        g_assert_false(qatomic_read(&w->through));
    }
}

static void waiter_end(Waiter *w)
{
    qemu_thread_join(&w->thread);
    fixed_ram_throttle_destroy(&w->throttle);
    qemu_event_destroy(&w->asked);
}

static void test_throttle_change(void)
{
    Waiter w;

    waiter_start(&w);
    qatomic_set(&w.speed, 0);
    waiter_end(&w);
}

static void test_throttle_stop(void)
{
    Waiter w;

    waiter_start(&w);
    fixed_ram_throttle_stop(&w.throttle);
    /* Later waits end at once, too. */
    fixed_ram_throttle_wait(&w.throttle, 1 * GiB);
    waiter_end(&w);
}

static void test_throttle_none(void)
{
    FixedRamThrottle throttle;

    fixed_ram_throttle_init(&throttle, NULL, NULL);
    fixed_ram_throttle_wait(&throttle, UINT64_MAX);
    fixed_ram_throttle_destroy(&throttle);
}

/* --- buffers --- */

/* Can a child process touch @mem? */
static bool child_has(volatile uint8_t *mem)
{
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (!pid) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*mem);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return WIFEXITED(status);
}

static void test_buffer(void)
{
    static const size_t sizes[] = { 4096, 256 * KiB, 2 * MiB, 5 * MiB };
    FixedRamBuffer buffer = { };

    fixed_ram_buffer_unmap(&buffer);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *last;

        fixed_ram_buffer_map(&buffer, sizes[i], &error_abort);
        g_assert_cmpuint(buffer.size, ==, sizes[i]);
        g_assert_true(QEMU_PTR_IS_ALIGNED(buffer.mem,
                                          FIXED_RAM_BUFFER_ALIGNMENT));
        last = buffer.mem + sizes[i] - 1;
        g_assert_cmpuint(*last, ==, 0);
        *last = 1;
        g_assert_false(child_has(buffer.mem));
    }
    fixed_ram_buffer_unmap(&buffer);
    g_assert_null(buffer.map);
}

/* Without memory for another one the old one remains. */
static void test_buffer_no_memory(void)
{
    FixedRamBuffer buffer = { };
    Error *err = NULL;

    fixed_ram_buffer_map(&buffer, 4096, &error_abort);
    *buffer.mem = 42;
    g_assert_false(fixed_ram_buffer_map(&buffer, 1ULL << 60, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "could not map a buffer"));
    error_free(err);
    g_assert_cmpuint(*buffer.mem, ==, 42);
    g_assert_cmpuint(buffer.size, ==, 4096);
    fixed_ram_buffer_unmap(&buffer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/util/thread", test_thread);
    g_test_add_func("/fixed-ram/util/throttle/change", test_throttle_change);
    g_test_add_func("/fixed-ram/util/throttle/stop", test_throttle_stop);
    g_test_add_func("/fixed-ram/util/throttle/none", test_throttle_none);
    g_test_add_func("/fixed-ram/util/buffer", test_buffer);
    g_test_add_func("/fixed-ram/util/buffer/no-memory", test_buffer_no_memory);
    return g_test_run();
}

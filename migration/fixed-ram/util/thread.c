/*
 * fixed-ram: threads that a host may refuse
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "thread.h"

typedef struct ThreadStart {
    const char *name;           /* a literal */
    void *(*run)(void *opaque);
    void *opaque;
} ThreadStart;

static void *thread_main(void *opaque)
{
    ThreadStart start = *(ThreadStart *)opaque;

    g_free(opaque);
#ifdef CONFIG_PTHREAD_SETNAME_NP_W_TID
    pthread_setname_np(pthread_self(), start.name);
#endif
    return start.run(start.opaque);
}

/*
 * The signals of a fault in the thread itself cannot be blocked.  Threads that
 * read the guest's memory may meet a page that engine/repair.c mends.
 */
static void block_signals(sigset_t *old)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, old);
}

bool fixed_ram_thread_create(QemuThread *thread, const char *name,
                             void *(*run)(void *opaque), void *opaque,
                             int mode, Error **errp)
{
    ThreadStart *start = g_new(ThreadStart, 1);
    pthread_attr_t attr;
    sigset_t old;
    int err;

    *start = (ThreadStart) { .name = name, .run = run, .opaque = opaque };
    err = pthread_attr_init(&attr);
    if (!err) {
        if (mode == QEMU_THREAD_DETACHED) {
            pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        }
        /* The new thread inherits the mask that its creator has now. */
        block_signals(&old);
        err = pthread_create(&thread->thread, &attr, thread_main, start);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_attr_destroy(&attr);
    }
    if (err) {
        g_free(start);
        error_setg_errno(errp, err, "could not create the thread '%s'", name);
    }
    return !err;
}

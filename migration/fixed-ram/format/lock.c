/*
 * fixed-ram: locks on a snapshot's file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/syscall.h>
#include <linux/kcmp.h>
#include "qapi/error.h"
#include "lock.h"
#include "../trace.h"
#include "../util/io.h"

/* A length for fcntl(): up to the largest offset, wherever the file ends. */
#define TO_THE_END  0

/*
 * Shared locks of this process.  The kernel keeps one lock for a description,
 * however many descriptors of it were locked, so an unlock must spare those
 * that are still in use: while a load from an fdset is paused, a refused
 * migrate-recover from the same set must not unlock the load's file.
 */
typedef struct Holder {
    int fd;
    uint64_t start;
} Holder;

/* Not held across fcntl(), which may hang on a network file system. */
static GMutex holders_lock;
static GSList *holders;         /* of Holder; guarded by @holders_lock */

/* If the kernel does not say, descriptors of one file may share one. */
static bool same_description(int fd, int other)
{
    long ret = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, other);

    return ret < 0 ? fixed_ram_same_file(fd, other) : !ret;
}

static void add_holder(int fd, uint64_t start)
{
    Holder *holder = g_new(Holder, 1);

    *holder = (Holder) { .fd = fd, .start = start };
    g_mutex_lock(&holders_lock);
    holders = g_slist_prepend(holders, holder);
    g_mutex_unlock(&holders_lock);
}

static void remove_holder(int fd, uint64_t start)
{
    g_mutex_lock(&holders_lock);
    for (GSList *l = holders; l; l = l->next) {
        Holder *holder = l->data;

        if (holder->fd == fd && holder->start == start) {
            holders = g_slist_delete_link(holders, l);
            g_free(holder);
            break;
        }
    }
    g_mutex_unlock(&holders_lock);
}

/* The first byte that a holder of @fd's description has locked, or NONE. */
#define NONE    UINT64_MAX

static uint64_t first_held(int fd)
{
    uint64_t first = NONE;

    g_mutex_lock(&holders_lock);
    for (GSList *l = holders; l; l = l->next) {
        const Holder *holder = l->data;

        if (same_description(fd, holder->fd)) {
            first = MIN(first, holder->start);
        }
    }
    g_mutex_unlock(&holders_lock);
    return first;
}

static bool lock_file(int fd, uint64_t start, bool exclusive,
                      const char *name, const char *trouble, Error **errp)
{
    int ret = qemu_lock_fd(fd, start, TO_THE_END, exclusive);

    trace_fixed_ram_lock(name, start, exclusive, ret);
    if (ret == -EAGAIN || ret == -EACCES) {
        error_setg(errp, "snapshot '%s': %s", name, trouble);
        error_append_hint(errp, "Is another process using it?\n");
        return false;
    }
    /* Other errors: the file system has no locks, for any process. */
    return true;
}

bool fixed_ram_lock_shared(int fd, uint64_t start, const char *name,
                           Error **errp)
{
    add_holder(fd, start);
    if (lock_file(fd, start, false, name,
                  "cannot be loaded, it is being written", errp)) {
        return true;
    }
    remove_holder(fd, start);
    return false;
}

bool fixed_ram_lock_exclusive(int fd, uint64_t start, const char *name,
                              Error **errp)
{
    return lock_file(fd, start, true, name,
                     "cannot be written, it is being loaded or written",
                     errp);
}

void fixed_ram_lock_release(int fd, uint64_t start)
{
    uint64_t held, now;

    remove_holder(fd, start);
    held = first_held(fd);
    if (held == NONE) {
        qemu_unlock_fd(fd, start, TO_THE_END);
    } else if (held > start) {
        qemu_unlock_fd(fd, start, held - start);
    }
    /* Another thread may just have taken a lock that was dropped here. */
    now = first_held(fd);
    if (now < held) {
        qemu_lock_fd(fd, now, TO_THE_END, false);
    }
}

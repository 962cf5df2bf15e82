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
 * Where no file has bytes.  The lock of a loader ends before these offsets;
 * that of a saver covers them, too.
 */
#define LOADERS_END     (1LL << 62)
#define APPENDER        LOADERS_END         /* a byte for all appenders */
#define TICKETS         (LOADERS_END + 1)   /* a byte for each loader */
#define TICKETS_END     (TICKETS + (1LL << 48))

/*
 * Shared locks of this process.  The kernel keeps one lock for a description,
 * however many descriptors of it were locked, so an unlock must spare those
 * that are still in use: while a load from an fdset is paused, a refused
 * migrate-recover from the same set must not unlock the load's file.
 */
typedef struct Holder {
    int fd;
    uint64_t start;
    int64_t ticket;             /* so many that two are never the same */
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

/*
 * From a new seed each time: g_random_int() goes on with the same numbers in
 * both processes after a fork.
 */
static int64_t random_ticket(void)
{
    GRand *rand = g_rand_new();
    uint64_t random = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);

    g_rand_free(rand);
    return TICKETS + random % (TICKETS_END - TICKETS);
}

static int64_t add_holder(int fd, uint64_t start)
{
    Holder *holder = g_new(Holder, 1);
    int64_t ticket = random_ticket();

    *holder = (Holder) { .fd = fd, .start = start, .ticket = ticket };
    g_mutex_lock(&holders_lock);
    holders = g_slist_prepend(holders, holder);
    g_mutex_unlock(&holders_lock);
    return ticket;
}

/* Returns the holder's ticket, or 0 if there is no such holder: a saver. */
static int64_t remove_holder(int fd, uint64_t start)
{
    int64_t ticket = 0;

    g_mutex_lock(&holders_lock);
    for (GSList *l = holders; l; l = l->next) {
        Holder *holder = l->data;

        if (holder->fd == fd && holder->start == start) {
            ticket = holder->ticket;
            holders = g_slist_delete_link(holders, l);
            g_free(holder);
            break;
        }
    }
    g_mutex_unlock(&holders_lock);
    return ticket;
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

/* @ret: what qemu_lock_fd() returned */
static bool is_refused(int ret)
{
    return ret == -EAGAIN || ret == -EACCES;
}

/*
 * QEMU reports a migration as completed a moment before it closes the file.  A
 * program that waited for the report shall not be refused for that.
 */
#define SAVER_ENDS_MS   500
#define POLL_MS         10

static int lock_patiently(int fd, int64_t start, int64_t length, bool exclusive)
{
    int ret = qemu_lock_fd(fd, start, length, exclusive);

    for (unsigned ms = 0; is_refused(ret) && ms < SAVER_ENDS_MS;
         ms += POLL_MS) {
        g_usleep(POLL_MS * 1000);
        ret = qemu_lock_fd(fd, start, length, exclusive);
    }
    return ret;
}

static int lock_loader(int fd, uint64_t start)
{
    return qemu_lock_fd(fd, start, LOADERS_END - start, false);
}

static bool is_taken(int ret, const char *name, const char *trouble,
                     Error **errp)
{
    if (!is_refused(ret)) {
        return false;
    }
    error_setg(errp, "snapshot '%s': %s", name, trouble);
    error_append_hint(errp, "Is another process using it?\n");
    return true;
}

/* Other errors: the file system has no locks, for any process. */
bool fixed_ram_lock_shared(int fd, uint64_t start, const char *name,
                           Error **errp)
{
    int64_t ticket = add_holder(fd, start);
    int ret = lock_patiently(fd, start, LOADERS_END - start, false);

    if (!ret) {
        /* Only a saver could have this byte, and there is none. */
        qemu_lock_fd(fd, ticket, 1, false);
    }
    trace_fixed_ram_lock(name, start, false, ret);
    if (is_taken(ret, name, "cannot be loaded, it is being written", errp)) {
        remove_holder(fd, start);
        return false;
    }
    return true;
}

/* The kernel grants a lock once more that the description has already. */
bool fixed_ram_lock_works(int fd, uint64_t start)
{
    return !lock_loader(fd, start);
}

bool fixed_ram_lock_exclusive(int fd, uint64_t start, const char *name,
                              Error **errp)
{
    int ret = qemu_lock_fd(fd, start, TO_THE_END, true);

    trace_fixed_ram_lock(name, start, true, ret);
    return !is_taken(ret, name, "cannot be written, it is being loaded or "
                     "written", errp);
}

void fixed_ram_lock_release(int fd, uint64_t start)
{
    int64_t ticket = remove_holder(fd, start);
    uint64_t held, now;

    if (!ticket) {
        qemu_unlock_fd(fd, start, TO_THE_END);
        return;
    }
    qemu_unlock_fd(fd, ticket, 1);
    held = first_held(fd);
    if (held > start) {
        qemu_unlock_fd(fd, start, MIN(held, LOADERS_END) - start);
    }
    /* Another thread may just have taken a lock that was dropped here. */
    now = first_held(fd);
    if (now < held) {
        lock_loader(fd, now);
    }
}

/*
 * Appending
 */

bool fixed_ram_lock_append(int fd, const char *name, Error **errp)
{
    /* A saver's lock covers this byte, too. */
    int ret = lock_patiently(fd, APPENDER, 1, true);

    trace_fixed_ram_lock(name, APPENDER, true, ret);
    if (ret && !is_taken(ret, name, "cannot be changed, it is being written",
                         errp)) {
        error_setg_errno(errp, -ret, "snapshot '%s' cannot be changed, its "
                         "file system has no locks", name);
    }
    return !ret;
}

void fixed_ram_lock_append_release(int fd)
{
    qemu_unlock_fd(fd, APPENDER, 1);
}

bool fixed_ram_lock_appending(int fd)
{
    return qemu_lock_fd_test(fd, APPENDER, 1, true) == -EAGAIN;
}

static gint compare_tickets(gconstpointer a, gconstpointer b)
{
    const int64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Those of this process, in ascending order. */
static GArray *own_tickets(void)
{
    GArray *tickets = g_array_new(false, false, sizeof(int64_t));

    g_mutex_lock(&holders_lock);
    for (GSList *l = holders; l; l = l->next) {
        const Holder *holder = l->data;

        g_array_append_val(tickets, holder->ticket);
    }
    g_mutex_unlock(&holders_lock);
    g_array_sort(tickets, compare_tickets);
    return tickets;
}

static bool is_locked(int fd, int64_t from, int64_t to)
{
    return from < to && qemu_lock_fd_test(fd, from, to - from, true);
}

bool fixed_ram_lock_others(int fd)
{
    g_autoptr(GArray) own = own_tickets();
    int64_t from = TICKETS;

    for (size_t i = 0; i < own->len; i++) {
        int64_t ticket = g_array_index(own, int64_t, i);

        if (is_locked(fd, from, ticket)) {
            return true;
        }
        from = ticket + 1;
    }
    return is_locked(fd, from, TICKETS_END);
}

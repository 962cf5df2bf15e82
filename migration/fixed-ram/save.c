/*
 * fixed-ram: the file that a snapshot is saved to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "lock.h"

/* The file being written.  Belongs to the main thread, under the big lock. */
static struct {
    int fd;                     /* holds the lock; -1: none is written */
    uint64_t start;
} outgoing = { .fd = -1 };

static void outgoing_unlock(void)
{
    if (outgoing.fd >= 0) {
        /* A descriptor of a set shares its lock with others. */
        fixed_ram_unlock(outgoing.fd, outgoing.start);
        qemu_close(outgoing.fd);
        outgoing.fd = -1;
    }
}

bool fixed_ram_outgoing_prepare(int fd, const char *name, uint64_t start,
                                Error **errp)
{
    if (!migrate_fixed_ram()) {
        return true;
    }
    /* From a save that came no further than to its file. */
    outgoing_unlock();
    outgoing.fd = qemu_dup(fd);
    outgoing.start = start;
    if (outgoing.fd < 0) {
        error_setg_errno(errp, errno, "snapshot '%s'", name);
        return false;
    }
    if (!fixed_ram_lock_exclusive(outgoing.fd, start, name, errp)) {
        qemu_close(outgoing.fd);
        outgoing.fd = -1;
        return false;
    }
    return true;
}

static int outgoing_event(NotifierWithReturn *notifier, MigrationEvent *e,
                          Error **errp)
{
    if (e->type != MIG_EVENT_PRECOPY_SETUP) {
        outgoing_unlock();
    }
    return 0;
}

static void outgoing_watch(void)
{
    static NotifierWithReturn notifiers[MIG_MODE__MAX];

    for (MigMode mode = 0; mode < MIG_MODE__MAX; mode++) {
        migration_add_notifier_mode(&notifiers[mode], outgoing_event, mode);
    }
}

migration_init(outgoing_watch);

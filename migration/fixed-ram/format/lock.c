/*
 * fixed-ram: who may use a snapshot's file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "lock.h"
#include "../trace.h"

/* Also in files that do not reach so far: they may grow. */
#define TO_THE_END  0

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
    /* Some network file systems have none: then nobody else has one either. */
    return true;
}

bool fixed_ram_lock_shared(int fd, uint64_t start, const char *name,
                           Error **errp)
{
    return lock_file(fd, start, false, name,
                     "cannot be loaded, it is being written", errp);
}

bool fixed_ram_lock_exclusive(int fd, uint64_t start, const char *name,
                              Error **errp)
{
    return lock_file(fd, start, true, name,
                     "cannot be written, it is being loaded or written",
                     errp);
}

void fixed_ram_unlock(int fd, uint64_t start)
{
    qemu_unlock_fd(fd, start, TO_THE_END);
}

/*
 * fixed-ram: another process that loads from a file, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "migration/fixed-ram/format/lock.h"
#include "loader.h"

Loader start_loader(const char *path, uint64_t start)
{
    int ready[2], stop[2];
    Loader loader;
    char byte;

    g_assert_cmpint(pipe(ready) | pipe(stop), ==, 0);
    loader.pid = fork();
    g_assert_cmpint(loader.pid, >=, 0);
    if (!loader.pid) {
        int fd = open(path, O_RDONLY);

        close(stop[1]);
        if (!fixed_ram_lock_shared(fd, start, "snap", NULL) ||
            write(ready[1], "", 1) != 1 || read(stop[0], &byte, 1) != 1) {
            _exit(1);
        }
        _exit(0);
    }
    close(ready[1]);
    close(stop[0]);
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    loader.keep = stop[1];
    return loader;
}

void end_loader(Loader loader)
{
    int status;

    g_assert_cmpint(write(loader.keep, "", 1), ==, 1);
    close(loader.keep);
    g_assert_cmpint(waitpid(loader.pid, &status, 0), ==, loader.pid);
    g_assert_cmpint(status, ==, 0);
}

bool without_locks(void)
{
    if (!qemu_has_ofd_lock()) {
        g_test_skip("this host has no locks of file descriptions");
        return true;
    }
    return false;
}

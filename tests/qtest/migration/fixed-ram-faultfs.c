/*
 * The scenarios' files, seen through a FUSE file system
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mount.h>
#include <sys/wait.h>
#ifdef CONFIG_LINUX
#include <sys/prctl.h>
#endif
#include "libqtest.h"
#include "migration/fixed-ram-faultfs.h"
#include "migration/fixed-ram-scenario.h"

#define MOUNTPOINT      "mountpoint"
#define WAIT_SECONDS    20

static GPid server;             /* 0: there is none */

bool frt_faultfs_mounted(void)
{
    return server;
}

char *frt_faultfs_uri(const char *name)
{
    g_autofree char *below = g_build_filename(MOUNTPOINT, name, NULL);

    return frt_file_uri(below);
}

/* A server whose test was killed ends too, and its mount with it. */
static void end_with_parent(gpointer opaque)
{
#ifdef CONFIG_LINUX
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
}

static bool is_mounted(const char *folder, const char *mountpoint)
{
    struct stat outside, inside;

    return !stat(folder, &outside) && !stat(mountpoint, &inside) &&
           outside.st_dev != inside.st_dev;
}

static bool wait_mounted(const char *folder, const char *mountpoint)
{
    while (!is_mounted(folder, mountpoint)) {
        if (waitpid(server, NULL, WNOHANG) == server) {
            server = 0;
            return false;
        }
        g_usleep(1000);
    }
    return true;
}

bool frt_faultfs_start(void)
{
    g_autofree char *program = frt_built_program("fixed-ram-faultfs");
    g_autofree char *folder = frt_path("");
    g_autofree char *mountpoint = frt_path(MOUNTPOINT);
    char *argv[] = { program, folder, mountpoint, NULL };

    if (!program) {
        g_test_skip("the FUSE file system was not built: there is no libfuse3");
        return false;
    }
    if (access("/dev/fuse", R_OK | W_OK)) {
        g_test_skip("there is no /dev/fuse");
        return false;
    }
    g_assert_cmpint(g_mkdir_with_parents(mountpoint, 0700), ==, 0);
    g_assert_true(g_spawn_async(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD |
                                G_SPAWN_STDOUT_TO_DEV_NULL |
                                G_SPAWN_STDERR_TO_DEV_NULL, end_with_parent,
                                NULL, &server, NULL));
    if (!wait_mounted(folder, mountpoint)) {
        rmdir(mountpoint);
        g_test_skip("a FUSE file system cannot be mounted");
        return false;
    }
    return true;
}

bool frt_faultfs_start_without_locks(void)
{
    bool started;

    g_setenv("FIXED_RAM_FAULTFS_NO_LOCKS", "1", true);
    started = frt_faultfs_start();
    g_unsetenv("FIXED_RAM_FAULTFS_NO_LOCKS");
    return started;
}

/*
 * fusermount3 unmounts it as soon as the server has ended.  If it looks before
 * the kernel has closed the server's connection, it leaves the mount alone, so
 * unmount it here, too, which only root may.
 */
void frt_faultfs_stop(void)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;
    g_autofree char *mountpoint = frt_path(MOUNTPOINT);

    if (!server) {
        return;
    }
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
    while (rmdir(mountpoint) && g_get_monotonic_time() < end) {
        umount2(mountpoint, MNT_DETACH);
        g_usleep(1000);
    }
}

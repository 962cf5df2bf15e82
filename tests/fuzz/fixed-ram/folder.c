/*
 * fixed-ram: a folder for files that a fuzz target opens by their paths
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "folder.h"

static char *folder;

static void remove_folder(void)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = folder_path(name);

        unlink(path);
    }
    if (dir) {
        g_dir_close(dir);
    }
    rmdir(folder);
}

char *folder_path(const char *name)
{
    if (!folder) {
        GError *err = NULL;

        folder = g_dir_make_tmp("fixed-ram-fuzz-XXXXXX", &err);
        g_assert_no_error(err);
        atexit(remove_folder);
    }
    return g_build_filename(folder, name, NULL);
}

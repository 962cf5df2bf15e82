/*
 * The files of fixed-ram's scenarios
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "libqtest.h"
#include "migration/fixed-ram-scenario.h"

static const char * const file_names[] = {
    FILE_TEST_FILENAME, "again", "base", "source", "other", "copy",
    "disk", "faults", "folder/away",
};

char *frt_path(const char *name)
{
    return g_build_filename(migration_get_env()->tmpfs, name, NULL);
}

char *frt_file_uri(const char *name)
{
    g_autofree char *path = frt_path(name);

    return g_strdup_printf("file:%s", path);
}

char *frt_shm_path(void)
{
    return g_strdup_printf("/dev/shm/qemu-fixed-ram-%d", getpid());
}

void frt_remove_files(void)
{
    g_autofree char *shm = frt_shm_path();
    g_autofree char *folder = frt_path("folder");

    unlink(shm);
    for (size_t i = 0; i < ARRAY_SIZE(file_names); i++) {
        g_autofree char *path = frt_path(file_names[i]);

        unlink(path);
    }
    rmdir(folder);
}

bool frt_have_shm(void)
{
    if (g_file_test("/dev/shm", G_FILE_TEST_IS_DIR)) {
        return true;
    }
    g_test_skip("there is no /dev/shm");
    return false;
}

bool frt_have_huge_pages(void)
{
    g_autofree char *text = NULL;
    unsigned number = 0;

    if (g_file_get_contents("/sys/kernel/mm/hugepages/hugepages-2048kB/"
                            "free_hugepages", &text, NULL, NULL) &&
        !qemu_strtoui(g_strchomp(text), NULL, 10, &number) && number >= 75) {
        return true;
    }
    g_test_skip("the host has fewer than 75 free huge pages of 2 MiB "
                "(vm.nr_hugepages)");
    return false;
}

bool frt_have_disk(const char *name, int mib)
{
    g_autofree char *path = frt_path(name);

    if (have_qemu_img() && mkimg(path, "qcow2", mib)) {
        return true;
    }
    g_test_skip("QTEST_QEMU_IMG does not name a qemu-img");
    return false;
}

static void remove_tree(const char *folder)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);

        if (unlink(path)) {
            remove_tree(path);
        }
    }
    if (dir) {
        g_dir_close(dir);
    }
    rmdir(folder);
}

void frt_remove_folder(void)
{
    frt_remove_files();
    remove_tree(migration_get_env()->tmpfs);
}

#define FAULTS_FOLDER   "../unit/fixed-ram/faults"

char *frt_built_program(const char *name)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : NULL;
    g_autofree char *path = folder ? g_build_filename(folder, FAULTS_FOLDER,
                                                      name, NULL) : NULL;

    return path && g_file_test(path, G_FILE_TEST_EXISTS)
           ? g_steal_pointer(&path) : NULL;
}

/* Keep holes: most of a snapshot's file is empty. */
void frt_copy_file(const char *from, const char *to)
{
    g_autofree char *a = frt_path(from);
    g_autofree char *b = frt_path(to);
    GMappedFile *map = g_mapped_file_new(a, false, NULL);
    int fd = open(b, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    size_t size, pos;

    g_assert(map);
    g_assert_cmpint(fd, >=, 0);
    size = g_mapped_file_get_length(map);
    for (pos = 0; pos < size; pos += SNAPSHOT_PAGE_SIZE) {
        const char *page = g_mapped_file_get_contents(map) + pos;
        size_t n = MIN(size - pos, SNAPSHOT_PAGE_SIZE);

        if (!buffer_is_zero(page, n)) {
            g_assert_cmpint(pwrite(fd, page, n, pos), ==, n);
        }
    }
    g_assert_cmpint(ftruncate(fd, size), ==, 0);
    close(fd);
    g_mapped_file_unref(map);
}

char *frt_file_sum(const char *name)
{
    g_autofree char *path = frt_path(name);
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, false, NULL);

    g_assert_nonnull(file);
    return g_compute_checksum_for_data(
        G_CHECKSUM_SHA256, (uint8_t *)g_mapped_file_get_contents(file),
        g_mapped_file_get_length(file));
}

SnapshotSuperblock frt_superblock(const char *name)
{
    g_autofree char *path = frt_path(name);
    SnapshotSuperblock sb;

    g_assert_true(snapshot_find_superblock(path, &sb));
    return sb;
}

void frt_assert_being_written(const char *name)
{
    g_assert_cmpuint(frt_superblock(name).state, ==,
                     SUPERBLOCK_BEING_WRITTEN);
}

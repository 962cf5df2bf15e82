/*
 * A file system whose reads and writes can hang or fail
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 *   fixed-ram-faultfs FOLDER MOUNTPOINT
 *
 * shows FOLDER at MOUNTPOINT, until SIGTERM.  By itself it never fails.  With
 * the library faults.c preloaded into this process, its reads of FOLDER do what
 * the library's rules say.  A process that reads below MOUNTPOINT then waits in
 * the kernel, as it does for a network file system whose server is gone.  With
 * the library in the process itself it would wait in user space.
 *
 * Reads go through the kernel's page cache, and there is no readahead: the
 * kernel asks only for pages that a process reads.  A process that waits
 * for such a page can be killed: the kernel gives up most requests by itself,
 * and has us interrupt one that has failed before and is repeated.
 *
 * If the environment has FIXED_RAM_FAULTFS_NO_LOCKS the files cannot be locked,
 * as on some network file systems.
 */

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int folder;              /* a descriptor of FOLDER */

/* FUSE's paths begin with a slash. */
static const char *below_folder(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static int result(ssize_t ret)
{
    return ret < 0 ? -errno : ret;
}

/* The signal has ended the system call that hangs. */
static void interrupted(int number)
{
}

static void *faultfs_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
    conn->max_readahead = 0;
    cfg->attr_timeout = 0;
    cfg->intr = 1;
    cfg->intr_signal = SIGUSR1;
    return NULL;
}

static int faultfs_getattr(const char *path, struct stat *st,
                           struct fuse_file_info *file)
{
    return result(fstatat(folder, below_folder(path), st, 0));
}

static int faultfs_open(const char *path, struct fuse_file_info *file)
{
    int fd = openat(folder, below_folder(path), file->flags | O_CLOEXEC);

    file->fh = fd;
    return fd < 0 ? -errno : 0;
}

static int faultfs_create(const char *path, mode_t mode,
                          struct fuse_file_info *file)
{
    int fd = openat(folder, below_folder(path), file->flags | O_CLOEXEC, mode);

    file->fh = fd;
    return fd < 0 ? -errno : 0;
}

static int faultfs_read(const char *path, char *buf, size_t size, off_t offset,
                        struct fuse_file_info *file)
{
    return result(pread(file->fh, buf, size, offset));
}

static int faultfs_write(const char *path, const char *buf, size_t size,
                         off_t offset, struct fuse_file_info *file)
{
    return result(pwrite(file->fh, buf, size, offset));
}

static int faultfs_truncate(const char *path, off_t size,
                            struct fuse_file_info *file)
{
    int fd, ret;

    if (file) {
        return result(ftruncate(file->fh, size));
    }
    fd = openat(folder, below_folder(path), O_WRONLY | O_CLOEXEC);
    ret = fd < 0 ? -errno : result(ftruncate(fd, size));
    if (fd >= 0) {
        close(fd);
    }
    return ret;
}

static int faultfs_fsync(const char *path, int data_only,
                         struct fuse_file_info *file)
{
    return result(data_only ? fdatasync(file->fh) : fsync(file->fh));
}

static int faultfs_release(const char *path, struct fuse_file_info *file)
{
    close(file->fh);
    return 0;
}

/* Without this operation the kernel has locks of its own. */
static int faultfs_lock(const char *path, struct fuse_file_info *file, int cmd,
                        struct flock *lock)
{
    return -EOPNOTSUPP;
}

static struct fuse_operations operations = {
    .init = faultfs_init,
    .getattr = faultfs_getattr,
    .open = faultfs_open,
    .create = faultfs_create,
    .read = faultfs_read,
    .write = faultfs_write,
    .truncate = faultfs_truncate,
    .fsync = faultfs_fsync,
    .release = faultfs_release,
};

/* Serves requests until SIGTERM.  One that hangs keeps a thread. */
static int serve(struct fuse *fuse, const char *mountpoint)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    const struct sigaction action = { .sa_handler = interrupted };
    int ret;

    if (fuse_mount(fuse, mountpoint) || sigaction(SIGUSR1, &action, NULL)) {
        return 1;
    }
    fuse_loop_cfg_set_max_threads(config, 100);
    ret = fuse_set_signal_handlers(fuse_get_session(fuse)) ?:
          fuse_loop_mt(fuse, config);
    fuse_loop_cfg_destroy(config);
    fuse_unmount(fuse);
    return ret;
}

int main(int argc, char **argv)
{
    char *options[] = { argv[0], (char *)"-oauto_unmount" };
    struct fuse_args args = FUSE_ARGS_INIT(2, options);
    struct fuse *fuse;

    if (argc != 3) {
        fprintf(stderr, "usage: %s FOLDER MOUNTPOINT\n", argv[0]);
        return 1;
    }
    folder = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        perror(argv[1]);
        return 1;
    }
    if (getenv("FIXED_RAM_FAULTFS_NO_LOCKS")) {
        operations.lock = faultfs_lock;
    }
    fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
    return fuse ? serve(fuse, argv[2]) : 1;
}

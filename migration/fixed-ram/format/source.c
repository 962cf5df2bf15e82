/*
 * fixed-ram: page sources, where the bytes of a snapshot come from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "lock.h"
#include "source.h"
#include "../util/io.h"

typedef struct FileSource {
    FixedRamSource parent;
    uint64_t start;             /* it is locked from here on */
    int fd;                     /* through the page cache */
    int direct_fd;              /* O_DIRECT, or -1 */
} FileSource;

/* Read until @length or the end; pread() alone may stop anywhere. */
static ssize_t pread_all(int fd, uint8_t *buf, size_t length, uint64_t offset)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = pread(fd, buf + done, length - done, offset + done);

        if (n == 0) {
            break;
        }
        if (n > 0) {
            done += n;
        } else if (errno != EINTR && errno != EAGAIN) {
            return -errno;
        }
    }
    return done;
}

static ssize_t file_read(FixedRamSource *source, void *buf, size_t length,
                         uint64_t offset)
{
    FileSource *file = container_of(source, FileSource, parent);

    return pread_all(file->fd, buf, length, offset);
}

static ssize_t file_read_pages(FixedRamSource *source, void *buf,
                               size_t length, uint64_t offset)
{
    FileSource *file = container_of(source, FileSource, parent);

    return pread_all(file->direct_fd < 0 ? file->fd : file->direct_fd,
                     buf, length, offset);
}

static void file_expect_faults(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    /* Only advice: without it reads are right all the same. */
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_RANDOM);
}

static void file_expect(FixedRamSource *source, uint64_t offset,
                        uint64_t length)
{
    FileSource *file = container_of(source, FileSource, parent);

    posix_fadvise(file->fd, offset, length, POSIX_FADV_WILLNEED);
}

static bool file_is_file(const FixedRamSource *source, int fd)
{
    return fixed_ram_same_file(container_of(source, FileSource, parent)->fd,
                               fd);
}

/* Without an answer of the kernel the lock of one file is kept. */
static bool file_shares_lock(const FixedRamSource *source,
                             const FixedRamSource *other)
{
    int fd = container_of(source, FileSource, parent)->fd;
    int other_fd = container_of(other, FileSource, parent)->fd;
    long ret = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, other_fd);

    return ret < 0 ? fixed_ram_same_file(fd, other_fd) : ret == 0;
}

static void file_unlock(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    fixed_ram_unlock(file->fd, file->start);
}

static void file_close(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    if (file->direct_fd >= 0) {
        qemu_close(file->direct_fd);
    }
    if (file->fd >= 0) {
        qemu_close(file->fd);
    }
    g_free(file);
}

static const FixedRamSourceOps file_ops = {
    .read = file_read,
    .read_pages = file_read_pages,
    .expect_faults = file_expect_faults,
    .expect = file_expect,
    .is_file = file_is_file,
    .shares_lock = file_shares_lock,
    .unlock = file_unlock,
    .close = file_close,
};

static bool file_check(FileSource *file, Error **errp)
{
    struct stat st;

    if (fstat(file->fd, &st)) {
        error_setg_errno(errp, errno, "snapshot '%s'", file->parent.name);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        error_setg(errp, "snapshot '%s' is not a regular file",
                   file->parent.name);
        return false;
    }
    file->parent.size = st.st_size;
    return true;
}

static bool file_open_direct(FileSource *file, Error **errp)
{
#ifdef O_DIRECT
    file->direct_fd = qemu_open(file->parent.name, O_RDONLY | O_DIRECT, errp);
    if (file->direct_fd >= 0 &&
        !file_is_file(&file->parent, file->direct_fd)) {
        error_setg(errp, "snapshot '%s': with and without direct-io it is not "
                   "the same file", file->parent.name);
        return false;
    }
    return file->direct_fd >= 0;
#else
    error_setg(errp, "this host has no direct-io");
    return false;
#endif
}

FixedRamSource *fixed_ram_source_open_file(const char *path, uint64_t start,
                                           bool direct, Error **errp)
{
    FileSource *file = g_new0(FileSource, 1);

    file->parent.ops = &file_ops;
    file->parent.name = g_strdup(path);
    file->start = start;
    file->direct_fd = -1;
    /* A FIFO must be refused, not waited for; files do not mind. */
    file->fd = qemu_open(path, O_RDONLY | O_NONBLOCK, errp);
    if (file->fd < 0 ||
        !fixed_ram_lock_shared(file->fd, start, path, errp) ||
        !file_check(file, errp) ||
        (direct && !file_open_direct(file, errp))) {
        fixed_ram_source_close(&file->parent);
        return NULL;
    }
    return &file->parent;
}

void fixed_ram_source_expect_faults(FixedRamSource *source)
{
    if (source->ops->expect_faults) {
        source->ops->expect_faults(source);
    }
}

void fixed_ram_source_expect(FixedRamSource *source, uint64_t offset,
                             uint64_t length)
{
    if (source->ops->expect) {
        source->ops->expect(source, offset, length);
    }
}

bool fixed_ram_source_is_file(const FixedRamSource *source, int fd)
{
    return source->ops->is_file && source->ops->is_file(source, fd);
}

void fixed_ram_source_unlock(FixedRamSource *source)
{
    if (source->ops->unlock && !qatomic_read(&source->lock_handed_over)) {
        source->ops->unlock(source);
    }
}

void fixed_ram_source_hand_over_lock(FixedRamSource *source,
                                     const FixedRamSource *next)
{
    if (source->ops == next->ops && source->ops->shares_lock &&
        source->ops->shares_lock(source, next)) {
        qatomic_set(&source->lock_handed_over, true);
    }
}

void fixed_ram_source_close(FixedRamSource *source)
{
    if (source) {
        g_free(source->name);
        source->ops->close(source);
    }
}

FixedRamSource *fixed_ram_source_ref(FixedRamSource *source)
{
    qatomic_inc(&source->refs);
    return source;
}

void fixed_ram_source_unref(FixedRamSource *source)
{
    if (!qatomic_fetch_dec(&source->refs)) {
        fixed_ram_source_unlock(source);
        fixed_ram_source_close(source);
    }
}

/* Make of a read's result an error, or not. */
static bool check_read(FixedRamSource *source, ssize_t ret, size_t length,
                       uint64_t offset, Error **errp)
{
    if (ret < 0) {
        error_setg_errno(errp, -ret, "snapshot '%s': reading %zu bytes at "
                         "offset 0x%" PRIx64, source->name, length, offset);
        return false;
    }
    if (ret < length) {
        error_setg(errp, "snapshot '%s': ends at offset 0x%" PRIx64
                   ", %zu bytes were expected at offset 0x%" PRIx64,
                   source->name, offset + ret, length, offset);
        return false;
    }
    return true;
}

bool fixed_ram_source_read(FixedRamSource *source, void *buf, size_t length,
                           uint64_t offset, Error **errp)
{
    ssize_t ret = source->ops->read(source, buf, length, offset);

    return check_read(source, ret, length, offset, errp);
}

bool fixed_ram_source_read_pages(FixedRamSource *source, void *buf,
                                 size_t length, uint64_t offset,
                                 Error **errp)
{
    ssize_t ret;

    if (!source->ops->read_pages) {
        return fixed_ram_source_read(source, buf, length, offset, errp);
    }
    ret = source->ops->read_pages(source, buf, length, offset);
    return check_read(source, ret, length, offset, errp);
}

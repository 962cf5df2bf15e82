/*
 * fixed-ram: what all files that are opened here have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "io.h"

/*
 * How often a read that was interrupted, or answered "try again", is repeated
 * without any progress, and the pause before each time: one second in all.
 */
#define RETRIES_MAX     1000
#define RETRY_PAUSE_US  1000

bool fixed_ram_same_file(int fd, int other)
{
    struct stat a, b;

    return !fstat(fd, &a) && !fstat(other, &b) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

ssize_t fixed_ram_read_full(int fd, void *buf, size_t length, uint64_t offset)
{
    uint8_t *bytes = buf;
    unsigned retries = 0;
    size_t done = 0;

    while (done < length) {
        ssize_t n = pread(fd, bytes + done, length - done, offset + done);

        if (n == 0) {
            break;
        }
        if (n > 0) {
            done += n;
            retries = 0;
        } else if ((errno != EINTR && errno != EAGAIN) ||
                   retries++ == RETRIES_MAX) {
            return -errno;
        } else {
            g_usleep(RETRY_PAUSE_US);
        }
    }
    return done;
}

int fixed_ram_write_full(int fd, const void *buf, size_t length,
                         uint64_t offset)
{
    const uint8_t *bytes = buf;

    while (length) {
        ssize_t ret = RETRY_ON_EINTR(pwrite(fd, bytes, length, offset));

        if (ret <= 0) {
            return ret ? -errno : -EIO;
        }
        bytes += ret;
        length -= ret;
        offset += ret;
    }
    return 0;
}

bool fixed_ram_write_snapshot(int fd, const char *name, const void *buf,
                              size_t length, uint64_t offset, Error **errp)
{
    int ret = fixed_ram_write_full(fd, buf, length, offset);

    if (ret < 0) {
        error_setg_errno(errp, -ret, "snapshot '%s': offset 0x%" PRIx64
                         ": cannot write 0x%zx bytes", name, offset, length);
    }
    return !ret;
}

bool fixed_ram_sync_snapshot(int fd, const char *name, Error **errp)
{
    if (RETRY_ON_EINTR(qemu_fdatasync(fd))) {
        error_setg_errno(errp, errno, "snapshot '%s': cannot write the file "
                         "to disk", name);
        return false;
    }
    return true;
}

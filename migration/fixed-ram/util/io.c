/*
 * fixed-ram: what all files that are opened here have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "io.h"

bool fixed_ram_same_file(int fd, int other)
{
    struct stat a, b;

    return !fstat(fd, &a) && !fstat(other, &b) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
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

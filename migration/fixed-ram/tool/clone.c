/*
 * qemu-snapshot merge: bytes that get from file to file inside the kernel
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include "qapi/error.h"
#include "qemu/units.h"
#include "clone.h"

/* Bytes that the program copies at once. */
#define PIECE_BYTES (1 * MiB)

/* Ranges must begin and end with blocks, or the file system refuses. */
static bool share(ToolClone *clone, int fd, uint64_t offset, uint64_t length,
                  uint64_t to)
{
    struct file_clone_range range = {
        .src_fd = fd, .src_offset = offset, .src_length = length,
        .dest_offset = to,
    };

    if (clone->no_share) {
        return false;
    }
    if (!ioctl(clone->out->fd, FICLONERANGE, &range)) {
        clone->shared += length;
        return true;
    }
    /* EINVAL may be a matter of this range's alignment only. */
    clone->no_share = errno != EINVAL;
    return false;
}

/* Returns how many bytes were copied, 0 at the file's end, or -errno. */
static ssize_t copy_some(ToolClone *clone, int fd, uint64_t offset,
                         uint64_t length, uint64_t to)
{
    g_autofree uint8_t *buf = NULL;
    ssize_t n;

    if (!clone->no_kernel) {
        off_t in = offset, out = to;

        n = copy_file_range(fd, &in, clone->out->fd, &out, length, 0);
        if (n >= 0) {
            return n;
        }
        clone->no_kernel = true;
    }
    length = MIN(length, PIECE_BYTES);
    buf = g_malloc(length);
    n = RETRY_ON_EINTR(pread(fd, buf, length, offset));
    if (n > 0) {
        n = RETRY_ON_EINTR(pwrite(clone->out->fd, buf, n, to));
    }
    return n < 0 ? -errno : n;
}

/* A range that has no hole. */
static bool copy_data(ToolClone *clone, const FixedRamSource *source, int fd,
                      uint64_t offset, uint64_t length, uint64_t to,
                      Error **errp)
{
    while (length) {
        ssize_t n = copy_some(clone, fd, offset, length, to);

        if (n < 0) {
            error_setg_errno(errp, -n, "cannot copy 0x%" PRIx64 " bytes at "
                             "offset 0x%" PRIx64 " of '%s' to '%s'", length,
                             offset, source->name, clone->out->name);
            return false;
        }
        if (!n) {
            error_setg(errp, "snapshot '%s': the file ends at offset 0x%"
                       PRIx64 ", 0x%" PRIx64 " bytes were expected there",
                       source->name, offset, length);
            return false;
        }
        offset += n;
        to += n;
        length -= n;
        clone->copied += n;
    }
    return true;
}

bool tool_clone_range(ToolClone *clone, const FixedRamSource *source,
                      uint64_t offset, uint64_t length, uint64_t to,
                      Error **errp)
{
    int fd = fixed_ram_source_map_fd(source);
    uint64_t end = offset + length, at = offset;

    if (end > source->size) {
        error_setg(errp, "snapshot '%s': the file ends at offset 0x%" PRIx64
                   ", expected at least 0x%" PRIx64, source->name,
                   source->size, end);
        return false;
    }
    if (share(clone, fd, offset, length, to)) {
        return true;
    }
    while (at < end) {
        off_t data = lseek(fd, at, SEEK_DATA);
        off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        uint64_t stop;

        if (data < 0 && errno == ENXIO) {
            break;
        }
        /* A file system that knows no holes has data everywhere. */
        at = data < 0 ? at : MIN(data, end);
        stop = hole < 0 ? end : MIN(hole, end);
        if (!copy_data(clone, source, fd, at, stop - at, to + (at - offset),
                       errp)) {
            return false;
        }
        at = stop;
    }
    return true;
}

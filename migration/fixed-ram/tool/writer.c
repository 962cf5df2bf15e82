/*
 * qemu-snapshot: a snapshot's file that is being written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "../format/lock.h"
#include "writer.h"

static bool writer_create(ToolWriter *w, Error **errp)
{
    w->fd = qemu_create(w->name, O_RDWR | O_EXCL, 0600, NULL);
    w->created = w->fd >= 0;
    if (!w->created) {
        w->fd = qemu_create(w->name, O_RDWR, 0600, errp);
    }
    return w->fd >= 0;
}

ToolWriter *tool_writer_open(const char *path, uint64_t start,
                             const FixedRamSource *in, Error **errp)
{
    ToolWriter *w = g_new0(ToolWriter, 1);

    w->name = g_strdup(path);
    w->start = start;
    if (!writer_create(w, errp)) {
        goto fail;
    }
    if (fixed_ram_source_is_file(in, w->fd)) {
        error_setg(errp, "'%s' is the file that is read", path);
        goto fail;
    }
    if (!fixed_ram_lock_exclusive(w->fd, start, path, errp)) {
        goto fail;
    }
    if (ftruncate(w->fd, start)) {
        error_setg_errno(errp, errno, "snapshot '%s'", path);
        goto fail;
    }
    return w;

fail:
    tool_writer_close(w, false, NULL);
    return NULL;
}

bool tool_writer_close(ToolWriter *w, bool good, Error **errp)
{
    bool ok = true;

    if (!w) {
        return true;
    }
    if (w->created && !good) {
        unlink(w->name);
    }
    if (w->fd >= 0 && qemu_close(w->fd)) {
        error_setg_errno(errp, errno, "snapshot '%s'", w->name);
        ok = false;
    }
    g_free(w->name);
    g_free(w);
    return ok;
}

bool tool_writer_put(ToolWriter *w, const void *buf, size_t length,
                     uint64_t offset, Error **errp)
{
    const uint8_t *from = buf;

    while (length) {
        ssize_t n = pwrite(w->fd, from, length, offset);

        if (n < 0 && errno != EINTR) {
            error_setg_errno(errp, errno, "snapshot '%s': writing %zu bytes at "
                             "offset 0x%" PRIx64, w->name, length, offset);
            return false;
        }
        n = MAX(n, 0);
        from += n;
        length -= n;
        offset += n;
    }
    return true;
}

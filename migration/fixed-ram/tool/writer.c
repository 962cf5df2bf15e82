/*
 * qemu-snapshot: the file that a command writes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib-unix.h>
#include "qapi/error.h"
#include "../format/lock.h"
#include "../util/io.h"
#include "writer.h"

static ToolWriter *writer_new(const char *name, uint64_t start, int fd)
{
    ToolWriter *w = g_new0(ToolWriter, 1);

    w->name = g_strdup(name);
    w->start = start;
    w->fd = fd;
    return w;
}

/* O_NONBLOCK: opening a FIFO must not wait for a process that reads it. */
static bool open_path(ToolWriter *w, Error **errp)
{
    const int flags = O_WRONLY | O_NONBLOCK;
    Error *err = NULL;

    w->fd = qemu_create(w->name, flags | O_EXCL, 0600, NULL);
    w->created = w->fd >= 0;
    if (!w->created) {
        w->fd = qemu_create(w->name, flags, 0600, &err);
    }
    if (w->fd < 0 && errno == ENXIO) {
        error_free(err);
        error_setg(errp, "cannot write to '%s': it is a pipe that no "
                   "process reads", w->name);
        return false;
    }
    error_propagate(errp, err);
    return w->fd >= 0;
}

static bool classify(ToolWriter *w, Error **errp)
{
    struct stat st;

    if (fstat(w->fd, &st)) {
        error_setg_errno(errp, errno, "cannot get the status of '%s'",
                         w->name);
        return false;
    }
    if (S_ISBLK(st.st_mode)) {
        error_setg(errp, "cannot write to '%s': it is a block device",
                   w->name);
        return false;
    }
    if (isatty(w->fd)) {
        error_setg(errp, "cannot write to '%s': it is a terminal", w->name);
        return false;
    }
    w->is_stream = w->is_stream || !S_ISREG(st.st_mode);
    return true;
}

/*
 * The whole file, as a disk image has its locks near the start.  A process
 * that holds any of these locks uses what is about to be overwritten.
 */
static bool lock(ToolWriter *w, Error **errp)
{
    if (!fixed_ram_lock_exclusive(w->fd, 0, w->name, NULL)) {
        error_setg(errp, "cannot write to '%s': another process has locked it",
                   w->name);
        error_append_hint(errp, "Is it being saved or loaded, or the disk of a "
                          "VM that runs?\n");
        return false;
    }
    w->locked = true;
    return true;
}

static bool set_blocking(ToolWriter *w, Error **errp)
{
    if (!g_unix_set_fd_nonblocking(w->fd, false, NULL)) {
        error_setg(errp, "cannot make writes to '%s' wait", w->name);
        return false;
    }
    return true;
}

static bool check(ToolWriter *w, const FixedRamSource *in, Error **errp)
{
    if (fixed_ram_source_is_file(in, w->fd)) {
        error_setg(errp, "cannot write to '%s': it is the file that is read",
                   w->name);
        return false;
    }
    if (!classify(w, errp)) {
        return false;
    }
    return w->is_stream ? set_blocking(w, errp) : lock(w, errp);
}

ToolWriter *tool_writer_open(const char *path, uint64_t start,
                             const FixedRamSource *in, Error **errp)
{
    ToolWriter *w = writer_new(path, start, -1);

    if (!open_path(w, errp) || !check(w, in, errp)) {
        tool_writer_close(w, false, NULL);
        return NULL;
    }
    return w;
}

ToolWriter *tool_writer_stdout(const FixedRamSource *in, Error **errp)
{
    ToolWriter *w = writer_new("standard output", 0, dup(STDOUT_FILENO));

    w->is_stream = true;
    if (w->fd < 0) {
        error_setg_errno(errp, errno, "cannot write to standard output");
    }
    if (w->fd < 0 || !check(w, in, errp)) {
        tool_writer_close(w, false, NULL);
        return NULL;
    }
    return w;
}

static bool set_length(ToolWriter *w, uint64_t length, Error **errp)
{
    if (ftruncate(w->fd, length)) {
        error_setg_errno(errp, errno, "cannot make '%s' %" PRIu64 " bytes long",
                         w->name, length);
        return false;
    }
    return true;
}

bool tool_writer_empty(ToolWriter *w, uint64_t size, Error **errp)
{
    struct stat st;

    if (fstat(w->fd, &st)) {
        error_setg_errno(errp, errno, "cannot get the length of '%s'",
                         w->name);
        return false;
    }
    /* Growing it changes no content. */
    return (size <= st.st_size || set_length(w, size, errp)) &&
           set_length(w, w->start, errp) && set_length(w, size, errp);
}

static int write_stream(int fd, const uint8_t *bytes, size_t length)
{
    size_t written = qemu_write_full(fd, bytes, length);

    return written == length ? 0 : -errno;
}

bool tool_writer_put(ToolWriter *w, const void *buf, size_t length,
                     uint64_t offset, Error **errp)
{
    int ret = w->is_stream ? write_stream(w->fd, buf, length)
                           : fixed_ram_write_full(w->fd, buf, length, offset);

    if (ret < 0) {
        error_setg_errno(errp, -ret, "cannot write %zu bytes to '%s' at offset "
                         "0x%" PRIx64, length, w->name, offset);
        return false;
    }
    return true;
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
    if (w->locked) {
        fixed_ram_lock_release(w->fd, 0);
    }
    if (w->fd >= 0 && qemu_close(w->fd)) {
        error_setg_errno(errp, errno, "cannot finish writing '%s'", w->name);
        ok = false;
    }
    g_free(w->name);
    g_free(w);
    return ok;
}

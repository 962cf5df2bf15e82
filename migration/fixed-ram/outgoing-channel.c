/*
 * fixed-ram: the channel that a snapshot's stream is written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "../migration.h"
#include "../options.h"
#include "compat.h"
#include "outgoing-channel.h"
#include "format/sums.h"
#include "util/io.h"

/* The migration thread owns all fields once the migration has begun. */
struct FixedRamOutgoingChannel {
    QIOChannelFile parent;
    char *name;                 /* the file, for messages; never changes */
    FixedRamIndexPart head;     /* length 0: @part is still the head */
    FixedRamIndexPart part;     /* where it lies; its sum is in @sum */
    FixedRamSumStream *sum;     /* of @part; NULL: QEMU has no checksums */
};

/* The class of plain file channels, whose functions this one extends. */
static QIOChannelClass *file_class(QIOChannel *ioc)
{
    return QIO_CHANNEL_CLASS(
        object_class_get_parent(object_get_class(OBJECT(ioc))));
}

FixedRamIndexPart
fixed_ram_outgoing_channel_tail(const FixedRamOutgoingChannel *ioc)
{
    FixedRamIndexPart part = ioc->part;

    part.sum = ioc->sum ? fixed_ram_sums_stream_get(ioc->sum) : 0;
    return part;
}

const FixedRamIndexPart *
fixed_ram_outgoing_channel_head(const FixedRamOutgoingChannel *ioc)
{
    return &ioc->head;
}

static void begin_part(FixedRamOutgoingChannel *ioc, uint64_t offset)
{
    if (!ioc->head.length) {
        ioc->head = fixed_ram_outgoing_channel_tail(ioc);
    }
    ioc->part.offset = offset;
    ioc->part.length = 0;
    if (ioc->sum) {
        fixed_ram_sums_stream_reset(ioc->sum);
    }
}

static void add_to_part(FixedRamOutgoingChannel *ioc, const struct iovec *iov,
                        size_t length)
{
    ioc->part.length += length;
    while (ioc->sum && length) {
        size_t n = MIN(iov->iov_len, length);

        fixed_ram_sums_stream_add(ioc->sum, iov->iov_base, n);
        length -= n;
        iov++;
    }
}

/*
 * QEMU replaces the error of a channel by "Input/output error" in some places,
 * so the first one is reported here.
 */
static ssize_t channel_fail(FixedRamOutgoingChannel *ioc, uint64_t offset,
                            Error *err, Error **errp)
{
    error_prepend(&err, "snapshot '%s': offset 0x%" PRIx64 ": ", ioc->name,
                  offset);
    migrate_set_error(migrate_get_current(), err);
    error_propagate(errp, err);
    return -1;
}

static ssize_t channel_writev(QIOChannel *ioc, const struct iovec *iov,
                              size_t niov, int *fds, size_t nfds, int flags,
                              Error **errp)
{
    FixedRamOutgoingChannel *channel = FIXED_RAM_OUTGOING_CHANNEL(ioc);
    Error *err = NULL;
    ssize_t ret = file_class(ioc)->io_writev(ioc, iov, niov, fds, nfds, flags,
                                             &err);

    if (err) {
        return channel_fail(channel, channel->part.offset +
                            channel->part.length, err, errp);
    }
    /* After a short write the caller passes the rest again. */
    if (ret > 0) {
        add_to_part(channel, iov, ret);
    }
    return ret;
}

/* Callers take a short write for an error without a cause, so finish it. */
static ssize_t channel_pwritev(QIOChannel *ioc, const struct iovec *iov,
                               size_t niov, off_t offset, Error **errp)
{
    FixedRamOutgoingChannel *channel = FIXED_RAM_OUTGOING_CHANNEL(ioc);
    Error *err = NULL;
    ssize_t done = 0;

    for (size_t i = 0; i < niov; i++) {
        int ret = fixed_ram_write_full(channel->parent.fd, iov[i].iov_base,
                                       iov[i].iov_len, offset + done);

        if (ret < 0) {
            error_setg_errno(&err, -ret, "cannot write 0x%zx bytes",
                             iov[i].iov_len);
            return channel_fail(channel, offset + done, err, errp);
        }
        done += iov[i].iov_len;
    }
    return done;
}

static off_t channel_seek(QIOChannel *ioc, off_t offset, int whence,
                          Error **errp)
{
    FixedRamOutgoingChannel *channel = FIXED_RAM_OUTGOING_CHANNEL(ioc);
    off_t pos = file_class(ioc)->io_seek(ioc, offset, whence, errp);

    /* A seek to the current position only asks for the position. */
    if (pos >= 0 && pos != channel->part.offset + channel->part.length) {
        begin_part(channel, pos);
    }
    return pos;
}

FixedRamOutgoingChannel *fixed_ram_outgoing_channel_new(QIOChannelFile *file,
                                                        const char *name)
{
    FixedRamOutgoingChannel *ioc =
        FIXED_RAM_OUTGOING_CHANNEL(object_new(TYPE_FIXED_RAM_OUTGOING_CHANNEL));
    off_t pos = lseek(file->fd, 0, SEEK_CUR);

    ioc->name = g_strdup(name);
    ioc->parent.fd = file->fd;
    file->fd = -1;
    if (pos >= 0) {
        qio_channel_set_feature(QIO_CHANNEL(ioc),
                                QIO_CHANNEL_FEATURE_SEEKABLE);
        ioc->part.offset = pos;
    }
    if (fixed_ram_sums_built()) {
        ioc->sum = fixed_ram_sums_stream_new();
    }
    return ioc;
}

static void channel_finalize(Object *obj)
{
    FixedRamOutgoingChannel *ioc = FIXED_RAM_OUTGOING_CHANNEL(obj);

    fixed_ram_sums_stream_free(ioc->sum);
    g_free(ioc->name);
}

static void channel_class_init(ObjectClass *klass,
                               FixedRamClassData *class_data)
{
    QIOChannelClass *ioc_klass = QIO_CHANNEL_CLASS(klass);

    ioc_klass->io_writev = channel_writev;
    ioc_klass->io_pwritev = channel_pwritev;
    ioc_klass->io_seek = channel_seek;
}

bool fixed_ram_outgoing_channel_try(const char *name, Error **errp)
{
    g_autoptr(GPtrArray) channels =
        g_ptr_array_new_with_free_func(object_unref);
    int flags = O_WRONLY | (migrate_direct_io() ? O_DIRECT : 0);
    int count = migrate_multifd() ? migrate_multifd_channels() : 0;
    Error *err = NULL;

    for (int i = 0; i < count; i++) {
        QIOChannelFile *ioc = qio_channel_file_new_path(name, flags, 0, &err);

        if (!ioc) {
            error_propagate_prepend(errp, err, "snapshot '%s': cannot open "
                                    "multifd channel %d of %d: ", name, i + 1,
                                    count);
            return false;
        }
        g_ptr_array_add(channels, ioc);
    }
    return true;
}

static const TypeInfo fixed_ram_outgoing_channel_info = {
    .parent = TYPE_QIO_CHANNEL_FILE,
    .name = TYPE_FIXED_RAM_OUTGOING_CHANNEL,
    .instance_size = sizeof(FixedRamOutgoingChannel),
    .instance_finalize = channel_finalize,
    .class_init = channel_class_init,
};

static void fixed_ram_outgoing_channel_register_types(void)
{
    type_register_static(&fixed_ram_outgoing_channel_info);
}

type_init(fixed_ram_outgoing_channel_register_types);

/*
 * fixed-ram: the channel that a snapshot's stream is written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/module.h"
#include "outgoing-channel.h"
#include "format/sums.h"

struct FixedRamChannel {
    QIOChannelFile parent;
    FixedRamIndexPart head;     /* length 0: it goes on */
    FixedRamIndexPart part;     /* without its sum */
    FixedRamSumStream *sum;     /* of @part; NULL: without sums */
};

/* What this one does as any file channel does. */
static QIOChannelClass *file_class(QIOChannel *ioc)
{
    return QIO_CHANNEL_CLASS(
        object_class_get_parent(object_get_class(OBJECT(ioc))));
}

FixedRamIndexPart fixed_ram_channel_tail(const FixedRamChannel *ioc)
{
    FixedRamIndexPart part = ioc->part;

    part.sum = ioc->sum ? fixed_ram_sums_stream_get(ioc->sum) : 0;
    return part;
}

const FixedRamIndexPart *fixed_ram_channel_head(const FixedRamChannel *ioc)
{
    return &ioc->head;
}

static void begin_part(FixedRamChannel *ioc, uint64_t offset)
{
    if (!ioc->head.length) {
        ioc->head = fixed_ram_channel_tail(ioc);
    }
    ioc->part.offset = offset;
    ioc->part.length = 0;
    if (ioc->sum) {
        fixed_ram_sums_stream_reset(ioc->sum);
    }
}

static void add_to_part(FixedRamChannel *ioc, const struct iovec *iov,
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

static ssize_t channel_writev(QIOChannel *ioc, const struct iovec *iov,
                              size_t niov, int *fds, size_t nfds, int flags,
                              Error **errp)
{
    ssize_t ret = file_class(ioc)->io_writev(ioc, iov, niov, fds, nfds, flags,
                                             errp);

    /* Of what was only partly written the rest will come again. */
    if (ret > 0) {
        add_to_part(FIXED_RAM_CHANNEL(ioc), iov, ret);
    }
    return ret;
}

static off_t channel_seek(QIOChannel *ioc, off_t offset, int whence,
                          Error **errp)
{
    FixedRamChannel *channel = FIXED_RAM_CHANNEL(ioc);
    off_t pos = file_class(ioc)->io_seek(ioc, offset, whence, errp);

    /* Else it has only asked where it is. */
    if (pos >= 0 && pos != channel->part.offset + channel->part.length) {
        begin_part(channel, pos);
    }
    return pos;
}

FixedRamChannel *fixed_ram_channel_new(QIOChannelFile *file)
{
    FixedRamChannel *ioc =
        FIXED_RAM_CHANNEL(object_new(TYPE_FIXED_RAM_CHANNEL));
    off_t pos = lseek(file->fd, 0, SEEK_CUR);

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
    fixed_ram_sums_stream_free(FIXED_RAM_CHANNEL(obj)->sum);
}

static void channel_class_init(ObjectClass *klass, void *class_data)
{
    QIOChannelClass *ioc_klass = QIO_CHANNEL_CLASS(klass);

    ioc_klass->io_writev = channel_writev;
    ioc_klass->io_seek = channel_seek;
}

static const TypeInfo fixed_ram_channel_info = {
    .parent = TYPE_QIO_CHANNEL_FILE,
    .name = TYPE_FIXED_RAM_CHANNEL,
    .instance_size = sizeof(FixedRamChannel),
    .instance_finalize = channel_finalize,
    .class_init = channel_class_init,
};

static void fixed_ram_channel_register_types(void)
{
    type_register_static(&fixed_ram_channel_info);
}

type_init(fixed_ram_channel_register_types);

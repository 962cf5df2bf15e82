/*
 * fixed-ram: large writes to a file, several at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#ifdef CONFIG_LINUX_IO_URING
#include <liburing.h>
#endif
#include "qapi/error.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "../trace.h"
#include "../util/buffer.h"
#include "writer.h"

/* The caller fills one slice while the other one is written. */
#define SLICES              2
/* A slice with many holes is written by many requests. */
#define REQUESTS            64
/*
 * Buffered writes: the kernel writes so many slices to disk while the next ones
 * are copied to the page cache.
 */
#define TRAIL               4

#ifndef RWF_DONTCACHE           /* Linux 6.14 */
#define RWF_DONTCACHE       0x00000080
#endif

typedef struct Slice {
    uint8_t *mem;
    FixedRamWriterPlace place;
    unsigned requests;          /* io_uring requests that read from @mem */
} Slice;

typedef struct Request {
    Slice *slice;               /* NULL: the request is free */
    struct iovec iov;
} Request;

typedef struct Range {
    uint64_t offset;
    uint64_t length;
} Range;

/* The thread that created the writer owns all of it. */
struct FixedRamWriter {
    int fd;
    const char *name;
    bool direct;                /* @fd has O_DIRECT */
    int buffered_fd;            /* for direct writes that are refused, or -1 */

    FixedRamBuffer buffer;      /* the memory of all slices */
    Slice slices[SLICES];
    Slice *slice;               /* the one that the caller fills */

    /* Direct writes */
    bool has_ring;              /* false: they are made by pwrite() */
#ifdef CONFIG_LINUX_IO_URING
    struct io_uring ring;
#endif
    Request requests[REQUESTS];

    /* Buffered writes */
    bool dontcache;             /* the kernel drops the pages; else we do */
    bool no_sync_range;         /* the host does not allow sync_file_range() */
    Range written;              /* the part of this slice that was written */
    Range trail[TRAIL];         /* of the slices before; length 0: none */
    unsigned oldest;            /* index of the oldest one in @trail */
};

static bool map_slices(FixedRamWriter *w, size_t size, Error **errp)
{
    if (!fixed_ram_buffer_map(&w->buffer, SLICES * size, errp)) {
        return false;
    }
    for (int i = 0; i < SLICES; i++) {
        w->slices[i].mem = w->buffer.mem + i * size;
    }
    w->slice = &w->slices[0];
    return true;
}

#ifdef CONFIG_LINUX_IO_URING
static int wait_cqe(struct io_uring *ring, struct io_uring_cqe **cqe)
{
    int ret;

    do {
        ret = io_uring_wait_cqe(ring, cqe);
    } while (ret == -EINTR);
    return ret;
}

/*
 * A sandbox may allow to set a ring up and forbid to use it.  Once the kernel
 * may be reading from our memory it is too late to find that out.
 */
static bool ring_works(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

    io_uring_prep_nop(sqe);
    if (io_uring_submit(ring) != 1 ||
        wait_cqe(ring, &cqe) < 0) {
        return false;
    }
    io_uring_cqe_seen(ring, cqe);
    return true;
}

static bool set_up_ring(FixedRamWriter *w)
{
    if (io_uring_queue_init(REQUESTS, &w->ring, 0)) {
        return false;
    }
    if (!ring_works(&w->ring)) {
        io_uring_queue_exit(&w->ring);
        return false;
    }
    return true;
}
#else
static bool set_up_ring(FixedRamWriter *w)
{
    return false;
}
#endif

FixedRamWriter *fixed_ram_writer_new(int fd, const char *name, bool direct,
                                     int buffered_fd, size_t size,
                                     Error **errp)
{
    bool plain = getenv(FIXED_RAM_PLAIN_WRITES);
    FixedRamWriter *w = g_new0(FixedRamWriter, 1);

    w->fd = fd;
    w->name = name;
    w->direct = direct;
    w->buffered_fd = buffered_fd;
    if (!map_slices(w, size, errp)) {
        g_free(w);
        return NULL;
    }
    w->dontcache = !plain && !direct;
    w->has_ring = !plain && direct && set_up_ring(w);
    return w;
}

/*
 * As pwrite(), and the pages shall not stay in the page cache.  Kernels, file
 * systems and sandboxes refuse the flag with different errors.  If the write
 * itself is at fault, pwrite() says so.
 */
static ssize_t write_some(FixedRamWriter *w, const struct iovec *iov,
                          uint64_t offset)
{
    if (w->dontcache) {
        ssize_t ret = pwritev2(w->fd, iov, 1, offset, RWF_DONTCACHE);

        if (ret >= 0 || errno == EINTR) {
            return ret;
        }
        w->dontcache = false;
    }
    return pwrite(w->fd, iov->iov_base, iov->iov_len, offset);
}

static void set_error(FixedRamWriter *w, const Slice *slice,
                      const struct iovec *iov, int err, Error **errp)
{
    uint64_t start = (uint8_t *)iov->iov_base - slice->mem;

    error_setg_errno(errp, err, "snapshot '%s': block '%s' offset 0x%" PRIx64
                     ": cannot write 0x%zx bytes", w->name,
                     slice->place.block, slice->place.block_offset + start,
                     iov->iov_len);
}

/*
 * After a direct write that the file system refuses, which may want a larger
 * alignment than that of pages, all writes are buffered.  Requests under way
 * come here, too, if they are refused.
 */
static bool may_write_buffered(FixedRamWriter *w, uint64_t offset, int err)
{
    if (w->buffered_fd < 0 || (err != EINVAL && err != EOPNOTSUPP)) {
        return false;
    }
    trace_fixed_ram_writer_refused(w->name, offset, err);
    w->fd = w->buffered_fd;
    w->buffered_fd = -1;
    w->direct = false;
    w->dontcache = !getenv(FIXED_RAM_PLAIN_WRITES);
    return true;
}

static bool write_all(FixedRamWriter *w, const Slice *slice,
                      struct iovec iov, Error **errp)
{
    while (iov.iov_len) {
        uint64_t start = (uint8_t *)iov.iov_base - slice->mem;
        uint64_t offset = slice->place.file_offset + start;
        ssize_t ret = RETRY_ON_EINTR(write_some(w, &iov, offset));

        if (ret < 0 && may_write_buffered(w, offset, errno)) {
            continue;
        }
        if (ret <= 0) {
            set_error(w, slice, &iov, ret ? errno : EIO, errp);
            return false;
        }
        iov.iov_base = (uint8_t *)iov.iov_base + ret;
        iov.iov_len -= ret;
    }
    return true;
}

/*
 * Direct writes by io_uring
 */

#ifdef CONFIG_LINUX_IO_URING
/*
 * @ret: the completion's result.  A short or failed write is repeated with
 * pwrite(), whose error is then reported.
 */
static bool end_request(FixedRamWriter *w, Request *r, int ret, Error **errp)
{
    Slice *slice = r->slice;
    struct iovec rest = r->iov;

    r->slice = NULL;
    slice->requests--;
    if (ret > 0) {
        rest.iov_base = (uint8_t *)rest.iov_base + ret;
        rest.iov_len -= ret;
    }
    return write_all(w, slice, rest, errp);
}

/* Wait until one of the requests under way completes; there must be one. */
static bool wait_for_request(FixedRamWriter *w, Error **errp)
{
    struct io_uring_cqe *cqe;
    Request *r;
    int ret;

    /*
     * The kernel may be reading from our memory, so nothing but a completion
     * ends this loop.
     */
    while (io_uring_peek_cqe(&w->ring, &cqe)) {
        ret = io_uring_submit_and_wait(&w->ring, 1);
        if (ret < 0 && ret != -EINTR) {
            g_usleep(SCALE_MS / SCALE_US);  /* the kernel lacks memory */
        }
    }
    r = io_uring_cqe_get_data(cqe);
    ret = cqe->res;
    io_uring_cqe_seen(&w->ring, cqe);
    return end_request(w, r, ret, errp);
}

static Request *find_free(FixedRamWriter *w)
{
    for (int i = 0; i < REQUESTS; i++) {
        if (!w->requests[i].slice) {
            return &w->requests[i];
        }
    }
    return NULL;
}

static bool submit(FixedRamWriter *w, struct iovec iov, Error **errp)
{
    struct io_uring_sqe *sqe;
    Request *r;

    while (!(r = find_free(w))) {
        if (!wait_for_request(w, errp)) {
            return false;
        }
    }
    /* The ring has as many entries as there are requests. */
    sqe = io_uring_get_sqe(&w->ring);
    r->slice = w->slice;
    r->slice->requests++;
    r->iov = iov;
    io_uring_prep_writev(sqe, w->fd, &r->iov, 1,
                         w->slice->place.file_offset +
                         ((uint8_t *)iov.iov_base - w->slice->mem));
    io_uring_sqe_set_data(sqe, r);
    /* What the kernel does not take now it takes in wait_for_request(). */
    io_uring_submit(&w->ring);
    return true;
}

static bool wait_for_slice(FixedRamWriter *w, const Slice *slice,
                            Error **errp)
{
    while (slice->requests) {
        if (!wait_for_request(w, errp)) {
            return false;
        }
    }
    return true;
}

static void tear_down_ring(FixedRamWriter *w)
{
    if (w->has_ring) {
        for (int i = 0; i < SLICES; i++) {
            while (!wait_for_slice(w, &w->slices[i], NULL)) {
                /* The error does not matter any more. */
            }
        }
        io_uring_queue_exit(&w->ring);
    }
}

#else /* !CONFIG_LINUX_IO_URING */

static bool submit(FixedRamWriter *w, struct iovec iov, Error **errp)
{
    g_assert_not_reached();
}

static bool wait_for_slice(FixedRamWriter *w, const Slice *slice,
                            Error **errp)
{
    return true;
}

static void tear_down_ring(FixedRamWriter *w)
{
}
#endif

/*
 * The page cache
 */

/*
 * Have the kernel write @range to disk.  Without sync_file_range(), the sync of
 * the whole file at the end must do.
 */
static bool sync_range(FixedRamWriter *w, const Range *range, int flags,
                       Error **errp)
{
    if (w->no_sync_range ||
        !sync_file_range(w->fd, range->offset, range->length, flags)) {
        return true;
    }
    if (errno == EPERM || errno == ENOSYS || errno == EINVAL ||
        errno == ESPIPE) {
        w->no_sync_range = true;
        return true;
    }
    error_setg_errno(errp, errno, "snapshot '%s': offset 0x%" PRIx64
                     ": cannot write 0x%" PRIx64 " bytes to disk", w->name,
                     range->offset, range->length);
    return false;
}

/* Wait until @range is on disk, and drop it from the page cache. */
static bool drop(FixedRamWriter *w, Range *range, Error **errp)
{
    if (!range->length) {
        return true;
    }
    if (!sync_range(w, range, SYNC_FILE_RANGE_WAIT_BEFORE |
                    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER, errp)) {
        return false;
    }
    posix_fadvise(w->fd, range->offset, range->length, POSIX_FADV_DONTNEED);
    range->length = 0;
    return true;
}

/* A slice is complete: start to write it to disk, and drop the oldest one. */
static bool leave_behind(FixedRamWriter *w, Error **errp)
{
    Range *range = &w->trail[w->oldest];

    if (w->direct || w->dontcache || !w->written.length) {
        return true;
    }
    if (!drop(w, range, errp)) {
        return false;
    }
    *range = w->written;
    w->written.length = 0;
    w->oldest = (w->oldest + 1) % TRAIL;
    return sync_range(w, range, SYNC_FILE_RANGE_WRITE, errp);
}

/*
 * Slices
 */

uint8_t *fixed_ram_writer_begin(FixedRamWriter *w,
                                const FixedRamWriterPlace *place,
                                Error **errp)
{
    if (w->slice->requests) {
        w->slice = w->slice == w->slices ? w->slices + 1 : w->slices;
    }
    if (!wait_for_slice(w, w->slice, errp) || !leave_behind(w, errp)) {
        return NULL;
    }
    w->written = (Range) { };
    w->slice->place = *place;
    return w->slice->mem;
}

bool fixed_ram_writer_put(FixedRamWriter *w, size_t start, size_t length,
                          Error **errp)
{
    uint64_t offset = w->slice->place.file_offset + start;
    struct iovec iov = {
        .iov_base = w->slice->mem + start,
        .iov_len = length,
    };

    if (!w->written.length) {
        w->written.offset = offset;
    }
    w->written.length = offset + length - w->written.offset;
    return w->direct && w->has_ring ? submit(w, iov, errp)
                                    : write_all(w, w->slice, iov, errp);
}

bool fixed_ram_writer_flush(FixedRamWriter *w, Error **errp)
{
    for (int i = 0; i < SLICES; i++) {
        if (!wait_for_slice(w, &w->slices[i], errp)) {
            return false;
        }
    }
    if (!leave_behind(w, errp)) {
        return false;
    }
    for (int i = 0; i < TRAIL; i++) {
        if (!drop(w, &w->trail[i], errp)) {
            return false;
        }
    }
    return true;
}

void fixed_ram_writer_free(FixedRamWriter *w)
{
    if (w) {
        tear_down_ring(w);
        fixed_ram_buffer_unmap(&w->buffer);
        g_free(w);
    }
}

/*
 * fixed-ram: large writes to a file, some at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#ifdef CONFIG_LINUX_IO_URING
#include <liburing.h>
#endif
#include "qapi/error.h"
#include "qemu/madvise.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "writer.h"

/* One is filled, one is written: a disk is kept busy by large requests. */
#define BUFFERS             2
/* Of one extent there may be many, if it has many holes. */
#define REQUESTS            64
/*
 * Without direct-io: so many extents are being written by the host while the
 * next ones are put into its page cache.
 */
#define TRAIL               4
#define BUFFER_ALIGNMENT    (2 * MiB)

#ifndef RWF_DONTCACHE           /* Linux 6.14 */
#define RWF_DONTCACHE       0x00000080
#endif

typedef struct Buffer {
    uint8_t *mem;
    FixedRamPlace place;
    unsigned requests;          /* that write from it now */
} Buffer;

typedef struct Request {
    Buffer *buffer;             /* NULL: it is free */
    struct iovec iov;
} Request;

typedef struct Range {
    uint64_t offset;
    uint64_t length;
} Range;

struct FixedRamWriter {
    int fd;
    const char *name;
    bool direct;
    void *map;                  /* what the buffers lie in */
    size_t map_size;
    Buffer buffers[BUFFERS];
    Buffer *buffer;             /* the one that is filled */

    bool has_ring;
#ifdef CONFIG_LINUX_IO_URING
    struct io_uring ring;
#endif
    Request requests[REQUESTS];

    bool dontcache;             /* the kernel sees to it, else we do */
    Range written;              /* what has been put of this extent */
    Range trail[TRAIL];         /* of those before; length 0: none */
    unsigned oldest;            /* of these */
};

static bool map_buffers(FixedRamWriter *w, size_t size, Error **errp)
{
    uint8_t *buf;

    w->map_size = BUFFERS * size + BUFFER_ALIGNMENT;
    w->map = mmap(NULL, w->map_size, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w->map == MAP_FAILED) {
        w->map = NULL;
        error_setg_errno(errp, errno, "no memory for a buffer of %zu bytes",
                         w->map_size);
        return false;
    }
    /* The kernel has fewer pieces to look at when it writes from there. */
    qemu_madvise(w->map, w->map_size, QEMU_MADV_HUGEPAGE);
    /* A child must not make us write from a copy. */
    qemu_madvise(w->map, w->map_size, QEMU_MADV_DONTFORK);
    buf = QEMU_ALIGN_PTR_UP(w->map, BUFFER_ALIGNMENT);
    for (int i = 0; i < BUFFERS; i++) {
        w->buffers[i].mem = buf + i * size;
    }
    return true;
}

static void set_up_ring(FixedRamWriter *w)
{
#ifdef CONFIG_LINUX_IO_URING
    w->has_ring = !io_uring_queue_init(REQUESTS, &w->ring, 0);
#endif
}

FixedRamWriter *fixed_ram_writer_new(int fd, const char *name, bool direct,
                                     size_t size, Error **errp)
{
    FixedRamWriter *w = g_new0(FixedRamWriter, 1);

    w->fd = fd;
    w->name = name;
    w->direct = direct;
    if (!map_buffers(w, size, errp)) {
        g_free(w);
        return NULL;
    }
    w->buffer = &w->buffers[0];
    if (!getenv(FIXED_RAM_PLAIN_WRITES)) {
        w->dontcache = !direct;
        if (direct) {
            set_up_ring(w);
        }
    }
    return w;
}

/* As pwrite(), and what is written is not to stay in the page cache. */
static ssize_t write_some(FixedRamWriter *w, const struct iovec *iov,
                          uint64_t offset)
{
    if (w->dontcache) {
        ssize_t ret = pwritev2(w->fd, iov, 1, offset, RWF_DONTCACHE);

        if (ret >= 0 || (errno != EOPNOTSUPP && errno != EINVAL &&
                         errno != ENOSYS)) {
            return ret;
        }
        w->dontcache = false;
    }
    return pwrite(w->fd, iov->iov_base, iov->iov_len, offset);
}

static void set_error(FixedRamWriter *w, const Buffer *buffer,
                      const struct iovec *iov, int err, Error **errp)
{
    uint64_t start = (uint8_t *)iov->iov_base - buffer->mem;

    error_setg_errno(errp, err, "snapshot '%s': block '%s' offset 0x%" PRIx64
                     ": cannot write 0x%zx bytes", w->name,
                     buffer->place.block, buffer->place.block_offset + start,
                     iov->iov_len);
}

static bool write_all(FixedRamWriter *w, const Buffer *buffer,
                      struct iovec iov, Error **errp)
{
    while (iov.iov_len) {
        uint64_t start = (uint8_t *)iov.iov_base - buffer->mem;
        ssize_t ret = RETRY_ON_EINTR(
            write_some(w, &iov, buffer->place.file_offset + start));

        if (ret <= 0) {
            set_error(w, buffer, &iov, ret ? errno : EIO, errp);
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
/* @ret: what the kernel has made of it.  A failure is made sure of. */
static bool end_request(FixedRamWriter *w, Request *r, int ret, Error **errp)
{
    Buffer *buffer = r->buffer;
    struct iovec rest = r->iov;

    r->buffer = NULL;
    buffer->requests--;
    if (ret > 0) {
        rest.iov_base = (uint8_t *)rest.iov_base + ret;
        rest.iov_len -= ret;
    }
    return write_all(w, buffer, rest, errp);
}

/* Wait for any of them; there is one. */
static bool wait_for_request(FixedRamWriter *w, Error **errp)
{
    struct io_uring_cqe *cqe;
    Request *r;
    int ret;

    /* Memory that the kernel may be reading must not go: it has no way out. */
    while (io_uring_peek_cqe(&w->ring, &cqe)) {
        ret = io_uring_submit_and_wait(&w->ring, 1);
        if (ret < 0 && ret != -EINTR) {
            g_usleep(SCALE_MS / SCALE_US);  /* short of memory */
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
        if (!w->requests[i].buffer) {
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
    /* There are as many of them as requests. */
    sqe = io_uring_get_sqe(&w->ring);
    r->buffer = w->buffer;
    r->buffer->requests++;
    r->iov = iov;
    io_uring_prep_writev(sqe, w->fd, &r->iov, 1,
                         w->buffer->place.file_offset +
                         ((uint8_t *)iov.iov_base - w->buffer->mem));
    io_uring_sqe_set_data(sqe, r);
    /* What it cannot take now it takes when we wait. */
    io_uring_submit(&w->ring);
    return true;
}

static bool wait_for_buffer(FixedRamWriter *w, const Buffer *buffer,
                            Error **errp)
{
    while (buffer->requests) {
        if (!wait_for_request(w, errp)) {
            return false;
        }
    }
    return true;
}

static void tear_down_ring(FixedRamWriter *w)
{
    if (w->has_ring) {
        for (int i = 0; i < BUFFERS; i++) {
            while (!wait_for_buffer(w, &w->buffers[i], NULL)) {
                /* only to have it over */
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

static bool wait_for_buffer(FixedRamWriter *w, const Buffer *buffer,
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

/* Wait until @range is on disk, and let it go. */
static bool drop(FixedRamWriter *w, Range *range, Error **errp)
{
    uint64_t offset = range->offset, length = range->length;

    range->length = 0;
    if (!length) {
        return true;
    }
    if (sync_file_range(w->fd, offset, length,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                        SYNC_FILE_RANGE_WAIT_AFTER)) {
        error_setg_errno(errp, errno, "snapshot '%s': offset 0x%" PRIx64
                         ": 0x%" PRIx64 " bytes cannot be brought to disk",
                         w->name, offset, length);
        return false;
    }
    posix_fadvise(w->fd, offset, length, POSIX_FADV_DONTNEED);
    return true;
}

/* An extent is complete: have it written behind those before it. */
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
    sync_file_range(w->fd, range->offset, range->length,
                    SYNC_FILE_RANGE_WRITE);
    return true;
}

/*
 * Extents
 */

uint8_t *fixed_ram_writer_begin(FixedRamWriter *w, const FixedRamPlace *place,
                                Error **errp)
{
    if (w->buffer->requests) {
        w->buffer = w->buffer == w->buffers ? w->buffers + 1 : w->buffers;
    }
    if (!wait_for_buffer(w, w->buffer, errp) || !leave_behind(w, errp)) {
        return NULL;
    }
    w->written = (Range) { };
    w->buffer->place = *place;
    return w->buffer->mem;
}

bool fixed_ram_writer_put(FixedRamWriter *w, size_t start, size_t length,
                          Error **errp)
{
    uint64_t offset = w->buffer->place.file_offset + start;
    struct iovec iov = {
        .iov_base = w->buffer->mem + start,
        .iov_len = length,
    };

    if (!w->written.length) {
        w->written.offset = offset;
    }
    w->written.length = offset + length - w->written.offset;
    return w->has_ring ? submit(w, iov, errp)
                       : write_all(w, w->buffer, iov, errp);
}

bool fixed_ram_writer_flush(FixedRamWriter *w, Error **errp)
{
    for (int i = 0; i < BUFFERS; i++) {
        if (!wait_for_buffer(w, &w->buffers[i], errp)) {
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
        munmap(w->map, w->map_size);
        g_free(w);
    }
}

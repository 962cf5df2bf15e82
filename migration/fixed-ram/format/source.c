/*
 * fixed-ram: page sources, where the bytes of a snapshot come from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "lock.h"
#include "source.h"
#include "../trace.h"
#include "../util/io.h"
#include "../util/page-cache.h"

/* Direct reads need an alignment; no file system is content with less. */
#define DIRECT_ALIGN    512
/*
 * A range of which a part is cached is split in two, unless it is as small as
 * this: the rest is not worth a request of its own.
 */
#define SPLIT_BYTES     (256 * KiB)

typedef struct FileSource {
    FixedRamSource parent;
    uint64_t start;             /* the file is locked from here on */
    bool locked;
    bool owns_position;         /* the file position is not shared */
    int fd;                     /* through the page cache */
    int direct_fd;              /* O_DIRECT, or -1 */
    bool choose;                /* for each read, which of the two */
    bool refused;               /* atomic: no direct read after one failed */
    FixedRamPageCache cache;    /* of @fd */
} FileSource;

static ssize_t file_read(FixedRamSource *source, void *buf, size_t length,
                         uint64_t offset)
{
    FileSource *file = container_of(source, FileSource, parent);

    return fixed_ram_read_full(file->fd, buf, length, offset);
}

/*
 * Read past the page cache if that is possible.  A file system that refuses a
 * direct read may want a larger alignment than ours, and is not asked again.
 * The kernel refuses to read directly into some kinds of memory.
 */
static ssize_t read_past_cache(FileSource *file, void *buf, size_t length,
                               uint64_t offset)
{
    ssize_t ret;

    if (((uintptr_t)buf | length | offset) % DIRECT_ALIGN) {
        return fixed_ram_read_full(file->fd, buf, length, offset);
    }
    ret = fixed_ram_read_full(file->direct_fd, buf, length, offset);
    if (ret == -EINVAL || ret == -EOPNOTSUPP) {
        trace_fixed_ram_source_refused(file->parent.name, offset, -ret);
        qatomic_set(&file->refused, true);
    }
    if (ret == -EINVAL || ret == -EOPNOTSUPP || ret == -EFAULT) {
        ret = fixed_ram_read_full(file->fd, buf, length, offset);
    }
    return ret;
}

/* Copy what is cached, and read the rest past the page cache. */
static ssize_t read_chosen(FileSource *file, uint8_t *buf, size_t length,
                           uint64_t offset)
{
    FixedRamCached cached = fixed_ram_page_cache_look(&file->cache, offset,
                                                      length);
    size_t half = ROUND_UP(length / 2, SPLIT_BYTES);
    ssize_t first, second;

    if (cached == FIXED_RAM_CACHED_ALL) {
        return fixed_ram_read_full(file->fd, buf, length, offset);
    }
    if (cached == FIXED_RAM_CACHED_NONE || length <= SPLIT_BYTES) {
        return read_past_cache(file, buf, length, offset);
    }
    first = read_chosen(file, buf, half, offset);
    if (first < (ssize_t)half) {
        return first;
    }
    second = read_chosen(file, buf + half, length - half, offset + half);
    return second < 0 ? second : first + second;
}

static ssize_t file_read_pages(FixedRamSource *source, void *buf,
                               size_t length, uint64_t offset)
{
    FileSource *file = container_of(source, FileSource, parent);

    if (file->direct_fd < 0 || qatomic_read(&file->refused)) {
        return fixed_ram_read_full(file->fd, buf, length, offset);
    }
    if (!file->choose) {
        return fixed_ram_read_full(file->direct_fd, buf, length, offset);
    }
    return length ? read_chosen(file, buf, length, offset) : 0;
}

static void file_expect_faults(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    /* A failure is ignored: reads are merely slower then. */
    posix_fadvise(file->fd, 0, 0, POSIX_FADV_RANDOM);
}

static void file_spare_cache(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    if (file->direct_fd >= 0) {
        posix_fadvise(file->fd, 0, 0, POSIX_FADV_RANDOM);
    }
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

static int file_map_fd(const FixedRamSource *source)
{
    return container_of(source, FileSource, parent)->fd;
}

static bool file_locked(const FixedRamSource *source)
{
    const FileSource *file = container_of(source, FileSource, parent);

    return file->locked && fixed_ram_lock_works(file->fd, file->start);
}

static void file_unlock(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    if (file->locked) {
        fixed_ram_lock_release(file->fd, file->start);
        file->locked = false;
    }
}

static bool file_changing(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    return fixed_ram_lock_appending(file->fd);
}

static uint64_t file_measure(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);
    struct stat st;

    return fstat(file->fd, &st) ? source->size : st.st_size;
}

static uint64_t file_next_data(FixedRamSource *source, uint64_t offset)
{
    FileSource *file = container_of(source, FileSource, parent);
    struct stat st;
    off_t data;

    /* lseek() would move the position under other users of a set's file. */
    if (!file->owns_position) {
        return offset;
    }
    data = lseek(file->fd, offset, SEEK_DATA);
    if (data >= 0) {
        return data;
    }
    /* ENXIO: no more data.  In a file that was cut short reads must fail. */
    return errno == ENXIO && !fstat(file->fd, &st) &&
           st.st_size >= source->size ? MAX(offset, source->size) : offset;
}

static void file_close(FixedRamSource *source)
{
    FileSource *file = container_of(source, FileSource, parent);

    file_unlock(source);
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
    .spare_cache = file_spare_cache,
    .expect = file_expect,
    .next_data = file_next_data,
    .changing = file_changing,
    .measure = file_measure,
    .is_file = file_is_file,
    .map_fd = file_map_fd,
    .locked = file_locked,
    .unlock = file_unlock,
    .close = file_close,
};

/* Errors about a set do not name it. */
static int open_named(FileSource *file, int flags, Error **errp)
{
    int fd = qemu_open(file->parent.path, flags, errp);

    if (fd < 0 && !file->owns_position) {
        error_prepend(errp, "snapshot '%s': ", file->parent.name);
    }
    return fd;
}

static bool file_check(FileSource *file, Error **errp)
{
    struct stat st;

    if (fstat(file->fd, &st)) {
        error_setg_errno(errp, errno, "snapshot '%s': cannot get its size",
                         file->parent.name);
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
    file->direct_fd = open_named(file, O_RDONLY | O_DIRECT, errp);
    if (file->direct_fd >= 0 &&
        !file_is_file(&file->parent, file->direct_fd)) {
        error_setg(errp, "snapshot '%s': the descriptors with and without "
                   "O_DIRECT are not of the same file", file->parent.name);
        return false;
    }
    return file->direct_fd >= 0;
#else
    error_setg(errp, "snapshot '%s': this host does not support direct-io",
               file->parent.name);
    return false;
#endif
}

/* Without a descriptor for direct reads, all reads are buffered. */
static void file_open_to_choose(FileSource *file)
{
    if (file_open_direct(file, NULL)) {
        file->choose = true;
        file->cache.fd = file->fd;
    } else if (file->direct_fd >= 0) {
        qemu_close(file->direct_fd);
        file->direct_fd = -1;
    }
}

/*
 * Users know files, not descriptors: messages say which file a set holds.  The
 * kernel adds "(deleted)" to the path of a file that was unlinked.
 */
static void name_file_of_set(FileSource *file)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", file->fd);
    g_autofree char *path = g_file_read_link(link, NULL);

    if (path) {
        g_free(file->parent.name);
        file->parent.name = g_strdup_printf("%s (%s)", file->parent.path, path);
    }
}

static bool file_open(FileSource *file, OnOffAuto direct, Error **errp)
{
    /* O_NONBLOCK: a FIFO is refused at once.  Regular files ignore it. */
    file->fd = open_named(file, O_RDONLY | O_NONBLOCK, errp);
    if (file->fd < 0) {
        return false;
    }
    if (!file->owns_position) {
        name_file_of_set(file);
    }
    file->locked = fixed_ram_lock_shared(file->fd, file->start,
                                         file->parent.name, errp);
    if (!file->locked || !file_check(file, errp)) {
        return false;
    }
    if (direct == ON_OFF_AUTO_AUTO) {
        file_open_to_choose(file);
    }
    return direct != ON_OFF_AUTO_ON || file_open_direct(file, errp);
}

FixedRamSource *fixed_ram_source_open_file(const char *path, uint64_t start,
                                           OnOffAuto direct, Error **errp)
{
    FileSource *file = g_new0(FileSource, 1);
    bool ok;

    fixed_ram_source_init(&file->parent, &file_ops, path, 0);
    file->start = start;
    file->owns_position = !g_str_has_prefix(path, "/dev/fdset/");
    file->fd = file->direct_fd = -1;
    ok = file_open(file, direct, errp);
    trace_fixed_ram_source_open(path, start, file->parent.size,
                                file->direct_fd >= 0, file->choose, ok);
    if (!ok) {
        fixed_ram_source_unref(&file->parent);
        return NULL;
    }
    return &file->parent;
}

FixedRamSource *fixed_ram_source_new_fd(int fd, const char *name)
{
    FileSource *file = g_new0(FileSource, 1);

    fixed_ram_source_init(&file->parent, &file_ops, name, 0);
    file->fd = fd;
    file->direct_fd = -1;
    fixed_ram_source_measure(&file->parent);
    return &file->parent;
}

void fixed_ram_source_init(FixedRamSource *source, const FixedRamSourceOps *ops,
                           const char *name, uint64_t size)
{
    *source = (FixedRamSource) {
        .ops = ops, .name = g_strdup(name), .path = g_strdup(name),
        .size = size, .refs = 1,
    };
}

FixedRamSource *fixed_ram_source_ref(FixedRamSource *source)
{
    qatomic_inc(&source->refs);
    return source;
}

void fixed_ram_source_unref(FixedRamSource *source)
{
    if (source && qatomic_fetch_dec(&source->refs) == 1) {
        trace_fixed_ram_source_close(source->name);
        g_free(source->name);
        g_free(source->path);
        source->ops->close(source);
    }
}

void fixed_ram_source_expect_faults(FixedRamSource *source)
{
    if (source->ops->expect_faults) {
        source->ops->expect_faults(source);
    }
}

void fixed_ram_source_spare_cache(FixedRamSource *source)
{
    if (source->ops->spare_cache) {
        source->ops->spare_cache(source);
    }
}

void fixed_ram_source_expect(FixedRamSource *source, uint64_t offset,
                             uint64_t length)
{
    if (source->ops->expect) {
        source->ops->expect(source, offset, length);
    }
}

uint64_t fixed_ram_source_next_data(FixedRamSource *source, uint64_t offset)
{
    return source->ops->next_data ? source->ops->next_data(source, offset)
                                  : offset;
}

bool fixed_ram_source_changing(FixedRamSource *source)
{
    return source->ops->changing && source->ops->changing(source);
}

uint64_t fixed_ram_source_measure(FixedRamSource *source)
{
    if (source->ops->measure) {
        source->size = source->ops->measure(source);
    }
    return source->size;
}

bool fixed_ram_source_is_file(const FixedRamSource *source, int fd)
{
    return source->ops->is_file && source->ops->is_file(source, fd);
}

int fixed_ram_source_map_fd(const FixedRamSource *source)
{
    return source->ops->map_fd ? source->ops->map_fd(source) : -1;
}

bool fixed_ram_source_locked(const FixedRamSource *source)
{
    return source->ops->locked && source->ops->locked(source);
}

void fixed_ram_source_unlock(FixedRamSource *source)
{
    if (source->ops->unlock) {
        source->ops->unlock(source);
    }
}

bool fixed_ram_source_was_cut(FixedRamSource *source)
{
    return source->ops->measure &&
           source->ops->measure(source) < source->size;
}

/* @ret: what the source's function returned.  False: an error is set. */
static bool check_read(FixedRamSource *source, ssize_t ret, size_t length,
                       uint64_t offset, Error **errp)
{
    if (ret < 0) {
        error_setg_errno(errp, -ret, "snapshot '%s': cannot read %zu bytes "
                         "at offset 0x%" PRIx64, source->name, length, offset);
        return false;
    }
    if (ret < length) {
        error_setg(errp, "snapshot '%s': the file ends at offset 0x%" PRIx64
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

FixedRamSourcePart fixed_ram_source_part(FixedRamSource *source,
                                         uint64_t offset, uint64_t length)
{
    if (source->ops->part) {
        return source->ops->part(source, offset, length);
    }
    return (FixedRamSourcePart) { source, offset, length };
}

/* Read pages of one file. */
static bool read_part(const FixedRamSourcePart *part, void *buf, Error **errp)
{
    FixedRamSource *source = part->source;
    ssize_t ret;

    if (!source->ops->read_pages) {
        return fixed_ram_source_read(source, buf, part->length, part->offset,
                                     errp);
    }
    ret = source->ops->read_pages(source, buf, part->length, part->offset);
    return check_read(source, ret, part->length, part->offset, errp);
}

bool fixed_ram_source_read_pages(FixedRamSource *source, void *buf,
                                 size_t length, uint64_t offset,
                                 Error **errp)
{
    uint8_t *to = buf;

    while (length) {
        FixedRamSourcePart part = fixed_ram_source_part(source, offset, length);

        if (!read_part(&part, to, errp)) {
            return false;
        }
        to += part.length;
        offset += part.length;
        length -= part.length;
    }
    return true;
}

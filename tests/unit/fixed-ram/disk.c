/*
 * fixed-ram: a disk in memory, for tests of the engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qapi/error.h"
#include "disk.h"

typedef struct DiskSource {
    FixedRamSource parent;
    Disk *disk;
    unsigned number;            /* so many there were before it */
    int64_t good;               /* reads before the first error; atomic */
    FixedRamSource *file;       /* the same bytes in a file, or NULL */
} DiskSource;

static void disk_wait(DiskSource *s)
{
    Disk *disk = s->disk;

    QEMU_LOCK_GUARD(&disk->lock);
    disk->inside++;
    qemu_cond_broadcast(&disk->cond);
    while (s->number < disk->held) {
        qemu_cond_wait(&disk->cond, &disk->lock);
    }
    disk->inside--;
}

static void disk_count(Disk *disk, const void *buf, size_t length,
                       uint64_t offset)
{
    qatomic_inc(&disk->starts[offset / DISK_PAGE]);
    for (uint64_t i = 0; i < length; i += DISK_PAGE) {
        qatomic_inc(&disk->times[(offset + i) / DISK_PAGE]);
    }
    if (disk->map && fixed_ram_map_find(disk->map, (uintptr_t)buf)) {
        qatomic_add(&disk->straight, length);
    }
}

static ssize_t disk_read(FixedRamSource *source, void *buf, size_t length,
                         uint64_t offset)
{
    DiskSource *s = container_of(source, DiskSource, parent);
    Disk *disk = s->disk;
    uint64_t bad;

    g_assert_cmpuint(length, >, 0);
    g_assert_cmpuint(offset % DISK_PAGE, ==, 0);
    g_assert_cmpuint(length % DISK_PAGE, ==, 0);
    g_assert_cmpuint((uintptr_t)buf % DISK_PAGE, ==, 0);
    g_assert_cmpuint(offset + length, <=, disk->size);
    disk_wait(s);
    bad = qatomic_read(&disk->bad);
    if (qatomic_fetch_dec(&s->good) <= 0 || (bad && bad - offset < length)) {
        return -EIO;
    }
    disk_count(disk, buf, length, offset);
    if (s->file) {
        return s->file->ops->read_pages(s->file, buf, length, offset);
    }
    memcpy(buf, disk->bytes + offset, length);
    return length;
}

/* Metadata lies anywhere, and is not counted. */
static ssize_t disk_read_metadata(FixedRamSource *source, void *buf,
                                  size_t length, uint64_t offset)
{
    DiskSource *s = container_of(source, DiskSource, parent);

    g_assert_cmpuint(offset + length, <=, s->disk->size);
    disk_wait(s);
    if (qatomic_fetch_dec(&s->good) <= 0) {
        return -EIO;
    }
    memcpy(buf, s->disk->bytes + offset, length);
    return length;
}

static void disk_close(FixedRamSource *source)
{
    DiskSource *s = container_of(source, DiskSource, parent);

    Disk *disk = s->disk;

    fixed_ram_source_unref(s->file);
    g_free(s);
    /* Nothing of this source is left: a test that waits may free the disk. */
    QEMU_LOCK_GUARD(&disk->lock);
    disk->closed++;
    qemu_cond_broadcast(&disk->cond);
}

static const FixedRamSourceOps disk_ops = {
    .read = disk_read_metadata,
    .read_pages = disk_read,
    .close = disk_close,
};

static FixedRamSource *open_temp_file(const Disk *disk)
{
    g_autofree char *path = NULL;
    FixedRamSource *source;
    int fd = g_file_open_tmp("fixed-ram-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(qemu_write_full(fd, disk->bytes, disk->size), ==,
                    disk->size);
    close(fd);
    source = fixed_ram_source_open_file(path, 0, ON_OFF_AUTO_OFF, &error_abort);
    g_assert_cmpint(unlink(path), ==, 0);
    return source;
}

FixedRamSource *disk_source(Disk *disk, int64_t good, bool file)
{
    DiskSource *s = g_new0(DiskSource, 1);

    fixed_ram_source_init(&s->parent, &disk_ops, "snapshot.img", disk->size);
    s->disk = disk;
    s->number = disk->opened++;
    s->good = good ?: INT64_MAX;
    s->file = file ? open_temp_file(disk) : NULL;
    return &s->parent;
}

void disk_fill(Disk *disk)
{
    uint64_t state = 88172645463325252ULL;

    qemu_mutex_init(&disk->lock);
    qemu_cond_init(&disk->cond);
    disk->bytes = g_malloc(disk->size);
    disk->times = g_new0(unsigned, disk->size / DISK_PAGE);
    disk->starts = g_new0(unsigned, disk->size / DISK_PAGE);
    for (size_t i = 0; i < disk->size / 8; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((uint64_t *)disk->bytes)[i] = state | 0x0101010101010101ULL;
    }
}

void disk_free(Disk *disk)
{
    g_free(disk->bytes);
    g_free(disk->times);
    g_free(disk->starts);
    qemu_cond_destroy(&disk->cond);
    qemu_mutex_destroy(&disk->lock);
}

void disk_hold(Disk *disk, bool held)
{
    QEMU_LOCK_GUARD(&disk->lock);
    disk->held = held ? UINT_MAX : 0;
    qemu_cond_broadcast(&disk->cond);
}

void disk_hang(Disk *disk)
{
    QEMU_LOCK_GUARD(&disk->lock);
    disk->held = disk->opened;
}

unsigned disk_closed(Disk *disk)
{
    QEMU_LOCK_GUARD(&disk->lock);
    return disk->closed;
}

void disk_wait_closed(Disk *disk)
{
    QEMU_LOCK_GUARD(&disk->lock);
    while (disk->closed < disk->opened) {
        qemu_cond_wait(&disk->cond, &disk->lock);
    }
}

void disk_wait_n_closed(Disk *disk, unsigned n)
{
    QEMU_LOCK_GUARD(&disk->lock);
    while (disk->closed < n) {
        qemu_cond_wait(&disk->cond, &disk->lock);
    }
}

void disk_wait_inside(Disk *disk, unsigned n)
{
    QEMU_LOCK_GUARD(&disk->lock);
    while (disk->inside < n) {
        qemu_cond_wait(&disk->cond, &disk->lock);
    }
}

/*
 * qemu-snapshot: a source that remembers whether a read has failed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "watch.h"

typedef struct Watch {
    FixedRamSource parent;
    FixedRamSource *inner;
} Watch;

static __thread bool failed;     /* a read of this thread has failed */

static Watch *watch_of(const FixedRamSource *source)
{
    return container_of(source, Watch, parent);
}

static ssize_t note(ssize_t ret)
{
    failed = failed || ret < 0;
    return ret;
}

static ssize_t watch_read(FixedRamSource *source, void *buf, size_t length,
                          uint64_t offset)
{
    FixedRamSource *inner = watch_of(source)->inner;

    return note(inner->ops->read(inner, buf, length, offset));
}

static ssize_t watch_read_pages(FixedRamSource *source, void *buf,
                                size_t length, uint64_t offset)
{
    FixedRamSource *inner = watch_of(source)->inner;

    if (!inner->ops->read_pages) {
        return watch_read(source, buf, length, offset);
    }
    return note(inner->ops->read_pages(inner, buf, length, offset));
}

static void watch_expect(FixedRamSource *source, uint64_t offset,
                         uint64_t length)
{
    fixed_ram_source_expect(watch_of(source)->inner, offset, length);
}

static uint64_t watch_next_data(FixedRamSource *source, uint64_t offset)
{
    return fixed_ram_source_next_data(watch_of(source)->inner, offset);
}

static bool watch_changing(FixedRamSource *source)
{
    return fixed_ram_source_changing(watch_of(source)->inner);
}

static uint64_t watch_measure(FixedRamSource *source)
{
    return fixed_ram_source_measure(watch_of(source)->inner);
}

static bool watch_is_file(const FixedRamSource *source, int fd)
{
    return fixed_ram_source_is_file(watch_of(source)->inner, fd);
}

static int watch_map_fd(const FixedRamSource *source)
{
    return fixed_ram_source_map_fd(watch_of(source)->inner);
}

static void watch_close(FixedRamSource *source)
{
    Watch *watch = watch_of(source);

    fixed_ram_source_unref(watch->inner);
    g_free(watch);
}

static const FixedRamSourceOps watch_ops = {
    .read = watch_read,
    .read_pages = watch_read_pages,
    .expect = watch_expect,
    .next_data = watch_next_data,
    .changing = watch_changing,
    .measure = watch_measure,
    .is_file = watch_is_file,
    .map_fd = watch_map_fd,
    .close = watch_close,
};

FixedRamSource *tool_watch_new(FixedRamSource *inner)
{
    Watch *watch = g_new0(Watch, 1);

    watch->inner = inner;
    fixed_ram_source_init(&watch->parent, &watch_ops, inner->name,
                          inner->size);
    return &watch->parent;
}

bool tool_watch_failed(void)
{
    bool ret = failed;

    failed = false;
    return ret;
}

/*
 * fixed-ram: memory that the process may not be able to touch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "memory.h"

/* Since Linux 5.14; not yet in the headers of all C libraries. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* Returns 0, or an errno. */
static int populate(void *addr, size_t length, bool write)
{
    return madvise(addr, length, write ? MADV_POPULATE_WRITE
                                       : MADV_POPULATE_READ) ? errno : 0;
}

/* The kernel says EINVAL for advice that it does not know. */
static bool host_can_populate(void)
{
    size_t size = qemu_real_host_page_size();
    g_autofree uint8_t *heap = g_malloc(2 * size);

    return !populate(QEMU_ALIGN_PTR_UP(heap, size), size, true);
}

static bool is_mapped(void *page, size_t size)
{
    unsigned char present;

    return !mincore(page, size, &present);
}

/*
 * In a memory cgroup whose OOM killer is off an access waits for memory,
 * whereas system calls fail.  So access pages where the kernel had no memory.
 */
static int populate_slowly(uint8_t *addr, size_t length, bool write)
{
    size_t size = qemu_real_host_page_size();

    for (uint8_t *page = addr; page < addr + length; page += size) {
        int err = populate(page, size, write);

        if (err == ENOMEM && is_mapped(page, size)) {
            uint8_t value = qatomic_read(page);

            if (write) {
                qatomic_set(page, value);
            }
        } else if (err) {
            return err;
        }
    }
    return 0;
}

bool fixed_ram_memory_populate(void *addr, size_t length, bool write,
                               Error **errp)
{
    size_t size = qemu_real_host_page_size();
    uint8_t *begin = QEMU_ALIGN_PTR_DOWN(addr, size);
    uint8_t *end = QEMU_ALIGN_PTR_UP((uint8_t *)addr + length, size);
    int err = populate(begin, end - begin, write);

    if (err == ENOMEM) {
        err = populate_slowly(begin, end - begin, write);
    }
    if (!err || (err == EINVAL && !host_can_populate())) {
        return true;
    }
    error_setg_errno(errp, err == EINVAL ? EACCES : err,
                     "cannot %s %zu bytes of memory",
                     write ? "write to" : "read", length);
    return false;
}

/* The kernel says EFAULT where an access would raise SIGBUS. */
size_t fixed_ram_memory_readable(uint8_t *addr, size_t length)
{
    size_t size = qemu_real_host_page_size(), good = 0;

    if (populate(addr, length, false) != EFAULT) {
        return length;
    }
    while (good < length && populate(addr + good, size, false) != EFAULT) {
        good += size;
    }
    return good;
}

void fixed_ram_memory_warm(void *addr, size_t length)
{
    populate(addr, length, false);
}

/*
 * fixed-ram: memory whose writers wait
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/units.h"
#include "qemu/userfaultfd.h"
#include "protect.h"
#include "../trace.h"

/* What is let go at once in the end. */
#define UNREGISTER_BYTES    (32 * MiB)

/* Agree with the kernel on the features that are used here. */
static bool shake_hands(int fd, bool unpopulated, Error **errp)
{
    struct uffdio_api api = { .api = UFFD_API };
    uint64_t needed = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                      (unpopulated ? UFFD_FEATURE_WP_UNPOPULATED : 0);
    uint64_t offered = 0;

    if (uffd_query_features(&offered) < 0 || (offered & needed) != needed) {
        error_setg(errp, "the kernel cannot write-protect %smemory for "
                   "userfaultfd", unpopulated ? "unpopulated " : "");
        return false;
    }
    /*
     * No event features: with one, madvise(MADV_DONTNEED) of a device would
     * wait until the event is read.
     */
    api.features = needed | (offered & UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
    if (ioctl(fd, UFFDIO_API, &api)) {
        error_setg_errno(errp, errno, "userfaultfd handshake failed");
        return false;
    }
    return true;
}

bool fixed_ram_protect_open(FixedRamProtect *p, bool unpopulated, Error **errp)
{
    p->end = -1;
    p->fd = uffd_open(O_CLOEXEC | O_NONBLOCK);
    if (p->fd < 0) {
        error_setg_errno(errp, errno, "userfaultfd is not available; it needs "
                         "read and write access to /dev/userfaultfd, or the "
                         "sysctl vm.unprivileged_userfaultfd=1");
        return false;
    }
    if (!shake_hands(p->fd, unpopulated, errp)) {
        fixed_ram_protect_close(p);
        return false;
    }
    p->end = eventfd(0, EFD_CLOEXEC);
    if (p->end < 0) {
        error_setg_errno(errp, errno, "cannot create an eventfd");
        fixed_ram_protect_close(p);
        return false;
    }
    return true;
}

void fixed_ram_protect_close(FixedRamProtect *p)
{
    if (p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
    if (p->end >= 0) {
        close(p->end);
        p->end = -1;
    }
}

bool fixed_ram_protect_register(FixedRamProtect *p, const char *name,
                                void *addr, uint64_t length, Error **errp)
{
    uint64_t ioctls = 0;

    if (uffd_register_memory(p->fd, addr, length, UFFDIO_REGISTER_MODE_WP,
                             &ioctls)) {
        error_setg_errno(errp, errno, "the kernel cannot write-protect memory "
                         "of the kind of '%s'", name);
        return false;
    }
    if (!(ioctls & BIT_ULL(_UFFDIO_WRITEPROTECT))) {
        fixed_ram_protect_unregister(p, addr, length);
        error_setg(errp, "the kernel cannot write-protect memory of the kind "
                   "of '%s'", name);
        return false;
    }
    return true;
}

/*
 * The kernel looks at each page meanwhile, and nothing else can change or look
 * up the process's mappings: a vCPU waits for one piece, not for all memory.
 */
void fixed_ram_protect_unregister(FixedRamProtect *p, void *addr,
                                  uint64_t length)
{
    for (uint64_t at = 0; at < length; at += UNREGISTER_BYTES) {
        struct uffdio_range range = {
            .start = (uintptr_t)addr + at,
            .len = MIN(UNREGISTER_BYTES, length - at),
        };

        /* This fails only if the memory has been unmapped. */
        ioctl(p->fd, UFFDIO_UNREGISTER, &range);
        /* The kernel wakes by itself only threads that miss a page. */
        ioctl(p->fd, UFFDIO_WAKE, &range);
    }
}

static int change(FixedRamProtect *p, void *addr, uint64_t length,
                  uint64_t mode)
{
    struct uffdio_writeprotect wp = {
        .range = { .start = (uintptr_t)addr, .len = length },
        .mode = mode,
    };
    int ret;

    /* EAGAIN: the process's mappings are about to change. */
    do {
        ret = ioctl(p->fd, UFFDIO_WRITEPROTECT, &wp);
    } while (ret && (errno == EAGAIN || errno == EINTR));
    return ret ? -errno : 0;
}

int fixed_ram_protect_set(FixedRamProtect *p, void *addr, uint64_t length)
{
    return change(p, addr, length, UFFDIO_WRITEPROTECT_MODE_WP);
}

void fixed_ram_protect_clear(FixedRamProtect *p, void *addr, uint64_t length)
{
    size_t step = qemu_real_host_page_size();
    int ret = change(p, addr, length, 0);

    if (ret) {
        /* Where a part has been unmapped the kernel stops; go round it. */
        trace_fixed_ram_protect_clear(addr, length, ret);
        for (uint64_t at = 0; at < length; at += step) {
            change(p, (uint8_t *)addr + at, step, 0);
        }
    }
}

/* Returns false if servers shall end. */
static bool wait_for_message(FixedRamProtect *p)
{
    struct pollfd fds[] = {
        { .fd = p->fd, .events = POLLIN },
        { .fd = p->end, .events = POLLIN },
    };

    return RETRY_ON_EINTR(poll(fds, ARRAY_SIZE(fds), -1)) > 0 &&
           !fds[1].revents && !(fds[0].revents & POLLERR);
}

bool fixed_ram_protect_wait(FixedRamProtect *p, uintptr_t *addr)
{
    struct uffd_msg msg;
    ssize_t n;

    for (;;) {
        n = RETRY_ON_EINTR(read(p->fd, &msg, sizeof(msg)));
        if (n == sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT) {
            *addr = msg.arg.pagefault.address;
            return true;
        }
        if ((n < 0 && errno != EAGAIN) || !wait_for_message(p)) {
            return false;
        }
    }
}

void fixed_ram_protect_end(FixedRamProtect *p)
{
    uint64_t one = 1;

    /* It cannot fail: the counter of the eventfd is far from its limit. */
    if (write(p->end, &one, sizeof(one)) != sizeof(one)) {
        g_assert_not_reached();
    }
}

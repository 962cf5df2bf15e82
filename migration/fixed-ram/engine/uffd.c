/*
 * fixed-ram: userfaultfd, one thin function an operation
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include "qapi/error.h"
#include "qemu/bitops.h"
#include "qemu/userfaultfd.h"
#include "uffd.h"

/* Attempts without progress: some at once, the others for about a second. */
#define TRIES_AT_ONCE   100
#define TRIES_MAX       1100
#define TRY_STEP_US     1000

/*
 * Since Linux 6.14 (CONFIG_PT_RECLAIM) MADV_DONTNEED frees page tables that it
 * has emptied.  Where one is left the kernel splits a huge page that is moved.
 */
static bool kernel_frees_page_tables(void)
{
    struct utsname name;
    int major, minor;

    return !uname(&name) &&
           sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 14));
}

/* Agree with the kernel on the features that are used here. */
static bool uffd_handshake(FixedRamUffd *uffd)
{
    struct uffdio_api api = { .api = UFFD_API };
    uint64_t wanted = UFFD_FEATURE_THREAD_ID;
    uint64_t offered = 0;

    if (uffd_query_features(&offered) < 0) {
        return false;
    }
    if (!getenv(FIXED_RAM_NO_MOVE)) {
        wanted |= UFFD_FEATURE_MOVE | UFFD_FEATURE_POISON;
    }
    /*
     * Ask for no event features: with one, madvise(MADV_DONTNEED) in a vCPU or
     * device would not return before a fault thread has read the event.
     */
    api.features = offered & wanted;
    uffd->thread_id = api.features & UFFD_FEATURE_THREAD_ID;
    uffd->can_move = api.features & UFFD_FEATURE_MOVE;
    uffd->can_remake = uffd->can_move && kernel_frees_page_tables();
    uffd->can_poison = api.features & UFFD_FEATURE_POISON;
    return !ioctl(uffd->fd, UFFDIO_API, &api);
}

static bool uffd_map_doorbell(FixedRamUffd *uffd, Error **errp)
{
    size_t size = FIXED_RAM_UFFD_BELLS * qemu_real_host_page_size();
    void *bell = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (bell == MAP_FAILED) {
        error_setg_errno(errp, errno, "could not map %zu bytes", size);
        return false;
    }
    uffd->doorbell = bell;
    uffd->doorbell_size = size;
    return fixed_ram_uffd_register(uffd, bell, size, errp);
}

bool fixed_ram_uffd_open(FixedRamUffd *uffd, Error **errp)
{
    *uffd = (FixedRamUffd) { .fd = uffd_open(O_CLOEXEC) };

    if (uffd->fd < 0) {
        error_setg_errno(errp, errno, "userfaultfd is not available; it needs "
                         "read and write access to /dev/userfaultfd, or the "
                         "sysctl vm.unprivileged_userfaultfd=1");
        return false;
    }
    if (!uffd_handshake(uffd)) {
        error_setg_errno(errp, errno, "userfaultfd handshake failed");
        fixed_ram_uffd_close(uffd);
        return false;
    }
    if (!uffd_map_doorbell(uffd, errp)) {
        fixed_ram_uffd_close(uffd);
        return false;
    }
    return true;
}

void fixed_ram_uffd_close(FixedRamUffd *uffd)
{
    close(uffd->fd);
    uffd->fd = -1;
    if (uffd->doorbell) {
        munmap(uffd->doorbell, uffd->doorbell_size);
        uffd->doorbell = NULL;
    }
}

bool fixed_ram_uffd_register(FixedRamUffd *uffd, void *addr, uint64_t length,
                             Error **errp)
{
    uint64_t ioctls = 0;

    if (uffd_register_memory(uffd->fd, addr, length,
                             UFFDIO_REGISTER_MODE_MISSING, &ioctls)) {
        error_setg_errno(errp, errno, "userfaultfd cannot watch %" PRIu64
                         " bytes at %p", length, addr);
        return false;
    }
    if (!(ioctls & BIT_ULL(_UFFDIO_COPY))) {
        error_setg(errp, "userfaultfd cannot place pages at %p", addr);
        return false;
    }
    return true;
}

void fixed_ram_uffd_unregister(FixedRamUffd *uffd, void *addr,
                               uint64_t length)
{
    struct uffdio_range range = { .start = (uintptr_t)addr, .len = length };

    /* This fails only if the memory has been unmapped. */
    ioctl(uffd->fd, UFFDIO_UNREGISTER, &range);
}

int fixed_ram_uffd_read(FixedRamUffd *uffd, FixedRamFault *fault)
{
    struct uffd_msg msg;

    do {
        ssize_t n = RETRY_ON_EINTR(read(uffd->fd, &msg, sizeof(msg)));

        if (n != sizeof(msg)) {
            return n < 0 ? -errno : -EIO;
        }
    } while (msg.event != UFFD_EVENT_PAGEFAULT);

    fault->addr = ROUND_DOWN(msg.arg.pagefault.address,
                             qemu_real_host_page_size());
    fault->thread_id = uffd->thread_id ? msg.arg.pagefault.feat.ptid : 0;
    return 0;
}

/*
 * The kernel says EAGAIN while the address space changes.  That does not last,
 * so wait a little if there was no progress, but not for ever.  @tries: how
 * often there was none; begins with 0.
 */
static bool may_try_again(bool progress, unsigned *tries)
{
    if (progress) {
        *tries = 0;
        return true;
    }
    if (++*tries > TRIES_MAX) {
        errno = EAGAIN;
        return false;
    }
    if (*tries > TRIES_AT_ONCE) {
        g_usleep(TRY_STEP_US);
    }
    return true;
}

int fixed_ram_uffd_copy(FixedRamUffd *uffd, void *dst, const void *src,
                        uint64_t length, uint64_t unit, uint64_t *done)
{
    uint64_t most = length;
    unsigned tries = 0;

    *done = 0;
    while (*done < length) {
        struct uffdio_copy copy = {
            .dst = (uintptr_t)dst + *done,
            .src = (uintptr_t)src + *done,
            .len = MIN(length - *done, most),
        };

        if (!ioctl(uffd->fd, UFFDIO_COPY, &copy)) {
            *done += copy.len;
        } else if (errno == EEXIST) {
            /*
             * The page is there, but a thread that faulted just before that may
             * still wait.
             */
            fixed_ram_uffd_wake(uffd, (uint8_t *)dst + *done, unit);
            *done += unit;
        } else if (errno == EAGAIN && may_try_again(copy.copy > 0, &tries)) {
            *done += copy.copy > 0 ? copy.copy : 0;
        } else if (errno == ENOENT && copy.len > unit) {
            /* It has been unmapped, or consists of several mappings. */
            most = unit;
        } else {
            return -errno;
        }
    }
    return 0;
}

int fixed_ram_uffd_move(FixedRamUffd *uffd, void *dst, void *src,
                        uint64_t length, uint64_t *done)
{
    struct uffdio_move move = {
        .dst = (uintptr_t)dst, .src = (uintptr_t)src, .len = length,
    };

    *done = 0;
    if (!uffd->can_move) {
        return -EOPNOTSUPP;
    }
    if (!ioctl(uffd->fd, UFFDIO_MOVE, &move)) {
        *done = length;
        return 0;
    }
    if (errno == EAGAIN && move.move > 0) {
        *done = move.move;
    }
    return -errno;
}

bool fixed_ram_uffd_register_spare(FixedRamUffd *uffd, void *addr,
                                   uint64_t length)
{
    return !uffd_register_memory(uffd->fd, addr, length,
                                 UFFDIO_REGISTER_MODE_WP, NULL);
}

int fixed_ram_uffd_take(FixedRamUffd *uffd, void *dst, void *src,
                        uint64_t length, uint64_t *done)
{
    unsigned tries = 0;

    *done = 0;
    while (*done < length) {
        struct uffdio_move move = {
            .dst = (uintptr_t)dst + *done,
            .src = (uintptr_t)src + *done,
            .len = length - *done,
            .mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
        };

        if (!ioctl(uffd->fd, UFFDIO_MOVE, &move)) {
            *done = length;
        } else if (errno == EAGAIN && may_try_again(move.move > 0, &tries)) {
            *done += move.move > 0 ? move.move : 0;
        } else {
            return -errno;
        }
    }
    return 0;
}

int fixed_ram_uffd_zero(FixedRamUffd *uffd, void *dst, uint64_t unit)
{
    struct uffdio_zeropage zero = {
        .range = { .start = (uintptr_t)dst, .len = unit },
    };
    unsigned tries = 0;
    uint64_t done;
    void *zeros;
    int ret;

    while (ioctl(uffd->fd, UFFDIO_ZEROPAGE, &zero)) {
        if (errno == EEXIST) {
            fixed_ram_uffd_wake(uffd, dst, unit);
            return 0;
        }
        if (errno == EINVAL) {
            goto no_zero_page;
        }
        if (errno != EAGAIN || !may_try_again(false, &tries)) {
            return -errno;
        }
    }
    return 0;

no_zero_page:
    zeros = mmap(NULL, unit, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros == MAP_FAILED) {
        return -errno;
    }
    ret = fixed_ram_uffd_copy(uffd, dst, zeros, unit, unit, &done);
    munmap(zeros, unit);
    return ret;
}

uint64_t fixed_ram_uffd_zero_range(FixedRamUffd *uffd, void *dst,
                                   uint64_t length, uint64_t unit)
{
    unsigned tries = 0;
    uint64_t placed = 0, pos = 0;

    while (pos < length) {
        struct uffdio_zeropage zero = {
            .range = { .start = (uintptr_t)dst + pos, .len = length - pos },
        };
        int ret = ioctl(uffd->fd, UFFDIO_ZEROPAGE, &zero);
        uint64_t done = MAX(zero.zeropage, 0);

        if (ret && errno == EEXIST) {
            pos += unit;
        } else if (ret && (errno != EAGAIN ||
                           !may_try_again(done > 0, &tries))) {
            break;
        } else {
            pos += done;
            placed += done;
        }
    }
    return placed;
}

int fixed_ram_uffd_poison(FixedRamUffd *uffd, void *addr, uint64_t length)
{
    struct uffdio_poison poison = {
        .range = { .start = (uintptr_t)addr, .len = length },
    };

    unsigned tries = 0;

    if (!uffd->can_poison) {
        return -EOPNOTSUPP;
    }
    while (ioctl(uffd->fd, UFFDIO_POISON, &poison)) {
        if (errno != EAGAIN || !may_try_again(poison.updated > 0, &tries)) {
            return -errno;
        }
        if (poison.updated > 0) {
            poison.range.start += poison.updated;
            poison.range.len -= poison.updated;
        }
    }
    return 0;
}

void fixed_ram_uffd_wake(FixedRamUffd *uffd, void *addr, uint64_t length)
{
    struct uffdio_range range = { .start = (uintptr_t)addr, .len = length };

    /* This fails only if the memory has been unmapped. */
    ioctl(uffd->fd, UFFDIO_WAKE, &range);
}

void fixed_ram_uffd_ring(FixedRamUffd *uffd, unsigned i)
{
    /* volatile: the compiler must not drop the access */
    volatile uint8_t *page = uffd->doorbell + i * qemu_real_host_page_size();

    assert(i < FIXED_RAM_UFFD_BELLS);
    (void)*page;
}

bool fixed_ram_uffd_answer(FixedRamUffd *uffd, const FixedRamFault *fault)
{
    if (fault->addr - (uintptr_t)uffd->doorbell >= uffd->doorbell_size) {
        return false;
    }
    fixed_ram_uffd_zero(uffd, (void *)fault->addr, qemu_real_host_page_size());
    return true;
}

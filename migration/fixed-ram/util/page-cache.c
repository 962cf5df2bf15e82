/*
 * fixed-ram: what of a file lies in the host's page cache
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "page-cache.h"

/* Linux 6.5.  A MIPS host has another number, and no call of this one. */
#ifndef SYS_cachestat
#define SYS_cachestat   451
#endif

/* After so many questions without success a page is tried once in so many. */
#define TRY_EVERY       64

/* As in the kernel's uapi/linux/mman.h, which older hosts do not have. */
typedef struct CacheStatRange {
    uint64_t offset;
    uint64_t length;
} CacheStatRange;

typedef struct CacheStat {
    uint64_t cached;            /* pages; likewise the others */
    uint64_t dirty;
    uint64_t writeback;
    uint64_t evicted;
    uint64_t recently_evicted;
} CacheStat;

/* False if the kernel does not tell. */
static bool ask(const FixedRamPageCache *cache, uint64_t offset,
                uint64_t length, FixedRamCached *answer)
{
    size_t page = qemu_real_host_page_size();
    uint64_t pages = (offset + length - 1) / page - offset / page + 1;
    CacheStatRange range = { .offset = offset, .length = length };
    CacheStat stat;

    if (syscall(SYS_cachestat, cache->fd, &range, &stat, 0)) {
        return false;
    }
    *answer = stat.cached >= pages ? FIXED_RAM_CACHED_ALL
            : stat.cached ? FIXED_RAM_CACHED_PART : FIXED_RAM_CACHED_NONE;
    return true;
}

/*
 * A read that may not wait gets what is cached.  Of a page that is not, the
 * kernel starts a read, so each such question costs the disk something.
 */
static FixedRamCached try_page(FixedRamPageCache *cache, uint64_t offset)
{
    unsigned asked = qatomic_fetch_inc(&cache->since_found);
    uint8_t byte;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };

    if (asked % TRY_EVERY && !is_power_of_2(asked)) {
        return FIXED_RAM_CACHED_NONE;
    }
    if (preadv2(cache->fd, &iov, 1, offset, RWF_NOWAIT) >= 0) {
        qatomic_set(&cache->since_found, 0);
        return FIXED_RAM_CACHED_ALL;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return FIXED_RAM_CACHED_NONE;
    }
    qatomic_set(&cache->no_nowait, true);
    return FIXED_RAM_CACHED_ALL;
}

FixedRamCached fixed_ram_page_cache_look(FixedRamPageCache *cache,
                                         uint64_t offset, uint64_t length)
{
    FixedRamCached answer;

    if (!qatomic_read(&cache->no_cachestat)) {
        if (ask(cache, offset, length, &answer)) {
            return answer;
        }
        qatomic_set(&cache->no_cachestat, true);
    }
    return qatomic_read(&cache->no_nowait) ? FIXED_RAM_CACHED_ALL
                                           : try_page(cache, offset);
}

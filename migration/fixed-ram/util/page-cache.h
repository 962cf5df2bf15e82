/*
 * fixed-ram: what of a file lies in the host's page cache
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_PAGE_CACHE_H
#define MIGRATION_FIXED_RAM_UTIL_PAGE_CACHE_H

/*
 * The answer is true at the moment of the question; a page may come or go right
 * afterwards.  So it may decide how a file is read, not whether.
 */
typedef enum FixedRamCached {
    FIXED_RAM_CACHED_NONE,
    FIXED_RAM_CACHED_PART,
    FIXED_RAM_CACHED_ALL,
} FixedRamCached;

/* A file that is asked about; any thread, all fields but @fd atomic. */
typedef struct FixedRamPageCache {
    int fd;                     /* opened for reading, without O_DIRECT */
    bool no_cachestat;          /* the kernel does not tell: try a page */
    bool no_nowait;             /* nor can a page be tried */
    unsigned since_found;       /* questions since a page was found that way */
} FixedRamPageCache;

/**
 * fixed_ram_page_cache_look(): how much of @length bytes at @offset is cached?
 *
 * @length: at least 1
 *
 * Asks the kernel by cachestat(), which changes nothing.  Kernels before Linux
 * 6.5 do not have it, later ones answer only a process that owns the file or
 * may write to it, and a sandbox may forbid it.  Then the first page of the
 * range is tried, which may bring that page into the cache, and the answer is
 * never FIXED_RAM_CACHED_PART.  As long as no page is found cached, only a few
 * questions are really asked, fewer and fewer, at last one of 64.
 *
 * Where neither is possible the answer is FIXED_RAM_CACHED_ALL.  Does not wait
 * for a disk.
 */
FixedRamCached fixed_ram_page_cache_look(FixedRamPageCache *cache,
                                         uint64_t offset, uint64_t length);

#endif

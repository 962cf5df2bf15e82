/*
 * fixed-ram: what the kernel tells about the pages of this process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_PAGEMAP_H
#define MIGRATION_FIXED_RAM_UTIL_PAGEMAP_H

#include <linux/fs.h>
#include <sys/ioctl.h>

#define FIXED_RAM_PAGEMAP           "/proc/self/pagemap"

/*
 * Environment variables for tests of other kernels: without PAGEMAP_SCAN, and
 * without /proc/self/pagemap.
 */
#define FIXED_RAM_NO_PAGEMAP_SCAN   "QEMU_FIXED_RAM_NO_PAGEMAP_SCAN"
#define FIXED_RAM_NO_PAGEMAP        "QEMU_FIXED_RAM_NO_PAGEMAP"

#ifndef PAGEMAP_SCAN            /* Linux 6.7; documented in pagemap.rst there */
#define PAGE_IS_WRITTEN         (1 << 1)
#define PAGE_IS_FILE            (1 << 2)
#define PAGE_IS_PRESENT         (1 << 3)
#define PAGE_IS_SWAPPED         (1 << 4)
#define PAGE_IS_PFNZERO         (1 << 5)
#define PAGE_IS_HUGE            (1 << 6)

struct page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct pm_scan_arg {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

#define PAGEMAP_SCAN            _IOWR('f', 16, struct pm_scan_arg)
#endif

#endif

/*
 * fixed-ram: the pages of a private mapping that were written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "copies.h"
#include "../util/pagemap.h"

/* The kernel is asked for so many ranges at once at most. */
#define RANGES      64

int fixed_ram_copies_open(void)
{
    if (getenv(FIXED_RAM_NO_PAGEMAP) || getenv(FIXED_RAM_NO_PAGEMAP_SCAN)) {
        return -1;
    }
    return qemu_open(FIXED_RAM_PAGEMAP, O_RDONLY, NULL);
}

/*
 * A page that belongs to a file has not been copied.  Nor has the kernel's
 * zero page, which stands for memory that was only read.  A page without
 * either of the two categories that is there, or in swap, is a copy.
 */
static struct pm_scan_arg scan_arg(uint8_t *start, uint8_t *end,
                                   struct page_region *ranges, size_t n)
{
    return (struct pm_scan_arg) {
        .size = sizeof(struct pm_scan_arg),
        .start = (uintptr_t)start,
        .end = (uintptr_t)end,
        .vec = (uintptr_t)ranges,
        .vec_len = n,
        .category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
        .category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        /* Never set in the answer, so all neighbours make one range. */
        .return_mask = PAGE_IS_FILE,
    };
}

ssize_t fixed_ram_copies_find(int fd, uint8_t **at, uint8_t *end,
                              FixedRamCopies *copies, size_t n)
{
    struct page_region ranges[RANGES];
    struct pm_scan_arg arg = scan_arg(*at, end, ranges, MIN(n, RANGES));
    int found = ioctl(fd, PAGEMAP_SCAN, &arg);

    if (found < 0) {
        return -errno;
    }
    for (int i = 0; i < found; i++) {
        copies[i].start = (uint8_t *)(uintptr_t)ranges[i].start;
        copies[i].end = (uint8_t *)(uintptr_t)ranges[i].end;
    }
    *at = (uint8_t *)(uintptr_t)arg.walk_end;
    return found;
}

int fixed_ram_copies_each(int fd, uint8_t *start, uint8_t *end,
                          FixedRamCopiesFunc *func, void *opaque)
{
    FixedRamCopies copies[RANGES];
    int ret = 0;

    while (!ret && start < end) {
        ssize_t n = fixed_ram_copies_find(fd, &start, end, copies, RANGES);

        if (n < 0) {
            return func(opaque, start, end);
        }
        for (ssize_t i = 0; !ret && i < n; i++) {
            ret = func(opaque, copies[i].start, copies[i].end);
        }
    }
    return ret;
}

/*
 * fixed-ram: which pages of a mapping hold something
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_POPULATED_H
#define MIGRATION_FIXED_RAM_SAVE_POPULATED_H

/*
 * A guest has rarely touched all of its memory, and may have given some of it
 * back.  To look at such a page is to read zeros, and may cost the host a page
 * that it did not use so far.  The kernel knows which these are.
 *
 * Where it does not, or where somebody else may have put something there,
 * pages are said to hold something: then the answer is in the page.
 */
typedef struct FixedRamMemory {
    const uint8_t *host;
    uint64_t length;
    bool shared;                /* others see what is written there */
    int fd;                     /* of the file that is mapped, or -1 */
    uint64_t fd_offset;
} FixedRamMemory;

typedef struct FixedRamPopulated FixedRamPopulated;

/*
 * Environment variables for tests of what other kernels do: no PAGEMAP_SCAN,
 * and no page tables to be seen at all.
 */
#define FIXED_RAM_NO_PAGEMAP_SCAN   "FIXED_RAM_NO_PAGEMAP_SCAN"
#define FIXED_RAM_NO_PAGEMAP        "FIXED_RAM_NO_PAGEMAP"

/**
 * fixed_ram_populated_new(): find out how to look at @mem
 *
 * @page_size: of the pages that are asked for
 */
FixedRamPopulated *fixed_ram_populated_new(const FixedRamMemory *mem,
                                           size_t page_size);
void fixed_ram_populated_free(FixedRamPopulated *populated);

/**
 * fixed_ram_populated_get(): set the bits of pages that may hold something
 *
 * @offset, @length: the part to look at, whole pages
 * @pages: a bit for each of these; what it holds before does not count
 *
 * A page whose bit is clear afterwards was zero when this was called.  Any
 * thread.
 */
void fixed_ram_populated_get(const FixedRamPopulated *populated,
                             uint64_t offset, uint64_t length,
                             unsigned long *pages);

#endif

/*
 * fixed-ram: which pages of a mapping may hold data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_POPULATED_H
#define MIGRATION_FIXED_RAM_SAVE_POPULATED_H

/*
 * A guest has rarely touched all of its memory, and may have given some back.
 * Reading such a page returns zeros, and may make the host allocate it.  The
 * kernel knows these pages: page tables know those of private memory, a tmpfs
 * knows its holes.
 *
 * If the kernel does not tell, or another process may have written to a page,
 * the answer is that the page may hold data, and the caller reads it.
 */
typedef struct FixedRamMemory {
    const uint8_t *host;
    uint64_t length;
    bool shared;                /* other processes may write to it */
    int fd;                     /* of the file that is mapped, or -1 */
    uint64_t fd_offset;         /* in the file, of the page at @host */
    /* A bit for each page that has yet to get its content; NULL: none has */
    const unsigned long *absent;
} FixedRamMemory;

typedef struct FixedRamPopulated FixedRamPopulated;

/**
 * fixed_ram_populated_new(): find out how the kernel can tell about @mem
 *
 * @page_size: of the pages in later answers
 *
 * The descriptor and the bitmap remain the caller's and must stay until
 * fixed_ram_populated_free().
 */
FixedRamPopulated *fixed_ram_populated_new(const FixedRamMemory *mem,
                                           size_t page_size);

/** fixed_ram_populated_free(): NULL is allowed */
void fixed_ram_populated_free(FixedRamPopulated *populated);

/**
 * fixed_ram_populated_get(): set the bits of pages that may hold data
 *
 * @offset, @length: of the part to look at, in bytes, whole pages
 * @pages: a bit for each of these pages; all of them are set or cleared
 *
 * A page whose bit is clear was zero at some time during the call.  Any thread.
 */
void fixed_ram_populated_get(const FixedRamPopulated *populated,
                             uint64_t offset, uint64_t length,
                             unsigned long *pages);

/**
 * fixed_ram_populated_any(): may any page there hold data?
 *
 * Pages that have yet to get their content do not count.  Any thread.
 */
bool fixed_ram_populated_any(const FixedRamPopulated *populated,
                             uint64_t offset, uint64_t length);

/**
 * fixed_ram_populated_next(): where memory begins that may hold data
 *
 * @offset, @end: of the part to look at, in bytes, whole pages
 *
 * Returns @end if nothing there holds data; all of it was zero at some time
 * during the call.  Returns @offset, too, if the kernel cannot tell quickly.
 * Any thread.
 */
uint64_t fixed_ram_populated_next(const FixedRamPopulated *populated,
                                  uint64_t offset, uint64_t end);

/**
 * fixed_ram_populated_known(): can the kernel tell about this memory at all?
 *
 * If not, each page may hold data.
 */
bool fixed_ram_populated_known(const FixedRamPopulated *populated);

/** fixed_ram_populated_writable(): one range of the answer, in bytes */
typedef struct FixedRamWritable {
    uint64_t offset;
    uint64_t length;
} FixedRamWritable;

/**
 * fixed_ram_populated_writable(): pages that userfaultfd does not protect
 *
 * @offset: where to begin; set to where the next call has to go on
 * @end: where to end; whole pages
 * @ranges, @count: for the answer
 *
 * Pages that are absent are left out.  Returns the number of ranges, or -1 if
 * the kernel cannot tell: about private memory without a file it can.  Any
 * thread.
 */
int fixed_ram_populated_writable(const FixedRamPopulated *populated,
                                 uint64_t *offset, uint64_t end,
                                 FixedRamWritable *ranges, size_t count);

/**
 * fixed_ram_populated_huge(): which extents of 2 MiB does a huge page back?
 *
 * @extents: their addresses are added; none if the kernel cannot tell
 */
void fixed_ram_populated_huge(const FixedRamPopulated *populated,
                              GPtrArray *extents);

/**
 * fixed_ram_populated_parts(): the parts of a bitmap, see util/sparse.h
 *
 * @bits: private memory that was zero when it was allocated
 * @length: bytes
 *
 * Reads no memory that has not been written to, if the kernel knows it.  The
 * caller frees the result.
 */
unsigned long *fixed_ram_populated_parts(const unsigned long *bits,
                                         size_t length);

#endif

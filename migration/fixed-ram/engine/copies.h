/*
 * fixed-ram: the pages of a private mapping that were written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_COPIES_H
#define MIGRATION_FIXED_RAM_ENGINE_COPIES_H

/*
 * The kernel copies a page of a private mapping of a file when a thread writes
 * to it, and gives anonymous memory a page then.  Both are private copies: no
 * other process and no file has their content.
 */

/* Some memory, from @start up to @end, in pages of the host. */
typedef struct FixedRamCopies {
    uint8_t *start;
    uint8_t *end;
} FixedRamCopies;

/**
 * fixed_ram_copies_open(): ask the kernel about the memory of this process
 *
 * Returns a descriptor that the caller closes, or -1 if the kernel does not
 * tell; fixed_ram_copies_find() accepts that.
 */
int fixed_ram_copies_open(void);

/**
 * fixed_ram_copies_find(): find the next private copies
 *
 * @fd: of fixed_ram_copies_open()
 * @at: where to begin; becomes the end of the memory that was looked at, which
 *      is @end if there are no more copies
 * @copies: receives up to @n ranges, in ascending order
 *
 * Returns the number of ranges, or a negative errno if the kernel does not
 * tell: before Linux 6.7, or in a sandbox.  Other threads must not write to
 * the memory meanwhile.
 */
ssize_t fixed_ram_copies_find(int fd, uint8_t **at, uint8_t *end,
                              FixedRamCopies *copies, size_t n);

/* Returns 0, or a negative errno that ends the search. */
typedef int FixedRamCopiesFunc(void *opaque, uint8_t *start, uint8_t *end);

/**
 * fixed_ram_copies_each(): call @func for all private copies in some memory
 *
 * @fd: of fixed_ram_copies_open()
 *
 * Where the kernel does not tell, all memory from there on counts as copied.
 * Returns what @func returned last.
 */
int fixed_ram_copies_each(int fd, uint8_t *start, uint8_t *end,
                          FixedRamCopiesFunc *func, void *opaque);

#endif

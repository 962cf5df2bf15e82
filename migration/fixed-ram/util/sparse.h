/*
 * fixed-ram: bitmaps of which large parts are zero
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_SPARSE_H
#define MIGRATION_FIXED_RAM_UTIL_SPARSE_H

#include "qemu/bitmap.h"

/*
 * The bitmap of a guest with 1 TiB of RAM has 32 MiB.  The kernel needs longer
 * to provide so much memory, even if it is only read, than a small guest needs
 * to start.  So a sparse bitmap is a pair: its bits, and its *parts*, a bitmap
 * with a bit for each 4 KiB of the bits, which is clear if these are zero.
 * Where it is clear the bits are not touched, and the kernel provides nothing.
 */
#define FIXED_RAM_PART_BYTES    4096
#define FIXED_RAM_PART_BITS     (FIXED_RAM_PART_BYTES * 8ULL)
#define FIXED_RAM_PART_WORDS    (FIXED_RAM_PART_BYTES / sizeof(unsigned long))

/** fixed_ram_sparse_parts(): how many parts a bitmap of @bits bits has */
static inline uint64_t fixed_ram_sparse_parts(uint64_t bits)
{
    return DIV_ROUND_UP(bits, FIXED_RAM_PART_BITS);
}

/**
 * fixed_ram_sparse_scan(): find out which parts of a bitmap are not zero
 *
 * Reads all of the @size bits at @bits.  The caller frees the result.
 */
unsigned long *fixed_ram_sparse_scan(const unsigned long *bits, uint64_t size);

/**
 * fixed_ram_sparse_next(): like find_next_bit(), but skips parts that are zero
 */
uint64_t fixed_ram_sparse_next(const unsigned long *bits,
                               const unsigned long *parts, uint64_t size,
                               uint64_t from);

/**
 * fixed_ram_sparse_next_run(): the next run of set bits from @from on
 *
 * @parts: NULL: those of @bits are not known
 * @gap: so many clear bits may lie between two bits of a run
 * @end: receives where the run ends
 *
 * Returns @size if there is none.
 */
uint64_t fixed_ram_sparse_next_run(const unsigned long *bits,
                                   const unsigned long *parts, uint64_t size,
                                   uint64_t from, uint64_t gap, uint64_t *end);

/**
 * fixed_ram_sparse_next_bytes(): the next parts that are not zero, as bytes
 *
 * @length: bytes of the bitmap
 * @pos: where to begin: 0, or the end of the bytes before
 * @from, @end: receive where the bytes begin and end
 *
 * Returns false if there are none.
 */
bool fixed_ram_sparse_next_bytes(const unsigned long *parts, size_t length,
                                 size_t pos, size_t *from, size_t *end);

/* Zeros; so few that they stay in the CPU's cache. */
#define FIXED_RAM_ZEROS_BYTES   (64 * 1024)
extern const uint8_t fixed_ram_zeros[FIXED_RAM_ZEROS_BYTES];

#endif

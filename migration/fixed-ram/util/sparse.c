/*
 * fixed-ram: bitmaps of which large parts are zero
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "sparse.h"

const uint8_t fixed_ram_zeros[FIXED_RAM_ZEROS_BYTES];

unsigned long *fixed_ram_sparse_scan(const unsigned long *bits, uint64_t size)
{
    unsigned long *parts = bitmap_new(fixed_ram_sparse_parts(size));
    uint64_t at = 0;

    while ((at = find_next_bit(bits, size, at)) < size) {
        set_bit(at / FIXED_RAM_PART_BITS, parts);
        at = ROUND_UP(at + 1, FIXED_RAM_PART_BITS);
    }
    return parts;
}

uint64_t fixed_ram_sparse_next(const unsigned long *bits,
                               const unsigned long *parts, uint64_t size,
                               uint64_t from)
{
    uint64_t count = fixed_ram_sparse_parts(size);

    while (from < size) {
        uint64_t part = find_next_bit(parts, count, from / FIXED_RAM_PART_BITS);
        uint64_t begin = part * FIXED_RAM_PART_BITS;
        uint64_t end = MIN(begin + FIXED_RAM_PART_BITS, size);
        uint64_t at = find_next_bit(bits, end, MAX(from, begin));

        if (at < end) {
            return at;
        }
        from = end;
    }
    return size;
}

bool fixed_ram_sparse_next_bytes(const unsigned long *parts, size_t length,
                                 size_t pos, size_t *from, size_t *end)
{
    size_t count = DIV_ROUND_UP(length, FIXED_RAM_PART_BYTES);
    size_t part = find_next_bit(parts, count,
                                DIV_ROUND_UP(pos, FIXED_RAM_PART_BYTES));

    if (part == count) {
        return false;
    }
    *from = part * FIXED_RAM_PART_BYTES;
    *end = MIN(find_next_zero_bit(parts, count, part) * FIXED_RAM_PART_BYTES,
               length);
    return true;
}

static uint64_t next_bit(const unsigned long *bits, const unsigned long *parts,
                         uint64_t size, uint64_t from)
{
    return parts ? fixed_ram_sparse_next(bits, parts, size, from)
                 : find_next_bit(bits, size, from);
}

uint64_t fixed_ram_sparse_next_run(const unsigned long *bits,
                                   const unsigned long *parts, uint64_t size,
                                   uint64_t from, uint64_t gap, uint64_t *end)
{
    uint64_t first = next_bit(bits, parts, size, from);
    uint64_t next = first;

    *end = size;
    while (next < size) {
        *end = find_next_zero_bit(bits, size, next);
        next = next_bit(bits, parts, size, *end);
        if (next - *end > gap) {
            break;
        }
    }
    return first;
}

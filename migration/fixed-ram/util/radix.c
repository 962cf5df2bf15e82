/*
 * fixed-ram: sorting many numbers without comparing them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "radix.h"

#define DIGIT_BITS  8
#define DIGITS      (1u << DIGIT_BITS)

static unsigned digit_of(const FixedRamKey *key, unsigned shift)
{
    return key->key >> shift & (DIGITS - 1);
}

/* Find out where in the sorted array each digit's keys begin. */
static void count_digits(const FixedRamKey *keys, size_t n, unsigned shift,
                         size_t *begin)
{
    size_t sum = 0;

    memset(begin, 0, DIGITS * sizeof(*begin));
    for (size_t i = 0; i < n; i++) {
        begin[digit_of(&keys[i], shift)]++;
    }
    for (unsigned i = 0; i < DIGITS; i++) {
        size_t count = begin[i];

        begin[i] = sum;
        sum += count;
    }
}

void fixed_ram_radix_sort(FixedRamKey *keys, size_t n)
{
    g_autofree FixedRamKey *sorted = g_new(FixedRamKey, n);
    size_t begin[DIGITS];
    uint64_t differ = 0;

    for (size_t i = 1; i < n; i++) {
        differ |= keys[i].key ^ keys[0].key;
    }
    for (unsigned shift = 0; shift < 64; shift += DIGIT_BITS) {
        if (!(differ >> shift & (DIGITS - 1))) {
            continue;
        }
        count_digits(keys, n, shift, begin);
        for (size_t i = 0; i < n; i++) {
            sorted[begin[digit_of(&keys[i], shift)]++] = keys[i];
        }
        memcpy(keys, sorted, n * sizeof(*keys));
    }
}

/*
 * fixed-ram: bytes that give other bytes a chosen CRC
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "keep-crc.h"
#include "layout.h"

/* Castagnoli's polynomial, reflected. */
#define POLYNOMIAL  0x82f63b78u

/*
 * A bit of zero shifts the register right; a bit that falls out adds the
 * polynomial, whose highest bit is set.  So the highest bit says whether that
 * was the case, and the step can be taken back.
 */
static uint32_t step_back(uint32_t reg)
{
    return reg & 0x80000000u ? (reg ^ POLYNOMIAL) << 1 | 1 : reg << 1;
}

uint32_t fixed_ram_keep_crc(const void *head, size_t length, size_t zeros,
                            uint32_t crc)
{
    uint32_t reg = ~crc;

    for (size_t bits = (zeros + sizeof(uint32_t)) * 8; bits; bits--) {
        reg = step_back(reg);
    }
    /* The word is added to the register that @head leaves. */
    return reg ^ ~fixed_ram_layout_crc32c(head, length);
}

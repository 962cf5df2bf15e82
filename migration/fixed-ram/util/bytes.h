/*
 * fixed-ram: append numbers and bytes to a growing buffer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_BYTES_H
#define MIGRATION_FIXED_RAM_UTIL_BYTES_H

#include "qemu/bswap.h"

/* Migration streams are big-endian, superblock and index little-endian. */

static inline void fixed_ram_bytes_put(GByteArray *to, const void *bytes,
                                       size_t length)
{
    g_byte_array_append(to, bytes, length);
}

static inline void fixed_ram_bytes_put_le32(GByteArray *to, uint32_t value)
{
    value = cpu_to_le32(value);
    fixed_ram_bytes_put(to, &value, sizeof(value));
}

static inline void fixed_ram_bytes_put_le64(GByteArray *to, uint64_t value)
{
    value = cpu_to_le64(value);
    fixed_ram_bytes_put(to, &value, sizeof(value));
}

static inline void fixed_ram_bytes_put_be32(GByteArray *to, uint32_t value)
{
    value = cpu_to_be32(value);
    fixed_ram_bytes_put(to, &value, sizeof(value));
}

static inline void fixed_ram_bytes_put_be64(GByteArray *to, uint64_t value)
{
    value = cpu_to_be64(value);
    fixed_ram_bytes_put(to, &value, sizeof(value));
}

/** fixed_ram_bytes_pad(): zeros up to a multiple of @alignment, at most 8 */
static inline void fixed_ram_bytes_pad(GByteArray *to, size_t alignment)
{
    static const uint8_t zeros[8];

    fixed_ram_bytes_put(to, zeros, ROUND_UP(to->len, alignment) - to->len);
}

/** fixed_ram_bytes_put_name(): a byte with the length of @name, then @name */
static inline void fixed_ram_bytes_put_name(GByteArray *to, const char *name)
{
    uint8_t length = strlen(name);

    fixed_ram_bytes_put(to, &length, sizeof(length));
    fixed_ram_bytes_put(to, name, length);
}

#endif

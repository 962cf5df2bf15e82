/*
 * fixed-ram: read a migration stream in order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_READER_H
#define MIGRATION_FIXED_RAM_FORMAT_READER_H

#include "source.h"

/* A name in a stream is one byte that counts, then so many characters. */
#define FIXED_RAM_NAME_MAX      255

/*
 * After the first failure everything else reads as zeros: who reads several
 * fields in a row asks for @error once, in the end.
 */
typedef struct FixedRamReader {
    FixedRamSource *source;
    uint64_t pos;               /* where @buf ends, in the file */
    size_t next;                /* next byte of @buf */
    size_t filled;              /* bytes in @buf */
    size_t size;                /* room in @buf */
    uint8_t *buf;
    Error *error;               /* the first one; whoever takes it owns it */
} FixedRamReader;

/**
 * fixed_ram_reader_new(): read @source from @offset on
 *
 * @size: bytes that are read from @source at once
 */
FixedRamReader *fixed_ram_reader_new(FixedRamSource *source, uint64_t offset,
                                     size_t size);

/** fixed_ram_reader_free(): free @r, and its error if nobody took it */
void fixed_ram_reader_free(FixedRamReader *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamReader, fixed_ram_reader_free)

/** fixed_ram_reader_offset(): where the next byte lies in the file */
static inline uint64_t fixed_ram_reader_offset(const FixedRamReader *r)
{
    return r->pos - (r->filled - r->next);
}

/** fixed_ram_reader_seek(): go on at @offset of the file */
void fixed_ram_reader_seek(FixedRamReader *r, uint64_t offset);

/** fixed_ram_reader_skip(): leave @length bytes out */
void fixed_ram_reader_skip(FixedRamReader *r, uint64_t length);

/** fixed_ram_reader_fail(): what is wrong at @offset; the first one counts */
void G_GNUC_PRINTF(3, 4)
fixed_ram_reader_fail(FixedRamReader *r, uint64_t offset, const char *fmt,
                      ...);

void fixed_ram_reader_get(FixedRamReader *r, void *out, size_t length);
uint8_t fixed_ram_reader_u8(FixedRamReader *r);
uint16_t fixed_ram_reader_be16(FixedRamReader *r);
uint32_t fixed_ram_reader_be32(FixedRamReader *r);
uint64_t fixed_ram_reader_be64(FixedRamReader *r);

/** fixed_ram_reader_string(): a byte that counts, then so many characters */
void fixed_ram_reader_string(FixedRamReader *r,
                             char out[FIXED_RAM_NAME_MAX + 1]);

#endif

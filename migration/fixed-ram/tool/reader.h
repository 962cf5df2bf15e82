/*
 * qemu-snapshot: read a migration stream in order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FIXED_RAM_TOOL_READER_H
#define FIXED_RAM_TOOL_READER_H

#include "../map.h"
#include "../source.h"

/*
 * After the first failure everything else reads as zeros: who reads several
 * fields in a row asks for @error once, in the end.
 */
typedef struct ToolReader {
    FixedRamSource *source;
    uint64_t pos;               /* where @buf ends, in the file */
    size_t next;                /* next byte of @buf */
    size_t filled;              /* bytes in @buf */
    uint8_t *buf;
    Error *error;               /* the first one; the caller's */
} ToolReader;

/** tool_reader_new(): read @source from @offset on */
ToolReader *tool_reader_new(FixedRamSource *source, uint64_t offset);

/** tool_reader_free(): free @r, and its error if nobody took it */
void tool_reader_free(ToolReader *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ToolReader, tool_reader_free)

/** tool_reader_offset(): where the next byte lies in the file */
static inline uint64_t tool_reader_offset(const ToolReader *r)
{
    return r->pos - (r->filled - r->next);
}

/** tool_reader_seek(): go on at @offset of the file */
void tool_reader_seek(ToolReader *r, uint64_t offset);

/** tool_reader_skip(): leave @length bytes out */
void tool_reader_skip(ToolReader *r, uint64_t length);

/** tool_reader_fail(): what is wrong at @offset; the first failure counts */
void G_GNUC_PRINTF(3, 4)
tool_reader_fail(ToolReader *r, uint64_t offset, const char *fmt, ...);

void tool_reader_get(ToolReader *r, void *out, size_t length);
uint8_t tool_reader_u8(ToolReader *r);
uint16_t tool_reader_be16(ToolReader *r);
uint32_t tool_reader_be32(ToolReader *r);
uint64_t tool_reader_be64(ToolReader *r);

/** tool_reader_string(): a byte that counts, then so many characters */
void tool_reader_string(ToolReader *r, char out[FIXED_RAM_NAME_MAX + 1]);

#endif

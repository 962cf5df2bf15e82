/*
 * fixed-ram: read fields of a snapshot one after the other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_READER_H
#define MIGRATION_FIXED_RAM_FORMAT_READER_H

#include "source.h"

/* A name in a stream is one byte with its length, then its characters. */
#define FIXED_RAM_NAME_MAX      255

/* What the first failure of a reader says about the file. */
typedef enum FixedRamVerdict {
    FIXED_RAM_VERDICT_GOOD,         /* nothing has failed so far */
    FIXED_RAM_VERDICT_UNREADABLE,   /* a read failed: an I/O error */
    FIXED_RAM_VERDICT_CORRUPT,      /* no QEMU has written these bytes */
    FIXED_RAM_VERDICT_CUT_OFF,      /* the save did not come to its end */
    /* The bytes may be intact, but this code does not know what they mean. */
    FIXED_RAM_VERDICT_NOT_UNDERSTOOD,
} FixedRamVerdict;

/*
 * After the first failure every field reads as zeros, so a parser may read
 * several fields in a row and look at @error once.  A reader belongs to one
 * thread.
 */
typedef struct FixedRamReader {
    FixedRamSource *source;     /* belongs to the caller */
    const char *prefix;         /* what errors begin with, "index: " or "" */
    const char *part;           /* what ends at @end: "the file" */
    uint64_t end;               /* offset in the file; nothing is read there */
    uint64_t pos;               /* offset in the file where @buf ends */
    size_t next;                /* next byte of @buf */
    size_t filled;              /* bytes in @buf */
    size_t size;                /* bytes that @buf has space for */
    uint8_t *buf;
    Error *error;               /* the first failure; a caller may steal it */
    FixedRamVerdict verdict;    /* what kind of failure it is */
} FixedRamReader;

/**
 * fixed_ram_reader_new(): read @source from @offset to its end
 *
 * @size: bytes that are read from @source at once
 *
 * The caller frees the reader by fixed_ram_reader_free(), before @source.
 */
FixedRamReader *fixed_ram_reader_new(FixedRamSource *source, uint64_t offset,
                                     size_t size);

/** fixed_ram_reader_free(): free @r, and its error unless it was stolen */
void fixed_ram_reader_free(FixedRamReader *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamReader, fixed_ram_reader_free)

/** fixed_ram_reader_offset(): the next byte's offset in the file */
static inline uint64_t fixed_ram_reader_offset(const FixedRamReader *r)
{
    return r->pos - (r->filled - r->next);
}

/** fixed_ram_reader_left(): bytes from the next one to the reader's end */
static inline uint64_t fixed_ram_reader_left(const FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);

    return offset < r->end ? r->end - offset : 0;
}

/**
 * fixed_ram_reader_peek(): the next @length bytes, without going on
 *
 * @length: at most @r->size
 *
 * The bytes belong to @r, and are there until it reads the source again.
 * Returns NULL after a failure.
 */
const uint8_t *fixed_ram_reader_peek(FixedRamReader *r, size_t length);

/** fixed_ram_reader_seek(): continue at @offset of the file */
void fixed_ram_reader_seek(FixedRamReader *r, uint64_t offset);

/** fixed_ram_reader_forget(): the same, and read the source again there */
void fixed_ram_reader_forget(FixedRamReader *r, uint64_t offset);

/**
 * fixed_ram_reader_limit(): read from @offset on, and nothing from @end on
 *
 * @part: what lies there, for messages: "the index"
 */
void fixed_ram_reader_limit(FixedRamReader *r, uint64_t offset, uint64_t end,
                            const char *part);

/** fixed_ram_reader_skip(): skip @length bytes; fails if there are fewer */
void fixed_ram_reader_skip(FixedRamReader *r, uint64_t length);

/**
 * fixed_ram_reader_fail(): the bytes at @offset of the file are corrupt
 *
 * The first failure counts.  Characters that cannot be printed are replaced:
 * the message may quote the file.
 */
void G_GNUC_PRINTF(3, 4)
fixed_ram_reader_fail(FixedRamReader *r, uint64_t offset, const char *fmt,
                      ...);

/**
 * fixed_ram_reader_fail_unknown(): the bytes at @offset are not understood
 *
 * Like fixed_ram_reader_fail(), but another program, or a later version of
 * this one, may know what they mean.
 */
void G_GNUC_PRINTF(3, 4)
fixed_ram_reader_fail_unknown(FixedRamReader *r, uint64_t offset,
                              const char *fmt, ...);

/** fixed_ram_reader_get(): copy the next @length bytes to @out */
void fixed_ram_reader_get(FixedRamReader *r, void *out, size_t length);

/* The next number, in the byte order that the name says. */
uint8_t fixed_ram_reader_u8(FixedRamReader *r);
uint16_t fixed_ram_reader_be16(FixedRamReader *r);
uint32_t fixed_ram_reader_be32(FixedRamReader *r);
uint64_t fixed_ram_reader_be64(FixedRamReader *r);
uint32_t fixed_ram_reader_le32(FixedRamReader *r);
uint64_t fixed_ram_reader_le64(FixedRamReader *r);

/** fixed_ram_reader_zeros(): the next @length bytes must be zero */
void fixed_ram_reader_zeros(FixedRamReader *r, size_t length);

/**
 * fixed_ram_reader_padding(): zeros up to a multiple of @alignment in the file
 */
void fixed_ram_reader_padding(FixedRamReader *r, size_t alignment);

/**
 * fixed_ram_reader_name(): a byte with the length, then the characters
 *
 * Fails if the name is empty or cannot be printed: everything that shows the
 * name later, in QEMU or in a tool, may rely on that.
 */
void fixed_ram_reader_name(FixedRamReader *r,
                           char out[FIXED_RAM_NAME_MAX + 1]);

#endif

/*
 * fixed-ram: append parts to a complete snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_APPEND_H
#define MIGRATION_FIXED_RAM_FORMAT_APPEND_H

#include "snapshot.h"

/*
 * An append puts new parts and a new index where nothing lies and flushes them
 * to disk.  Then it changes the superblock, in one sector, so that it refers to
 * the new index.  At each moment the file is the old snapshot or the new one.
 * In the new index one section is replaced.  Stream, table and identity stay as
 * they are.
 *
 * Processes that have the file open keep the index that they have read.  The
 * parts that it refers to stay there until an appender is alone with the file.
 *
 * One thread uses an append; other threads may read from the same source.
 */
typedef struct FixedRamAppend {
    int fd;                     /* open for reading and writing */
    FixedRamSource *source;     /* reads from @fd, and owns it */
    bool locked;
    FixedRamSnapshot *now;      /* what the file holds, read under the lock */
    SectionType type;           /* of the section that is replaced */
    uint32_t flags;             /* of that section; 0 if there is none yet */
    GByteArray *sections;       /* the others, but for SPACE */
    uint32_t section_count;
    uint64_t old_size;          /* of the file */
    bool alone;                 /* nothing can use what is free */
    bool placed;                /* the next six are set */
    uint32_t payload;           /* bytes of the new section; 0: there is none */
    bool grown;                 /* the new parts lie behind @old_size */
    uint64_t offset;            /* of the new parts, in the file */
    uint64_t index_offset;      /* of the new index, behind them */
    uint64_t end;               /* of the new index */
    FixedRamIndexSpace space;   /* of the snapshot, with the new parts */
    bool switched;              /* the superblock may be the new one */
    bool committed;             /* it is the new one, on disk */
} FixedRamAppend;

/**
 * fixed_ram_append_begin(): open the file of @s for appending, and lock it
 *
 * @s: a good snapshot; the caller keeps it while the append goes on
 * @type: the section of the index that is replaced, added or left out
 *
 * Changes nothing in the file.  Returns NULL if the file cannot be written, is
 * being written, has no index, or is no longer the snapshot @s.  End the append
 * by fixed_ram_append_end().
 */
FixedRamAppend *fixed_ram_append_begin(const FixedRamSnapshot *s,
                                       SectionType type, Error **errp);

/**
 * fixed_ram_append_place(): find a place for @length bytes of new parts
 *
 * @payload: bytes of the section's payload, a multiple of 8; 0: the new index
 *           will have no such section
 *
 * Returns the offset, a multiple of 64 KiB.
 */
uint64_t fixed_ram_append_place(FixedRamAppend *a, uint64_t length,
                                uint32_t payload);

/** fixed_ram_append_write(): write new parts at their place */
bool fixed_ram_append_write(FixedRamAppend *a, const void *buf, size_t length,
                            uint64_t offset, Error **errp);

/**
 * fixed_ram_append_commit(): make the new parts the snapshot's
 *
 * @payload: the section's, as many bytes as fixed_ram_append_place() was told;
 *           the parts that it refers to have been written
 *
 * Waits for the disk.  If that fails at the very end, the snapshot may be the
 * new one.
 */
bool fixed_ram_append_commit(FixedRamAppend *a, const void *payload,
                             Error **errp);

/**
 * fixed_ram_append_end(): unlock and close the file, and free @a
 *
 * Gives the space of new parts back that were not committed, or else that of
 * the old ones if nothing can use them any more.  NULL is fine.
 */
void fixed_ram_append_end(FixedRamAppend *a);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamAppend, fixed_ram_append_end)

#endif

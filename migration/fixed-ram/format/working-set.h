/*
 * fixed-ram: the working set, the pages that the guest touches first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_WORKING_SET_H
#define MIGRATION_FIXED_RAM_FORMAT_WORKING_SET_H

#include "index.h"
#include "index-set.h"

/*
 * A set is a list of runs in the order of first touch.  The packed copy, which
 * a set may have, holds the set's pages with data in this order and without
 * gaps, so that they can be read at once.  The format is documented in
 * docs/interop/fixed-ram.rst.
 *
 * A file may hold any bytes, so a set that was read says nothing about what a
 * page contains: @data below is the writer's claim.  A page whose bit in the
 * bitmap is clear is zero whatever the set says.  A page whose bit is set and
 * that the set calls zero must be read from its own place.
 */

/*
 * Consecutive pages of a block, all of them with data or all zero.  A page is a
 * page of the snapshot, of ram->page_size bytes.
 */
typedef struct FixedRamSetRun {
    uint64_t first;             /* number of the first page in the block */
    uint64_t packed;            /* pages with data in all runs before it */
    uint32_t pages;             /* not 0 */
    uint16_t block;             /* number, as in the index and the stream */
    bool data;                  /* the pages are in the packed copy, if any */
} FixedRamSetRun;

/* Does not change once it has been read, so threads may share it. */
typedef struct FixedRamWorkingSet {
    FixedRamWorkingSetKind kind;
    uint64_t time;              /* of the record: seconds since 1970, UTC */
    GArray *runs;               /* of FixedRamSetRun, in order of first touch */
    uint64_t pages;             /* in all runs */
    uint64_t data_pages;        /* of these, pages with data */
    uint64_t pack_offset;       /* in the file; 0: there is no packed copy */
    uint64_t pack_length;       /* bytes */
    GArray *pack_sums;          /* of uint64_t; a sum a chunk */
} FixedRamWorkingSet;

/** fixed_ram_working_set_new(): an empty set; the caller frees it */
FixedRamWorkingSet *fixed_ram_working_set_new(FixedRamWorkingSetKind kind);

/** fixed_ram_working_set_free(): free @set; NULL is fine */
void fixed_ram_working_set_free(FixedRamWorkingSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamWorkingSet, fixed_ram_working_set_free)

/** fixed_ram_working_set_run(): run number @i, of set->runs->len */
static inline FixedRamSetRun *
fixed_ram_working_set_run(const FixedRamWorkingSet *set, size_t i)
{
    return &g_array_index(set->runs, FixedRamSetRun, i);
}

/**
 * fixed_ram_working_set_add(): the guest has touched these pages next
 *
 * @data: whether the pages have data; if that is not known here, true: the
 *        functions that write a set find it out from the bitmaps
 *
 * Continues the last run if the pages follow it, so a caller may add page after
 * page.  Pages that are in the set already may be added again: the first time
 * counts when the set is written.  Takes no lock.
 *
 * Returns false, and adds nothing, if the set has FIXED_RAM_SET_RUNS_MAX runs.
 */
bool fixed_ram_working_set_add(FixedRamWorkingSet *set, uint32_t block,
                               uint64_t first, uint32_t pages, bool data);

/**
 * fixed_ram_working_set_read(): read and check the list of a snapshot's set
 *
 * @index: has a set (index->has_set)
 *
 * Each run lies in its block, no page is twice in the set, and the numbers of
 * pages are those that the index says.  The packed copy is not read.
 *
 * Returns NULL and sets @errp, which names the file and the offset, if the list
 * cannot be read or is damaged, or if this build has no libxxhash.  The load
 * can go on without the set.  The caller frees the result.  Any thread.
 */
FixedRamWorkingSet *fixed_ram_working_set_read(const FixedRamIndex *index,
                                               FixedRamSource *source,
                                               Error **errp);

/** fixed_ram_working_set_chunks(): the number of chunks of the packed copy */
static inline uint64_t
fixed_ram_working_set_chunks(const FixedRamWorkingSet *set)
{
    return DIV_ROUND_UP(set->pack_length, FIXED_RAM_PACK_CHUNK_BYTES);
}

/**
 * fixed_ram_working_set_check_pack(): is a part of the packed copy undamaged?
 *
 * @at, @length: as for fixed_ram_working_set_read_pack()
 * @buf: the part, which the caller has read
 *
 * The error does not name the file.  Any thread.
 */
bool fixed_ram_working_set_check_pack(const FixedRamWorkingSet *set,
                                      uint64_t at, size_t length,
                                      const void *buf, Error **errp);

/**
 * fixed_ram_working_set_read_pack(): read a part of the packed copy
 *
 * @at: offset in the packed copy, a multiple of FIXED_RAM_PACK_CHUNK_BYTES
 * @length: bytes, a multiple of FIXED_RAM_PACK_CHUNK_BYTES unless the part is
 *          the packed copy's end
 * @buf: aligned as fixed_ram_source_read_pages() needs it
 *
 * All chunks are compared with their checksums.  A page of a run is at
 * (run->packed + its number in the run) * page size in the packed copy; pages
 * have at most 64 KiB and are powers of two, so none lies in two chunks.
 *
 * Fails if the part cannot be read or a chunk is damaged; then the content of
 * @buf must not be used.  Any thread.
 */
bool fixed_ram_working_set_read_pack(const FixedRamWorkingSet *set,
                                     FixedRamSource *source, uint64_t at,
                                     size_t length, void *buf, Error **errp);

#endif

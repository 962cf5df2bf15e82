/*
 * fixed-ram: open a snapshot and parse all of its metadata
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SNAPSHOT_H
#define MIGRATION_FIXED_RAM_FORMAT_SNAPSHOT_H

#include "qapi/qapi-types-fixed-ram.h"
#include "index.h"

/*
 * QEMU and qemu-snapshot open snapshots through this file and no other way.
 * The pages of a delta cannot be read before fixed_ram_layers_open().
 */

typedef struct FixedRamSnapshot {
    FixedRamSource *source;     /* a reference */
    uint64_t start;             /* file offset where the stream begins */
    FixedRamFileKind kind;
    /* Each of the following holds what was parsed before the first problem. */
    FixedRamStreamHead *head;   /* never NULL */
    uint64_t page_size;         /* of the target; 0: not known */
    FixedRamSuperblock sb;      /* its state is FIXED_RAM_PLAIN without one */
    FixedRamRamSection *ram;    /* NULL: a plain stream, or a problem */
    FixedRamIndex *index;       /* NULL: no index, or a problem */
    /*
     * Of a delta whose layers were opened, see layers.h: @source reads from
     * them and owns this.  Else NULL.
     */
    struct FixedRamLayers *layers;
    /* Why this is no good snapshot, and what that means; NULL: it is good. */
    Error *problem;
    FixedRamVerdict verdict;
    /* See fixed_ram_snapshot_identify(). */
    bool identified;
    uint64_t digest;
} FixedRamSnapshot;

/**
 * fixed_ram_snapshot_examine(): find out what a file is
 *
 * @source: the snapshot takes a reference
 * @start: file offset where the stream begins
 * @page_size: the page size that blocks must have; 0: any that a target has
 *
 * Never fails: whatever is wrong with the file is the snapshot's @problem.  A
 * plain migration stream, whose pages have no fixed offsets, is no problem, but
 * only its head is parsed.  Neither pages nor device state are read.
 *
 * The caller frees the snapshot by fixed_ram_snapshot_free().  A snapshot
 * belongs to one thread at a time.
 */
FixedRamSnapshot *fixed_ram_snapshot_examine(FixedRamSource *source,
                                             uint64_t start,
                                             uint64_t page_size);

/**
 * fixed_ram_snapshot_open(): open a snapshot that QEMU can load
 *
 * Like fixed_ram_snapshot_examine(), but returns NULL and sets @errp if there
 * is a problem, or if the file is a plain migration stream.
 */
FixedRamSnapshot *fixed_ram_snapshot_open(FixedRamSource *source,
                                          uint64_t start, uint64_t page_size,
                                          Error **errp);

/** fixed_ram_snapshot_free(): free @s and drop its source; NULL is fine */
void fixed_ram_snapshot_free(FixedRamSnapshot *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamSnapshot, fixed_ram_snapshot_free)

/**
 * fixed_ram_snapshot_fail(): record a problem, unless there is one already
 *
 * @err: the snapshot owns it from now on
 */
void fixed_ram_snapshot_fail(FixedRamSnapshot *s, FixedRamVerdict verdict,
                             Error *err);

/**
 * fixed_ram_snapshot_identify(): remember what tells @s from other snapshots
 *
 * A snapshot with an index has an identity.  For another one this computes a
 * digest of everything that is not pages: the stream's head, headers, bitmaps,
 * and the state of the devices.  The source is read for that, so do it while
 * the source is good.
 */
bool fixed_ram_snapshot_identify(FixedRamSnapshot *s, Error **errp);

/**
 * fixed_ram_snapshot_same(): is @other a copy of @s?
 *
 * @s: identified by fixed_ram_snapshot_identify(); its source is not read
 * @other: gets identified if it is not yet
 *
 * True if identities, or digests, are equal, and all blocks have the same names
 * and lengths and lie at the same offsets.  Otherwise the error says what
 * differs.
 */
bool fixed_ram_snapshot_same(const FixedRamSnapshot *s,
                             FixedRamSnapshot *other, Error **errp);

#endif

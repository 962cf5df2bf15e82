/*
 * What a snapshot's superblock and index say
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_INDEX_H
#define TEST_FIXED_RAM_INDEX_H

#include "migration/fixed-ram-snapshot.h"

/*
 * A decoder that follows docs/interop/fixed-ram.rst and shares no code with the
 * product.
 */

#define SUPERBLOCK_BYTES            4096
#define SUPERBLOCK_BEING_WRITTEN    1
#define SUPERBLOCK_COMPLETE         2

typedef struct SnapshotSuperblock {
    uint32_t state;
    uint8_t id[16];
    uint64_t start;
    uint64_t stream_end;        /* the fields below are set only if complete */
    uint64_t index_offset;
    uint64_t index_length;
    uint32_t index_crc;
} SnapshotSuperblock;

/*
 * Decodes the superblock at @bytes.  Returns false for zeros; other bytes end
 * the test.
 */
bool snapshot_superblock(const uint8_t *bytes, SnapshotSuperblock *sb);

/*
 * Finds the superblock of a file whose save has only begun: it ends at the
 * first or second MiB.  Returns false if there is none.
 */
bool snapshot_find_superblock(const char *path, SnapshotSuperblock *sb);

typedef struct SnapshotIndex {
    SnapshotSuperblock sb;
    bool has_machine;
    uint64_t time;
    uint64_t ram_bytes;
    uint8_t uuid[16];
    char *machine_type;
    char *version;
    char *name;
    bool has_sums;
    uint64_t table_offset;
    uint64_t table_length;
    bool clean;                 /* zero pages are zero in the file, too */
    bool has_set;               /* a working set */
    uint32_t set_kind;          /* 1: recorded, 2: guessed */
    uint64_t set_pages;
    uint64_t set_runs;
    uint64_t list_offset;
    uint64_t list_sum;
    uint64_t pack_offset;       /* 0: there is no packed copy */
    uint64_t pack_length;
} SnapshotIndex;

/* Decodes the index; fails unless every field is what it must be. */
SnapshotIndex *snapshot_index_open(const Snapshot *s);
void snapshot_index_close(SnapshotIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SnapshotIndex, snapshot_index_close)

/*
 * Fails unless there is a complete index, every sum in it is that of what is in
 * the file, and the file ends with it.
 * @sums: are there sums of content?
 */
void snapshot_check_index(const Snapshot *s, bool sums);

/* Where the stream ends, if the superblock says it: else with the file. */
uint64_t snapshot_stream_end(const Snapshot *s);

/* Fails if there is anything that looks like a superblock. */
void snapshot_check_no_index(const Snapshot *s);

#endif

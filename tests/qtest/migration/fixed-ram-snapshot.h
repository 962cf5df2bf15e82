/*
 * What a snapshot file says a guest consists of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_SNAPSHOT_H
#define TEST_FIXED_RAM_SNAPSHOT_H

/*
 * A decoder that shares no code with the product.  It expects a good file: any
 * error ends the test.
 */

#define SNAPSHOT_PAGE_SIZE 4096

typedef struct SnapshotBlock {
    char name[256];
    uint64_t length;
    uint64_t header_offset;     /* these are in the file */
    uint64_t bitmap_offset;
    uint64_t pages_offset;
    const uint64_t *bitmap;     /* a set bit: the page is in the file */
    const uint8_t *pages;
} SnapshotBlock;

typedef struct Snapshot {
    char *path;
    const uint8_t *data;        /* the whole file */
    size_t size;
    GPtrArray *capabilities;    /* the names in the configuration section */
    GArray *blocks;             /* of SnapshotBlock, in file order */
    size_t total_offset;        /* of the number before the first block */
    size_t ram_end;             /* behind the last block's pages */
    size_t devices;             /* where the devices' sections begin */
    size_t start;               /* of the stream */
    size_t end;                 /* of the stream; an index may follow */
} Snapshot;

/* @offset: where the stream begins in the file */
Snapshot *snapshot_open(const char *path, uint64_t offset);
void snapshot_close(Snapshot *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshot, snapshot_close)

bool snapshot_has_capability(const Snapshot *s, const char *name);
const SnapshotBlock *snapshot_block(const Snapshot *s, const char *name);
const SnapshotBlock *snapshot_largest_block(const Snapshot *s);

/* The page's content: zeros if its bit is clear, whatever the file holds. */
const uint8_t *snapshot_page(const SnapshotBlock *block, uint64_t page);
/* Is the page in the file: is its bit set? */
bool snapshot_page_is_data(const SnapshotBlock *block, uint64_t page);
/* Bytes of the units, of one page or more, that hold a page of data. */
uint64_t snapshot_block_data(const SnapshotBlock *block, uint64_t unit);
uint64_t snapshot_data(const Snapshot *s);
/* Number of pages with a clear bit for which the file holds data. */
uint64_t snapshot_stale_pages(const Snapshot *s);

/*
 * Every byte of every block; but of @block only the pages from @first to
 * before @end, if it is not NULL.
 */
void snapshot_assert_same_ram(const Snapshot *want, const Snapshot *have);
void snapshot_assert_same_range(const Snapshot *want, const Snapshot *have,
                                const char *block, uint64_t first,
                                uint64_t end);

/* The same pages are in the files. */
void snapshot_assert_same_bitmaps(const Snapshot *want, const Snapshot *have);

/*
 * Every byte from the devices' sections to the end of the stream.  Only the
 * name of the state that the VM was in (running, paused) may differ, if
 * @any_runstate.  What differs is told.
 */
bool snapshot_same_devices(const Snapshot *want, const Snapshot *have,
                           bool any_runstate);

#endif

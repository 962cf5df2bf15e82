/*
 * fixed-ram: large writes to a file, some at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_WRITER_H
#define MIGRATION_FIXED_RAM_SAVE_WRITER_H

/*
 * A writer has memory for a few extents: while one is filled others are on
 * their way.  It belongs to one thread.
 *
 * Direct writes go through io_uring, where there is one.  Several threads that
 * wait in pwrite() do not do: a file system lets only one of them allocate
 * space at a time, and ext4 until it has been written.
 *
 * Others go through the page cache, but do not stay there: what else the host
 * has in it is worth more than a snapshot that may never be read.
 */
typedef struct FixedRamWriter FixedRamWriter;

/* Where an extent comes from, for messages, and where it goes to. */
typedef struct FixedRamPlace {
    const char *block;
    uint64_t block_offset;
    uint64_t file_offset;
} FixedRamPlace;

/*
 * An environment variable for tests of what older kernels have us do: without
 * io_uring, and with a page cache that must be emptied by hand.
 */
#define FIXED_RAM_PLAIN_WRITES  "FIXED_RAM_PLAIN_WRITES"

/**
 * fixed_ram_writer_new(): a writer of extents of up to @size bytes
 *
 * @fd: opened with O_DIRECT if @direct
 * @name: the file, for messages; both are the caller's
 */
FixedRamWriter *fixed_ram_writer_new(int fd, const char *name, bool direct,
                                     size_t size, Error **errp);

/** fixed_ram_writer_free(): end it; waits for writes that are under way */
void fixed_ram_writer_free(FixedRamWriter *w);

/**
 * fixed_ram_writer_begin(): the next extent
 *
 * @place: where its first byte goes to
 *
 * Returns memory for it, which may hold anything, or NULL if an earlier write
 * has failed.
 */
uint8_t *fixed_ram_writer_begin(FixedRamWriter *w, const FixedRamPlace *place,
                                Error **errp);

/**
 * fixed_ram_writer_put(): write @length bytes from @start of the extent on
 *
 * They stay as they are until the next extent.  An error may be that of an
 * earlier write; after one the writer can only be freed.
 */
bool fixed_ram_writer_put(FixedRamWriter *w, size_t start, size_t length,
                          Error **errp);

/** fixed_ram_writer_flush(): wait until all has been written */
bool fixed_ram_writer_flush(FixedRamWriter *w, Error **errp);

#endif

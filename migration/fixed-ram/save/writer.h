/*
 * fixed-ram: large writes to a file, several at a time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_WRITER_H
#define MIGRATION_FIXED_RAM_SAVE_WRITER_H

/*
 * A writer has memory for two slices: the caller fills one while the other one
 * is written.  A writer belongs to one thread.
 *
 * Direct writes use io_uring if the host has it.  Threads that wait in pwrite()
 * are slower: a file system lets one thread at a time allocate space, and on
 * ext4 the others wait until its data is written.
 *
 * Buffered writes go through the page cache, but do not stay there: a snapshot
 * may never be read, and other files need the cache.
 *
 * Where the host forbids a system call that only makes writes faster, plain
 * writes are used instead.
 */
typedef struct FixedRamWriter FixedRamWriter;

/* Where the first byte of a slice comes from, for messages, and goes to. */
typedef struct FixedRamWriterPlace {
    const char *block;
    uint64_t block_offset;
    uint64_t file_offset;
} FixedRamWriterPlace;

/*
 * An environment variable for tests of older kernels: no io_uring, and no
 * RWF_DONTCACHE.
 */
#define FIXED_RAM_PLAIN_WRITES  "QEMU_FIXED_RAM_PLAIN_WRITES"

/**
 * fixed_ram_writer_new(): create a writer of slices of up to @size bytes
 *
 * @fd: opened with O_DIRECT if @direct
 * @name: the file, for messages
 * @buffered_fd: the same file, for the writes from the first direct write on
 *               that the file system refuses; -1: that write is an error
 *
 * The caller owns the descriptors and @name; they must stay until
 * fixed_ram_writer_free().
 */
FixedRamWriter *fixed_ram_writer_new(int fd, const char *name, bool direct,
                                     int buffered_fd, size_t size,
                                     Error **errp);

/** fixed_ram_writer_free(): wait for writes under way, and release @w */
void fixed_ram_writer_free(FixedRamWriter *w);

/**
 * fixed_ram_writer_begin(): begin the next slice
 *
 * @place: of the first byte of the slice
 *
 * Returns memory for the slice, whose content is undefined, or NULL if an
 * earlier write has failed.
 */
uint8_t *fixed_ram_writer_begin(FixedRamWriter *w,
                                const FixedRamWriterPlace *place,
                                Error **errp);

/**
 * fixed_ram_writer_put(): write @length bytes from @start of the slice on
 *
 * The caller must not change these bytes before fixed_ram_writer_begin().  The
 * error may be that of an earlier write.  After an error the writer can only be
 * freed.
 */
bool fixed_ram_writer_put(FixedRamWriter *w, size_t start, size_t length,
                          Error **errp);

/** fixed_ram_writer_flush(): wait until all writes have succeeded */
bool fixed_ram_writer_flush(FixedRamWriter *w, Error **errp);

#endif

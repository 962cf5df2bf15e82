/*
 * fixed-ram: page sources, where the bytes of a snapshot come from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SOURCE_H
#define MIGRATION_FIXED_RAM_FORMAT_SOURCE_H

#include "qapi/qapi-types-common.h"

typedef struct FixedRamSource FixedRamSource;

/* The beginning of a range of a source, as far as it lies in one file. */
typedef struct FixedRamSourcePart {
    FixedRamSource *source;     /* of that file; not a reference */
    uint64_t offset;            /* in that file */
    uint64_t length;            /* bytes */
} FixedRamSourcePart;

/* What a kind of source can do.  Functions that may be missing are NULL. */
typedef struct FixedRamSourceOps {
    /*
     * Read @length bytes at @offset.  Returns how many were read, fewer only
     * at the source's end, or a negative errno.  Called by many threads at
     * once.
     */
    ssize_t (*read)(FixedRamSource *source, void *buf, size_t length,
                    uint64_t offset);
    /*
     * As @read, for pages: @buf, @length and @offset are multiples of the
     * snapshot's page size.  If missing, @read is used.
     */
    ssize_t (*read_pages)(FixedRamSource *source, void *buf, size_t length,
                          uint64_t offset);
    /* See fixed_ram_source_part(); if missing, the source is one file. */
    FixedRamSourcePart (*part)(const FixedRamSource *source, uint64_t offset,
                               uint64_t length);
    /* See fixed_ram_source_expect_faults(); if missing, nothing is done. */
    void (*expect_faults)(FixedRamSource *source);
    /* See fixed_ram_source_spare_cache(); if missing, nothing is done. */
    void (*spare_cache)(FixedRamSource *source);
    /* See fixed_ram_source_expect(); if missing, nothing is done. */
    void (*expect)(FixedRamSource *source, uint64_t offset, uint64_t length);
    /* See fixed_ram_source_next_data(); if missing, holes are not known. */
    uint64_t (*next_data)(FixedRamSource *source, uint64_t offset);
    /* See fixed_ram_source_changing(); if missing, no file is. */
    bool (*changing)(FixedRamSource *source);
    /* The number of bytes that there are now; if missing, it never changes. */
    uint64_t (*measure)(FixedRamSource *source);
    /* See fixed_ram_source_is_file(); if missing, the source is no file. */
    bool (*is_file)(const FixedRamSource *source, int fd);
    /* See fixed_ram_source_map_fd(); if missing, it cannot be mapped. */
    int (*map_fd)(const FixedRamSource *source);
    /* See fixed_ram_source_locked(); if missing, there is no lock. */
    bool (*locked)(const FixedRamSource *source);
    /* See fixed_ram_source_unlock(); if missing, there is no lock. */
    void (*unlock)(FixedRamSource *source);
    /*
     * Release locks and descriptors and free @source itself.  The name is
     * freed by the caller.
     */
    void (*close)(FixedRamSource *source);
} FixedRamSourceOps;

/* Nothing but @refs and @size changes once the source is open. */
struct FixedRamSource {
    const FixedRamSourceOps *ops;
    char *name;                 /* for messages: the path, and a set's file */
    char *path;                 /* by which the file can be opened again */
    uint64_t size;              /* in bytes; see fixed_ram_source_measure() */
    unsigned refs;              /* atomic */
};

/**
 * fixed_ram_source_init(): set up a source of any kind, with one reference
 *
 * @name: copied
 */
void fixed_ram_source_init(FixedRamSource *source, const FixedRamSourceOps *ops,
                           const char *name, uint64_t size);

/**
 * fixed_ram_source_open_file(): open a file, or /dev/fdset/N
 *
 * @start: offset in the file where the snapshot begins
 * @direct: read pages by O_DIRECT; an fdset must hold a descriptor with it and
 *          one without, for the metadata.  "auto": copy pages that are in the
 *          host's page cache from there, and read the others by O_DIRECT, so
 *          that the cache stays as it is; where that is not possible read
 *          through the cache.
 *
 * The file must be a regular file.  From @start on it is locked against savers
 * (see lock.h) until the source is closed.
 *
 * Returns a source with one reference, or NULL; then nothing stays locked.
 */
FixedRamSource *fixed_ram_source_open_file(const char *path, uint64_t start,
                                           OnOffAuto direct, Error **errp);

/**
 * fixed_ram_source_new_fd(): a source that reads from an open regular file
 *
 * @fd: the source owns it from now on; the caller locks it
 * @name: for messages
 *
 * Does not fail; a descriptor that cannot be read has no bytes.
 */
FixedRamSource *fixed_ram_source_new_fd(int fd, const char *name);

/** fixed_ram_source_ref(): add a reference and return @source.  Any thread. */
FixedRamSource *fixed_ram_source_ref(FixedRamSource *source);

/**
 * fixed_ram_source_unref(): drop a reference; NULL is fine
 *
 * The last one unlocks and closes the source, which may hang where reads hang.
 * Any thread.
 */
void fixed_ram_source_unref(FixedRamSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamSource, fixed_ram_source_unref)

/**
 * fixed_ram_source_expect_faults(): vCPUs are going to wait for small reads
 *
 * Turns the kernel's read-ahead off: the page that a vCPU waits for would queue
 * behind megabytes that were not asked for.
 */
void fixed_ram_source_expect_faults(FixedRamSource *source);

/**
 * fixed_ram_source_spare_cache(): leave the host's page cache as it is
 *
 * If pages are read past the cache, metadata shall not bring them there either:
 * the kernel reads nothing ahead.
 */
void fixed_ram_source_spare_cache(FixedRamSource *source);

/**
 * fixed_ram_source_expect(): all of this metadata is going to be read
 *
 * Asks the kernel to read it ahead and does not wait.
 */
void fixed_ram_source_expect(FixedRamSource *source, uint64_t offset,
                             uint64_t length);

/**
 * fixed_ram_source_next_data(): the first byte from @offset on in no hole
 *
 * Returns @offset where holes are not known, and the source's size if there are
 * no more data.
 */
uint64_t fixed_ram_source_next_data(FixedRamSource *source, uint64_t offset);

/**
 * fixed_ram_source_changing(): is a process appending to the snapshot?
 *
 * Then a read of the superblock may return parts of the old one and of the new
 * one.
 */
bool fixed_ram_source_changing(FixedRamSource *source);

/**
 * fixed_ram_source_measure(): has the file grown since it was opened?
 *
 * Returns the source's size, after updating it.  No other thread may use the
 * source yet.
 */
uint64_t fixed_ram_source_measure(FixedRamSource *source);

/**
 * fixed_ram_source_is_file(): is @fd a descriptor of the file behind @source?
 *
 * The source's name may mean another file by now.
 */
bool fixed_ram_source_is_file(const FixedRamSource *source, int fd);

/**
 * fixed_ram_source_map_fd(): a descriptor by which the source can be mapped
 *
 * It remains the source's.  Returns -1 if the source is not one file.
 */
int fixed_ram_source_map_fd(const FixedRamSource *source);

/**
 * fixed_ram_source_locked(): is the file locked against savers?
 *
 * Not on file systems that have no locks.
 */
bool fixed_ram_source_locked(const FixedRamSource *source);

/**
 * fixed_ram_source_unlock(): release the lock before the source is closed
 *
 * Other threads may have references to the source and read it.
 */
void fixed_ram_source_unlock(FixedRamSource *source);

/**
 * fixed_ram_source_was_cut(): is the file shorter than when it was opened?
 *
 * Any thread.
 */
bool fixed_ram_source_was_cut(FixedRamSource *source);

/**
 * fixed_ram_source_read(): read metadata, all of it, or fail
 *
 * The error names the source and the offset.  Any thread.
 */
bool fixed_ram_source_read(FixedRamSource *source, void *buf, size_t length,
                           uint64_t offset, Error **errp);

/**
 * fixed_ram_source_read_pages(): the same for the content of pages
 *
 * The pages of a delta may lie in several files; the error names the one that
 * cannot be read, and the offset there.
 */
bool fixed_ram_source_read_pages(FixedRamSource *source, void *buf,
                                 size_t length, uint64_t offset,
                                 Error **errp);

/**
 * fixed_ram_source_part(): the file that has pages at @offset of @source
 *
 * The part begins at @offset and has at most @length bytes, at least one page.
 * Any thread.
 */
FixedRamSourcePart fixed_ram_source_part(FixedRamSource *source,
                                         uint64_t offset, uint64_t length);

#endif

/*
 * fixed-ram: page sources, where the bytes of a snapshot come from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SOURCE_H
#define MIGRATION_FIXED_RAM_FORMAT_SOURCE_H

typedef struct FixedRamSource FixedRamSource;

/* What a kind of source must know how to do. */
typedef struct FixedRamSourceOps {
    /*
     * Read @length bytes at @offset.  Returns how many were read, fewer only
     * where the source ends, or a negative errno.  Called by many threads at
     * once.
     */
    ssize_t (*read)(FixedRamSource *source, void *buf, size_t length,
                    uint64_t offset);
    /*
     * As @read, for pages: @buf, @length and @offset are multiples of the
     * snapshot's page size.  NULL: use @read.
     */
    ssize_t (*read_pages)(FixedRamSource *source, void *buf, size_t length,
                          uint64_t offset);
    /* See fixed_ram_source_expect_faults(); NULL: makes no difference. */
    void (*expect_faults)(FixedRamSource *source);
    /* See fixed_ram_source_expect(); NULL: makes no difference. */
    void (*expect)(FixedRamSource *source, uint64_t offset, uint64_t length);
    /* See fixed_ram_source_is_file(); NULL: it is none. */
    bool (*is_file)(const FixedRamSource *source, int fd);
    /* Do both have the same lock?  NULL: they do not. */
    bool (*shares_lock)(const FixedRamSource *source,
                        const FixedRamSource *other);
    /* See fixed_ram_source_unlock(); NULL: nothing is locked. */
    void (*unlock)(FixedRamSource *source);
    /* Free what belongs to this kind and @source itself. */
    void (*close)(FixedRamSource *source);
} FixedRamSourceOps;

struct FixedRamSource {
    const FixedRamSourceOps *ops;
    char *name;                 /* for messages: the file's path */
    uint64_t size;              /* bytes, when it was opened */
    unsigned refs;              /* besides the first one; atomic */
    bool lock_handed_over;      /* another source unlocks; atomic */
};

/**
 * fixed_ram_source_open_file(): a file, or /dev/fdset/N
 *
 * @start: where the snapshot begins in the file
 * @direct: read pages by O_DIRECT; an fdset must hold a descriptor with it
 *          and one without, for the metadata
 *
 * What is opened must be a regular file.  From @start on it is locked against
 * those who write snapshots (see lock.h), until it is closed.
 */
FixedRamSource *fixed_ram_source_open_file(const char *path, uint64_t start,
                                           bool direct, Error **errp);

/**
 * fixed_ram_source_expect_faults(): somebody waits for small reads
 *
 * Turns the host's read-ahead off: a page that is needed now would queue
 * behind megabytes that nobody has asked for.
 */
void fixed_ram_source_expect_faults(FixedRamSource *source);

/**
 * fixed_ram_source_expect(): metadata that will be read, all of it
 *
 * Has the host read it ahead; does not wait for that.
 */
void fixed_ram_source_expect(FixedRamSource *source, uint64_t offset,
                             uint64_t length);

/**
 * fixed_ram_source_is_file(): is @fd a descriptor of the file behind @source?
 *
 * The name may stand for another one by now.
 */
bool fixed_ram_source_is_file(const FixedRamSource *source, int fd);

/**
 * fixed_ram_source_unlock(): nothing more will be read from @source
 *
 * Before it is closed: a descriptor of a set shares its lock with all others
 * that were made of it, and those may live on.
 */
void fixed_ram_source_unlock(FixedRamSource *source);

/**
 * fixed_ram_source_hand_over_lock(): @next is used in the place of @source
 *
 * Two duplicates of one descriptor have one lock between them.  If @source and
 * @next are such, closing @source leaves the lock to @next.
 */
void fixed_ram_source_hand_over_lock(FixedRamSource *source,
                                     const FixedRamSource *next);

/** fixed_ram_source_close(): release @source; NULL is fine. */
void fixed_ram_source_close(FixedRamSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamSource, fixed_ram_source_close)

/** fixed_ram_source_ref(): one more user of @source.  Any thread. */
FixedRamSource *fixed_ram_source_ref(FixedRamSource *source);

/**
 * fixed_ram_source_unref(): one user less; the last one unlocks and closes it
 *
 * Both may take for ever where reads do.  Any thread.
 */
void fixed_ram_source_unref(FixedRamSource *source);

/**
 * fixed_ram_source_read(): read metadata, all of it or fail
 *
 * The error names the source and the offset.  Any thread.
 */
bool fixed_ram_source_read(FixedRamSource *source, void *buf, size_t length,
                           uint64_t offset, Error **errp);

/** fixed_ram_source_read_pages(): the same for the content of pages. */
bool fixed_ram_source_read_pages(FixedRamSource *source, void *buf,
                                 size_t length, uint64_t offset,
                                 Error **errp);

#endif

/*
 * qemu-snapshot: the file that a command writes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_WRITER_H
#define MIGRATION_FIXED_RAM_TOOL_WRITER_H

#include "../format/source.h"

/* All fields belong to the thread that runs the command. */
typedef struct ToolWriter {
    int fd;
    char *name;                 /* its path, or what stands for it */
    uint64_t start;             /* bytes before this offset stay as they are */
    bool created;               /* the file did not exist before */
    bool locked;                /* by fixed_ram_lock_exclusive() */
    bool is_stream;             /* a pipe or a device: only writes in order */
} ToolWriter;

/**
 * tool_writer_open(): open or create the file @path for writing
 *
 * @start: where writing will begin, in bytes
 * @in: the source that the command reads; must be another file
 *
 * Changes nothing in a file that exists.  The whole file is locked: fails if
 * another process uses it as a snapshot, or QEMU's block layer as a disk image.
 * A pipe or a character device is not locked.
 *
 * Returns NULL on failure.  Free the result with tool_writer_close().
 */
ToolWriter *tool_writer_open(const char *path, uint64_t start,
                             const FixedRamSource *in, Error **errp);

/**
 * tool_writer_stdout(): write to standard output, as to a pipe
 *
 * Otherwise like tool_writer_open().
 */
ToolWriter *tool_writer_stdout(const FixedRamSource *in, Error **errp);

/**
 * tool_writer_empty(): drop what the file holds from @start on
 *
 * @size: the file's new length in bytes; all from @start on is a hole
 *
 * Must not be called for a stream.  A file system that has no files of this
 * length refuses before anything is dropped.
 */
bool tool_writer_empty(ToolWriter *w, uint64_t size, Error **errp);

/**
 * tool_writer_put(): write @length bytes at @offset of the file
 *
 * In a stream @offset must follow what was written before.
 */
bool tool_writer_put(ToolWriter *w, const void *buf, size_t length,
                     uint64_t offset, Error **errp);

/**
 * tool_writer_close(): close the file and free @w; NULL is fine
 *
 * @good: everything was written; if not, a file that was created is removed
 */
bool tool_writer_close(ToolWriter *w, bool good, Error **errp);

#endif

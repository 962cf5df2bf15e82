/*
 * qemu-snapshot: a snapshot's file that is being written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_WRITER_H
#define MIGRATION_FIXED_RAM_TOOL_WRITER_H

#include "../format/source.h"

typedef struct ToolWriter {
    int fd;
    char *name;                 /* the file's path */
    uint64_t start;             /* where the stream begins */
    bool created;               /* it was not there before */
} ToolWriter;

/**
 * tool_writer_open(): make a file, or empty one from @start on
 *
 * @in: must be another file
 *
 * It is locked: fails if it is being loaded, or written by others.
 */
ToolWriter *tool_writer_open(const char *path, uint64_t start,
                             const FixedRamSource *in, Error **errp);

/**
 * tool_writer_close(): end of writing; NULL is fine
 *
 * @good: all is there; if not, a file that is new goes
 */
bool tool_writer_close(ToolWriter *w, bool good, Error **errp);

/** tool_writer_put(): write at an offset of the file */
bool tool_writer_put(ToolWriter *w, const void *buf, size_t length,
                     uint64_t offset, Error **errp);

#endif

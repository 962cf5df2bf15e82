/*
 * qemu-snapshot: open a file of any kind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_FILE_H
#define MIGRATION_FIXED_RAM_TOOL_FILE_H

#include "../format/libvirt.h"
#include "../format/snapshot.h"
#include "../format/sumtable.h"
#include "plain.h"

/* A RAM block of a file of any kind. */
typedef struct ToolBlock {
    const char *name;
    uint64_t length;            /* bytes */
    uint64_t page_size;
    uint64_t pages;
    unsigned long *data;        /* a bit a page: it has data */
    uint64_t data_pages;        /* number of bits that are set */
    uint64_t pages_offset;      /* in the file; 0 in plain streams */
    const ToolPlainBlock *plain;    /* NULL unless it is a plain stream */
    uint64_t first_cluster;     /* its number in the table of checksums */
} ToolBlock;

/* Does not change after tool_file_verify(), so any thread may read it. */
typedef struct ToolFile {
    FixedRamSnapshot *snapshot; /* its source is a tool_watch_new() */
    uint64_t allocated;         /* bytes that the file takes on disk */
    FixedRamLibvirt *libvirt;   /* NULL: no header of libvirt */
    FixedRamSumTable *table;    /* NULL: no sums, in the file or the build */
    ToolPlain *plain;           /* NULL: no plain stream, or a problem */
    GPtrArray *blocks;          /* of ToolBlock; fewer if there is a problem */
} ToolFile;

/**
 * tool_file_open(): open a file, lock it for reading, and examine it
 *
 * @name: a path, or file:PATH, or file:PATH,offset=N
 * @offset: where the stream begins, unless @name has an offset; 0: at the
 *          file's start, or behind the header of libvirt
 *
 * Returns NULL if the file cannot be opened.  Anything else that is wrong with
 * it is its snapshot's problem.  Close the file with tool_file_close().
 */
ToolFile *tool_file_open(const char *name, uint64_t offset, Error **errp);

/**
 * tool_file_open_alone(): like tool_file_open(), but without a delta's layers
 *
 * Pages of a delta cannot be read then.
 */
ToolFile *tool_file_open_alone(const char *name, uint64_t offset, Error **errp);

/**
 * tool_file_open_layers(): open the layers of a delta, so that it can be read
 *
 * Does nothing for a file without layers.  A failure is the snapshot's problem.
 */
void tool_file_open_layers(ToolFile *file);

/**
 * tool_file_verify(): verify everything but pages, if there are checksums
 *
 * Returns false if the file has a problem, found now or before.
 */
bool tool_file_verify(ToolFile *file);

/** tool_file_open_good(): open and verify; NULL if there is a problem */
ToolFile *tool_file_open_good(const char *name, uint64_t offset, Error **errp);

/**
 * tool_file_examine(): examine a source, without opening or locking a file
 *
 * @source: the file takes the caller's reference
 * @start: where the stream begins; 0: at the file's start, or behind the header
 *         of libvirt
 */
ToolFile *tool_file_examine(FixedRamSource *source, uint64_t start);

void tool_file_close(ToolFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ToolFile, tool_file_close)

/**
 * tool_file_parse_name(): the path that @name stands for
 *
 * @offset: changed only if @name has an offset
 *
 * Returns NULL if @name is no name of a file.  The caller frees the path.
 */
char *tool_file_parse_name(const char *name, uint64_t *offset, Error **errp);

static inline ToolBlock *tool_file_block(const ToolFile *file, size_t i)
{
    return g_ptr_array_index(file->blocks, i);
}

/** tool_file_find(): the block with this name, or NULL */
ToolBlock *tool_file_find(const ToolFile *file, const char *name);

/** tool_file_find_or_fail(): the same, with an error that lists all blocks */
ToolBlock *tool_file_find_or_fail(const ToolFile *file, const char *name,
                                  Error **errp);

/** tool_file_ram_end(): file offset behind RAM; only without a problem */
uint64_t tool_file_ram_end(const ToolFile *file);

#endif

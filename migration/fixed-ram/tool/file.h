/*
 * qemu-snapshot: a file of any kind, opened
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_FILE_H
#define MIGRATION_FIXED_RAM_TOOL_FILE_H

#include "../format/snapshot.h"
#include "../format/sumtable.h"
#include "plain.h"

/* A RAM block of a file of any kind. */
typedef struct ToolBlock {
    const char *name;
    uint64_t length;            /* bytes */
    uint64_t page_size;
    uint64_t pages;
    unsigned long *data;        /* a bit a page: it is not zero */
    uint64_t data_pages;        /* bits set */
    uint64_t pages_offset;      /* not in plain streams */
    const ToolPlainBlock *plain;    /* in plain streams only */
    uint64_t first_cluster;     /* in the table of sums */
} ToolBlock;

typedef struct ToolFile {
    /* What QEMU sees; its source is a tool_watch_new(). */
    FixedRamSnapshot *snapshot;
    uint64_t allocated;         /* bytes that the file takes on disk */
    FixedRamSumTable *table;    /* NULL: no sums, in the file or the build */
    ToolPlain *plain;           /* NULL: no plain stream, or a problem */
    GPtrArray *blocks;          /* of ToolBlock; fewer if there is a problem */
} ToolFile;

/**
 * tool_file_open(): open a file and find out what it is
 *
 * @name: a path, or file:PATH, or file:PATH,offset=N
 * @offset: where the stream begins, where @name does not say it
 * @direct: read pages by O_DIRECT where that is possible
 *
 * It is locked for reading.  Fails if it cannot be read at all; what else is
 * wrong with it is the file's problem.
 */
ToolFile *tool_file_open(const char *name, uint64_t offset, bool direct,
                         Error **errp);

/**
 * tool_file_verify(): verify all but the pages, where there is something to
 * verify it by
 *
 * Returns false if there is a problem.
 */
bool tool_file_verify(ToolFile *file);

/** tool_file_open_good(): open and verify; fails if there is a problem */
ToolFile *tool_file_open_good(const char *name, uint64_t offset, bool direct,
                              Error **errp);

/** tool_file_examine(): what tool_file_open() does once @source is open */
ToolFile *tool_file_examine(FixedRamSource *source, uint64_t start);

void tool_file_close(ToolFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ToolFile, tool_file_close)

/** tool_file_parse_name(): a path out of @name; maybe another @offset */
char *tool_file_parse_name(const char *name, uint64_t *offset, Error **errp);

static inline ToolBlock *tool_file_block(const ToolFile *file, size_t i)
{
    return g_ptr_array_index(file->blocks, i);
}

/** tool_file_find(): the block called @name, or NULL */
ToolBlock *tool_file_find(const ToolFile *file, const char *name);

/** tool_file_find_or_fail(): the same, or an error that names all */
ToolBlock *tool_file_find_or_fail(const ToolFile *file, const char *name,
                                  Error **errp);

/** tool_file_ram_end(): where the stream goes on after RAM */
uint64_t tool_file_ram_end(const ToolFile *file);

#endif

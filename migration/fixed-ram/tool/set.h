/*
 * qemu-snapshot: the working set of a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_SET_H
#define MIGRATION_FIXED_RAM_TOOL_SET_H

#include "../format/working-set.h"
#include "file.h"

/**
 * tool_set_read(): read and check the list of a file's working set
 *
 * Returns NULL if the file has no set, or one that cannot be used.  The caller
 * frees the result.
 */
FixedRamWorkingSet *tool_set_read(const ToolFile *file, Error **errp);

/**
 * tool_set_verify(): is a file's working set what its writer meant?
 *
 * Compares the list with the bitmaps, and each page of the packed copy with the
 * page in its own place.  Fails if a file has no set.
 */
bool tool_set_verify(const ToolFile *file, Error **errp);

/**
 * tool_set_copy(): give @to the working set of @from, by names of blocks
 *
 * @pack: with a packed copy, of pages of @to
 *
 * Blocks that @to does not have are left out.
 */
bool tool_set_copy(const ToolFile *from, const ToolFile *to, bool pack,
                   Error **errp);

/** tool_set_show(): print a set; @json, or else a picture in @ascii or not */
bool tool_set_show(const ToolFile *file, bool json, bool ascii, Error **errp);

/** tool_time_text(): seconds since 1970 as text; the caller frees it */
char *tool_time_text(uint64_t seconds);

#endif

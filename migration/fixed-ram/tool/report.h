/*
 * qemu-snapshot: what commands do, apart from command lines and printing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_REPORT_H
#define MIGRATION_FIXED_RAM_TOOL_REPORT_H

#include "file.h"

/** tool_info_file(): what info prints; the caller frees it */
FixedRamFileInfo *tool_info_file(const ToolFile *file);

/**
 * tool_check_file(): verify @file; the caller frees the result
 *
 * @threads: how many threads read the file
 */
FixedRamCheckInfo *tool_check_file(ToolFile *file, unsigned threads);

/** tool_merge_delta(): write the delta @from as the full snapshot @to */
bool tool_merge_delta(const char *from, const char *to, Error **errp);

/**
 * tool_rebase_delta(): write into the delta @name that a layer is @base
 *
 * @unsafe: it is layer number 1, and need not be there
 */
bool tool_rebase_delta(const char *name, const char *base, bool unsafe,
                       Error **errp);

#endif

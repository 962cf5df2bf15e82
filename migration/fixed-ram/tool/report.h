/*
 * qemu-snapshot: the results of commands, before they are printed
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

#endif

/*
 * qemu-snapshot: what commands find out, before it is shown
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_REPORT_H
#define MIGRATION_FIXED_RAM_TOOL_REPORT_H

#include "file.h"

/** tool_info_file(): what info shows */
FixedRamFileInfo *tool_info_file(const ToolFile *file);

/**
 * tool_check_file(): what check shows
 *
 * @threads: how many read the file
 */
FixedRamCheckInfo *tool_check_file(ToolFile *file, unsigned threads);

#endif

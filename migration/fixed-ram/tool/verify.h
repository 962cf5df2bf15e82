/*
 * qemu-snapshot check: read all pages and verify them, with several threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_VERIFY_H
#define MIGRATION_FIXED_RAM_TOOL_VERIFY_H

#include "file.h"

/**
 * tool_verify_pages(): verify all pages of a file that has checksums
 *
 * @threads: at most so many threads read the file; fewer if the host's limits
 *           forbid them
 * @info: gets the damaged ranges and the amounts
 *
 * Shows progress if the command does.
 */
void tool_verify_pages(const ToolFile *file, unsigned threads,
                       FixedRamCheckInfo *info);

#endif

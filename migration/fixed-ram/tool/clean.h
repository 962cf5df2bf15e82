/*
 * qemu-snapshot check: is the place of a zero page empty?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_CLEAN_H
#define MIGRATION_FIXED_RAM_TOOL_CLEAN_H

#include "file.h"

/**
 * tool_clean_verify(): do all pages with a clear bit read as zeros?
 *
 * @file: a snapshot without a problem
 *
 * Holes of the file are not read.  The error names the first page that does
 * not, or says why the file cannot be read.
 */
bool tool_clean_verify(const ToolFile *file, Error **errp);

#endif

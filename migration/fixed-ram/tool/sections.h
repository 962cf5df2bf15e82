/*
 * qemu-snapshot info: the sections of an index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_SECTIONS_H
#define MIGRATION_FIXED_RAM_TOOL_SECTIONS_H

#include "qapi/qapi-types-fixed-ram.h"
#include "file.h"

/**
 * tool_sections(): list the sections of @file's index
 *
 * Sections that this version does not know are listed by their numbers.  NULL
 * if there is no index or if it is damaged.  The caller frees the list.
 */
FixedRamFileSectionList *tool_sections(const ToolFile *file);

#endif

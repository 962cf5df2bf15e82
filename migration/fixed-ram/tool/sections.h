/*
 * qemu-snapshot: which sections an index has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_SECTIONS_H
#define MIGRATION_FIXED_RAM_TOOL_SECTIONS_H

#include "qapi/qapi-types-fixed-ram.h"
#include "file.h"

/**
 * tool_sections(): the sections of @file's index, those of other versions too
 *
 * As far as they can be told; the caller frees the list.
 */
FixedRamFileSectionList *tool_sections(const ToolFile *file);

#endif

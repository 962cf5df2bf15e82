/*
 * qemu-snapshot info: the command that loads a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_COMMAND_LINE_H
#define MIGRATION_FIXED_RAM_TOOL_COMMAND_LINE_H

#include "qapi/qapi-builtin-types.h"
#include "file.h"

/**
 * tool_command_line(): the words of a command that loads @file
 *
 * NULL: the snapshot does not say.  The caller frees the list.
 */
strList *tool_command_line(const ToolFile *file);

/**
 * tool_command_line_print(): print the command, to be pasted into a shell
 *
 * Returns false with an error if the snapshot does not say.
 */
bool tool_command_line_print(const ToolFile *file, Error **errp);

#endif

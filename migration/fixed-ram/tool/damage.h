/*
 * qemu-snapshot check: damaged clusters, collected into ranges
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_DAMAGE_H
#define MIGRATION_FIXED_RAM_TOOL_DAMAGE_H

#include "block.h"

/* A cluster that is not what was saved, or that cannot be read. */
typedef struct ToolDamage {
    size_t block;               /* number of its block in the file */
    ToolBad bad;
    bool unreadable;            /* the disk failed; the file may be good */
    char *error;                /* the message of @bad's error, or NULL */
} ToolDamage;

/** tool_damage_new(): an empty list; the caller drops its reference */
GArray *tool_damage_new(void);

/**
 * tool_damage_add(): add a cluster to @list
 *
 * @damage: its error message is set here; the error itself is freed
 *
 * Only the first messages of a list are kept.  The caller keeps other threads
 * from using @list.
 */
void tool_damage_add(GArray *list, ToolDamage damage);

/**
 * tool_damage_report(): put ranges and sums of bytes into @info
 *
 * Sorts @list.  Neighbouring clusters become one range.
 */
void tool_damage_report(GArray *list, const ToolFile *file,
                        FixedRamCheckInfo *info);

#endif

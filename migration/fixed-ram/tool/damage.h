/*
 * qemu-snapshot: what of RAM is not good, as ranges
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_DAMAGE_H
#define MIGRATION_FIXED_RAM_TOOL_DAMAGE_H

#include "block.h"

/* A cluster that is not good. */
typedef struct ToolDamage {
    size_t block;               /* its number in the file */
    ToolBad bad;
    bool unreadable;
    char *error;                /* why there is no sum; or NULL */
} ToolDamage;

/** tool_damage_new(): an empty list */
GArray *tool_damage_new(void);

/** tool_damage_add(): @error is taken over; kept if it is one of the first */
void tool_damage_add(GArray *list, ToolDamage damage, Error *error);

/**
 * tool_damage_report(): put what was found into @info
 *
 * Sorts @list; clusters that lie side by side become a range.
 */
void tool_damage_report(GArray *list, const ToolFile *file,
                        FixedRamCheckInfo *info);

#endif

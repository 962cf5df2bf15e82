/*
 * qemu-snapshot: a source that remembers whether a read has failed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_WATCH_H
#define MIGRATION_FIXED_RAM_TOOL_WATCH_H

#include "../format/source.h"

/*
 * An Error does not say whether the file is damaged or the disk has failed.
 * The check command has different exit statuses for the two.
 */

/** tool_watch_new(): a source that reads from @inner and owns it */
FixedRamSource *tool_watch_new(FixedRamSource *inner);

/**
 * tool_watch_failed(): has a read failed since the last call?
 *
 * Only reads by the calling thread count, through any such source.
 */
bool tool_watch_failed(void);

#endif

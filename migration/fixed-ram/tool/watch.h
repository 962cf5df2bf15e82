/*
 * qemu-snapshot: a source that remembers if it could not be read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_WATCH_H
#define MIGRATION_FIXED_RAM_TOOL_WATCH_H

#include "../format/source.h"

/*
 * The rooms below report a file that is damaged and a disk that fails in the
 * same way, by an Error.  Who checks a file wants to tell them apart.
 */

/** tool_watch_new(): a source that reads from @inner, which it owns */
FixedRamSource *tool_watch_new(FixedRamSource *inner);

/**
 * tool_watch_failed(): did a read fail since this was last asked?
 *
 * One of the calling thread, through any such source.
 */
bool tool_watch_failed(void);

#endif

/*
 * qemu-snapshot: the description of devices at a stream's end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_DESCRIPTION_H
#define MIGRATION_FIXED_RAM_TOOL_DESCRIPTION_H

#include "qobject/qdict.h"
#include "../format/source.h"

/*
 * Devices' state has no length in the stream, so its end is not found by
 * reading along.  But behind it QEMU writes a description in JSON, for people
 * and tools: a mark, a length, the text, and nothing after that.  (A machine
 * can be told to leave it out: suppress-vmdesc.)
 */

/**
 * tool_description_find(): look for it
 *
 * @from: where RAM's sections end
 * @end: in: where the stream ends; 0: not known.  Out: where it ends, the
 *       file's end if there is no description
 *
 * Returns NULL if there is none.
 */
QDict *tool_description_find(FixedRamSource *source, uint64_t from,
                             uint64_t *end, Error **errp);

#endif

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
 * The stream does not say how long the state of a device is, so a reader that
 * does not know the devices cannot find the stream's end.  But at the end QEMU
 * writes a description of the devices in JSON: a mark, a length, the text.
 * (The machine property suppress-vmdesc leaves it out.)
 */

/**
 * tool_description_find(): find and parse the description
 *
 * @from: offset in the file where RAM's sections end
 * @end: in: where the stream ends; 0: unknown.  Out: where it ends; the file's
 *       end if there is no description
 *
 * Returns NULL without an error if there is no description, and NULL with an
 * error if the file cannot be read.  The caller drops the reference.
 */
QDict *tool_description_find(FixedRamSource *source, uint64_t from,
                             uint64_t *end, Error **errp);

#endif

/*
 * fixed-ram: the space behind the stream that belongs to a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SPACE_H
#define MIGRATION_FIXED_RAM_FORMAT_SPACE_H

#include "index-types.h"

/*
 * Any program may use the bytes behind a snapshot, so an appender must not take
 * what looks unused.  The index's section SPACE says which range of the file
 * belongs to the snapshot; what no other section refers to is free there.
 *
 * A loader has read an index at some time, and may go on to use the parts that
 * this index refers to.  So only an appender that is alone may use or give back
 * what is free.
 */

/** fixed_ram_space_read(): parse and check the section's fields */
void fixed_ram_space_read(FixedRamReader *r, const FixedRamSuperblock *sb,
                          FixedRamIndexSpace *space);

/**
 * fixed_ram_space_free(): what is free
 *
 * Returns ranges in ascending order, an array of FixedRamIndexSpace; the caller
 * drops its reference.  Nothing is free if the index has sections that are not
 * known here, or a working set that is not understood.
 */
GArray *fixed_ram_space_free(const FixedRamIndex *index,
                             const FixedRamSuperblock *sb);

/** fixed_ram_space_used_end(): the offset behind the last part in use */
uint64_t fixed_ram_space_used_end(const FixedRamIndex *index,
                                  const FixedRamSuperblock *sb);

/** fixed_ram_space_end(): the offset behind a range */
static inline uint64_t fixed_ram_space_end(const FixedRamIndexSpace *space)
{
    return space->offset + space->length;
}

#endif

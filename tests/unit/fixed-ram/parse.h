/*
 * fixed-ram: parse one part of a snapshot, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_PARSE_H
#define TESTS_UNIT_FIXED_RAM_PARSE_H

#include "qapi/error.h"
#include "migration/fixed-ram/format/superblock.h"

/** parse_ram(): head and section of RAM; NULL on failure */
static inline FixedRamRamSection *parse_ram(FixedRamSource *source,
                                            uint64_t start, uint64_t page_size,
                                            Error **errp)
{
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, start, 4096);
    g_autoptr(FixedRamStreamHead) head = fixed_ram_stream_read_head(r);
    FixedRamRamSection *ram = NULL;

    if (!r->error) {
        ram = fixed_ram_ramsection_read(r, start, head, page_size);
    }
    if (r->error) {
        error_propagate(errp, g_steal_pointer(&r->error));
    }
    return ram;
}

/** parse_superblock(): the superblock of the stream that @ram belongs to */
static inline bool parse_superblock(FixedRamSource *source,
                                    const FixedRamRamSection *ram,
                                    FixedRamSuperblock *sb, Error **errp)
{
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, ram->start,
                                                       4096);

    if (!fixed_ram_superblock_read(r, ram, sb)) {
        error_propagate(errp, g_steal_pointer(&r->error));
        return false;
    }
    return true;
}

#endif

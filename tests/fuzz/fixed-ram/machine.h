/*
 * fixed-ram: a machine that is nothing but memory, for fuzzing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_MACHINE_H
#define TESTS_FUZZ_FIXED_RAM_MACHINE_H

#include "migration/fixed-ram/engine/map.h"
#include "migration/fixed-ram/format/ramsection.h"

#define MACHINE_BLOCKS  3
/* Pages of the resizable block that are more than an extent. */
#define MACHINE_LARGE   604

typedef struct MachineBlock {
    const char *name;
    unsigned pages;
    unsigned max_pages;
    bool resizable;
} MachineBlock;

extern const MachineBlock machine_blocks[MACHINE_BLOCKS];

typedef struct Machine {
    uint8_t *host[MACHINE_BLOCKS];      /* max_pages each */
} Machine;

/** machine_init(): map its memory, for good. */
void machine_init(Machine *m);

/** machine_match(): does the snapshot fit? */
bool machine_match(const FixedRamRamSection *ram, Error **errp);

/**
 * machine_map(): read the bitmaps of a snapshot that fits
 *
 * @unit: what comes at once, in blocks that it is a divisor of
 */
FixedRamMap *machine_map(const Machine *m, const FixedRamRamSection *ram,
                         FixedRamSource *source, uint64_t unit, Error **errp);

/** machine_soil(): leave in the blocks what was there before the load. */
void machine_soil(const FixedRamMap *map);

/** machine_zero(): as a load does that is eager: what has no data is zero. */
void machine_zero(const FixedRamMap *map);

/** machine_empty(): as a load on demand does: nothing is there. */
void machine_empty(const FixedRamMap *map);

#endif

/*
 * fixed-ram: a file and memory for unit tests of mappings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef FIXED_RAM_MAPPING_RIG_H
#define FIXED_RAM_MAPPING_RIG_H

#include "blocks.h"
#include "migration/fixed-ram/engine/mapping.h"

#define PAGES           2048ULL         /* of the block; four extents */
#define LENGTH          (PAGES * PAGE)
#define PAGES_OFFSET    (3 * PAGE)      /* of the block in the file */
#define OLD             0xee            /* bytes in the place of zero pages */
#define MANY            1000            /* more covers than a test needs */

typedef struct MappingRig {
    int fd;
    FixedRamSource *source;     /* of the same file */
    FixedRamMap *map;
    FixedRamBlock *block;
    uint8_t *host;              /* the guest's memory, at first anonymous */
    FixedRamMapping *mapping;
} MappingRig;

/* Which pages have data. */
bool mapping_every_third(uint64_t page);
bool mapping_all(uint64_t page);
bool mapping_none(uint64_t page);
/* The second and third extent are zero. */
bool mapping_ends(uint64_t page);

/* @holds: has this page data?  @old: the others have old bytes in the file. */
void mapping_setup(MappingRig *f, bool (*holds)(uint64_t page), bool old);
void mapping_teardown(MappingRig *f);
/* Other memory, as long as the block; munmap() frees it. */
void *mapping_memory(void);

/* The memory becomes a mapping of the file; see fixed_ram_mapping_new(). */
void mapping_map(MappingRig *f, bool clean, size_t limit);

/* The memory holds what it must. */
void mapping_check(const MappingRig *f, const uint8_t *host);

/* All bytes of page @page, which has data. */
uint8_t mapping_content(uint64_t page);
void mapping_write_page(const MappingRig *f, uint64_t page, uint8_t value);
bool mapping_page_is(const uint8_t *page, uint8_t value);

#endif

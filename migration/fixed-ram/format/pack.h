/*
 * fixed-ram: collect pages of a snapshot that lie anywhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_PACK_H
#define MIGRATION_FIXED_RAM_FORMAT_PACK_H

#include "snapshot.h"
#include "sumtable.h"
#include "../util/buffer.h"

/* A page with data, and where its content goes. */
typedef struct FixedRamPackPage {
    uint32_t block;             /* number, as in the index */
    uint32_t place;             /* in the output, in pages */
    uint64_t page;              /* number in the block */
} FixedRamPackPage;

/* One thread uses it. */
typedef struct FixedRamPacker {
    const FixedRamSnapshot *s;  /* has an index; belongs to the caller */
    unsigned long *const *data; /* the blocks' bitmaps; likewise */
    FixedRamSumTable *table;    /* NULL: nothing can be verified */
    FixedRamBuffer cluster;
    bool (*go_on)(void *opaque);    /* asked before each cluster; NULL: yes */
    void *opaque;
} FixedRamPacker;

/**
 * fixed_ram_packer_init(): prepare to collect pages of @s
 *
 * End it by fixed_ram_packer_destroy(), also after a failure.
 */
bool fixed_ram_packer_init(FixedRamPacker *packer, const FixedRamSnapshot *s,
                           unsigned long *const *data, Error **errp);
void fixed_ram_packer_destroy(FixedRamPacker *packer);

/**
 * fixed_ram_packer_collect(): read @count pages to @out, each to its place
 *
 * @pages: gets sorted, so that each cluster is read once, in the order of the
 *         file
 *
 * Clusters are compared with their checksums.  Fails if one cannot be read or
 * is damaged, or if @go_on says so.
 */
bool fixed_ram_packer_collect(FixedRamPacker *packer, FixedRamPackPage *pages,
                              size_t count, uint8_t *out, Error **errp);

#endif

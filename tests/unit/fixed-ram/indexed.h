/*
 * fixed-ram: a snapshot with an index that can be spoilt, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_INDEXED_H
#define TESTS_UNIT_FIXED_RAM_INDEXED_H

#include "migration/fixed-ram/format/index.h"
#include "image-index.h"

/* Where its stream begins if nothing else is said. */
#define START       70001

/* Where fields lie in their sections. */
#define NAMES_AT    32          /* in MACHINE */
#define BLOCK0      8           /* in BLOCKS */
#define BLOCK1      64
#define HEAD        8           /* in STREAM */
#define TAIL        40
#define BITMAP_SUMS 32          /* in SUMS */
#define CHUNK_SUMS  56

typedef struct Fixture {
    Image *img;
    ImageIndex at;
} Fixture;

/** setup(): a complete snapshot with content. */
void setup(Fixture *f);
void setup_as(Fixture *f, uint64_t start, const ImageIndexOptions *o);
void teardown(Fixture *f);

/** section_bytes(): the payload of a section, or with 0 the index. */
uint8_t *section_bytes(Fixture *f, unsigned section);

/** get_index(): all that comes before it must be good, but for the format */
FixedRamIndex *get_index(Fixture *f, Error **errp);

/** read_all(): and all that is read after it, but for the pages */
bool read_all(Fixture *f, Error **errp);

/** check_error(): it names the file, an offset, and @words.  Frees it. */
void check_error(Error *err, const char *words);

/** expect_refused(): get_index() fails so. */
void expect_refused(Fixture *f, const char *words);

/** expect_damaged(): read_all() fails so. */
void expect_damaged(Fixture *f, const char *words);

/** is_damaged(): does read_all() fail, and properly? */
bool is_damaged(Fixture *f);

/** without_sums(): this build has none.  Skips the test. */
bool without_sums(void);

#endif

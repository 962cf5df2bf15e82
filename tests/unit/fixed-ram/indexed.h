/*
 * fixed-ram: a snapshot with an index that can be spoilt, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_INDEXED_H
#define TESTS_UNIT_FIXED_RAM_INDEXED_H

#include "migration/fixed-ram/format/index.h"
#include "image-index.h"

/* The offset of the stream, unless a test chooses another one. */
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

/** setup(): make a complete snapshot with content. */
void setup(Fixture *f);
void setup_as(Fixture *f, uint64_t start, const ImageIndexOptions *o);
void teardown(Fixture *f);

/** section_bytes(): the payload of @section; 0: the whole index. */
uint8_t *section_bytes(Fixture *f, unsigned section);

typedef enum SpoilHow { SET, ADD } SpoilHow;

/* A field that is changed, and what the error says then. */
typedef struct Spoil {
    int at;                     /* where it begins, for spoil() */
    unsigned width;
    SpoilHow how;
    uint64_t value;
    const char *words;
} Spoil;

/** spoil_field(): change the field of @width bytes at @at */
void spoil_field(uint8_t *at, unsigned width, SpoilHow how, uint64_t value);

/** spoil(): change a field of the @bytes */
void spoil(uint8_t *bytes, const Spoil *s);

/** get_index(): open the snapshot and return its index. */
FixedRamIndex *get_index(Fixture *f, Error **errp);

/** read_all(): open the snapshot and verify all but the pages. */
bool read_all(Fixture *f, Error **errp);

/** check_error(): @err names the file, an offset, and @words; free it. */
void check_error(Error *err, const char *words);

/** expect_refused(): get_index() fails with @words. */
void expect_refused(Fixture *f, const char *words);

/** expect_damaged(): read_all() fails with @words. */
void expect_damaged(Fixture *f, const char *words);

/** is_damaged(): does read_all() fail with a complete error? */
bool is_damaged(Fixture *f);

/** without_sums(): skip the test if this build has no checksums. */
bool without_sums(void);

#endif

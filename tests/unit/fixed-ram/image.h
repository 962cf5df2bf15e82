/*
 * fixed-ram: an encoder of small snapshots, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_IMAGE_H
#define TESTS_UNIT_FIXED_RAM_IMAGE_H

#include "migration/fixed-ram/format/source.h"

/*
 * An encoder that shares nothing with the code under test, written from
 * docs/devel/migration/mapped-ram.rst and main.rst: stream header,
 * configuration, optional commands, and the section of RAM with two blocks.
 * It records the offset of each field, so that a test can change one.
 */

#define IMAGE_NAME   "snapshot.img"
#define IMAGE_PAGE   4096ULL
#define IMAGE_BLOCKS 2

typedef enum Field {
    MAGIC, VERSION, CONFIG_TYPE, MACHINE_LENGTH, SUBSECTION_NAME, CAP_COUNT,
    CAP_NAME, COMMAND_TYPE, SECTION_TYPE, SECTION_NAME, SECTION_VERSION, TOTAL,
    NAME0, LENGTH0, VERSION0, PAGE_SIZE0, BITMAP0, PAGES0, HEADER_END0,
    NAME1, LENGTH1, VERSION1, PAGE_SIZE1, BITMAP1, PAGES1, HEADER_END1,
    STREAM_END, FOOTER, RAM_PART, NEXT_SECTION, FIELDS,
} Field;

typedef struct Image {
    FixedRamSource parent;
    GByteArray *bytes;
    uint64_t start;
    uint64_t at[FIELDS];        /* where each field lies in the file */
    int error;                  /* errno of all reads; 0: they work */
} Image;

typedef struct ImageOptions {
    uint64_t start;
    const char *const *caps;    /* NULL: what mapped-ram writes */
    const char *extra;          /* one more subsection of the configuration */
    unsigned commands;          /* before the section of RAM */
} ImageOptions;

extern const char *const image_block_names[IMAGE_BLOCKS];
extern const uint64_t image_block_pages[IMAGE_BLOCKS];

/** image_new(): encode a snapshot; end it with image_free(). */
Image *image_new(const ImageOptions *o);

/** image_free(): free @img and its bytes. */
void image_free(Image *img);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Image, image_free)

/** image_get(): the big-endian value of a field of @width bytes. */
uint64_t image_get(const Image *img, Field field, unsigned width);

/** image_set(): change the value of a field of @width bytes. */
void image_set(Image *img, Field field, unsigned width, uint64_t value);

/** image_holds_page(): is the bit of this page of block @i set? */
bool image_holds_page(unsigned i, uint64_t page);

#endif

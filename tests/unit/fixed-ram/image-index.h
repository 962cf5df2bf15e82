/*
 * fixed-ram: superblock and index for small snapshots, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_IMAGE_INDEX_H
#define TESTS_UNIT_FIXED_RAM_IMAGE_INDEX_H

#include "image.h"

/*
 * An encoder written from docs/interop/fixed-ram.rst.  It shares only the
 * functions for checksums with the code under test.
 */

#define IMAGE_SUPERBLOCK    4096
#define IMAGE_CLUSTER       65536ULL
#define IMAGE_ID            "an id of a save."
#define IMAGE_MACHINE       "pc-i440fx-10.0"
#define IMAGE_VERSION       "10.0.2"
#define IMAGE_VM            "gr\xc3\xbc\xc3\x9f" "e"
#define IMAGE_UUID          "0123456789abcdef"
#define IMAGE_TIME          1700000000
#define IMAGE_SET_TIME      1700001000
#define IMAGE_RAM           (100 * IMAGE_PAGE)

/* Types of sections; each file has those before SECTIONS. */
enum {
    MACHINE = 1, BLOCKS, STREAM, SUMS, SECTIONS, LAYERS = SECTIONS, WORKING_SET,
    TYPES,
};

/* An entry of a working set's list. */
typedef struct ImageRun {
    uint16_t block;
    uint16_t flags;             /* 1: its pages are in the packed copy */
    uint32_t pages;
    uint64_t first;
} ImageRun;

/* A layer of a delta. */
typedef struct ImageLayer {
    const char *id;             /* 16 characters */
    uint64_t digest;
    uint64_t start;
    const char *path;
} ImageLayer;

/* Clusters of all blocks. */
#define IMAGE_CLUSTERS      8

typedef struct ImageIndexOptions {
    const char *id;             /* 16 characters; NULL: IMAGE_ID */
    bool no_sums;               /* as a build without libxxhash writes it */
    unsigned without;           /* leave this type of section out; 0: none */
    uint32_t extra;             /* one more section of this type, or 0 */
    uint32_t extra_flags;
    bool extra_first;           /* before all others */
    const ImageRun *runs;       /* of a working set; NULL: there is none */
    size_t run_count;
    bool pack;                  /* with a packed copy */
    const ImageLayer *layers;   /* NULL: it is no delta */
    size_t layer_count;
    const uint8_t *map;         /* of layers: IMAGE_CLUSTERS bytes */
} ImageIndexOptions;

/* Where things lie in the file. */
typedef struct ImageIndex {
    uint64_t superblock;
    uint64_t stream_end;
    uint64_t table;
    uint64_t table_length;      /* bytes; 0: there are no checksums */
    uint64_t map;               /* of layers; 0: there is none */
    uint64_t pack;              /* 0: there is none */
    uint64_t pack_length;
    uint64_t list;              /* of the working set */
    uint64_t list_length;       /* 0: there is none */
    uint64_t set_pages;         /* in the list */
    uint64_t index;
    uint64_t index_length;
    uint64_t payload[TYPES];    /* of a section; 0: there is none */
} ImageIndex;

/** image_fill(): fill all pages, also those whose bit is clear. */
void image_fill(Image *img);

/**
 * image_add_index(): make a complete fixed-ram snapshot of @img
 *
 * Checksums are left out if the build cannot compute them.
 */
void image_add_index(Image *img, const ImageIndexOptions *o, ImageIndex *at);

/** image_digest(): what deltas say about the index of this layer */
uint64_t image_digest(const Image *img, const ImageIndex *at);

/** image_cut_off(): make a snapshot of @img whose save was cut off. */
void image_cut_off(Image *img);

/** image_seal(): make the CRCs of index and superblock right again. */
void image_seal(Image *img, const ImageIndex *at);

/** image_seal_superblock(): make the superblock's CRC right again. */
void image_seal_superblock(Image *img, const ImageIndex *at);

/** image_seal_list(): make the sum of the working set's list right again. */
void image_seal_list(Image *img, const ImageIndex *at);

/** image_page(): the bytes of this page of block @i, zeros or not. */
const uint8_t *image_page(const Image *img, unsigned i, uint64_t page);

/** image_cluster_sum(): the sum of a cluster of block @i. */
uint64_t image_cluster_sum(const Image *img, unsigned i, uint64_t cluster);

#endif

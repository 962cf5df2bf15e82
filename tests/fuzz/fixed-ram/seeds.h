/*
 * fixed-ram: snapshots to begin fuzzing with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_SEEDS_H
#define TESTS_FUZZ_FIXED_RAM_SEEDS_H

/* A number in the input. */
typedef struct SeedField {
    uint32_t at;
    uint32_t width;             /* bytes */
    bool little;                /* endian; else big */
} SeedField;

/* A part of the input that stands for itself: a header, a bitmap, a section. */
typedef struct SeedPart {
    uint32_t at;
    uint32_t length;
} SeedPart;

typedef struct Seed {
    const char *name;
    const char *id;             /* the identity, 16 bytes */
    bool good;                  /* must be taken; else, refused */
    GByteArray *input;          /* head and file, see input.h */
    GArray *fields;             /* of SeedField, in the order of the input */
    GArray *parts;              /* of SeedPart */
    GArray *pages;              /* of SeedPart: RAM's, if there is an index */
    SeedPart map;               /* of a delta's layers; empty: there is none */
    SeedPart layers;            /* what the index says of them */
    uint32_t superblock;        /* where it is in the input; 0: there is none */
    unsigned index_fields;      /* number of the first field of it and index */
} Seed;

/**
 * seeds_add_layers(): make the snapshots that deltas have for layers
 *
 * Every process that fuzzes calls this once before, or seeds_new().
 */
void seeds_add_layers(void);

/** seeds_new(): all of them, snapshots of the machine of machine.h. */
GPtrArray *seeds_new(void);

/** seeds_write(): each in a file of its own in @dir. */
bool seeds_write(const GPtrArray *seeds, const char *dir);

#endif

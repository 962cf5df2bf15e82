/*
 * fixed-ram: what writes superblock and index of a seed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_SEEDS_WRITER_H
#define TESTS_FUZZ_FIXED_RAM_SEEDS_WRITER_H

#include "decode.h"
#include "seeds-index.h"

typedef struct SeedWriter {
    Seed *s;
    SeedIndex kind;
    SeedSet set;
    /* The seed before the index was added */
    Input in;
    Decoded *d;
    uint8_t *before;            /* the input, which @in refers to */
    bool has_sums;
    uint64_t stream_end;
    uint64_t table, table_length;
    unsigned layers;            /* 0: no delta */
    uint64_t map, map_length;
    /* Of the working set */
    uint64_t set_pages, set_runs;
    uint64_t list, list_length;
    uint64_t pack, pack_length;
} SeedWriter;

/** seed_put(): append bytes to the input */
void seed_put(SeedWriter *w, const void *bytes, size_t length);

/** seed_put_le(): append a number, a field that mutations change */
void seed_put_le(SeedWriter *w, unsigned width, uint64_t value);

/** seed_here(): the offset of the next byte in the file */
uint64_t seed_here(const SeedWriter *w);

/** seed_align(): append zeros until that is a multiple of @to */
void seed_align(SeedWriter *w, unsigned to);

/**
 * seed_patch(): put a number where the file has @offset, if not in the hole
 *
 * @in: the input; @input: the same bytes, @size of them
 */
void seed_patch(const Input *in, uint8_t *input, size_t size, uint64_t offset,
                uint64_t value);

/** seed_end_part(): what was appended since @at in the input is a part */
void seed_end_part(SeedWriter *w, uint32_t at);

#endif

/*
 * fixed-ram: what a snapshot says RAM holds, found out once more
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_DECODE_H
#define TESTS_FUZZ_FIXED_RAM_DECODE_H

#include "input.h"

/*
 * A decoder that shares no code with the product.  It decodes files that the
 * product has accepted, and only checks that it stays inside the file.
 */

typedef struct DecodedBlock {
    char name[256];
    size_t name_length;         /* as the file says */
    uint64_t header;            /* where it begins in the file */
    uint64_t header_end;
    uint64_t length;            /* bytes of RAM */
    uint32_t version;
    uint64_t page_size;
    uint64_t bitmap;            /* where they lie in the file */
    uint64_t pages;
    uint64_t first_cluster;     /* its number in table and map */
} DecodedBlock;

typedef struct Decoded {
    const Input *in;
    GArray *blocks;             /* of DecodedBlock, in the order of the file */
    uint64_t ram_end;           /* behind the last block's pages */
    uint64_t after;             /* the number that comes there */
    /* Of a delta, as soon as they are known; see layers_decode() */
    uint8_t *map;               /* the layer of each cluster; 0: this file */
    GPtrArray *layers;          /* of Decoded, which are not owned */
} Decoded;

/** decode(): NULL if it is no snapshot; end it with decoded_free(). */
Decoded *decode(const Input *in);
void decoded_free(Decoded *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Decoded, decoded_free)

static inline const DecodedBlock *decoded_block(const Decoded *d, size_t i)
{
    return &g_array_index(d->blocks, DecodedBlock, i);
}

/** decoded_find(): the block of the same name and length, or NULL */
const DecodedBlock *decoded_find(const Decoded *d, const DecodedBlock *like);

/** decoded_bit(): does the bitmap say that the file holds this page? */
bool decoded_bit(const Decoded *d, const DecodedBlock *block, uint64_t page);

/** decoded_page(): what this page of RAM holds, INPUT_PAGE bytes. */
void decoded_page(const Decoded *d, const DecodedBlock *block, uint64_t page,
                  uint8_t *buf);

/**
 * decoded_section(): where the payload of a section begins; 0: there is none
 *
 * @index: offset of the index, which has @length bytes; may be anything
 * @payload: receives the number of bytes, no more than @length
 */
uint64_t decoded_section(const Input *in, uint32_t type, uint64_t index,
                         uint64_t length, uint64_t *payload);

/** decoded_bytes(): bytes of the file, which must be there; free them */
uint8_t *decoded_bytes(const Decoded *d, uint64_t offset, uint64_t length);

/** decoded_le(): a little-endian number of the file, which must be there */
uint64_t decoded_le(const Decoded *d, uint64_t offset, unsigned width);

#endif

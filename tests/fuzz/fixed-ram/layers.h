/*
 * fixed-ram: the snapshots that deltas among the seeds have for layers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_LAYERS_H
#define TESTS_FUZZ_FIXED_RAM_LAYERS_H

#include "migration/fixed-ram/format/layers.h"
#include "decode.h"

/*
 * They are not in the input: each is a file in the folder of folder.h, where
 * the product finds it by its path, and does not change.
 */
typedef struct Layer {
    const char *name;           /* of its file */
    uint8_t id[16];
    uint64_t digest;
    GByteArray *input;          /* which @in refers to */
    Input in;
    Decoded *d;
} Layer;

/** layers_add(): write the file of a layer, once for the whole process */
void layers_add(const char *name, const uint8_t *id, GByteArray *input);

/** layers_get(): number @i, from 0, of those that were added; else NULL */
const Layer *layers_get(size_t i);

/** layers_decode(): find the map and the layers of a delta that was opened */
void layers_decode(Decoded *d);

/**
 * layers_config(): how to open layers so that they have faults
 *
 * @in: the head of this input asks for the faults
 * @faults: counts them; outlives the layers; NULL: there are none
 *
 * The result is good until the next call.
 */
const FixedRamLayersConfig *layers_config(const Input *in, unsigned *faults);

#endif

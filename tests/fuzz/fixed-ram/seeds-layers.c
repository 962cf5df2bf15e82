/*
 * fixed-ram: layers of deltas among the seeds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* docs/interop/fixed-ram.rst */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "migration/fixed-ram/format/sums.h"
#include "check-pages.h"
#include "layers.h"
#include "seeds-layers.h"

#define LAYERS_TYPE     5

/* The base is the first file and the last layer. */
static const Layer *layer(const SeedWriter *w, unsigned number)
{
    return layers_get(w->layers - number);
}

/* Clusters lie by turns in the delta and in each layer that has the block. */
static unsigned choose_layer(const SeedWriter *w, const DecodedBlock *b,
                             uint64_t cluster)
{
    unsigned number = (b->first_cluster + cluster) % (w->layers + 1);
    uint64_t first = cluster * CLUSTER_PAGES;

    return number && decoded_find(layer(w, number)->d, b) &&
           cluster_holds_data(w->d, b, first) ? number : 0;
}

void seed_plan_layers(SeedWriter *w)
{
    const DecodedBlock *last = decoded_block(w->d, w->d->blocks->len - 1);

    w->map_length = last->first_cluster + DIV_ROUND_UP(last->length, 64 * KiB);
    w->d->map = g_malloc(w->map_length);
    w->d->layers = g_ptr_array_new();
    for (unsigned n = 1; n <= w->layers; n++) {
        g_ptr_array_add(w->d->layers, layer(w, n)->d);
    }
    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);

        for (uint64_t c = 0; c < DIV_ROUND_UP(b->length, 64 * KiB); c++) {
            w->d->map[b->first_cluster + c] = choose_layer(w, b, c);
        }
    }
}

void seed_put_map(SeedWriter *w)
{
    uint32_t at = w->s->input->len;

    w->map = seed_here(w);
    for (uint64_t i = 0; i < w->map_length; i++) {
        seed_put_le(w, 1, w->d->map[i]);
    }
    seed_end_part(w, at);
    w->s->map = (SeedPart) { .at = at, .length = w->map_length };
}

/* The map's checksum is filled in when the seed is sealed. */
void seed_put_layers(SeedWriter *w)
{
    seed_put_le(w, 4, w->layers);
    seed_put_le(w, 4, 0);
    seed_put_le(w, 8, w->map);
    seed_put_le(w, 8, w->map_length);
    seed_put_le(w, 8, 0);
    w->s->layers.at = w->s->input->len;
    for (unsigned n = 1; n <= w->layers; n++) {
        const Layer *l = layer(w, n);
        uint32_t at = w->s->input->len;

        seed_put(w, l->id, sizeof(l->id));
        seed_put_le(w, 8, l->digest);
        seed_put_le(w, 8, l->in.start);
        seed_put_le(w, 4, strlen(l->name));
        seed_put(w, l->name, strlen(l->name));
        seed_align(w, 8);
        seed_end_part(w, at);
    }
    w->s->layers.length = w->s->input->len - w->s->layers.at;
}

void seed_seal_layers(const Input *in, uint8_t *input, size_t size,
                      uint64_t index, uint64_t length)
{
    uint64_t payload, bytes;
    uint64_t at = decoded_section(in, LAYERS_TYPE, index, length, &payload);
    g_autofree uint8_t *map = NULL;
    uint8_t fields[32];

    if (payload < sizeof(fields) ||
        input_read(in, fields, sizeof(fields), at) < sizeof(fields) ||
        ldq_le_p(fields + 16) > MiB) {
        return;
    }
    bytes = ldq_le_p(fields + 16);
    map = g_malloc(MAX(bytes, 1));
    if (input_read(in, map, bytes, ldq_le_p(fields + 8)) == bytes) {
        seed_patch(in, input, size, at + 24, fixed_ram_sums_get(map, bytes));
    }
}

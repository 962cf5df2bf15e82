/*
 * fixed-ram: the snapshots that deltas among the seeds have for layers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* docs/interop/fixed-ram.rst */

#include "qemu/osdep.h"
#include "migration/fixed-ram/format/sums.h"
#include "folder.h"
#include "layers.h"

#define FILES_MAX      2

enum { BLOCKS = 2, SUMS = 4, LAYERS = 5 };

static Layer layers[FILES_MAX];

/*
 * Of the next source that is opened for a layer
 */

static const Input *faults_of;
static unsigned *fault_count;   /* NULL: there are none */

/*
 * Files
 */

/* Returns the payload of a section of the index, and where it is. */
static uint8_t *section(const Decoded *d, uint32_t type, uint64_t *at,
                        uint64_t *length)
{
    uint64_t sb = decoded_block(d, 0)->pages - 4096;

    *at = decoded_section(d->in, type, decoded_le(d, sb + 48, 8),
                          decoded_le(d, sb + 56, 8), length);
    return decoded_bytes(d, *at, *length);
}

/* The payload of BLOCKS, and that of SUMS from offset 32 on. */
static uint64_t digest(const Decoded *d)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree uint8_t *blocks = NULL, *sums = NULL;
    uint64_t at, length;

    blocks = section(d, BLOCKS, &at, &length);
    g_byte_array_append(bytes, blocks, length);
    sums = section(d, SUMS, &at, &length);
    if (length > 32) {
        g_byte_array_append(bytes, sums + 32, length - 32);
    }
    return fixed_ram_sums_get(bytes->data, bytes->len);
}

static void write_file(const Layer *layer)
{
    g_autofree char *path = folder_path(layer->name);

    input_write(&layer->in, path);
}

void layers_add(const char *name, const uint8_t *id, GByteArray *input)
{
    Layer *layer = layers;

    while (layer->name) {
        if (g_str_equal(layer->name, name)) {
            return;
        }
        layer++;
        g_assert(layer < layers + FILES_MAX);
    }
    layer->name = name;
    memcpy(layer->id, id, sizeof(layer->id));
    layer->input = g_byte_array_ref(input);
    input_parse(&layer->in, input->data, input->len);
    layer->in.name = name;
    layer->d = decode(&layer->in);
    layer->digest = digest(layer->d);
    write_file(layer);
}

const Layer *layers_get(size_t i)
{
    return i < FILES_MAX && layers[i].name ? &layers[i] : NULL;
}

/*
 * What a delta says of them
 */

static const Layer *find_layer(const uint8_t *id, uint64_t found)
{
    for (size_t i = 0; layers_get(i); i++) {
        if (!memcmp(layers[i].id, id, sizeof(layers[i].id))) {
            g_assert_cmphex(found, ==, layers[i].digest);
            return &layers[i];
        }
    }
    g_error("a snapshot was opened as another layer than it is");
}

void layers_decode(Decoded *d)
{
    uint64_t at, length, end, clusters;
    g_autofree uint8_t *payload = section(d, LAYERS, &at, &length);

    g_assert(at && !d->map);
    clusters = decoded_le(d, at + 16, 8);
    d->map = decoded_bytes(d, decoded_le(d, at + 8, 8), clusters);
    g_assert_cmphex(fixed_ram_sums_get(d->map, clusters), ==,
                    decoded_le(d, at + 24, 8));
    d->layers = g_ptr_array_new();
    end = at + length;
    for (at += 32; at < end; ) {
        g_autofree uint8_t *id = decoded_bytes(d, at, 16);
        const Layer *layer = find_layer(id, decoded_le(d, at + 16, 8));

        g_assert_cmpuint(decoded_le(d, at + 24, 8), ==, layer->in.start);
        g_assert(!g_ptr_array_find(d->layers, layer->d, NULL));
        g_ptr_array_add(d->layers, layer->d);
        at = ROUND_UP(at + 36 + decoded_le(d, at + 32, 4), 8);
    }
}

/*
 * Faults
 */

/* The file is open; from now on its bytes come from memory. */
static FixedRamSource *wrap(FixedRamSource *source)
{
    g_autofree char *name = g_path_get_basename(source->path);

    for (size_t i = 0; layers_get(i); i++) {
        if (g_str_equal(layers[i].name, name)) {
            Input in = layers[i].in;

            input_take_faults(&in, faults_of);
            fixed_ram_source_unref(source);
            return input_bad_source(&in, fault_count);
        }
    }
    return source;
}

const FixedRamLayersConfig *layers_config(const Input *in, unsigned *faults)
{
    static const FixedRamLayersConfig config = {
        .direct = ON_OFF_AUTO_OFF, .wrap = wrap,
    };

    faults_of = in;
    fault_count = faults;
    return &config;
}

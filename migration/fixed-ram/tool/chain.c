/*
 * qemu-snapshot info: the layers of a delta
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qemu/cutils.h"
#include "chain.h"
#include "../format/layers.h"
#include "../format/sums.h"
#include "../util/text.h"

/* An identity in hexadecimal, and its terminator. */
#define ID_TEXT_BYTES   (2 * FIXED_RAM_ID_BYTES + 1)

/* Bytes of RAM that lie in layer number @i. */
static uint64_t layer_bytes(const FixedRamLayers *layers, size_t i)
{
    uint64_t clusters = 0;

    for (uint64_t at = 0; at < layers->clusters; at++) {
        clusters += layers->map[at] == i;
    }
    return clusters * FIXED_RAM_CLUSTER_BYTES;
}

size_t tool_chain_length(const ToolFile *file)
{
    const FixedRamIndex *index = file->snapshot->index;

    return index && index->layers ? index->layers->list->len : 0;
}

FixedRamFileLayerList *tool_chain_layers(const ToolFile *file)
{
    const FixedRamSnapshot *s = file->snapshot;
    FixedRamFileLayerList *list = NULL, **tail = &list;

    for (size_t i = 1; i <= tool_chain_length(file); i++) {
        const FixedRamIndexLayer *from = fixed_ram_index_layer(s->index->layers,
                                                               i);
        FixedRamFileLayer *layer = g_new0(FixedRamFileLayer, 1);

        layer->path = g_strdup(from->path);
        layer->id = g_malloc0(ID_TEXT_BYTES);
        qemu_hexdump_to_buffer(layer->id, ID_TEXT_BYTES, from->id,
                               FIXED_RAM_ID_BYTES);
        layer->offset = from->start;
        layer->has_size = s->layers;
        layer->size = s->layers ? layer_bytes(s->layers, i) : 0;
        QAPI_LIST_APPEND(tail, layer);
    }
    return list;
}

void tool_chain_print(const FixedRamFileLayerList *layers)
{
    printf("layers:\n    %10s  %-32s  PATH\n", "RAM", "ID");
    for (; layers; layers = layers->next) {
        const FixedRamFileLayer *layer = layers->value;
        g_autofree char *path = fixed_ram_text_printable(layer->path);
        g_autofree char *size = layer->has_size ? size_to_str(layer->size)
                                                : g_strdup("unknown");

        printf("    %10s  %s  %s\n", size, layer->id, path);
    }
}

ToolFile *tool_chain_open(const ToolFile *file, size_t i, Error **errp)
{
    const FixedRamSnapshot *s = file->snapshot;
    const FixedRamIndexLayer *layer = fixed_ram_index_layer(s->index->layers,
                                                            i);
    g_autofree char *path = fixed_ram_layers_path(s->source->path, layer->path,
                                                  errp);

    return path ? tool_file_open(path, layer->start, errp) : NULL;
}

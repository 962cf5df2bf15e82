/*
 * fixed-ram: the source of a delta, whose pages lie in several files
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "index-layers.h"
#include "layered.h"
#include "sums.h"

static void layer_free(void *opaque)
{
    FixedRamLayer *layer = opaque;

    fixed_ram_snapshot_free(layer->snapshot);
    g_free(layer->pages_offset);
    g_free(layer);
}

FixedRamLayers *fixed_ram_layers_new(FixedRamSource *own)
{
    FixedRamLayers *layers = g_new0(FixedRamLayers, 1);

    layers->own = fixed_ram_source_ref(own);
    layers->blocks = g_array_new(false, false, sizeof(FixedRamLayeredBlock));
    layers->list = g_ptr_array_new_with_free_func(layer_free);
    return layers;
}

FixedRamLayer *fixed_ram_layers_add(FixedRamLayers *layers,
                                    FixedRamSnapshot *snapshot)
{
    FixedRamLayer *layer = g_new0(FixedRamLayer, 1);

    layer->snapshot = snapshot;
    g_ptr_array_add(layers->list, layer);
    return layer;
}

void fixed_ram_layers_free(FixedRamLayers *layers)
{
    fixed_ram_source_unref(layers->own);
    g_array_unref(layers->blocks);
    g_ptr_array_unref(layers->list);
    g_free(layers->map);
    g_free(layers);
}

static FixedRamLayers *layers_of(const FixedRamSource *source)
{
    return container_of(source, FixedRamLayers, parent);
}

/* Metadata is the delta's own. */
static ssize_t layered_read(FixedRamSource *source, void *buf, size_t length,
                            uint64_t offset)
{
    FixedRamSource *own = layers_of(source)->own;

    return own->ops->read(own, buf, length, offset);
}

/* The number of the block that has pages at @offset; false: none has. */
static bool find_block(const FixedRamLayers *layers, uint64_t offset,
                       size_t *number)
{
    for (size_t i = 0; i < layers->blocks->len; i++) {
        const FixedRamLayeredBlock *block =
            &g_array_index(layers->blocks, FixedRamLayeredBlock, i);

        if (offset >= block->pages_offset &&
            offset - block->pages_offset < block->length) {
            *number = i;
            return true;
        }
    }
    return false;
}

/* Bytes from @at of a block on, @length at most, that are of one layer. */
static uint64_t same_layer(const FixedRamLayers *layers,
                           const FixedRamLayeredBlock *block, uint64_t at,
                           uint64_t length)
{
    const uint8_t *map = layers->map + block->first_cluster;
    uint64_t end = MIN(at + length, block->length);
    uint64_t cluster = at / FIXED_RAM_CLUSTER_BYTES;
    uint64_t next = cluster + 1;

    while (next * FIXED_RAM_CLUSTER_BYTES < end && map[next] == map[cluster]) {
        next++;
    }
    return MIN(next * FIXED_RAM_CLUSTER_BYTES, end) - at;
}

static FixedRamSourcePart layered_part(const FixedRamSource *source,
                                       uint64_t offset, uint64_t length)
{
    const FixedRamLayers *layers = layers_of(source);
    FixedRamSourcePart part = { layers->own, offset, length };
    const FixedRamLayeredBlock *block;
    const FixedRamLayer *layer;
    uint64_t at;
    size_t number;
    uint8_t from;

    if (!find_block(layers, offset, &number)) {
        return part;            /* a packed copy */
    }
    block = &g_array_index(layers->blocks, FixedRamLayeredBlock, number);
    at = offset - block->pages_offset;
    part.length = same_layer(layers, block, at, length);
    from = layers->map[block->first_cluster + at / FIXED_RAM_CLUSTER_BYTES];
    if (from != FIXED_RAM_LAYER_OWN) {
        layer = fixed_ram_layer(layers, from);
        part.source = layer->snapshot->source;
        part.offset = layer->pages_offset[number] + at;
    }
    return part;
}

/* The delta's own file, and the files of all layers. */
static void for_each_file(FixedRamSource *source,
                          void (*func)(FixedRamSource *file))
{
    const FixedRamLayers *layers = layers_of(source);

    func(layers->own);
    for (size_t i = 1; i <= layers->list->len; i++) {
        func(fixed_ram_layer(layers, i)->snapshot->source);
    }
}

static void layered_expect_faults(FixedRamSource *source)
{
    for_each_file(source, fixed_ram_source_expect_faults);
}

static void layered_spare_cache(FixedRamSource *source)
{
    for_each_file(source, fixed_ram_source_spare_cache);
}

static void layered_unlock(FixedRamSource *source)
{
    for_each_file(source, fixed_ram_source_unlock);
}

static bool layered_locked(const FixedRamSource *source)
{
    const FixedRamLayers *layers = layers_of(source);

    for (size_t i = 1; i <= layers->list->len; i++) {
        if (!fixed_ram_source_locked(fixed_ram_layer(layers,
                                                     i)->snapshot->source)) {
            return false;
        }
    }
    return fixed_ram_source_locked(layers->own);
}

static void layered_expect(FixedRamSource *source, uint64_t offset,
                           uint64_t length)
{
    while (length) {
        FixedRamSourcePart part = layered_part(source, offset, length);

        fixed_ram_source_expect(part.source, part.offset, part.length);
        offset += part.length;
        length -= part.length;
    }
}

static uint64_t layered_next_data(FixedRamSource *source, uint64_t offset)
{
    return fixed_ram_source_next_data(layers_of(source)->own, offset);
}

static bool layered_changing(FixedRamSource *source)
{
    return fixed_ram_source_changing(layers_of(source)->own);
}

static uint64_t layered_measure(FixedRamSource *source)
{
    return fixed_ram_source_measure(layers_of(source)->own);
}

static bool layered_is_file(const FixedRamSource *source, int fd)
{
    return fixed_ram_source_is_file(layers_of(source)->own, fd);
}

static void layered_close(FixedRamSource *source)
{
    fixed_ram_layers_free(layers_of(source));
}

static const FixedRamSourceOps layered_ops = {
    .read = layered_read,
    .part = layered_part,
    .expect_faults = layered_expect_faults,
    .spare_cache = layered_spare_cache,
    .expect = layered_expect,
    .next_data = layered_next_data,
    .changing = layered_changing,
    .measure = layered_measure,
    .is_file = layered_is_file,
    .locked = layered_locked,
    .unlock = layered_unlock,
    .close = layered_close,
};

void fixed_ram_layers_source(FixedRamLayers *layers)
{
    const FixedRamSource *own = layers->own;

    fixed_ram_source_init(&layers->parent, &layered_ops, own->name, own->size);
    g_free(layers->parent.path);
    layers->parent.path = g_strdup(own->path);
}

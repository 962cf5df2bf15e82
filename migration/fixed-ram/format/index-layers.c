/*
 * fixed-ram: the index's section about the layers of a delta
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "index-layers.h"
#include "../util/bytes.h"

static void layer_free(void *opaque)
{
    FixedRamIndexLayer *layer = opaque;

    g_free(layer->path);
    g_free(layer);
}

FixedRamIndexLayers *fixed_ram_index_layers_new(void)
{
    FixedRamIndexLayers *layers = g_new0(FixedRamIndexLayers, 1);

    layers->list = g_ptr_array_new_with_free_func(layer_free);
    return layers;
}

void fixed_ram_index_layers_free(FixedRamIndexLayers *layers)
{
    if (layers) {
        g_ptr_array_unref(layers->list);
        g_free(layers);
    }
}

void fixed_ram_index_layers_add(FixedRamIndexLayers *layers,
                                const FixedRamIndexLayer *layer)
{
    FixedRamIndexLayer *copy = g_memdup2(layer, sizeof(*layer));

    copy->path = g_strdup(layer->path);
    g_ptr_array_add(layers->list, copy);
}

static void put_layer(GByteArray *out, const FixedRamIndexLayer *layer)
{
    LayerFields fields = {
        .digest = cpu_to_le64(layer->digest),
        .start = cpu_to_le64(layer->start),
        .path_length = cpu_to_le32(strlen(layer->path)),
    };

    memcpy(fields.id, layer->id, sizeof(fields.id));
    fixed_ram_bytes_put(out, &fields, sizeof(fields));
    fixed_ram_bytes_put(out, layer->path, strlen(layer->path));
    fixed_ram_bytes_pad(out, INDEX_PADDING);
}

void fixed_ram_index_layers_encode(const FixedRamIndexLayers *layers,
                                   GByteArray *out)
{
    LayersFields fields = {
        .count = cpu_to_le32(layers->list->len),
        .map_offset = cpu_to_le64(layers->map_offset),
        .map_length = cpu_to_le64(layers->map_length),
        .map_sum = cpu_to_le64(layers->map_sum),
    };

    fixed_ram_bytes_put(out, &fields, sizeof(fields));
    for (size_t i = 1; i <= layers->list->len; i++) {
        put_layer(out, fixed_ram_index_layer(layers, i));
    }
}

/* No file is longer; also see lock.h. */
#define START_MAX   (1ULL << 60)

/* Do the map and another part of the file have bytes in common? */
static bool overlaps(const FixedRamIndexLayers *layers, uint64_t offset,
                     uint64_t length)
{
    return layers->map_offset < offset + length &&
           layers->map_offset + layers->map_length > offset;
}

static void check_map(FixedRamReader *r, uint64_t at,
                      const FixedRamSuperblock *sb, const FixedRamIndex *index,
                      const FixedRamIndexLayers *layers)
{
    uint64_t clusters = index->table.length / sizeof(uint64_t);
    uint64_t end;

    if (layers->map_length != clusters) {
        fixed_ram_reader_fail(r, at, "the map of layers has 0x%" PRIx64
                              " bytes, but there are %" PRIu64 " clusters",
                              layers->map_length, clusters);
        return;
    }
    if (uadd64_overflow(layers->map_offset, layers->map_length, &end) ||
        layers->map_offset < sb->stream_end || end > r->source->size ||
        overlaps(layers, sb->index_offset, sb->index_length) ||
        overlaps(layers, index->table.offset, index->table.length)) {
        fixed_ram_reader_fail(r, at, "the map of layers, 0x%" PRIx64 " bytes "
                              "at offset 0x%" PRIx64 ", does not lie behind "
                              "the stream's end at 0x%" PRIx64 ", apart from "
                              "the index and the checksums, and before the "
                              "file's end at 0x%" PRIx64, layers->map_length,
                              layers->map_offset, sb->stream_end,
                              r->source->size);
    }
}

static void read_fields(FixedRamReader *r, const FixedRamSuperblock *sb,
                        const FixedRamIndex *index,
                        FixedRamIndexLayers *layers, uint32_t *count)
{
    uint64_t at = fixed_ram_reader_offset(r);
    LayersFields fields;

    fixed_ram_reader_get(r, &fields, sizeof(fields));
    *count = le32_to_cpu(fields.count);
    layers->map_offset = le64_to_cpu(fields.map_offset);
    layers->map_length = le64_to_cpu(fields.map_length);
    layers->map_sum = le64_to_cpu(fields.map_sum);
    if (!*count || *count > LAYERS_MAX) {
        fixed_ram_reader_fail(r, at, "found %" PRIu32 " layers, expected 1 to "
                              "%d", *count, LAYERS_MAX);
    }
    if (fields.zero) {
        fixed_ram_reader_fail(r, at, "bytes are set that must be zero");
    }
    if (!index->has_sums) {
        fixed_ram_reader_fail(r, at, "there are layers, but no checksums");
    } else {
        check_map(r, at, sb, index, layers);
    }
}

static char *read_path(FixedRamReader *r, uint64_t at, uint32_t length)
{
    g_autofree char *path = NULL;

    if (!length || length > INDEX_STRING_MAX) {
        fixed_ram_reader_fail(r, at, "the path of a layer has %" PRIu32
                              " bytes, expected 1 to %d", length,
                              INDEX_STRING_MAX);
        return g_strdup("");
    }
    path = g_malloc0(length + 1);
    fixed_ram_reader_get(r, path, length);
    if (!g_utf8_validate(path, length, NULL)) {
        fixed_ram_reader_fail(r, at, "the path of a layer is not UTF-8 or has "
                              "a zero byte in it");
    }
    return g_steal_pointer(&path);
}

/* Every snapshot is a layer once at most, and none is a layer of itself. */
static void check_id(FixedRamReader *r, uint64_t at,
                     const FixedRamIndexLayers *layers, const uint8_t *id)
{
    for (size_t i = 1; i <= layers->list->len; i++) {
        if (!memcmp(fixed_ram_index_layer(layers, i)->id, id,
                    FIXED_RAM_ID_BYTES)) {
            fixed_ram_reader_fail(r, at, "a layer is there twice");
        }
    }
}

static void read_layer(FixedRamReader *r, const FixedRamIndex *index,
                       FixedRamIndexLayers *layers)
{
    uint64_t at = fixed_ram_reader_offset(r);
    FixedRamIndexLayer *layer;
    LayerFields fields;

    fixed_ram_reader_get(r, &fields, sizeof(fields));
    check_id(r, at, layers, fields.id);
    if (!memcmp(fields.id, index->id, sizeof(fields.id))) {
        fixed_ram_reader_fail(r, at, "the snapshot is a layer of itself");
    }
    if (le64_to_cpu(fields.start) > START_MAX) {
        fixed_ram_reader_fail(r, at, "a layer begins at the impossible offset "
                              "0x%" PRIx64, le64_to_cpu(fields.start));
    }
    layer = g_new0(FixedRamIndexLayer, 1);
    memcpy(layer->id, fields.id, sizeof(layer->id));
    layer->digest = le64_to_cpu(fields.digest);
    layer->start = le64_to_cpu(fields.start);
    layer->path = read_path(r, at, le32_to_cpu(fields.path_length));
    g_ptr_array_add(layers->list, layer);
    fixed_ram_reader_padding(r, INDEX_PADDING);
}

FixedRamIndexLayers *
fixed_ram_index_layers_read(FixedRamReader *r, const FixedRamSuperblock *sb,
                            const FixedRamIndex *index)
{
    FixedRamIndexLayers *layers = fixed_ram_index_layers_new();
    uint32_t count;

    read_fields(r, sb, index, layers, &count);
    while (count-- && !r->error) {
        read_layer(r, index, layers);
    }
    return layers;
}

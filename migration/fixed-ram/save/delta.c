/*
 * fixed-ram: what a save compares with, to leave out what the base has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "delta.h"
#include "../format/libvirt.h"
#include "../format/sums.h"
#include "../format/sumtable.h"
#include "../util/io.h"

/* The base has no such block. */
#define NO_CLUSTER  UINT64_MAX

/* Of the map: what is zero is left out by pieces of this size. */
#define PIECE_BYTES 4096

/* For libvirt's header. */
#define HEADER_BYTES    4096

struct FixedRamDeltaBlock {
    /* Do not change after fixed_ram_delta_add_block(). */
    const FixedRamDelta *delta;
    char *name;
    uint64_t clusters;
    uint64_t base_cluster;      /* of its first one, in the base's table */

    /*
     * For each cluster: 0 the delta itself, 1 the base, 1 + N layer N of the
     * base.  Each entry is written by one thread at a time.
     */
    uint8_t *map;
    unsigned long *written;     /* atomic: clusters that no saver wrote */
    unsigned long *base_bitmap; /* of one thread; NULL: it was not read */
};

struct FixedRamDelta {
    FixedRamSnapshot *base;     /* with its layers */
    FixedRamSumTable *table;    /* of @base */
    GPtrArray *paths;           /* of the base and of its layers; absolute */
    GPtrArray *blocks;          /* of FixedRamDeltaBlock */
};

static void block_free(void *opaque)
{
    FixedRamDeltaBlock *block = opaque;

    g_free(block->name);
    g_free(block->map);
    g_free(block->written);
    g_free(block->base_bitmap);
    g_free(block);
}

void fixed_ram_delta_free(FixedRamDelta *delta)
{
    if (delta) {
        g_ptr_array_unref(delta->blocks);
        g_ptr_array_unref(delta->paths);
        fixed_ram_sumtable_unref(delta->table);
        fixed_ram_snapshot_free(delta->base);
        g_free(delta);
    }
}

/*
 * Open the base
 */

/* Where the stream begins: behind the header of libvirt, if there is one. */
static uint64_t find_stream(FixedRamSource *source)
{
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, 0,
                                                       HEADER_BYTES);
    FixedRamLibvirt *libvirt = fixed_ram_libvirt_read(r);
    uint64_t start = libvirt ? libvirt->stream : 0;

    fixed_ram_libvirt_free(libvirt);
    return start;
}

static FixedRamSnapshot *open_base(const char *path, size_t page_size,
                                   Error **errp)
{
    const FixedRamLayersConfig config = { .direct = ON_OFF_AUTO_OFF };
    g_autoptr(FixedRamSource) source =
        fixed_ram_source_open_file(path, 0, config.direct, errp);
    g_autoptr(FixedRamSnapshot) s = NULL;

    if (!source) {
        return NULL;
    }
    s = fixed_ram_snapshot_open(source, find_stream(source), page_size, errp);
    if (!s || !fixed_ram_layers_open(s, &config, errp)) {
        return NULL;
    }
    if (!s->index || !s->index->has_sums) {
        error_setg(errp, "snapshot '%s' has no checksums to compare with: save "
                   "it with fixed-ram and fixed-ram-verify", path);
        return NULL;
    }
    if (s->layers && s->layers->list->len >= LAYERS_MAX) {
        error_setg(errp, "snapshot '%s' has %u layers, which is as many as a "
                   "delta can have: use the result of 'qemu-snapshot merge' "
                   "as base", path, s->layers->list->len);
        return NULL;
    }
    return g_steal_pointer(&s);
}

/* A later rename of a folder above must not matter, nor a link be followed. */
static bool add_path(FixedRamDelta *delta, const char *path, Error **errp)
{
    char *real = realpath(path, NULL);

    if (!real || !g_utf8_validate(real, -1, NULL)) {
        error_setg(errp, "a delta cannot name its layer '%s': its path is %s",
                   path, real ? "not UTF-8" : "not known");
        free(real);
        return false;
    }
    g_ptr_array_add(delta->paths, g_strdup(real));
    free(real);
    return true;
}

static bool add_paths(FixedRamDelta *delta, const char *path, Error **errp)
{
    const FixedRamLayers *layers = delta->base->layers;

    if (!add_path(delta, path, errp)) {
        return false;
    }
    for (size_t i = 1; layers && i <= layers->list->len; i++) {
        if (!add_path(delta, fixed_ram_layer(layers, i)->snapshot->source->path,
                      errp)) {
            return false;
        }
    }
    return true;
}

FixedRamDelta *fixed_ram_delta_new(const char *path, size_t page_size,
                                   Error **errp)
{
    g_autoptr(FixedRamDelta) delta = g_new0(FixedRamDelta, 1);

    delta->blocks = g_ptr_array_new_with_free_func(block_free);
    delta->paths = g_ptr_array_new_with_free_func(g_free);
    if (g_str_has_prefix(path, "/dev/fdset/")) {
        error_setg(errp, "a delta needs the path of its base, not a descriptor "
                   "('%s')", path);
        return NULL;
    }
    delta->base = open_base(path, page_size, errp);
    if (!delta->base || !add_paths(delta, path, errp)) {
        return NULL;
    }
    delta->table = fixed_ram_sumtable_new(delta->base->index);
    return g_steal_pointer(&delta);
}

const char *fixed_ram_delta_name(const FixedRamDelta *delta)
{
    return delta->base->source->name;
}

const FixedRamSnapshot *fixed_ram_delta_base(const FixedRamDelta *delta)
{
    return delta->base;
}

bool fixed_ram_delta_is_file(const FixedRamDelta *delta, int fd)
{
    const FixedRamLayers *layers = delta->base->layers;

    for (size_t i = 1; layers && i <= layers->list->len; i++) {
        if (fixed_ram_source_is_file(fixed_ram_layer(layers,
                                                     i)->snapshot->source,
                                     fd)) {
            return true;
        }
    }
    return fixed_ram_source_is_file(delta->base->source, fd);
}

/*
 * Compare
 */

void fixed_ram_delta_add_block(FixedRamDelta *delta, const char *name,
                               uint64_t length)
{
    const FixedRamSnapshot *base = delta->base;
    ssize_t i = fixed_ram_ramsection_index(base->ram, name);
    FixedRamDeltaBlock *block = g_new0(FixedRamDeltaBlock, 1);

    block->delta = delta;
    block->name = g_strdup(name);
    block->clusters = fixed_ram_sums_clusters(length);
    block->base_cluster = NO_CLUSTER;
    if (i >= 0 && fixed_ram_index_block(base->index, i)->length == length) {
        block->base_cluster = fixed_ram_index_block(base->index,
                                                    i)->first_cluster;
    }
    block->map = g_new0(uint8_t, block->clusters);
    block->written = bitmap_new(block->clusters);
    g_ptr_array_add(delta->blocks, block);
}

FixedRamDeltaBlock *fixed_ram_delta_find(const FixedRamDelta *delta,
                                         const char *name)
{
    for (size_t i = 0; i < delta->blocks->len; i++) {
        FixedRamDeltaBlock *block = g_ptr_array_index(delta->blocks, i);

        if (!strcmp(block->name, name)) {
            return block;
        }
    }
    return NULL;
}

/* In the numbers of a block's map. */
static uint8_t layer_of(const FixedRamDelta *delta, uint64_t base_cluster)
{
    return 1 + (delta->base->layers ? delta->base->layers->map[base_cluster]
                                    : FIXED_RAM_LAYER_OWN);
}

bool fixed_ram_delta_in_base(const FixedRamDeltaBlock *block)
{
    return block->base_cluster != NO_CLUSTER;
}

static bool base_sum(const FixedRamDeltaBlock *block, uint64_t cluster,
                     uint64_t *sum, Error **errp)
{
    const FixedRamDelta *delta = block->delta;

    if (!fixed_ram_sumtable_get(delta->table, delta->base->source,
                                block->base_cluster + cluster, sum, errp)) {
        error_prepend(errp, "the delta's base: ");
        return false;
    }
    return true;
}

static void take_from_base(FixedRamDeltaBlock *block, uint64_t cluster)
{
    block->map[cluster] = layer_of(block->delta, block->base_cluster + cluster);
}

bool fixed_ram_delta_compare(FixedRamDeltaBlock *block, uint64_t cluster,
                             uint64_t sum, bool *same, Error **errp)
{
    uint64_t expected;

    *same = false;
    if (!fixed_ram_delta_in_base(block)) {
        return true;
    }
    if (!base_sum(block, cluster, &expected, errp)) {
        return false;
    }
    *same = sum == expected;
    if (*same) {
        take_from_base(block, cluster);
    }
    return true;
}

bool fixed_ram_delta_read_bitmap(FixedRamDeltaBlock *block, Error **errp)
{
    const FixedRamSnapshot *base = block->delta->base;
    const FixedRamBlockInfo *info = fixed_ram_ramsection_find(base->ram,
                                                              block->name);

    g_free(block->base_bitmap);
    block->base_bitmap = fixed_ram_ramsection_read_bitmap(base->ram,
                                                          base->source, info,
                                                          NULL, errp);
    return block->base_bitmap;
}

const unsigned long *fixed_ram_delta_bitmap(const FixedRamDeltaBlock *block)
{
    return block->base_bitmap;
}

bool fixed_ram_delta_keep(FixedRamDeltaBlock *block, uint64_t cluster,
                          uint64_t *sum, Error **errp)
{
    if (!base_sum(block, cluster, sum, errp)) {
        return false;
    }
    take_from_base(block, cluster);
    return true;
}

void fixed_ram_delta_written(FixedRamDeltaBlock *block, uint64_t offset,
                             uint64_t length)
{
    uint64_t last = (offset + length - 1) / FIXED_RAM_CLUSTER_BYTES;

    for (uint64_t i = offset / FIXED_RAM_CLUSTER_BYTES; i <= last; i++) {
        set_bit_atomic(i, block->written);
    }
}

bool fixed_ram_delta_next_torn(FixedRamDeltaBlock *block, uint64_t *cluster)
{
    uint64_t i = *cluster;

    while ((i = find_next_bit(block->written, block->clusters, i)) <
           block->clusters) {
        if (block->map[i] != FIXED_RAM_LAYER_OWN) {
            block->map[i] = FIXED_RAM_LAYER_OWN;
            *cluster = i;
            return true;
        }
        i++;
    }
    return false;
}

/*
 * Write
 */

/* A layer that no cluster needs any more is not named; the base always is. */
static void count_used(const FixedRamDelta *delta, bool used[LAYERS_MAX + 1])
{
    used[1] = true;
    for (size_t i = 0; i < delta->blocks->len; i++) {
        const FixedRamDeltaBlock *block = g_ptr_array_index(delta->blocks, i);

        for (uint64_t at = 0; at < block->clusters; at++) {
            used[block->map[at]] = true;
        }
    }
}

/* @number: in the numbers of a block's map */
static void add_layer(const FixedRamDelta *delta, const char *name,
                      uint8_t number, FixedRamIndexLayers *layers)
{
    const FixedRamSnapshot *s = number == 1 ? delta->base
        : fixed_ram_layer(delta->base->layers, number - 1)->snapshot;
    FixedRamIndexLayer layer = {
        .digest = fixed_ram_index_digest(s->index),
        .start = s->start,
        .path = fixed_ram_layers_name(name, g_ptr_array_index(delta->paths,
                                                              number - 1)),
    };

    memcpy(layer.id, s->index->id, sizeof(layer.id));
    fixed_ram_index_layers_add(layers, &layer);
    g_free(layer.path);
}

/* The caller frees the map. */
static uint8_t *make_map(const FixedRamDelta *delta,
                         const uint8_t numbers[LAYERS_MAX + 1],
                         uint64_t *length)
{
    uint8_t *map, *to;

    *length = 0;
    for (size_t i = 0; i < delta->blocks->len; i++) {
        const FixedRamDeltaBlock *block = g_ptr_array_index(delta->blocks, i);

        *length += block->clusters;
    }
    map = to = g_malloc0(*length);
    for (size_t i = 0; i < delta->blocks->len; i++) {
        const FixedRamDeltaBlock *block = g_ptr_array_index(delta->blocks, i);

        for (uint64_t at = 0; at < block->clusters; at++) {
            *to++ = numbers[block->map[at]];
        }
    }
    return map;
}

static bool write_map(int fd, const char *name, const uint8_t *map,
                      uint64_t length, uint64_t offset, Error **errp)
{
    for (uint64_t at = 0; at < length; at += PIECE_BYTES) {
        size_t n = MIN(length - at, PIECE_BYTES);

        /* The last piece is written even so: the file must not end before. */
        if ((!buffer_is_zero(map + at, n) || at + n == length) &&
            !fixed_ram_write_snapshot(fd, name, map + at, n, offset + at,
                                      errp)) {
            return false;
        }
    }
    return true;
}

FixedRamIndexLayers *fixed_ram_delta_write(const FixedRamDelta *delta, int fd,
                                           const char *name, uint64_t offset,
                                           Error **errp)
{
    g_autoptr(FixedRamIndexLayers) layers = fixed_ram_index_layers_new();
    uint8_t numbers[LAYERS_MAX + 1] = { };
    bool used[LAYERS_MAX + 1] = { };
    g_autofree uint8_t *map = NULL;

    count_used(delta, used);
    for (uint8_t i = 1; i <= delta->paths->len; i++) {
        if (used[i]) {
            add_layer(delta, name, i, layers);
            numbers[i] = layers->list->len;
        }
    }
    map = make_map(delta, numbers, &layers->map_length);
    layers->map_offset = offset;
    layers->map_sum = fixed_ram_sums_get(map, layers->map_length);
    if (!write_map(fd, name, map, layers->map_length, offset, errp)) {
        return NULL;
    }
    return g_steal_pointer(&layers);
}

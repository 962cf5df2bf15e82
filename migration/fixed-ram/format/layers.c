/*
 * fixed-ram: the files that a delta takes its pages from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "layers.h"
#include "sums.h"
#include "../util/thread.h"

/* Bytes of the map that are read at once. */
#define PIECE_BYTES     (64 * KiB)

/* An identity in hexadecimal, and its terminator. */
#define ID_TEXT_BYTES   (2 * FIXED_RAM_ID_BYTES + 1)

static FixedRamLayers *layers_new(const FixedRamSnapshot *s)
{
    FixedRamLayers *layers = fixed_ram_layers_new(s->source);

    layers->clusters = s->index->layers->map_length;
    for (size_t i = 0; i < s->index->blocks->len; i++) {
        const FixedRamIndexBlock *from = fixed_ram_index_block(s->index, i);
        FixedRamLayeredBlock block = {
            .pages_offset = from->pages_offset,
            .length = from->length,
            .first_cluster = from->first_cluster,
        };

        g_array_append_val(layers->blocks, block);
    }
    return layers;
}

/*
 * Open a layer
 */

static bool is_fdset(const char *delta)
{
    return g_str_has_prefix(delta, "/dev/fdset/");
}

/* Files lie beside each other, whatever link leads to the delta. */
static char *folder_of(const char *delta)
{
    char *real = realpath(delta, NULL);
    char *folder = g_path_get_dirname(real ?: delta);

    free(real);
    return folder;
}

char *fixed_ram_layers_path(const char *delta, const char *path, Error **errp)
{
    g_autofree char *folder = NULL;

    if (g_path_is_absolute(path)) {
        return g_strdup(path);
    }
    if (is_fdset(delta)) {
        error_setg(errp, "its path is relative, and a descriptor of the delta "
                   "does not say in which folder it lies");
        return NULL;
    }
    folder = folder_of(delta);
    return g_build_filename(folder, path, NULL);
}

char *fixed_ram_layers_name(const char *delta, const char *path)
{
    g_autofree char *folder = folder_of(delta);
    g_autofree char *prefix = g_strconcat(folder, "/", NULL);
    const char *rest = path;

    if (!is_fdset(delta)) {
        strstart(path, prefix, &rest);
    }
    return g_strdup(rest);
}

static void print_id(const uint8_t *id, char text[ID_TEXT_BYTES])
{
    memset(text, 0, ID_TEXT_BYTES);
    qemu_hexdump_to_buffer(text, ID_TEXT_BYTES, id, FIXED_RAM_ID_BYTES);
}

/* Is @s the snapshot that the delta was saved to need? */
static bool check_identity(const FixedRamSnapshot *s,
                           const FixedRamIndexLayer *expected, Error **errp)
{
    char found_id[ID_TEXT_BYTES], expected_id[ID_TEXT_BYTES];
    uint64_t digest;

    print_id(expected->id, expected_id);
    if (!s->index || !s->index->has_sums) {
        error_setg(errp, "snapshot '%s' has no identity or no checksums, "
                   "expected identity %s", s->source->name, expected_id);
        return false;
    }
    print_id(s->index->id, found_id);
    if (memcmp(s->index->id, expected->id, sizeof(expected->id))) {
        error_setg(errp, "snapshot '%s' is another one: it has identity %s, "
                   "expected %s", s->source->name, found_id, expected_id);
        return false;
    }
    digest = fixed_ram_index_digest(s->index);
    if (digest != expected->digest) {
        error_setg(errp, "snapshot '%s' was changed: the index of %s has "
                   "digest 0x%016" PRIx64 ", expected 0x%016" PRIx64,
                   s->source->name, found_id, digest, expected->digest);
        return false;
    }
    return true;
}

FixedRamSnapshot *fixed_ram_layers_open_one(const FixedRamSnapshot *s,
                                            const FixedRamIndexLayer *named,
                                            const FixedRamLayersConfig *config,
                                            Error **errp)
{
    g_autofree char *path = fixed_ram_layers_path(s->source->path, named->path,
                                                  errp);
    g_autoptr(FixedRamSource) source = NULL;
    g_autoptr(FixedRamSnapshot) layer = NULL;

    source = path ? fixed_ram_source_open_file(path, named->start,
                                               config->direct, errp)
                  : NULL;
    if (!source) {
        return NULL;
    }
    if (config->wrap) {
        source = config->wrap(source);
    }
    fixed_ram_source_spare_cache(source);
    layer = fixed_ram_snapshot_open(source, named->start, s->page_size, errp);
    if (!layer || !check_identity(layer, named, errp)) {
        return NULL;
    }
    return g_steal_pointer(&layer);
}

static uint64_t find_pages(const FixedRamSnapshot *layer,
                           const FixedRamIndexBlock *block)
{
    const FixedRamBlockInfo *info = fixed_ram_ramsection_find(layer->ram,
                                                              block->name);

    return info && info->length == block->length ? info->pages_offset
                                                 : FIXED_RAM_NO_BLOCK;
}

/* Takes @opened. */
static void add_layer(FixedRamLayers *layers, const FixedRamSnapshot *s,
                      FixedRamSnapshot *opened)
{
    FixedRamLayer *layer = fixed_ram_layers_add(layers, opened);

    layer->pages_offset = g_new0(uint64_t, s->index->blocks->len);
    for (size_t i = 0; i < s->index->blocks->len; i++) {
        layer->pages_offset[i] =
            find_pages(opened, fixed_ram_index_block(s->index, i));
    }
}

/*
 * Open all layers
 *
 * A disk answers the reads for one layer one after the other, so all layers are
 * opened at once, each by a thread of its own.  The caller waits for them.
 */

typedef struct Opening {
    const FixedRamSnapshot *s;
    const FixedRamIndexLayer *named;
    const FixedRamLayersConfig *config;
    QemuThread thread;
    bool has_thread;
    FixedRamSnapshot *opened;   /* the thread's until it is joined; NULL: */
    Error *err;                 /* why the layer cannot be opened */
} Opening;

static void *open_thread(void *opaque)
{
    Opening *o = opaque;

    o->opened = fixed_ram_layers_open_one(o->s, o->named, o->config, &o->err);
    return NULL;
}

static void begin_opening(Opening *o)
{
    o->has_thread = fixed_ram_thread_create(&o->thread, "fixed-ram/open",
                                            open_thread, o,
                                            QEMU_THREAD_JOINABLE, NULL);
    if (!o->has_thread) {
        open_thread(o);
    }
}

static void end_opening(Opening *o)
{
    if (o->has_thread) {
        qemu_thread_join(&o->thread);
    }
}

/* Add the layers in their order.  The error is that of the first bad one. */
static bool open_all(FixedRamLayers *layers, const FixedRamSnapshot *s,
                     const FixedRamLayersConfig *config, Error **errp)
{
    ERRP_GUARD();
    size_t n = s->index->layers->list->len;
    g_autofree Opening *all = g_new0(Opening, n);

    for (size_t i = 0; i < n; i++) {
        all[i].s = s;
        all[i].named = fixed_ram_index_layer(s->index->layers, i + 1);
        all[i].config = config;
        begin_opening(&all[i]);
    }
    for (size_t i = 0; i < n; i++) {
        end_opening(&all[i]);
        if (all[i].opened) {
            add_layer(layers, s, all[i].opened);
        } else if (!*errp) {
            error_propagate_prepend(errp, all[i].err, "delta '%s': layer %zu "
                                    "of %zu, '%s': ", s->source->name, i + 1,
                                    n, all[i].named->path);
        } else {
            error_free(all[i].err);
        }
    }
    return !*errp;
}

/*
 * The map
 */

static bool read_map(FixedRamLayers *layers, const FixedRamSnapshot *s,
                     Error **errp)
{
    const FixedRamIndexLayers *named = s->index->layers;
    uint64_t at = 0, sum;

    layers->map = g_try_malloc0(layers->clusters);
    if (!layers->map) {
        error_setg(errp, "snapshot '%s': cannot allocate a map of %" PRIu64
                   " clusters", s->source->name, layers->clusters);
        return false;
    }
    while (at < layers->clusters) {
        uint64_t data = fixed_ram_source_next_data(s->source,
                                                   named->map_offset + at);
        size_t n;

        at = MIN(data - named->map_offset, layers->clusters);
        n = MIN(layers->clusters - at, PIECE_BYTES);
        if (!fixed_ram_source_read(s->source, layers->map + at, n,
                                   named->map_offset + at, errp)) {
            error_prepend(errp, "map of layers: ");
            return false;
        }
        at += n;
    }
    sum = fixed_ram_sums_get(layers->map, layers->clusters);
    if (sum != named->map_sum) {
        error_setg(errp, "snapshot '%s': the map of layers at offset 0x%"
                   PRIx64 " has checksum 0x%016" PRIx64 ", expected 0x%016"
                   PRIx64, s->source->name, named->map_offset, sum,
                   named->map_sum);
        return false;
    }
    return true;
}

/* May a cluster of block number @i lie in @layer? */
static bool check_entry(const FixedRamLayers *layers,
                        const FixedRamSnapshot *s, size_t i, uint64_t cluster,
                        Error **errp)
{
    const FixedRamIndexBlock *block = fixed_ram_index_block(s->index, i);
    uint64_t number = block->first_cluster + cluster;
    uint8_t layer = layers->map[number];

    if (layer > layers->list->len) {
        error_setg(errp, "snapshot '%s': the map of layers at offset 0x%"
                   PRIx64 " names layer %u, there are %u", s->source->name,
                   s->index->layers->map_offset + number, layer,
                   layers->list->len);
        return false;
    }
    if (layer && fixed_ram_layer(layers, layer)->pages_offset[i] ==
                 FIXED_RAM_NO_BLOCK) {
        error_setg(errp, "snapshot '%s': by the map of layers at offset 0x%"
                   PRIx64 " block '%s' has clusters in layer %u, '%s', which "
                   "has no block of this name with 0x%" PRIx64 " bytes",
                   s->source->name, s->index->layers->map_offset + number,
                   block->name, layer,
                   fixed_ram_layer(layers, layer)->snapshot->source->name,
                   block->length);
        return false;
    }
    return true;
}

/* Runs of equal entries are long: look at the first of each. */
static bool check_map(const FixedRamLayers *layers, const FixedRamSnapshot *s,
                      Error **errp)
{
    for (size_t i = 0; i < s->index->blocks->len; i++) {
        const FixedRamIndexBlock *block = fixed_ram_index_block(s->index, i);
        const uint8_t *map = layers->map + block->first_cluster;
        uint64_t clusters = fixed_ram_sums_clusters(block->length);

        for (uint64_t at = 0; at < clusters; at++) {
            if ((!at || map[at] != map[at - 1]) &&
                !check_entry(layers, s, i, at, errp)) {
                return false;
            }
        }
    }
    return true;
}

bool fixed_ram_layers_open(FixedRamSnapshot *s,
                           const FixedRamLayersConfig *config, Error **errp)
{
    g_autoptr(FixedRamLayers) layers = NULL;

    if (!s->index || !s->index->layers || s->source->ops->part) {
        return true;
    }
    if (!fixed_ram_sums_built()) {
        error_setg(errp, "snapshot '%s' is a delta, which a build without "
                   "libxxhash cannot load", s->source->name);
        return false;
    }
    layers = layers_new(s);
    if (!open_all(layers, s, config, errp) || !read_map(layers, s, errp) ||
        !check_map(layers, s, errp)) {
        return false;
    }
    fixed_ram_layers_source(layers);
    fixed_ram_source_unref(s->source);
    s->layers = g_steal_pointer(&layers);
    s->source = &s->layers->parent;
    return true;
}

const FixedRamSource *fixed_ram_layers_own(const FixedRamSnapshot *s)
{
    return s->layers ? s->layers->own : s->source;
}

bool fixed_ram_layers_same_file(const FixedRamSnapshot *a,
                                const FixedRamSnapshot *b)
{
    int fd = fixed_ram_source_map_fd(fixed_ram_layers_own(b));

    return a->start == b->start &&
           fixed_ram_source_is_file(fixed_ram_layers_own(a), fd);
}

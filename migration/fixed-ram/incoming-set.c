/*
 * fixed-ram: which pages a load brings first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "format/index-layers.h"
#include "format/layered.h"
#include "incoming-set.h"
#include "settings.h"
#include "trace.h"

/* NULL: the file has none, or a bad one. */
static FixedRamWorkingSet *read_set(const FixedRamSnapshot *s)
{
    FixedRamWorkingSet *set = NULL;
    Error *err = NULL;

    if (s->index && s->index->set_problem) {
        err = error_copy(s->index->set_problem);
    } else if (s->index && s->index->has_set) {
        set = fixed_ram_working_set_read(s->index, s->source, &err);
    }
    if (err) {
        warn_reportf_err(err, "The snapshot's working set is ignored: ");
    }
    return set;
}

/*
 * A delta
 */

typedef struct DeltaSet {
    const FixedRamLayers *layers;
    const FixedRamMap *map;
    FixedRamWorkingSet *set;    /* grows */
} DeltaSet;

/* Is the cluster that has this page in the delta's own file? */
static bool is_own(const DeltaSet *d, const FixedRamBlock *block,
                   uint64_t page)
{
    const FixedRamLayeredBlock *layered =
        &g_array_index(d->layers->blocks, FixedRamLayeredBlock, block->number);
    uint64_t cluster = page * block->page_size / FIXED_RAM_CLUSTER_BYTES;

    return d->layers->map[layered->first_cluster + cluster] ==
           FIXED_RAM_LAYER_OWN;
}

/* The page after the last one of this page's cluster, @end at most. */
static uint64_t cluster_end(const FixedRamBlock *block, uint64_t page,
                            uint64_t end)
{
    return MIN(ROUND_UP(page + 1, FIXED_RAM_CLUSTER_BYTES / block->page_size),
               end);
}

static bool add_pages(const DeltaSet *d, const FixedRamBlock *block,
                      uint64_t page, uint64_t end, bool data)
{
    return fixed_ram_working_set_add(d->set, block->number, page, end - page,
                                     data);
}

/* Those with data.  Returns false if the set is full. */
static bool add_own_pages(const DeltaSet *d, const FixedRamBlock *block)
{
    uint64_t pages = block->length / block->page_size;
    uint64_t page = find_next_bit(block->data, pages, 0);

    while (page < pages) {
        uint64_t end = cluster_end(block, page, pages);

        if (is_own(d, block, page)) {
            end = find_next_zero_bit(block->data, end, page);
            if (!add_pages(d, block, page, end, true)) {
                return false;
            }
        }
        page = find_next_bit(block->data, pages, end);
    }
    return true;
}

/* The block that a run of the layer's set means; NULL: there is none now. */
static const FixedRamBlock *block_of(const DeltaSet *d,
                                     const FixedRamSnapshot *layer,
                                     const FixedRamSetRun *run)
{
    const FixedRamIndexBlock *saved = fixed_ram_index_block(layer->index,
                                                            run->block);

    for (size_t i = 0; i < d->map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(d->map, i);

        if (!strcmp(block->name, saved->name) &&
            block->length == saved->length &&
            block->page_size == saved->page_size) {
            return block;
        }
    }
    return NULL;
}

/* The part of a run of a layer's set that the delta does not replace. */
static bool add_run(const DeltaSet *d, const FixedRamBlock *block,
                    const FixedRamSetRun *run)
{
    uint64_t page = run->first, end = run->first + run->pages;

    while (page < end) {
        uint64_t next = cluster_end(block, page, end);

        if (!is_own(d, block, page) &&
            !add_pages(d, block, page, next, run->data)) {
            return false;
        }
        page = next;
    }
    return true;
}

/* The packed copy stays out: the layer's file has it, and old pages in it. */
static void add_set(const DeltaSet *d, const FixedRamSnapshot *layer,
                    const FixedRamWorkingSet *set)
{
    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);
        const FixedRamBlock *block = block_of(d, layer, run);

        if (block && !add_run(d, block, run)) {
            break;
        }
    }
}

static void add_nearest_set(const DeltaSet *d)
{
    for (size_t i = 1; i <= d->layers->list->len; i++) {
        const FixedRamSnapshot *layer = fixed_ram_layer(d->layers, i)->snapshot;
        g_autoptr(FixedRamWorkingSet) set = read_set(layer);

        if (set) {
            d->set->kind = set->kind;
            add_set(d, layer, set);
            break;
        }
    }
}

static FixedRamWorkingSet *delta_set(const FixedRamIncoming *in)
{
    DeltaSet d = {
        .layers = in->snapshot->layers,
        .map = in->map,
        .set = fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_GUESSED),
    };

    for (size_t i = 0; in->on_demand && i < in->map->blocks->len; i++) {
        if (!add_own_pages(&d, fixed_ram_map_block(in->map, i))) {
            break;
        }
    }
    trace_fixed_ram_incoming_delta_set(in->name, d.set->pages);
    add_nearest_set(&d);
    if (!d.set->pages) {
        fixed_ram_working_set_free(g_steal_pointer(&d.set));
    }
    return d.set;
}

void fixed_ram_incoming_read_set(FixedRamIncoming *in)
{
    if (!(in->on_demand || in->mapped) || in->record.seconds ||
        !fixed_ram_settings_working_set()) {
        return;
    }
    in->set = read_set(in->snapshot);
    if (!in->set && in->snapshot->layers) {
        in->set = delta_set(in);
    }
}

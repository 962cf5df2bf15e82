/*
 * fixed-ram: save what differs from another snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/host-utils.h"
#include "system/runstate.h"
#include "../migration.h"
#include "../options.h"
#include "compat.h"
#include "format/sums.h"
#include "mapped.h"
#include "outgoing-absent.h"
#include "outgoing-delta.h"
#include "trace.h"

/* In the header of each block: no reader of full snapshots accepts it. */
#define DELTA_HEADER_VERSION    2

/* NULL: the save under way is no delta.  See the header for its threads. */
static FixedRamDelta *delta;

static bool check(Error **errp)
{
    const char *why = NULL;

    if (!migrate_background_snapshot() && runstate_is_live(runstate_get())) {
        why = "the guest runs: stop it, or set background-snapshot";
    } else if (!fixed_ram_sums_built()) {
        why = "QEMU was built without libxxhash";
    } else if (!migrate_fixed_ram_verify()) {
        why = "there are no checksums without 'fixed-ram-verify'";
    }
    if (why) {
        error_setg(errp, "fixed-ram-base is set, but %s", why);
    }
    return !why;
}

bool fixed_ram_outgoing_delta_open(int fd, const char *name, Error **errp)
{
    const char *path = migrate_get_current()->parameters.fixed_ram_base;
    g_autoptr(FixedRamDelta) opened = NULL;

    if (!path || !*path) {
        return true;
    }
    if (!check(errp)) {
        return false;
    }
    opened = fixed_ram_delta_new(path, qemu_target_page_size(), errp);
    if (!opened) {
        error_prepend(errp, "fixed-ram-base: ");
        return false;
    }
    if (fixed_ram_delta_is_file(opened, fd)) {
        error_setg(errp, "snapshot '%s' cannot be a delta to '%s': it is that "
                   "file, or one of its layers", name, path);
        return false;
    }
    trace_fixed_ram_outgoing_delta(name, fixed_ram_delta_name(opened));
    delta = g_steal_pointer(&opened);
    return true;
}

void fixed_ram_outgoing_delta_close(void)
{
    fixed_ram_delta_free(g_steal_pointer(&delta));
}

FixedRamDelta *fixed_ram_outgoing_delta(void)
{
    return delta;
}

uint32_t fixed_ram_outgoing_version(uint32_t full)
{
    return delta ? DELTA_HEADER_VERSION : full;
}

void fixed_ram_outgoing_delta_written(const RAMBlock *block, uint64_t offset,
                                      uint64_t length)
{
    if (delta) {
        fixed_ram_delta_written(fixed_ram_delta_find(delta, block->idstr),
                                offset, length);
    }
}

/* What is kept of one block. */
typedef struct Keeper {
    RAMBlock *rb;
    const FixedRamMemory *mem;
    FixedRamDeltaBlock *block;
    unsigned long *todo;
    uint64_t pages;
    uint64_t per_cluster;
    const unsigned long *base;  /* its bitmap */
    FixedRamBulkProgress *kept;
} Keeper;

/* The word of a page bitmap that has all pages of the cluster. */
static size_t cluster_word(const Keeper *k, uint64_t cluster)
{
    return BIT_WORD(cluster * k->per_cluster);
}

/* How many pages the cluster has: the last one of a block may have fewer. */
static unsigned cluster_pages(const Keeper *k, uint64_t cluster)
{
    return MIN(k->per_cluster, k->pages - cluster * k->per_cluster);
}

static unsigned long cluster_mask(const Keeper *k, uint64_t cluster)
{
    return MAKE_64BIT_MASK(cluster * k->per_cluster % BITS_PER_LONG,
                           cluster_pages(k, cluster));
}

/* All pages of the cluster are to be saved, and are what the base has. */
static bool keep_cluster(const Keeper *k, uint64_t cluster, Error **errp)
{
    size_t word = cluster_word(k, cluster);
    unsigned long mask = cluster_mask(k, cluster);
    unsigned long data = k->base[word] & mask;
    unsigned with_data = ctpopl(data);
    uint64_t sum;

    if (data) {
        if (!fixed_ram_delta_keep(k->block, cluster, &sum, errp)) {
            return false;
        }
        fixed_ram_page_sums_know(k->rb->page_sums, cluster, sum);
    }
    k->rb->file_bmap[word] |= data;
    k->todo[word] &= ~mask;
    k->kept->data_pages += with_data;
    k->kept->zero_pages += cluster_pages(k, cluster) - with_data;
    return true;
}

static bool keep_clusters(const Keeper *k, const unsigned long *written,
                          uint64_t clusters, Error **errp)
{
    uint64_t cluster = find_next_zero_bit(written, clusters, 0);

    while (cluster < clusters) {
        unsigned long mask = cluster_mask(k, cluster);

        if ((k->todo[cluster_word(k, cluster)] & mask) == mask &&
            !keep_cluster(k, cluster, errp)) {
            return false;
        }
        cluster = find_next_zero_bit(written, clusters, cluster + 1);
    }
    return true;
}

/* Are all pages of the cluster still to come from the base? */
static bool is_absent(const Keeper *k, const FixedRamPopulated *populated,
                      uint64_t cluster)
{
    uint64_t size = qemu_target_page_size();
    size_t word = cluster_word(k, cluster);
    unsigned long data = k->base[word] & cluster_mask(k, cluster);

    /* The guest may have written to a page that is zero in the base. */
    return data && !(data & ~k->mem->absent[word]) &&
           !fixed_ram_populated_any(populated,
                                    cluster * FIXED_RAM_CLUSTER_BYTES,
                                    cluster_pages(k, cluster) * size);
}

static void find_absent(const Keeper *k, unsigned long *written,
                        uint64_t clusters)
{
    FixedRamPopulated *populated;

    populated = fixed_ram_populated_new(k->mem, qemu_target_page_size());
    for (uint64_t i = 0; i < clusters; i++) {
        if (!is_absent(k, populated, i)) {
            set_bit(i, written);
        }
    }
    fixed_ram_populated_free(populated);
}

/* Returns false if only a comparison tells what has been written to. */
static bool find_written(const Keeper *k, unsigned long *written,
                         uint64_t clusters)
{
    const FixedRamSnapshot *base = fixed_ram_delta_base(delta);

    if (k->mem->absent && fixed_ram_outgoing_absent_in(base)) {
        find_absent(k, written, clusters);
        return true;
    }
    return fixed_ram_mapped_written(base, k->rb->host, FIXED_RAM_CLUSTER_BYTES,
                                    written);
}

bool fixed_ram_outgoing_delta_keep(RAMBlock *rb, const FixedRamMemory *mem,
                                   unsigned long *todo,
                                   FixedRamBulkProgress *kept, Error **errp)
{
    uint64_t clusters = fixed_ram_sums_clusters(rb->used_length);
    g_autofree unsigned long *written = NULL;
    Keeper k = {
        .rb = rb,
        .mem = mem,
        .todo = todo,
        .pages = rb->used_length / qemu_target_page_size(),
        .per_cluster = FIXED_RAM_CLUSTER_BYTES / qemu_target_page_size(),
        .kept = kept,
    };

    if (!delta ||
        !(mem->absent || fixed_ram_mapped_has(rb->host, mem->length))) {
        return true;
    }
    assert(k.per_cluster <= BITS_PER_LONG);
    k.block = fixed_ram_delta_find(delta, rb->idstr);
    if (!fixed_ram_delta_in_base(k.block)) {
        return true;
    }
    if (!fixed_ram_delta_read_bitmap(k.block, errp)) {
        return false;
    }
    k.base = fixed_ram_delta_bitmap(k.block);
    written = bitmap_new(clusters);
    if (!find_written(&k, written, clusters)) {
        return true;
    }
    trace_fixed_ram_outgoing_delta_keep(rb->idstr, clusters,
                                        bitmap_count_one(written, clusters));
    return keep_clusters(&k, written, clusters, errp);
}

/* Write the pages from @first up to @end that have data. */
static bool write_cluster(RAMBlock *block, uint64_t first, uint64_t end,
                          FixedRamWriteFunc *write, Error **errp)
{
    uint64_t size = qemu_target_page_size();
    uint64_t from = find_next_bit(block->file_bmap, end, first);

    while (from < end) {
        uint64_t to = find_next_zero_bit(block->file_bmap, end, from);

        if (!write(block, from * size, (to - from) * size, errp)) {
            return false;
        }
        from = find_next_bit(block->file_bmap, end, to);
    }
    return true;
}

/*
 * A page of a cluster that was kept may have become zero since: nothing was
 * written then, but the cluster is not what the base has.
 */
static void note_zeroed(const RAMBlock *block, FixedRamDeltaBlock *torn,
                        uint64_t pages)
{
    const unsigned long *base = fixed_ram_delta_bitmap(torn);
    uint64_t size = qemu_target_page_size();

    for (uint64_t i = 0; base && i < BITS_TO_LONGS(pages); i++) {
        unsigned long differ = base[i] ^ block->file_bmap[i];

        while (differ) {
            uint64_t page = i * BITS_PER_LONG + ctzl(differ);

            fixed_ram_delta_written(torn, page * size, size);
            differ &= differ - 1;
        }
    }
}

bool fixed_ram_outgoing_delta_complete(RAMBlock *block,
                                       FixedRamWriteFunc *write, Error **errp)
{
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / qemu_target_page_size();
    uint64_t pages = block->used_length / qemu_target_page_size();
    FixedRamDeltaBlock *torn;
    uint64_t cluster = 0;

    if (!delta) {
        return true;
    }
    torn = fixed_ram_delta_find(delta, block->idstr);
    note_zeroed(block, torn, pages);
    while (fixed_ram_delta_next_torn(torn, &cluster)) {
        uint64_t first = cluster * per_cluster;

        fixed_ram_page_sums_know(block->page_sums, cluster, 0);
        if (!write_cluster(block, first, MIN(first + per_cluster, pages),
                           write, errp)) {
            return false;
        }
    }
    return true;
}

/*
 * fixed-ram: collect pages of a snapshot that lie anywhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "pack.h"
#include "sums.h"

bool fixed_ram_packer_init(FixedRamPacker *packer, const FixedRamSnapshot *s,
                           unsigned long *const *data, Error **errp)
{
    *packer = (FixedRamPacker) {
        .s = s, .data = data, .table = fixed_ram_sumtable_new(s->index),
    };
    return fixed_ram_buffer_map(&packer->cluster, FIXED_RAM_CLUSTER_BYTES,
                                errp);
}

void fixed_ram_packer_destroy(FixedRamPacker *packer)
{
    fixed_ram_buffer_unmap(&packer->cluster);
    fixed_ram_sumtable_unref(packer->table);
}

static int compare_pages(const void *a, const void *b)
{
    const FixedRamPackPage *x = a, *y = b;

    if (x->block != y->block) {
        return x->block < y->block ? -1 : 1;
    }
    return x->page < y->page ? -1 : x->page > y->page;
}

static bool verify(const FixedRamPacker *packer, uint32_t number,
                   const FixedRamCluster *cluster, Error **errp)
{
    const FixedRamIndexBlock *block = fixed_ram_index_block(packer->s->index,
                                                            number);
    uint64_t offset = cluster->page * cluster->page_size;
    uint64_t found = fixed_ram_sumtable_sum_cluster(packer->table, cluster);
    uint64_t expected;

    if (!fixed_ram_sumtable_get(packer->table, packer->s->source,
                                block->first_cluster +
                                offset / FIXED_RAM_CLUSTER_BYTES,
                                &expected, errp)) {
        return false;
    }
    if (found != expected) {
        error_setg(errp, "snapshot '%s': block '%s' offset 0x%" PRIx64 ": the "
                   "content at offset 0x%" PRIx64 " of the file is not what "
                   "was saved: checksum 0x%016" PRIx64 ", expected 0x%016"
                   PRIx64, packer->s->source->name, block->name, offset,
                   block->pages_offset + offset, found, expected);
    }
    return found == expected;
}

/* Read the cluster that begins at @page of a block. */
static bool read_cluster(FixedRamPacker *packer, uint32_t number,
                         uint64_t page, Error **errp)
{
    const FixedRamIndexBlock *block = fixed_ram_index_block(packer->s->index,
                                                            number);
    uint64_t offset = page * block->page_size;
    uint64_t length = MIN(FIXED_RAM_CLUSTER_BYTES, block->length - offset);
    FixedRamCluster cluster = {
        .buf = packer->cluster.mem, .data = packer->data[number],
        .page = page, .pages = length / block->page_size,
        .page_size = block->page_size,
    };

    if (packer->go_on && !packer->go_on(packer->opaque)) {
        error_setg(errp, "snapshot '%s': packing pages was given up",
                   packer->s->source->name);
        return false;
    }
    if (!fixed_ram_source_read_pages(packer->s->source, packer->cluster.mem,
                                     length, block->pages_offset + offset,
                                     errp)) {
        error_prepend(errp, "block '%s': ", block->name);
        return false;
    }
    return !packer->table || verify(packer, number, &cluster, errp);
}

bool fixed_ram_packer_collect(FixedRamPacker *packer, FixedRamPackPage *pages,
                              size_t count, uint8_t *out, Error **errp)
{
    uint64_t size = fixed_ram_index_block(packer->s->index, 0)->page_size;
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / size;
    const FixedRamPackPage *last = NULL;

    qsort(pages, count, sizeof(*pages), compare_pages);
    for (size_t i = 0; i < count; i++) {
        const FixedRamPackPage *p = &pages[i];
        uint64_t first = ROUND_DOWN(p->page, per_cluster);

        if ((!last || last->block != p->block || last->page < first) &&
            !read_cluster(packer, p->block, first, errp)) {
            return false;
        }
        memcpy(out + p->place * size,
               packer->cluster.mem + (p->page - first) * size, size);
        last = p;
    }
    return true;
}

/*
 * fixed-ram: guest memory that is mapped becomes what the file has
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/madvise.h"
#include "copies.h"
#include "mapped-block.h"
#include "restore.h"

/*
 * The kernel cannot always join a piece that is mapped again with what is
 * beside it, so that mappings become more.  After so many the whole block is
 * mapped again.
 */
#define PIECES_MAX          512

typedef struct Restore {
    const FixedRamMapping *mapping;
    FixedRamMappedBlock *block;
    int pagemap;                /* see copies.h */
    FixedRamMappingChanged *changed;
} Restore;

static int map_piece(const Restore *r, uint64_t from, uint64_t to)
{
    const FixedRamMappedBlock *block = r->block;
    uint8_t *at = block->host + from;
    int ret;

    if (from >= to) {
        return 0;
    }
    ret = fixed_ram_mapped_block_map_pages(block, r->mapping->source, from,
                                           to);
    if (!ret) {
        qemu_madvise(at, to - from, MADV_RANDOM);
        fixed_ram_mapped_block_advise(block, at, to - from);
        r->changed(block->name, from, to - from);
    }
    return ret;
}

/*
 * @cover: number of the first cover that may reach into the range; moved on.
 * Covers stay what they are, anonymous memory.
 */
static int map_between_covers(const Restore *r, uint64_t from, uint64_t to,
                              size_t *cover)
{
    const GArray *covers = r->block->covers;

    for (; *cover < covers->len; (*cover)++) {
        const FixedRamRun *run = &g_array_index(covers, FixedRamRun, *cover);
        int ret;

        if (run->offset >= to) {
            break;
        }
        ret = map_piece(r, from, run->offset);
        if (ret) {
            return ret;
        }
        from = MAX(from, run->offset + run->length);
        if (from > to) {
            /* It may reach into the next range, too. */
            return 0;
        }
    }
    return map_piece(r, from, to);
}

static int map_all(const Restore *r)
{
    FixedRamMappedBlock *block = r->block;
    int ret = fixed_ram_mapped_block_map(block, r->mapping->source);

    if (!ret) {
        fixed_ram_mapped_block_advise(block, block->host, block->length);
        block->pieces = 0;
        r->changed(block->name, 0, block->length);
    }
    return ret;
}

static int map_replaced(const Restore *r)
{
    FixedRamMappedBlock *block = r->block;
    size_t size = qemu_real_host_page_size();
    uint64_t pages = block->replaced ? block->length / size : 0;
    uint64_t page = find_next_bit(block->replaced, pages, 0);
    size_t cover = 0;
    int ret = 0;

    while (!ret && page < pages) {
        uint64_t end = find_next_zero_bit(block->replaced, pages, page);

        if (++block->pieces > PIECES_MAX) {
            return map_all(r);
        }
        ret = map_between_covers(r, page * size, end * size, &cover);
        page = find_next_bit(block->replaced, pages, end);
    }
    return ret;
}

/* Where the kernel does not tell, clean pages go, too; they are read again. */
static int drop(void *opaque, uint8_t *start, uint8_t *end)
{
    const Restore *r = opaque;

    if (qemu_madvise(start, end - start, QEMU_MADV_DONTNEED)) {
        return -errno;
    }
    r->changed(r->block->name, start - r->block->host, end - start);
    return 0;
}

static int drop_copies(Restore *r)
{
    uint8_t *host = r->block->host;

    return fixed_ram_copies_each(r->pagemap, host, host + r->block->length,
                                 drop, r);
}

static bool restore_block(Restore *r, FixedRamMappedBlock *block,
                          Error **errp)
{
    int ret = map_replaced(r);

    if (!ret) {
        g_free(g_steal_pointer(&block->replaced));
        ret = drop_copies(r);
    }
    if (ret) {
        error_setg_errno(errp, -ret, "snapshot '%s': block '%s' cannot be "
                         "restored", r->mapping->source->name, block->name);
    }
    return !ret;
}

bool fixed_ram_mapping_restore(FixedRamMapping *mapping,
                               FixedRamMappingChanged *changed, Error **errp)
{
    Restore r = {
        .mapping = mapping,
        .pagemap = fixed_ram_copies_open(),
        .changed = changed,
    };
    bool ok = true;

    for (size_t i = 0; ok && i < mapping->count; i++) {
        FixedRamMappedBlock *block = &mapping->blocks[i];

        r.block = block;
        ok = !block->host || restore_block(&r, block, errp);
    }
    if (r.pagemap >= 0) {
        close(r.pagemap);
    }
    return ok;
}

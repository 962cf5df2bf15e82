/*
 * fixed-ram: guest memory that is mapped and has been written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "copies.h"
#include "mapped-block.h"
#include "written.h"

typedef struct Written {
    const FixedRamMappedBlock *block;
    uint64_t unit;
    unsigned long *bits;
} Written;

/* @from, @to: bytes in the block, at least one */
static void note(const Written *w, uint64_t from, uint64_t to)
{
    uint64_t first = from / w->unit;

    bitmap_set(w->bits, first, (to - 1) / w->unit + 1 - first);
}

static void note_replaced(const Written *w)
{
    const FixedRamMappedBlock *block = w->block;
    size_t size = qemu_real_host_page_size();
    uint64_t pages = block->replaced ? block->length / size : 0;
    uint64_t page = find_next_bit(block->replaced, pages, 0);

    while (page < pages) {
        uint64_t end = find_next_zero_bit(block->replaced, pages, page);

        note(w, page * size, end * size);
        page = find_next_bit(block->replaced, pages, end);
    }
}

static int note_copies(void *opaque, uint8_t *start, uint8_t *end)
{
    const Written *w = opaque;

    note(w, start - w->block->host, end - w->block->host);
    return 0;
}

bool fixed_ram_mapping_written(const FixedRamMapping *mapping,
                               const void *host, uint64_t unit,
                               unsigned long *written)
{
    Written w = { .unit = unit, .bits = written };
    int pagemap;

    for (size_t i = 0; i < mapping->count; i++) {
        if (mapping->blocks[i].host == host) {
            w.block = &mapping->blocks[i];
        }
    }
    if (!host || !w.block) {
        return false;
    }
    pagemap = fixed_ram_copies_open();
    note_replaced(&w);
    fixed_ram_copies_each(pagemap, w.block->host,
                          w.block->host + w.block->length, note_copies, &w);
    if (pagemap >= 0) {
        close(pagemap);
    }
    return true;
}

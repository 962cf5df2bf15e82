/*
 * fixed-ram: guest memory that is mapped and has been written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/madvise.h"
#include "qemu/units.h"
#include "copies.h"
#include "mapped-block.h"
#include "written.h"

/*
 * What is to be read of a block: more than this is read best in order, by the
 * threads that need it.
 */
#define READ_AHEAD_MAX  (256 * MiB)

typedef struct Written {
    const FixedRamMappedBlock *block;
    uint64_t unit;
    unsigned long *bits;
    uint64_t end;               /* bytes: of the last copies */
    uint64_t rest;              /* bytes beside copies, in the same units */
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

static void read_ahead(Written *w, uint64_t from, uint64_t to)
{
    w->rest += MAX(from, to) - from;
    if (from < to && w->rest <= READ_AHEAD_MAX) {
        /* A failure is ignored: the caller merely waits for the reads. */
        qemu_madvise(w->block->host + from, to - from, QEMU_MADV_WILLNEED);
    }
}

/* Of units that were written to, read ahead what is the file's up to @next. */
static void read_ahead_between(Written *w, uint64_t next)
{
    uint64_t tail = MIN(ROUND_UP(w->end, w->unit), next);

    read_ahead(w, w->end, tail);
    read_ahead(w, MAX(ROUND_DOWN(next, w->unit), tail), next);
}

static int note_copies(void *opaque, uint8_t *start, uint8_t *end)
{
    Written *w = opaque;

    read_ahead_between(w, start - w->block->host);
    w->end = end - w->block->host;
    note(w, start - w->block->host, w->end);
    return 0;
}

/* Little of the block is going to be read, and that was asked for. */
static bool is_asked_for(const Written *w)
{
    uint64_t units = DIV_ROUND_UP(w->block->length, w->unit);

    return w->rest <= READ_AHEAD_MAX &&
           bitmap_count_one(w->bits, units) < units / 2;
}

static void look(Written *w)
{
    const FixedRamMappedBlock *block = w->block;
    int pagemap = fixed_ram_copies_open();

    note_replaced(w);
    fixed_ram_copies_each(pagemap, block->host, block->host + block->length,
                          note_copies, w);
    read_ahead(w, w->end, MIN(ROUND_UP(w->end, w->unit), block->length));
    if (is_asked_for(w)) {
        fixed_ram_mapped_block_expect(block, false);
    }
    if (pagemap >= 0) {
        close(pagemap);
    }
}

bool fixed_ram_mapping_written(const FixedRamMapping *mapping,
                               const void *host, uint64_t unit,
                               unsigned long *written)
{
    Written w = { .unit = unit, .bits = written };

    for (size_t i = 0; i < mapping->count; i++) {
        if (mapping->blocks[i].host == host) {
            w.block = &mapping->blocks[i];
        }
    }
    if (!host || !w.block) {
        return false;
    }
    look(&w);
    return true;
}

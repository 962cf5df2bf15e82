/*
 * fixed-ram: a working set, piece by piece in the order of first touch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "order.h"

/* How many pages of @block from @page to before @end are like the first? */
static uint64_t alike(const FixedRamBlock *block, uint64_t page, uint64_t end,
                      bool *data)
{
    *data = test_bit(page, block->data);
    return (*data ? find_next_zero_bit(block->data, end, page)
                  : find_next_bit(block->data, end, page)) - page;
}

bool fixed_ram_order_next(const FixedRamWorkingSet *set,
                          const FixedRamMap *map, FixedRamOrder *at,
                          uint64_t most, FixedRamOrderPiece *piece)
{
    const FixedRamSetRun *run;
    uint64_t page, pages, size, extent;

    if (at->run == set->runs->len) {
        return false;
    }
    run = fixed_ram_working_set_run(set, at->run);
    piece->block = fixed_ram_map_block(map, run->block);
    size = piece->block->page_size;
    extent = piece->block->extent_units * piece->block->unit / size;
    page = run->first + at->page;
    pages = alike(piece->block, page,
                  MIN(run->first + run->pages, ROUND_UP(page + 1, extent)),
                  &piece->data);
    piece->packed = run->data;
    if (run->data) {
        pages = MIN(pages, MAX(most / size, 1));
        at->packed += pages * size;
    }
    piece->run = (FixedRamRun) {
        .offset = page * size, .length = pages * size,
    };
    at->page += pages;
    if (at->page == run->pages) {
        at->page = 0;
        at->run++;
    }
    return true;
}

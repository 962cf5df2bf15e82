/*
 * fixed-ram: protect all memory in a short stop
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "freeze.h"
#include "../util/thread.h"

/* What one thread looks at, at once; a multiple of a bitmap's word. */
#define STRETCH         (64 * MiB)
#define HELPERS_MAX     3

typedef struct Freeze {
    FixedRamProtect *protect;
    const FixedRamFreezeBlock *blocks;
    size_t nblocks;
    size_t page_size;
    size_t next;                /* atomic: a stretch's number */
    int error;                  /* atomic: 0 or a negative errno */
} Freeze;

/* @number: among the stretches of all blocks.  NULL: there is none. */
static const FixedRamFreezeBlock *find_stretch(const Freeze *f, size_t number,
                                               uint64_t *offset)
{
    for (size_t i = 0; i < f->nblocks; i++) {
        size_t n = DIV_ROUND_UP(f->blocks[i].mem->length, STRETCH);

        if (number < n) {
            *offset = number * STRETCH;
            return &f->blocks[i];
        }
        number -= n;
    }
    return NULL;
}

static void leave_out_absent(const Freeze *f, const FixedRamFreezeBlock *block,
                             uint64_t offset, uint64_t end)
{
    unsigned long *todo = block->todo + BIT_WORD(offset / f->page_size);
    uint64_t pages = (end - offset) / f->page_size;
    g_autofree unsigned long *present = bitmap_new(pages);

    fixed_ram_populated_get(block->populated, offset, end - offset, present);
    bitmap_and(todo, todo, present, pages);
}

static int protect(const Freeze *f, const FixedRamFreezeBlock *block,
                   uint64_t offset, uint64_t length)
{
    return fixed_ram_protect_set(f->protect,
                                 (uint8_t *)block->mem->host + offset, length);
}

static int protect_rest(const Freeze *f, const FixedRamFreezeBlock *block,
                        uint64_t offset, uint64_t end)
{
    FixedRamWritable ranges[256];
    int ret = 0;

    while (!ret && offset < end) {
        uint64_t from = offset;
        int n = fixed_ram_populated_writable(block->populated, &offset, end,
                                             ranges, ARRAY_SIZE(ranges));

        if (n < 0) {
            return protect(f, block, from, end - from);
        }
        for (int i = 0; !ret && i < n; i++) {
            ret = protect(f, block, ranges[i].offset, ranges[i].length);
        }
    }
    return ret;
}

static void *freeze_thread(void *opaque)
{
    Freeze *f = opaque;
    const FixedRamFreezeBlock *block;
    uint64_t offset;

    while (!qatomic_read(&f->error) &&
           (block = find_stretch(f, qatomic_fetch_inc(&f->next), &offset))) {
        uint64_t end = MIN(offset + STRETCH, block->mem->length);
        int ret = protect_rest(f, block, offset, end);

        if (ret) {
            qatomic_set(&f->error, ret);
            break;
        }
        leave_out_absent(f, block, offset, end);
    }
    return NULL;
}

int fixed_ram_freeze(FixedRamProtect *protect,
                     const FixedRamFreezeBlock *blocks, size_t nblocks,
                     size_t page_size)
{
    int wanted = MIN(g_get_num_processors() - 1, HELPERS_MAX), helpers = 0;
    QemuThread threads[HELPERS_MAX];
    Freeze f = {
        .protect = protect,
        .blocks = blocks,
        .nblocks = nblocks,
        .page_size = page_size,
    };

    while (helpers < wanted &&
           fixed_ram_thread_create(&threads[helpers], "fixed-ram/stop",
                                   freeze_thread, &f, QEMU_THREAD_JOINABLE,
                                   NULL)) {
        helpers++;
    }
    freeze_thread(&f);
    while (helpers) {
        qemu_thread_join(&threads[--helpers]);
    }
    return f.error;
}

int fixed_ram_freeze_early(FixedRamProtect *protect,
                           const FixedRamFreezeBlock *blocks, size_t nblocks)
{
    for (size_t i = 0; i < nblocks; i++) {
        const FixedRamMemory *mem = blocks[i].mem;

        /* In pieces: a thread that maps or unmaps memory waits for one. */
        for (uint64_t at = 0; at < mem->length; at += STRETCH) {
            int ret = fixed_ram_protect_set(protect,
                                            (uint8_t *)mem->host + at,
                                            MIN(STRETCH, mem->length - at));

            if (ret) {
                return ret;
            }
        }
    }
    return 0;
}

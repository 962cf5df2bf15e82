/*
 * fixed-ram: have the pages of a working set mapped before the guest needs them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "warm.h"
#include "../trace.h"
#include "../util/memory.h"
#include "../util/thread.h"

/* How far the kernel reads ahead of the page that is mapped. */
#define AHEAD_BYTES     (8 * MiB)
/* Mapped at once; then the thread looks whether it shall end. */
#define STEP_BYTES      (1 * MiB)

struct FixedRamWarm {
    /* Do not change while the thread runs. */
    FixedRamWorkingSet *set;
    FixedRamSource *source;
    GArray *blocks;             /* of FixedRamWarmBlock */
    /* Atomic. */
    unsigned refs;              /* of the caller and of the thread */
    bool stop;
};

static void warm_unref(FixedRamWarm *warm)
{
    if (qatomic_fetch_dec(&warm->refs) == 1) {
        fixed_ram_working_set_free(warm->set);
        fixed_ram_source_unref(warm->source);
        g_array_unref(warm->blocks);
        g_free(warm);
    }
}

static const FixedRamWarmBlock *block_of(const FixedRamWarm *warm,
                                         const FixedRamSetRun *run)
{
    return &g_array_index(warm->blocks, FixedRamWarmBlock, run->block);
}

/* Returns the bytes that the kernel has been asked to read. */
static uint64_t expect_run(const FixedRamWarm *warm, const FixedRamSetRun *run)
{
    const FixedRamWarmBlock *block = block_of(warm, run);
    uint64_t bytes = run->pages * block->page_size;

    if (!run->data) {
        return 0;
    }
    fixed_ram_source_expect(warm->source, block->pages_offset +
                            run->first * block->page_size, bytes);
    return bytes;
}

/* Returns the bytes that were mapped. */
static uint64_t map_run(const FixedRamWarm *warm, const FixedRamSetRun *run)
{
    const FixedRamWarmBlock *block = block_of(warm, run);
    uint8_t *at = block->host + run->first * block->page_size;
    uint64_t bytes = run->pages * block->page_size;

    if (!run->data) {
        return 0;
    }
    for (uint64_t done = 0; done < bytes && !qatomic_read(&warm->stop);
         done += STEP_BYTES) {
        /* The block may have been unplugged meanwhile. */
        fixed_ram_memory_warm(at + done, MIN(bytes - done, STEP_BYTES));
    }
    return bytes;
}

static void *warm_thread(void *opaque)
{
    FixedRamWarm *warm = opaque;
    size_t runs = warm->set->runs->len, next = 0;
    uint64_t expected = 0, mapped = 0;

    for (size_t i = 0; i < runs && !qatomic_read(&warm->stop); i++) {
        while (next < runs && expected < mapped + AHEAD_BYTES) {
            expected += expect_run(warm,
                                   fixed_ram_working_set_run(warm->set,
                                                             next++));
        }
        mapped += map_run(warm, fixed_ram_working_set_run(warm->set, i));
    }
    trace_fixed_ram_warm(warm->source->name, mapped,
                         qatomic_read(&warm->stop));
    warm_unref(warm);
    return NULL;
}

FixedRamWarm *fixed_ram_warm_start(FixedRamWorkingSet *set,
                                   FixedRamSource *source, GArray *blocks)
{
    FixedRamWarm *warm = g_new0(FixedRamWarm, 1);
    QemuThread thread;

    warm->set = set;
    warm->source = fixed_ram_source_ref(source);
    warm->blocks = blocks;
    warm->refs = 2;
    if (!fixed_ram_thread_create(&thread, "fixed-ram/warm", warm_thread, warm,
                                 QEMU_THREAD_DETACHED, NULL)) {
        warm->refs = 1;
        warm_unref(warm);
        return NULL;
    }
    return warm;
}

void fixed_ram_warm_stop(FixedRamWarm *warm)
{
    if (warm) {
        qatomic_set(&warm->stop, true);
        warm_unref(warm);
    }
}

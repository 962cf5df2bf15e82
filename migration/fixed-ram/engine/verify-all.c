/*
 * fixed-ram: verify all pages of a snapshot before it is loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/units.h"
#include "../trace.h"
#include "../util/buffer.h"
#include "../util/thread.h"
#include "verify-all.h"
#include "verify.h"

/* Zero pages between two others are read along, as a load does. */
#define GAP_BYTES       (64 * KiB)

typedef struct Pass {
    /* Fixed before the threads start */
    const FixedRamMap *map;
    FixedRamSource *source;
    FixedRamSumTable *sums;
    /* Atomic */
    uint64_t next;              /* extent that is taken next, in all blocks */
    bool failed;                /* no further extent is taken */
    /* Protected by @lock */
    QemuMutex lock;
    uint64_t bad;               /* the extent of @err */
    Error *err;
} Pass;

static uint64_t block_extents(const FixedRamBlock *block)
{
    return DIV_ROUND_UP(block->length, FIXED_RAM_EXTENT_BYTES);
}

/* Extent @number of all blocks; NULL: there are not so many. */
static const FixedRamBlock *find_extent(const Pass *pass, uint64_t number,
                                        FixedRamRun *extent)
{
    for (size_t i = 0; i < pass->map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(pass->map, i);

        if (number < block_extents(block)) {
            extent->offset = number * FIXED_RAM_EXTENT_BYTES;
            extent->length = MIN(FIXED_RAM_EXTENT_BYTES,
                                 block->length - extent->offset);
            return block;
        }
        number -= block_extents(block);
    }
    return NULL;
}

static bool read_extent(const Pass *pass, const FixedRamBlock *block,
                        const FixedRamRun *extent, uint8_t *buf, Error **errp)
{
    uint64_t at = extent->offset, end = at + extent->length;
    FixedRamRun data;

    while (fixed_ram_block_next_data(block, at, end, GAP_BYTES, &data)) {
        if (!fixed_ram_source_read_pages(pass->source,
                                         buf + (data.offset - extent->offset),
                                         data.length,
                                         block->pages_offset + data.offset,
                                         errp)) {
            return false;
        }
        at = data.offset + data.length;
    }
    return true;
}

static bool verify_extent(const Pass *pass, const FixedRamBlock *block,
                          const FixedRamRun *extent, uint8_t *buf,
                          Error **errp)
{
    uint64_t at = extent->offset, end = at + extent->length;
    FixedRamRun data;

    if (!read_extent(pass, block, extent, buf, errp)) {
        return false;
    }
    /* Clusters without data are zero, whatever the table says. */
    while (fixed_ram_block_next_data(block, at, end, 0, &data)) {
        uint64_t cluster = ROUND_DOWN(data.offset, FIXED_RAM_CLUSTER_BYTES);

        if (!fixed_ram_verify_cluster(block, cluster,
                                      buf + (cluster - extent->offset),
                                      pass->sums, pass->source, errp)) {
            return false;
        }
        at = cluster + FIXED_RAM_CLUSTER_BYTES;
    }
    return true;
}

/* Takes @err. */
static void note_failure(Pass *pass, uint64_t number, Error *err)
{
    QEMU_LOCK_GUARD(&pass->lock);
    qatomic_set(&pass->failed, true);
    if (pass->err && pass->bad < number) {
        error_free(err);
        return;
    }
    error_free(pass->err);
    pass->err = err;
    pass->bad = number;
}

static void *verify_thread(void *opaque)
{
    Pass *pass = opaque;
    FixedRamBuffer buffer = { };
    Error *err = NULL;

    if (!fixed_ram_buffer_map(&buffer, FIXED_RAM_EXTENT_BYTES, &err)) {
        note_failure(pass, UINT64_MAX, err);
    }
    while (!qatomic_read(&pass->failed)) {
        uint64_t number = qatomic_fetch_inc(&pass->next);
        FixedRamRun extent;
        const FixedRamBlock *block = find_extent(pass, number, &extent);

        if (!block) {
            break;
        }
        if (!verify_extent(pass, block, &extent, buffer.mem, &err)) {
            note_failure(pass, number, g_steal_pointer(&err));
        }
    }
    fixed_ram_buffer_unmap(&buffer);
    return NULL;
}

static void run_threads(Pass *pass, unsigned others)
{
    g_autofree QemuThread *thread = g_new0(QemuThread, others);
    unsigned started = 0;

    /* If the host allows no further thread, there are fewer. */
    while (started < others &&
           fixed_ram_thread_create(&thread[started], "fixed-ram/check",
                                   verify_thread, pass, QEMU_THREAD_JOINABLE,
                                   NULL)) {
        started++;
    }
    verify_thread(pass);
    for (unsigned i = 0; i < started; i++) {
        qemu_thread_join(&thread[i]);
    }
}

bool fixed_ram_verify_all(const FixedRamMap *map, FixedRamSource *source,
                          FixedRamSumTable *sums, unsigned threads,
                          Error **errp)
{
    Pass pass = { .map = map, .source = source, .sums = sums };

    qemu_mutex_init(&pass.lock);
    run_threads(&pass, threads - 1);
    qemu_mutex_destroy(&pass.lock);
    trace_fixed_ram_verify_all(source->name, threads, pass.next,
                               pass.err ? error_get_pretty(pass.err) : "");
    error_propagate(errp, pass.err);
    return !pass.err;
}

/*
 * qemu-snapshot check: read all pages and verify them, with several threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/qemu-progress.h"
#include "block.h"
#include "damage.h"
#include "verify.h"
#include "watch.h"
#include "../util/thread.h"

#define PROGRESS_MS     100

typedef struct Verify {
    /* Set before the threads start. */
    const ToolFile *file;
    uint64_t chunks;            /* in all blocks */
    /* Atomic. */
    uint64_t next;              /* number of the next chunk to check */
    /* Protected by @lock. */
    QemuMutex lock;
    QemuCond change;            /* @ended has changed */
    unsigned ended;             /* threads that have ended */
    uint64_t done;              /* chunks */
    uint64_t verified;          /* bytes that are what was saved */
    GArray *damage;             /* of ToolDamage */
} Verify;

static uint64_t block_chunks(const ToolBlock *block)
{
    return DIV_ROUND_UP(block->length, TOOL_CHUNK_BYTES);
}

/* Takes the next chunk; @block gets the number of its block in the file. */
static bool next_chunk(Verify *v, ToolPages *p, size_t *block)
{
    uint64_t n = qatomic_fetch_inc(&v->next);
    uint64_t per_chunk;

    if (n >= v->chunks) {
        return false;
    }
    for (*block = 0; ; (*block)++) {
        p->block = tool_file_block(v->file, *block);
        if (n < block_chunks(p->block)) {
            break;
        }
        n -= block_chunks(p->block);
    }
    per_chunk = TOOL_CHUNK_BYTES / p->block->page_size;
    p->page = n * per_chunk;
    p->pages = MIN(per_chunk, p->block->pages - p->page);
    return true;
}

static void note_damage(Verify *v, size_t block, const ToolBad *bad)
{
    ToolDamage damage = {
        .block = block,
        .bad = *bad,
        .unreadable = bad->error && tool_watch_failed(),
    };

    QEMU_LOCK_GUARD(&v->lock);
    tool_damage_add(v->damage, damage);
}

/* Returns how many clusters are damaged. */
static uint64_t verify(Verify *v, const ToolPages *p, size_t block)
{
    uint64_t cluster = tool_block_first_cluster(p);
    uint64_t count = 0;
    ToolBad bad;

    for (; tool_block_find_bad(p, cluster, &bad); cluster = bad.cluster + 1) {
        note_damage(v, block, &bad);
        count++;
    }
    return count;
}

static uint64_t check_chunk(Verify *v, const ToolPages *p, size_t block);

/* Reading the whole chunk has failed: find out which clusters fail. */
static uint64_t check_each(Verify *v, const ToolPages *p, size_t block)
{
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / p->block->page_size;
    uint64_t count = 0;

    for (uint64_t at = 0; at < p->pages; at += per_cluster) {
        ToolPages part = *p;

        part.page += at;
        part.pages = MIN(per_cluster, p->pages - at);
        count += check_chunk(v, &part, block);
    }
    return count;
}

static uint64_t check_chunk(Verify *v, const ToolPages *p, size_t block)
{
    ToolBad bad = { .cluster = tool_block_first_cluster(p) };

    if (!tool_block_has_data(p->block, p->page, p->pages) ||
        tool_block_read(p, &bad.error)) {
        return verify(v, p, block);
    }
    if (fixed_ram_sums_clusters(p->pages * p->block->page_size) > 1) {
        error_free(bad.error);
        tool_watch_failed();    /* forget this failure; it comes again */
        return check_each(v, p, block);
    }
    note_damage(v, block, &bad);
    return 1;
}

static void *verify_thread(void *opaque)
{
    Verify *v = opaque;
    ToolPages p = { .file = v->file, .buf = tool_buffer_new() };
    size_t block;

    while (next_chunk(v, &p, &block)) {
        uint64_t bytes = p.pages * p.block->page_size;
        uint64_t bad = check_chunk(v, &p, block) * FIXED_RAM_CLUSTER_BYTES;

        QEMU_LOCK_GUARD(&v->lock);
        v->done++;
        v->verified += bytes - MIN(bytes, bad);
    }
    qemu_vfree(p.buf);
    QEMU_LOCK_GUARD(&v->lock);
    v->ended++;
    qemu_cond_signal(&v->change);
    return NULL;
}

static void wait_for_threads(Verify *v, unsigned count)
{
    uint64_t shown = 0;

    QEMU_LOCK_GUARD(&v->lock);
    while (v->ended < count) {
        qemu_cond_timedwait(&v->change, &v->lock, PROGRESS_MS);
        qemu_progress_print(100.0 * (v->done - shown) / MAX(v->chunks, 1),
                            100);
        shown = v->done;
    }
}

static void run_threads(Verify *v, unsigned count)
{
    g_autofree QemuThread *thread = g_new0(QemuThread, count);
    unsigned started = 0;

    while (started < count &&
           fixed_ram_thread_create(&thread[started], "check", verify_thread,
                                   v, QEMU_THREAD_JOINABLE, NULL)) {
        started++;
    }
    if (!started) {
        /* The host allows no further thread. */
        verify_thread(v);
    }
    wait_for_threads(v, started);
    for (unsigned i = 0; i < started; i++) {
        qemu_thread_join(&thread[i]);
    }
}

void tool_verify_pages(const ToolFile *file, unsigned threads,
                       FixedRamCheckInfo *info)
{
    Verify v = { .file = file, .damage = tool_damage_new() };

    for (size_t i = 0; i < file->blocks->len; i++) {
        v.chunks += block_chunks(tool_file_block(file, i));
    }
    qemu_mutex_init(&v.lock);
    qemu_cond_init(&v.change);
    run_threads(&v, MIN(threads, MAX(v.chunks, 1)));
    qemu_cond_destroy(&v.change);
    qemu_mutex_destroy(&v.lock);
    info->verified = v.verified;
    tool_damage_report(v.damage, file, info);
    g_array_unref(v.damage);
}

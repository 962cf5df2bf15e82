/*
 * fixed-ram: save the RAM of a stopped guest in bulk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/main-loop.h"
#include "qemu/units.h"
#include "system/runstate.h"
#include "../migration.h"
#include "../migration-stats.h"
#include "../options.h"
#include "../qemu-file.h"
#include "../ram.h"
#include "compat.h"
#include "mapped.h"
#include "save/bulk.h"
#include "outgoing-absent.h"
#include "outgoing-bulk.h"
#include "outgoing-delta.h"
#include "settings.h"
#include "trace.h"
#include "util/io.h"

/*
 * If the guest is stopped when its save begins, saver threads write its RAM by
 * large writes.  The migration thread clears the dirty bitmaps and the dirty
 * log at the start, as if all pages were sent.  A device that writes to a page
 * afterwards makes it dirty again, and the migration thread saves that page as
 * usual.  If the guest is started meanwhile, the bulk save ends, and the
 * migration thread saves the pages that no saver has looked at.
 *
 * The migration thread owns all of this.
 */
typedef struct SaveBulk {
    FixedRamBulk *bulk;         /* NULL: the bulk save has not started */
    FixedRamBulkConfig config;
    int direct_fd;              /* a descriptor of our own, or -1 */
    GPtrArray *rams;            /* RAMBlocks; a reference to each region */
    GArray *blocks;             /* FixedRamBulkBlocks, in the order of @rams */
    FixedRamBulkProgress kept;  /* what a delta leaves to its base at once */
    FixedRamBulkProgress told;  /* the part that migration's counters have */
} SaveBulk;

/* Interval at which the migration thread updates counters and the rate. */
#define TURN_MS         BUFFER_DELAY

/* NULL: there is no bulk save, or it has ended. */
static SaveBulk *saving;
/* Pages with data that the savers of the last bulk save have written. */
static uint64_t data_pages;

static FixedRamBulkBlock *bulk_block(const SaveBulk *s, size_t i)
{
    return &g_array_index(s->blocks, FixedRamBulkBlock, i);
}

static void unref_regions_bh(void *opaque)
{
    GPtrArray *rams = opaque;

    for (size_t i = 0; i < rams->len; i++) {
        RAMBlock *rb = g_ptr_array_index(rams, i);

        memory_region_unref(rb->mr);
    }
    g_ptr_array_unref(rams);
}

static void save_bulk_free(SaveBulk *s)
{
    fixed_ram_bulk_free(s->bulk);
    for (size_t i = 0; i < s->blocks->len; i++) {
        g_free(bulk_block(s, i)->todo);
        g_free((void *)bulk_block(s, i)->mem.absent);
    }
    if (s->direct_fd >= 0) {
        qemu_close(s->direct_fd);
    }
    g_array_unref(s->blocks);
    /*
     * Dropping the last reference may finalize a device, which needs the big
     * lock: do it in the main loop.
     */
    aio_bh_schedule_oneshot(qemu_get_aio_context(), unref_regions_bh, s->rams);
    g_free(s);
}

FixedRamMemory fixed_ram_outgoing_memory(RAMBlock *rb)
{
    uint64_t length = qemu_ram_get_used_length(rb);
    /*
     * The kernel cannot tell about memory that QEMU did not map.  And in a
     * mapping of a snapshot, a page that is not populated is the file's.
     */
    bool ours = !(rb->flags & RAM_PREALLOC) &&
                !fixed_ram_mapped_has(rb->host, length);

    return (FixedRamMemory) {
        .host = rb->host,
        .length = length,
        .shared = qemu_ram_is_shared(rb) || !ours,
        .fd = ours ? rb->fd : -1,
        .fd_offset = rb->fd_offset,
    };
}

/* The savers take over all pages of @rb that are dirty. */
static int take_block(RAMBlock *rb, void *opaque)
{
    SaveBulk *s = opaque;
    const FixedRamDelta *delta = fixed_ram_outgoing_delta();
    uint64_t pages = qemu_ram_get_used_length(rb) / s->config.page_size;
    FixedRamBulkBlock block = {
        .name = rb->idstr,
        .mem = fixed_ram_outgoing_memory(rb),
        .pages_offset = rb->pages_offset,
        .todo = rb->bmap,
        .data = rb->file_bmap,
        .sums = rb->page_sums,
        .delta = delta ? fixed_ram_delta_find(delta, rb->idstr) : NULL,
    };

    block.mem.absent = fixed_ram_outgoing_absent(rb);

    /* A reset may unplug the block while savers read it. */
    memory_region_ref(rb->mr);
    g_array_append_val(s->blocks, block);
    g_ptr_array_add(s->rams, rb);
    migration_clear_memory_region_dirty_bitmap_range(rb, 0, pages);
    /* All users of @bmap hold the bitmaps' lock, as our caller does. */
    rb->bmap = bitmap_new(rb->max_length / s->config.page_size);
    return 0;
}

/*
 * Mark as dirty again the pages that no saver has saved.  @dirty_pages already
 * includes them.  A page that became dirty again meanwhile was counted twice,
 * so it is subtracted once.
 */
static void give_back(const SaveBulk *s, uint64_t *dirty_pages)
{
    for (size_t i = 0; i < s->blocks->len; i++) {
        const FixedRamBulkBlock *block = bulk_block(s, i);
        RAMBlock *rb = g_ptr_array_index(s->rams, i);
        uint64_t pages = block->mem.length / s->config.page_size, page = 0;

        while ((page = find_next_bit(block->todo, pages, page)) < pages) {
            *dirty_pages -= test_and_set_bit(page, rb->bmap);
            page++;
        }
    }
}

/*
 * Use a descriptor with O_DIRECT if the file can be opened that way.  The file
 * system may still refuse direct writes: an error only if a user @wanted them.
 */
static void open_direct(SaveBulk *s, bool wanted)
{
    s->direct_fd = qemu_open(s->config.name, O_WRONLY | O_DIRECT, NULL);
    if (s->direct_fd >= 0 &&
        fixed_ram_same_file(s->direct_fd, s->config.fd)) {
        s->config.buffered_fd = wanted ? -1 : s->config.fd;
        s->config.fd = s->direct_fd;
        s->config.direct = true;
    }
}

/*
 * Only a limit that a user has set counts.  QEMU itself sets no rate for a
 * background snapshot.
 */
static uint64_t bandwidth(void *opaque)
{
    if (!fixed_ram_settings_limited()) {
        return 0;
    }
    return migrate_background_snapshot()
           ? migrate_max_bandwidth()
           : migration_rate_get() * (1000 / BUFFER_DELAY);
}

/* Will no page change that no saver has seen? */
static bool memory_stands(void)
{
    FixedRamLive *live = saving->config.live;

    return live ? !fixed_ram_live_lost(live)
                : !runstate_is_live(runstate_get());
}

void fixed_ram_outgoing_bulk_prepare(const FixedRamMetadata *file,
                                     FixedRamLive *live)
{
    SaveBulk *s = g_new0(SaveBulk, 1);

    s->config = (FixedRamBulkConfig) {
        .name = file->name,
        .fd = file->fd,
        .buffered_fd = -1,
        .workers = migrate_multifd() ? migrate_multifd_channels() : 0,
        .page_size = qemu_target_page_size(),
        .bandwidth = bandwidth,
        .live = live,
    };
    s->direct_fd = -1;
    s->blocks = g_array_new(false, false, sizeof(FixedRamBulkBlock));
    s->rams = g_ptr_array_new();
    saving = s;
    data_pages = 0;
}

static bool keep_blocks(SaveBulk *s, Error **errp)
{
    for (size_t i = 0; i < s->rams->len; i++) {
        FixedRamBulkBlock *block = bulk_block(s, i);

        if (!fixed_ram_outgoing_delta_keep(g_ptr_array_index(s->rams, i),
                                           &block->mem, block->todo, &s->kept,
                                           errp)) {
            return false;
        }
    }
    return true;
}

static bool save_bulk_start(SaveBulk *s, Error **errp)
{
    OnOffAuto direct = fixed_ram_settings_direct();

    if (direct != ON_OFF_AUTO_OFF) {
        open_direct(s, direct == ON_OFF_AUTO_ON);
    }
    foreach_not_ignored_block(take_block, s);
    if (!keep_blocks(s, errp)) {
        return false;
    }
    s->bulk = fixed_ram_bulk_start(&s->config,
                                   (FixedRamBulkBlock *)s->blocks->data,
                                   s->blocks->len, errp);
    trace_fixed_ram_outgoing_bulk_start(s->config.name, s->blocks->len,
                                        s->config.workers, s->config.direct,
                                        bandwidth(NULL));
    return s->bulk;
}

/* Update migration's counters.  Returns the pages saved since the last call. */
static uint64_t account(SaveBulk *s, uint64_t *dirty_pages)
{
    FixedRamBulkProgress now;
    uint64_t data, zero, bytes;

    fixed_ram_bulk_progress(s->bulk, &now);
    now.data_pages += s->kept.data_pages;
    now.zero_pages += s->kept.zero_pages;
    data = now.data_pages - s->told.data_pages;
    zero = now.zero_pages - s->told.zero_pages;
    bytes = now.bytes - s->told.bytes;
    s->told = now;
    *dirty_pages -= data + zero;
    fixed_ram_stat_add(&mig_stats.normal_pages, data);
    fixed_ram_stat_add(&mig_stats.zero_pages, zero);
    fixed_ram_stat_add(migrate_multifd() ? &mig_stats.multifd_bytes
                                         : &mig_stats.qemu_file_transferred,
                       bytes);
    ram_transferred_add(bytes);
    if (!fixed_ram_settings_limited() || s->config.live) {
        /* Else the migration thread would wait because of these bytes. */
        migration_rate_reset();
    }
    return data + zero;
}

/*
 * Pages that were absent at the freeze have no bit, but were counted.  Pages
 * that are left are not what they were: the save fails.
 */
static bool end_frozen(const SaveBulk *s, uint64_t *dirty_pages, Error **errp)
{
    if (fixed_ram_live_lost(s->config.live)) {
        error_setg(errp, "snapshot '%s': the guest was held up for %d seconds "
                   "because the file took no data, so it went on without the "
                   "save", s->config.name, FIXED_RAM_LIVE_PATIENCE_MS / 1000);
        return false;
    }
    for (size_t i = 0; i < s->blocks->len; i++) {
        const FixedRamBulkBlock *block = bulk_block(s, i);

        if (!bitmap_empty(block->todo,
                          block->mem.length / s->config.page_size)) {
            error_setg(errp, "snapshot '%s': the host allows no thread to save "
                       "block '%s'", s->config.name, block->name);
            return false;
        }
    }
    fixed_ram_stat_add(&mig_stats.zero_pages, *dirty_pages);
    *dirty_pages = 0;
    return true;
}

/* All pages are saved, or the guest has been started. */
static int save_bulk_finish(uint64_t *dirty_pages, Error **errp)
{
    SaveBulk *s = g_steal_pointer(&saving);
    bool ok = fixed_ram_bulk_finish(s->bulk, errp);
    uint64_t pages = account(s, dirty_pages);

    if (ok && s->config.live) {
        ok = end_frozen(s, dirty_pages, errp);
    }
    if (ok) {
        give_back(s, dirty_pages);
        data_pages = s->told.data_pages;
    }
    trace_fixed_ram_outgoing_bulk_finish(s->told.data_pages,
                                         s->told.zero_pages, s->told.bytes,
                                         ok);
    save_bulk_free(s);
    return ok ? pages : -EIO;
}

static int save_bulk_turn(uint64_t *dirty_pages, Error **errp)
{
    SaveBulk *s = saving;

    if (fixed_ram_bulk_wait(s->bulk, TURN_MS) || !memory_stands()) {
        return save_bulk_finish(dirty_pages, errp);
    }
    /* 0 would mean that the bulk save has ended. */
    return MAX(account(s, dirty_pages), 1);
}

int fixed_ram_outgoing_bulk(QEMUFile *f, uint64_t *dirty_pages)
{
    Error *err = NULL;
    int ret = -EIO;

    if (saving && !saving->bulk && !saving->config.live && !memory_stands()) {
        fixed_ram_outgoing_bulk_end();
    }
    if (!saving) {
        return 0;
    }
    if (saving->bulk || save_bulk_start(saving, &err)) {
        ret = save_bulk_turn(dirty_pages, &err);
    }
    if (err) {
        qemu_file_set_error_obj(f, ret, err);
    }
    return ret;
}

uint64_t fixed_ram_outgoing_bulk_pending(void)
{
    return saving && memory_stands() ? 1 * EiB : 0;
}

void fixed_ram_outgoing_bulk_end(void)
{
    if (saving) {
        save_bulk_free(g_steal_pointer(&saving));
    }
}

uint64_t fixed_ram_outgoing_bulk_data_pages(void)
{
    return data_pages;
}

/*
 * fixed-ram: guest RAM that is a private mapping of the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include "migration/fixed-ram.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qemu/notify.h"
#include "qemu/rcu.h"
#include "system/qtest.h"
#include "system/system.h"
#include "system/xen.h"
#include "../postcopy-ram.h"
#include "../ram.h"
#include "compat.h"
#include "engine/restore.h"
#include "engine/warm.h"
#include "engine/written.h"
#include "format/layered.h"
#include "format/layers.h"
#include "mapped.h"
#include "mapped-pause.h"
#include "ramblocks.h"
#include "trace.h"

/* The kernel verifies each page of such a file; not in all C libraries. */
#ifndef FS_VERITY_FL
#define FS_VERITY_FL    0x00100000
#endif

/* NULL: the guest's RAM is no mapping.  Main thread, under the BQL. */
static FixedRamMapping *mapping;
static FixedRamSnapshot *snapshot;
static FixedRamWarm *warm;

/*
 * Pre-flight
 */

/* Why @rb cannot be replaced by a private mapping; NULL if it can. */
static const char *block_obstacle(RAMBlock *rb)
{
    if (qemu_ram_is_shared(rb)) {
        return "is shared with other processes";
    }
    if (rb->page_size != qemu_real_host_page_size()) {
        return "has huge pages, which files do not have";
    }
    if (rb->fd >= 0) {
        return "is a file already";
    }
    if (rb->flags & (RAM_PREALLOC | RAM_PROTECTED | RAM_GUEST_MEMFD)) {
        return "is memory of a special kind";
    }
    return NULL;
}

static bool check_blocks(Error **errp)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_MIGRATABLE(rb) {
        const char *obstacle = block_obstacle(rb);

        if (obstacle) {
            error_setg(errp, "RAM block '%s' %s", rb->idstr, obstacle);
            return false;
        }
    }
    return true;
}

bool fixed_ram_mapped_check(Error **errp)
{
    if (should_mlock(mlock_state)) {
        error_setg(errp, "the guest's memory is to be locked (mem-lock), which "
                   "would read all of the snapshot and copy it");
        return false;
    }
    if (xen_enabled()) {
        error_setg(errp, "Xen provides the guest's RAM");
        return false;
    }
    if (postcopy_has_notifiers()) {
        error_setg(errp, "a vhost-user device has the guest's RAM mapped in "
                   "another process");
        return false;
    }
    if (ram_block_discard_is_disabled()) {
        error_setg(errp, "a device keeps the guest's RAM pinned (VFIO, for "
                   "example)");
        return false;
    }
    return check_blocks(errp);
}

/* Of a delta all layers count. */
static bool for_all_files(const FixedRamSnapshot *s,
                          bool (*is)(const FixedRamSnapshot *s))
{
    for (size_t i = 1; s->layers && i <= s->layers->list->len; i++) {
        if (!is(fixed_ram_layer(s->layers, i)->snapshot)) {
            return false;
        }
    }
    return is(s);
}

/* Is the file zero wherever a page's bit is clear? */
static bool is_clean(const FixedRamSnapshot *s)
{
    return s->index && s->index->clean;
}

static bool has_verity(const FixedRamSnapshot *s)
{
    int flags = 0;

    return !ioctl(fixed_ram_source_map_fd(fixed_ram_layers_own(s)),
                  FS_IOC_GETFLAGS, &flags) && flags & FS_VERITY_FL;
}

FixedRamMapping *fixed_ram_mapped_plan(const FixedRamSnapshot *s,
                                       const FixedRamMap *map, Error **errp)
{
    if (!fixed_ram_source_locked(s->source)) {
        error_setg(errp, "snapshot '%s' cannot be mapped: its file system has "
                   "no locks, so it could change while the guest uses it",
                   s->source->name);
        return NULL;
    }
    return fixed_ram_mapping_new(map, s->source, for_all_files(s, is_clean),
                                 fixed_ram_mapping_limit(), errp);
}

bool fixed_ram_mapped_verified(const FixedRamSnapshot *s)
{
    return for_all_files(s, has_verity);
}

/*
 * The mapping
 */

static void block_removed(RAMBlockNotifier *n, void *host, size_t size,
                          size_t max_size)
{
    if (mapping) {
        fixed_ram_mapped_pause_forget(host);
        fixed_ram_mapping_forget(mapping, host);
    }
}

/* Descriptors of an fdset would keep the lock in another process. */
static void unlock_at_exit(Notifier *n, void *data)
{
    fixed_ram_warm_stop(g_steal_pointer(&warm));
    fixed_ram_mapping_free(g_steal_pointer(&mapping));
    /* Threads may have references, so the file stays open. */
    fixed_ram_source_unlock(snapshot->source);
}

/*
 * A save, or another outgoing migration, reads all of RAM in order.  A delta to
 * the mapped snapshot takes this back, see fixed_ram_mapping_written().
 */
static int outgoing_changed(NotifierWithReturn *n, MigrationEvent *e,
                            Error **errp)
{
    if (mapping) {
        fixed_ram_mapping_expect(mapping, e->type == MIG_EVENT_PRECOPY_SETUP);
    }
    return 0;
}

static void watch(void)
{
    static RAMBlockNotifier blocks = { .ram_block_removed = block_removed };
    static Notifier exit = { .notify = unlock_at_exit };
    static NotifierWithReturn outgoing;

    ram_block_notifier_add(&blocks);
    qemu_add_exit_notifier(&exit);
    migration_add_notifier(&outgoing, outgoing_changed);
}

static bool map_blocks(const FixedRamMap *map, Error **errp)
{
    const FixedRamMappingAdvice advice = {
        .fork = qtest_enabled(),
        .dump = machine_dump_guest_core(current_machine),
        .merge = machine_mem_merge(current_machine),
    };

    RCU_READ_LOCK_GUARD();
    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);
        RAMBlock *rb = qemu_ram_block_by_name(block->name);
        const char *obstacle = block_obstacle(rb);

        if (obstacle) {
            error_setg(errp, "RAM block '%s' %s since pre-flight", rb->idstr,
                       obstacle);
            return false;
        }
        if (!fixed_ram_mapping_apply(mapping, i, block->host,
                                     !(rb->flags & RAM_NORESERVE), &advice,
                                     errp)) {
            return false;
        }
    }
    return true;
}

static GArray *warm_blocks(const FixedRamMap *map)
{
    GArray *blocks = g_array_new(false, false, sizeof(FixedRamWarmBlock));

    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);
        FixedRamWarmBlock w = {
            .host = block->host,
            .pages_offset = block->pages_offset,
            .page_size = block->page_size,
        };

        g_array_append_val(blocks, w);
    }
    return blocks;
}

bool fixed_ram_mapped_map(FixedRamSnapshot *s, const FixedRamMap *map,
                          FixedRamSumTable *sums, FixedRamMapping *plan,
                          FixedRamWorkingSet *set, Error **errp)
{
    assert(!mapping);
    mapping = plan;
    snapshot = s;
    watch();
    if (!map_blocks(map, errp)) {
        fixed_ram_working_set_free(set);
        return false;
    }
    fixed_ram_mapped_pause_init(s, map, sums);
    if (set) {
        warm = fixed_ram_warm_start(set, s->source, warm_blocks(map));
    }
    return true;
}

bool fixed_ram_mapped_has(const void *host, size_t length)
{
    return mapping && fixed_ram_mapping_has(mapping, host, length);
}

bool fixed_ram_mapped_written(const FixedRamSnapshot *base, const void *host,
                              uint64_t unit, unsigned long *written)
{
    return mapping && fixed_ram_layers_same_file(base, snapshot) &&
           fixed_ram_mapping_written(mapping, host, unit, written);
}

bool fixed_ram_mapped_discard(void *host, size_t length, int *ret)
{
    if (!fixed_ram_mapped_has(host, length)) {
        return false;
    }
    *ret = fixed_ram_mapping_discard(mapping, host, length);
    return true;
}

/*
 * Back to the snapshot
 */

static bool check_same_blocks(Error **errp)
{
    const char *gone = fixed_ram_mapping_unplugged(mapping);
    RAMBlock *rb;

    if (gone) {
        error_setg(errp, "RAM block '%s' was unplugged since the load", gone);
        return false;
    }
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_MIGRATABLE(rb) {
        uint64_t length = fixed_ram_mapping_length(mapping, rb->idstr,
                                                   rb->host);

        if (!length) {
            error_setg(errp, "RAM block '%s' was plugged since the load",
                       rb->idstr);
            return false;
        }
        if (length != qemu_ram_get_used_length(rb)) {
            error_setg(errp, "RAM block '%s' has 0x%" PRIx64 " bytes, it had "
                       "0x%" PRIx64 " after the load", rb->idstr,
                       (uint64_t)qemu_ram_get_used_length(rb), length);
            return false;
        }
    }
    return true;
}

bool fixed_ram_mapped_check_restore(Error **errp)
{
    if (!mapping) {
        error_setg(errp, "the guest's RAM is no mapping of a snapshot "
                   "(fixed-ram-load-mode)");
        return false;
    }
    if (fixed_ram_mapped_pause_waiting()) {
        error_setg(errp, "a page of the guest's RAM cannot be read, "
                   "migrate-recover comes first");
        return false;
    }
    return check_same_blocks(errp) && fixed_ram_mapped_check(errp);
}

/* Pages from a recovery's copy look like any page that was written to. */
static void note_replaced_pages(void)
{
    g_autoptr(GArray) pages = fixed_ram_mapped_pause_take_replaced();

    for (size_t i = 0; pages && i < pages->len; i++) {
        fixed_ram_mapping_replaced(mapping, g_array_index(pages, void *, i),
                                   qemu_real_host_page_size());
    }
}

bool fixed_ram_mapped_restore(Error **errp)
{
    note_replaced_pages();
    return fixed_ram_mapping_restore(mapping, fixed_ram_ramblocks_changed,
                                     errp);
}

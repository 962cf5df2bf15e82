/*
 * fixed-ram: save a guest that runs on, as it was at one moment
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/rcu.h"
#include "../migration.h"
#include "../options.h"
#include "../ram.h"
#include "compat.h"
#include "engine/collapse.h"
#include "mapped.h"
#include "outgoing-bulk.h"
#include "outgoing-live.h"
#include "sharing.h"

/*
 * A save with the capability background-snapshot goes like this:
 *
 * 1. The migration thread writes the headers of the RAM section, and then
 *    protects all RAM while the guest still runs: live_begin().
 * 2. It stops the guest, saves the devices' state to a buffer, and protects
 *    what the guest has changed since: fixed_ram_outgoing_freeze().
 * 3. The guest runs on.  Savers write the RAM to the file: outgoing-bulk.c.
 * 4. The bitmaps and the devices' state follow, and all protection ends:
 *    fixed_ram_outgoing_thaw().  Of huge pages that writes have broken up a
 *    thread makes huge pages again.
 */
typedef struct SaveLive {
    FixedRamLive *live;
    GArray *blocks;             /* FixedRamLiveBlocks */
    GPtrArray *rams;            /* RAMBlocks in the same order, and a */
                                /* reference to each region */
} SaveLive;

/*
 * NULL: no live save is under way.  The migration thread sets it, and the main
 * thread clears it when that thread has ended.
 */
static SaveLive *saving;

bool fixed_ram_outgoing_live_wanted(void)
{
    return migrate_fixed_ram() && migrate_background_snapshot();
}

static int add_block(RAMBlock *rb, void *opaque)
{
    SaveLive *s = opaque;
    FixedRamLiveBlock block = {
        .name = rb->idstr,
        .mem = fixed_ram_outgoing_memory(rb),
        .host_page = qemu_ram_pagesize(rb),
    };

    memory_region_ref(rb->mr);
    g_array_append_val(s->blocks, block);
    g_ptr_array_add(s->rams, rb);
    return 0;
}

static void save_live_free(SaveLive *s)
{
    fixed_ram_live_free(s->live);
    for (size_t i = 0; i < s->rams->len; i++) {
        RAMBlock *rb = g_ptr_array_index(s->rams, i);

        memory_region_unref(rb->mr);
    }
    g_ptr_array_unref(s->rams);
    g_array_unref(s->blocks);
    g_free(s);
}

static SaveLive *save_live_new(void)
{
    SaveLive *s = g_new0(SaveLive, 1);

    s->blocks = g_array_new(false, false, sizeof(FixedRamLiveBlock));
    s->rams = g_ptr_array_new();
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(add_block, s);
    }
    return s;
}

static const FixedRamLiveBlock *live_blocks(const SaveLive *s)
{
    return (const FixedRamLiveBlock *)s->blocks->data;
}

/* Why the content of @rb may change without a trace; NULL if it cannot. */
static const char *block_obstacle(RAMBlock *rb)
{
    if (fixed_ram_mapped_has(rb->host, qemu_ram_get_used_length(rb))) {
        return "is a mapping of a snapshot";
    }
    if (qemu_ram_is_shared(rb) && fixed_ram_sharing_noted()) {
        return "is shared with the process of a vhost-user device, whose "
               "writes cannot be held up";
    }
    return NULL;
}

static int check_block(RAMBlock *rb, void *opaque)
{
    const char *obstacle = block_obstacle(rb);

    if (obstacle) {
        error_setg(opaque, "RAM block '%s' cannot be saved live: it %s",
                   rb->idstr, obstacle);
        return -1;
    }
    return 0;
}

bool fixed_ram_outgoing_live_check(Error **errp)
{
    ERRP_GUARD();
    Error *err = NULL;
    SaveLive *s;
    bool ok;

    if (ram_block_discard_is_disabled()) {
        error_setg(errp, "The guest cannot be saved live: a device writes to "
                   "its RAM in a way that cannot be held up");
        return false;
    }
    WITH_RCU_READ_LOCK_GUARD() {
        if (foreach_not_ignored_block(check_block, &err)) {
            error_propagate(errp, err);
            return false;
        }
    }
    s = save_live_new();
    ok = fixed_ram_live_check(live_blocks(s), s->blocks->len,
                              qemu_target_page_size(), errp);
    save_live_free(s);
    if (!ok) {
        error_prepend(errp, "The guest cannot be saved live: ");
    }
    return ok;
}

bool fixed_ram_outgoing_live_begin(Error **errp)
{
    SaveLive *s = save_live_new();

    s->live = fixed_ram_live_new(live_blocks(s), s->blocks->len,
                                 qemu_target_page_size(),
                                 FIXED_RAM_LIVE_POOL_BYTES,
                                 FIXED_RAM_LIVE_PATIENCE_MS, errp);
    qatomic_set(&saving, s);
    return s->live && fixed_ram_live_arm(s->live, errp);
}

FixedRamLive *fixed_ram_outgoing_live_get(void)
{
    return saving ? saving->live : NULL;
}

static bool freeze(SaveLive *s, Error **errp)
{
    g_autofree unsigned long **todo = g_new(unsigned long *, s->rams->len);

    for (size_t i = 0; i < s->rams->len; i++) {
        RAMBlock *rb = g_ptr_array_index(s->rams, i);

        todo[i] = rb->bmap;
    }
    return fixed_ram_live_freeze(s->live, todo, errp);
}

int fixed_ram_outgoing_freeze(void)
{
    Error *err = NULL;

    if (saving && !freeze(saving, &err)) {
        migrate_set_error(migrate_get_current(), err);
        error_free(err);
        return -1;
    }
    return 0;
}

void fixed_ram_outgoing_thaw(void)
{
    if (saving && saving->live) {
        fixed_ram_live_end(saving->live);
        fixed_ram_collapse_start(fixed_ram_live_split(saving->live));
    }
    fixed_ram_outgoing_bulk_end();
}

void fixed_ram_outgoing_live_keep(const void *host, size_t length)
{
    SaveLive *s = qatomic_read(&saving);

    if (s && s->live) {
        fixed_ram_live_keep(s->live, host, length);
    }
}

void fixed_ram_outgoing_live_free(void)
{
    if (saving) {
        save_live_free(g_steal_pointer(&saving));
    }
}

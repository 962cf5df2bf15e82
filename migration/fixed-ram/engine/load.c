/*
 * fixed-ram: the engine that loads pages from a source into memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "internal.h"
#include "load.h"
#include "ranges.h"
#include "replay.h"
#include "state.h"
#include "threads.h"
#include "../util/thread.h"

FixedRamLoad *fixed_ram_load_new(FixedRamMap *map, FixedRamSource *source,
                                 const FixedRamLoadConfig *config,
                                 Error **errp)
{
    FixedRamLoad *load = g_new0(FixedRamLoad, 1);

    load->map = map;
    load->source = source;
    load->config = *config;
    fixed_ram_sumtable_ref(config->sums);
    load->uffd.fd = -1;
    qemu_mutex_init(&load->lock);
    qemu_cond_init(&load->cond);
    fixed_ram_throttle_init(&load->throttle, config->ops->bandwidth,
                            config->opaque);
    fixed_ram_pace_init(&load->pace, config->on_demand);
    load->asked = bitmap_new(map->extents);
    qemu_mutex_init(&load->remake_lock);
    load->remaking = bitmap_new(map->extents);
    fixed_ram_record_init(&load->record);
    fixed_ram_replay_init(load);
    if (config->on_demand) {
        fixed_ram_source_expect_faults(source);
    }
    if (!fixed_ram_threads_new(load, errp)) {
        fixed_ram_load_free(load);
        return NULL;
    }
    return load;
}

static void begin_record(FixedRamLoad *load)
{
    fixed_ram_record_begin(&load->record, load->map);
    fixed_ram_state_hold_loaders(load, true);
}

uint64_t fixed_ram_load_recorded(FixedRamLoad *load)
{
    return fixed_ram_record_pages(&load->record);
}

FixedRamWorkingSet *fixed_ram_load_end_record(FixedRamLoad *load)
{
    FixedRamWorkingSet *set = fixed_ram_record_end(&load->record);

    fixed_ram_state_hold_loaders(load, false);
    return set;
}

void fixed_ram_load_full_effort(FixedRamLoad *load, bool on)
{
    fixed_ram_pace_full(&load->pace, on, fixed_ram_map_left(load->map));
}

bool fixed_ram_load_register(FixedRamLoad *load, Error **errp)
{
    assert(load->config.on_demand);
    if (!fixed_ram_uffd_open(&load->uffd, errp)) {
        return false;
    }
    load->registered = true;
    return fixed_ram_ranges_register(load->map, &load->uffd, errp);
}

bool fixed_ram_load_start(FixedRamLoad *load, Error **errp)
{
    if (load->config.record && load->config.on_demand) {
        begin_record(load);
    }
    return fixed_ram_threads_start(load, errp);
}

static void *close_thread(void *source)
{
    fixed_ram_source_unref(source);
    return NULL;
}

/*
 * No worker uses @old any more, except for retired ones, which have references.
 * To close a file whose server is gone may take for ever: let a thread do it.
 */
static void release_source(FixedRamLoad *load, FixedRamSource *old)
{
    QemuThread thread;

    if (!fixed_ram_thread_create(&thread, "fixed-ram/close", close_thread, old,
                                 QEMU_THREAD_DETACHED, NULL)) {
        load->old_sources = g_slist_prepend(load->old_sources, old);
    }
}

bool fixed_ram_load_recover(FixedRamLoad *load, FixedRamSource *source,
                            Error **errp)
{
    /* From here on until the end of the stall no read begins. */
    if (!fixed_ram_threads_retire(load, errp)) {
        return false;
    }
    fixed_ram_source_expect_faults(source);
    release_source(load, fixed_ram_state_resume(load, source));
    return true;
}

void fixed_ram_load_end(FixedRamLoad *load)
{
    fixed_ram_load_quit(load);
    fixed_ram_threads_end(load);
}

static void source_unref(void *opaque)
{
    fixed_ram_source_unref(opaque);
}

void fixed_ram_load_free(FixedRamLoad *load)
{
    fixed_ram_load_end(load);
    if (load->registered) {
        fixed_ram_ranges_unregister(load->map, &load->uffd);
        fixed_ram_uffd_close(&load->uffd);
    }
    fixed_ram_threads_free(load);
    g_free(load->asked);
    g_free(load->remaking);
    qemu_mutex_destroy(&load->remake_lock);
    fixed_ram_sumtable_unref(load->config.sums);
    fixed_ram_source_unref(load->source);
    g_slist_free_full(load->old_sources, source_unref);
    error_free(load->error);
    fixed_ram_replay_destroy(load);
    fixed_ram_record_destroy(&load->record);
    fixed_ram_pace_destroy(&load->pace);
    fixed_ram_throttle_destroy(&load->throttle);
    qemu_cond_destroy(&load->cond);
    qemu_mutex_destroy(&load->lock);
    g_free(load);
}

const FixedRamLoadStats *fixed_ram_load_stats(FixedRamLoad *load)
{
    return &load->stats;
}

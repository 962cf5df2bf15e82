/*
 * fixed-ram: a load's figures, for query-migrate and "info migrate"
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "../migration.h"
#include "../postcopy-ram.h"
#include "compat.h"
#include "incoming-figures.h"

static double ns_to_us(uint64_t ns)
{
    return ns / (double)SCALE_US;
}

static FixedRamLatencyInfo *latency_info(const FixedRamLatency *latency)
{
    FixedRamLatencyInfo *info = g_new0(FixedRamLatencyInfo, 1);

    info->mean = ns_to_us(latency->sum / latency->count);
    info->p50 = ns_to_us(fixed_ram_latency_percentile(latency, 50));
    info->p99 = ns_to_us(fixed_ram_latency_percentile(latency, 99));
    info->max = ns_to_us(latency->max);
    return info;
}

static FixedRamReplayInfo *replay_info(const FixedRamFigures *figures)
{
    FixedRamReplayInfo *info = g_new0(FixedRamReplayInfo, 1);

    info->kind = figures->set_kind;
    info->pages = figures->set_pages;
    info->placed = figures->stats.replay_bytes / qemu_target_page_size();
    info->faults_outside = figures->stats.faults_outside;
    return info;
}

static FixedRamStats *stats_info(const FixedRamFigures *figures)
{
    const FixedRamLoadStats *stats = &figures->stats;
    FixedRamStats *info = g_new0(FixedRamStats, 1);

    info->on_demand = figures->on_demand;
    info->mapped = figures->mapped;
    info->verified = figures->verified;
    info->faults = stats->faults;
    info->fault_bytes = stats->fault_bytes;
    info->loader_bytes = stats->loader_bytes;
    info->lost_bytes = stats->lost_bytes;
    info->remaining = figures->left;
    if (stats->latency.count) {
        info->fault_latency = latency_info(&stats->latency);
    }
    if (figures->has_set) {
        info->working_set = replay_info(figures);
    }
    info->record = fixed_ram_incoming_record_info();
    return info;
}

static MigrationStats *ram_info(const FixedRamFigures *figures)
{
    MigrationStats *ram = g_new0(MigrationStats, 1);

    ram->page_size = qemu_target_page_size();
    ram->total = figures->total;
    ram->remaining = figures->left;
    /* Of a mapping the kernel reads what is needed, and does not tell. */
    ram->transferred = figures->mapped ? 0 : figures->wanted - figures->left -
                                             figures->stats.lost_bytes;
    ram->normal_bytes = ram->transferred;
    ram->normal = ram->normal_bytes / ram->page_size;
    ram->duplicate = (figures->total - figures->wanted) / ram->page_size;
    ram->postcopy_requests = figures->stats.faults;
    if (figures->time_ms) {
        ram->mbps = ram->transferred * 8.0 / figures->time_ms / 1000;
    }
    return ram;
}

/*
 * The base leaves postcopy-recover-setup out.  The state may have changed since
 * the base looked: any state is better than none.
 */
static void fill_status(MigrationInfo *info)
{
    MigrationState *ms = migrate_get_current();

    if (info->has_status) {
        return;
    }
    info->has_status = true;
    info->status = migration_incoming_get_current()->state;
    QEMU_LOCK_GUARD(&ms->error_mutex);
    if (ms->error) {
        info->error_desc = g_strdup(error_get_pretty(ms->error));
    }
}

void fixed_ram_info_fill(MigrationInfo *info)
{
    /*
     * An outgoing migration that began later has figures of its own for RAM and
     * time.  The load's own figures stay as long as it goes on.
     */
    bool outgoing = migrate_get_current()->state != MIGRATION_STATUS_NONE;
    g_autofree FixedRamFigures *figures = g_new0(FixedRamFigures, 1);

    if (outgoing && !fixed_ram_incoming_active()) {
        return;
    }
    fixed_ram_incoming_figures(figures);
    if (figures->valid) {
        info->fixed_ram = stats_info(figures);
    }
    if (figures->valid && !outgoing) {
        info->ram = ram_info(figures);
        info->has_total_time = true;
        info->total_time = figures->time_ms;
        fill_status(info);
    }
}

static void print_working_set(Monitor *mon, const FixedRamStats *stats)
{
    const FixedRamReplayInfo *set = stats->working_set;
    const FixedRamRecordInfo *record = stats->record;

    if (set) {
        monitor_printf(mon, "fixed-ram working set: %" PRIu64 " pages (%s), %"
                       PRIu64 " placed before the guest touched them, %" PRIu64
                       " faults outside\n", set->pages,
                       FixedRamWorkingSetKind_str(set->kind), set->placed,
                       set->faults_outside);
    }
    if (record) {
        monitor_printf(mon, "fixed-ram record: %s, %" PRIu64 " pages",
                       FixedRamRecordStatus_str(record->status),
                       record->pages);
        if (record->packed) {
            monitor_printf(mon, ", %" PRIu64 " kbytes packed",
                           record->packed >> 10);
        }
        monitor_printf(mon, "%s%s\n", record->error ? ": " : "",
                       record->error ?: "");
    }
}

static const char *load_mode(const FixedRamStats *stats)
{
    return stats->mapped ? "mapped" : stats->on_demand ? "on demand" : "eager";
}

static void print_time_left(Monitor *mon, const MigrationInfo *info)
{
    double rate = info->ram->mbps * 1000 * 1000 / 8;

    if (postcopy_is_paused(info->status)) {
        monitor_printf(mon, ", paused");
    } else if (info->ram->remaining && rate >= 1) {
        monitor_printf(mon, ", about %.0f s left",
                       info->ram->remaining / rate + 0.5);
    }
}

/* Another migration has begun: RAM's figures are those of that one. */
static void print_background(Monitor *mon, const FixedRamStats *stats)
{
    monitor_printf(mon, "fixed-ram load: %s, %" PRIu64 " MiB still to be "
                   "loaded, %" PRIu64 " faults\n", load_mode(stats),
                   DIV_ROUND_UP(stats->remaining, MiB), stats->faults);
}

/* One line that tells how far the load is. */
static void print_glance(Monitor *mon, const MigrationInfo *info)
{
    const MigrationStats *ram = info->ram;
    uint64_t data = ram->total - ram->duplicate * ram->page_size;
    uint64_t here = data - MIN(data, ram->remaining);

    monitor_printf(mon, "fixed-ram load: %s", load_mode(info->fixed_ram));
    if (!info->fixed_ram->mapped) {
        monitor_printf(mon, ", %d%% of %" PRIu64 " MiB, %.0f MiB/s",
                       data ? (int)(here * 100.0 / data) : 100,
                       DIV_ROUND_UP(data, MiB),
                       ram->mbps * 1000 * 1000 / 8 / MiB);
    }
    monitor_printf(mon, ", %" PRIu64 " faults", info->fixed_ram->faults);
    print_time_left(mon, info);
    monitor_printf(mon, "\n");
}

void fixed_ram_info_print(Monitor *mon, const MigrationInfo *info)
{
    const FixedRamStats *stats = info->fixed_ram;

    if (!stats) {
        return;
    }
    if (migrate_get_current()->state == MIGRATION_STATUS_NONE) {
        print_glance(mon, info);
    } else {
        print_background(mon, stats);
    }
    if (postcopy_is_paused(info->status) && info->error_desc) {
        monitor_printf(mon, "fixed-ram paused: %s\n", info->error_desc);
    }
    monitor_printf(mon, "fixed-ram verified by checksums: %s\n",
                   stats->verified ? "yes" : "no");
    monitor_printf(mon, "fixed-ram loaded by faults: %" PRIu64 " kbytes\n",
                   stats->fault_bytes >> 10);
    monitor_printf(mon, "fixed-ram loaded by loaders: %" PRIu64 " kbytes\n",
                   stats->loader_bytes >> 10);
    if (stats->lost_bytes) {
        monitor_printf(mon, "fixed-ram given up: %" PRIu64 " kbytes\n",
                       stats->lost_bytes >> 10);
    }
    if (stats->fault_latency) {
        monitor_printf(mon, "fixed-ram fault latency: mean %.1f, p50 %.1f, "
                       "p99 %.1f, max %.1f us\n", stats->fault_latency->mean,
                       stats->fault_latency->p50, stats->fault_latency->p99,
                       stats->fault_latency->max);
    }
    print_working_set(mon, stats);
}

/*
 * fixed-ram: hosts that cannot load with it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-fixed-ram.h"
#include "qemu/rcu.h"
#include "../migration.h"
#include "compat.h"

bool fixed_ram_check_host(Error **errp)
{
    error_setg(errp, "fixed-ram, and mapped-ram with postcopy-ram or "
               "fixed-ram-load-mode, can be loaded on 64-bit little-endian "
               "Linux hosts only; use mapped-ram alone");
    return false;
}

bool fixed_ram_outgoing_prepare(int fd, const char *name, uint64_t start,
                                Error **errp)
{
    return true;
}

/* What is saved is what mapped-ram saves. */

void fixed_ram_option_given(const char *name, const char *argument)
{
}

void fixed_ram_outgoing_release(void)
{
}

void fixed_ram_outgoing_wrap_channel(QIOChannelFile **file)
{
}

void fixed_ram_outgoing_block(RAMBlock *block, uint64_t alignment)
{
}

uint32_t fixed_ram_outgoing_version(uint32_t full)
{
    return full;
}

bool fixed_ram_outgoing_begin(Error **errp)
{
    return true;
}

int fixed_ram_outgoing_bulk(QEMUFile *f, uint64_t *dirty_pages)
{
    return 0;
}

uint64_t fixed_ram_outgoing_bulk_pending(void)
{
    return 0;
}

void fixed_ram_outgoing_bulk_end(void)
{
}

int fixed_ram_outgoing_freeze(void)
{
    return -1;
}

void fixed_ram_outgoing_thaw(void)
{
}

bool fixed_ram_outgoing_page(QEMUFile *f, RAMBlock *block, uint64_t offset)
{
    return false;
}

ssize_t fixed_ram_outgoing_pages(QIOChannel *ioc, RAMBlock *block,
                                 const struct iovec *iov, size_t niov,
                                 Error **errp)
{
    return 0;
}

void fixed_ram_outgoing_bitmap(RAMBlock *block)
{
}

void fixed_ram_outgoing_finish(QEMUFile *f)
{
}

bool fixed_ram_incoming_prepare(MigrationAddress *addr, Error **errp)
{
    return !fixed_ram_incoming_wanted() || fixed_ram_check_host(errp);
}

/* Nothing gets past prepare, so there is never a load of ours. */

bool fixed_ram_incoming_active(void)
{
    return false;
}

bool fixed_ram_check_idle(Error **errp)
{
    return true;
}

/* With a fixed layout QEMU can save nothing to a disk image, here neither. */
bool fixed_ram_check_vmstate(Error **errp)
{
    if (migrate_get_current()->capabilities[MIGRATION_CAPABILITY_MAPPED_RAM] &&
        !fixed_ram_vmstate_seeks()) {
        error_setg(errp, "Capability 'mapped-ram' is for files: clear it "
                   "first, a disk image has no fixed places for pages");
        return false;
    }
    return true;
}

void fixed_ram_drain_call_rcu(void)
{
    drain_call_rcu();
}

bool fixed_ram_check_shareable(Error **errp)
{
    return true;
}

bool fixed_ram_incoming_needs_settings(void)
{
    return false;
}

bool fixed_ram_outgoing_check(Error **errp)
{
    return true;
}

bool fixed_ram_outgoing_wait(const MigrationAddress *addr,
                             FixedRamMigrateStart *start, Error **errp)
{
    return false;
}

bool fixed_ram_outgoing_wait_cancel(void)
{
    return false;
}

int fixed_ram_outgoing_fd(const char *name, Error **errp)
{
    return monitor_get_fd(monitor_cur(), name, errp);
}

void fixed_ram_incoming_start(void)
{
    g_assert_not_reached();
}

int fixed_ram_incoming_ramblocks(QEMUFile *f)
{
    g_assert_not_reached();
}

int coroutine_mixed_fn fixed_ram_incoming_wait_share(void)
{
    return 0;
}

bool fixed_ram_incoming_loaded(int *ret, const Error *why)
{
    return false;
}

bool fixed_ram_incoming_running(void)
{
    return false;
}

bool fixed_ram_incoming_switchover(void)
{
    return false;
}

bool fixed_ram_recover_pause(Error **errp)
{
    return false;
}

bool fixed_ram_recover_start(const char *uri, Error **errp)
{
    return false;
}

void qmp_fixed_ram_give_up(const char *block, uint64_t offset, Error **errp)
{
    error_setg(errp, "No snapshot is being loaded on demand");
}

bool fixed_ram_wait_for_bad_page(void)
{
    return false;
}

void qmp_fixed_ram_rollback(bool has_disks, FixedRamRollbackDisks disks,
                            Error **errp)
{
    error_setg(errp, "The guest's RAM is no mapping of a snapshot");
}

bool fixed_ram_discard(void *host, size_t length, int *ret)
{
    return false;
}

void fixed_ram_incoming_end(void)
{
}

void fixed_ram_incoming_shutdown(void)
{
}

void fixed_ram_info_fill(MigrationInfo *info)
{
}

void fixed_ram_info_print(Monitor *mon, const MigrationInfo *info)
{
}

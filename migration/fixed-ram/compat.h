/*
 * fixed-ram: what differs between the QEMUs that it is built over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Other files have no conditions on the version.  They include this header for
 * QEMU's headers that have moved.  Hooks that differ are in patches/VERSION.
 */

#ifndef FIXED_RAM_COMPAT_H
#define FIXED_RAM_COMPAT_H

#include "exec/target_page.h"
#include "qapi/error.h"
#include "qemu/lockable.h"

/* Whether the base is this version or newer; QEMU's configure defines it. */
#define FIXED_RAM_BASE(major, minor) \
    (QEMU_VERSION_MAJOR > (major) || \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

#if FIXED_RAM_BASE(10, 2)
#include "system/memory.h"
#include "system/physmem.h"
#include "system/ram_addr.h"
#include "system/ramblock.h"
#ifdef COMPILING_PER_TARGET
#include "exec/translation-block.h"
#endif
#else
#include "exec/memory.h"
#include "exec/ramblock.h"
#ifdef COMPILING_PER_TARGET
#include "exec/exec-all.h"
#include "exec/ram_addr.h"
#endif
#endif

#if FIXED_RAM_BASE(11, 0)
#include "hw/core/boards.h"
#include "hw/core/qdev.h"
#include "hw/core/qdev-properties.h"
#include "hw/core/sysbus.h"
#include "monitor/hmp-completion.h"
#include "qemu/aio.h"
#include "system/ramlist.h"
#else
#include "block/aio.h"
#include "exec/ramlist.h"
#include "hw/boards.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "hw/sysbus.h"
#endif

#include "migration/misc.h"
#include "../migration.h"
#include "../postcopy-ram.h"
#include "../qemu-file.h"
#include "../ram.h"
#include "../savevm.h"

/* By the names of one base, whichever it is. */
#if FIXED_RAM_BASE(10, 2)
#define ramblock_is_pmem(rb) ram_block_is_pmem(rb)
#else
#define physical_memory_range_includes_clean \
    cpu_physical_memory_range_includes_clean
#define physical_memory_set_dirty_range cpu_physical_memory_set_dirty_range
#endif

#if FIXED_RAM_BASE(11, 0)
#define MIG_EVENT_PRECOPY_SETUP MIG_EVENT_SETUP
#define MIG_EVENT_PRECOPY_DONE MIG_EVENT_DONE
#define MIG_EVENT_PRECOPY_FAILED MIG_EVENT_FAILED
#define migrate_set_error(s, err) migrate_error_propagate(s, error_copy(err))
#define MigrationStats MigrationRAMStats
#define fixed_ram_stat_add(stat, n) qatomic_add(stat, n)
/* Of a migration that has failed and is not yet cleaned up. */
#define FIXED_RAM_STATUS_FAILING MIGRATION_STATUS_FAILING
#else
#define FIXED_RAM_STATUS_FAILING MIGRATION_STATUS_FAILED
#define fixed_ram_stat_add(stat, n) stat64_add(stat, n)
#endif

/* The data of a class's initializer: constant since 10.1. */
#if FIXED_RAM_BASE(10, 1)
typedef const void FixedRamClassData;
#else
typedef void FixedRamClassData;
#endif

/** fixed_ram_blocktime_start(): vCPUs' waits will be counted.  With the BQL. */
static inline void fixed_ram_blocktime_start(MigrationIncomingState *mis)
{
#if FIXED_RAM_BASE(10, 2)
    /* Older QEMUs begin when they look at what userfaultfd can do. */
    postcopy_blocktime_start(mis);
#endif
}

/**
 * fixed_ram_blocktime_begin(): a thread begins to wait for a page
 *
 * @addr: host address, as later in fixed_ram_blocktime_end()
 * @thread_id: of the thread that waits
 * @rb: the page's RAM block
 *
 * Any thread.  10.2 keeps the waits in a hash table that a lock guards, and
 * asserts that the page is missing.
 */
static inline void fixed_ram_blocktime_begin(uintptr_t addr,
                                             uint32_t thread_id, RAMBlock *rb)
{
#if FIXED_RAM_BASE(10, 2)
    MigrationIncomingState *mis = migration_incoming_get_current();

    QEMU_LOCK_GUARD(&mis->page_request_mutex);
    if (ramblock_recv_bitmap_test(rb, (void *)addr)) {
        return;
    }
#endif
    mark_postcopy_blocktime_begin(addr, thread_id, rb);
}

/** fixed_ram_blocktime_end(): the page at @addr has come.  Any thread. */
static inline void fixed_ram_blocktime_end(uintptr_t addr)
{
#if FIXED_RAM_BASE(10, 2)
    MigrationIncomingState *mis = migration_incoming_get_current();

    QEMU_LOCK_GUARD(&mis->page_request_mutex);
#endif
    mark_postcopy_blocktime_end(addr);
}

/**
 * fixed_ram_load_device_state(): load the state of all devices from @f
 *
 * Main thread, with the BQL.
 */
static inline void fixed_ram_load_device_state(QEMUFile *f, Error **errp)
{
#if FIXED_RAM_BASE(10, 2)
    qemu_load_device_state(f, errp);
#else
    int ret = qemu_load_device_state(f);

    if (ret < 0) {
        error_setg(errp, "%s", strerror(-ret));
    }
#endif
}

/** fixed_ram_params_tls(): do @params ask for TLS? */
static inline bool fixed_ram_params_tls(const MigrationParameters *params)
{
#if FIXED_RAM_BASE(11, 0)
    return params->tls_creds && params->tls_creds->type == QTYPE_QSTRING &&
           *params->tls_creds->u.s;
#else
    return params->tls_creds && *params->tls_creds;
#endif
}

/**
 * fixed_ram_process_stream(): load the stream @f
 *
 * Main thread, with the BQL.  Takes @f.  11.1 makes the stream of a channel by
 * itself, and asks for multifd's channels first, which are not used here.
 */
static inline void fixed_ram_process_stream(QEMUFile *f)
{
#if FIXED_RAM_BASE(11, 0)
    MigrationIncomingState *mis = migration_incoming_get_current();

    assert(!mis->from_src_file);
    mis->from_src_file = f;
    qemu_file_set_blocking(f, false, &error_abort);
    migration_start_incoming();
#else
    migration_fd_process_incoming(f);
#endif
}

/**
 * fixed_ram_outgoing_undone(): does @e say that a migration has failed, and
 * that its threads have ended?
 *
 * 11.1 tells of a failure while threads still run, and not of every failure.
 * The cleanup calls fixed_ram_outgoing_release() there.
 */
static inline bool fixed_ram_outgoing_undone(const MigrationEvent *e)
{
#if FIXED_RAM_BASE(11, 0)
    return false;
#else
    return e->type == MIG_EVENT_PRECOPY_FAILED;
#endif
}

/**
 * fixed_ram_outgoing_fail(): a migration has failed that has not begun
 *
 * Main thread, with the BQL.  11.1 has registered the migration for yank by
 * then, so it must clean up.
 */
static inline void fixed_ram_outgoing_fail(MigrationState *s,
                                           const Error *reason)
{
#if FIXED_RAM_BASE(11, 0)
    migration_connect_error_propagate(s, error_copy(reason));
#else
    migrate_set_error(s, reason);
    migrate_set_state(&s->state, MIGRATION_STATUS_SETUP,
                      MIGRATION_STATUS_FAILED);
#endif
}

#ifdef COMPILING_PER_TARGET
/**
 * fixed_ram_drop_code(): what TCG has translated there is no longer right
 *
 * @start, @last: RAM addresses of the first and the last byte
 *
 * The vCPUs are stopped.
 */
static inline void fixed_ram_drop_code(ram_addr_t start, ram_addr_t last)
{
#if FIXED_RAM_BASE(10, 2)
    tb_invalidate_phys_range(NULL, start, last);
#else
    tb_invalidate_phys_range(start, last);
#endif
}
#endif

/**
 * fixed_ram_vmstate_seeks(): can savevm use mapped-ram's layout?
 *
 * Since 10.2 it can: pages have fixed places in the image's VM state.
 */
static inline bool fixed_ram_vmstate_seeks(void)
{
    return FIXED_RAM_BASE(10, 2);
}

#endif

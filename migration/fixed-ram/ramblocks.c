/*
 * fixed-ram: the guest's RAM blocks and the snapshot's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/statvfs.h>
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "migration/misc.h"
#include "system/system.h"
#include "../migration.h"
#include "../postcopy-ram.h"
#include "../ram.h"
#include "compat.h"
#include "ramblocks.h"
#include "trace.h"
#include "util/memory.h"

static bool block_fits(const FixedRamBlockInfo *info, RAMBlock *rb,
                       const char *name, Error **errp)
{
    uint64_t used = qemu_ram_get_used_length(rb);

    if (info->length == used ||
        ((rb->flags & RAM_RESIZEABLE) && info->length <= rb->max_length)) {
        return true;
    }
    error_setg(errp, "snapshot '%s': offset 0x%" PRIx64 ": block '%s' has 0x%"
               PRIx64 " bytes, this machine's has 0x%" PRIx64, name,
               info->header_offset, info->name, info->length, used);
    return false;
}

bool fixed_ram_ramblocks_match(const FixedRamRamSection *ram,
                            const char *name, Error **errp)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    for (size_t i = 0; i < ram->blocks->len; i++) {
        const FixedRamBlockInfo *info = fixed_ram_ramsection_block(ram, i);

        rb = qemu_ram_block_by_name(info->name);
        if (!rb || !qemu_ram_is_migratable(rb)) {
            error_setg(errp, "snapshot '%s': offset 0x%" PRIx64 ": this "
                       "machine has no RAM block '%s'", name,
                       info->header_offset, info->name);
            return false;
        }
        if (!block_fits(info, rb, name, errp)) {
            return false;
        }
    }
    RAMBLOCK_FOREACH_MIGRATABLE(rb) {
        if (!fixed_ram_ramsection_find(ram, rb->idstr)) {
            error_setg(errp, "snapshot '%s' does not hold this machine's RAM "
                       "block '%s'", name, rb->idstr);
            return false;
        }
    }
    return true;
}

/* Why @rb cannot be discarded and filled page by page; NULL if it can. */
static const char *block_obstacle(RAMBlock *rb)
{
    if (ramblock_is_pmem(rb)) {
        return "is persistent memory";
    }
    if (rb->fd >= 0 && (rb->flags & RAM_READONLY_FD)) {
        return "is a file opened read-only";
    }
    if (qemu_ram_is_named_file(rb) && !qemu_ram_is_shared(rb)) {
        return "is a private mapping of a file, which must not be changed";
    }
    return NULL;
}

bool fixed_ram_ramblocks_check_postcopiable(Error **errp)
{
    RAMBlock *rb;

    if (!postcopy_ram_supported_by_host(migration_incoming_get_current(),
                                        errp)) {
        return false;
    }
    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_MIGRATABLE(rb) {
        const char *obstacle = block_obstacle(rb);

        if (obstacle) {
            error_setg(errp, "RAM block '%s' cannot be loaded on demand: "
                       "it %s", rb->idstr, obstacle);
            return false;
        }
    }
    return true;
}

bool fixed_ram_ramblocks_resize(const FixedRamRamSection *ram, Error **errp)
{
    RCU_READ_LOCK_GUARD();
    for (size_t i = 0; i < ram->blocks->len; i++) {
        const FixedRamBlockInfo *info = fixed_ram_ramsection_block(ram, i);
        RAMBlock *rb = qemu_ram_block_by_name(info->name);

        if (!rb) {
            error_setg(errp, "RAM block '%s' was unplugged after pre-flight",
                       info->name);
            return false;
        }
        if (info->length != qemu_ram_get_used_length(rb) &&
            qemu_ram_resize(rb, info->length, errp) < 0) {
            return false;
        }
    }
    return true;
}

static FixedRamBlock *map_block(const FixedRamRamSection *ram,
                                FixedRamSource *source,
                                const FixedRamBlockInfo *info, bool on_demand,
                                Error **errp)
{
    RAMBlock *rb = qemu_ram_block_by_name(info->name);
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);

    block->data = fixed_ram_ramsection_read_bitmap(ram, source, info,
                                                   &block->parts, errp);
    if (!block->data) {
        g_free(block);
        return NULL;
    }
    pstrcpy(block->name, sizeof(block->name), info->name);
    block->length = info->length;
    block->pages_offset = info->pages_offset;
    block->page_size = ram->page_size;
    block->unit = on_demand ? qemu_ram_pagesize(rb) : ram->page_size;
    if (!QEMU_IS_ALIGNED(block->length, block->unit)) {
        error_setg(errp, "snapshot '%s': offset 0x%" PRIx64 ": block '%s': "
                   "length 0x%" PRIx64 " is not a multiple of its memory's "
                   "page size %" PRIu64, source->name, info->header_offset,
                   info->name, info->length, block->unit);
        g_free(block->data);
        g_free(block->parts);
        g_free(block);
        return NULL;
    }
    trace_fixed_ram_block(block->name, block->length, block->unit,
                          block->pages_offset);
    return block;
}

FixedRamMap *fixed_ram_ramblocks_map(const FixedRamRamSection *ram,
                                  FixedRamSource *source, bool on_demand,
                                  Error **errp)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();

    RCU_READ_LOCK_GUARD();
    for (size_t i = 0; i < ram->blocks->len; i++) {
        const FixedRamBlockInfo *info = fixed_ram_ramsection_block(ram, i);
        FixedRamBlock *block = map_block(ram, source, info, on_demand,
                                         errp);

        if (!block) {
            return NULL;
        }
        fixed_ram_map_add(map, block);
    }
    return g_steal_pointer(&map);
}

/* Does the host give transparent huge pages, always or on MADV_HUGEPAGE? */
static bool host_has_thp(void)
{
    g_autofree char *enabled = NULL;

    return g_file_get_contents("/sys/kernel/mm/transparent_hugepage/enabled",
                               &enabled, NULL, NULL) &&
           !strstr(enabled, "[never]");
}

static bool block_may_be_huge(RAMBlock *rb)
{
    return rb->fd < 0 && !qemu_ram_is_shared(rb) &&
           qemu_ram_pagesize(rb) == qemu_real_host_page_size() &&
           QEMU_PTR_IS_ALIGNED(qemu_ram_get_host_addr(rb),
                               FIXED_RAM_EXTENT_BYTES);
}

void fixed_ram_ramblocks_attach(FixedRamMap *map)
{
    bool thp = host_has_thp();

    RCU_READ_LOCK_GUARD();
    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);
        RAMBlock *rb = qemu_ram_block_by_name(block->name);

        block->host = qemu_ram_get_host_addr(rb);
        block->huge = thp && block_may_be_huge(rb);
        block->readonly = rb->flags & RAM_READONLY;
    }
}

bool fixed_ram_ramblocks_discard(Error **errp)
{
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_MIGRATABLE(rb) {
        int ret = ram_block_discard_range(rb, 0, qemu_ram_get_used_length(rb));

        if (ret) {
            error_setg_errno(errp, -ret, "RAM block '%s' could not be "
                             "discarded", rb->idstr);
            return false;
        }
    }
    return true;
}

/* May this memory be made zero by giving it back to the host? */
static bool block_discardable(RAMBlock *rb)
{
    return !ram_block_discard_is_disabled() && !should_mlock(mlock_state) &&
           !block_obstacle(rb) && (rb->fd < 0 || qemu_ram_is_shared(rb)) &&
           QEMU_IS_ALIGNED(qemu_ram_get_used_length(rb), rb->page_size);
}

static bool populate(const FixedRamBlock *block, uint64_t pos, uint64_t length,
                     bool write, Error **errp)
{
    ERRP_GUARD();

    if (!fixed_ram_memory_populate(block->host + pos, length, write, errp)) {
        error_prepend(errp, "RAM block '%s' offset 0x%" PRIx64 ": ",
                      block->name, pos);
        return false;
    }
    return true;
}

static bool zero_page(const FixedRamBlock *block, uint64_t pos, Error **errp)
{
    uint8_t *page = block->host + pos;

    if (buffer_is_zero(page, block->page_size)) {
        return true;
    }
    if (block->readonly) {
        error_setg(errp, "RAM block '%s' offset 0x%" PRIx64 ": the memory is "
                   "read-only, and its content is not that of the snapshot",
                   block->name, pos);
        return false;
    }
    if (!populate(block, pos, block->page_size, true, errp)) {
        return false;
    }
    memset(page, 0, block->page_size);
    return true;
}

static bool zero_pages(const FixedRamBlock *block, Error **errp)
{
    uint64_t pos = 0;
    FixedRamRun run;

    while (pos < block->length) {
        if (!fixed_ram_block_next_data(block, pos, block->length, 0, &run)) {
            run = (FixedRamRun) { .offset = block->length };
        }
        if (pos < run.offset &&
            !populate(block, pos, run.offset - pos, false, errp)) {
            return false;
        }
        for (; pos < run.offset; pos += block->page_size) {
            if (!zero_page(block, pos, errp)) {
                return false;
            }
        }
        pos += run.length;
    }
    return true;
}

bool fixed_ram_ramblocks_zero(const FixedRamMap *map, Error **errp)
{
    RCU_READ_LOCK_GUARD();
    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);
        RAMBlock *rb = qemu_ram_block_by_name(block->name);

        if ((!block_discardable(rb) ||
             ram_block_discard_range(rb, 0, block->length)) &&
            !zero_pages(block, errp)) {
            return false;
        }
    }
    return true;
}

/*
 * A shared mapping of a file takes room in its file system when it is written,
 * and a store raises SIGBUS if there is none.  What the file has allocated is
 * free by then: fixed_ram_ramblocks_zero() discards it.
 */
static bool check_room(RAMBlock *rb, uint64_t bytes, const char *name,
                       Error **errp)
{
    struct statvfs fs;
    struct stat st;
    uint64_t room;

    if (rb->fd < 0 || !qemu_ram_is_shared(rb) || fstat(rb->fd, &st) ||
        !S_ISREG(st.st_mode) || fstatvfs(rb->fd, &fs) || !fs.f_blocks) {
        /* Not a file, or a file system without a limit. */
        return true;
    }
    room = (uint64_t)fs.f_bfree * fs.f_frsize + (uint64_t)st.st_blocks * 512;
    if (bytes <= room) {
        return true;
    }
    error_setg(errp, "snapshot '%s': cannot load block '%s': it has 0x%" PRIx64
               " bytes of data in the snapshot, and the file system of its "
               "memory has room for 0x%" PRIx64, name, rb->idstr, bytes, room);
    return false;
}

bool fixed_ram_ramblocks_check_room(const FixedRamMap *map,
                                    const char *name, Error **errp)
{
    RCU_READ_LOCK_GUARD();
    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);
        RAMBlock *rb = qemu_ram_block_by_name(block->name);

        if (!check_room(rb, block->wanted, name, errp)) {
            return false;
        }
    }
    return true;
}

/*
 * Only pages whose bit for code is clean have been translated.  Writes of the
 * guest and of devices find translated code in the same way.
 */
void fixed_ram_ramblocks_changed(const char *name, uint64_t offset,
                                 uint64_t length)
{
    uint8_t clients;
    ram_addr_t start;
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    rb = qemu_ram_block_by_name(name);
    start = rb->offset + offset;
    clients = memory_region_get_dirty_log_mask(rb->mr);
    if (clients & (1 << DIRTY_MEMORY_CODE)) {
        if (physical_memory_range_includes_clean(start, length,
                                                 1 << DIRTY_MEMORY_CODE)) {
            fixed_ram_drop_code(start, start + length - 1);
        }
        clients &= ~(1 << DIRTY_MEMORY_CODE);
    }
    physical_memory_set_dirty_range(start, length, clients);
}

void fixed_ram_ramblocks_relock(void)
{
    if (should_mlock(mlock_state) &&
        os_mlock(is_mlock_on_fault(mlock_state)) < 0) {
        /* No data is lost: only the lock on memory is missing. */
        error_report("Could not lock the guest's memory again after the load: "
                     "%s", strerror(errno));
    }
}

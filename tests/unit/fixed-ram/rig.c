/*
 * fixed-ram: a load without a guest, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/uffd.h"
#include "rig.h"
#include "rig-sums.h"
#include "thp.h"

static const char *const names[RIG_BLOCKS] = { "pc.ram", "tiny", "vga.vram" };
/* What comes after the extents. */
static const unsigned units[RIG_BLOCKS] = { 77, 1, 129 };

FixedRamSource *rig_source(Rig *rig, int64_t good)
{
    return disk_source(&rig->disk, good, rig->o.file);
}

/* --- what the load calls --- */

static void rig_notify(void *opaque)
{
    Rig *rig = opaque;

    QEMU_LOCK_GUARD(&rig->lock);
    rig->notified++;
    qemu_cond_broadcast(&rig->cond);
}

static uint64_t rig_bandwidth(void *opaque)
{
    Rig *rig = opaque;

    return qatomic_read(&rig->bandwidth);
}

/* Count one for the unit at @addr; @counts: one array a block. */
static void count_unit(Rig *rig, unsigned *const *counts, uintptr_t addr)
{
    FixedRamBlock *block = fixed_ram_map_find(rig->map, addr);

    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        if (rig_block(rig, i) == block) {
            uint64_t offset = addr - (uintptr_t)block->host;

            g_assert_cmpuint(offset % block->unit, ==, 0);
            qatomic_inc(&counts[i][offset / block->unit]);
            return;
        }
    }
    g_assert_not_reached();
}

static void rig_wait_begin(void *opaque, uintptr_t addr, uint32_t thread_id)
{
    Rig *rig = opaque;

    count_unit(rig, rig->begun, addr);
    qatomic_inc(&rig->begins);
}

static void rig_wait_end(void *opaque, uintptr_t addr)
{
    Rig *rig = opaque;

    count_unit(rig, rig->ended, addr);
    QEMU_LOCK_GUARD(&rig->lock);
    g_array_append_val(rig->placed, addr);
}

static void rig_pack_failed(void *opaque, Error *err)
{
    Rig *rig = opaque;

    QEMU_LOCK_GUARD(&rig->lock);
    g_assert_null(rig->pack_error);
    rig->pack_error = err;
}

static const FixedRamLoadOps rig_ops = {
    .notify = rig_notify,
    .bandwidth = rig_bandwidth,
    .wait_begin = rig_wait_begin,
    .wait_end = rig_wait_end,
    .pack_failed = rig_pack_failed,
};

/* --- setting up --- */

static uint8_t *map_memory(const RigOptions *o, size_t size)
{
    void *mem;
    int fd;

    if (!o->shared) {
        return thp_map(size);
    }
    fd = qemu_memfd_create("fixed-ram-test", size, false, 0, 0, &error_abort);
    mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(mem != MAP_FAILED);
    close(fd);
    return mem;
}

static void unmap_memory(const Rig *rig, FixedRamBlock *block)
{
    if (rig->o.shared) {
        munmap(block->host, block->length);
    } else {
        thp_unmap(block->host, block->length);
    }
}

/* Does page number @page of extent number @extent hold data? */
static bool extent_page(unsigned extent, uint64_t page, GRand *rand)
{
    switch (extent) {
    case RIG_HOLED:
        return page % 8;
    case RIG_SPARSE:
        /* The end is zero: with the next extent, too much to be watched. */
        return page % RIG_STRIDE < 4 && page < 480;
    case RIG_EMPTY:
        return false;
    case RIG_PATCHY:
        return g_rand_int_range(rand, 0, 4) && page / 40 != 5;
    default:
        return true;
    }
}

static void set_data(const RigOptions *o, FixedRamBlock *block, bool extents,
                     GRand *rand)
{
    uint64_t pages = block->length / RIG_PAGE;
    uint64_t more = extents ? (RIG_EXTENTS + o->more) * RIG_HUGE : 0;

    for (uint64_t page = 0; page < pages && !o->empty; page++) {
        uint64_t unit = (page - more) / (block->unit / RIG_PAGE);
        bool data;

        if (page < more) {
            data = extent_page(page / RIG_HUGE, page % RIG_HUGE, rand);
        } else {
            /* Stretches of whole units without data too. */
            data = unit % 32 != 13 && g_rand_int_range(rand, 0, 4);
        }
        /* Both ends hold some: there, bounds are easily wrong. */
        if (data || page == 0 || page == pages - 1) {
            set_bit(page, block->data);
        }
    }
}

static void add_block(Rig *rig, unsigned i, GRand *rand)
{
    const RigOptions *o = &rig->o;
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);

    g_strlcpy(block->name, names[i], sizeof(block->name));
    block->page_size = RIG_PAGE;
    block->unit = o->unit ?: MAX(RIG_PAGE, qemu_real_host_page_size());
    block->length = units[i] * block->unit;
    if (i == 0) {
        block->length += (RIG_EXTENTS + o->more) * FIXED_RAM_EXTENT_BYTES;
        block->huge = block->unit == qemu_real_host_page_size() &&
                      (!o->shared || o->stubborn);
    }
    block->pages_offset = ROUND_UP(rig->disk.size + 1, MiB);
    block->data = bitmap_new(block->length / RIG_PAGE);
    set_data(o, block, i == 0, rand);
    block->host = map_memory(o, block->length);
    rig->disk.size = block->pages_offset + block->length;
    fixed_ram_map_add(rig->map, block);
    rig->begun[i] = g_new0(unsigned, block->units);
    rig->ended[i] = g_new0(unsigned, block->units);
}

/* Leave in the memory what the machine's start may have left there. */
static void soil_memory(Rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t unit = 0; unit < block->units; unit++) {
            if (rig->o.on_demand || !fixed_ram_map_received(block, unit)) {
                memset(block->host + unit * block->unit, RIG_SOIL,
                       block->unit);
            }
        }
    }
}

static bool register_memory(Rig *rig)
{
    int advice = rig->o.shared ? MADV_REMOVE : MADV_DONTNEED;
    bool was_set = getenv(FIXED_RAM_NO_MOVE);
    Error *err = NULL;
    bool ok;

    if (rig->o.no_move) {
        g_setenv(FIXED_RAM_NO_MOVE, "1", true);
    }
    ok = fixed_ram_load_register(rig->load, &err);
    if (!was_set) {
        g_unsetenv(FIXED_RAM_NO_MOVE);
    }
    if (!ok) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        return false;
    }
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        g_assert_cmpint(madvise(block->host, block->length, advice), ==, 0);
    }
    return true;
}

Rig *rig_new(const RigOptions *o)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    Rig *rig = g_new0(Rig, 1);
    FixedRamLoadConfig config = {
        .on_demand = o->on_demand, .loaders = o->loaders,
        .ops = &rig_ops, .opaque = rig, .record = o->record,
    };
    uint64_t table;

    rig->o = *o;
    rig->map = fixed_ram_map_new();
    qemu_mutex_init(&rig->lock);
    qemu_cond_init(&rig->cond);
    rig->placed = g_array_new(false, false, sizeof(uintptr_t));
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        add_block(rig, i, rand);
    }
    rig->disk.map = rig->map;
    table = rig_sums_reserve(&rig->disk, rig->map);
    if (o->set) {
        rig->set = fixed_ram_working_set_new(
            FIXED_RAM_WORKING_SET_KIND_RECORDED);
        o->set(rig->set, rig->map);
        config.set = rig->set;
    }
    if (o->pack) {
        rig_set_reserve(rig->set, &rig->disk);
    }
    disk_fill(&rig->disk);
    if (o->pack) {
        rig_set_pack(rig->set, rig->map, &rig->disk);
    }
    if (o->sums) {
        config.sums = rig_sums_write(&rig->disk, rig->map, table);
    }
    soil_memory(rig);
    rig->load = fixed_ram_load_new(rig->map, rig_source(rig, o->good_reads),
                                   &config, &error_abort);
    rig->sums = config.sums;
    if (o->on_demand && !register_memory(rig)) {
        rig_free(rig);
        return NULL;
    }
    return rig;
}

Rig *rig_new_replay(const RigOptions *kind, RigSetFunc *set, bool pack)
{
    RigOptions o = *kind;

    o.on_demand = true;
    o.set = set;
    o.pack = pack;
    o.more = 4;
    return rig_new(&o);
}

void rig_start(Rig *rig)
{
    fixed_ram_load_start(rig->load, &error_abort);
}

void rig_stop(Rig *rig)
{
    fixed_ram_load_free(g_steal_pointer(&rig->load));
    /* It owned its sources. */
    disk_wait_closed(&rig->disk);
}

static void free_memory(Rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        unmap_memory(rig, block);
        g_free(rig->begun[i]);
        g_free(rig->ended[i]);
    }
    fixed_ram_map_free(g_steal_pointer(&rig->map));
    rig->disk.map = NULL;
}

void rig_leave(Rig *rig)
{
    fixed_ram_load_free(g_steal_pointer(&rig->load));
    free_memory(rig);
}

void rig_free(Rig *rig)
{
    if (rig->load) {
        rig_stop(rig);
    }
    if (rig->map) {
        free_memory(rig);
    }
    disk_wait_closed(&rig->disk);
    disk_free(&rig->disk);
    fixed_ram_working_set_free(rig->set);
    fixed_ram_sumtable_unref(rig->sums);
    g_array_unref(rig->placed);
    error_free(rig->pack_error);
    qemu_cond_destroy(&rig->cond);
    qemu_mutex_destroy(&rig->lock);
    g_free(rig);
}

void rig_pause(Rig *rig)
{
    Error *err = NULL;

    error_setg(&err, "paused");
    fixed_ram_load_stall(rig->load, err);
}

void rig_recover(Rig *rig, int64_t good)
{
    fixed_ram_load_recover(rig->load, rig_source(rig, good), &error_abort);
}

/* --- the same test over all kinds of memory --- */

void rig_add_kinds(const char *name, GTestDataFunc func)
{
    static const struct {
        const char *name;
        RigOptions options;
    } kinds[] = {
        { "anon", { .loaders = 2 } },
        { "shared", { .loaders = 2, .shared = true } },
        { "file", { .loaders = 1, .file = true } },
        { "no-move", { .loaders = 2, .no_move = true } },
        { "stubborn", { .loaders = 1, .shared = true, .stubborn = true } },
        { "large-units", { .loaders = 1, .unit = 64 * KiB } },
        { "shared-large-units",
          { .loaders = 2, .shared = true, .unit = 64 * KiB } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        g_autofree char *path = g_strdup_printf("/fixed-ram/%s/%s", name,
                                                kinds[i].name);

        g_test_add_data_func(path, &kinds[i].options, func);
    }
}

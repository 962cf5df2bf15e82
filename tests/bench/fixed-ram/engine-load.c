/*
 * fixed-ram: what brings the pages in the engine's benchmark
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/memalign.h"
#include "migration/fixed-ram/engine/collapse.h"
#include "engine-parts.h"

/*
 * Our engine
 */

static unsigned long *make_bitmap(const Bench *b)
{
    uint64_t pages = b->size / PAGE;
    unsigned long *data = bitmap_new(pages);

    bitmap_set(data, 0, pages);
    for (uint64_t i = 0; b->zero_every && i < pages; i += b->zero_every) {
        clear_bit(i, data);
    }
    return data;
}

static void make_map(Bench *b)
{
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);

    pstrcpy(block->name, sizeof(block->name), "bench");
    block->host = b->memory;
    block->length = b->size;
    block->page_size = block->unit = PAGE;
    block->huge = true;
    block->data = make_bitmap(b);
    b->map = fixed_ram_map_new();
    fixed_ram_map_add(b->map, block);
}

static void engine_notify(void *opaque)
{
    Bench *b = opaque;

    qemu_event_set(&b->changed);
}

static OnOffAuto how_to_read(const Bench *b)
{
    return b->direct ? ON_OFF_AUTO_ON
         : b->buffered ? ON_OFF_AUTO_OFF : ON_OFF_AUTO_AUTO;
}

static void engine_start(Bench *b)
{
    static const FixedRamLoadOps ops = { .notify = engine_notify };
    FixedRamLoadConfig config = {
        .on_demand = b->mode == MODE_ENGINE, .loaders = b->loaders,
        .ops = &ops, .opaque = b,
    };
    FixedRamSource *source;

    make_map(b);
    qemu_event_init(&b->changed, false);
    source = fixed_ram_source_open_file(b->path, 0, how_to_read(b),
                                        &error_fatal);
    b->load = fixed_ram_load_new(b->map, source, &config, &error_fatal);
    if (config.on_demand) {
        fixed_ram_load_register(b->load, &error_fatal);
    }
    fixed_ram_load_start(b->load, &error_abort);
    if (config.on_demand) {
        fixed_ram_load_guest_runs(b->load);
    } else {
        load_finish(b);
    }
}

void load_finish(Bench *b)
{
    while (fixed_ram_load_state(b->load) == FIXED_RAM_LOAD_ACTIVE) {
        qemu_event_wait(&b->changed);
        qemu_event_reset(&b->changed);
    }
    if (fixed_ram_load_state(b->load) != FIXED_RAM_LOAD_COMPLETE) {
        error_propagate(&error_fatal, fixed_ram_load_error(b->load));
    }
}

/* In rounds huge pages are made as QEMU makes them: beside the guest. */
static void engine_collapse(Bench *b)
{
    GPtrArray *broken = fixed_ram_map_split_extents(b->map);

    if (b->round) {
        fixed_ram_collapse_start(broken);
    } else {
        fixed_ram_collapse(broken);
        g_ptr_array_unref(broken);
    }
}

static void engine_end(Bench *b)
{
    bool complete =
        fixed_ram_load_state(b->load) == FIXED_RAM_LOAD_COMPLETE;

    b->faults = qatomic_read(&fixed_ram_load_stats(b->load)->faults);
    fixed_ram_load_free(b->load);
    if (complete && b->collapse) {
        engine_collapse(b);
    }
    fixed_ram_map_free(b->map);
}

uint64_t load_huge_kib(const Bench *b)
{
    g_autofree char *smaps = NULL;
    g_autofree char *head = g_strdup_printf("%" PRIx64 "-",
                                            (uint64_t)(uintptr_t)b->memory);
    const char *line;
    uint64_t kib = 0;

    if (!g_file_get_contents("/proc/self/smaps", &smaps, NULL, NULL)) {
        return 0;
    }
    line = strstr(smaps, head);
    line = line ? strstr(line, "AnonHugePages:") : NULL;
    if (line) {
        sscanf(line, "AnonHugePages: %" SCNu64, &kib);
    }
    return kib;
}

/*
 * The yardstick: one thread, a page at a time
 */

static void *naive_thread(void *opaque)
{
    Bench *b = opaque;
    uint8_t *page = qemu_memalign(PAGE, PAGE);
    FixedRamFault fault;
    uint64_t done;

    while (!fixed_ram_uffd_read(&b->uffd, &fault)) {
        if (fixed_ram_uffd_answer(&b->uffd, &fault)) {
            break;
        }
        if (pread(b->fd, page, PAGE, fault.addr - (uintptr_t)b->memory) !=
            PAGE) {
            error_setg_errno(&error_fatal, errno, "%s", b->path);
        }
        fixed_ram_uffd_copy(&b->uffd, (void *)fault.addr, page, PAGE, PAGE,
                            &done);
    }
    qemu_vfree(page);
    return NULL;
}

static void naive_start(Bench *b)
{
    fixed_ram_uffd_open(&b->uffd, &error_fatal);
    fixed_ram_uffd_register(&b->uffd, b->memory, b->size, &error_fatal);
    qemu_thread_create(&b->naive, "naive", naive_thread, b,
                       QEMU_THREAD_JOINABLE);
}

static void naive_end(Bench *b)
{
    fixed_ram_uffd_ring(&b->uffd, 0);
    qemu_thread_join(&b->naive);
    fixed_ram_uffd_close(&b->uffd);
}

/*
 * Whichever it is
 */

void load_start(Bench *b)
{
    if (b->mode == MODE_ENGINE || b->mode == MODE_EAGER) {
        engine_start(b);
    } else if (b->mode == MODE_NAIVE) {
        naive_start(b);
    }
}

void load_end(Bench *b)
{
    if (b->mode == MODE_ENGINE || b->mode == MODE_EAGER) {
        engine_end(b);
    } else if (b->mode == MODE_NAIVE) {
        naive_end(b);
    }
}

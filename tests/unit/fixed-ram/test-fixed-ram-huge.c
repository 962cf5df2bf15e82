/*
 * fixed-ram: unit tests of the engine where huge pages may come
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/collapse.h"
#include "migration/fixed-ram/engine/internal.h"
#include "rig.h"
#include "thp.h"

#define TOUCHERS 4

/* Where page number @page of extent number @extent of the first block is. */
static uint8_t *page_at(Rig *rig, unsigned extent, uint64_t page)
{
    return rig_block(rig, 0)->host +
           (extent * RIG_HUGE + page) * RIG_PAGE;
}

/* All has come; of the first block's extents, those of @mask as one. */
static void check_whole(Rig *rig, unsigned mask)
{
    g_autoptr(GPtrArray) split = fixed_ram_map_split_extents(rig->map);
    unsigned dense = BIT(RIG_FULL) | BIT(RIG_HOLED) | BIT(RIG_PATCHY);
    unsigned n = 0;

    if (!rig_can_move(&rig->o)) {
        mask = 0;
    }
    for (unsigned i = 0; i < RIG_EXTENTS; i++) {
        g_assert_cmpint(rig_whole(rig, i), ==, !!(mask & BIT(i)));
        if (dense & ~mask & BIT(i) && rig_block(rig, 0)->huge) {
            g_assert_cmpuint(n, <, split->len);
            g_assert_true(g_ptr_array_index(split, n++) ==
                          page_at(rig, i, 0));
        }
    }
    if (!rig->o.more) {
        g_assert_cmpuint(split->len, ==, n);
    }
}

#define ALL_DENSE (BIT(RIG_FULL) | BIT(RIG_HOLED) | BIT(RIG_PATCHY))

/* @opaque: options; no fault is in the way */
static void test_move(const void *opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Rig *rig;

    o.on_demand = true;
    o.loaders = 1;
    rig = rig_new(&o);
    if (!rig) {
        return;
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    check_whole(rig, ALL_DENSE);
    rig_check_complete(rig);
    rig_check_reads(rig, true);
    rig_free(rig);
}

/* They come as huge pages, not only at once. */
static void test_backed(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    uint64_t fallbacks;
    size_t bytes;
    Rig *rig;

    if (!thp_available()) {
        return;
    }
    if (!rig_can_move(&o)) {
        g_test_skip("pages cannot be moved here");
        return;
    }
    rig = rig_new(&o);
    fallbacks = thp_fallbacks();
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    bytes = thp_bytes(rig_block(rig, 0)->host, rig_block(rig, 0)->length);
    if (thp_fallbacks() == fallbacks) {
        g_assert_cmpuint(bytes, ==, 3 * THP_SIZE);
    } else {
        g_test_skip("the host ran out of huge pages");
    }
    rig_check_complete(rig);
    rig_free(rig);
}

/* So many that the buffer they are taken from is replaced. */
static void test_many(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1, .more = 40 };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    check_whole(rig, ALL_DENSE);
    for (unsigned i = RIG_EXTENTS; i < RIG_EXTENTS + o.more; i++) {
        g_assert_cmpint(rig_whole(rig, i), ==, rig_can_move(&o));
    }
    rig_check_complete(rig);
    rig_check_reads(rig, true);
    rig_free(rig);
}

/* --- a fault was here before --- */

/* Start with one loader, which has taken the first extent and must wait. */
static Rig *start_held(const RigOptions *o)
{
    Rig *rig = rig_new(o);

    if (rig) {
        g_assert_true(fixed_ram_load_guest_runs(rig->load));
        disk_hold(&rig->disk, true);
        rig_start(rig);
        disk_wait_inside(&rig->disk, 1);
    }
    return rig;
}

static void complete(Rig *rig)
{
    disk_hold(&rig->disk, false);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
}

/* The kernel collapses the extents that faults split; the content remains. */
static void collapse_split(Rig *rig, size_t expected)
{
    g_autoptr(GPtrArray) split = fixed_ram_map_split_extents(rig->map);

    g_assert_cmpuint(split->len, ==, expected);
    rig_stop(rig);
    fixed_ram_collapse(split);
    rig_check_all(rig);
}

/*
 * Zero pages were touched before their extent came: what is there must stay,
 * the rest must come, and what is left over in the loader's buffer must not
 * show in the extents that follow.
 *
 * @first, @step: which zero pages of the holed extent, counted from 0
 */
static void check_zero_touched(const RigOptions *o, unsigned first,
                               unsigned step, bool write)
{
    unsigned split = 1;
    Rig *rig = start_held(o);

    if (!rig) {
        return;
    }
    for (unsigned page = 8 * first; page < RIG_HUGE; page += 8 * step) {
        uint8_t *mem = page_at(rig, RIG_HOLED, page);

        g_assert_true(buffer_is_zero(mem, RIG_PAGE));
        if (write) {
            mem[page % RIG_PAGE] = 0x5a;
        }
    }
    complete(rig);
    for (unsigned page = 8 * first; page < RIG_HUGE && write;
         page += 8 * step) {
        uint8_t *mem = page_at(rig, RIG_HOLED, page);

        g_assert_cmphex(mem[page % RIG_PAGE], ==, 0x5a);
        mem[page % RIG_PAGE] = 0;               /* as check_all() wants it */
    }
    check_whole(rig, ALL_DENSE & ~BIT(RIG_HOLED));
    rig_check_complete(rig);
    rig_check_reads(rig, true);
    if (!rig_can_move(o)) {
        split = rig_block(rig, 0)->huge ? 3 : 0;
    }
    collapse_split(rig, split);
    rig_check_waits(rig);
    rig_free(rig);
}

static void test_zero_touched(const void *opaque)
{
    /* The first page of the extent, so that nothing can be moved; others. */
    static const struct {
        unsigned first, step;
    } pages[] = { { 0, 64 }, { 1, 64 }, { 32, 64 }, { 63, 1 }, { 0, 1 } };
    RigOptions o = *(const RigOptions *)opaque;

    o.on_demand = true;
    o.loaders = 1;
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        check_zero_touched(&o, pages[i].first, pages[i].step, false);
        check_zero_touched(&o, pages[i].first, pages[i].step, true);
    }
}

/* At full effort a fault brings its whole extent, as one huge page. */
static void test_fault_extent(void)
{
    RigOptions o = { .on_demand = true };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    rig_start(rig);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_check_page(rig, rig_block(rig, 0), RIG_HOLED * RIG_HUGE + 100);
    g_assert_false(rig_whole(rig, RIG_HOLED));
    qatomic_set(&rig->load->pace.effort, FIXED_RAM_EFFORT_FULL);
    rig_check_page(rig, rig_block(rig, 0), 100);
    while (!fixed_ram_map_received(rig_block(rig, 0), RIG_HUGE - 1)) {
        g_thread_yield();
    }
    g_assert_cmpint(rig_whole(rig, RIG_FULL), ==, rig_can_move(&o));
    /* This one is broken up, so the fault brings its cluster. */
    rig_check_page(rig, rig_block(rig, 0), RIG_HOLED * RIG_HUGE + 300);
    g_assert_false(fixed_ram_map_received(rig_block(rig, 0),
                                          RIG_HOLED * RIG_HUGE + 500));
    rig_free(rig);
}

/* Wait until the kernel has a page at @mem. */
static void wait_resident(uint8_t *mem)
{
    unsigned char resident = 0;

    while (!resident) {
        g_assert_cmpint(mincore(mem, RIG_PAGE, &resident), ==, 0);
        g_thread_yield();
    }
}

/*
 * In memory with little data: of the zero pages of a cluster one faults, and
 * the others come with it.
 */
static void test_zeros_beside(void)
{
    RigOptions o = { .on_demand = true };
    const FixedRamLoadStats *stats;
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    rig_start(rig);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    stats = fixed_ram_load_stats(rig->load);
    g_assert_cmpint(*page_at(rig, RIG_SPARSE, 10), ==, 0);
    for (unsigned page = 4; page < 16; page++) {
        uint8_t *mem = page_at(rig, RIG_SPARSE, page);

        wait_resident(mem);
        g_assert_cmpint(*mem, ==, 0);
    }
    g_assert_cmpuint(qatomic_read(&stats->faults), ==, 1);
    g_assert_cmpuint(qatomic_read(&stats->fault_bytes), ==, 0);
    rig_check_page(rig, rig_block(rig, 0), RIG_SPARSE * RIG_HUGE);
    rig_free(rig);
}

/* A fault took some of an extent first: the rest comes, but not as one. */
static void test_data_touched(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = start_held(&o);
    Toucher t = { };

    if (!rig) {
        return;
    }
    rig_touch(rig, &t, rig_block(rig, 0), RIG_HOLED * RIG_HUGE + 300 + 1);
    disk_wait_inside(&rig->disk, 2);
    g_assert_false(qatomic_read(&t.done));
    complete(rig);
    rig_join(&t);
    check_whole(rig, ALL_DENSE & ~BIT(RIG_HOLED));
    rig_check_complete(rig);
    rig_check_reads(rig, false);
    rig_free(rig);
}

/*
 * Faults where a loader is at work: they wait for it, it makes haste, and
 * nothing is read twice.
 */
static void test_hurry(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Toucher t[TOUCHERS] = { };
    Rig *rig = rig_new(&o);
    const FixedRamLoadStats *stats;
    FixedRamBlock *block;
    FixedRamPace *pace;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    pace = &rig->load->pace;
    fixed_ram_pace_fault(pace);         /* as if one were being served */
    disk_hold(&rig->disk, true);
    rig_start(rig);
    disk_wait_inside(&rig->disk, 1);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_touch(rig, &t[i], block, RIG_HUGE / TOUCHERS * (i + 1) - 1);
    }
    while (qatomic_read(&rig->begins) < TOUCHERS ||
           !qatomic_read(&pace->hurry)) {
        g_thread_yield();
    }
    for (unsigned i = 0; i < TOUCHERS; i++) {
        g_assert_false(qatomic_read(&t[i].done));
    }
    disk_hold(&rig->disk, false);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    fixed_ram_pace_fault_end(pace, UINT64_MAX);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    if (block->huge) {
        /* The one that was under way, and all the rest. */
        g_assert_cmpuint(rig_reads(rig, block, 0, RIG_HUGE), ==, 2);
        check_whole(rig, ALL_DENSE);
    }
    stats = fixed_ram_load_stats(rig->load);
    g_assert_cmpuint(qatomic_read(&stats->fault_bytes), ==, 0);
    g_assert_cmpuint(qatomic_read(&stats->faults), >=, TOUCHERS);
    rig_check_complete(rig);
    rig_check_reads(rig, true);
    rig_stop(rig);
    rig_check_waits(rig);
    rig_free(rig);
}

/* Thrown away by the guest after it came as one: zero, not the file's. */
static void test_discard(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = rig_new(&o);
    uint8_t *mem;

    if (!rig) {
        return;
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    mem = page_at(rig, RIG_FULL, 0);
    g_assert_cmpint(madvise(mem + 9 * RIG_PAGE, RIG_PAGE, MADV_DONTNEED), ==,
                    0);
    g_assert_true(buffer_is_zero(mem + 9 * RIG_PAGE, RIG_PAGE));
    rig_check_page(rig, rig_block(rig, 0), 8);
    rig_check_page(rig, rig_block(rig, 0), 10);
    g_assert_cmpint(madvise(mem, FIXED_RAM_EXTENT_BYTES, MADV_DONTNEED), ==,
                    0);
    g_assert_true(buffer_is_zero(mem, FIXED_RAM_EXTENT_BYTES));
    rig_free(rig);
}

/* --- threads that write --- */

typedef struct Writer {
    QemuThread thread;
    Rig *rig;
    unsigned id;
} Writer;

/* Each looks at pages of its own and leaves a mark there, in some order. */
static void *writer_thread(void *opaque)
{
    Writer *w = opaque;
    FixedRamBlock *block = rig_block(w->rig, 0);
    uint64_t pages = block->length / RIG_PAGE;

    for (uint64_t i = 0; i < pages; i++) {
        /* Coprime to the number of pages, so that each is visited once. */
        uint64_t page = (i * 1009 + w->id * 37) % pages;

        if (page % TOUCHERS == w->id) {
            rig_check_page(w->rig, block, page);
            memset(block->host + page * RIG_PAGE, w->id + 1, RIG_PAGE);
        }
    }
    return NULL;
}

static void test_writers(const void *opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Writer w[TOUCHERS];
    Rig *rig;

    o.on_demand = true;
    for (o.loaders = 0; o.loaders < 4; o.loaders++) {
        rig = rig_new(&o);
        if (!rig) {
            return;
        }
        rig_start(rig);
        for (unsigned i = 0; i < TOUCHERS; i++) {
            w[i] = (Writer) { .rig = rig, .id = i };
            qemu_thread_create(&w[i].thread, "write", writer_thread, &w[i],
                               QEMU_THREAD_JOINABLE);
        }
        for (unsigned i = 0; i < TOUCHERS; i++) {
            qemu_thread_join(&w[i].thread);
        }
        if (o.loaders) {
            rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        }
        for (uint64_t i = 0; i < rig_block(rig, 0)->length; i++) {
            g_assert_cmphex(rig_block(rig, 0)->host[i], ==,
                            i / RIG_PAGE % TOUCHERS + 1);
        }
        rig_free(rig);
    }
}

/* --- what is not watched --- */

/* Where the file holds nothing for long, the kernel gives zeros by itself. */
static void test_not_watched(const void *opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Rig *rig;

    o.on_demand = true;
    rig = rig_new(&o);
    if (!rig) {
        return;
    }
    rig_start(rig);
    for (uint64_t page = 0; page < RIG_HUGE; page++) {
        g_assert_true(buffer_is_zero(page_at(rig, RIG_EMPTY, page),
                                     RIG_PAGE));
    }
    g_assert_cmpuint(qatomic_read(&rig->begins), ==, 0);

    /* But not beside the data: what faults there is counted. */
    g_assert_true(buffer_is_zero(page_at(rig, RIG_SPARSE, RIG_HUGE - 1),
                                 RIG_PAGE));
    g_assert_cmpuint(qatomic_read(&rig->begins), ==, 1);
    rig_check_all(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* @units: also with units of several pages */
static void add_kinds(const char *name, GTestDataFunc func, bool units)
{
    static const struct {
        const char *name;
        RigOptions options;
    } kinds[] = {
        { "anon", { } },
        { "no-move", { .no_move = true } },
        { "shared", { .shared = true } },
        { "stubborn", { .shared = true, .stubborn = true } },
        { "large-units", { .unit = 64 * KiB } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        g_autofree char *path = g_strdup_printf("/fixed-ram/huge/%s/%s", name,
                                                kinds[i].name);

        if (units || !kinds[i].options.unit) {
            g_test_add_data_func(path, &kinds[i].options, func);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_kinds("move", test_move, true);
    /* With larger units none that holds no data lies among those that do. */
    add_kinds("zero-touched", test_zero_touched, false);
    add_kinds("writers", test_writers, true);
    add_kinds("not-watched", test_not_watched, true);
    g_test_add_func("/fixed-ram/huge/backed", test_backed);
    g_test_add_func("/fixed-ram/huge/many", test_many);
    g_test_add_func("/fixed-ram/huge/fault-extent", test_fault_extent);
    g_test_add_func("/fixed-ram/huge/zeros-beside", test_zeros_beside);
    g_test_add_func("/fixed-ram/huge/data-touched", test_data_touched);
    g_test_add_func("/fixed-ram/huge/hurry", test_hurry);
    g_test_add_func("/fixed-ram/huge/discard", test_discard);
    return g_test_run();
}

/*
 * fixed-ram: unit tests of which memory the engine watches
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/load.h"
#include "migration/fixed-ram/engine/uffd.h"

#define PAGE        4096ULL
#define OFFSET      MiB         /* of the block in the file */
#define BEHIND      (4 * MiB)   /* memory that is not the block's */

/*
 * A block of many gigabytes with a page of data here and there; more address
 * space than memory is used.
 */
typedef struct Rig {
    FixedRamMap *map;
    FixedRamLoad *load;
    FixedRamBlock *block;
    unsigned begins;            /* faults; atomic */
} Rig;

/* What the file holds in the page at @offset of the block. */
static uint8_t content(uint64_t offset)
{
    return 1 + offset / PAGE % 255;
}

static ssize_t source_read(FixedRamSource *source, void *buf, size_t length,
                           uint64_t offset)
{
    for (uint64_t i = 0; i < length; i += PAGE) {
        memset((uint8_t *)buf + i, content(offset - OFFSET + i), PAGE);
    }
    return length;
}

static void source_close(FixedRamSource *source)
{
    g_free(source);
}

static const FixedRamSourceOps source_ops = {
    .read = source_read,
    .close = source_close,
};

static void rig_notify(void *opaque)
{
}

static void rig_wait_begin(void *opaque, uintptr_t addr, uint32_t thread_id)
{
    Rig *rig = opaque;

    qatomic_inc(&rig->begins);
}

static const FixedRamLoadOps rig_ops = {
    .notify = rig_notify,
    .wait_begin = rig_wait_begin,
};

/* @data: pages that hold data, in bytes; the block ends @after the last one. */
static bool rig_new(Rig *rig, const uint64_t *data, size_t n, uint64_t after)
{
    FixedRamLoadConfig config = {
        .on_demand = true, .ops = &rig_ops, .opaque = rig,
    };
    FixedRamSource *source = g_new0(FixedRamSource, 1);
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);
    Error *err = NULL;

    fixed_ram_source_init(source, &source_ops, "snapshot.img", 0);
    g_strlcpy(block->name, "pc.ram", sizeof(block->name));
    block->page_size = block->unit = PAGE;
    block->length = data[n - 1] + PAGE + after;
    block->pages_offset = OFFSET;
    block->data = bitmap_new(block->length / PAGE);
    for (size_t i = 0; i < n; i++) {
        set_bit(data[i] / PAGE, block->data);
    }
    block->host = mmap(NULL, block->length + BEHIND, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(block->host != MAP_FAILED);
    *rig = (Rig) { .map = fixed_ram_map_new(), .block = block };
    fixed_ram_map_add(rig->map, block);
    rig->load = fixed_ram_load_new(rig->map, source, &config, &error_abort);
    if (!fixed_ram_load_register(rig->load, &err)) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        return false;
    }
    fixed_ram_load_start(rig->load, &error_abort);
    return true;
}

static void rig_free(Rig *rig)
{
    void *host = rig->block->host;
    size_t length = rig->block->length;

    fixed_ram_load_free(rig->load);
    fixed_ram_map_free(rig->map);
    munmap(host, length + BEHIND);
}

/* A thread that waits for the last page goes on before it is counted. */
static void expect_complete(Rig *rig)
{
    while (fixed_ram_load_state(rig->load) == FIXED_RAM_LOAD_ACTIVE) {
        g_thread_yield();
    }
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_COMPLETE);
}

/* Does the page at @offset fault, and does it hold @byte then? */
static void expect_page(Rig *rig, uint64_t offset, uint8_t byte, bool faults)
{
    const uint8_t *mem = rig->block->host + offset;
    unsigned before = qatomic_read(&rig->begins);

    for (size_t i = 0; i < PAGE; i++) {
        g_assert_cmphex(mem[i], ==, byte);
    }
    g_assert_cmpuint(qatomic_read(&rig->begins) - before, ==, faults);
}

/* Others may have what lies behind the block watched. */
static void expect_not_ours(const Rig *rig)
{
    FixedRamUffd other;

    fixed_ram_uffd_open(&other, &error_abort);
    fixed_ram_uffd_register(&other, rig->block->host + rig->block->length,
                            BEHIND, &error_abort);
    fixed_ram_uffd_close(&other);
}

/* Into how many mappings the kernel has split the block. */
static unsigned mappings(const Rig *rig)
{
    uintptr_t first = (uintptr_t)rig->block->host;
    g_autofree char *maps = NULL;
    g_auto(GStrv) lines = NULL;
    unsigned n = 0;

    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    lines = g_strsplit(maps, "\n", -1);
    for (char **line = lines; *line; line++) {
        uintptr_t start, end;

        n += sscanf(*line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) == 2 &&
             end > first && start < first + rig->block->length;
    }
    return n;
}

/* Whole extents around the data are watched, and nothing else. */
static void test_borders(void)
{
    /* An extent without data between two others is not watched. */
    static const uint64_t data[] = {
        9 * MiB, 20 * MiB - PAGE, 22 * MiB, 40 * MiB - PAGE,
        42 * MiB + PAGE,
    };
    Rig rig;

    if (!rig_new(&rig, data, ARRAY_SIZE(data), 3 * MiB)) {
        rig_free(&rig);
        return;
    }
    expect_page(&rig, 0, 0, false);
    expect_page(&rig, 8 * MiB - PAGE, 0, false);
    expect_page(&rig, 8 * MiB, 0, true);
    expect_page(&rig, 10 * MiB - PAGE, 0, true);
    expect_page(&rig, 10 * MiB, 0, false);
    expect_page(&rig, 18 * MiB - PAGE, 0, false);
    expect_page(&rig, 18 * MiB, 0, true);
    expect_page(&rig, 20 * MiB, 0, false);
    expect_page(&rig, 22 * MiB - PAGE, 0, false);
    expect_page(&rig, 24 * MiB - PAGE, 0, true);
    expect_page(&rig, 24 * MiB, 0, false);
    expect_page(&rig, 40 * MiB, 0, false);
    expect_page(&rig, 42 * MiB, 0, true);
    /* The last range ends with its extent, the block some way behind. */
    expect_page(&rig, 44 * MiB - PAGE, 0, true);
    expect_page(&rig, 44 * MiB, 0, false);
    for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
        expect_page(&rig, data[i], content(data[i]), true);
    }
    expect_complete(&rig);
    rig_free(&rig);
}

/* The block ends with the data, or a little after it, within an extent. */
static void test_short_end(void)
{
    static const uint64_t data[] = { 0, 5 * MiB };

    for (uint64_t after = 0; after < 3 * PAGE; after += PAGE) {
        Rig rig;

        if (rig_new(&rig, data, ARRAY_SIZE(data), after)) {
            expect_not_ours(&rig);
            expect_page(&rig, 2 * MiB, 0, false);
            expect_page(&rig, 4 * MiB, 0, true);
            if (after) {
                expect_page(&rig, data[1] + after, 0, true);
            }
            expect_page(&rig, data[0], content(data[0]), true);
            expect_page(&rig, data[1], content(data[1]), true);
        }
        rig_free(&rig);
    }
}

/*
 * The kernel has a limit for mappings, and other users than us.  The smallest
 * gaps between ranges are given up first.
 */
static void test_many(void)
{
    enum { NEAR = 1200, FAR = 300 };
    g_autofree uint64_t *data = g_new(uint64_t, NEAR + FAR);
    Rig rig;

    for (size_t i = 0; i < NEAR; i++) {
        data[i] = i * 6 * MiB;
    }
    for (size_t i = 0; i < FAR; i++) {
        data[NEAR + i] = data[NEAR - 1] + (i + 1) * 10 * MiB;
    }
    if (!rig_new(&rig, data, NEAR + FAR, 0)) {
        rig_free(&rig);
        return;
    }
    g_assert_cmpuint(mappings(&rig), >=, 2 * FAR);
    g_assert_cmpuint(mappings(&rig), <=, 2 * 1024 + 1);
    expect_page(&rig, 3 * MiB, 0, true);
    expect_page(&rig, data[NEAR - 1] + 5 * MiB, 0, false);
    for (size_t i = 0; i < NEAR + FAR; i++) {
        expect_page(&rig, data[i], content(data[i]), true);
    }
    expect_complete(&rig);
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/ranges/borders", test_borders);
    g_test_add_func("/fixed-ram/ranges/short-end", test_short_end);
    g_test_add_func("/fixed-ram/ranges/many", test_many);
    return g_test_run();
}

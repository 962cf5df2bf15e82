/*
 * fixed-ram: unit tests of making huge pages again
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "migration/fixed-ram/engine/collapse.h"
#include "thp.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE   25
#endif

/* Memory full of pages of the smallest size. */
static uint8_t *map_small(size_t size)
{
    uint8_t *mem = thp_map(size);

    madvise(mem, size, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < size; i++) {
        mem[i] = i / 4099 + i % 251;
    }
    g_assert_cmpuint(thp_bytes(mem, size), ==, 0);
    madvise(mem, size, MADV_HUGEPAGE);
    return mem;
}

static void expect_content(const uint8_t *mem, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (mem[i] != (uint8_t)(i / 4099 + i % 251)) {
            g_error("byte 0x%zx has changed", i);
        }
    }
}

/* Can this kernel make huge pages of small ones, here and now? */
static bool can_collapse(void)
{
    uint8_t *mem = map_small(THP_SIZE);
    int ret = madvise(mem, THP_SIZE, MADV_COLLAPSE);

    thp_unmap(mem, THP_SIZE);
    return !ret;
}

/* Skip a test that cannot assert anything without that. */
static bool skipped(void)
{
    if (!can_collapse()) {
        g_test_skip("this kernel cannot make huge pages of small ones");
        return true;
    }
    return false;
}

static void test_collapse(void)
{
    g_autoptr(GPtrArray) extents = g_ptr_array_new();
    uint8_t *mem;

    if (skipped()) {
        return;
    }
    mem = map_small(4 * THP_SIZE);
    g_ptr_array_add(extents, mem + 2 * THP_SIZE);
    g_ptr_array_add(extents, mem);
    g_assert_cmpuint(fixed_ram_collapse(extents), ==, 2);
    g_assert_cmpuint(thp_bytes(mem, 4 * THP_SIZE), ==, 2 * THP_SIZE);
    expect_content(mem, 4 * THP_SIZE);

    /* An extent that is a huge page already does no harm. */
    g_ptr_array_add(extents, mem + THP_SIZE);
    g_assert_cmpuint(fixed_ram_collapse(extents), ==, 3);
    g_assert_cmpuint(thp_bytes(mem, 4 * THP_SIZE), ==, 3 * THP_SIZE);
    expect_content(mem, 4 * THP_SIZE);
    thp_unmap(mem, 4 * THP_SIZE);
}

static void test_none(void)
{
    g_autoptr(GPtrArray) extents = g_ptr_array_new();

    g_assert_cmpuint(fixed_ram_collapse(extents), ==, 0);
}

/* Memory that was unmapped is passed over, the next extent is collapsed. */
static void test_gone(void)
{
    g_autoptr(GPtrArray) extents = g_ptr_array_new();
    uint8_t *mem;

    if (skipped()) {
        return;
    }
    mem = map_small(4 * THP_SIZE);
    munmap(mem + THP_SIZE, THP_SIZE);
    g_assert_cmpint(munmap(mem + 2 * THP_SIZE + 4096, 4096), ==, 0);
    for (int i = 0; i < 4; i++) {
        g_ptr_array_add(extents, mem + i * THP_SIZE);
    }
    g_assert_cmpuint(fixed_ram_collapse(extents), ==, 2);
    g_assert_cmpuint(thp_bytes(mem, THP_SIZE), ==, THP_SIZE);
    g_assert_cmpuint(thp_bytes(mem + 3 * THP_SIZE, THP_SIZE), ==, THP_SIZE);
    /* Nothing has been put where there was nothing. */
    g_assert_cmpint(msync(mem + THP_SIZE, THP_SIZE, MS_ASYNC), ==, -1);
    g_assert_cmpint(errno, ==, ENOMEM);
    thp_unmap(mem, 4 * THP_SIZE);
}

/* --- in the background --- */

static unsigned freed;          /* atomic */

static void note_free(void *extent)
{
    qatomic_inc(&freed);
}

static void test_start(void)
{
    GPtrArray *extents = g_ptr_array_new_with_free_func(note_free);
    uint8_t *mem = map_small(3 * THP_SIZE);

    for (int i = 0; i < 3; i++) {
        g_ptr_array_add(extents, mem + i * THP_SIZE);
    }
    qatomic_set(&freed, 0);
    fixed_ram_collapse_start(extents);
    /* The content is right at any moment. */
    while (qatomic_read(&freed) < 3) {
        expect_content(mem, 3 * THP_SIZE);
    }
    expect_content(mem, 3 * THP_SIZE);
    if (can_collapse()) {
        g_assert_cmpuint(thp_bytes(mem, 3 * THP_SIZE), ==, 3 * THP_SIZE);
    }
    thp_unmap(mem, 3 * THP_SIZE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/collapse/small", test_collapse);
    g_test_add_func("/fixed-ram/collapse/none", test_none);
    g_test_add_func("/fixed-ram/collapse/gone", test_gone);
    g_test_add_func("/fixed-ram/collapse/start", test_start);
    return g_test_run();
}

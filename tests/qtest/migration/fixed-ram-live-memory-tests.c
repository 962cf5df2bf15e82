/*
 * QTest testcases for fixed-ram: memory in huge pages is saved live
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "migration/fixed-ram-live.h"

#define BACKEND "-m %s -machine memory-backend=pc.ram"
#define MEMFD   "-object memory-backend-memfd,id=pc.ram,size=150M," \
    "hugetlb=on,hugetlbsize=2M,share="

static void test_huge_pages(const char *memory)
{
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = memory,
        .start.opts_target = "-object memory-backend-ram,id=pc.ram,size=150M",
        .load = FR_FIXED,
    };

    if (!frt_have_huge_pages() || !frt_live_start(&args) ||
        !frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    frt_live_begin(&args);
    frt_live_wait_saved(&args);
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

static void test_huge_pages_shared(void)
{
    test_huge_pages(MEMFD "on");
}

static void test_huge_pages_private(void)
{
    test_huge_pages(MEMFD "off");
}

static const FixedRamCase cases[] = {
    { "huge-pages", test_huge_pages_shared },
    { "huge-pages-private", test_huge_pages_private },
};

void frt_add_live_memory_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "live-memory", cases, ARRAY_SIZE(cases));
}

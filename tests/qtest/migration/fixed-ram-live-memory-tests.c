/*
 * QTest testcases for fixed-ram: kinds of memory that is saved live
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-driver.h"
#include "migration/fixed-ram-live.h"
#include "standard-headers/linux/virtio_balloon.h"

enum { INFLATE, DEFLATE, STATS, REPORT };

#define BALLOON "-device virtio-balloon-pci,addr=9,free-page-reporting=on"

/* Pages of the pattern that have data. */
#define INFLATED    (PATTERN_START + 6 * MiB)
#define REPORTED    (PATTERN_START + 7 * MiB)

/* The guest gives a page to the balloon, and reports another one as free. */
static void give_back(QTestState *qts)
{
    FixedRamDriver d;

    frt_driver_start(&d, qts, 1ull << VIRTIO_BALLOON_F_REPORTING, 4);
    qtest_writel(qts, d.page, INFLATED >> VIRTIO_BALLOON_PFN_SHIFT);
    frt_driver_send(&d, INFLATE, d.page, 4, false);
    frt_driver_send(&d, REPORT, REPORTED, SNAPSHOT_PAGE_SIZE, true);
    frt_driver_end(&d);
}

static void assert_not_zero(QTestState *qts, uint64_t addr)
{
    uint8_t page[SNAPSHOT_PAGE_SIZE];

    qtest_bufread(qts, addr, page, sizeof(page));
    g_assert_false(buffer_is_zero(page, sizeof(page)));
}

/* What the guest gives back before it is saved stays where it is. */
static void test_balloon(void)
{
    FixedRamTest args = { .save = FR_BUFFERED, .start.opts_source = BALLOON };

    if (!frt_live_begin_held_late(&args)) {
        return;
    }
    give_back(args.from);
    assert_not_zero(args.from, INFLATED);
    assert_not_zero(args.from, REPORTED);
    frt_live_release(&args);
}

/*
 * Memory that is in huge pages throughout
 */

/* What 150 MiB need. */
#define HUGE_PAGES  75
#define BACKEND     "-m %s -machine memory-backend=pc.ram"
#define MEMFD       "-object memory-backend-memfd,id=pc.ram,size=150M," \
    "hugetlb=on,hugetlbsize=2M,share="

static void test_huge_pages(const char *memory)
{
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = memory,
        .start.opts_target = "-object memory-backend-ram,id=pc.ram,size=150M",
        .load = FR_FIXED,
    };

    if (!frt_have_huge_pages(HUGE_PAGES) || !frt_live_start(&args) ||
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
    { "balloon", test_balloon },
    { "huge-pages", test_huge_pages_shared },
    { "huge-pages-private", test_huge_pages_private },
};

void frt_add_live_memory_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "live-memory", cases, ARRAY_SIZE(cases));
}

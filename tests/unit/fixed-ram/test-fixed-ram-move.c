/*
 * fixed-ram: unit tests of moving pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/thread.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/uffd.h"
#include "thp.h"

/* Watched memory, and as much of it whose pages can be given away. */
typedef struct Rig {
    FixedRamUffd uffd;
    size_t page;                /* the host's page size */
    size_t pages;               /* of one huge page */
    size_t size;
    uint8_t *mem;
    uint8_t *src;
} Rig;

static uint8_t src_byte(size_t page)
{
    return 1 + page % 251;
}

/* @move: the test is about what only newer kernels can do */
static bool rig_new(Rig *rig, size_t size, bool move)
{
    Error *err = NULL;

    *rig = (Rig) { .page = qemu_real_host_page_size(), .size = size };
    rig->pages = THP_SIZE / rig->page;
    if (!fixed_ram_uffd_open(&rig->uffd, &err)) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        return false;
    }
    if (move && !rig->uffd.can_move) {
        g_test_skip("this kernel cannot move pages");
        fixed_ram_uffd_close(&rig->uffd);
        return false;
    }
    rig->mem = thp_map(size);
    rig->src = thp_map(size);
    for (size_t i = 0; i < size; i += rig->page) {
        memset(rig->src + i, src_byte(i / rig->page), rig->page);
    }
    fixed_ram_uffd_register(&rig->uffd, rig->mem, size, &error_abort);
    return true;
}

static void rig_free(Rig *rig)
{
    fixed_ram_uffd_unregister(&rig->uffd, rig->mem, rig->size);
    fixed_ram_uffd_close(&rig->uffd);
    thp_unmap(rig->mem, rig->size);
    thp_unmap(rig->src, rig->size);
}

/* Every byte of page number @page of @mem is @byte. */
static void expect_page(const Rig *rig, const uint8_t *mem, size_t page,
                        uint8_t byte)
{
    for (size_t i = 0; i < rig->page; i++) {
        g_assert_cmphex(mem[page * rig->page + i], ==, byte);
    }
}

/* Pages [@first, @end) are where they were put; @mem is rig's mem or src. */
static void expect_pages(const Rig *rig, const uint8_t *mem, size_t first,
                         size_t end)
{
    for (size_t page = first; page < end; page++) {
        expect_page(rig, mem, page, src_byte(page));
    }
}

/* The same for what has been given away. */
static void expect_gone(const Rig *rig, size_t first, size_t end)
{
    for (size_t page = first; page < end; page++) {
        expect_page(rig, rig->src, page, 0);
    }
}

static int move(Rig *rig, size_t first, size_t pages, uint64_t *done)
{
    return fixed_ram_uffd_move(&rig->uffd, rig->mem + first * rig->page,
                               rig->src + first * rig->page,
                               pages * rig->page, done);
}

static void place_zero(Rig *rig, size_t page)
{
    g_assert_cmpint(fixed_ram_uffd_zero(&rig->uffd,
                                        rig->mem + page * rig->page,
                                        rig->page), ==, 0);
}

/* A huge page goes, and comes, as one. */
static void test_huge(void)
{
    uint64_t done;
    Rig rig;

    if (!thp_available() || !rig_new(&rig, 3 * THP_SIZE, true)) {
        return;
    }
    if (thp_bytes(rig.src, rig.size) < rig.size) {
        g_test_skip("the host is out of huge pages");
        rig_free(&rig);
        return;
    }
    g_assert_cmpint(move(&rig, rig.pages, rig.pages, &done), ==, 0);
    g_assert_cmpuint(done, ==, THP_SIZE);
    g_assert_cmpuint(thp_bytes(rig.mem, rig.size), ==, THP_SIZE);
    g_assert_cmpuint(thp_bytes(rig.src, rig.size), ==, 2 * THP_SIZE);
    expect_pages(&rig, rig.mem, rig.pages, 2 * rig.pages);
    expect_gone(&rig, rig.pages, 2 * rig.pages);

    g_assert_cmpint(move(&rig, 0, rig.pages, &done), ==, 0);
    g_assert_cmpint(move(&rig, 2 * rig.pages, rig.pages, &done), ==, 0);
    g_assert_cmpuint(thp_bytes(rig.mem, rig.size), ==, 3 * THP_SIZE);
    expect_pages(&rig, rig.mem, 0, 3 * rig.pages);
    rig_free(&rig);
}

/* Page by page: not aligned, or not a whole one. */
static void test_small(void)
{
    uint64_t done;
    Rig rig;

    if (!rig_new(&rig, 2 * THP_SIZE, true)) {
        return;
    }
    g_assert_cmpint(move(&rig, 3, rig.pages, &done), ==, 0);
    g_assert_cmpuint(done, ==, THP_SIZE);
    g_assert_cmpint(move(&rig, rig.pages + 3, 1, &done), ==, 0);
    g_assert_cmpuint(done, ==, rig.page);
    expect_pages(&rig, rig.mem, 3, rig.pages + 4);
    expect_pages(&rig, rig.src, 0, 3);
    expect_pages(&rig, rig.src, rig.pages + 4, 2 * rig.pages);
    expect_gone(&rig, 3, rig.pages + 4);
    rig_free(&rig);
}

/* It stops where a page is, says so, and has touched nothing beyond. */
static void test_present(void)
{
    static const size_t present[] = { 0, 1, 7, 256, 511 };

    for (size_t i = 0; i < ARRAY_SIZE(present); i++) {
        uint64_t done = 1;
        size_t page;
        Rig rig;
        int ret;

        if (!rig_new(&rig, THP_SIZE, true)) {
            return;
        }
        page = MIN(present[i], rig.pages - 1);
        place_zero(&rig, page);
        ret = move(&rig, 0, rig.pages, &done);
        g_assert_cmpint(ret, <, 0);
        g_assert_cmpuint(done, ==, page * rig.page);
        if (!page) {
            g_assert_cmpint(ret, ==, -EEXIST);
        }
        expect_pages(&rig, rig.mem, 0, page);
        expect_page(&rig, rig.mem, page, 0);
        expect_gone(&rig, 0, page);
        expect_pages(&rig, rig.src, page, rig.pages);

        /* The rest can be copied, and the page that is there stays. */
        g_assert_cmpint(fixed_ram_uffd_copy(&rig.uffd, rig.mem + done,
                                            rig.src + done, THP_SIZE - done,
                                            rig.page, &done), ==, 0);
        expect_page(&rig, rig.mem, page, 0);
        expect_pages(&rig, rig.mem, page + 1, rig.pages);
        rig_free(&rig);
    }
}

/* A source with a hole gives what lies before it. */
static void test_hole(void)
{
    uint64_t done;
    Rig rig;

    if (!rig_new(&rig, THP_SIZE, true)) {
        return;
    }
    g_assert_cmpint(madvise(rig.src + 5 * rig.page, rig.page, MADV_DONTNEED),
                    ==, 0);
    g_assert_cmpint(move(&rig, 0, 16, &done), <, 0);
    g_assert_cmpuint(done, ==, 5 * rig.page);
    expect_pages(&rig, rig.mem, 0, 5);
    expect_pages(&rig, rig.src, 6, rig.pages);
    rig_free(&rig);
}

/* Not watched, or not there at all: nothing is moved. */
static void test_gone(void)
{
    uint64_t done = 1;
    Rig rig;

    if (!rig_new(&rig, THP_SIZE, true)) {
        return;
    }
    fixed_ram_uffd_unregister(&rig.uffd, rig.mem, rig.size);
    g_assert_cmpint(move(&rig, 0, rig.pages, &done), <, 0);
    g_assert_cmpuint(done, ==, 0);
    done = 1;
    munmap(rig.mem, rig.size);
    g_assert_cmpint(move(&rig, 0, rig.pages, &done), ==, -ENOENT);
    g_assert_cmpuint(done, ==, 0);
    expect_pages(&rig, rig.src, 0, rig.pages);
    rig_free(&rig);
}

/* --- threads that wait --- */

typedef struct Toucher {
    QemuThread thread;
    /* volatile: the compiler must not drop the read. */
    const volatile uint8_t *addr;
    uint8_t seen;
} Toucher;

static void *toucher_thread(void *opaque)
{
    Toucher *t = opaque;

    t->seen = *t->addr;
    return NULL;
}

/* Returns when the fault is there. */
static void touch(Rig *rig, Toucher *t, size_t page)
{
    FixedRamFault fault;

    t->addr = rig->mem + page * rig->page;
    qemu_thread_create(&t->thread, "touch", toucher_thread, t,
                       QEMU_THREAD_JOINABLE);
    g_assert_cmpint(fixed_ram_uffd_read(&rig->uffd, &fault), ==, 0);
    g_assert_cmphex(fault.addr, ==, (uintptr_t)t->addr);
}

static void expect_seen(Toucher *t, uint8_t byte)
{
    qemu_thread_join(&t->thread);
    g_assert_cmphex(t->seen, ==, byte);
}

static void test_wakes(void)
{
    Toucher t[3];
    uint64_t done;
    Rig rig;

    if (!rig_new(&rig, THP_SIZE, true)) {
        return;
    }
    touch(&rig, &t[0], 0);
    touch(&rig, &t[1], 77);
    touch(&rig, &t[2], rig.pages - 1);
    g_assert_cmpint(move(&rig, 0, rig.pages, &done), ==, 0);
    g_assert_cmpuint(done, ==, THP_SIZE);
    expect_seen(&t[0], src_byte(0));
    expect_seen(&t[1], src_byte(77));
    expect_seen(&t[2], src_byte(rig.pages - 1));
    rig_free(&rig);
}

/* Those are woken whose page came, also if not all came. */
static void test_wakes_part(void)
{
    Toucher t[2];
    uint64_t done;
    Rig rig;

    if (!rig_new(&rig, THP_SIZE, true)) {
        return;
    }
    touch(&rig, &t[0], 3);
    touch(&rig, &t[1], 9);
    place_zero(&rig, 5);
    g_assert_cmpint(move(&rig, 0, rig.pages, &done), <, 0);
    g_assert_cmpuint(done, ==, 5 * rig.page);
    expect_seen(&t[0], src_byte(3));
    g_assert_cmpint(fixed_ram_uffd_copy(&rig.uffd, rig.mem + 9 * rig.page,
                                        rig.src + 9 * rig.page, rig.page,
                                        rig.page, &done), ==, 0);
    expect_seen(&t[1], src_byte(9));
    rig_free(&rig);
}

/* --- a kernel that cannot --- */

static void test_cannot(void)
{
    bool was_set = getenv(FIXED_RAM_NO_MOVE);
    uint64_t done = 1;
    bool opened;
    Rig rig;

    g_setenv(FIXED_RAM_NO_MOVE, "1", true);
    opened = rig_new(&rig, THP_SIZE, false);
    if (!was_set) {
        g_unsetenv(FIXED_RAM_NO_MOVE);
    }
    if (!opened) {
        return;
    }
    g_assert_false(rig.uffd.can_move);
    g_assert_cmpint(move(&rig, 0, rig.pages, &done), ==, -EOPNOTSUPP);
    g_assert_cmpuint(done, ==, 0);
    expect_pages(&rig, rig.src, 0, rig.pages);

    /* All else works, and nothing had been placed. */
    g_assert_cmpint(fixed_ram_uffd_copy(&rig.uffd, rig.mem, rig.src, rig.size,
                                        rig.page, &done), ==, 0);
    g_assert_cmpuint(done, ==, rig.size);
    expect_pages(&rig, rig.mem, 0, rig.pages);
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/move/huge", test_huge);
    g_test_add_func("/fixed-ram/move/small", test_small);
    g_test_add_func("/fixed-ram/move/present", test_present);
    g_test_add_func("/fixed-ram/move/hole", test_hole);
    g_test_add_func("/fixed-ram/move/gone", test_gone);
    g_test_add_func("/fixed-ram/move/wakes", test_wakes);
    g_test_add_func("/fixed-ram/move/wakes-part", test_wakes_part);
    g_test_add_func("/fixed-ram/move/cannot", test_cannot);
    return g_test_run();
}

/*
 * fixed-ram: unit tests of the userfaultfd room
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/ioctl.h>
#include <linux/userfaultfd.h>
#include "qemu/atomic.h"
#include "qemu/memfd.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/uffd.h"

#define HUGE (2 * MiB)

/* Watched memory, and bytes to put there. */
typedef struct Rig {
    FixedRamUffd uffd;
    size_t page;                /* the host's page size */
    size_t size;
    uint8_t *mem;
    uint8_t *src;
} Rig;

/* A thread that reads one byte and may have to wait for it. */
typedef struct Toucher {
    QemuThread thread;
    /* volatile: the compiler must not drop the read. */
    const volatile uint8_t *addr;
    uint32_t thread_id;         /* atomic; 0 until it runs */
    uint8_t seen;
} Toucher;

static void *toucher_thread(void *opaque)
{
    Toucher *t = opaque;

    qatomic_set(&t->thread_id, qemu_get_thread_id());
    t->seen = *t->addr;
    return NULL;
}

static void touch(Toucher *t, const uint8_t *addr)
{
    *t = (Toucher) { .addr = addr };
    qemu_thread_create(&t->thread, "touch", toucher_thread, t,
                       QEMU_THREAD_JOINABLE);
}

static void expect_seen(Toucher *t, uint8_t value)
{
    qemu_thread_join(&t->thread);
    g_assert_cmphex(t->seen, ==, value);
}

static uint8_t src_byte(const Rig *rig, size_t offset)
{
    return 1 + offset / rig->page % 251;
}

/* False: userfaultfd is not to be had, the test is skipped. */
static bool rig_open(Rig *rig)
{
    Error *err = NULL;

    *rig = (Rig) { .page = qemu_real_host_page_size() };
    if (!fixed_ram_uffd_open(&rig->uffd, &err)) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        return false;
    }
    return true;
}

/* With @flags and @fd for the watched mapping. */
static bool rig_map(Rig *rig, size_t size, int flags, int fd)
{
    if (!rig_open(rig)) {
        return false;
    }
    rig->size = size;
    rig->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    g_assert_true(rig->mem != MAP_FAILED);
    rig->src = g_malloc(size);
    for (size_t i = 0; i < size; i++) {
        rig->src[i] = src_byte(rig, i);
    }
    fixed_ram_uffd_register(&rig->uffd, rig->mem, size, &error_abort);
    return true;
}

static bool rig_new(Rig *rig, unsigned pages)
{
    return rig_map(rig, pages * qemu_real_host_page_size(),
                   MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static void rig_free(Rig *rig)
{
    if (rig->mem) {
        fixed_ram_uffd_unregister(&rig->uffd, rig->mem, rig->size);
        munmap(rig->mem, rig->size);
    }
    fixed_ram_uffd_close(&rig->uffd);
    g_free(rig->src);
}

/* Place @pages pages of the source from page number @first on. */
static int copy(Rig *rig, unsigned first, unsigned pages)
{
    uint64_t done = 1;
    int ret = fixed_ram_uffd_copy(&rig->uffd, rig->mem + first * rig->page,
                                  rig->src + first * rig->page,
                                  pages * rig->page, rig->page, &done);

    g_assert_cmpuint(done, ==, ret ? 0 : pages * rig->page);
    return ret;
}

static int zero(Rig *rig, unsigned page)
{
    return fixed_ram_uffd_zero(&rig->uffd, rig->mem + page * rig->page,
                               rig->page);
}

/* Place a page of @byte and wake no thread. */
static void place_silently(Rig *rig, unsigned page, uint8_t byte)
{
    g_autofree uint8_t *bytes = g_malloc(rig->page);
    struct uffdio_copy c = {
        .dst = (uintptr_t)rig->mem + page * rig->page,
        .src = (uintptr_t)bytes,
        .len = rig->page,
        .mode = UFFDIO_COPY_MODE_DONTWAKE,
    };

    memset(bytes, byte, rig->page);
    g_assert_cmpint(ioctl(rig->uffd.fd, UFFDIO_COPY, &c), ==, 0);
}

static void expect_page(const Rig *rig, unsigned page, uint8_t byte)
{
    const uint8_t *p = rig->mem + page * rig->page;

    for (size_t i = 0; i < rig->page; i++) {
        g_assert_cmphex(p[i], ==, byte);
    }
}

/* The next fault is this toucher's. */
static void expect_fault(Rig *rig, const Toucher *t)
{
    FixedRamFault fault;

    g_assert_cmpint(fixed_ram_uffd_read(&rig->uffd, &fault), ==, 0);
    g_assert_cmphex(fault.addr, ==,
                    ROUND_DOWN((uintptr_t)t->addr, rig->page));
    g_assert_cmpuint(fault.thread_id, ==,
                     rig->uffd.thread_id ? qatomic_read(&t->thread_id) : 0);
    g_assert_false(fixed_ram_uffd_answer(&rig->uffd, &fault));
}

static void test_fault(void)
{
    Toucher t;
    Rig rig;

    if (!rig_new(&rig, 8)) {
        return;
    }
    touch(&t, rig.mem + 3 * rig.page + 123);
    expect_fault(&rig, &t);
    g_assert_cmpint(copy(&rig, 3, 1), ==, 0);
    expect_seen(&t, 4);
    expect_page(&rig, 3, 4);

    touch(&t, rig.mem + 8 * rig.page - 1);
    expect_fault(&rig, &t);
    g_assert_cmpint(zero(&rig, 7), ==, 0);
    expect_seen(&t, 0);
    expect_page(&rig, 7, 0);
    rig_free(&rig);
}

/* Several threads wait for one page, and are all woken. */
static void test_many_wait(void)
{
    Toucher t[4];
    FixedRamFault fault;
    Rig rig;

    if (!rig_new(&rig, 2)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        touch(&t[i], rig.mem + rig.page + i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        g_assert_cmpint(fixed_ram_uffd_read(&rig.uffd, &fault), ==, 0);
        g_assert_cmphex(fault.addr, ==, (uintptr_t)rig.mem + rig.page);
    }
    g_assert_cmpint(copy(&rig, 0, 2), ==, 0);
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        expect_seen(&t[i], 2);
    }
    rig_free(&rig);
}

/* What is there stays, what is missing comes, whatever the borders are. */
static void test_copy_over_present(void)
{
    static const uint8_t present[] = { 0x24, 0xff, 0x01, 0x80, 0x81, 0x55 };

    for (size_t i = 0; i < ARRAY_SIZE(present); i++) {
        Rig rig;

        if (!rig_new(&rig, 8)) {
            return;
        }
        for (unsigned page = 0; page < 8; page++) {
            if (present[i] & 1 << page) {
                place_silently(&rig, page, 0xee);
            }
        }
        g_assert_cmpint(copy(&rig, 0, 8), ==, 0);
        for (unsigned page = 0; page < 8; page++) {
            expect_page(&rig, page,
                        present[i] & 1 << page ? 0xee : page + 1);
        }
        rig_free(&rig);
    }
}

/* The page is present, but the thread that waits has not been woken. */
static void test_present_wakes(void)
{
    Toucher t;
    Rig rig;

    if (!rig_new(&rig, 4)) {
        return;
    }
    touch(&t, rig.mem + rig.page);
    expect_fault(&rig, &t);
    place_silently(&rig, 1, 0xab);
    g_assert_cmpint(zero(&rig, 1), ==, 0);
    expect_seen(&t, 0xab);

    touch(&t, rig.mem + 2 * rig.page);
    expect_fault(&rig, &t);
    place_silently(&rig, 2, 0xcd);
    g_assert_cmpint(copy(&rig, 0, 4), ==, 0);
    expect_seen(&t, 0xcd);
    expect_page(&rig, 1, 0xab);
    expect_page(&rig, 3, 4);

    /* Over the kernel's zero page too. */
    g_assert_cmpint(zero(&rig, 3), ==, 0);
    expect_page(&rig, 3, 4);
    rig_free(&rig);
}

static void test_copy_over_zero(void)
{
    Rig rig;

    if (!rig_new(&rig, 3)) {
        return;
    }
    g_assert_cmpint(zero(&rig, 1), ==, 0);
    g_assert_cmpint(copy(&rig, 0, 3), ==, 0);
    expect_page(&rig, 0, 1);
    expect_page(&rig, 1, 0);
    expect_page(&rig, 2, 3);
    rig_free(&rig);
}

/* Many megabytes in one call, with pages here and there in the way. */
static void test_large_copy(void)
{
    Toucher t;
    unsigned pages;
    Rig rig;

    if (!rig_map(&rig, 3 * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1)) {
        return;
    }
    pages = rig.size / rig.page;
    for (unsigned page = 3; page < pages; page += 7 + page % 64) {
        place_silently(&rig, page, 0xee);
    }
    touch(&t, rig.mem + rig.size - 1);
    expect_fault(&rig, &t);
    g_assert_cmpint(copy(&rig, 0, pages), ==, 0);
    expect_seen(&t, src_byte(&rig, rig.size - 1));
    for (unsigned page = 0, next = 3; page < pages; page++) {
        bool was_there = page == next;

        expect_page(&rig, page, was_there ? 0xee
                                          : src_byte(&rig, page * rig.page));
        next += was_there ? 7 + page % 64 : 0;
    }
    rig_free(&rig);
}

static void test_unregister(void)
{
    Toucher t;
    Rig rig;

    if (!rig_new(&rig, 4)) {
        return;
    }
    touch(&t, rig.mem + rig.page);
    expect_fault(&rig, &t);
    fixed_ram_uffd_unregister(&rig.uffd, rig.mem, rig.size);
    expect_seen(&t, 0);
    expect_page(&rig, 2, 0);                    /* no thread serves it */
    g_assert_cmpint(copy(&rig, 3, 1), ==, -ENOENT);
    g_assert_cmpint(zero(&rig, 3), ==, -ENOENT);
    rig_free(&rig);
}

/* It fails in the middle, and says how far it came. */
static void test_copy_part(void)
{
    uint64_t done;
    uint8_t *src;
    Rig rig;

    if (!rig_new(&rig, 8)) {
        return;
    }
    src = mmap(NULL, rig.size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(src != MAP_FAILED);
    memcpy(src, rig.src, rig.size);
    g_assert_cmpint(mprotect(src + 5 * rig.page, rig.page, PROT_NONE), ==, 0);
    place_silently(&rig, 2, 0xee);
    g_assert_cmpint(fixed_ram_uffd_copy(&rig.uffd, rig.mem, src, rig.size,
                                        rig.page, &done), ==, -EFAULT);
    g_assert_cmpuint(done, ==, 5 * rig.page);
    for (unsigned page = 0; page < 5; page++) {
        expect_page(&rig, page, page == 2 ? 0xee : page + 1);
    }
    g_assert_cmpint(copy(&rig, 5, 3), ==, 0);   /* none of these was there */
    expect_page(&rig, 5, 6);
    expect_page(&rig, 7, 8);
    munmap(src, rig.size);
    rig_free(&rig);
}

/* The memory goes while it is watched. */
static void test_unmapped(void)
{
    Rig rig;

    if (!rig_new(&rig, 4)) {
        return;
    }
    munmap(rig.mem, rig.size);
    g_assert_cmpint(copy(&rig, 0, 4), ==, -ENOENT);
    g_assert_cmpint(zero(&rig, 0), ==, -ENOENT);
    fixed_ram_uffd_wake(&rig.uffd, rig.mem, rig.size);
    fixed_ram_uffd_unregister(&rig.uffd, rig.mem, rig.size);
    rig.mem = NULL;
    rig_free(&rig);
}

/* Touched again, still missing: the fault comes again. */
static void test_wake(void)
{
    Toucher t;
    Rig rig;

    if (!rig_new(&rig, 16)) {
        return;
    }
    touch(&t, rig.mem + 9 * rig.page + 1);
    for (int i = 0; i < 5; i++) {
        expect_fault(&rig, &t);
        fixed_ram_uffd_wake(&rig.uffd, rig.mem, rig.size);
    }
    expect_fault(&rig, &t);
    g_assert_cmpint(copy(&rig, 9, 1), ==, 0);
    expect_seen(&t, 10);
    rig_free(&rig);
}

/* Discarded after it was placed: it is missing again. */
static void test_discard(void)
{
    Toucher t;
    Rig rig;

    if (!rig_new(&rig, 2)) {
        return;
    }
    g_assert_cmpint(copy(&rig, 0, 2), ==, 0);
    g_assert_cmpint(madvise(rig.mem, rig.page, MADV_DONTNEED), ==, 0);
    touch(&t, rig.mem);
    expect_fault(&rig, &t);
    g_assert_cmpint(zero(&rig, 0), ==, 0);
    expect_seen(&t, 0);
    expect_page(&rig, 1, 2);
    rig_free(&rig);
}

/* Shared memory: what is placed is seen through every mapping. */
static void test_memfd(void)
{
    Toucher t;
    uint8_t *other;
    Rig rig;
    size_t size = 4 * qemu_real_host_page_size();
    int fd = qemu_memfd_create("fixed-ram-test", size, false, 0, 0,
                               &error_abort);

    if (!rig_map(&rig, size, MAP_SHARED, fd)) {
        close(fd);
        return;
    }
    other = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    g_assert_true(other != MAP_FAILED);
    touch(&t, rig.mem + rig.page);
    expect_fault(&rig, &t);
    g_assert_cmpint(copy(&rig, 1, 2), ==, 0);
    expect_seen(&t, 2);
    g_assert_cmphex(other[rig.page], ==, 2);
    g_assert_cmphex(other[3 * rig.page - 1], ==, 3);

    touch(&t, rig.mem);
    expect_fault(&rig, &t);
    g_assert_cmpint(zero(&rig, 0), ==, 0);
    expect_seen(&t, 0);
    g_assert_cmpint(zero(&rig, 1), ==, 0);      /* there already */
    expect_page(&rig, 1, 2);
    munmap(other, size);
    close(fd);
    rig_free(&rig);
}

/* The kernel has no zero page of this size. */
static void test_hugetlb(void)
{
    Toucher t;
    uint64_t done;
    Rig rig;
    void *probe = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

    if (probe == MAP_FAILED) {
        g_test_skip("this host has no huge pages to give (vm.nr_hugepages)");
        return;
    }
    munmap(probe, 2 * HUGE);
    if (!rig_map(&rig, 2 * HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
                 -1)) {
        return;
    }
    touch(&t, rig.mem + HUGE - 1);
    g_assert_cmpint(fixed_ram_uffd_zero(&rig.uffd, rig.mem, HUGE), ==, 0);
    expect_seen(&t, 0);
    g_assert_cmpint(fixed_ram_uffd_copy(&rig.uffd, rig.mem, rig.src,
                                        2 * HUGE, HUGE, &done), ==, 0);
    g_assert_cmpuint(done, ==, 2 * HUGE);
    expect_page(&rig, 0, 0);                    /* it was there */
    g_assert_cmphex(rig.mem[HUGE], ==, src_byte(&rig, HUGE));
    g_assert_cmpint(fixed_ram_uffd_zero(&rig.uffd, rig.mem + HUGE, HUGE), ==,
                    0);
    g_assert_cmphex(rig.mem[2 * HUGE - 1], ==, src_byte(&rig, 2 * HUGE - 1));
    rig_free(&rig);
}

static void test_register_error(void)
{
    Error *err = NULL;
    Rig rig;

    if (!rig_new(&rig, 2)) {
        return;
    }
    g_assert_false(fixed_ram_uffd_register(&rig.uffd, rig.mem + 1, rig.page,
                                           &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "userfaultfd"));
    error_free(err);
    rig_free(&rig);
}

/* --- the doorbell --- */

typedef struct Readers {
    Rig *rig;
    unsigned answered;          /* atomic */
} Readers;

static void *reader_thread(void *opaque)
{
    Readers *r = opaque;
    FixedRamFault fault;

    do {
        g_assert_cmpint(fixed_ram_uffd_read(&r->rig->uffd, &fault), ==, 0);
    } while (!fixed_ram_uffd_answer(&r->rig->uffd, &fault));
    qatomic_inc(&r->answered);
    return NULL;
}

/* Each ring ends one reader, whichever it is. */
static void test_ring(void)
{
    QemuThread threads[FIXED_RAM_UFFD_BELLS];
    Rig rig;
    Readers r = { .rig = &rig };

    if (!rig_new(&rig, 1)) {
        return;
    }
    for (unsigned i = 0; i < FIXED_RAM_UFFD_BELLS; i++) {
        qemu_thread_create(&threads[i], "reader", reader_thread, &r,
                           QEMU_THREAD_JOINABLE);
    }
    for (unsigned i = 0; i < FIXED_RAM_UFFD_BELLS; i++) {
        fixed_ram_uffd_ring(&rig.uffd, i);
    }
    for (unsigned i = 0; i < FIXED_RAM_UFFD_BELLS; i++) {
        qemu_thread_join(&threads[i]);
    }
    g_assert_cmpuint(r.answered, ==, FIXED_RAM_UFFD_BELLS);
    rig_free(&rig);
}

/* Closed: what was registered is ordinary memory. */
static void test_close(void)
{
    uint8_t *mem;
    size_t size;
    Rig rig;

    if (!rig_new(&rig, 4)) {
        return;
    }
    mem = rig.mem;
    size = rig.size;
    g_assert_cmpint(copy(&rig, 1, 1), ==, 0);
    rig.mem = NULL;
    rig_free(&rig);
    g_assert_cmpint(rig.uffd.fd, ==, -1);
    g_assert_null(rig.uffd.doorbell);
    g_assert_cmphex(mem[0], ==, 0);
    g_assert_cmphex(mem[size / 4], ==, 2);
    munmap(mem, size);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/uffd/fault", test_fault);
    g_test_add_func("/fixed-ram/uffd/many-wait", test_many_wait);
    g_test_add_func("/fixed-ram/uffd/copy-over-present",
                    test_copy_over_present);
    g_test_add_func("/fixed-ram/uffd/present-wakes", test_present_wakes);
    g_test_add_func("/fixed-ram/uffd/copy-over-zero", test_copy_over_zero);
    g_test_add_func("/fixed-ram/uffd/large-copy", test_large_copy);
    g_test_add_func("/fixed-ram/uffd/copy-part", test_copy_part);
    g_test_add_func("/fixed-ram/uffd/unregister", test_unregister);
    g_test_add_func("/fixed-ram/uffd/unmapped", test_unmapped);
    g_test_add_func("/fixed-ram/uffd/wake", test_wake);
    g_test_add_func("/fixed-ram/uffd/discard", test_discard);
    g_test_add_func("/fixed-ram/uffd/memfd", test_memfd);
    g_test_add_func("/fixed-ram/uffd/hugetlb", test_hugetlb);
    g_test_add_func("/fixed-ram/uffd/register-error", test_register_error);
    g_test_add_func("/fixed-ram/uffd/ring", test_ring);
    g_test_add_func("/fixed-ram/uffd/close", test_close);
    return g_test_run();
}

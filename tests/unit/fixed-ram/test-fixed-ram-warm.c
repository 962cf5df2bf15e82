/*
 * fixed-ram: unit tests of the thread that maps a working set ahead
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "migration/fixed-ram/engine/warm.h"

#define PAGE            4096ULL
/* So far apart that the kernel does not map one page beside another. */
#define APART           64ULL
#define PAGES           (64 * APART)
#define PAGES_OFFSET    (5 * PAGE)
#define AHEAD_BYTES     (8 * MiB)       /* as in warm.c */

static bool host_knows(void)
{
    return access("/proc/self/pagemap", R_OK) == 0;
}

/*
 * The source is only asked to read ahead.  The thread closes it at its end.
 */
static QemuSemaphore closed;
static QemuSemaphore asked;     /* posted by expect() ... */
static QemuSemaphore go;        /* ... which then waits, if @hold is set */
static bool hold;
static uint64_t first_offset, expected;

static void source_expect(FixedRamSource *source, uint64_t offset,
                          uint64_t length)
{
    if (!expected) {
        first_offset = offset;
    }
    qatomic_set(&expected, expected + length);
    if (hold) {
        qemu_sem_post(&asked);
        qemu_sem_wait(&go);
    }
}

static void source_close(FixedRamSource *source)
{
    g_free(source);
    qemu_sem_post(&closed);
}

static const FixedRamSourceOps ops = {
    .expect = source_expect, .close = source_close,
};

static uint8_t *map_file(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fixed-ram-warm-XXXXXX", &path, NULL);
    uint8_t *host;

    g_assert_cmpint(fd, >=, 0);
    unlink(path);
    g_assert_cmpint(ftruncate(fd, PAGES * PAGE), ==, 0);
    host = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
                0);
    g_assert_true(host != MAP_FAILED);
    madvise(host, PAGES * PAGE, MADV_RANDOM);
    close(fd);
    return host;
}

/* Is the page in this process's page table? */
static bool is_there(const uint8_t *page)
{
    int fd = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry;

    g_assert_cmpint(pread(fd, &entry, sizeof(entry),
                          (uintptr_t)page / PAGE * sizeof(entry)), ==,
                    sizeof(entry));
    close(fd);
    return entry >> 63;
}

/* The caller's reference is dropped, so that the thread's is the last one. */
static FixedRamWarm *start(FixedRamWorkingSet *set, uint8_t *host)
{
    FixedRamSource *source = g_new0(FixedRamSource, 1);
    GArray *blocks = g_array_new(false, false, sizeof(FixedRamWarmBlock));
    FixedRamWarmBlock block = {
        .host = host, .pages_offset = PAGES_OFFSET, .page_size = PAGE,
    };
    FixedRamWarm *warm;

    expected = 0;
    fixed_ram_source_init(source, &ops, "warm", 0);
    g_array_append_val(blocks, block);
    warm = fixed_ram_warm_start(set, source, blocks);
    fixed_ram_source_unref(source);
    g_assert_nonnull(warm);
    return warm;
}

/* The thread has ended, and has freed what it had. */
static void wait_end(FixedRamWarm *warm)
{
    fixed_ram_warm_stop(warm);
    qemu_sem_wait(&closed);
}

static void wait_there(const uint8_t *page)
{
    while (!is_there(page)) {
        g_usleep(1000);
    }
}

/* Pages of the set are mapped, in its order, and no others. */
static void test_pages(void)
{
    FixedRamWorkingSet *set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_RECORDED);
    uint8_t *host = map_file();
    FixedRamWarm *warm;

    if (!host_knows()) {
        g_test_skip("this host does not tell what is mapped");
        return;
    }
    fixed_ram_working_set_add(set, 0, 7 * APART, 1, true);
    fixed_ram_working_set_add(set, 0, 3 * APART, 2, true);
    fixed_ram_working_set_add(set, 0, 9 * APART, 1, false);
    fixed_ram_working_set_add(set, 0, 1 * APART, 1, true);
    warm = start(set, host);
    wait_there(host + 1 * APART * PAGE);
    wait_end(warm);
    for (uint64_t n = 0; n < PAGES / APART; n++) {
        g_assert_cmpint(is_there(host + n * APART * PAGE), ==,
                        n == 7 || n == 3 || n == 1);
    }
    /* Zero pages need not be read. */
    g_assert_cmpuint(expected, ==, 4 * PAGE);
    g_assert_cmpuint(first_offset, ==, PAGES_OFFSET + 7 * APART * PAGE);
    munmap(host, PAGES * PAGE);
}

/* While a read hangs the thread is told to end, and then maps nothing. */
static void test_stop(void)
{
    FixedRamWorkingSet *set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_RECORDED);
    uint8_t *host = map_file();
    FixedRamWarm *warm;

    if (!host_knows()) {
        g_test_skip("this host does not tell what is mapped");
        return;
    }
    fixed_ram_working_set_add(set, 0, 2 * APART, 1, true);
    hold = true;
    warm = start(set, host);
    qemu_sem_wait(&asked);
    fixed_ram_warm_stop(warm);
    hold = false;
    qemu_sem_post(&go);
    qemu_sem_wait(&closed);
    g_assert_false(is_there(host + 2 * APART * PAGE));
    munmap(host, PAGES * PAGE);
}

/* A large set is not read all at once: the cache may be small. */
static void test_ahead(void)
{
    FixedRamWorkingSet *set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_RECORDED);
    uint8_t *host = map_file();
    uint64_t run = PAGES / 2, bytes = run * PAGE;
    FixedRamWarm *warm;

    g_assert_cmpuint(bytes, ==, AHEAD_BYTES);
    fixed_ram_working_set_add(set, 0, run, run, true);
    fixed_ram_working_set_add(set, 0, 0, run - 1, true);
    hold = true;
    warm = start(set, host);
    qemu_sem_wait(&asked);
    qemu_sem_post(&go);
    /* The second one is asked for when the first one has been mapped. */
    qemu_sem_wait(&asked);
    if (host_knows()) {
        g_assert_true(is_there(host + (PAGES - 1) * PAGE));
    }
    hold = false;
    qemu_sem_post(&go);
    wait_end(warm);
    munmap(host, PAGES * PAGE);
}

/* The block went away meanwhile: nothing happens. */
static void test_unplugged(void)
{
    FixedRamWorkingSet *set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_GUESSED);
    uint8_t *host = map_file();
    FixedRamWarm *warm;

    fixed_ram_working_set_add(set, 0, 5, 3, true);
    munmap(host, PAGES * PAGE);
    warm = start(set, host);
    wait_end(warm);
    fixed_ram_warm_stop(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qemu_sem_init(&closed, 0);
    qemu_sem_init(&asked, 0);
    qemu_sem_init(&go, 0);
    g_test_add_func("/fixed-ram/warm/pages", test_pages);
    g_test_add_func("/fixed-ram/warm/stop", test_stop);
    g_test_add_func("/fixed-ram/warm/ahead", test_ahead);
    g_test_add_func("/fixed-ram/warm/unplugged", test_unplugged);
    return g_test_run();
}

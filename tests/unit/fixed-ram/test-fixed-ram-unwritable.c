/*
 * fixed-ram: unit tests of eager loads into memory that cannot be written
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/memfd.h"
#include "qapi/error.h"
#include "migration/fixed-ram/util/memory.h"
#include "rig.h"

/* Pages of the first block that cannot be written. */
typedef struct Place {
    const char *name;
    uint64_t page;
    uint64_t pages;
} Place;

static const Place places[] = {
    { "full", RIG_FULL * RIG_HUGE, RIG_HUGE },
    { "holed", RIG_HOLED * RIG_HUGE, RIG_HUGE },
    { "sparse", RIG_SPARSE * RIG_HUGE, RIG_HUGE },
    /* The long stretch of zeros: nothing is read there, only cleared. */
    { "zeros", RIG_PATCHY * RIG_HUGE + 200, 40 },
    { "last-page", RIG_EXTENTS * RIG_HUGE + 76, 1 },
};

/* Put a mapping there that raises SIGBUS, as a full tmpfs does. */
static void unback(uint8_t *mem, size_t size)
{
    int fd = qemu_memfd_create("fixed-ram-test", 0, false, 0, 0, &error_abort);

    g_assert_true(mmap(mem, size, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_FIXED, fd, 0) == mem);
    close(fd);
}

static void expect_failure(Rig *rig, const char *words)
{
    g_autofree char *message = NULL;
    Error *err;

    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_FAILED);
    err = fixed_ram_load_error(rig->load);
    message = g_strdup(error_get_pretty(err));
    error_free(err);
    g_assert_nonnull(strstr(message, "block 'pc.ram' offset 0x"));
    g_assert_nonnull(strstr(message, words));
    rig_free(rig);
}

static Rig *eager_rig(const Place *place, uint8_t **mem, size_t *size)
{
    RigOptions o = { .loaders = 2 };
    Rig *rig = rig_new(&o);

    *mem = rig_block(rig, 0)->host + place->page * RIG_PAGE;
    *size = place->pages * RIG_PAGE;
    return rig;
}

static void test_no_backing(const void *opaque)
{
    uint8_t *mem;
    size_t size;
    Rig *rig = eager_rig(opaque, &mem, &size);

    unback(mem, size);
    expect_failure(rig, "cannot write to");
}

static void test_protected(const void *opaque)
{
    uint8_t *mem;
    size_t size;
    Rig *rig = eager_rig(opaque, &mem, &size);

    g_assert_cmpint(mprotect(mem, size, PROT_READ), ==, 0);
    expect_failure(rig, "cannot write to");
}

/* A block that is known to be read-only, and holds the snapshot's content. */
static Rig *readonly_rig(void)
{
    RigOptions o = { .loaders = 2, .shared = true };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block = rig_block(rig, 0);

    for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
        uint64_t at = page * RIG_PAGE;

        if (test_bit(page, block->data)) {
            memcpy(block->host + at,
                   rig->disk.bytes + block->pages_offset + at, RIG_PAGE);
        }
    }
    block->readonly = true;
    return rig;
}

static void protect(Rig *rig)
{
    FixedRamBlock *block = rig_block(rig, 0);

    g_assert_cmpint(mprotect(block->host, block->length, PROT_READ), ==, 0);
}

/* There is nothing to write, so the load completes. */
static void test_readonly_same(void)
{
    Rig *rig = readonly_rig();

    protect(rig);
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

static void test_readonly_differs(void)
{
    Rig *rig = readonly_rig();
    FixedRamBlock *block = rig_block(rig, 0);

    block->host[block->length - 1] ^= 1;
    protect(rig);
    expect_failure(rig, "read-only");
}

/* --- the function that finds out --- */

static void test_populate(void)
{
    size_t size = qemu_real_host_page_size();
    uint8_t *mem = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Error *err = NULL;

    g_assert_true(mem != MAP_FAILED);
    mem[1] = 42;
    g_assert_true(fixed_ram_memory_populate(mem, 3 * size, true,
                                            &error_abort));
    g_assert_cmpuint(mem[1], ==, 42);
    /* Neither end of the range needs to be that of a page. */
    g_assert_true(fixed_ram_memory_populate(mem + size - 1, 2, true,
                                            &error_abort));
    g_assert_cmpint(mprotect(mem, size, PROT_READ), ==, 0);
    g_assert_true(fixed_ram_memory_populate(mem, 1, false, &error_abort));
    g_assert_false(fixed_ram_memory_populate(mem, 1, true, &err));
    error_free_or_abort(&err);
    g_assert_true(fixed_ram_memory_populate(mem + size, size, true,
                                            &error_abort));
    unback(mem + size, size);
    for (int write = 0; write < 2; write++) {
        g_assert_false(fixed_ram_memory_populate(mem + size, 1, write, &err));
        error_free_or_abort(&err);
    }
    munmap(mem, 3 * size);
    g_assert_false(fixed_ram_memory_populate(mem, size, true, &err));
    error_free_or_abort(&err);
}

static bool can_populate(void)
{
    g_autofree uint8_t *mem = g_malloc(2 * qemu_real_host_page_size());

    return !madvise(QEMU_ALIGN_PTR_UP(mem, qemu_real_host_page_size()),
                    qemu_real_host_page_size(), 23 /* MADV_POPULATE_WRITE */);
}

static void add_places(const char *what, GTestDataFunc func)
{
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        g_autofree char *name = g_strdup_printf("/fixed-ram/unwritable/%s/%s",
                                                what, places[i].name);

        g_test_add_data_func(name, &places[i], func);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (can_populate()) {
        add_places("no-backing", test_no_backing);
        add_places("protected", test_protected);
        g_test_add_func("/fixed-ram/unwritable/populate", test_populate);
    }
    g_test_add_func("/fixed-ram/unwritable/readonly/same", test_readonly_same);
    g_test_add_func("/fixed-ram/unwritable/readonly/differs",
                    test_readonly_differs);
    return g_test_run();
}

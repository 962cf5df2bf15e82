/*
 * fixed-ram: memory to save in bulk, and the expected content of its file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/memfd.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/util/sparse.h"
#include "migration/fixed-ram/save/writer.h"
#include "bulk-rig.h"

#define START       (3 * MiB)   /* of the first block's pages */
#define MARK        0xee        /* content of a marked file before the save */

const uint64_t bulk_lengths[NKINDS] = {
    [EIGHTH] = 4 * MiB,
    [SPARSE] = 8 * MiB,
    [UNTOUCHED] = 16 * MiB,
    [MIXED] = 5 * MiB - 70 * PAGE,
    [FULL] = 5 * MiB + 3 * PAGE,
};

static bool is_data(BulkKind kind, size_t page)
{
    switch (kind) {
    case FULL:
        return true;
    case EIGHTH:
        return page % 8 != 3;
    case SPARSE:
        return page % 300 < 2 || (page > 700 && page < 800);
    case MIXED:
        return page / 7 * 40503 / 16 % 3;
    default:
        return false;
    }
}

static bool is_wanted(BulkKind kind, size_t page)
{
    return kind != MIXED || page % 200 < 150;
}

static void fill_page(uint8_t *mem, size_t page, uint8_t salt)
{
    memset(mem, page ^ salt, PAGE);
    memcpy(mem + page % 500 * 8, &(uint64_t) { page + 1 }, 8);
}

static uint8_t *map_block(FixedRamBulkBlock *b, BulkKind kind)
{
    uint8_t *mem;

    b->mem.fd = -1;
    b->mem.length = bulk_lengths[kind];
    if (kind == SPARSE) {
        b->mem.shared = true;
        b->mem.fd = memfd_create("block", MFD_CLOEXEC);
        g_assert_cmpint(ftruncate(b->mem.fd, b->mem.length), ==, 0);
    }
    mem = mmap(NULL, b->mem.length, PROT_READ | PROT_WRITE,
               b->mem.fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED,
               b->mem.fd, 0);
    g_assert(mem != MAP_FAILED);
    madvise(mem, b->mem.length, MADV_NOHUGEPAGE);
    b->mem.host = mem;
    return mem;
}

static void make_block(BulkRig *f, BulkKind kind, uint64_t offset)
{
    static const char *const names[] = { "eighth", "sparse", "untouched",
                                         "mixed", "full" };
    FixedRamBulkBlock *b = &f->blocks[kind];
    uint8_t *mem = map_block(b, kind);
    size_t pages = b->mem.length / PAGE;

    b->name = names[kind];
    b->pages_offset = offset;
    b->todo = bitmap_new(pages);
    b->data = bitmap_new(pages);
    f->wanted[kind] = bitmap_new(pages);
    if (fixed_ram_sums_built()) {
        b->sums = fixed_ram_page_sums_new(b->mem.length, PAGE, KEY,
                                           &error_abort);
    }
    for (size_t page = 0; page < pages; page++) {
        if (is_data(kind, page)) {
            fill_page(mem + page * PAGE, page, kind);
        }
        if (is_wanted(kind, page)) {
            set_bit(page, f->wanted[kind]);
        } else {
            g_assert_cmpint(mprotect(mem + page * PAGE, PAGE, PROT_NONE), ==,
                            0);
        }
    }
    bitmap_copy(b->todo, f->wanted[kind], pages);
}

static void mark_file(BulkRig *f, uint64_t length)
{
    g_autofree uint8_t *marks = g_malloc(MiB);

    memset(marks, MARK, MiB);
    for (uint64_t pos = 0; pos < length; pos += MiB) {
        g_assert_cmpint(pwrite(f->fd, marks, MiB, pos), ==, MiB);
    }
}

static uint64_t bandwidth(void *opaque)
{
    BulkRig *f = opaque;

    return qatomic_read(&f->bandwidth);
}

bool bulk_rig_setup(BulkRig *f, BulkWay way)
{
    uint64_t offset = START;

    *f = (BulkRig) { };
    f->fd = g_file_open_tmp("fixed-ram-bulk-XXXXXX", &f->path, NULL);
    g_assert_cmpint(f->fd, >=, 0);
    f->config = (FixedRamBulkConfig) {
        .name = NAME,
        .direct = way & DIRECT,
        .workers = way & SINGLE ? 1 : 3,
        .page_size = PAGE,
        .bandwidth = bandwidth,
        .opaque = f,
        .fd = open(f->path, O_WRONLY | (way & DIRECT ? O_DIRECT : 0)),
        .buffered_fd = -1,
    };
    if (f->config.fd < 0) {
        g_test_skip("no direct writes here");
        close(f->fd);
        unlink(f->path);
        g_free(f->path);
        return false;
    }
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        make_block(f, kind, offset);
        offset += ROUND_UP(bulk_lengths[kind], MiB) + MiB;
    }
    if (way & MARKED) {
        mark_file(f, offset);
    }
    g_setenv(FIXED_RAM_PLAIN_WRITES, "1", true);
    if (!(way & PLAIN)) {
        g_unsetenv(FIXED_RAM_PLAIN_WRITES);
    }
    return true;
}

void bulk_rig_teardown(BulkRig *f)
{
    fixed_ram_bulk_free(f->bulk);
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        FixedRamBulkBlock *b = &f->blocks[kind];

        munmap((void *)b->mem.host, b->mem.length);
        if (b->mem.fd >= 0) {
            close(b->mem.fd);
        }
        g_free(b->todo);
        g_free(b->data);
        g_free(f->wanted[kind]);
        fixed_ram_page_sums_free(b->sums);
    }
    g_unsetenv(FIXED_RAM_PLAIN_WRITES);
    close(f->config.fd);
    if (f->config.buffered_fd >= 0) {
        close(f->config.buffered_fd);
    }
    close(f->fd);
    unlink(f->path);
    g_free(f->path);
}

void bulk_rig_start(BulkRig *f, uint64_t bytes_per_second)
{
    qatomic_set(&f->bandwidth, bytes_per_second);
    f->bulk = fixed_ram_bulk_start(&f->config, f->blocks, NKINDS,
                                   &error_abort);
}

void bulk_rig_wait(BulkRig *f)
{
    while (!fixed_ram_bulk_wait(f->bulk, 10000)) {
        /* The machine may be slow. */
    }
}

static bool all_are(const uint8_t *page, uint8_t byte)
{
    return page[0] == byte && !memcmp(page, page + 1, PAGE - 1);
}

/* A page without data keeps its old content in the file, or becomes zero. */
static void check_page(const BulkRig *f, BulkKind kind, size_t page)
{
    const FixedRamBulkBlock *b = &f->blocks[kind];
    bool wanted = test_bit(page, f->wanted[kind]);
    bool data = wanted && is_data(kind, page);
    uint8_t buf[PAGE];

    g_assert_cmpint(pread(f->fd, buf, PAGE, b->pages_offset + page * PAGE), ==,
                    PAGE);
    g_assert_cmpint(test_bit(page, b->data), ==, data);
    g_assert_false(test_bit(page, b->todo));
    if (data) {
        g_assert_cmpmem(buf, PAGE, b->mem.host + page * PAGE, PAGE);
    } else {
        g_assert_true(all_are(buf, MARK) || (wanted && all_are(buf, 0)));
    }
}

void bulk_rig_check_unwritten(const BulkRig *f, uint64_t from, uint64_t to)
{
    uint8_t buf[PAGE];

    memset(buf, MARK, PAGE);
    for (; from < to; from += PAGE) {
        size_t n = MIN(to - from, PAGE);

        g_assert_cmpint(pread(f->fd, buf, n, from), ==, n);
        g_assert_true(all_are(buf, MARK));
    }
}

/* Computed from the file, as a loader computes them. */
void bulk_rig_check_sums(const BulkRig *f, BulkKind kind)
{
    const FixedRamBulkBlock *b = &f->blocks[kind];
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / PAGE;
    uint64_t pages = b->mem.length / PAGE;
    g_autofree unsigned long *parts = fixed_ram_sparse_scan(b->data, pages);

    fixed_ram_page_sums_close(b->sums, b->data, parts, b->mem.length);
    for (uint64_t c = 0; c < fixed_ram_page_sums_clusters(b->sums); c++) {
        uint64_t of_pages[FIXED_RAM_CLUSTER_BYTES / PAGE];
        uint64_t n = MIN(per_cluster, pages - c * per_cluster);
        bool any = false;

        for (uint64_t i = 0; i < n; i++) {
            uint64_t page = c * per_cluster + i;
            uint8_t buf[PAGE];

            g_assert_cmpint(pread(f->fd, buf, PAGE,
                                  b->pages_offset + page * PAGE), ==, PAGE);
            any |= test_bit(page, b->data);
            of_pages[i] = test_bit(page, b->data)
                ? fixed_ram_sums_page(KEY, buf, PAGE)
                : fixed_ram_sums_zero_page(KEY, PAGE);
        }
        g_assert_cmphex(fixed_ram_page_sums_cluster(b->sums, c), ==,
                        any ? fixed_ram_sums_cluster(KEY, of_pages, n) : 0);
    }
}

void bulk_rig_check_file(const BulkRig *f)
{
    uint64_t end = 0;

    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        const FixedRamBulkBlock *b = &f->blocks[kind];

        bulk_rig_check_unwritten(f, end, b->pages_offset);
        for (size_t page = 0; page < b->mem.length / PAGE; page++) {
            check_page(f, kind, page);
        }
        if (b->sums) {
            bulk_rig_check_sums(f, kind);
        }
        end = b->pages_offset + b->mem.length;
    }
}

void bulk_rig_check_progress(const BulkRig *f)
{
    uint64_t data = 0, zero = 0;
    FixedRamBulkProgress p;

    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        for (size_t page = 0; page < bulk_lengths[kind] / PAGE; page++) {
            if (is_wanted(kind, page)) {
                *(is_data(kind, page) ? &data : &zero) += 1;
            }
        }
    }
    fixed_ram_bulk_progress(f->bulk, &p);
    g_assert_cmpuint(p.data_pages, ==, data);
    g_assert_cmpuint(p.zero_pages, ==, zero);
    g_assert_cmpuint(p.bytes, >=, data * PAGE);
    g_assert_cmpuint(p.bytes, <=, 2 * data * PAGE);
}

/* Pages in our page tables, and in the memfd. */
uint64_t bulk_rig_count_populated(const BulkRig *f)
{
    uint64_t count = 0;

    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        const FixedRamBulkBlock *b = &f->blocks[kind];
        size_t pages = b->mem.length / PAGE;
        g_autofree unsigned char *vec = g_new(unsigned char, pages);

        g_assert_cmpint(mincore((void *)b->mem.host, b->mem.length, vec), ==,
                        0);
        for (size_t i = 0; i < pages; i++) {
            count += vec[i] & 1;
        }
    }
    return count;
}

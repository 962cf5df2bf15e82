/*
 * fixed-ram: unit tests of saving much memory with little in it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/save/bulk.h"
#include "migration/fixed-ram/save/table.h"
#include "migration/fixed-ram/util/pagemap.h"
#include "migration/fixed-ram/util/sparse.h"

#define PAGE        4096ULL
#define PER_CLUSTER (FIXED_RAM_CLUSTER_BYTES / PAGE)
#define NAME        "snapshot.img"

/*
 * Pages
 */

#define LENGTH      (9 * GiB + 3 * PAGE)
#define PAGES       (LENGTH / PAGE)
#define EMPTY       (2 * GiB)   /* a second block, without data */
#define START       (5 * MiB)   /* of the pages in the file */

/*
 * A saver looks at 1 GiB in advance, and saves 1 or 4 MiB at once: have data at
 * the borders of all of these, and long stretches without any.
 */
static const uint64_t places[] = {
    0, MiB / PAGE - 1, MiB / PAGE, GiB / PAGE - 1, GiB / PAGE + 700,
    3 * GiB / PAGE - 2, 3 * GiB / PAGE, 6 * GiB / PAGE + 1000, PAGES - 1,
};

typedef struct Rig {
    FixedRamBulkBlock blocks[2];
    FixedRamBulkConfig config;
    uint8_t *mem;
    char *path;
} Rig;

static bool is_place(uint64_t page)
{
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        if (places[i] == page) {
            return true;
        }
    }
    return false;
}

static FixedRamBulkBlock make_block(const char *name, uint8_t *mem,
                                    uint64_t length, uint64_t offset)
{
    FixedRamBulkBlock block = {
        .name = name,
        .mem = { .host = mem, .length = length, .fd = -1 },
        .pages_offset = offset,
        .todo = bitmap_new(length / PAGE),
        .data = bitmap_new(length / PAGE),
    };

    bitmap_set(block.todo, 0, length / PAGE);
    return block;
}

static bool rig_new(Rig *r)
{
    r->mem = mmap(NULL, LENGTH + EMPTY, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r->mem == MAP_FAILED) {
        g_test_skip("the host has no address space for the test");
        return false;
    }
    madvise(r->mem, LENGTH + EMPTY, MADV_NOHUGEPAGE);
    r->blocks[0] = make_block("ram", r->mem, LENGTH, START);
    r->blocks[1] = make_block("empty", r->mem + LENGTH, EMPTY, START + LENGTH);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        memset(r->mem + places[i] * PAGE, i + 1, PAGE);
    }
    r->config = (FixedRamBulkConfig) {
        .name = NAME, .workers = 3, .page_size = PAGE, .buffered_fd = -1,
        .fd = g_file_open_tmp("fixed-ram-tera-XXXXXX", &r->path, NULL),
    };
    g_assert_cmpint(r->config.fd, >=, 0);
    return true;
}

static void rig_free(Rig *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(r->blocks); i++) {
        g_free(r->blocks[i].todo);
        g_free(r->blocks[i].data);
    }
    munmap(r->mem, LENGTH + EMPTY);
    close(r->config.fd);
    unlink(r->path);
    g_free(r->path);
}

static void check_page(const Rig *r, size_t i)
{
    uint8_t buf[PAGE];
    int fd = open(r->path, O_RDONLY);

    g_assert_cmpint(pread(fd, buf, PAGE, START + places[i] * PAGE), ==, PAGE);
    g_assert_cmpmem(buf, PAGE, r->mem + places[i] * PAGE, PAGE);
    close(fd);
}

/* All pages are accounted for, those with data are in the file. */
static void test_bulk(const void *way)
{
    FixedRamBulkProgress progress;
    FixedRamBulk *bulk;
    Rig r = { };

    if (!rig_new(&r)) {
        return;
    }
    if (way) {
        g_setenv(way, "1", true);
    }
    /* A page that is not to be saved is not counted either. */
    clear_bit(PAGES / 2, r.blocks[0].todo);
    bulk = fixed_ram_bulk_start(&r.config, r.blocks, 2, &error_abort);
    while (!fixed_ram_bulk_wait(bulk, 10000)) {
        /* The machine may be slow. */
    }
    g_assert_true(fixed_ram_bulk_finish(bulk, &error_abort));
    fixed_ram_bulk_progress(bulk, &progress);
    fixed_ram_bulk_free(bulk);
    g_assert_cmpuint(progress.data_pages, ==, ARRAY_SIZE(places));
    g_assert_cmpuint(progress.zero_pages, ==,
                     PAGES - 1 - ARRAY_SIZE(places) + EMPTY / PAGE);
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_cmpint(test_bit(page, r.blocks[0].data), ==, is_place(page));
    }
    g_assert_true(bitmap_empty(r.blocks[0].todo, PAGES));
    g_assert_true(bitmap_empty(r.blocks[1].todo, EMPTY / PAGE));
    g_assert_true(bitmap_empty(r.blocks[1].data, EMPTY / PAGE));
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        check_page(&r, i);
    }
    if (way) {
        g_unsetenv(way);
    }
    rig_free(&r);
}

/*
 * Checksums
 */

/* Some groups of clusters, of which the last is short. */
#define SUM_CLUSTERS    (5 * 512 + 100)
#define SUM_PAGES       (SUM_CLUSTERS * PER_CLUSTER - 3)

typedef struct Model {
    uint64_t sums[SUM_CLUSTERS * PER_CLUSTER];      /* of pages */
    unsigned long data[BITS_TO_LONGS(SUM_PAGES)];
} Model;

/* 0: no data */
static uint64_t model_cluster(const Model *m, uint64_t cluster)
{
    uint64_t first = cluster * PER_CLUSTER;
    uint64_t n = MIN(PER_CLUSTER, SUM_PAGES - first);
    uint64_t of_pages[PER_CLUSTER];

    if (find_next_bit(m->data, first + n, first) == first + n) {
        return 0;
    }
    for (uint64_t i = 0; i < n; i++) {
        of_pages[i] = test_bit(first + i, m->data)
                      ? m->sums[first + i] : fixed_ram_sums_zero_page(0, PAGE);
    }
    return fixed_ram_sums_cluster(0, of_pages, n);
}

/* Sums of pages, some of which become zero later. */
static void record(Model *m, FixedRamPageSums *sums, GRand *rand)
{
    for (int i = g_rand_int_range(rand, 0, 8); i; i--) {
        uint64_t page = g_rand_int_range(rand, 0, SUM_PAGES);
        uint64_t most = g_rand_boolean(rand) ? 3 : 9000;
        uint64_t end = page + g_rand_int_range(rand, 1, most);

        for (; page < MIN(end, SUM_PAGES); page++) {
            m->sums[page] = 1 + g_rand_int(rand);
            fixed_ram_page_sums_set(sums, page, m->sums[page]);
            if (g_rand_int_range(rand, 0, 10)) {
                set_bit(page, m->data);
            }
        }
    }
}

static void test_sums(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());

    for (int round = 0; round < 30; round++) {
        g_autofree Model *m = g_new0(Model, 1);
        FixedRamPageSums *sums = fixed_ram_page_sums_new(2 * SUM_PAGES * PAGE,
                                                         PAGE, 0, &error_abort);
        g_autofree unsigned long *parts = NULL;
        uint64_t next = 0;

        record(m, sums, rand);
        parts = fixed_ram_sparse_scan(m->data, SUM_PAGES);
        fixed_ram_page_sums_close(sums, m->data, parts, SUM_PAGES * PAGE);
        g_assert_cmpuint(fixed_ram_page_sums_clusters(sums), ==, SUM_CLUSTERS);
        for (uint64_t i = 0; i < SUM_CLUSTERS; i++) {
            uint64_t want = model_cluster(m, i);

            g_assert_cmphex(fixed_ram_page_sums_cluster(sums, i), ==, want);
            /* The walk misses nothing. */
            next = fixed_ram_page_sums_next(sums, i);
            g_assert_cmpuint(next, >=, i);
            g_assert_true(!want || next == i);
        }
        g_assert_cmpuint(fixed_ram_page_sums_next(sums, SUM_CLUSTERS), ==,
                         SUM_CLUSTERS);
        fixed_ram_page_sums_free(sums);
    }
}

/*
 * The table
 */

#define TABLE_OFFSET    (3 * FIXED_RAM_CHUNK_BYTES)

/* Parts of the table begin and end in the middle of a chunk. */
static const uint64_t lengths[] = {
    200 * GiB + 100 * FIXED_RAM_CLUSTER_BYTES, 70 * GiB + PAGE, 3 * GiB + PAGE,
};

static FixedRamPageSums *make_sums(unsigned block, const uint64_t *clusters,
                                   size_t n)
{
    uint64_t pages = lengths[block] / PAGE;
    g_autofree unsigned long *data = bitmap_new(pages);
    g_autofree unsigned long *parts = bitmap_new(
        fixed_ram_sparse_parts(pages));
    FixedRamPageSums *sums = fixed_ram_page_sums_new(lengths[block], PAGE, 0,
                                                     &error_abort);

    for (size_t i = 0; i < n; i++) {
        uint64_t page = clusters[i] * PER_CLUSTER;

        fixed_ram_page_sums_set(sums, page, 1000 * block + i + 1);
        set_bit(page, data);
        set_bit(page / FIXED_RAM_PART_BITS, parts);
    }
    fixed_ram_page_sums_close(sums, data, parts, lengths[block]);
    return sums;
}

/* Every byte of the table is as the format has it, and so are all sums. */
static void check_table(int fd, const FixedRamIndex *index,
                        const GPtrArray *sums)
{
    uint64_t length = index->table.length, at = 0, chunk = 0;
    g_autofree uint8_t *bytes = g_malloc(length);

    g_assert_cmpint(pread(fd, bytes, length, TABLE_OFFSET), ==, length);
    for (guint i = 0; i < sums->len; i++) {
        const FixedRamPageSums *s = g_ptr_array_index(sums, i);

        g_assert_cmpuint(fixed_ram_index_block(index, i)->first_cluster, ==,
                         at / 8);
        for (uint64_t c = 0; c < fixed_ram_sums_clusters(lengths[i]); c++) {
            g_assert_cmphex(ldq_le_p(bytes + at), ==,
                            fixed_ram_page_sums_cluster(s, c));
            at += 8;
        }
    }
    g_assert_cmpuint(at, ==, length);
    for (at = 0; at < length; at += FIXED_RAM_CHUNK_BYTES, chunk++) {
        g_assert_cmphex(g_array_index(index->table.chunk_sums, uint64_t, chunk),
                        ==, fixed_ram_sums_get(bytes + at,
                                               MIN(FIXED_RAM_CHUNK_BYTES,
                                                   length - at)));
    }
    g_assert_cmpuint(chunk, ==, index->table.chunk_sums->len);
}

static bool has_holes(int fd)
{
    static const uint8_t byte;

    return !ftruncate(fd, 0) && pwrite(fd, &byte, 1, 100 * MiB) == 1 &&
           lseek(fd, 0, SEEK_DATA) > 0 && !ftruncate(fd, 0);
}

static void test_table(void)
{
    /* The first, the last, neighbours, and two in one chunk. */
    const uint64_t first[] = {
        0, 1, 512, 40000, 40001, 40400, 200 * GiB / FIXED_RAM_CLUSTER_BYTES,
        200 * GiB / FIXED_RAM_CLUSTER_BYTES + 99,
    };
    const uint64_t second[] = { 0, 70 * GiB / FIXED_RAM_CLUSTER_BYTES };
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    g_autoptr(GPtrArray) sums = g_ptr_array_new_with_free_func(
        (GDestroyNotify)fixed_ram_page_sums_free);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fixed-ram-table-XXXXXX", &path, NULL);
    bool holes = has_holes(fd);
    struct stat st;

    g_array_set_size(index->blocks, ARRAY_SIZE(lengths));
    g_ptr_array_add(sums, make_sums(0, first, ARRAY_SIZE(first)));
    g_ptr_array_add(sums, make_sums(1, second, ARRAY_SIZE(second)));
    g_ptr_array_add(sums, make_sums(2, NULL, 0));
    g_assert_true(fixed_ram_table_write(fd, NAME, index, sums, TABLE_OFFSET,
                                        &error_abort));
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    g_assert_cmpuint(st.st_size, <=, TABLE_OFFSET + index->table.length);
    /* What follows the table gives the file its length. */
    g_assert_cmpint(ftruncate(fd, TABLE_OFFSET + index->table.length), ==, 0);
    check_table(fd, index, sums);
    if (holes) {
        /* Eight chunks have sums; a file system may need some space more. */
        g_assert_cmpuint(st.st_blocks * 512, <=, 64 * KiB);
    }
    close(fd);
    unlink(path);
}

/* A page in each GiB of 1 TiB. */
static FixedRamPageSums *make_scattered(void)
{
    g_autofree unsigned long *data = bitmap_new(TiB / PAGE);
    g_autofree unsigned long *parts = bitmap_new(
        fixed_ram_sparse_parts(TiB / PAGE));
    FixedRamPageSums *sums = fixed_ram_page_sums_new(TiB, PAGE, 0,
                                                     &error_abort);

    for (uint64_t page = 123; page < TiB / PAGE; page += GiB / PAGE) {
        fixed_ram_page_sums_set(sums, page, page);
        set_bit(page, data);
        set_bit(page / FIXED_RAM_PART_BITS, parts);
    }
    fixed_ram_page_sums_close(sums, data, parts, TiB);
    return sums;
}

/* Each of these pages costs a chunk of the table, all others cost nothing. */
static void test_table_scattered(void)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    g_autoptr(GPtrArray) sums = g_ptr_array_new_with_free_func(
        (GDestroyNotify)fixed_ram_page_sums_free);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fixed-ram-table-XXXXXX", &path, NULL);
    bool holes = has_holes(fd);
    struct stat st;

    g_array_set_size(index->blocks, 1);
    g_ptr_array_add(sums, make_scattered());
    g_assert_true(fixed_ram_table_write(fd, NAME, index, sums, TABLE_OFFSET,
                                        &error_abort));
    g_assert_cmpuint(index->table.length, ==,
                     TiB / FIXED_RAM_CLUSTER_BYTES * 8);
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    if (holes) {
        g_assert_cmpuint(st.st_blocks * 512, <=,
                         TiB / GiB * FIXED_RAM_CHUNK_BYTES + MiB);
    }
    for (uint64_t page = 123; page < TiB / PAGE; page += GiB / PAGE) {
        uint64_t cluster = page / PER_CLUSTER, sum;

        g_assert_cmpint(pread(fd, &sum, 8, TABLE_OFFSET + cluster * 8), ==, 8);
        g_assert_cmphex(le64_to_cpu(sum), !=, 0);
        g_assert_cmphex(le64_to_cpu(sum), ==, fixed_ram_page_sums_cluster(
            g_ptr_array_index(sums, 0), cluster));
    }
    close(fd);
    unlink(path);
}

/* The table cannot be written: the error says where. */
static void test_table_fails(void)
{
    const uint64_t cluster = 513;
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    g_autoptr(GPtrArray) sums = g_ptr_array_new_with_free_func(
        (GDestroyNotify)fixed_ram_page_sums_free);
    int fd = open("/dev/full", O_WRONLY);
    Error *err = NULL;

    g_array_set_size(index->blocks, 1);
    g_ptr_array_add(sums, make_sums(0, &cluster, 1));
    g_assert_false(fixed_ram_table_write(fd, NAME, index, sums, TABLE_OFFSET,
                                         &err));
    g_assert_nonnull(strstr(error_get_pretty(err), NAME));
    g_assert_nonnull(strstr(error_get_pretty(err), "offset 0x4000"));
    g_assert_nonnull(strstr(error_get_pretty(err), "No space left"));
    error_free(err);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/fixed-ram/tera/bulk/scan", NULL, test_bulk);
    g_test_add_data_func("/fixed-ram/tera/bulk/list", FIXED_RAM_NO_PAGEMAP_SCAN,
                         test_bulk);
    if (fixed_ram_sums_built()) {
        g_test_add_func("/fixed-ram/tera/sums", test_sums);
        g_test_add_func("/fixed-ram/tera/table", test_table);
        g_test_add_func("/fixed-ram/tera/table-scattered",
                        test_table_scattered);
        g_test_add_func("/fixed-ram/tera/table-fails", test_table_fails);
    }
    return g_test_run();
}

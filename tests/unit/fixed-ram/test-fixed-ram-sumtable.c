/*
 * fixed-ram: unit tests of the table of content checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/thread.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/format/sumtable.h"
#include "image-index.h"

#define NAME            "table.img"
#define OFFSET          24      /* of the table in the file */
#define KEY             0x123456789abcdef0      /* of checksums */
#define CHUNK           512     /* sums in a chunk */

/* A source that holds only a table. */
typedef struct Table {
    FixedRamSource parent;
    uint8_t *bytes;
    uint64_t clusters;
    FixedRamIndex *index;
    FixedRamSumTable *table;
    unsigned reads;             /* atomic */
    bool fail;                  /* all reads fail; atomic */
    uint64_t expect_offset, expect_length;  /* of the last request */
    uint64_t expected;          /* bytes of all requests */
    bool holes;                 /* every second 256 KiB of the file is one */
} Table;

static uint64_t cluster_sum(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15ULL;
}

static ssize_t table_read(FixedRamSource *source, void *buf, size_t length,
                          uint64_t offset)
{
    Table *t = container_of(source, Table, parent);

    qatomic_inc(&t->reads);
    if (qatomic_read(&t->fail)) {
        return -EIO;
    }
    g_assert_cmpuint(offset + length, <=, t->parent.size);
    memcpy(buf, t->bytes + offset, length);
    return length;
}

static void table_expect(FixedRamSource *source, uint64_t offset,
                         uint64_t length)
{
    Table *t = container_of(source, Table, parent);

    g_assert_true(!t->holes || offset / (256 * KiB) % 2 == 0);
    t->expect_offset = offset;
    t->expect_length = length;
    t->expected += length;
}

static uint64_t table_next_data(FixedRamSource *source, uint64_t offset)
{
    Table *t = container_of(source, Table, parent);

    return t->holes && offset / (256 * KiB) % 2
           ? ROUND_UP(offset + 1, 256 * KiB) : offset;
}

static const FixedRamSourceOps table_ops = {
    .read = table_read, .expect = table_expect, .next_data = table_next_data,
};

/* A table of @clusters sums, and an index with the sums of its chunks. */
static void setup(Table *t, uint64_t clusters)
{
    uint64_t length = clusters * 8;

    *t = (Table) {
        .parent = { .ops = &table_ops, .name = (char *)NAME,
                    .size = OFFSET + length, .refs = 1 },
        .bytes = g_malloc0(OFFSET + length),
        .clusters = clusters,
        .index = fixed_ram_index_new(),
    };
    for (uint64_t i = 0; i < clusters; i++) {
        stq_le_p(t->bytes + OFFSET + i * 8, cluster_sum(i));
    }
    t->index->has_sums = true;
    t->index->table.offset = OFFSET;
    t->index->table.length = length;
    for (uint64_t at = 0; at < length; at += 4096) {
        uint64_t sum = fixed_ram_sums_get(t->bytes + OFFSET + at,
                                          MIN(length - at, 4096));

        g_array_append_val(t->index->table.chunk_sums, sum);
    }
    t->table = fixed_ram_sumtable_new(t->index);
    g_assert_nonnull(t->table);
    /* The table does not need the index any more. */
    fixed_ram_index_free(t->index);
    t->index = NULL;
}

static void teardown(Table *t)
{
    fixed_ram_sumtable_unref(t->table);
    g_free(t->bytes);
}

static uint64_t get(Table *t, uint64_t i)
{
    uint64_t sum;

    g_assert_true(fixed_ram_sumtable_get(t->table, &t->parent, i, &sum,
                                         &error_abort));
    return sum;
}

static void expect_error(Table *t, uint64_t i, const char *words)
{
    Error *err = NULL;
    const char *text;
    uint64_t sum;

    g_assert_false(fixed_ram_sumtable_get(t->table, &t->parent, i, &sum,
                                          &err));
    text = error_get_pretty(err);
    g_assert_nonnull(strstr(text, "'" NAME "'"));
    g_assert_nonnull(strstr(text, "offset 0x"));
    g_assert_nonnull(strstr(text, words));
    error_free(err);
}

/* Get sums at borders of chunks, the last of which may be short. */
static void test_get(void)
{
    static const uint64_t sizes[] = {
        1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 77,
    };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint64_t chunks = DIV_ROUND_UP(sizes[i], CHUNK);
        Table t;

        setup(&t, sizes[i]);
        g_assert_cmpuint(t.reads, ==, 0);
        for (uint64_t c = 0; c < sizes[i]; c++) {
            g_assert_cmphex(get(&t, c), ==, cluster_sum(c));
            g_assert_cmpuint(t.reads, ==, c / CHUNK + 1);
        }
        g_assert_cmphex(get(&t, 0), ==, cluster_sum(0));
        g_assert_cmpuint(t.reads, ==, chunks);
        teardown(&t);
    }
}

/* Only chunks that are needed are read. */
static void test_lazy(void)
{
    Table t;

    setup(&t, 10 * CHUNK);
    get(&t, 9 * CHUNK);
    get(&t, 10 * CHUNK - 1);
    g_assert_cmpuint(t.reads, ==, 1);
    get(&t, 9 * CHUNK - 1);
    g_assert_cmpuint(t.reads, ==, 2);
    /* A chunk that was read stays valid if the file changes. */
    memset(t.bytes, 0, t.parent.size);
    g_assert_cmphex(get(&t, 9 * CHUNK + 5), ==, cluster_sum(9 * CHUNK + 5));
    expect_error(&t, 0, "checksum 0x");
    teardown(&t);
}

/* A change of any byte is noticed, and only in its own chunk. */
static void test_flips(void)
{
    uint64_t clusters = CHUNK + 3;

    for (uint64_t at = 0; at < clusters * 8; at++) {
        uint64_t chunk = at / 4096;
        Table t;

        setup(&t, clusters);
        t.bytes[OFFSET + at] ^= 1 << at % 8;
        expect_error(&t, chunk * CHUNK, "the checksums at offset 0x");
        g_assert_cmphex(get(&t, !chunk * CHUNK), ==,
                        cluster_sum(!chunk * CHUNK));
        /* With a good copy of the file the chunk can be read. */
        t.bytes[OFFSET + at] ^= 1 << at % 8;
        g_assert_cmphex(get(&t, at / 8), ==, cluster_sum(at / 8));
        teardown(&t);
    }
}

static void test_read_error(void)
{
    Table t;

    setup(&t, 2 * CHUNK);
    get(&t, 0);
    t.fail = true;
    expect_error(&t, CHUNK, "Input/output error");
    get(&t, 1);
    t.fail = false;
    get(&t, CHUNK);
    teardown(&t);
}

static void test_expect(void)
{
    Table t;

    setup(&t, 2 * CHUNK + 1);
    fixed_ram_sumtable_expect(t.table, &t.parent);
    g_assert_cmpuint(t.expect_offset, ==, OFFSET);
    g_assert_cmpuint(t.expect_length, ==, (2 * CHUNK + 1) * 8);
    g_assert_cmpuint(t.reads, ==, 0);
    teardown(&t);
}

/* Holes are not expected, and of a large table only 8 MiB. */
static void test_expect_large(void)
{
    Table t;

    setup(&t, 3 * MiB / 8);
    t.holes = true;
    fixed_ram_sumtable_expect(t.table, &t.parent);
    g_assert_cmpuint(t.expected, >=, MiB);
    g_assert_cmpuint(t.expected, <=, 3 * MiB / 2 + 256 * KiB);
    teardown(&t);
    setup(&t, 20 * MiB / 8);
    fixed_ram_sumtable_expect(t.table, &t.parent);
    g_assert_cmpuint(t.expected, ==, 8 * MiB);
    g_assert_cmpuint(t.reads, ==, 0);
    teardown(&t);
}

/* The table lives until its last reference is dropped. */
static void test_refs(void)
{
    FixedRamSumTable *more;
    Table t;

    setup(&t, 2);
    more = fixed_ram_sumtable_ref(t.table);
    g_assert_true(more == t.table);
    fixed_ram_sumtable_unref(more);
    g_assert_cmphex(get(&t, 1), ==, cluster_sum(1));
    g_assert_null(fixed_ram_sumtable_ref(NULL));
    teardown(&t);
}

/*
 * Threads
 */

#define THREADS     8
#define ROUNDS      200
#define CLUSTERS    (16 * CHUNK)

typedef struct Getter {
    Table *t;
    unsigned seed;
    unsigned failed;
} Getter;

/* Get all sums in an order of its own; repeat those that fail. */
static void *getter_thread(void *opaque)
{
    Getter *g = opaque;

    for (uint64_t n = 0; n < CLUSTERS; n++) {
        uint64_t i = (n * 97 + g->seed * CHUNK / 2) % CLUSTERS;
        uint64_t sum = 0;

        while (!fixed_ram_sumtable_get(g->t->table, &g->t->parent, i, &sum,
                                       NULL)) {
            g->failed++;
            qatomic_set(&g->t->fail, false);
        }
        g_assert_cmphex(sum, ==, cluster_sum(i));
    }
    return NULL;
}

static void test_threads(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        QemuThread threads[THREADS];
        Getter getters[THREADS];
        Table t;

        setup(&t, CLUSTERS);
        t.fail = round % 2;
        for (unsigned i = 0; i < THREADS; i++) {
            getters[i] = (Getter) { .t = &t, .seed = i };
            qemu_thread_create(&threads[i], "getter", getter_thread,
                               &getters[i], QEMU_THREAD_JOINABLE);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            qemu_thread_join(&threads[i]);
        }
        g_assert_cmpuint(t.reads, >=, CLUSTERS / CHUNK);
        teardown(&t);
    }
}

/*
 * Clusters
 */

/* The sum equals that of the test's encoder, for short clusters as well. */
/* It has no sums, only their key. */
static FixedRamSumTable *make_table(uint64_t key)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();

    index->has_sums = true;
    index->table.key = key;
    return fixed_ram_sumtable_new(index);
}

static void test_cluster(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    g_autoptr(FixedRamSumTable) table = make_table(0);

    image_fill(img);
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        g_autofree unsigned long *data = bitmap_new(image_block_pages[i]);
        Field pages = i ? PAGES1 : PAGES0;
        FixedRamCluster cluster = { .data = data, .page_size = IMAGE_PAGE };

        for (uint64_t page = 0; page < image_block_pages[i]; page++) {
            if (image_holds_page(i, page)) {
                set_bit(page, data);
            }
        }
        for (; cluster.page < image_block_pages[i]; cluster.page += 16) {
            cluster.pages = MIN(16, image_block_pages[i] - cluster.page);
            cluster.buf = img->bytes->data + image_get(img, pages, 8) +
                          cluster.page * IMAGE_PAGE;
            g_assert_cmphex(fixed_ram_sumtable_sum_cluster(table, &cluster), ==,
                            image_cluster_sum(img, i, cluster.page / 16));
        }
    }
}

/* Bits of pages count; the content of pages with a clear bit does not. */
static void test_cluster_bits(void)
{
    g_autoptr(FixedRamSumTable) table = make_table(KEY);
    g_autofree uint8_t *buf = g_malloc(16 * IMAGE_PAGE);
    unsigned long data[2] = { 0, 0xffff };
    FixedRamCluster cluster = {
        .buf = buf, .data = data, .page = 64, .pages = 16,
        .page_size = IMAGE_PAGE,
    };
    uint64_t full, part;

    memset(buf, 0x5a, 16 * IMAGE_PAGE);
    full = fixed_ram_sumtable_sum_cluster(table, &cluster);
    data[1] = 0xfffe;
    part = fixed_ram_sumtable_sum_cluster(table, &cluster);
    g_assert_cmphex(part, !=, full);
    buf[100] = 1;
    g_assert_cmphex(fixed_ram_sumtable_sum_cluster(table, &cluster), ==, part);
    memset(buf, 0, IMAGE_PAGE);
    data[1] = 0xffff;
    g_assert_cmphex(fixed_ram_sumtable_sum_cluster(table, &cluster), ==, part);
    buf[15 * IMAGE_PAGE + 4095] ^= 1;
    g_assert_cmphex(fixed_ram_sumtable_sum_cluster(table, &cluster), !=, part);
}

/* Smaller pages than x86 has. */
static void test_cluster_small_pages(void)
{
    g_autoptr(FixedRamSumTable) table = make_table(KEY);
    g_autofree uint8_t *buf = g_malloc0(64 * KiB);
    g_autofree unsigned long *data = bitmap_new(64);
    uint64_t sums[64];
    FixedRamCluster cluster = {
        .buf = buf, .data = data, .pages = 64, .page_size = 1024,
    };

    for (unsigned i = 0; i < 64; i++) {
        buf[i * 1024] = i % 3;
        set_bit(i, data);
        sums[i] = fixed_ram_sums_page(KEY, buf + i * 1024, 1024);
    }
    g_assert_cmphex(fixed_ram_sumtable_sum_cluster(table, &cluster), ==,
                    fixed_ram_sums_cluster(KEY, sums, 64));
}

/* A cluster without data may have no sum; one with data must have its own. */
static void test_accepts(void)
{
    g_autoptr(FixedRamSumTable) table = make_table(KEY);
    g_autofree uint8_t *buf = g_malloc0(16 * IMAGE_PAGE);
    /* The neighbours have data. */
    unsigned long data[3] = { BIT_ULL(63), 0, BIT_ULL(0) };
    FixedRamCluster cluster = {
        .buf = buf, .data = data, .page = 64, .pages = 64,
        .page_size = 1024,
    };
    uint64_t zeros = fixed_ram_sumtable_sum_cluster(table, &cluster);

    g_assert_false(fixed_ram_sumtable_has_data(&cluster));
    g_assert_true(fixed_ram_sumtable_accepts(&cluster, zeros, 0));
    g_assert_true(fixed_ram_sumtable_accepts(&cluster, zeros, zeros));
    g_assert_false(fixed_ram_sumtable_accepts(&cluster, zeros, 1));
    for (int page = 0; page < 64; page += 63) {
        data[1] = BIT_ULL(page);
        g_assert_true(fixed_ram_sumtable_has_data(&cluster));
        g_assert_true(fixed_ram_sumtable_accepts(&cluster, zeros, zeros));
        g_assert_false(fixed_ram_sumtable_accepts(&cluster, zeros, 0));
        /* It happens that a sum is 0. */
        g_assert_true(fixed_ram_sumtable_accepts(&cluster, 0, 0));
    }
}

static void test_no_sums(void)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();

    g_assert_null(fixed_ram_sumtable_new(index));
    index->has_sums = true;
    if (!fixed_ram_sums_built()) {
        g_assert_null(fixed_ram_sumtable_new(index));
    }
    fixed_ram_sumtable_unref(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/sumtable/no-sums", test_no_sums);
    if (!fixed_ram_sums_built()) {
        return g_test_run();
    }
    g_test_add_func("/fixed-ram/sumtable/get", test_get);
    g_test_add_func("/fixed-ram/sumtable/lazy", test_lazy);
    g_test_add_func("/fixed-ram/sumtable/flips", test_flips);
    g_test_add_func("/fixed-ram/sumtable/read-error", test_read_error);
    g_test_add_func("/fixed-ram/sumtable/expect", test_expect);
    g_test_add_func("/fixed-ram/sumtable/expect-large", test_expect_large);
    g_test_add_func("/fixed-ram/sumtable/refs", test_refs);
    g_test_add_func("/fixed-ram/sumtable/threads", test_threads);
    g_test_add_func("/fixed-ram/sumtable/cluster", test_cluster);
    g_test_add_func("/fixed-ram/sumtable/cluster-bits", test_cluster_bits);
    g_test_add_func("/fixed-ram/sumtable/cluster-small-pages",
                    test_cluster_small_pages);
    g_test_add_func("/fixed-ram/sumtable/accepts", test_accepts);
    return g_test_run();
}

/*
 * fixed-ram: unit tests of page checksums and of the metadata of a save
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bitops.h"
#include "qemu/cutils.h"
#include "qemu/thread.h"
#include "qapi/error.h"
#include "migration/fixed-ram/save/metadata.h"
#include "migration/fixed-ram/save/page-sums.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/format/sumtable.h"
#include "migration/fixed-ram/util/sparse.h"
#include "parse.h"

#define PAGE        4096
#define KEY         0x123456789abcdef0  /* of checksums */
#define PER_CLUSTER (FIXED_RAM_CLUSTER_BYTES / PAGE)
#define NAME        "snapshot.img"

/*
 * Checksums
 */

/* Six clusters and a part of one. */
#define PAGES       (6 * PER_CLUSTER + 5)
#define THREADS     4

typedef struct Block {
    uint8_t mem[PAGES * PAGE];
    unsigned long data[BITS_TO_LONGS(PAGES)];
    FixedRamPageSums *sums;
} Block;

static Block *block_new(void)
{
    Block *b = g_new0(Block, 1);

    /* The table is for a block that may still grow. */
    b->sums = fixed_ram_page_sums_new(2 * sizeof(b->mem), PAGE, KEY,
                                      &error_abort);
    return b;
}

static void block_free(Block *b)
{
    fixed_ram_page_sums_free(b->sums);
    g_free(b);
}

static void write_page(Block *b, unsigned page, uint8_t byte)
{
    uint8_t *mem = b->mem + page * PAGE;
    uint8_t *copy;

    memset(mem, byte, PAGE);
    if (byte % 2) {
        copy = fixed_ram_page_sums_copy(b->sums, page * PAGE, mem, PAGE);
        g_assert_cmpmem(copy, PAGE, mem, PAGE);
    } else {
        fixed_ram_page_sums_add(b->sums, page * PAGE, mem, PAGE);
    }
    set_bit(page, b->data);
}

static void close_sums(FixedRamPageSums *sums, const unsigned long *data,
                       uint64_t length)
{
    g_autofree unsigned long *parts = fixed_ram_sparse_scan(data,
                                                            length / PAGE);

    fixed_ram_page_sums_close(sums, data, parts, length);
}

/* It has no sums, only their key. */
static FixedRamSumTable *make_table(uint64_t key)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();

    index->has_sums = true;
    index->table.key = key;
    return fixed_ram_sumtable_new(index);
}

static void check_table(Block *b)
{
    g_autoptr(FixedRamSumTable) table = make_table(KEY);
    uint64_t clusters = fixed_ram_page_sums_clusters(b->sums);

    g_assert_cmpuint(clusters, ==, DIV_ROUND_UP(PAGES, PER_CLUSTER));
    for (unsigned i = 0; i < clusters; i++) {
        FixedRamCluster cluster = {
            .buf = b->mem + i * FIXED_RAM_CLUSTER_BYTES,
            .data = b->data,
            .page = i * PER_CLUSTER,
            .pages = MIN(PER_CLUSTER, PAGES - i * PER_CLUSTER),
            .page_size = PAGE,
        };

        g_assert_cmphex(fixed_ram_page_sums_cluster(b->sums, i), ==,
                        fixed_ram_sumtable_has_data(&cluster)
                        ? fixed_ram_sumtable_sum_cluster(table, &cluster) : 0);
    }
}

/* In any order; some pages twice, some never, some zero in the end. */
static void test_order(void)
{
    for (unsigned seed = 0; seed < 50; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Block *b = block_new();

        for (unsigned n = g_rand_int_range(rand, 0, 3 * PAGES); n; n--) {
            unsigned page = g_rand_int_range(rand, 0, PAGES);

            if (g_rand_int_range(rand, 0, 4)) {
                write_page(b, page, g_rand_int(rand));
            } else {
                clear_bit(page, b->data);
            }
        }
        close_sums(b->sums, b->data, sizeof(b->mem));
        check_table(b);
        block_free(b);
    }
}

/* The checksum is that of the copy, not of what the guest writes later. */
static void test_copy(void)
{
    g_autofree uint8_t *mem = g_malloc(FIXED_RAM_PAGE_SUMS_COPY_BYTES);
    Block *b = block_new();
    uint8_t *copy;

    memset(mem, 1, sizeof(b->mem));
    copy = fixed_ram_page_sums_copy(b->sums, 0, mem, sizeof(b->mem));
    memset(mem, 2, sizeof(b->mem));
    memset(b->mem, 1, sizeof(b->mem));
    g_assert_cmpmem(copy, sizeof(b->mem), b->mem, sizeof(b->mem));
    g_assert_true(QEMU_PTR_IS_ALIGNED(copy, PAGE));
    bitmap_set(b->data, 0, PAGES);
    close_sums(b->sums, b->data, sizeof(b->mem));
    check_table(b);
    block_free(b);

    b = block_new();
    fixed_ram_page_sums_free(b->sums);
    b->sums = fixed_ram_page_sums_new(FIXED_RAM_PAGE_SUMS_COPY_BYTES, PAGE, KEY,
                                      &error_abort);
    copy = fixed_ram_page_sums_copy(b->sums, 0, mem,
                                    FIXED_RAM_PAGE_SUMS_COPY_BYTES);
    g_assert_cmpmem(copy, FIXED_RAM_PAGE_SUMS_COPY_BYTES, mem,
                    FIXED_RAM_PAGE_SUMS_COPY_BYTES);
    block_free(b);
}

typedef struct Writer {
    QemuThread thread;
    Block *block;
    unsigned number;
} Writer;

static void *write_some(void *opaque)
{
    Writer *w = opaque;

    for (unsigned round = 0; round < 100; round++) {
        for (unsigned page = w->number; page < PAGES; page += THREADS) {
            uint8_t *mem = w->block->mem + page * PAGE;

            memset(mem, round + page, PAGE);
            fixed_ram_page_sums_copy(w->block->sums, page * PAGE, mem, PAGE);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    Block *b = block_new();
    Writer writers[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        writers[i].block = b;
        writers[i].number = i;
        qemu_thread_create(&writers[i].thread, "writer", write_some,
                           &writers[i], QEMU_THREAD_JOINABLE);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        qemu_thread_join(&writers[i].thread);
    }
    bitmap_set(b->data, 0, PAGES);
    close_sums(b->sums, b->data, sizeof(b->mem));
    check_table(b);
    block_free(b);
}

static void test_no_memory(void)
{
    Error *err = NULL;

    g_assert_null(fixed_ram_page_sums_new(1ULL << 62, PAGE, 0, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "no memory"));
    error_free(err);
}

/*
 * Metadata
 */

/* One chunk of the table has checksums of both blocks. */
static const uint64_t lengths[] = {
    700 * FIXED_RAM_CLUSTER_BYTES, 300 * FIXED_RAM_CLUSTER_BYTES + PAGE,
};
#define BLOCKS      ARRAY_SIZE(lengths)
#define START       12345
#define STREAM_END  (100 * MiB + 77)

typedef struct Fixture {
    char *path;
    FixedRamMetadata file;
    FixedRamIndex *index;
    FixedRamRamSection snapshot; /* as a stream would describe it */
    GPtrArray *sums;
} Fixture;

static void add_block(Fixture *f, unsigned i)
{
    uint64_t at = i ? 60 * MiB : MiB;
    FixedRamIndexBlock block = {
        .length = lengths[i],
        .page_size = PAGE,
        .bitmap_offset = at - MiB / 2,
        .pages_offset = at,
    };
    FixedRamBlockInfo info = {
        .length = block.length,
        .bitmap_offset = block.bitmap_offset,
        .pages_offset = block.pages_offset,
    };

    snprintf(block.name, sizeof(block.name), "block%u", i);
    pstrcpy(info.name, sizeof(info.name), block.name);
    g_array_append_val(f->index->blocks, block);
    g_array_append_val(f->snapshot.blocks, info);
}

static void add_sums(Fixture *f, unsigned i)
{
    FixedRamPageSums *sums = fixed_ram_page_sums_new(lengths[i], PAGE, 0,
                                                     &error_abort);
    g_autofree unsigned long *data = bitmap_new(lengths[i] / PAGE);

    for (uint64_t page = 0; page < lengths[i] / PAGE; page++) {
        fixed_ram_page_sums_set(sums, page, page * 12345 + i);
        set_bit(page, data);
    }
    close_sums(sums, data, lengths[i]);
    g_ptr_array_add(f->sums, sums);
}

static void setup(Fixture *f)
{
    const FixedRamBlockInfo *last;

    *f = (Fixture) {
        .index = fixed_ram_index_new(),
        .file.name = NAME,
        .file.sb.start = START,
        .file.sb_offset = fixed_ram_superblock_offset(MiB),
        .snapshot.start = START,
        .snapshot.page_size = PAGE,
        .snapshot.blocks = g_array_new(false, true,
                                       sizeof(FixedRamBlockInfo)),
        .sums = g_ptr_array_new_with_free_func(
            (GDestroyNotify)fixed_ram_page_sums_free),
    };
    f->file.fd = g_file_open_tmp("fixed-ram-XXXXXX", &f->path, NULL);
    g_assert_cmpint(f->file.fd, >=, 0);
    /* Other code writes the stream: here it is zeros. */
    g_assert_cmpint(ftruncate(f->file.fd, STREAM_END), ==, 0);
    memset(f->file.sb.id, 0x5a, sizeof(f->file.sb.id));
    memcpy(f->index->id, f->file.sb.id, sizeof(f->index->id));
    f->index->has_sums = fixed_ram_sums_built();
    for (unsigned i = 0; i < BLOCKS; i++) {
        add_block(f, i);
        if (f->index->has_sums) {
            add_sums(f, i);
        }
    }
    last = fixed_ram_ramsection_block(&f->snapshot, BLOCKS - 1);
    f->snapshot.ram_end = last->pages_offset + last->length;
    f->index->head.offset = START;
    f->index->head.length = MiB / 2 - START;
    f->index->tail.offset = f->snapshot.ram_end;
    f->index->tail.length = STREAM_END - f->snapshot.ram_end;
}

static void teardown(Fixture *f)
{
    close(f->file.fd);
    unlink(f->path);
    g_free(f->path);
    fixed_ram_index_free(f->index);
    g_ptr_array_unref(f->sums);
    g_array_unref(f->snapshot.blocks);
}

static FixedRamSuperblock read_superblock(Fixture *f)
{
    g_autoptr(FixedRamSource) source =
        fixed_ram_source_open_file(f->path, 0, ON_OFF_AUTO_OFF, &error_abort);
    FixedRamSuperblock sb;

    parse_superblock(source, &f->snapshot, &sb, &error_abort);
    return sb;
}

/* The table has every checksum of a block, unchanged. */
static void check_file_table(Fixture *f, FixedRamSource *source,
                             const FixedRamIndex *index)
{
    g_autoptr(FixedRamSumTable) table = fixed_ram_sumtable_new(index);

    for (unsigned i = 0; table && i < BLOCKS; i++) {
        const FixedRamPageSums *want = g_ptr_array_index(f->sums, i);
        uint64_t clusters = fixed_ram_page_sums_clusters(want), sum;

        g_assert_cmpuint(clusters, ==, fixed_ram_sums_clusters(lengths[i]));
        for (uint64_t c = 0; c < clusters; c++) {
            fixed_ram_sumtable_get(
                table, source,
                fixed_ram_index_block(index, i)->first_cluster + c, &sum,
                &error_abort);
            g_assert_cmphex(sum, ==, fixed_ram_page_sums_cluster(want, c));
        }
    }
}

/* A guessed set of three runs. */
static FixedRamWorkingSet *make_set(void)
{
    FixedRamWorkingSet *set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_GUESSED);

    set->time = 1234567;
    fixed_ram_working_set_add(set, 1, 5, 2, true);
    fixed_ram_working_set_add(set, 0, 3, 1, false);
    fixed_ram_working_set_add(set, 0, 4, 1, true);
    return set;
}

static void check_set(const FixedRamIndex *index, FixedRamSource *source,
                      const FixedRamWorkingSet *want)
{
    g_autoptr(FixedRamWorkingSet) set = NULL;

    g_assert_cmpint(index->has_set, ==, want != NULL);
    if (!want) {
        return;
    }
    set = fixed_ram_working_set_read(index, source, &error_abort);
    g_assert_cmpint(set->kind, ==, want->kind);
    g_assert_cmpuint(set->time, ==, want->time);
    g_assert_cmpuint(set->pack_length, ==, 0);
    g_assert_cmpmem(set->runs->data, set->runs->len * sizeof(FixedRamSetRun),
                    want->runs->data, want->runs->len * sizeof(FixedRamSetRun));
}

static void check_complete(Fixture *f, const FixedRamWorkingSet *set)
{
    g_autoptr(FixedRamSource) source =
        fixed_ram_source_open_file(f->path, 0, ON_OFF_AUTO_OFF, &error_abort);
    FixedRamSuperblock sb = read_superblock(f);
    g_autoptr(FixedRamIndex) index = NULL;
    struct stat st;

    g_assert_cmpint(sb.state, ==, FIXED_RAM_COMPLETE);
    g_assert_cmpuint(sb.stream_end, ==, STREAM_END);
    index = fixed_ram_index_read(source, &f->snapshot, &sb, NULL, &error_abort);
    g_assert_cmpmem(index->id, 16, f->file.sb.id, 16);
    g_assert_cmpint(index->has_sums, ==, fixed_ram_sums_built());
    check_file_table(f, source, index);
    check_set(index, source, set);
    g_assert_cmpint(stat(f->path, &st), ==, 0);
    g_assert_cmpuint(st.st_size, ==, sb.index_offset + sb.index_length);
}

static void save_file(const FixedRamWorkingSet *set)
{
    Fixture f;

    setup(&f);
    g_assert_cmpint(read_superblock(&f).state, ==, FIXED_RAM_PLAIN);
    /* The snapshot was never complete: nothing is revoked. */
    fixed_ram_metadata_revoke(&f.file);
    g_assert_cmpint(read_superblock(&f).state, ==, FIXED_RAM_PLAIN);
    g_assert_true(fixed_ram_metadata_begin(&f.file, &error_abort));
    g_assert_cmpint(read_superblock(&f).state, ==, FIXED_RAM_BEING_WRITTEN);
    g_assert_true(fixed_ram_metadata_write_index(&f.file, f.index, f.sums, set,
                                                 STREAM_END, &error_abort));
    g_assert_true(fixed_ram_metadata_sync(&f.file, &error_abort));
    g_assert_cmpint(read_superblock(&f).state, ==, FIXED_RAM_BEING_WRITTEN);
    g_assert_true(fixed_ram_metadata_complete(&f.file, &error_abort));
    check_complete(&f, set);
    fixed_ram_metadata_revoke(&f.file);
    g_assert_cmpint(read_superblock(&f).state, ==, FIXED_RAM_BEING_WRITTEN);
    teardown(&f);
}

static void test_file(void)
{
    save_file(NULL);
}

static void test_file_set(void)
{
    g_autoptr(FixedRamWorkingSet) set = make_set();

    save_file(set);
}

static void assert_says(Error *err, const char *what)
{
    g_assert_nonnull(strstr(error_get_pretty(err), NAME));
    g_assert_nonnull(strstr(error_get_pretty(err), what));
    error_free(err);
}

/* No write succeeds: the descriptor is for reading. */
static void test_file_fails(void)
{
    Error *err = NULL;
    Fixture f;
    int fd;

    setup(&f);
    fd = f.file.fd;
    f.file.fd = open(f.path, O_RDONLY);
    g_assert_cmpint(f.file.fd, >=, 0);
    g_assert_false(fixed_ram_metadata_begin(&f.file, &err));
    assert_says(err, "offset 0xff000");
    err = NULL;
    g_assert_false(fixed_ram_metadata_write_index(&f.file, f.index, f.sums,
                                                  NULL, STREAM_END, &err));
    assert_says(err, "offset 0x6401000");
    close(fd);
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (fixed_ram_sums_built()) {
        g_test_add_func("/fixed-ram/save/order", test_order);
        g_test_add_func("/fixed-ram/save/copy", test_copy);
        g_test_add_func("/fixed-ram/save/threads", test_threads);
        g_test_add_func("/fixed-ram/save/no-memory", test_no_memory);
        g_test_add_func("/fixed-ram/save/file-set", test_file_set);
    }
    g_test_add_func("/fixed-ram/save/file", test_file);
    g_test_add_func("/fixed-ram/save/file-fails", test_file_fails);
    return g_test_run();
}

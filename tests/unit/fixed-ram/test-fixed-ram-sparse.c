/*
 * fixed-ram: unit tests of bitmaps of which large parts are zero
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "blocks.h"
#include "migration/fixed-ram/format/ramsection.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/util/sparse.h"

#define PARTS       7
#define BITS        (PARTS * FIXED_RAM_PART_BITS - 100)
#define HUGE_UNITS  (FIXED_RAM_EXTENT_BYTES / PAGE)

/* A bitmap whose zero parts cannot be read. */
typedef struct Guarded {
    unsigned long *bits;
    unsigned long *parts;
} Guarded;

static Guarded guarded_new(const uint64_t *set, size_t n)
{
    Guarded g;

    g.bits = mmap(NULL, PARTS * FIXED_RAM_PART_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(g.bits != MAP_FAILED);
    for (size_t i = 0; i < n; i++) {
        set_bit(set[i], g.bits);
    }
    g.parts = fixed_ram_sparse_scan(g.bits, BITS);
    for (size_t i = 0; i < PARTS; i++) {
        if (!test_bit(i, g.parts)) {
            mprotect((uint8_t *)g.bits + i * FIXED_RAM_PART_BYTES,
                     FIXED_RAM_PART_BYTES, PROT_NONE);
        }
    }
    return g;
}

static void guarded_free(Guarded *g)
{
    munmap(g->bits, PARTS * FIXED_RAM_PART_BYTES);
    g_free(g->parts);
}

/* Each bit is found once, in order, and no part without bits is touched. */
static void check_walk(const uint64_t *set, size_t n)
{
    Guarded g = guarded_new(set, n);
    uint64_t at = 0;

    for (size_t i = 0; i < n; i++) {
        at = fixed_ram_sparse_next(g.bits, g.parts, BITS, at);
        g_assert_cmpuint(at, ==, set[i]);
        g_assert_cmpuint(fixed_ram_sparse_next(g.bits, g.parts, BITS, at), ==,
                         at);
        /* The end of a search is the end of what is looked at. */
        g_assert_cmpuint(fixed_ram_sparse_next(g.bits, g.parts, at, 0), ==,
                         i ? set[0] : at);
        at++;
    }
    g_assert_cmpuint(fixed_ram_sparse_next(g.bits, g.parts, BITS, at), ==,
                     BITS);
    g_assert_cmpuint(fixed_ram_sparse_next(g.bits, g.parts, BITS, BITS), ==,
                     BITS);
    guarded_free(&g);
}

static void test_walk(void)
{
    static const uint64_t part = FIXED_RAM_PART_BITS;
    const uint64_t borders[] = {
        0, 1, part - 1, part, 3 * part - 1, 5 * part + 77, BITS - 1,
    };
    const uint64_t inner[] = { 2 * part, 2 * part + 1, 4 * part - 1 };
    const uint64_t adjoining[] = { 10, part };
    const uint64_t last[] = { BITS - 1 };

    check_walk(NULL, 0);
    check_walk(last, 1);
    check_walk(inner, ARRAY_SIZE(inner));
    check_walk(adjoining, ARRAY_SIZE(adjoining));
    check_walk(borders, ARRAY_SIZE(borders));
}

static void test_scan(void)
{
    g_autofree unsigned long *bits = bitmap_new(BITS);
    g_autofree unsigned long *none = fixed_ram_sparse_scan(bits, BITS);
    g_autofree unsigned long *some = NULL;

    g_assert_cmpuint(fixed_ram_sparse_parts(BITS), ==, PARTS);
    g_assert_true(bitmap_empty(none, PARTS));
    set_bit(FIXED_RAM_PART_BITS - 1, bits);
    bitmap_set(bits, 4 * FIXED_RAM_PART_BITS, 2 * FIXED_RAM_PART_BITS);
    some = fixed_ram_sparse_scan(bits, BITS);
    g_assert_cmphex(*some, ==, BIT(0) | BIT(4) | BIT(5));
}

/* The same answers as those of QEMU's own functions. */
static void test_random(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());

    for (unsigned round = 0; round < 50; round++) {
        g_autofree unsigned long *bits = bitmap_new(BITS);
        g_autofree unsigned long *parts = NULL;

        for (int i = g_rand_int_range(rand, 0, 40); i; i--) {
            uint64_t at = g_rand_int_range(rand, 0, BITS);
            uint64_t most = g_rand_boolean(rand) ? 3 : 2 * FIXED_RAM_PART_BITS;

            bitmap_set(bits, at, MIN(g_rand_int_range(rand, 1, most),
                                     BITS - at));
        }
        parts = fixed_ram_sparse_scan(bits, BITS);
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t size = g_rand_int_range(rand, 0, BITS + 1);
            uint64_t from = g_rand_int_range(rand, 0, BITS + 1);

            g_assert_cmpuint(fixed_ram_sparse_next(bits, parts, size, from),
                             ==, find_next_bit(bits, size, from));
        }
    }
}

static void test_bytes(void)
{
    const unsigned long parts = BIT(0) | BIT(3) | BIT(4) | BIT(PARTS - 1);
    const size_t length = PARTS * FIXED_RAM_PART_BYTES - 8;
    static const size_t want[][2] = { { 0, 1 }, { 3, 5 } };
    size_t from, end = 0;

    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        g_assert_true(fixed_ram_sparse_next_bytes(&parts, length, end, &from,
                                                  &end));
        g_assert_cmpuint(from, ==, want[i][0] * FIXED_RAM_PART_BYTES);
        g_assert_cmpuint(end, ==, want[i][1] * FIXED_RAM_PART_BYTES);
    }
    g_assert_true(fixed_ram_sparse_next_bytes(&parts, length, end, &from,
                                              &end));
    g_assert_cmpuint(from, ==, (PARTS - 1) * FIXED_RAM_PART_BYTES);
    g_assert_cmpuint(end, ==, length);
    g_assert_false(fixed_ram_sparse_next_bytes(&parts, length, end, &from,
                                               &end));
}

/* The sum does not depend on which zeros are known to be zero. */
static void test_sum(void)
{
    const size_t length = PARTS * FIXED_RAM_PART_BYTES - 8;
    const uint64_t set[] = { 7, 3 * FIXED_RAM_PART_BITS, BITS - 1 };
    g_autofree uint8_t *plain = g_malloc0(PARTS * FIXED_RAM_PART_BYTES);

    for (size_t n = 0; n <= ARRAY_SIZE(set); n++) {
        Guarded g = guarded_new(set, n);

        if (n) {
            set_bit(set[n - 1], (unsigned long *)plain);
        }
        g_assert_cmphex(fixed_ram_sums_sparse(g.bits, g.parts, length), ==,
                        fixed_ram_sums_get(plain, length));
        guarded_free(&g);
    }
}

/* --- a bitmap in a file --- */

#define AT          12345       /* where it begins in the file */
#define BLOCK_PAGES (20 * FIXED_RAM_PART_BITS + 77)
#define FILE_BYTES  (AT + DIV_ROUND_UP(BLOCK_PAGES, 64) * 8)

typedef struct File {
    FixedRamSource parent;
    uint8_t *bytes;
    bool knows_holes;
    bool cut;                   /* it ends in the middle of the bitmap */
    uint64_t read;              /* bytes */
} File;

static ssize_t file_read(FixedRamSource *source, void *buf, size_t length,
                         uint64_t offset)
{
    File *file = container_of(source, File, parent);
    uint64_t size = file->cut ? AT + 5 * FIXED_RAM_PART_BYTES : FILE_BYTES;
    size_t n = MIN(length, size - MIN(offset, size));

    g_assert_cmpuint(offset + length, <=, FILE_BYTES);
    memcpy(buf, file->bytes + offset, n);
    file->read += n;
    return n;
}

/* Blocks of 4 KiB of the file, which do not begin where parts do. */
static uint64_t file_next_data(FixedRamSource *source, uint64_t offset)
{
    File *file = container_of(source, File, parent);

    while (file->knows_holes && offset < FILE_BYTES && !file->bytes[offset]) {
        uint64_t end = MIN(ROUND_UP(offset + 1, 4096), FILE_BYTES);
        uint64_t begin = ROUND_DOWN(offset, 4096);

        if (!buffer_is_zero(file->bytes + begin, end - begin)) {
            break;
        }
        offset = end;
    }
    /* Where a file was cut short nothing is a hole. */
    return offset;
}

static const FixedRamSourceOps file_ops = {
    .read = file_read, .next_data = file_next_data,
};

/* Random runs of set bits, at the borders of parts too. */
static void file_new(File *file, GRand *rand, bool knows_holes)
{
    unsigned long *bits = bitmap_new(BLOCK_PAGES);

    *file = (File) {
        .parent = { .ops = &file_ops, .name = (char *)"file.img",
                    .size = FILE_BYTES, .refs = 1 },
        .bytes = g_malloc0(FILE_BYTES),
        .knows_holes = knows_holes,
    };
    for (int i = g_rand_int_range(rand, 0, 9); i; i--) {
        uint64_t at = g_rand_int_range(rand, 0, BLOCK_PAGES);
        uint64_t n = g_rand_int_range(rand, 1, 70000);

        if (g_rand_boolean(rand)) {
            /* The first bit of a part, or the last one after a hole. */
            at = ROUND_DOWN(at, FIXED_RAM_PART_BITS) +
                 g_rand_int_range(rand, 0, 2) * (FIXED_RAM_PART_BITS - 1);
            at = MIN(at, BLOCK_PAGES - 1);
            n = 1;
        }
        bitmap_set(bits, at, MIN(n, BLOCK_PAGES - at));
    }
    memcpy(file->bytes + AT, bits, FILE_BYTES - AT);
    g_free(bits);
}

static unsigned long *file_read_bitmap(File *file, unsigned long **parts,
                                       Error **errp)
{
    FixedRamRamSection ram = { .page_size = PAGE };
    FixedRamBlockInfo info = {
        .name = "pc.ram", .length = BLOCK_PAGES * PAGE, .bitmap_offset = AT,
    };

    return fixed_ram_ramsection_read_bitmap(&ram, &file->parent, &info, parts,
                                            errp);
}

static void test_read(const void *opaque)
{
    bool knows_holes = GPOINTER_TO_INT(opaque);
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());

    for (int round = 0; round < 30; round++) {
        g_autofree unsigned long *bits = NULL;
        g_autofree unsigned long *parts = NULL;
        g_autofree unsigned long *want = NULL;
        File file;

        file_new(&file, rand, knows_holes);
        bits = file_read_bitmap(&file, &parts, &error_abort);
        g_assert_cmpmem(bits, FILE_BYTES - AT, file.bytes + AT,
                        FILE_BYTES - AT);
        want = fixed_ram_sparse_scan(bits, BLOCK_PAGES);
        g_assert_true(bitmap_equal(parts, want,
                                   fixed_ram_sparse_parts(BLOCK_PAGES)));
        if (knows_holes && bitmap_empty(bits, BLOCK_PAGES)) {
            g_assert_cmpuint(file.read, ==, 0);
        }
        g_free(file.bytes);
    }
}

/* A file that has become shorter is an error, not a hole. */
static void test_read_cut(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (int holes = 0; holes < 2; holes++) {
        Error *err = NULL;
        File file;

        file_new(&file, rand, holes);
        file.bytes[AT + 19 * FIXED_RAM_PART_BYTES] |= 1;
        file.cut = true;
        g_assert_null(file_read_bitmap(&file, NULL, &err));
        g_assert_nonnull(strstr(error_get_pretty(err), "block 'pc.ram'"));
        g_assert_nonnull(strstr(error_get_pretty(err), "the file ends"));
        error_free(err);
        g_free(file.bytes);
    }
}

/* --- a page map for much memory and little data --- */

/* How many bytes of the bitmap does the host have memory for? */
static size_t resident(const unsigned long *bits, uint64_t count)
{
    size_t page = qemu_real_host_page_size();
    uint8_t *begin = QEMU_ALIGN_PTR_UP((uint8_t *)bits, page);
    size_t pages = count / 8 / page - 1;
    g_autofree unsigned char *in = g_malloc(pages);
    size_t n = 0;

    g_assert_cmpint(mincore(begin, pages * page, in), ==, 0);
    for (size_t i = 0; i < pages; i++) {
        n += in[i] & 1;
    }
    return n * page;
}

/* Have two loaders take all that is missing, and a third one look again. */
static void load_all(FixedRamMap *map)
{
    FixedRamCursor cursors[2] = { };
    uint64_t claims = 0;
    FixedRamClaim claim;

    while (fixed_ram_map_claim_next(map, &cursors[claims++ % 2], false,
                                    &claim)) {
        FixedRamRun run = { };

        while (fixed_ram_claim_next(&claim, run.offset + run.length, 0,
                                    &run)) {
            fixed_ram_map_receive(map, claim.block, &run, run.length);
        }
    }
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 0);
    fixed_ram_map_rewind(map);
    g_assert_false(fixed_ram_map_claim_next(map, &cursors[0], false,
                                            &claim));
}

static uint64_t data_bytes(const FixedRamBlock *block)
{
    FixedRamRun run = { };
    uint64_t sum = 0;

    while (fixed_ram_block_next_data(block, run.offset + run.length,
                                     block->length, 0, &run)) {
        sum += run.length;
    }
    return sum;
}

/*
 * What a map of 1 TiB costs depends on the data: with the memory that belongs
 * to RAM without data the kernel would be busy for longer than the guest may
 * wait.
 */
static void test_tera(void)
{
    const uint64_t pages = TiB / PAGE;
    const uint64_t places[] = { 0, 1, pages / 2 - 1, pages / 2, pages - 1 };
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("pc.ram", pages, PAGE);
    g_autoptr(GPtrArray) split = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        set_bit(places[i], block->data);
    }
    block->parts = bitmap_new(fixed_ram_sparse_parts(pages));
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        set_bit(places[i] / FIXED_RAM_PART_BITS, block->parts);
    }
    block->huge = true;
    bitmap_set(block->data, pages / 4, HUGE_UNITS);
    set_bit(pages / 4 / FIXED_RAM_PART_BITS, block->parts);
    fixed_ram_map_add(map, block);
    g_assert_cmpuint(map->wanted, ==, (5 + HUGE_UNITS) * PAGE);

    g_assert_cmpuint(data_bytes(block), ==, map->wanted);
    load_all(map);
    split = fixed_ram_map_split_extents(map);
    g_assert_cmpuint(split->len, ==, 1);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        g_assert_true(fixed_ram_map_received(block, places[i]));
    }
    /* Five parts have data; the end of a run is looked for in the next one. */
    g_assert_cmpuint(resident(block->data, pages), <=, 10 * 4096);
    g_assert_cmpuint(resident(block->pending, pages), <=, 10 * 4096);
    g_assert_cmpuint(resident(block->absent, pages), <=, 10 * 4096);
}

/* A page in each GiB of 1 TiB: each costs a part of the bitmaps, or two. */
static void test_tera_scattered(void)
{
    const uint64_t pages = TiB / PAGE, apart = GiB / PAGE;
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("pc.ram", pages, PAGE);

    block->parts = bitmap_new(fixed_ram_sparse_parts(pages));
    for (uint64_t page = 123; page < pages; page += apart) {
        set_bit(page, block->data);
        set_bit(page / FIXED_RAM_PART_BITS, block->parts);
    }
    block->huge = true;
    fixed_ram_map_add(map, block);
    g_assert_cmpuint(map->wanted, ==, TiB / GiB * PAGE);
    g_assert_cmpuint(data_bytes(block), ==, map->wanted);
    load_all(map);
    for (uint64_t page = 123; page < pages; page += apart) {
        g_assert_true(fixed_ram_map_received(block, page));
    }
    g_assert_cmpuint(resident(block->data, pages), <=, TiB / GiB * 2 * 4096);
    g_assert_cmpuint(resident(block->pending, pages), <=, TiB / GiB * 2 * 4096);
    g_assert_cmpuint(resident(block->absent, pages), <=, TiB / GiB * 2 * 4096);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/sparse/walk", test_walk);
    g_test_add_func("/fixed-ram/sparse/scan", test_scan);
    g_test_add_func("/fixed-ram/sparse/random", test_random);
    g_test_add_func("/fixed-ram/sparse/bytes", test_bytes);
    if (fixed_ram_sums_built()) {
        g_test_add_func("/fixed-ram/sparse/sum", test_sum);
    }
    g_test_add_data_func("/fixed-ram/sparse/read/holes",
                         GINT_TO_POINTER(true), test_read);
    g_test_add_data_func("/fixed-ram/sparse/read/plain",
                         GINT_TO_POINTER(false), test_read);
    g_test_add_func("/fixed-ram/sparse/read/cut", test_read_cut);
    g_test_add_func("/fixed-ram/sparse/tera", test_tera);
    g_test_add_func("/fixed-ram/sparse/tera-scattered", test_tera_scattered);
    return g_test_run();
}

/*
 * fixed-ram: unit tests of finding the pages to write
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "migration/fixed-ram/save/scan.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/util/sparse.h"

#define PAGE        4096
#define KEY         0x123456789abcdef0  /* of checksums */
#define MAX_PAGES   256
#define FIRST       640         /* index in the block of the first page */

/*
 * One letter for each page: D has data, Z is zero, U was never populated, W has
 * data and is not wanted.
 */
typedef struct Fixture {
    uint8_t *mem;
    uint8_t buf[MAX_PAGES * PAGE];
    DECLARE_BITMAP(wanted, MAX_PAGES);
    DECLARE_BITMAP(populated, MAX_PAGES);
    DECLARE_BITMAP(data, MAX_PAGES);
    FixedRamScan scan;
} Fixture;

static void set_page(Fixture *f, size_t page, char letter)
{
    uint8_t *mem = f->mem + page * PAGE;

    if (letter == 'D' || letter == 'W') {
        /* One byte at any place makes a page of data. */
        mem[page * 977 % PAGE] = page + 1 ?: 1;
    }
    if (letter == 'U') {
        /* A scan that reads this page crashes. */
        g_assert_cmpint(mprotect(mem, PAGE, PROT_NONE), ==, 0);
    } else {
        set_bit(page, f->populated);
    }
    if (letter == 'W') {
        g_assert_cmpint(mprotect(mem, PAGE, PROT_NONE), ==, 0);
    } else {
        set_bit(page, f->wanted);
    }
}

static Fixture *setup(const char *letters)
{
    Fixture *f = g_new0(Fixture, 1);
    size_t pages = strlen(letters);

    g_assert_cmpuint(pages, <=, MAX_PAGES);
    f->mem = mmap(NULL, MAX_PAGES * PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert(f->mem != MAP_FAILED);
    for (size_t i = 0; i < pages; i++) {
        set_page(f, i, letters[i]);
    }
    /* Left by an earlier slice, and by an earlier scan. */
    memset(f->buf, 0xa5, sizeof(f->buf));
    for (size_t i = 0; i < MAX_PAGES; i += 2) {
        set_bit(i, f->data);
    }
    f->scan = (FixedRamScan) {
        .mem = f->mem, .buf = f->buf, .pages = pages, .page_size = PAGE,
        .wanted = f->wanted, .populated = f->populated, .data = f->data,
        .first = FIRST,
    };
    return f;
}

static void teardown(Fixture *f)
{
    munmap(f->mem, MAX_PAGES * PAGE);
    g_free(f);
}

static bool all_are(const uint8_t *bytes, size_t length, uint8_t byte)
{
    return bytes[0] == byte && !memcmp(bytes, bytes + 1, length - 1);
}

static size_t scan(Fixture *f)
{
    size_t found = 0;

    g_assert_true(fixed_ram_scan(&f->scan, &found, &error_abort));
    return found;
}

/* The bits, and the copies of all pages with data. */
static void check_scan(Fixture *f, const char *letters)
{
    size_t found = 0;

    for (size_t i = 0; letters[i]; i++) {
        bool data = letters[i] == 'D';
        /* The bit of a page that is not wanted does not change. */
        bool bit = letters[i] == 'W' ? i % 2 == 0 : data;

        g_assert_cmpint(test_bit(i, f->data), ==, bit);
        found += data;
        if (data) {
            g_assert_cmpmem(f->buf + i * PAGE, PAGE, f->mem + i * PAGE, PAGE);
        }
    }
    g_assert_cmpuint(scan(f), ==, found);
}

static void check_sums(Fixture *f, const char *letters)
{
    uint64_t length = (FIRST + f->scan.pages) * PAGE;
    g_autofree unsigned long *data = bitmap_new(FIRST + MAX_PAGES);
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / PAGE;
    g_autofree unsigned long *parts = NULL;

    for (size_t i = 0; letters[i]; i++) {
        if (letters[i] == 'D') {
            set_bit(FIRST + i, data);
        }
    }
    parts = fixed_ram_sparse_scan(data, length / PAGE);
    fixed_ram_page_sums_close(f->scan.sums, data, parts, length);
    for (size_t i = 0; i + per_cluster <= f->scan.pages; i += per_cluster) {
        uint64_t of_pages[FIXED_RAM_CLUSTER_BYTES / PAGE];
        bool any = false;

        for (size_t p = 0; p < per_cluster; p++) {
            any |= letters[i + p] == 'D';
            of_pages[p] = letters[i + p] == 'D'
                ? fixed_ram_sums_page(KEY, f->mem + (i + p) * PAGE, PAGE)
                : fixed_ram_sums_zero_page(KEY, PAGE);
        }
        g_assert_cmphex(fixed_ram_page_sums_cluster(f->scan.sums, (FIRST + i) /
                                                                  per_cluster),
                        ==, any ? fixed_ram_sums_cluster(KEY, of_pages,
                                                     per_cluster) : 0);
    }
}

/* Each run is as it must be, and together they are complete. */
static void check_runs(Fixture *f, const char *letters)
{
    size_t first, end = 0, pos = 0;

    while (fixed_ram_scan_next_run(&f->scan, pos, &first, &end)) {
        size_t zeros = 0, gap = 0;

        g_assert_cmpuint(first, >=, pos);
        g_assert_null(memchr(letters + pos, 'D', first - pos));
        g_assert(letters[first] == 'D' && letters[end - 1] == 'D');
        for (size_t i = first; i < end; i++) {
            bool data = letters[i] == 'D';

            g_assert(letters[i] != 'W');
            gap = data ? 0 : gap + 1;
            zeros += !data;
            g_assert_cmpuint(gap * PAGE, <=, FIXED_RAM_SCAN_GAP);
            if (!data) {
                g_assert_true(all_are(f->buf + i * PAGE, PAGE, 0));
            } else {
                g_assert_cmpmem(f->buf + i * PAGE, PAGE, f->mem + i * PAGE,
                                PAGE);
            }
        }
        g_assert_cmpuint(zeros, <=, end - first - zeros);
        pos = end;
    }
    g_assert_null(strchr(letters + pos, 'D'));
}

static void check(const char *letters)
{
    Fixture *f = setup(letters);

    if (fixed_ram_sums_built()) {
        f->scan.sums = fixed_ram_page_sums_new((FIRST + MAX_PAGES) * PAGE,
                                               PAGE, KEY, &error_abort);
    }
    scan(f);
    check_scan(f, letters);
    check_runs(f, letters);
    if (f->scan.sums) {
        check_sums(f, letters);
        fixed_ram_page_sums_free(f->scan.sums);
    }
    teardown(f);
}

static void test_random(void)
{
    for (unsigned seed = 0; seed < 300; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        size_t pages = g_rand_int_range(rand, 1, MAX_PAGES + 1);
        /* Probability that the next page is like this one. */
        int same = g_rand_int_range(rand, 0, 20);
        char letters[MAX_PAGES + 1] = "";
        char letter = 'D';

        for (size_t i = 0; i < pages; i++) {
            if (g_rand_int_range(rand, 0, same + 1) == 0) {
                letter = "DDDZZUW"[g_rand_int_range(rand, 0, 7)];
            }
            letters[i] = letter;
        }
        check(letters);
    }
}

typedef struct RunCase {
    const char *letters;
    const char *runs;           /* the same letter for pages of one run */
} RunCase;

static const RunCase run_cases[] = {
    { "ZZZZ", "...." },
    { "UUUU", "...." },
    { "DDDD", "aaaa" },
    { "ZDDZ", ".aa." },
    { "DZD", "aaa" },
    { "DUD", "aaa" },
    { "DWD", "a.b" },
    { "DZWZD", "a...b" },
    { "WDW", ".a." },
    /* No more zeros than pages of data before them ... */
    { "DZZD", "a..b" },
    { "DDZZD", "aaaaa" },
    { "DDZDZDZD", "aaaaaaaa" },
    { "DZDZDZDZ", "aaaaaaa." },
    { "DDZZDZZD", "aaaaa..b" },
    /* ... and no long gap. */
    { "DDDDDDDDZZZZD", "aaaaaaaaaaaaa" },
    { "DDDDDDDDZZZZZD", "aaaaaaaa.....b" },
    { "DDDDDDDDZZUZZZ", "aaaaaaaa......" },
};

static void test_runs(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(run_cases); i++) {
        const RunCase *c = &run_cases[i];
        Fixture *f = setup(c->letters);
        g_autofree char *runs = g_strnfill(strlen(c->letters), '.');
        size_t first, end = 0;
        char letter = 'a';

        scan(f);
        while (fixed_ram_scan_next_run(&f->scan, end, &first, &end)) {
            memset(runs + first, letter++, end - first);
        }
        g_assert_cmpstr(runs, ==, c->runs);
        teardown(f);
        check(c->letters);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/scan/random", test_random);
    g_test_add_func("/fixed-ram/scan/runs", test_runs);
    return g_test_run();
}

/*
 * fixed-ram: unit tests of the content checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "migration/fixed-ram/format/sums.h"

#define SANITY_BYTES 2367

/* From xxHash's own tests: bytes, and XXH3-64 of the first ones. */
static void fill_sanity(uint8_t *buf)
{
    uint64_t generator = 2654435761U;

    for (size_t i = 0; i < SANITY_BYTES; i++) {
        buf[i] = generator >> 56;
        generator *= 11400714785074694797ULL;
    }
}

static const struct {
    size_t length;
    uint64_t sum;
} vectors[] = {
    { 0, 0x2d06800538d394c2ULL },
    { 1, 0xc44bdff4074eecdbULL },
    { 6, 0x27b56a84cd2d7325ULL },
    { 12, 0xa713daf0dfbb77e7ULL },
    { 24, 0xa3fe70bf9d3510ebULL },
    { 48, 0x397da259ecba1f11ULL },
    { 80, 0xbcdefbbb2c47c90aULL },
    { 195, 0xcd94217ee362ec3aULL },
    { 403, 0xcdeb804d65c6dea4ULL },
    { 512, 0x617e49599013cb6bULL },
    { 2048, 0xdd59e2c3a5f038e0ULL },
    { 2240, 0x6e73a90539cf2948ULL },
    { 2367, 0xcb37aeb9e5d361edULL },
};

static void test_vectors(void)
{
    uint8_t buf[SANITY_BYTES];

    fill_sanity(buf);
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        g_assert_cmphex(fixed_ram_sums_get(buf, vectors[i].length), ==,
                        vectors[i].sum);
    }
}

/* Add the same bytes in pieces of any size, and get the sum in between. */
static void test_stream(void)
{
    FixedRamSumStream *stream = fixed_ram_sums_stream_new();
    uint8_t buf[SANITY_BYTES];

    fill_sanity(buf);
    for (size_t piece = 1; piece < SANITY_BYTES; piece += piece / 3 + 1) {
        for (size_t done = 0; done < SANITY_BYTES; ) {
            size_t n = MIN(piece, SANITY_BYTES - done);

            fixed_ram_sums_stream_add(stream, buf + done, n);
            done += n;
            g_assert_cmphex(fixed_ram_sums_stream_get(stream), ==,
                            fixed_ram_sums_get(buf, done));
        }
        fixed_ram_sums_stream_reset(stream);
        g_assert_cmphex(fixed_ram_sums_stream_get(stream), ==, vectors[0].sum);
    }
    fixed_ram_sums_stream_free(stream);
    fixed_ram_sums_stream_free(NULL);
}

static void test_zeros(void)
{
    g_autofree uint8_t *zeros = g_malloc0(FIXED_RAM_CLUSTER_BYTES);

    for (size_t size = FIXED_RAM_CLUSTER_BYTES; size; size /= 2) {
        uint64_t sum = fixed_ram_sums_get(zeros, size);

        g_assert_cmphex(fixed_ram_sums_zero_page(0, size), ==, sum);
        g_assert_cmphex(fixed_ram_sums_zero_page(0, size), ==, sum);
    }
}

/* Each key gives other sums, and 0 those without a key. */
static void test_key(void)
{
    uint8_t page[4096];

    for (size_t i = 0; i < sizeof(page); i++) {
        page[i] = i * 7;
    }
    g_assert_cmphex(fixed_ram_sums_page(0, page, sizeof(page)), ==,
                    fixed_ram_sums_get(page, sizeof(page)));
    g_assert_cmphex(fixed_ram_sums_page(1, page, sizeof(page)), !=,
                    fixed_ram_sums_page(0, page, sizeof(page)));
    g_assert_cmphex(fixed_ram_sums_page(1, page, sizeof(page)), !=,
                    fixed_ram_sums_page(2, page, sizeof(page)));
    g_assert_cmphex(fixed_ram_sums_cluster(1, (uint64_t *)page, 16), !=,
                    fixed_ram_sums_cluster(2, (uint64_t *)page, 16));
    g_assert_cmphex(fixed_ram_sums_zero_page(1, 4096), !=,
                    fixed_ram_sums_zero_page(2, 4096));
}

/* A cluster's sum is that of its pages' sums, in their order. */
static void test_pages(void)
{
    uint64_t sums[16], swapped[16];
    uint8_t bytes[sizeof(sums)];

    for (size_t i = 0; i < ARRAY_SIZE(sums); i++) {
        sums[i] = fixed_ram_sums_get(&i, sizeof(i));
        stq_le_p(bytes + i * 8, sums[i]);
    }
    for (size_t n = 1; n <= ARRAY_SIZE(sums); n++) {
        g_assert_cmphex(fixed_ram_sums_cluster(0, sums, n), ==,
                        fixed_ram_sums_get(bytes, n * 8));
    }
    memcpy(swapped, sums, sizeof(sums));
    swapped[3] = sums[4];
    swapped[4] = sums[3];
    g_assert_cmphex(fixed_ram_sums_cluster(0, sums, 16), !=,
                    fixed_ram_sums_cluster(0, swapped, 16));
}

static void test_clusters(void)
{
    g_assert_cmpuint(fixed_ram_sums_clusters(0), ==, 0);
    g_assert_cmpuint(fixed_ram_sums_clusters(1), ==, 1);
    g_assert_cmpuint(fixed_ram_sums_clusters(64 * KiB), ==, 1);
    g_assert_cmpuint(fixed_ram_sums_clusters(64 * KiB + 4096), ==, 2);
    g_assert_cmpuint(fixed_ram_sums_clusters(1 * TiB), ==, 16 * MiB);
}

static void test_not_built(void)
{
    g_test_skip("this build has no libxxhash");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/sums/clusters", test_clusters);
    if (!fixed_ram_sums_built()) {
        g_test_add_func("/fixed-ram/sums/built", test_not_built);
        return g_test_run();
    }
    g_test_add_func("/fixed-ram/sums/vectors", test_vectors);
    g_test_add_func("/fixed-ram/sums/stream", test_stream);
    g_test_add_func("/fixed-ram/sums/zeros", test_zeros);
    g_test_add_func("/fixed-ram/sums/key", test_key);
    g_test_add_func("/fixed-ram/sums/pages", test_pages);
    return g_test_run();
}

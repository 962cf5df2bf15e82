/*
 * fixed-ram: unit tests of the histogram of times
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram/engine/latency.h"

static void test_empty(void)
{
    g_autofree FixedRamLatency *l = g_new0(FixedRamLatency, 1);

    g_assert_cmpuint(fixed_ram_latency_percentile(l, 50), ==, 0);
    g_assert_cmpuint(fixed_ram_latency_percentile(l, 100), ==, 0);
}

/* Each value alone comes back as it went in, the largest ones too. */
static void test_single(void)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int off = -1; off <= 1; off++) {
            g_autofree FixedRamLatency *l = g_new0(FixedRamLatency, 1);
            uint64_t ns = (1ULL << bit) + off;

            fixed_ram_latency_add(l, ns);
            g_assert_cmpuint(l->count, ==, 1);
            g_assert_cmpuint(l->sum, ==, ns);
            g_assert_cmpuint(l->max, ==, ns);
            g_assert_cmpuint(fixed_ram_latency_percentile(l, 50), ==, ns);
        }
    }
}

static void test_percentiles(void)
{
    g_autofree FixedRamLatency *l = g_new0(FixedRamLatency, 1);
    static const unsigned percent[] = { 1, 10, 50, 90, 99, 100 };

    for (uint64_t ns = 1000; ns <= 100000; ns += 1000) {
        fixed_ram_latency_add(l, ns);
    }
    g_assert_cmpuint(l->count, ==, 100);
    g_assert_cmpuint(l->sum, ==, 5050000);
    g_assert_cmpuint(l->max, ==, 100000);
    for (size_t i = 0; i < ARRAY_SIZE(percent); i++) {
        uint64_t exact = percent[i] * 1000;
        uint64_t got = fixed_ram_latency_percentile(l, percent[i]);

        g_assert_cmpuint(got, >=, exact);
        g_assert_cmpuint(got, <=, exact + exact / 8);
    }
    g_assert_cmpuint(fixed_ram_latency_percentile(l, 100), ==, 100000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/latency/empty", test_empty);
    g_test_add_func("/fixed-ram/latency/single", test_single);
    g_test_add_func("/fixed-ram/latency/percentiles", test_percentiles);
    return g_test_run();
}

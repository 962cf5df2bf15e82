/*
 * fixed-ram: unit tests of sorting
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram/util/radix.h"

/* The values number the keys: equal keys keep their order. */
static void check_sorted(const FixedRamKey *keys, const uint64_t *before,
                         size_t n)
{
    g_autofree bool *seen = g_new0(bool, n + 1);

    for (size_t i = 0; i < n; i++) {
        g_assert_cmpuint(keys[i].value, <, n);
        g_assert_false(seen[keys[i].value]);
        seen[keys[i].value] = true;
        g_assert_cmpuint(keys[i].key, ==, before[keys[i].value]);
        if (i) {
            g_assert_cmpuint(keys[i - 1].key, <=, keys[i].key);
            g_assert_true(keys[i - 1].key < keys[i].key ||
                          keys[i - 1].value < keys[i].value);
        }
    }
}

static void sort_and_check(const uint64_t *numbers, size_t n)
{
    g_autofree FixedRamKey *keys = g_new(FixedRamKey, n);

    for (size_t i = 0; i < n; i++) {
        keys[i] = (FixedRamKey) { .key = numbers[i], .value = i };
    }
    fixed_ram_radix_sort(keys, n);
    check_sorted(keys, numbers, n);
}

static void test_few(void)
{
    static const uint64_t numbers[] = {
        5, UINT64_MAX, 0, 5, 1, UINT64_MAX - 1, 1ull << 63, 255, 256, 0,
    };

    for (size_t n = 0; n <= ARRAY_SIZE(numbers); n++) {
        sort_and_check(numbers, n);
    }
}

/* Keys that differ in some digits only, and in all of them. */
static void test_random(void)
{
    static const uint64_t masks[] = {
        0, 0xff, 0x1fffff, 0xff00ff, 0xff00000000000000, UINT64_MAX,
    };

    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        size_t n = g_test_rand_int_range(1, 20000);
        g_autofree uint64_t *numbers = g_new(uint64_t, n);

        for (size_t k = 0; k < n; k++) {
            numbers[k] = ((uint64_t)g_test_rand_int() << 32 |
                          (uint32_t)g_test_rand_int()) & masks[i];
        }
        sort_and_check(numbers, n);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/radix/few", test_few);
    g_test_add_func("/fixed-ram/radix/random", test_random);
    return g_test_run();
}

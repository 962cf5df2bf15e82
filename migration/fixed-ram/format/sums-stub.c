/*
 * fixed-ram: content checksums, in a build without libxxhash
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "sums.h"

bool fixed_ram_sums_built(void)
{
    return false;
}

/* Callers ask fixed_ram_sums_built() before they call any of these. */

uint64_t fixed_ram_sums_get(const void *buf, size_t length)
{
    g_assert_not_reached();
}

uint64_t fixed_ram_sums_page(uint64_t key, const void *page, size_t page_size)
{
    g_assert_not_reached();
}

uint64_t fixed_ram_sums_zero_page(uint64_t key, size_t page_size)
{
    g_assert_not_reached();
}

uint64_t fixed_ram_sums_sparse(const unsigned long *bits,
                               const unsigned long *parts, size_t length)
{
    g_assert_not_reached();
}

uint64_t fixed_ram_sums_cluster(uint64_t key, const uint64_t *page_sums,
                                size_t count)
{
    g_assert_not_reached();
}

FixedRamSumStream *fixed_ram_sums_stream_new(void)
{
    g_assert_not_reached();
}

void fixed_ram_sums_stream_free(FixedRamSumStream *stream)
{
    assert(!stream);
}

void fixed_ram_sums_stream_reset(FixedRamSumStream *stream)
{
    g_assert_not_reached();
}

void fixed_ram_sums_stream_add(FixedRamSumStream *stream, const void *buf,
                               size_t length)
{
    g_assert_not_reached();
}

uint64_t fixed_ram_sums_stream_get(const FixedRamSumStream *stream)
{
    g_assert_not_reached();
}

/*
 * fixed-ram: content checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "sums.h"
#include "../util/sparse.h"

/* This header chooses code for the host's CPU, which is three times faster. */
#ifdef CONFIG_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

/* The sums of pages are summed as they lie in memory, so little-endian. */
QEMU_BUILD_BUG_ON(HOST_BIG_ENDIAN);

struct FixedRamSumStream {
    XXH3_state_t *state;
};

bool fixed_ram_sums_built(void)
{
    return true;
}

uint64_t fixed_ram_sums_get(const void *buf, size_t length)
{
    return XXH3_64bits(buf, length);
}

uint64_t fixed_ram_sums_page(uint64_t key, const void *page, size_t page_size)
{
    return XXH3_64bits_withSeed(page, page_size, key);
}

uint64_t fixed_ram_sums_zero_page(uint64_t key, size_t page_size)
{
    assert(page_size <= FIXED_RAM_ZEROS_BYTES);
    return fixed_ram_sums_page(key, fixed_ram_zeros, page_size);
}

uint64_t fixed_ram_sums_cluster(uint64_t key, const uint64_t *page_sums,
                                size_t count)
{
    return XXH3_64bits_withSeed(page_sums, count * sizeof(*page_sums), key);
}

FixedRamSumStream *fixed_ram_sums_stream_new(void)
{
    FixedRamSumStream *stream = g_new0(FixedRamSumStream, 1);

    /* malloc() does not align to 64 bytes, which the state needs. */
    stream->state = XXH3_createState();
    assert(stream->state);
    fixed_ram_sums_stream_reset(stream);
    return stream;
}

void fixed_ram_sums_stream_free(FixedRamSumStream *stream)
{
    if (stream) {
        XXH3_freeState(stream->state);
        g_free(stream);
    }
}

void fixed_ram_sums_stream_reset(FixedRamSumStream *stream)
{
    XXH3_64bits_reset(stream->state);
}

void fixed_ram_sums_stream_add(FixedRamSumStream *stream, const void *buf,
                               size_t length)
{
    XXH3_64bits_update(stream->state, buf, length);
}

uint64_t fixed_ram_sums_stream_get(const FixedRamSumStream *stream)
{
    return XXH3_64bits_digest(stream->state);
}

static void add_zeros(FixedRamSumStream *stream, size_t length)
{
    while (length) {
        size_t n = MIN(length, FIXED_RAM_ZEROS_BYTES);

        fixed_ram_sums_stream_add(stream, fixed_ram_zeros, n);
        length -= n;
    }
}

uint64_t fixed_ram_sums_sparse(const unsigned long *bits,
                               const unsigned long *parts, size_t length)
{
    FixedRamSumStream *stream = fixed_ram_sums_stream_new();
    size_t from, end, pos = 0;
    uint64_t sum;

    while (fixed_ram_sparse_next_bytes(parts, length, pos, &from, &end)) {
        add_zeros(stream, from - pos);
        fixed_ram_sums_stream_add(stream, (const uint8_t *)bits + from,
                                  end - from);
        pos = end;
    }
    add_zeros(stream, length - pos);
    sum = fixed_ram_sums_stream_get(stream);
    fixed_ram_sums_stream_free(stream);
    return sum;
}

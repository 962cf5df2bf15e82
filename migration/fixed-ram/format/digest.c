/*
 * fixed-ram: a digest of ranges of a file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/crc32c.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "digest.h"
#include "sums.h"
#include "../util/sparse.h"

/* Bytes that are read at once. */
#define PIECE_BYTES     (256 * KiB)

struct FixedRamDigest {
    FixedRamSource *source;     /* belongs to the caller */
    FixedRamSumStream *sum;     /* NULL in a build without libxxhash */
    uint32_t crc;               /* used in such a build */
    uint64_t *buf;              /* PIECE_BYTES */
};

FixedRamDigest *fixed_ram_digest_new(FixedRamSource *source)
{
    FixedRamDigest *digest = g_new0(FixedRamDigest, 1);

    digest->source = source;
    digest->sum = fixed_ram_sums_built() ? fixed_ram_sums_stream_new() : NULL;
    digest->buf = g_malloc(PIECE_BYTES);
    return digest;
}

void fixed_ram_digest_free(FixedRamDigest *digest)
{
    fixed_ram_sums_stream_free(digest->sum);
    g_free(digest->buf);
    g_free(digest);
}

void fixed_ram_digest_reset(FixedRamDigest *digest)
{
    if (digest->sum) {
        fixed_ram_sums_stream_reset(digest->sum);
    }
    digest->crc = 0;
}

static void add_bytes(FixedRamDigest *digest, const void *bytes,
                      size_t length)
{
    if (digest->sum) {
        fixed_ram_sums_stream_add(digest->sum, bytes, length);
    } else {
        digest->crc = crc32c(digest->crc, bytes, length);
    }
}

static void add_zeros(FixedRamDigest *digest, uint64_t length)
{
    while (length) {
        size_t n = MIN(length, FIXED_RAM_ZEROS_BYTES);

        add_bytes(digest, fixed_ram_zeros, n);
        length -= n;
    }
}

static uint64_t count_bits(const uint64_t *words, size_t n)
{
    uint64_t count = 0;

    for (size_t i = 0; i < n; i++) {
        count += words[i] ? ctpop64(words[i]) : 0;
    }
    return count;
}

static bool add_data(FixedRamDigest *digest, uint64_t offset, size_t length,
                     uint64_t *bits, Error **errp)
{
    size_t words = DIV_ROUND_UP(length, sizeof(*digest->buf));

    QEMU_BUILD_BUG_ON(PIECE_BYTES % sizeof(uint64_t));
    if (length) {
        /* The last word may be read in part. */
        digest->buf[words - 1] = 0;
    }
    if (!fixed_ram_source_read(digest->source, digest->buf, length, offset,
                               errp)) {
        return false;
    }
    if (bits) {
        *bits += count_bits(digest->buf, words);
    }
    add_bytes(digest, digest->buf, length);
    return true;
}

bool fixed_ram_digest_add(FixedRamDigest *digest, uint64_t offset,
                          uint64_t length, uint64_t *bits, Error **errp)
{
    uint64_t end = offset + length;

    while (offset < end) {
        uint64_t data = fixed_ram_source_next_data(digest->source, offset);
        uint64_t hole = MIN(data, end) - offset;
        size_t n = MIN(end - offset - hole, PIECE_BYTES);

        add_zeros(digest, hole);
        offset += hole;
        if (!add_data(digest, offset, n, bits, errp)) {
            return false;
        }
        offset += n;
    }
    return true;
}

uint64_t fixed_ram_digest_get(const FixedRamDigest *digest)
{
    return digest->sum ? fixed_ram_sums_stream_get(digest->sum) : digest->crc;
}

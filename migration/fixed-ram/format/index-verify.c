/*
 * fixed-ram: what the index says of the stream, and what is there
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "index.h"
#include "sums.h"

/* What is read at once. */
#define PIECE_BYTES     (1 * MiB)

typedef struct Verifier {
    FixedRamSource *source;
    FixedRamSumStream *sum;
    uint64_t *buf;              /* PIECE_BYTES */
    uint64_t bits;              /* set in what was read last */
} Verifier;

static void count_bits(Verifier *v, size_t length)
{
    for (size_t i = 0; i < length / sizeof(*v->buf); i++) {
        v->bits += ctpop64(v->buf[i]);
    }
}

/* Is @sum that of what lies there?  @what begins the error. */
static bool verify_range(Verifier *v, const char *what, uint64_t offset,
                         uint64_t length, uint64_t sum, Error **errp)
{
    uint64_t got;

    v->bits = 0;
    fixed_ram_sum_stream_reset(v->sum);
    for (uint64_t done = 0; done < length; done += PIECE_BYTES) {
        size_t n = MIN(length - done, PIECE_BYTES);

        if (!fixed_ram_source_read(v->source, v->buf, n, offset + done,
                                   errp)) {
            error_prepend(errp, "%s: ", what);
            return false;
        }
        fixed_ram_sum_stream_add(v->sum, v->buf, n);
        count_bits(v, n);
    }
    got = fixed_ram_sum_stream_get(v->sum);
    if (got != sum) {
        error_setg(errp, "snapshot '%s': %s at offset 0x%" PRIx64
                   ": checksum 0x%016" PRIx64 ", expected 0x%016" PRIx64,
                   v->source->name, what, offset, got, sum);
        return false;
    }
    return true;
}

static bool verify_bitmap(Verifier *v, const FixedRamIndexBlock *block,
                          Error **errp)
{
    g_autofree char *what = g_strdup_printf("block '%s': the bitmap",
                                            block->name);

    if (!verify_range(v, what, block->bitmap_offset,
                      fixed_ram_bitmap_bytes(block->length, block->page_size),
                      block->bitmap_sum, errp)) {
        return false;
    }
    if (v->bits != block->pages) {
        error_setg(errp, "snapshot '%s': %s at offset 0x%" PRIx64 ": %" PRIu64
                   " pages, expected %" PRIu64, v->source->name, what,
                   block->bitmap_offset, v->bits, block->pages);
        return false;
    }
    return true;
}

static bool verify_all(Verifier *v, const FixedRamIndex *index, Error **errp)
{
    const FixedRamIndexPart *head = &index->head, *tail = &index->tail;

    if (!verify_range(v, "the stream's head", head->offset, head->length,
                      head->sum, errp)) {
        return false;
    }
    for (size_t i = 0; i < index->blocks->len; i++) {
        if (!verify_bitmap(v, fixed_ram_index_block(index, i), errp)) {
            return false;
        }
    }
    return verify_range(v, "the devices' state", tail->offset, tail->length,
                        tail->sum, errp);
}

bool fixed_ram_index_verify_stream(const FixedRamIndex *index,
                                   FixedRamSource *source, Error **errp)
{
    Verifier v = { .source = source };
    bool ok;

    if (!index->has_sums || !fixed_ram_sums_built()) {
        return true;
    }
    v.sum = fixed_ram_sum_stream_new();
    v.buf = g_malloc(PIECE_BYTES);
    ok = verify_all(&v, index, errp);
    g_free(v.buf);
    fixed_ram_sum_stream_free(v.sum);
    return ok;
}

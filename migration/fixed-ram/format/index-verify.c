/*
 * fixed-ram: compare the stream with the checksums in the index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "digest.h"
#include "index.h"
#include "sums.h"

/*
 * QEMU's main loop waits while the devices' state is verified, so a file must
 * not be able to claim any length.  The largest state that devices are known to
 * have is the memory of a GPU, tens of GiB.
 */
#define TAIL_MAX    (64 * GiB)

/* The bytes of one range must have the checksum @sum. */
static bool verify_range(FixedRamDigest *digest, const FixedRamSource *source,
                         const char *what, const FixedRamIndexPart *range,
                         uint64_t *bits, Error **errp)
{
    uint64_t found;

    fixed_ram_digest_reset(digest);
    if (!fixed_ram_digest_add(digest, range->offset, range->length, bits,
                              errp)) {
        error_prepend(errp, "%s: ", what);
        return false;
    }
    found = fixed_ram_digest_get(digest);
    if (found != range->sum) {
        error_setg(errp, "snapshot '%s': %s at offset 0x%" PRIx64
                   " has checksum 0x%016" PRIx64 ", expected 0x%016" PRIx64,
                   source->name, what, range->offset, found, range->sum);
        return false;
    }
    return true;
}

static bool verify_bitmap(FixedRamDigest *digest, const FixedRamSource *source,
                          const FixedRamIndexBlock *block, Error **errp)
{
    g_autofree char *what = g_strdup_printf("block '%s': the bitmap",
                                            block->name);
    FixedRamIndexPart range = {
        .offset = block->bitmap_offset,
        .length = fixed_ram_ramsection_bitmap_bytes(block->length,
                                                    block->page_size),
        .sum = block->bitmap_sum,
    };
    uint64_t bits = 0;

    if (!verify_range(digest, source, what, &range, &bits, errp)) {
        return false;
    }
    if (bits != block->pages) {
        error_setg(errp, "snapshot '%s': %s at offset 0x%" PRIx64 " has %"
                   PRIu64 " pages with data, expected %" PRIu64, source->name,
                   what, block->bitmap_offset, bits, block->pages);
        return false;
    }
    return true;
}

static bool verify_tail(FixedRamDigest *digest, const FixedRamSource *source,
                        const FixedRamIndexPart *tail, Error **errp)
{
    if (tail->length > TAIL_MAX) {
        error_setg(errp, "snapshot '%s': the devices' state at offset 0x%"
                   PRIx64 " has 0x%" PRIx64 " bytes, expected at most 0x%"
                   PRIx64, source->name, tail->offset, tail->length,
                   (uint64_t)TAIL_MAX);
        return false;
    }
    return verify_range(digest, source, "the devices' state", tail, NULL, errp);
}

bool fixed_ram_index_verify_stream(const FixedRamIndex *index,
                                   FixedRamSource *source, Error **errp)
{
    g_autoptr(FixedRamDigest) digest = NULL;

    if (!index->has_sums || !fixed_ram_sums_built()) {
        return true;
    }
    digest = fixed_ram_digest_new(source);
    if (!verify_range(digest, source, "the stream's head", &index->head, NULL,
                      errp)) {
        return false;
    }
    for (size_t i = 0; i < index->blocks->len; i++) {
        if (!verify_bitmap(digest, source, fixed_ram_index_block(index, i),
                           errp)) {
            return false;
        }
    }
    return verify_tail(digest, source, &index->tail, errp);
}

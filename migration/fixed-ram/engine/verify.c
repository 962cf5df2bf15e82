/*
 * fixed-ram: clusters that were read, and their checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "claim.h"
#include "verify.h"

/* Bytes of the cluster that begins at @offset; the last one may be short. */
static uint64_t cluster_bytes(const FixedRamBlock *block, uint64_t offset)
{
    return MIN(FIXED_RAM_CLUSTER_BYTES, block->length - offset);
}

FixedRamRun fixed_ram_verify_widen(const FixedRamBlock *block,
                                   const FixedRamRun *run)
{
    uint64_t offset = ROUND_DOWN(run->offset, FIXED_RAM_CLUSTER_BYTES);
    uint64_t end = ROUND_UP(run->offset + run->length,
                            FIXED_RAM_CLUSTER_BYTES);

    return (FixedRamRun) {
        .offset = offset, .length = MIN(end, block->length) - offset,
    };
}

bool fixed_ram_verify_wants(const FixedRamClaim *claim, uint64_t offset)
{
    uint64_t begin = ROUND_DOWN(offset, FIXED_RAM_CLUSTER_BYTES);
    uint64_t end = begin + cluster_bytes(claim->block, begin);
    FixedRamRun data;

    if (!fixed_ram_block_next_data(claim->block, begin, end, 0, &data)) {
        return false;
    }
    for (uint64_t pos = begin; pos < end; pos += claim->block->page_size) {
        if (fixed_ram_claim_has(claim, pos)) {
            return true;
        }
    }
    return false;
}

static FixedRamCluster cluster_at(const FixedRamBlock *block, uint64_t offset,
                                  const uint8_t *buf)
{
    return (FixedRamCluster) {
        .buf = buf,
        .data = block->data,
        .page = offset / block->page_size,
        .pages = cluster_bytes(block, offset) / block->page_size,
        .page_size = block->page_size,
    };
}

uint64_t fixed_ram_verify_sum(const FixedRamSumTable *sums,
                              const FixedRamBlock *block, uint64_t offset,
                              const uint8_t *buf)
{
    FixedRamCluster cluster = cluster_at(block, offset, buf);

    return fixed_ram_sumtable_sum_cluster(sums, &cluster);
}

bool fixed_ram_verify_read(const FixedRamBlock *block, uint64_t offset,
                           FixedRamSource *source, uint8_t *buf, Error **errp)
{
    uint64_t end = offset + cluster_bytes(block, offset);
    uint64_t at = offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(block, at, end, 0, &data)) {
        if (!fixed_ram_source_read_pages(source, buf + (data.offset - offset),
                                         data.length,
                                         block->pages_offset + data.offset,
                                         errp)) {
            return false;
        }
        at = data.offset + data.length;
    }
    return true;
}

bool fixed_ram_verify_cluster(const FixedRamBlock *block, uint64_t offset,
                              const uint8_t *buf, FixedRamSumTable *sums,
                              FixedRamSource *source, Error **errp)
{
    FixedRamCluster cluster = cluster_at(block, offset, buf);
    uint64_t number = block->first_cluster + offset / FIXED_RAM_CLUSTER_BYTES;
    uint64_t expected, found = fixed_ram_sumtable_sum_cluster(sums, &cluster);

    if (!fixed_ram_sumtable_get(sums, source, number, &expected, errp)) {
        return false;
    }
    if (!fixed_ram_sumtable_accepts(&cluster, found, expected)) {
        fixed_ram_verify_error(block, offset, found, expected, source, errp);
        return false;
    }
    return true;
}

void fixed_ram_verify_error(const FixedRamBlock *block, uint64_t offset,
                            uint64_t found, uint64_t expected,
                            FixedRamSource *source, Error **errp)
{
    uint64_t length = cluster_bytes(block, offset);
    FixedRamSourcePart part =
        fixed_ram_source_part(source, block->pages_offset + offset, length);

    error_setg(errp, "snapshot '%s': block '%s' offset 0x%" PRIx64 " length 0x%"
               PRIx64 ": the content at offset 0x%" PRIx64 " of the file is "
               "not what was saved: checksum 0x%016" PRIx64 ", expected 0x%016"
               PRIx64, part.source->name, block->name, offset, length,
               part.offset, found, expected);
}

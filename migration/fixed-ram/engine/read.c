/*
 * fixed-ram: reading a claim from the source
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * Each function calls the next; the file defines them in reverse order:
 *
 *   fixed_ram_read_claim()   a claim, with the pace and errors
 *   for_each_run()           all runs of units that the claim holds, widened to
 *                            clusters if they are verified
 *   verify_run()             a run that has been read
 *   read_run()               a run
 *   read_stretch()           data of a run without large gaps
 *   read_slice()             as much of a stretch as the pace allows at once
 *   read_pages()             pages of a slice, one by one, if that failed
 *   read_request()           one request to the source
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "claim.h"
#include "read.h"
#include "state.h"
#include "../trace.h"
#include "verify.h"
#include "worker.h"

/*
 * Pages between two claimed ones are read along if they are no more than this:
 * a request of its own would cost the disk more.
 */
#define GAP_BYTES       (64 * KiB)

typedef struct Reading {
    FixedRamWorker *w;
    const FixedRamClaim *claim; /* of @w */
    FixedRamSumTable *sums;     /* NULL: do not verify */
    FixedRamSource *source;     /* only for use during a read */
    unsigned number;            /* of @source */
    bool straight;              /* into the block's memory, not the buffer */
} Reading;

/* Where the byte at @offset of the block is read to. */
static uint8_t *read_at(const Reading *r, uint64_t offset)
{
    return r->straight ? r->claim->block->host + offset
                       : fixed_ram_worker_at(r->w, offset);
}

/*
 * Read @length bytes at @offset of the block.  Fails without an error if
 * nothing more may be read from this source.
 */
static bool read_request(Reading *r, uint64_t offset, uint64_t length,
                         Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    Error *err = NULL;

    if (!fixed_ram_worker_read_begin(r->w, r->source, r->number)) {
        return false;
    }
    fixed_ram_source_read_pages(r->source, read_at(r, offset), length,
                                block->pages_offset + offset, &err);
    fixed_ram_worker_read_end(r->w, err);
    if (err) {
        error_propagate_prepend(errp, err, "block '%s' offset 0x%" PRIx64
                                " length 0x%" PRIx64 ": ", block->name,
                                offset, length);
        return false;
    }
    return true;
}

/* Is the page at @offset claimed, or needed to verify one that is? */
static bool page_wanted(const Reading *r, uint64_t offset)
{
    return r->sums ? fixed_ram_verify_wants(r->claim, offset)
                   : fixed_ram_claim_has(r->claim, offset);
}

/*
 * Read the data of @run page by page, as far as it is wanted.  A bad sector in
 * another page is no reason to fail, and for one in a wanted page the error
 * then names that page alone.
 */
static bool read_pages(Reading *r, const FixedRamRun *run, Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    uint64_t end = run->offset + run->length;
    uint64_t pos = run->offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(block, pos, end, 0, &data)) {
        if (page_wanted(r, data.offset) &&
            !read_request(r, data.offset, block->page_size, errp)) {
            return false;
        }
        pos = data.offset + block->page_size;
    }
    return true;
}

static bool read_slice(Reading *r, uint64_t offset, uint64_t length,
                       Error **errp)
{
    FixedRamRun run = { .offset = offset, .length = length };

    return read_request(r, offset, length, NULL) || read_pages(r, &run, errp);
}

/* Faults read a stretch at once, loaders at their pace. */
static bool read_stretch(Reading *r, FixedRamRun run, Error **errp)
{
    FixedRamPace *pace = &r->w->load->pace;
    FixedRamRun extent;
    uintptr_t addr;
    bool ok = true;

    if (r->w->fault) {
        return read_slice(r, run.offset, run.length, errp);
    }
    extent = fixed_ram_claim_extent(r->claim);
    addr = (uintptr_t)r->claim->block->host + extent.offset;
    while (run.length && ok) {
        uint64_t length = fixed_ram_pace_begin(pace, &r->w->turn, addr,
                                               extent.length, run.length);

        ok = read_slice(r, run.offset, length, errp);
        fixed_ram_pace_end(pace, &r->w->turn,
                           fixed_ram_map_left(r->w->load->map));
        run.offset += length;
        run.length -= length;
    }
    return ok;
}

/* Read the checksum that the snapshot has for the cluster at @offset. */
static bool read_sum(Reading *r, uint64_t offset, uint64_t *sum, Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    uint64_t cluster = block->first_cluster + offset / FIXED_RAM_CLUSTER_BYTES;
    Error *err = NULL;

    /* The table reads its parts from the source when they are needed. */
    if (!fixed_ram_worker_read_begin(r->w, r->source, r->number)) {
        return false;
    }
    fixed_ram_sumtable_get(r->sums, r->source, cluster, sum, &err);
    fixed_ram_worker_read_end(r->w, err);
    if (err) {
        error_propagate_prepend(errp, err, "block '%s' offset 0x%" PRIx64
                                ": ", block->name, offset);
        return false;
    }
    return true;
}

/* Verify the cluster at @offset, which has been read. */
static bool verify_cluster(Reading *r, uint64_t offset, Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    uint64_t expected, found;
    Error *err = NULL;

    if (!read_sum(r, offset, &expected, errp)) {
        return false;
    }
    found = fixed_ram_verify_sum(r->sums, block, offset, read_at(r, offset));
    if (found == expected) {
        return true;
    }
    /* A recovery may close the source, unless a worker says that it reads. */
    if (fixed_ram_worker_read_begin(r->w, r->source, r->number)) {
        fixed_ram_verify_error(block, offset, found, expected, r->source,
                               &err);
        fixed_ram_worker_read_end(r->w, err);
        error_propagate(errp, err);
    }
    return false;
}

static bool read_run(Reading *r, const FixedRamRun *run, Error **errp)
{
    uint64_t end = run->offset + run->length;
    uint64_t pos = run->offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(r->claim->block, pos, end, GAP_BYTES,
                                     &data)) {
        if (!read_stretch(r, data, errp)) {
            return false;
        }
        pos = data.offset + data.length;
    }
    return true;
}

/* Verify those clusters of @run, which has been read, that are wanted. */
static bool verify_run(Reading *r, const FixedRamRun *run, Error **errp)
{
    uint64_t end = run->offset + run->length;

    for (uint64_t pos = run->offset; pos < end;
         pos += FIXED_RAM_CLUSTER_BYTES) {
        if (fixed_ram_verify_wants(r->claim, pos) &&
            !verify_cluster(r, pos, errp)) {
            return false;
        }
    }
    return true;
}

typedef bool RunFunc(Reading *r, const FixedRamRun *run, Error **errp);

static bool for_each_run(Reading *r, RunFunc *func, Error **errp)
{
    uint64_t pos = 0;
    FixedRamRun run;

    while (fixed_ram_claim_next(r->claim, pos, GAP_BYTES, &run)) {
        if (r->sums) {
            run = fixed_ram_verify_widen(r->claim->block, &run);
        }
        if (!func(r, &run, errp)) {
            return false;
        }
        pos = run.offset + run.length;
    }
    return true;
}

bool fixed_ram_read_claim(FixedRamWorker *w, bool straight)
{
    FixedRamLoad *load = w->load;
    Reading r = {
        .w = w,
        .claim = &w->claim,
        .sums = load->config.sums,
        .straight = straight,
    };
    Error *err = NULL;
    bool ok;

    r.source = fixed_ram_state_source(load, &r.number);
    trace_fixed_ram_claim(w->claim.block->name, w->claim.extent, w->fault);
    ok = for_each_run(&r, read_run, &err);
    /* The next loader may read while this one verifies. */
    fixed_ram_pace_leave(&load->pace, &w->turn);
    if (ok && (!r.sums || for_each_run(&r, verify_run, &err)) &&
        fixed_ram_state_read_valid(load, r.number)) {
        return true;
    }
    fixed_ram_map_return(&w->claim);
    fixed_ram_state_read_failed(load, r.number, err);
    return false;
}

/*
 * fixed-ram: reading what a claim is for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "read.h"
#include "../trace.h"
#include "verify.h"

/*
 * Pages that nobody asked for are read along if they are no more than this:
 * a request of its own would cost the disk more.
 */
#define GAP_BYTES       (64 * KiB)

/* Where to what lies at @offset of the block is read. */
static uint8_t *read_at(const FixedRamReading *r, uint64_t offset)
{
    return r->straight ? r->claim->block->host + offset
                       : fixed_ram_worker_at(r->w, offset);
}

/*
 * Read @length bytes at @offset of the block, at once.  Without an error it
 * fails if there is nothing more to be read from this source.
 *
 * A read may hang for ever, and recovery does not wait for it: when it returns
 * nevertheless the thread ends here.  So no caller may own what only it frees.
 */
static bool read_piece(FixedRamReading *r, uint64_t offset, uint64_t length,
                       Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    Error *err = NULL;

    if (!fixed_ram_read_begin(r->w, r->claim, r->turn, r->source)) {
        return false;
    }
    fixed_ram_source_read_pages(r->source, read_at(r, offset), length,
                                block->pages_offset + offset, &err);
    if (!fixed_ram_read_end(r->w)) {
        error_free(err);
        fixed_ram_worker_leave(r->w);
    }
    if (err) {
        error_propagate_prepend(errp, err, "block '%s' offset 0x%" PRIx64
                                " length 0x%" PRIx64 ": ", block->name,
                                offset, length);
        return false;
    }
    return true;
}

/* Is the page at @offset claimed, or needed to verify one that is? */
static bool page_wanted(const FixedRamReading *r, uint64_t offset)
{
    return r->w->load->config.sums ? fixed_ram_verify_wants(r->claim, offset)
                                   : fixed_ram_claim_has(r->claim, offset);
}

/*
 * Page by page what is wanted and data in @run.  A bad sector in a page that
 * nobody wants, or no more, is no reason to fail, and if there is one in a
 * page that is wanted the error names just that.
 */
static bool read_pages(FixedRamReading *r, const FixedRamRun *run, Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    uint64_t end = run->offset + run->length;
    uint64_t pos = run->offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(block, pos, end, 0, &data)) {
        if (page_wanted(r, data.offset) &&
            !read_piece(r, data.offset, block->page_size, errp)) {
            return false;
        }
        pos = data.offset + block->page_size;
    }
    return true;
}

/* At once, or if that fails page by page. */
static bool read_somehow(FixedRamReading *r, uint64_t offset, uint64_t length,
                         Error **errp)
{
    FixedRamRun run = { .offset = offset, .length = length };

    return read_piece(r, offset, length, NULL) || read_pages(r, &run, errp);
}

/* Read @run, all of it data or hardly worth skipping, at a loader's pace. */
static bool read_run(FixedRamReading *r, FixedRamRun run, Error **errp)
{
    FixedRamPace *pace = &r->w->load->pace;
    FixedRamRun extent = fixed_ram_claim_extent(r->claim);
    uintptr_t addr = (uintptr_t)r->claim->block->host + extent.offset;
    bool ok = true;

    if (!r->turn) {
        return read_somehow(r, run.offset, run.length, errp);
    }
    while (run.length && ok) {
        uint64_t length = fixed_ram_pace_begin(pace, r->turn, addr,
                                               extent.length, run.length);

        ok = read_somehow(r, run.offset, length, errp);
        fixed_ram_pace_end(pace, r->turn);
        run.offset += length;
        run.length -= length;
    }
    return ok;
}

/* The checksum that the cluster at @offset has in the snapshot. */
static bool read_sum(FixedRamReading *r, uint64_t offset, uint64_t *sum,
                     Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    uint64_t cluster = block->first_cluster + offset / FIXED_RAM_CLUSTER_BYTES;
    Error *err = NULL;

    /* As with pages: this may be read from the file, and hang. */
    if (!fixed_ram_read_begin(r->w, r->claim, r->turn, r->source)) {
        return false;
    }
    fixed_ram_sum_table_get(r->w->load->config.sums, r->source, cluster, sum,
                            &err);
    if (!fixed_ram_read_end(r->w)) {
        error_free(err);
        fixed_ram_worker_leave(r->w);
    }
    if (err) {
        error_propagate_prepend(errp, err, "block '%s' offset 0x%" PRIx64
                                ": ", block->name, offset);
        return false;
    }
    return true;
}

/* @run was read, whole clusters: is what is wanted of it what was saved? */
static bool verify_run(FixedRamReading *r, const FixedRamRun *run, Error **errp)
{
    const FixedRamBlock *block = r->claim->block;
    uint64_t end = run->offset + run->length;
    uint64_t expected;

    for (uint64_t pos = run->offset; pos < end;
         pos += FIXED_RAM_CLUSTER_BYTES) {
        if (fixed_ram_verify_wants(r->claim, pos) &&
            (!read_sum(r, pos, &expected, errp) ||
             !fixed_ram_verify_cluster(block, pos, read_at(r, pos), expected,
                                       r->source, errp))) {
            return false;
        }
    }
    return true;
}

/* The data in @run; what lies close together is read in one go. */
static bool read_data(FixedRamReading *r, const FixedRamRun *run, Error **errp)
{
    uint64_t end = run->offset + run->length;
    uint64_t pos = run->offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(r->claim->block, pos, end, GAP_BYTES,
                                     &data)) {
        if (!read_run(r, data, errp)) {
            return false;
        }
        pos = data.offset + data.length;
    }
    return true;
}

/* All that is claimed, and what it takes to verify that. */
static bool read_runs(FixedRamReading *r, Error **errp)
{
    bool verify = r->w->load->config.sums;
    FixedRamRun run = { };

    while (fixed_ram_claim_next(r->claim, run.offset + run.length, GAP_BYTES,
                                &run)) {
        if (verify) {
            run = fixed_ram_verify_widen(r->claim->block, &run);
        }
        if (!read_data(r, &run, errp) ||
            (verify && !verify_run(r, &run, errp))) {
            return false;
        }
    }
    return true;
}

bool fixed_ram_read_claim(FixedRamReading *r)
{
    FixedRamLoad *load = r->w->load;
    Error *err = NULL;

    trace_fixed_ram_claim(r->claim->block->name, r->claim->extent, !r->turn);
    r->source = qatomic_load_acquire(&load->source);
    if (read_runs(r, &err) && fixed_ram_load_read_counts(load, r->source)) {
        return true;
    }
    fixed_ram_map_return(r->claim);
    fixed_ram_load_read_in_vain(load, r->source, err);
    return false;
}

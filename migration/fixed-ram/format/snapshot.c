/*
 * fixed-ram: open a snapshot and parse all of its metadata
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "snapshot.h"

/* Small, as headers lie far from each other. */
#define BUFFER_BYTES    4096

void fixed_ram_snapshot_fail(FixedRamSnapshot *s, FixedRamVerdict verdict,
                             Error *err)
{
    if (s->problem) {
        error_free(err);
    } else {
        s->problem = err;
        s->verdict = verdict;
    }
}

/* Make the reader's failure, if there is one, the snapshot's problem. */
static bool take_failure(FixedRamSnapshot *s, FixedRamReader *r)
{
    if (!r->error) {
        return true;
    }
    fixed_ram_snapshot_fail(s, r->verdict, g_steal_pointer(&r->error));
    return false;
}

/* A capability may change the section of RAM so that it is read wrongly. */
static void check_capabilities(FixedRamSnapshot *s, FixedRamReader *r)
{
    if (fixed_ram_stream_head_has(s->head, "x-ignore-shared")) {
        fixed_ram_reader_fail_unknown(r, s->head->capabilities_at, "saved with "
                                      "x-ignore-shared, which cannot be loaded "
                                      "this way");
    }
}

/*
 * Do bytes that are not zero lie where the superblock belongs?  Only the
 * first header is parsed, so this works for a save that was cut off.
 */
static bool read_first_superblock(FixedRamSnapshot *s,
                                  const FixedRamRamSection *first)
{
    g_autoptr(FixedRamReader) r =
        fixed_ram_reader_new(s->source, s->start, BUFFER_BYTES);
    const FixedRamBlockInfo *info = fixed_ram_ramsection_block(first, 0);

    if (info->pages_offset > s->source->size) {
        return false;
    }
    return !fixed_ram_superblock_read(r, first, &s->sb) ||
           s->sb.state != FIXED_RAM_PLAIN;
}

static void check_page_size(FixedRamSnapshot *s, FixedRamReader *r,
                            const FixedRamRamSection *first,
                            uint64_t page_size)
{
    const FixedRamBlockInfo *info = fixed_ram_ramsection_block(first, 0);

    if (page_size && s->page_size != page_size) {
        fixed_ram_reader_fail(r, info->header_offset, "block '%s' has page "
                              "size %" PRIu64 ", this target has %" PRIu64,
                              info->name, s->page_size, page_size);
    }
}

static void read_index(FixedRamSnapshot *s)
{
    FixedRamVerdict verdict;
    Error *err = NULL;

    if (s->sb.state == FIXED_RAM_PLAIN && s->ram->delta) {
        error_setg(&err, "snapshot '%s': offset 0x%" PRIx64 ": the blocks' "
                   "headers are those of a delta, but there is no index to "
                   "name its layers", s->source->name,
                   fixed_ram_ramsection_block(s->ram, 0)->header_offset);
        fixed_ram_snapshot_fail(s, FIXED_RAM_VERDICT_CORRUPT, err);
    } else if (s->sb.state == FIXED_RAM_COMPLETE) {
        s->index = fixed_ram_index_read(s->source, s->ram, &s->sb, &verdict,
                                        &err);
        if (!s->index) {
            fixed_ram_snapshot_fail(s, verdict, err);
        }
    }
}

/* All headers, the superblock, the index; up to the first failure. */
static void read_mapped(FixedRamSnapshot *s, FixedRamReader *r,
                        uint64_t page_size)
{
    g_autoptr(FixedRamRamSection) first = NULL;

    check_capabilities(s, r);
    first = fixed_ram_ramsection_read_first(r, s->start, s->head);
    if (!first) {
        return;
    }
    s->page_size = first->page_size;
    if (read_first_superblock(s, first)) {
        s->kind = FIXED_RAM_FILE_KIND_FIXED_RAM;
    }
    check_page_size(s, r, first, page_size);
    s->ram = fixed_ram_ramsection_read(r, s->start, s->head, s->page_size);
    if (s->ram && fixed_ram_superblock_read(r, s->ram, &s->sb)) {
        read_index(s);
    }
}

static void examine_mapped(FixedRamSnapshot *s, FixedRamReader *r,
                           uint64_t page_size)
{
    Error *err = NULL;

    s->kind = FIXED_RAM_FILE_KIND_MAPPED_RAM;
    read_mapped(s, r, page_size);
    if (s->sb.state == FIXED_RAM_BEING_WRITTEN) {
        /* This explains whatever else is wrong. */
        error_setg(&err, "snapshot '%s' is incomplete: its save was cut off",
                   s->source->name);
        fixed_ram_snapshot_fail(s, FIXED_RAM_VERDICT_CUT_OFF, err);
    }
    take_failure(s, r);
}

FixedRamSnapshot *fixed_ram_snapshot_examine(FixedRamSource *source,
                                             uint64_t start,
                                             uint64_t page_size)
{
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, start,
                                                       BUFFER_BYTES);
    FixedRamSnapshot *s = g_new0(FixedRamSnapshot, 1);

    s->source = fixed_ram_source_ref(source);
    s->start = start;
    s->kind = FIXED_RAM_FILE_KIND_NONE;
    s->head = fixed_ram_stream_read_head(r);
    if (s->head->is_stream) {
        s->kind = FIXED_RAM_FILE_KIND_STREAM;
    }
    if (take_failure(s, r) && fixed_ram_stream_head_has(s->head,
                                                        "mapped-ram")) {
        examine_mapped(s, r, page_size);
    }
    return s;
}

FixedRamSnapshot *fixed_ram_snapshot_open(FixedRamSource *source,
                                          uint64_t start, uint64_t page_size,
                                          Error **errp)
{
    g_autoptr(FixedRamSnapshot) s = fixed_ram_snapshot_examine(source, start,
                                                               page_size);

    if (s->problem) {
        error_propagate(errp, g_steal_pointer(&s->problem));
        return NULL;
    }
    if (!s->ram) {
        error_setg(errp, "snapshot '%s': offset 0x%" PRIx64 ": saved without "
                   "fixed-ram or mapped-ram: its pages have no fixed places",
                   source->name, s->head->configuration_at);
        return NULL;
    }
    return g_steal_pointer(&s);
}

void fixed_ram_snapshot_free(FixedRamSnapshot *s)
{
    if (s) {
        fixed_ram_index_free(s->index);
        fixed_ram_ramsection_free(s->ram);
        fixed_ram_stream_head_free(s->head);
        error_free(s->problem);
        fixed_ram_source_unref(s->source);
        g_free(s);
    }
}

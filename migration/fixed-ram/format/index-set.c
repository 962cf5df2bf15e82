/*
 * fixed-ram: the index's section about the working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "index-set.h"

uint64_t fixed_ram_index_set_list_bytes(const FixedRamIndexSet *set)
{
    return set->runs * sizeof(RunFields) +
           DIV_ROUND_UP(set->pack_length, FIXED_RAM_PACK_CHUNK_BYTES) *
           sizeof(uint64_t);
}

static uint32_t disk_kind(FixedRamWorkingSetKind kind)
{
    return kind == FIXED_RAM_WORKING_SET_KIND_RECORDED ? SET_RECORDED
                                                       : SET_GUESSED;
}

void fixed_ram_index_set_encode(const FixedRamIndexSet *set, SetFields *out)
{
    *out = (SetFields) {
        .kind = cpu_to_le32(disk_kind(set->kind)),
        .time = cpu_to_le64(set->time),
        .pages = cpu_to_le64(set->pages),
        .runs = cpu_to_le64(set->runs),
        .list_offset = cpu_to_le64(set->list_offset),
        .list_sum = cpu_to_le64(set->list_sum),
        .pack_offset = cpu_to_le64(set->pack_offset),
        .pack_length = cpu_to_le64(set->pack_length),
    };
}

static void read_fields(FixedRamReader *r, FixedRamIndexSet *set)
{
    uint64_t at = fixed_ram_reader_offset(r);
    SetFields fields;
    uint32_t kind;

    fixed_ram_reader_get(r, &fields, sizeof(fields));
    kind = le32_to_cpu(fields.kind);
    if (kind != SET_RECORDED && kind != SET_GUESSED) {
        fixed_ram_reader_fail_unknown(r, at, "the working set is of kind %"
                                      PRIu32 ", expected %d or %d", kind,
                                      SET_RECORDED, SET_GUESSED);
    }
    if (fields.zero) {
        fixed_ram_reader_fail(r, at, "bytes are set that must be zero");
    }
    set->kind = kind == SET_RECORDED ? FIXED_RAM_WORKING_SET_KIND_RECORDED
                                     : FIXED_RAM_WORKING_SET_KIND_GUESSED;
    set->time = le64_to_cpu(fields.time);
    set->pages = le64_to_cpu(fields.pages);
    set->runs = le64_to_cpu(fields.runs);
    set->list_offset = le64_to_cpu(fields.list_offset);
    set->list_sum = le64_to_cpu(fields.list_sum);
    set->pack_offset = le64_to_cpu(fields.pack_offset);
    set->pack_length = le64_to_cpu(fields.pack_length);
}

/* So no later computation overflows, and the list's length is limited. */
static void check_numbers(FixedRamReader *r, uint64_t at,
                          const FixedRamIndex *index)
{
    const FixedRamIndexSet *set = &index->set;
    uint64_t page_size = fixed_ram_index_block(index, 0)->page_size;
    uint64_t pages = 0;

    for (size_t i = 0; i < index->blocks->len; i++) {
        pages += fixed_ram_index_block(index, i)->length / page_size;
    }
    if (!set->runs || set->runs > FIXED_RAM_SET_RUNS_MAX ||
        set->runs > set->pages || set->pages > pages) {
        fixed_ram_reader_fail(r, at, "the working set has %" PRIu64 " pages in "
                              "%" PRIu64 " runs, expected 1 to %u runs, and "
                              "pages from this number to %" PRIu64, set->pages,
                              set->runs, FIXED_RAM_SET_RUNS_MAX, pages);
    } else if (!set->pack_length != !set->pack_offset ||
               set->pack_length % page_size ||
               set->pack_length > FIXED_RAM_PACK_MAX ||
               set->pack_length / page_size > set->pages) {
        fixed_ram_reader_fail(r, at, "the packed copy of %" PRIu64 " pages of "
                              "%" PRIu64 " bytes has 0x%" PRIx64 " bytes at "
                              "offset 0x%" PRIx64, set->pages, page_size,
                              set->pack_length, set->pack_offset);
    }
}

typedef struct Range {
    const char *what;
    uint64_t offset;
    uint64_t length;
} Range;

static void check_apart(FixedRamReader *r, uint64_t at, const Range *a,
                        const Range *b)
{
    if (a->length && b->length && a->offset < b->offset + b->length &&
        b->offset < a->offset + a->length) {
        fixed_ram_reader_fail(r, at, "%s, 0x%" PRIx64 " bytes at offset 0x%"
                              PRIx64 ", and %s, 0x%" PRIx64 " bytes at 0x%"
                              PRIx64 ", overlap", a->what, a->length, a->offset,
                              b->what, b->length, b->offset);
    }
}

static void check_place(FixedRamReader *r, uint64_t at, const Range *range,
                        uint64_t alignment, const FixedRamSuperblock *sb)
{
    uint64_t end;

    if (uadd64_overflow(range->offset, range->length, &end) ||
        range->offset < sb->stream_end || end > r->source->size ||
        range->offset % alignment) {
        fixed_ram_reader_fail(r, at, "%s, 0x%" PRIx64 " bytes at offset 0x%"
                              PRIx64 ", does not begin at a multiple of 0x%"
                              PRIx64 " behind the stream's end at 0x%" PRIx64
                              " and end before the file does at 0x%" PRIx64,
                              range->what, range->length, range->offset,
                              alignment, sb->stream_end, r->source->size);
    }
}

static void check_places(FixedRamReader *r, uint64_t at,
                         const FixedRamSuperblock *sb,
                         const FixedRamIndex *index)
{
    const FixedRamIndexSet *set = &index->set;
    const Range list = {
        "the working set's list", set->list_offset,
        fixed_ram_index_set_list_bytes(set),
    };
    const Range pack = {
        "the packed copy", set->pack_offset, set->pack_length,
    };
    const Range table = {
        "the table of checksums", index->table.offset, index->table.length,
    };
    const Range whole = { "the index", sb->index_offset, sb->index_length };
    const Range map = {
        "the map of layers", index->layers ? index->layers->map_offset : 0,
        index->layers ? index->layers->map_length : 0,
    };

    check_place(r, at, &list, INDEX_PADDING, sb);
    if (pack.length) {
        check_place(r, at, &pack, FIXED_RAM_PACK_CHUNK_BYTES, sb);
    }
    if (!r->error) {
        check_apart(r, at, &list, &pack);
        check_apart(r, at, &list, &table);
        check_apart(r, at, &list, &whole);
        check_apart(r, at, &list, &map);
        check_apart(r, at, &pack, &table);
        check_apart(r, at, &pack, &whole);
        check_apart(r, at, &pack, &map);
    }
}

void fixed_ram_index_set_read(FixedRamReader *r, const FixedRamSuperblock *sb,
                              FixedRamIndex *index)
{
    uint64_t at = fixed_ram_reader_offset(r);

    read_fields(r, &index->set);
    check_numbers(r, at, index);
    if (!r->error) {
        check_places(r, at, sb, index);
    }
}

/*
 * fixed-ram: the working set, the pages that the guest touches first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "index-set.h"
#include "working-set.h"

FixedRamWorkingSet *fixed_ram_working_set_new(FixedRamWorkingSetKind kind)
{
    FixedRamWorkingSet *set = g_new0(FixedRamWorkingSet, 1);

    set->kind = kind;
    set->runs = g_array_new(false, false, sizeof(FixedRamSetRun));
    set->pack_sums = g_array_new(false, false, sizeof(uint64_t));
    return set;
}

void fixed_ram_working_set_free(FixedRamWorkingSet *set)
{
    if (set) {
        g_array_unref(set->runs);
        g_array_unref(set->pack_sums);
        g_free(set);
    }
}

static bool continues(const FixedRamSetRun *last, uint32_t block,
                      uint64_t first, uint32_t pages, bool data)
{
    return last->block == block && last->data == data &&
           last->first + last->pages == first &&
           pages <= UINT32_MAX - last->pages;
}

static void count_pages(FixedRamWorkingSet *set, uint32_t pages, bool data)
{
    set->pages += pages;
    set->data_pages += data ? pages : 0;
}

bool fixed_ram_working_set_add(FixedRamWorkingSet *set, uint32_t block,
                               uint64_t first, uint32_t pages, bool data)
{
    FixedRamSetRun run = {
        .block = block, .pages = pages, .first = first, .data = data,
        .packed = set->data_pages,
    };
    FixedRamSetRun *last = set->runs->len
        ? fixed_ram_working_set_run(set, set->runs->len - 1) : NULL;

    if (last && continues(last, block, first, pages, data)) {
        last->pages += pages;
    } else if (set->runs->len < FIXED_RAM_SET_RUNS_MAX) {
        g_array_append_val(set->runs, run);
    } else {
        return false;
    }
    count_pages(set, pages, data);
    return true;
}

/*
 * The list
 */

/* What is needed to parse one list. */
typedef struct ListParser {
    const FixedRamIndex *index;
    FixedRamReader *r;          /* its buffer holds all of the list */
    FixedRamWorkingSet *set;
} ListParser;

/* Have @r read all of the list at once and compare its checksum. */
static void check_sum(FixedRamReader *r, const FixedRamIndexSet *set)
{
    uint64_t length = fixed_ram_index_set_list_bytes(set);
    const uint8_t *bytes;
    uint64_t sum;

    fixed_ram_reader_limit(r, set->list_offset, set->list_offset + length,
                           "the list");
    bytes = fixed_ram_reader_peek(r, length);
    if (r->error) {
        return;
    }
    sum = fixed_ram_sums_get(bytes, length);
    if (sum != set->list_sum) {
        fixed_ram_reader_fail(r, set->list_offset, "the list has checksum "
                              "0x%016" PRIx64 ", expected 0x%016" PRIx64, sum,
                              set->list_sum);
    }
}

static void check_run(const ListParser *p, uint64_t at, uint32_t flags,
                      const FixedRamSetRun *run)
{
    const GArray *blocks = p->index->blocks;
    const FixedRamIndexBlock *block;
    uint64_t pages;

    if (run->block >= blocks->len) {
        fixed_ram_reader_fail(p->r, at, "a run is of block %" PRIu32 ", there "
                              "are %u blocks", run->block, blocks->len);
        return;
    }
    block = fixed_ram_index_block(p->index, run->block);
    pages = block->length / block->page_size;
    if (!run->pages || run->first >= pages ||
        run->pages > pages - run->first) {
        fixed_ram_reader_fail(p->r, at, "block '%s': a run has %" PRIu32
                              " pages from page %" PRIu64 " on, the block has "
                              "%" PRIu64 " pages", block->name, run->pages,
                              run->first, pages);
    }
    if (flags & ~RUN_DATA) {
        fixed_ram_reader_fail_unknown(p->r, at, "a run has the unknown flags "
                                      "0x%" PRIx32, flags & ~RUN_DATA);
    }
}

static void read_run(ListParser *p, uint64_t at, const RunFields *fields)
{
    FixedRamSetRun run = { .packed = p->set->data_pages };
    uint32_t flags = le16_to_cpu(fields->flags);

    run.block = le16_to_cpu(fields->block);
    run.pages = le32_to_cpu(fields->pages);
    run.first = le64_to_cpu(fields->first);
    run.data = flags & RUN_DATA;
    check_run(p, at, flags, &run);
    g_array_append_val(p->set->runs, run);
    count_pages(p->set, run.pages, run.data);
}

/* Of tens of thousands: the guest waits for them, so they are not copied. */
static void read_runs(ListParser *p)
{
    uint64_t at = fixed_ram_reader_offset(p->r);
    uint64_t length = p->index->set.runs * sizeof(RunFields);
    const RunFields *fields = (const void *)fixed_ram_reader_peek(p->r, length);

    for (uint64_t i = 0; i < p->index->set.runs && !p->r->error; i++) {
        read_run(p, at + i * sizeof(*fields), &fields[i]);
    }
    fixed_ram_reader_skip(p->r, length);
}

/* Returns the end of @run if no page of it has been seen before. */
static uint64_t first_seen(unsigned long *seen, const FixedRamSetRun *run)
{
    uint64_t end = run->first + run->pages;
    uint64_t page = find_next_bit(seen, end, run->first);

    bitmap_set(seen, run->first, run->pages);
    return page;
}

/* Of a bitmap only the words of pages in the set take memory. */
static GPtrArray *new_bitmaps(const FixedRamIndex *index)
{
    GPtrArray *bitmaps = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; i < index->blocks->len; i++) {
        const FixedRamIndexBlock *block = fixed_ram_index_block(index, i);

        g_ptr_array_add(bitmaps,
                        bitmap_new(block->length / block->page_size));
    }
    return bitmaps;
}

static void check_twice(ListParser *p)
{
    g_autoptr(GPtrArray) seen = new_bitmaps(p->index);

    for (size_t i = 0; i < p->set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(p->set, i);
        uint64_t page = first_seen(g_ptr_array_index(seen, run->block), run);

        if (page < run->first + run->pages) {
            fixed_ram_reader_fail(p->r, p->index->set.list_offset, "block '%s':"
                                  " page %" PRIu64 " is twice in the list",
                                  fixed_ram_index_block(p->index,
                                                        run->block)->name,
                                  page);
            return;
        }
    }
}

static void check_totals(ListParser *p)
{
    const FixedRamIndexSet *expected = &p->index->set;
    uint64_t page_size = fixed_ram_index_block(p->index, 0)->page_size;
    uint64_t packed = p->set->data_pages * page_size;

    if (p->set->pages != expected->pages) {
        fixed_ram_reader_fail(p->r, expected->list_offset, "the list has %"
                              PRIu64 " pages, expected %" PRIu64,
                              p->set->pages, expected->pages);
    }
    if (expected->pack_offset && packed != expected->pack_length) {
        fixed_ram_reader_fail(p->r, expected->list_offset, "the list has 0x%"
                              PRIx64 " bytes of pages with data, but the "
                              "packed copy has 0x%" PRIx64, packed,
                              expected->pack_length);
    }
}

static void read_list(ListParser *p)
{
    FixedRamWorkingSet *set = p->set;
    uint64_t chunks = fixed_ram_working_set_chunks(set);

    read_runs(p);
    if (!p->r->error) {
        check_totals(p);
        check_twice(p);
    }
    for (uint64_t i = 0; i < chunks && !p->r->error; i++) {
        uint64_t sum = fixed_ram_reader_le64(p->r);

        g_array_append_val(set->pack_sums, sum);
    }
}

/* An array that grows is copied again and again, to memory that is fresh. */
static void reserve(GArray *array, size_t n)
{
    g_array_set_size(array, n);
    g_array_set_size(array, 0);
}

FixedRamWorkingSet *fixed_ram_working_set_read(const FixedRamIndex *index,
                                               FixedRamSource *source,
                                               Error **errp)
{
    const FixedRamIndexSet *where = &index->set;
    g_autoptr(FixedRamWorkingSet) set = NULL;
    g_autoptr(FixedRamReader) r = NULL;

    assert(index->has_set);
    if (!fixed_ram_sums_built()) {
        error_setg(errp, "snapshot '%s': the working set cannot be verified: "
                   "QEMU was built without libxxhash", source->name);
        return NULL;
    }
    set = fixed_ram_working_set_new(where->kind);
    reserve(set->runs, where->runs);
    set->time = where->time;
    set->pack_offset = where->pack_offset;
    set->pack_length = where->pack_length;
    r = fixed_ram_reader_new(source, where->list_offset,
                             fixed_ram_index_set_list_bytes(where));
    r->prefix = "working set: ";
    check_sum(r, where);
    if (!r->error) {
        read_list(&(ListParser) { .index = index, .r = r, .set = set });
    }
    if (r->error) {
        error_propagate(errp, g_steal_pointer(&r->error));
        return NULL;
    }
    return g_steal_pointer(&set);
}

/*
 * The packed copy
 */

static bool check_chunk(const FixedRamWorkingSet *set, uint64_t at,
                        const uint8_t *chunk, size_t length, Error **errp)
{
    uint64_t sum = fixed_ram_sums_get(chunk, length);
    uint64_t expected = g_array_index(set->pack_sums, uint64_t,
                                      at / FIXED_RAM_PACK_CHUNK_BYTES);

    if (sum != expected) {
        error_setg(errp, "the working set's packed copy is damaged: 0x%zx "
                   "bytes at offset 0x%" PRIx64 " have checksum 0x%016" PRIx64
                   ", expected 0x%016" PRIx64, length, set->pack_offset + at,
                   sum, expected);
    }
    return sum == expected;
}

bool fixed_ram_working_set_check_pack(const FixedRamWorkingSet *set,
                                      uint64_t at, size_t length,
                                      const void *buf, Error **errp)
{
    for (size_t done = 0; done < length; done += FIXED_RAM_PACK_CHUNK_BYTES) {
        if (!check_chunk(set, at + done, (const uint8_t *)buf + done,
                         MIN(length - done, FIXED_RAM_PACK_CHUNK_BYTES),
                         errp)) {
            return false;
        }
    }
    return true;
}

bool fixed_ram_working_set_read_pack(const FixedRamWorkingSet *set,
                                     FixedRamSource *source, uint64_t at,
                                     size_t length, void *buf, Error **errp)
{
    assert(at % FIXED_RAM_PACK_CHUNK_BYTES == 0);
    assert(at <= set->pack_length && length <= set->pack_length - at);
    if (!fixed_ram_source_read_pages(source, buf, length,
                                     set->pack_offset + at, errp)) {
        error_prepend(errp, "working set: ");
        return false;
    }
    if (!fixed_ram_working_set_check_pack(set, at, length, buf, errp)) {
        error_prepend(errp, "snapshot '%s': ", source->name);
        return false;
    }
    return true;
}

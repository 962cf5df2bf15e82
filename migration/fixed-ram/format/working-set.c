/*
 * fixed-ram: the working set, the pages that the guest touches first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "index-set.h"
#include "working-set.h"
#include "../util/radix.h"

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
static void read_bytes(FixedRamReader *r, const FixedRamIndexSet *set)
{
    uint64_t length = fixed_ram_index_set_list_bytes(set);
    g_autofree uint8_t *bytes = g_malloc(length);
    uint64_t sum;

    fixed_ram_reader_limit(r, set->list_offset, set->list_offset + length,
                           "the list");
    fixed_ram_reader_get(r, bytes, length);
    if (r->error) {
        return;
    }
    sum = fixed_ram_sums_get(bytes, length);
    if (sum != set->list_sum) {
        fixed_ram_reader_fail(r, set->list_offset, "the list has checksum "
                              "0x%016" PRIx64 ", expected 0x%016" PRIx64, sum,
                              set->list_sum);
    }
    fixed_ram_reader_seek(r, set->list_offset);
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

static void read_run(ListParser *p)
{
    uint64_t at = fixed_ram_reader_offset(p->r);
    FixedRamSetRun run = { .packed = p->set->data_pages };
    RunFields fields;
    uint32_t flags;

    fixed_ram_reader_get(p->r, &fields, sizeof(fields));
    flags = le16_to_cpu(fields.flags);
    run.block = le16_to_cpu(fields.block);
    run.pages = le32_to_cpu(fields.pages);
    run.first = le64_to_cpu(fields.first);
    run.data = flags & RUN_DATA;
    check_run(p, at, flags, &run);
    g_array_append_val(p->set->runs, run);
    count_pages(p->set, run.pages, run.data);
}

/* The numbers of all runs, sorted by block and first page. */
static FixedRamKey *sort_runs(const FixedRamWorkingSet *set)
{
    size_t n = set->runs->len;
    FixedRamKey *keys = g_new(FixedRamKey, n);

    for (size_t i = 0; i < n; i++) {
        keys[i] = (FixedRamKey) {
            .key = fixed_ram_working_set_run(set, i)->first, .value = i,
        };
    }
    fixed_ram_radix_sort(keys, n);
    for (size_t i = 0; i < n; i++) {
        keys[i].key = fixed_ram_working_set_run(set, keys[i].value)->block;
    }
    fixed_ram_radix_sort(keys, n);
    return keys;
}

static void check_twice(ListParser *p)
{
    const FixedRamWorkingSet *set = p->set;
    g_autofree FixedRamKey *keys = sort_runs(set);

    for (size_t i = 1; i < set->runs->len; i++) {
        const FixedRamSetRun *last, *run;

        last = fixed_ram_working_set_run(set, keys[i - 1].value);
        run = fixed_ram_working_set_run(set, keys[i].value);
        if (run->block == last->block &&
            run->first < last->first + last->pages) {
            fixed_ram_reader_fail(p->r, p->index->set.list_offset, "block '%s':"
                                  " page %" PRIu64 " is twice in the list",
                                  fixed_ram_index_block(p->index,
                                                        run->block)->name,
                                  run->first);
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

    for (uint64_t i = 0; i < p->index->set.runs && !p->r->error; i++) {
        read_run(p);
    }
    if (!p->r->error) {
        check_totals(p);
        check_twice(p);
    }
    for (uint64_t i = 0; i < chunks && !p->r->error; i++) {
        uint64_t sum = fixed_ram_reader_le64(p->r);

        g_array_append_val(set->pack_sums, sum);
    }
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
    set->time = where->time;
    set->pack_offset = where->pack_offset;
    set->pack_length = where->pack_length;
    r = fixed_ram_reader_new(source, where->list_offset,
                             fixed_ram_index_set_list_bytes(where));
    r->prefix = "working set: ";
    read_bytes(r, where);
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

/*
 * fixed-ram: write a working set into a complete snapshot, or drop it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "append.h"
#include "index-set.h"
#include "pack.h"
#include "working-set-write.h"
#include "../util/bytes.h"

/* Pages are collected and written in pieces of so many bytes. */
#define PIECE_BYTES     (16 * MiB)

/* What is needed to write one set. */
typedef struct Writer {
    const FixedRamSnapshot *s;  /* as the file is now, but with its source */
    const FixedRamSetOptions *options;
    FixedRamAppend *append;
    uint64_t page_size;
    /* For each block its bitmaps, NULL until they are needed. */
    unsigned long **data;       /* pages that have data */
    unsigned long **seen;       /* pages that are in the set */
    FixedRamWorkingSet *set;    /* as it will be written */
    FixedRamPacker packer;
    FixedRamBuffer piece;
} Writer;

/*
 * Which pages
 */

static bool need_bitmaps(Writer *w, uint32_t block, Error **errp)
{
    const FixedRamBlockInfo *info = fixed_ram_ramsection_block(w->s->ram,
                                                               block);

    if (w->data[block]) {
        return true;
    }
    w->seen[block] = bitmap_try_new(info->length / w->page_size);
    if (!w->seen[block]) {
        error_setg(errp, "snapshot '%s': block '%s': cannot allocate a bitmap",
                   w->s->source->name, info->name);
        return false;
    }
    w->data[block] = fixed_ram_ramsection_read_bitmap(w->s->ram, w->s->source,
                                                      info, NULL, errp);
    return w->data[block];
}

/* Returns false if the set is full. */
static bool add_page(Writer *w, uint32_t block, uint64_t page)
{
    return test_and_set_bit(page, w->seen[block]) ||
           fixed_ram_working_set_add(w->set, block, page, 1,
                                     test_bit(page, w->data[block]));
}

/* Leave out pages outside of blocks, and pages after their first time. */
static bool choose_pages(Writer *w, const FixedRamWorkingSet *from,
                         Error **errp)
{
    for (size_t i = 0; i < from->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(from, i);
        uint64_t end;

        if (run->block >= w->s->ram->blocks->len) {
            continue;
        }
        if (!need_bitmaps(w, run->block, errp)) {
            return false;
        }
        end = fixed_ram_ramsection_block(w->s->ram, run->block)->length /
              w->page_size;
        for (uint64_t j = 0; j < run->pages && run->first < end - j; j++) {
            if (!add_page(w, run->block, run->first + j)) {
                /* The first ones are those that help most. */
                return true;
            }
        }
    }
    if (!w->set->pages) {
        error_setg(errp, "snapshot '%s': the working set has no pages in its "
                   "memory", w->s->source->name);
    }
    return w->set->pages;
}

/*
 * The packed copy
 */

static void add_sums(Writer *w, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += FIXED_RAM_PACK_CHUNK_BYTES) {
        uint64_t sum = fixed_ram_sums_get(w->piece.mem + at,
                                          MIN(bytes - at,
                                              FIXED_RAM_PACK_CHUNK_BYTES));

        g_array_append_val(w->set->pack_sums, sum);
    }
}

/* @pages: those of one piece, which begins at @offset of the file */
static bool write_piece(Writer *w, GArray *pages, uint64_t offset,
                        Error **errp)
{
    size_t bytes = pages->len * w->page_size;

    if (!fixed_ram_packer_collect(&w->packer, (FixedRamPackPage *)pages->data,
                                  pages->len, w->piece.mem, errp)) {
        return false;
    }
    add_sums(w, bytes);
    g_array_set_size(pages, 0);
    return fixed_ram_append_write(w->append, w->piece.mem, bytes, offset,
                                  errp);
}

static bool write_pages(Writer *w, Error **errp)
{
    g_autoptr(GArray) pages = g_array_new(false, false,
                                          sizeof(FixedRamPackPage));
    uint64_t offset = w->set->pack_offset;

    for (size_t i = 0; i < w->set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(w->set, i);

        for (uint32_t j = 0; run->data && j < run->pages; j++) {
            FixedRamPackPage page = {
                .block = run->block, .page = run->first + j,
                .place = pages->len,
            };

            g_array_append_val(pages, page);
            if (pages->len == PIECE_BYTES / w->page_size) {
                if (!write_piece(w, pages, offset, errp)) {
                    return false;
                }
                offset += PIECE_BYTES;
            }
        }
    }
    return !pages->len || write_piece(w, pages, offset, errp);
}

static bool write_pack(Writer *w, Error **errp)
{
    bool ok;

    if (!w->set->pack_length) {
        return true;
    }
    ok = fixed_ram_packer_init(&w->packer, w->s, w->data, errp);
    w->packer.go_on = w->options->go_on;
    w->packer.opaque = w->options->opaque;
    ok = ok && fixed_ram_buffer_map(&w->piece, PIECE_BYTES, errp) &&
         write_pages(w, errp);
    fixed_ram_packer_destroy(&w->packer);
    fixed_ram_buffer_unmap(&w->piece);
    return ok;
}

/*
 * The list
 */

static GByteArray *encode_list(const FixedRamWorkingSet *set)
{
    GByteArray *out = g_byte_array_new();

    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);
        RunFields fields = {
            .block = cpu_to_le16(run->block),
            .flags = cpu_to_le16(run->data ? RUN_DATA : 0),
            .pages = cpu_to_le32(run->pages),
            .first = cpu_to_le64(run->first),
        };

        fixed_ram_bytes_put(out, &fields, sizeof(fields));
    }
    for (size_t i = 0; i < set->pack_sums->len; i++) {
        fixed_ram_bytes_put_le64(out, g_array_index(set->pack_sums, uint64_t,
                                                    i));
    }
    return out;
}

/* The list and, in @out, the fields of the section. */
static GByteArray *encode(const FixedRamWorkingSet *set, uint64_t list_offset,
                          FixedRamIndexSet *out)
{
    GByteArray *list = encode_list(set);

    *out = (FixedRamIndexSet) {
        .kind = set->kind,
        .time = set->time,
        .pages = set->pages,
        .runs = set->runs->len,
        .list_offset = list_offset,
        .list_sum = fixed_ram_sums_get(list->data, list->len),
        .pack_offset = set->pack_offset,
        .pack_length = set->pack_length,
    };
    return list;
}

GByteArray *fixed_ram_working_set_encode(const FixedRamWorkingSet *set,
                                         uint64_t offset,
                                         FixedRamIndexSet *out)
{
    assert(!set->pack_length);
    return encode(set, offset, out);
}

/*
 * All of it
 */

static bool place(Writer *w, uint64_t *list_offset, Error **errp)
{
    FixedRamWorkingSet *set = w->set;
    uint64_t offset, list_bytes;

    set->pack_length = w->options->pack ? set->data_pages * w->page_size : 0;
    if (set->pack_length > FIXED_RAM_PACK_MAX) {
        error_setg(errp, "snapshot '%s': the packed copy would have 0x%" PRIx64
                   " bytes, expected at most 0x%" PRIx64, w->s->source->name,
                   set->pack_length, (uint64_t)FIXED_RAM_PACK_MAX);
        return false;
    }
    list_bytes = set->runs->len * sizeof(RunFields) +
                 fixed_ram_working_set_chunks(set) * sizeof(uint64_t);
    offset = fixed_ram_append_place(w->append, set->pack_length + list_bytes,
                                    sizeof(SetFields));
    set->pack_offset = set->pack_length ? offset : 0;
    *list_offset = offset + set->pack_length;
    return true;
}

static bool write_set(Writer *w, const FixedRamWorkingSet *from, Error **errp)
{
    g_autoptr(GByteArray) list = NULL;
    FixedRamIndexSet where;
    SetFields fields;
    uint64_t list_offset;

    if (!choose_pages(w, from, errp) || !place(w, &list_offset, errp) ||
        !write_pack(w, errp)) {
        return false;
    }
    list = encode(w->set, list_offset, &where);
    fixed_ram_index_set_encode(&where, &fields);
    return fixed_ram_append_write(w->append, list->data, list->len,
                                  list_offset, errp) &&
           fixed_ram_append_commit(w->append, &fields, errp);
}

static Writer *writer_new(const FixedRamSnapshot *s, FixedRamAppend *append,
                          const FixedRamWorkingSet *from,
                          const FixedRamSetOptions *options)
{
    Writer *w = g_new0(Writer, 1);

    w->s = s;
    w->options = options;
    w->append = append;
    w->page_size = s->ram->page_size;
    w->data = g_new0(unsigned long *, s->ram->blocks->len);
    w->seen = g_new0(unsigned long *, s->ram->blocks->len);
    w->set = fixed_ram_working_set_new(from->kind);
    w->set->time = from->time;
    return w;
}

static void writer_free(Writer *w)
{
    for (size_t i = 0; i < w->s->ram->blocks->len; i++) {
        g_free(w->data[i]);
        g_free(w->seen[i]);
    }
    g_free(w->data);
    g_free(w->seen);
    fixed_ram_working_set_free(w->set);
    g_free(w);
}

bool fixed_ram_working_set_write(const FixedRamSnapshot *s,
                                 const FixedRamWorkingSet *set,
                                 const FixedRamSetOptions *options,
                                 FixedRamSetResult *result, Error **errp)
{
    g_autoptr(FixedRamAppend) append = NULL;
    Writer *w;
    bool ok;

    if (!fixed_ram_sums_built()) {
        error_setg(errp, "snapshot '%s' cannot get a working set: QEMU was "
                   "built without libxxhash", s->source->name);
        return false;
    }
    append = fixed_ram_append_begin(s, SECTION_WORKING_SET, errp);
    if (!append) {
        return false;
    }
    w = writer_new(s, append, set, options);
    ok = write_set(w, set, errp);
    if (ok && result) {
        *result = (FixedRamSetResult) {
            .pages = w->set->pages, .data_pages = w->set->data_pages,
            .pack_length = w->set->pack_length,
        };
    }
    writer_free(w);
    return ok;
}

bool fixed_ram_working_set_drop(const FixedRamSnapshot *s, Error **errp)
{
    g_autoptr(FixedRamAppend) append =
        fixed_ram_append_begin(s, SECTION_WORKING_SET, errp);

    if (!append) {
        return false;
    }
    if (!append->now->index->has_set && !append->now->index->set_problem) {
        error_setg(errp, "snapshot '%s' has no working set", s->source->name);
        return false;
    }
    fixed_ram_append_place(append, 0, 0);
    return fixed_ram_append_commit(append, NULL, errp);
}

/*
 * qemu-snapshot: the working set of a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qapi/error.h"
#include "../format/working-set-write.h"
#include "block.h"
#include "set.h"

char *tool_time_text(uint64_t seconds)
{
    g_autoptr(GDateTime) time =
        seconds <= INT64_MAX ? g_date_time_new_from_unix_utc(seconds) : NULL;

    return time ? g_date_time_format(time, "%F %T UTC") : NULL;
}

FixedRamWorkingSet *tool_set_read(const ToolFile *file, Error **errp)
{
    const FixedRamSnapshot *s = file->snapshot;

    if (s->index && s->index->set_problem) {
        error_propagate(errp, error_copy(s->index->set_problem));
        return NULL;
    }
    if (!s->index || !s->index->has_set) {
        error_setg(errp, "snapshot '%s' has no working set", s->source->name);
        return NULL;
    }
    return fixed_ram_working_set_read(s->index, s->source, errp);
}

/*
 * Verify
 */

/* What is needed to compare a packed copy with the pages. */
typedef struct SetVerify {
    const ToolFile *file;
    const FixedRamWorkingSet *set;
    uint8_t *packed;            /* a part of the copy */
    uint64_t at;                /* offset of the part in the copy */
    uint64_t length;            /* bytes of the part; 0: none yet */
    uint8_t *page;
} SetVerify;

static bool check_bit(const SetVerify *v, const FixedRamSetRun *run,
                      uint64_t page, Error **errp)
{
    const ToolBlock *block = tool_file_block(v->file, run->block);
    bool data = test_bit(page, block->data);

    if (data != run->data) {
        error_setg(errp, "snapshot '%s': damaged working set: block '%s': page "
                   "%" PRIu64 " is in the list as %s, but the bitmap says that "
                   "it %s", v->file->snapshot->source->name, block->name, page,
                   run->data ? "data" : "zero",
                   data ? "has data" : "is zero");
    }
    return data == run->data;
}

/* Have the part of the copy in memory that holds the byte at @offset. */
static bool need_part(SetVerify *v, uint64_t offset, Error **errp)
{
    if (v->length && offset >= v->at && offset < v->at + v->length) {
        return true;
    }
    v->at = ROUND_DOWN(offset, TOOL_CHUNK_BYTES);
    v->length = MIN(v->set->pack_length - v->at, TOOL_CHUNK_BYTES);
    return fixed_ram_working_set_read_pack(v->set, v->file->snapshot->source,
                                           v->at, v->length, v->packed, errp);
}

static bool check_packed(SetVerify *v, const FixedRamSetRun *run, uint64_t i,
                         Error **errp)
{
    const ToolBlock *block = tool_file_block(v->file, run->block);
    FixedRamSource *source = v->file->snapshot->source;
    uint64_t size = block->page_size;
    uint64_t offset = (run->packed + i) * size;

    if (!need_part(v, offset, errp) ||
        !fixed_ram_source_read_pages(source, v->page, size,
                                     tool_block_place(block, run->first + i),
                                     errp)) {
        return false;
    }
    if (memcmp(v->packed + (offset - v->at), v->page, size)) {
        error_setg(errp, "snapshot '%s': damaged working set: block '%s': page "
                   "%" PRIu64 " differs from its packed copy at offset 0x%"
                   PRIx64, source->name, block->name, run->first + i,
                   v->set->pack_offset + offset);
        return false;
    }
    return true;
}

static bool verify_pages(SetVerify *v, Error **errp)
{
    for (size_t i = 0; i < v->set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(v->set, i);

        for (uint64_t j = 0; j < run->pages; j++) {
            if (!check_bit(v, run, run->first + j, errp) ||
                (run->data && v->set->pack_length &&
                 !check_packed(v, run, j, errp))) {
                return false;
            }
        }
    }
    return true;
}

bool tool_set_verify(const ToolFile *file, Error **errp)
{
    g_autoptr(FixedRamWorkingSet) set = tool_set_read(file, errp);
    SetVerify v = { .file = file, .set = set };
    bool ok;

    if (!set) {
        return false;
    }
    v.packed = tool_buffer_new();
    v.page = tool_buffer_new();
    ok = verify_pages(&v, errp);
    qemu_vfree(v.page);
    qemu_vfree(v.packed);
    return ok;
}

/*
 * Copy
 */

/* The same pages in another snapshot, whose blocks may have other numbers. */
static FixedRamWorkingSet *translate(const FixedRamWorkingSet *set,
                                     const ToolFile *from, const ToolFile *to)
{
    FixedRamWorkingSet *result = fixed_ram_working_set_new(set->kind);

    result->time = set->time;
    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);
        ssize_t block = fixed_ram_ramsection_index(
            to->snapshot->ram, tool_file_block(from, run->block)->name);

        if (block >= 0) {
            fixed_ram_working_set_add(result, block, run->first, run->pages,
                                      run->data);
        }
    }
    return result;
}

bool tool_set_copy(const ToolFile *from, const ToolFile *to, bool pack,
                   Error **errp)
{
    g_autoptr(FixedRamWorkingSet) set = tool_set_read(from, errp);
    g_autoptr(FixedRamWorkingSet) translated = NULL;
    FixedRamSetOptions options = { .pack = pack };

    if (!set) {
        return false;
    }
    if (!to->snapshot->ram) {
        error_setg(errp, "snapshot '%s' cannot get a working set: it is a "
                   "plain migration stream", to->snapshot->source->name);
        return false;
    }
    translated = translate(set, from, to);
    return fixed_ram_working_set_write(to->snapshot, translated, &options,
                                       NULL, errp);
}

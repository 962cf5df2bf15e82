/*
 * fixed-ram: the space behind the stream that belongs to a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "index-set.h"
#include "space.h"

void fixed_ram_space_read(FixedRamReader *r, const FixedRamSuperblock *sb,
                          FixedRamIndexSpace *space)
{
    uint64_t at = fixed_ram_reader_offset(r);
    SpaceFields fields;
    uint64_t end;

    fixed_ram_reader_get(r, &fields, sizeof(fields));
    space->offset = le64_to_cpu(fields.offset);
    space->length = le64_to_cpu(fields.length);
    if (uadd64_overflow(space->offset, space->length, &end) ||
        space->offset < sb->stream_end || end > r->source->size ||
        fields.zero) {
        fixed_ram_reader_fail(r, at, "the snapshot's space, 0x%" PRIx64
                              " bytes at offset 0x%" PRIx64 ", does not lie "
                              "between the stream's end and the file's",
                              space->length, space->offset);
    }
}

static void add_part(GArray *parts, uint64_t offset, uint64_t length)
{
    FixedRamIndexSpace part = { .offset = offset, .length = length };

    g_array_append_val(parts, part);
}

static gint compare_parts(gconstpointer a, gconstpointer b)
{
    const FixedRamIndexSpace *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* All that sections refer to, and the index itself, in ascending order. */
static GArray *used_parts(const FixedRamIndex *index,
                          const FixedRamSuperblock *sb)
{
    GArray *parts = g_array_new(false, false, sizeof(FixedRamIndexSpace));

    add_part(parts, sb->index_offset, sb->index_length);
    if (index->has_sums) {
        add_part(parts, index->table.offset, index->table.length);
    }
    if (index->layers) {
        add_part(parts, index->layers->map_offset, index->layers->map_length);
    }
    if (index->has_set) {
        add_part(parts, index->set.list_offset,
                 fixed_ram_index_set_list_bytes(&index->set));
        add_part(parts, index->set.pack_offset, index->set.pack_length);
    }
    g_array_sort(parts, compare_parts);
    return parts;
}

GArray *fixed_ram_space_free(const FixedRamIndex *index,
                             const FixedRamSuperblock *sb)
{
    g_autoptr(GArray) used = used_parts(index, sb);
    GArray *free = g_array_new(false, false, sizeof(FixedRamIndexSpace));
    uint64_t from = index->space.offset;
    uint64_t end = fixed_ram_space_end(&index->space);

    if (index->has_unknown || index->set_problem) {
        return free;
    }
    for (size_t i = 0; i < used->len; i++) {
        const FixedRamIndexSpace *part = &g_array_index(used,
                                                        FixedRamIndexSpace, i);
        uint64_t to = MIN(part->offset, end);

        if (from < to) {
            add_part(free, from, to - from);
        }
        from = MAX(from, fixed_ram_space_end(part));
    }
    if (from < end) {
        add_part(free, from, end - from);
    }
    return free;
}

uint64_t fixed_ram_space_used_end(const FixedRamIndex *index,
                                  const FixedRamSuperblock *sb)
{
    g_autoptr(GArray) used = used_parts(index, sb);
    uint64_t end = 0;

    for (size_t i = 0; i < used->len; i++) {
        end = MAX(end, fixed_ram_space_end(&g_array_index(used,
                                                          FixedRamIndexSpace,
                                                          i)));
    }
    return end;
}

/*
 * qemu-snapshot check: damaged clusters, collected into ranges
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "damage.h"

/* Limits for a large file in which everything is bad. */
#define ERRORS_KEPT     1000
#define RANGES_SHOWN    100

static void damage_clear(void *opaque)
{
    ToolDamage *damage = opaque;

    g_free(damage->error);
}

GArray *tool_damage_new(void)
{
    GArray *list = g_array_new(false, false, sizeof(ToolDamage));

    g_array_set_clear_func(list, damage_clear);
    return list;
}

void tool_damage_add(GArray *list, ToolDamage damage)
{
    Error *error = g_steal_pointer(&damage.bad.error);

    if (error) {
        damage.error = g_strdup(list->len < ERRORS_KEPT
                                ? error_get_pretty(error)
                                : "see the messages before");
    }
    error_free(error);
    g_array_append_val(list, damage);
}

static int compare_damage(const void *a, const void *b)
{
    const ToolDamage *x = a, *y = b;

    if (x->block != y->block) {
        return x->block < y->block ? -1 : 1;
    }
    return x->bad.cluster < y->bad.cluster ? -1 : 1;
}

/* Does the next cluster lie in the same file? */
static bool same_file(const ToolFile *file, const ToolDamage *last)
{
    const ToolBlock *block = tool_file_block(file, last->block);
    uint64_t at = block->pages_offset +
                  last->bad.cluster * FIXED_RAM_CLUSTER_BYTES;

    return fixed_ram_source_part(file->snapshot->source, at,
                                 2 * FIXED_RAM_CLUSTER_BYTES).length >
           FIXED_RAM_CLUSTER_BYTES;
}

static bool is_next(const ToolFile *file, const ToolDamage *last,
                    const ToolDamage *next)
{
    return last->block == next->block &&
           last->bad.cluster + 1 == next->bad.cluster &&
           last->unreadable == next->unreadable &&
           !last->error == !next->error && same_file(file, last);
}

static FixedRamCheckRange *range_new(const ToolFile *file,
                                     const ToolDamage *d)
{
    const ToolBlock *block = tool_file_block(file, d->block);
    FixedRamSource *source = file->snapshot->source;
    FixedRamCheckRange *range = g_new0(FixedRamCheckRange, 1);
    FixedRamSourcePart part;

    range->block = g_strdup(block->name);
    range->start = d->bad.cluster * FIXED_RAM_CLUSTER_BYTES;
    part = fixed_ram_source_part(source, block->pages_offset + range->start,
                                 block->page_size);
    range->offset = part.offset;
    if (strcmp(part.source->name, source->name)) {
        range->file = g_strdup(part.source->name);
    }
    if (d->error) {
        range->error = g_strdup(d->error);
    } else {
        range->expected = g_strdup_printf("%016" PRIx64, d->bad.expected);
        range->found = g_strdup_printf("%016" PRIx64, d->bad.found);
    }
    return range;
}

static uint64_t cluster_length(const ToolFile *file, const ToolDamage *d)
{
    uint64_t at = d->bad.cluster * FIXED_RAM_CLUSTER_BYTES;

    return MIN(tool_file_block(file, d->block)->length - at,
               FIXED_RAM_CLUSTER_BYTES);
}

void tool_damage_report(GArray *list, const ToolFile *file,
                        FixedRamCheckInfo *info)
{
    FixedRamCheckRangeList **tail = &info->ranges;
    FixedRamCheckRange *range = NULL;
    const ToolDamage *last = NULL;
    unsigned shown = 0;

    g_array_sort(list, compare_damage);
    for (size_t i = 0; i < list->len; i++) {
        const ToolDamage *d = &g_array_index(list, ToolDamage, i);
        uint64_t length = cluster_length(file, d);

        *(d->unreadable ? &info->unreadable : &info->corrupt) += length;
        if (last && is_next(file, last, d)) {
            if (range) {
                range->length += length;
            }
        } else if (shown++ < RANGES_SHOWN) {
            range = range_new(file, d);
            range->length = length;
            QAPI_LIST_APPEND(tail, range);
        } else {
            range = NULL;
            info->more_ranges++;
        }
        last = d;
    }
}

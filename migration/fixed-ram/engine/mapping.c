/*
 * fixed-ram: guest memory that is a private mapping of the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "mapped-block.h"
#include "mapping.h"
#include "../trace.h"

/* Linux's default for the mappings of a process. */
#define MAX_MAP_COUNT       65530
/*
 * A cover splits the file's mapping in two, so it costs two mappings.  The
 * other half of what the host allows is for QEMU and for pages that the guest
 * gives back.
 */
#define MAPPINGS_A_COVER    2
#define SHARE_FOR_COVERS    2

size_t fixed_ram_mapping_limit(void)
{
    g_autofree char *text = NULL;
    uint64_t maximum = MAX_MAP_COUNT;

    if (g_file_get_contents("/proc/sys/vm/max_map_count", &text, NULL, NULL)) {
        maximum = g_ascii_strtoull(text, NULL, 10);
    }
    return maximum / SHARE_FOR_COVERS / MAPPINGS_A_COVER;
}

/*
 * The plan
 */

/* Are there holes in the files, which read as zeros? */
static bool is_hole(FixedRamSource *source, uint64_t offset, uint64_t length)
{
    while (length) {
        FixedRamSourcePart part = fixed_ram_source_part(source, offset,
                                                        length);

        if (fixed_ram_source_next_data(part.source, part.offset) <
            part.offset + part.length) {
            return false;
        }
        offset += part.length;
        length -= part.length;
    }
    return true;
}

/*
 * Cover runs of zero pages that are longer than @gap, and shorter ones unless
 * the file is zero there, too.  Returns false if there are more than @left.
 */
static bool plan_covers(const FixedRamBlock *block, FixedRamMappedBlock *mapped,
                        FixedRamSource *source, bool clean, uint64_t gap,
                        size_t left)
{
    uint64_t at = 0;

    g_array_set_size(mapped->covers, 0);
    while (at < block->length) {
        FixedRamRun data, zero = { .offset = at };

        if (!fixed_ram_block_next_data(block, at, block->length,
                                       clean ? gap : 0, &data)) {
            data = (FixedRamRun) { .offset = block->length };
        }
        zero.length = data.offset - at;
        if (zero.length > gap ||
            (zero.length && !clean &&
             !is_hole(source, block->pages_offset + at, zero.length))) {
            g_array_append_val(mapped->covers, zero);
        }
        at = data.offset + data.length;
        if (mapped->covers->len > left) {
            return false;
        }
    }
    return true;
}

static bool plan_block(FixedRamMapping *mapping, const FixedRamBlock *block,
                       bool clean, uint64_t gap, size_t left)
{
    FixedRamMappedBlock *mapped = &mapping->blocks[block->number];

    mapped->length = block->length;
    mapped->pages_offset = block->pages_offset;
    return plan_covers(block, mapped, mapping->source, clean, gap, left);
}

/* Returns false if there are too many covers. */
static bool plan(FixedRamMapping *mapping, const FixedRamMap *map, bool clean,
                 uint64_t gap, size_t limit)
{
    size_t covers = 0;

    for (size_t i = 0; i < mapping->count; i++) {
        if (!plan_block(mapping, fixed_ram_map_block(map, i), clean, gap,
                        limit - covers)) {
            return false;
        }
        covers += mapping->blocks[i].covers->len;
    }
    trace_fixed_ram_mapping_plan(mapping->source->name, clean, gap, covers,
                                 limit);
    return true;
}

/* The longest block: with a gap as long no zero page needs a cover. */
static uint64_t longest(const FixedRamMap *map)
{
    uint64_t length = 0;

    for (size_t i = 0; i < map->blocks->len; i++) {
        length = MAX(length, fixed_ram_map_block(map, i)->length);
    }
    return length;
}

/* Covers that merely save memory must leave room for those that are needed. */
static bool plan_to_fit(FixedRamMapping *mapping, const FixedRamMap *map,
                        bool clean, size_t limit, Error **errp)
{
    uint64_t most = longest(map);

    for (uint64_t gap = FIXED_RAM_EXTENT_BYTES; ; gap *= 2) {
        if (plan(mapping, map, clean, gap, limit)) {
            return true;
        }
        if (gap >= most) {
            break;
        }
    }
    error_setg(errp, "snapshot '%s' has old bytes in the place of zero pages, "
               "and to cover them takes more than %zu mappings; "
               "'qemu-snapshot convert' makes a copy without them",
               mapping->source->name, limit);
    return false;
}

/* @part: pages of the block that lie in one file */
static bool check_part(const FixedRamBlock *block,
                       const FixedRamSourcePart *part, Error **errp)
{
    size_t host_page = qemu_real_host_page_size();

    if (fixed_ram_source_map_fd(part->source) < 0) {
        error_setg(errp, "snapshot '%s' cannot be mapped: it is no file",
                   part->source->name);
        return false;
    }
    if (!QEMU_IS_ALIGNED(part->offset | part->length | block->page_size,
                         host_page)) {
        error_setg(errp, "snapshot '%s': block '%s' has 0x%" PRIx64 " bytes in "
                   "pages of %" PRIu64 " at offset 0x%" PRIx64 ", which the "
                   "host cannot map by its pages of %zu bytes",
                   part->source->name, block->name, part->length,
                   block->page_size, part->offset, host_page);
        return false;
    }
    return true;
}

/*
 * Each part becomes a mapping.  @left: so many more may be needed, that is one
 * less from part to part.
 */
static bool check_block(const FixedRamBlock *block, FixedRamSource *source,
                        size_t *left, Error **errp)
{
    uint64_t at = 0;

    while (at < block->length) {
        FixedRamSourcePart part =
            fixed_ram_source_part(source, block->pages_offset + at,
                                  block->length - at);

        if (!check_part(block, &part, errp)) {
            return false;
        }
        at += part.length;
        if (at < block->length && !(*left)--) {
            error_setg(errp, "snapshot '%s' has the pages of block '%s' in too "
                       "many pieces of several files to map them; "
                       "'qemu-snapshot merge' makes a snapshot of one file",
                       source->name, block->name);
            return false;
        }
    }
    return true;
}

FixedRamMapping *fixed_ram_mapping_new(const FixedRamMap *map,
                                       FixedRamSource *source, bool clean,
                                       size_t limit, Error **errp)
{
    g_autoptr(FixedRamMapping) mapping = g_new0(FixedRamMapping, 1);

    mapping->source = fixed_ram_source_ref(source);
    mapping->count = map->blocks->len;
    mapping->blocks = g_new0(FixedRamMappedBlock, mapping->count);
    for (size_t i = 0; i < mapping->count; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);

        mapping->blocks[i].name = g_strdup(block->name);
        mapping->blocks[i].covers = g_array_new(false, false,
                                                sizeof(FixedRamRun));
        if (!check_block(block, source, &limit, errp)) {
            return NULL;
        }
    }
    return plan_to_fit(mapping, map, clean, limit, errp)
           ? g_steal_pointer(&mapping) : NULL;
}

/*
 * Memory
 */

bool fixed_ram_mapping_apply(FixedRamMapping *mapping, size_t i, void *host,
                             bool reserve, const FixedRamMappingAdvice *advice,
                             Error **errp)
{
    FixedRamMappedBlock *block = &mapping->blocks[i];
    int ret;

    block->host = host;
    block->reserve = reserve;
    block->advice = *advice;
    fixed_ram_mapped_block_keep_policy(block);
    ret = fixed_ram_mapped_block_map(block, mapping->source);
    if (ret) {
        error_setg_errno(errp, -ret, "snapshot '%s': block '%s': cannot map "
                         "0x%" PRIx64 " bytes at offset 0x%" PRIx64,
                         mapping->source->name, block->name, block->length,
                         block->pages_offset);
        return false;
    }
    fixed_ram_mapped_block_advise(block, block->host, block->length);
    return true;
}

void fixed_ram_mapping_expect(const FixedRamMapping *mapping, bool in_order)
{
    for (size_t i = 0; i < mapping->count; i++) {
        if (mapping->blocks[i].host) {
            fixed_ram_mapped_block_expect(&mapping->blocks[i], in_order);
        }
    }
}

static FixedRamMappedBlock *find_block(const FixedRamMapping *mapping,
                               const uint8_t *host, size_t length)
{
    for (size_t i = 0; i < mapping->count; i++) {
        FixedRamMappedBlock *block = &mapping->blocks[i];

        if (block->host && host < block->host + block->length &&
            host + length > block->host) {
            return block;
        }
    }
    return NULL;
}

bool fixed_ram_mapping_has(const FixedRamMapping *mapping, const void *host,
                           size_t length)
{
    return find_block(mapping, host, length);
}

static void set_replaced(FixedRamMappedBlock *block, const uint8_t *host,
                         size_t length)
{
    size_t page = qemu_real_host_page_size();

    if (!block->replaced) {
        block->replaced = bitmap_new(block->length / page);
    }
    bitmap_set(block->replaced, (host - block->host) / page, length / page);
}

void fixed_ram_mapping_replaced(FixedRamMapping *mapping, const void *host,
                                size_t length)
{
    FixedRamMappedBlock *block = find_block(mapping, host, length);

    if (block) {
        set_replaced(block, host, length);
    }
}

int fixed_ram_mapping_discard(FixedRamMapping *mapping, void *host,
                              size_t length)
{
    FixedRamMappedBlock *block = find_block(mapping, host, length);
    int ret = fixed_ram_mapped_block_cover(block, host, length);

    if (!ret) {
        set_replaced(block, host, length);
        fixed_ram_mapped_block_advise(block, host, length);
    } else if (ret == -ENOMEM) {
        memset(host, 0, length);
    }
    trace_fixed_ram_mapping_discard(block->name, (uint8_t *)host - block->host,
                                    length, -ret);
    return ret == -ENOMEM ? 0 : ret;
}

uint64_t fixed_ram_mapping_length(const FixedRamMapping *mapping,
                                  const char *name, const void *host)
{
    const FixedRamMappedBlock *block = find_block(mapping, host, 1);

    return block && block->host == host && g_str_equal(block->name, name)
           ? block->length : 0;
}

const char *fixed_ram_mapping_unplugged(const FixedRamMapping *mapping)
{
    for (size_t i = 0; i < mapping->count; i++) {
        if (!mapping->blocks[i].host) {
            return mapping->blocks[i].name;
        }
    }
    return NULL;
}

void fixed_ram_mapping_forget(FixedRamMapping *mapping, const void *host)
{
    FixedRamMappedBlock *block = find_block(mapping, host, 1);

    if (block) {
        block->host = NULL;
        fixed_ram_mapped_block_drop_policy(block);
        g_free(g_steal_pointer(&block->replaced));
    }
}

void fixed_ram_mapping_free(FixedRamMapping *mapping)
{
    if (!mapping) {
        return;
    }
    for (size_t i = 0; i < mapping->count; i++) {
        g_free(mapping->blocks[i].name);
        g_array_unref(mapping->blocks[i].covers);
        fixed_ram_mapped_block_drop_policy(&mapping->blocks[i]);
        g_free(mapping->blocks[i].replaced);
    }
    fixed_ram_source_unref(mapping->source);
    g_free(mapping->blocks);
    g_free(mapping);
}

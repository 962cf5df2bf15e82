/*
 * fixed-ram: the index: its struct, and from the struct to bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "index.h"
#include "index-layers.h"
#include "index-options.h"
#include "index-set.h"
#include "sums.h"
#include "../util/bytes.h"

FixedRamIndex *fixed_ram_index_new(void)
{
    FixedRamIndex *index = g_new0(FixedRamIndex, 1);

    index->blocks = g_array_new(false, true, sizeof(FixedRamIndexBlock));
    index->table.chunk_sums = g_array_new(false, false, sizeof(uint64_t));
    return index;
}

void fixed_ram_index_free(FixedRamIndex *index)
{
    if (index) {
        g_free(index->machine.type);
        g_free(index->machine.version);
        g_free(index->machine.name);
        fixed_ram_index_options_free(index->options);
        fixed_ram_index_layers_free(index->layers);
        g_array_unref(index->blocks);
        g_array_unref(index->table.chunk_sums);
        error_free(index->set_problem);
        g_free(index);
    }
}

/* Readers expect UTF-8 without a zero byte, of limited length. */
static void put_string(GByteArray *out, const char *string)
{
    g_autofree char *text = g_utf8_make_valid(string ?: "", -1);
    const char *end = text + strlen(text);

    if (end - text > INDEX_STRING_MAX) {
        /* Do not cut a character in the middle. */
        end = g_utf8_find_prev_char(text, text + INDEX_STRING_MAX + 1);
    }
    fixed_ram_bytes_put_le32(out, end - text);
    fixed_ram_bytes_put(out, text, end - text);
}

/* Returns the position of the section's header, for end_section(). */
static guint begin_section(GByteArray *out, SectionType type, uint32_t flags)
{
    guint at = out->len;
    SectionHeader header = {
        .type = cpu_to_le32(type),
        .flags = cpu_to_le32(flags),
    };

    fixed_ram_bytes_put(out, &header, sizeof(header));
    return at;
}

static void end_section(GByteArray *out, guint at)
{
    SectionHeader *header = (SectionHeader *)(out->data + at);

    header->length = cpu_to_le64(out->len - at - sizeof(*header));
    fixed_ram_bytes_pad(out, INDEX_PADDING);
}

static void put_machine(GByteArray *out, const FixedRamIndexMachine *machine)
{
    guint at = begin_section(out, SECTION_MACHINE, 0);
    MachineFields fields = {
        .time = cpu_to_le64(machine->time),
        .ram_bytes = cpu_to_le64(machine->ram_bytes),
    };

    memcpy(fields.uuid, machine->uuid, sizeof(fields.uuid));
    fixed_ram_bytes_put(out, &fields, sizeof(fields));
    put_string(out, machine->type);
    put_string(out, machine->version);
    put_string(out, machine->name);
    end_section(out, at);
}

static void put_block(GByteArray *out, const FixedRamIndexBlock *block)
{
    BlockFields fields = {
        .length = cpu_to_le64(block->length),
        .page_size = cpu_to_le64(block->page_size),
        .bitmap_offset = cpu_to_le64(block->bitmap_offset),
        .pages_offset = cpu_to_le64(block->pages_offset),
        .pages = cpu_to_le64(block->pages),
        .name_length = cpu_to_le32(strlen(block->name)),
    };

    fixed_ram_bytes_put(out, &fields, sizeof(fields));
    fixed_ram_bytes_put(out, block->name, strlen(block->name));
    fixed_ram_bytes_pad(out, INDEX_PADDING);
}

static void put_block_list(GByteArray *out, const FixedRamIndex *index)
{
    fixed_ram_bytes_put_le32(out, index->blocks->len);
    fixed_ram_bytes_put_le32(out, 0);
    for (size_t i = 0; i < index->blocks->len; i++) {
        put_block(out, fixed_ram_index_block(index, i));
    }
}

static void put_blocks(GByteArray *out, const FixedRamIndex *index)
{
    guint at = begin_section(out, SECTION_BLOCKS, SECTION_REQUIRED);

    put_block_list(out, index);
    end_section(out, at);
}

static void put_part(GByteArray *out, uint32_t kind,
                     const FixedRamIndexPart *part, bool has_sums)
{
    PartFields fields = {
        .kind = cpu_to_le32(kind),
        .offset = cpu_to_le64(part->offset),
        .length = cpu_to_le64(part->length),
        .sum = cpu_to_le64(has_sums ? part->sum : 0),
    };

    fixed_ram_bytes_put(out, &fields, sizeof(fields));
}

static void put_stream(GByteArray *out, const FixedRamIndex *index)
{
    guint at = begin_section(out, SECTION_STREAM, SECTION_REQUIRED);

    fixed_ram_bytes_put_le32(out, 2);
    fixed_ram_bytes_put_le32(out, 0);
    put_part(out, PART_HEAD, &index->head, index->has_sums);
    put_part(out, PART_TAIL, &index->tail, index->has_sums);
    end_section(out, at);
}

/* The sums of bitmaps and of chunks, and the key of those of clusters. */
static void put_sum_list(GByteArray *out, const FixedRamIndex *index)
{
    const GArray *chunks = index->table.chunk_sums;

    fixed_ram_bytes_put_le64(out, index->blocks->len);
    for (size_t i = 0; i < index->blocks->len; i++) {
        fixed_ram_bytes_put_le64(out,
                                 fixed_ram_index_block(index, i)->bitmap_sum);
    }
    fixed_ram_bytes_put_le64(out, chunks->len);
    for (size_t i = 0; i < chunks->len; i++) {
        fixed_ram_bytes_put_le64(out, g_array_index(chunks, uint64_t, i));
    }
    if (index->table.key) {
        fixed_ram_bytes_put_le64(out, index->table.key);
    }
}

static void put_sums(GByteArray *out, const FixedRamIndex *index)
{
    const FixedRamIndexTable *table = &index->table;
    guint at = begin_section(out, SECTION_SUMS, 0);
    SumsFields fields = {
        .algorithm = cpu_to_le32(table->key ? SUMS_KEYED_XXH3_64
                                            : SUMS_XXH3_64),
        .cluster_bytes = cpu_to_le32(FIXED_RAM_CLUSTER_BYTES),
        .chunk_bytes = cpu_to_le32(FIXED_RAM_CHUNK_BYTES),
        .table_offset = cpu_to_le64(table->offset),
        .table_length = cpu_to_le64(table->length),
    };

    fixed_ram_bytes_put(out, &fields, sizeof(fields));
    put_sum_list(out, index);
    end_section(out, at);
}

void fixed_ram_index_choose_key(FixedRamIndex *index, const FixedRamIndex *base)
{
    index->table.key = base ? base->table.key : (ldq_le_p(index->id) ?: 1);
}

uint64_t fixed_ram_index_digest(const FixedRamIndex *index)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    put_block_list(bytes, index);
    put_sum_list(bytes, index);
    return fixed_ram_sums_get(bytes->data, bytes->len);
}

static void put_layers(GByteArray *out, const FixedRamIndexLayers *layers)
{
    guint at = begin_section(out, SECTION_LAYERS, SECTION_REQUIRED);

    fixed_ram_index_layers_encode(layers, out);
    end_section(out, at);
}

static void put_set(GByteArray *out, const FixedRamIndexSet *set)
{
    guint at = begin_section(out, SECTION_WORKING_SET, 0);
    SetFields fields;

    fixed_ram_index_set_encode(set, &fields);
    fixed_ram_bytes_put(out, &fields, sizeof(fields));
    end_section(out, at);
}

static void put_options(GByteArray *out, const FixedRamIndexOptions *options)
{
    guint at = begin_section(out, SECTION_OPTIONS, 0);

    fixed_ram_index_options_encode(options, out);
    end_section(out, at);
}

static void put_clean(GByteArray *out)
{
    end_section(out, begin_section(out, SECTION_CLEAN, 0));
}

GByteArray *fixed_ram_index_encode(const FixedRamIndex *index)
{
    GByteArray *out = g_byte_array_new();
    IndexHeader header = {
        .version = cpu_to_le32(INDEX_VERSION),
        .sections = cpu_to_le32(2 + index->has_machine + index->has_sums +
                                index->has_set + index->clean +
                                !!index->options + !!index->layers),
    };

    memcpy(header.magic, INDEX_MAGIC, sizeof(header.magic));
    memcpy(header.id, index->id, sizeof(header.id));
    fixed_ram_bytes_put(out, &header, sizeof(header));
    if (index->has_machine) {
        put_machine(out, &index->machine);
    }
    put_blocks(out, index);
    put_stream(out, index);
    if (index->has_sums) {
        put_sums(out, index);
    }
    if (index->layers) {
        put_layers(out, index->layers);
    }
    if (index->has_set) {
        put_set(out, &index->set);
    }
    if (index->clean) {
        put_clean(out);
    }
    if (index->options) {
        put_options(out, index->options);
    }
    return out;
}

/*
 * fixed-ram: what holds for every superblock and index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* docs/interop/fixed-ram.rst */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/format/index-layers.h"
#include "check-index.h"
#include "check-set.h"

#define SUPERBLOCK      4096

enum {
    MACHINE = 1, BLOCKS, STREAM, SUMS, LAYERS, WORKING_SET, SPACE = 8, CLEAN,
    OPTIONS, SECTIONS
};

typedef struct Section {
    uint64_t at;                /* of the payload in the file; 0: none */
    uint64_t length;
} Section;

uint32_t check_crc32c(const uint8_t *bytes, size_t length)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < length * 8; i++) {
        uint32_t bit = crc ^ bytes[i / 8] >> i % 8;

        crc = crc >> 1 ^ (bit & 1 ? 0x82f63b78 : 0);
    }
    return crc ^ 0xffffffff;
}

static uint32_t file_crc(const Decoded *d, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *bytes = decoded_bytes(d, offset, length);

    return check_crc32c(bytes, length);
}

static uint64_t file_sum(const Decoded *d, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *bytes = decoded_bytes(d, offset, length);

    return fixed_ram_sums_get(bytes, length);
}

static uint64_t bitmap_bytes(const DecodedBlock *b)
{
    return DIV_ROUND_UP(b->length / INPUT_PAGE, 64) * 8;
}

/*
 * Superblock
 */

static void check_fields(const FixedRamSuperblock *sb, const Decoded *d,
                         uint64_t at)
{
    g_autofree uint8_t *bytes = decoded_bytes(d, at, SUPERBLOCK);

    g_assert(!memcmp(bytes, "QEMUFXRM\1\0\0", 12));
    g_assert(!memcmp(bytes + 16, sb->id, 16));
    g_assert(buffer_is_zero(bytes + 68, 4092 - 68));
    g_assert_cmphex(check_crc32c(bytes, 4092), ==, decoded_le(d, at + 4092, 4));
    g_assert_cmpuint(sb->start, ==, decoded_le(d, at + 32, 8));
    g_assert_cmpuint(sb->start, ==, d->in->start);
    g_assert_cmpuint(sb->stream_end, ==, decoded_le(d, at + 40, 8));
    g_assert_cmpuint(sb->index_offset, ==, decoded_le(d, at + 48, 8));
    g_assert_cmpuint(sb->index_length, ==, decoded_le(d, at + 56, 8));
    g_assert_cmphex(sb->index_crc, ==, decoded_le(d, at + 64, 4));
}

void check_superblock(const FixedRamSuperblock *sb, const Decoded *d)
{
    const DecodedBlock *first = decoded_block(d, 0);
    uint64_t at = first->pages - SUPERBLOCK;
    bool room = first->pages - (first->bitmap + bitmap_bytes(first)) >=
                SUPERBLOCK;

    if (sb->state == FIXED_RAM_PLAIN) {
        g_autofree uint8_t *bytes = room ? decoded_bytes(d, at, SUPERBLOCK)
                                         : NULL;

        g_assert(!room || buffer_is_zero(bytes, SUPERBLOCK));
        return;
    }
    g_assert(room);
    check_fields(sb, d, at);
    if (sb->state == FIXED_RAM_BEING_WRITTEN) {
        g_assert_cmpuint(decoded_le(d, at + 12, 4), ==, 1);
        g_assert(!sb->stream_end && !sb->index_offset && !sb->index_length &&
                 !sb->index_crc);
        return;
    }
    g_assert_cmpint(sb->state, ==, FIXED_RAM_COMPLETE);
    g_assert_cmpuint(decoded_le(d, at + 12, 4), ==, 2);
    g_assert_cmpuint(sb->stream_end, >, d->ram_end);
    g_assert_cmpuint(sb->index_offset, >=, sb->stream_end);
    g_assert_cmpuint(sb->index_offset % 4096, ==, 0);
    g_assert_cmpuint(sb->index_length, >=, 32);
    g_assert_cmpuint(sb->index_length, <=, 16 * MiB);
    g_assert_cmpuint(sb->index_length, <=, d->in->size - sb->index_offset);
}

/*
 * Index
 */

static void check_header(const FixedRamSuperblock *sb, const Decoded *d)
{
    g_autofree uint8_t *bytes = decoded_bytes(d, sb->index_offset, 32);

    g_assert(!memcmp(bytes, "QFXRINDX\1\0\0", 12));
    g_assert(!memcmp(bytes + 16, sb->id, 16));
}

static bool known(uint32_t type)
{
    return (type >= MACHINE && type <= WORKING_SET) ||
           type == SPACE || type == CLEAN || type == OPTIONS;
}

static void find_sections(const FixedRamSuperblock *sb, const Decoded *d,
                          Section sections[SECTIONS])
{
    uint64_t pos = sb->index_offset + 32;

    for (uint64_t n = decoded_le(d, sb->index_offset + 12, 4); n; n--) {
        uint32_t type = decoded_le(d, pos, 4);
        uint32_t flags = decoded_le(d, pos + 4, 4);
        uint64_t length = decoded_le(d, pos + 8, 8);

        g_assert(type);
        g_assert(!(flags & ~1) && (known(type) || !flags));
        pos += 16;
        if (known(type)) {
            g_assert(!sections[type].at);
            sections[type] = (Section) { .at = pos, .length = length };
        }
        pos += ROUND_UP(length, 8);
    }
    g_assert_cmpuint(pos, ==, sb->index_offset + sb->index_length);
}

/* Returns the offset of the next one. */
static uint64_t check_string(const Decoded *d, uint64_t at, const char *string)
{
    uint64_t length = decoded_le(d, at, 4);
    g_autofree uint8_t *bytes = decoded_bytes(d, at + 4, length);

    g_assert_cmpuint(length, <=, 4096);
    g_assert_cmpuint(strlen(string), ==, length);
    g_assert(!memcmp(bytes, string, length));
    g_assert(g_utf8_validate(string, -1, NULL));
    return at + 4 + length;
}

static void check_machine(const FixedRamIndexMachine *m, const Decoded *d,
                          const Section *section)
{
    uint64_t end;

    if (!section->at) {
        g_assert(!*m->type && !*m->version && !*m->name);
        return;
    }
    g_assert_cmpuint(m->time, ==, decoded_le(d, section->at, 8));
    g_assert_cmpuint(m->ram_bytes, ==, decoded_le(d, section->at + 8, 8));
    end = check_string(d, section->at + 32, m->type);
    end = check_string(d, end, m->version);
    end = check_string(d, end, m->name);
    g_assert_cmpuint(end, ==, section->at + section->length);
}

static void check_blocks(const FixedRamIndex *index, const Decoded *d,
                         const Section *section)
{
    uint64_t at = section->at + 8, first_cluster = 0;

    g_assert_cmpuint(decoded_le(d, section->at, 8), ==, d->blocks->len);
    g_assert_cmpuint(index->blocks->len, ==, d->blocks->len);
    for (size_t i = 0; i < d->blocks->len; i++) {
        const FixedRamIndexBlock *block = fixed_ram_index_block(index, i);
        const DecodedBlock *b = decoded_block(d, i);

        g_assert_cmpstr(block->name, ==, b->name);
        g_assert_cmpuint(block->length, ==, b->length);
        g_assert_cmpuint(block->page_size, ==, b->page_size);
        g_assert_cmpuint(block->bitmap_offset, ==, b->bitmap);
        g_assert_cmpuint(block->pages_offset, ==, b->pages);
        g_assert_cmpuint(block->pages, ==, decoded_le(d, at + 32, 8));
        g_assert_cmpuint(block->pages, <=, b->length / INPUT_PAGE);
        g_assert_cmpuint(block->first_cluster, ==, first_cluster);
        first_cluster += DIV_ROUND_UP(b->length, 64 * KiB);
        at = ROUND_UP(check_string(d, at + 40, b->name), 8);
    }
    g_assert_cmpuint(at, ==, section->at + section->length);
}

static void check_part(const FixedRamIndexPart *part, const Decoded *d,
                       uint64_t at, uint64_t from, uint64_t to)
{
    g_assert_cmpuint(decoded_le(d, at + 8, 8), ==, from);
    g_assert_cmpuint(part->offset, ==, from);
    g_assert_cmpuint(part->length, ==, to - from);
    g_assert_cmphex(part->sum, ==, decoded_le(d, at + 24, 8));
}

static void check_sums(const FixedRamIndex *index,
                       const FixedRamSuperblock *sb, const Decoded *d,
                       const Section *section)
{
    const FixedRamIndexTable *table = &index->table;
    uint64_t clusters = 0, end = table->offset + table->length;
    uint64_t chunks = section->at + 40 + d->blocks->len * 8;

    g_assert_cmphex(decoded_le(d, section->at, 8), ==,
                    64ULL * KiB << 32 | (table->key ? 2 : 1));
    g_assert_cmphex(decoded_le(d, section->at + 8, 8), ==, 4096);
    g_assert_cmpuint(table->offset, ==, decoded_le(d, section->at + 16, 8));
    g_assert_cmpuint(table->length, ==, decoded_le(d, section->at + 24, 8));
    g_assert_cmpuint(d->blocks->len, ==, decoded_le(d, section->at + 32, 8));
    for (size_t i = 0; i < d->blocks->len; i++) {
        clusters += DIV_ROUND_UP(decoded_block(d, i)->length, 64 * KiB);
        g_assert_cmphex(fixed_ram_index_block(index, i)->bitmap_sum, ==,
                        decoded_le(d, section->at + 40 + i * 8, 8));
    }
    g_assert_cmpuint(table->length, ==, clusters * 8);
    g_assert_cmpuint(table->offset % 8, ==, 0);
    g_assert_cmpuint(table->offset, >=, sb->stream_end);
    g_assert_cmpuint(end, >, table->offset);
    g_assert_cmpuint(end, <=, d->in->size);
    g_assert(end <= sb->index_offset ||
             table->offset >= sb->index_offset + sb->index_length);
    g_assert_cmpuint(table->chunk_sums->len, ==, decoded_le(d, chunks, 8));
    g_assert_cmpuint(table->chunk_sums->len, ==,
                     DIV_ROUND_UP(table->length, 4096));
    if (table->key) {
        g_assert_cmphex(table->key, ==,
                        decoded_le(d, chunks + 8 + table->chunk_sums->len * 8,
                                   8));
    }
    g_assert_cmpuint(chunks + 8 + (table->chunk_sums->len + !!table->key) * 8,
                     ==, section->at + section->length);
}

static void check_layers(const FixedRamIndexLayers *layers,
                         const FixedRamIndex *index,
                         const FixedRamSuperblock *sb, const Decoded *d,
                         const Section *section)
{
    uint64_t at = section->at + 32, end = layers->map_offset +
                                          layers->map_length;

    g_assert_cmpuint(decoded_le(d, section->at, 8), ==, layers->list->len);
    g_assert(layers->list->len && layers->list->len <= 64);
    g_assert_cmpuint(layers->map_offset, ==, decoded_le(d, section->at + 8, 8));
    g_assert_cmphex(layers->map_sum, ==, decoded_le(d, section->at + 24, 8));
    g_assert_cmpuint(layers->map_length * 8, ==, index->table.length);
    g_assert_cmpuint(layers->map_offset, >=, sb->stream_end);
    g_assert_cmpuint(end, >, layers->map_offset);
    g_assert_cmpuint(end, <=, d->in->size);
    for (size_t i = 1; i <= layers->list->len; i++) {
        const FixedRamIndexLayer *layer = fixed_ram_index_layer(layers, i);

        g_assert_cmphex(layer->digest, ==, decoded_le(d, at + 16, 8));
        g_assert_cmpuint(layer->start, ==, decoded_le(d, at + 24, 8));
        g_assert(*layer->path && memcmp(layer->id, sb->id, sizeof(sb->id)));
        at = ROUND_UP(check_string(d, at + 32, layer->path), 8);
    }
    g_assert_cmpuint(at, ==, section->at + section->length);
}

/* Damage to it is no failure: it is as if there were none. */
static void check_space(const FixedRamIndexSpace *space,
                        const FixedRamSuperblock *sb, const Decoded *d,
                        const Section *section)
{
    if (!space->offset && !space->length) {
        return;
    }
    g_assert_cmpuint(section->length, ==, 24);
    g_assert_cmpuint(space->offset, ==, decoded_le(d, section->at, 8));
    g_assert_cmpuint(space->length, ==, decoded_le(d, section->at + 8, 8));
    g_assert_cmpuint(space->offset, >=, sb->stream_end);
    g_assert_cmpuint(space->offset, <=, d->in->size);
    g_assert_cmpuint(space->length, <=, d->in->size - space->offset);
}

/* Returns the offset of the next one. */
static uint64_t check_text(const Decoded *d, uint64_t at, const char *text)
{
    uint64_t length = decoded_le(d, at, 4);
    g_autofree uint8_t *bytes = decoded_bytes(d, at + 4, length);

    g_assert_cmpuint(length, <=, 131072);
    g_assert_cmpuint(strlen(text), ==, length);
    g_assert(!memcmp(bytes, text, length));
    return at + 4 + length;
}

static void check_options(const FixedRamIndexOptions *options, const Decoded *d,
                          const Section *section)
{
    uint64_t at = check_text(d, section->at + 8, options->program);

    g_assert_cmpuint(decoded_le(d, section->at, 4), ==, options->list->len);
    g_assert_cmpuint(decoded_le(d, section->at + 4, 4), ==,
                     options->changed + 2 * options->left_out);
    for (size_t i = 0; i < options->list->len; i++) {
        const FixedRamIndexOption *option =
            g_ptr_array_index(options->list, i);

        g_assert_cmpuint(decoded_le(d, at, 4), ==, !!option->argument);
        at = check_text(d, at + 4, option->name);
        at = option->argument ? check_text(d, at, option->argument) : at;
    }
    g_assert_cmpuint(at, ==, section->at + section->length);
}

void check_index(const FixedRamIndex *index, const FixedRamSuperblock *sb,
                 const Decoded *d)
{
    Section sections[SECTIONS] = { };

    g_assert_cmphex(file_crc(d, sb->index_offset, sb->index_length), ==,
                    sb->index_crc);
    check_header(sb, d);
    find_sections(sb, d, sections);
    g_assert(!memcmp(index->id, sb->id, sizeof(index->id)));
    g_assert_cmpint(index->has_machine, ==, !!sections[MACHINE].at);
    check_machine(&index->machine, d, &sections[MACHINE]);
    check_blocks(index, d, &sections[BLOCKS]);
    check_part(&index->head, d, sections[STREAM].at + 8, d->in->start,
               decoded_block(d, 0)->bitmap);
    check_part(&index->tail, d, sections[STREAM].at + 40, d->ram_end,
               sb->stream_end);
    g_assert_cmpint(index->clean, ==, !!sections[CLEAN].at);
    g_assert(!index->clean || !sections[CLEAN].length);
    g_assert_cmpint(index->has_sums, ==, !!sections[SUMS].at);
    if (index->has_sums) {
        check_sums(index, sb, d, &sections[SUMS]);
    } else {
        g_assert(!index->head.sum && !index->tail.sum);
    }
    g_assert_cmpint(index->has_set || index->set_problem, ==,
                    !!sections[WORKING_SET].at);
    if (index->has_set) {
        check_set_section(index, sb, d, sections[WORKING_SET].at,
                          sections[WORKING_SET].length);
    }
    g_assert_cmpint(!!index->layers, ==, !!sections[LAYERS].at);
    if (index->layers) {
        check_layers(index->layers, index, sb, d, &sections[LAYERS]);
    }
    check_space(&index->space, sb, d, &sections[SPACE]);
    g_assert_cmpint(!!index->options, ==, !!sections[OPTIONS].at);
    if (index->options) {
        check_options(index->options, d, &sections[OPTIONS]);
    }
}

/*
 * Sums
 */

void check_verified(const FixedRamIndex *index, const Decoded *d)
{
    if (!index->has_sums || !fixed_ram_sums_built()) {
        return;
    }
    g_assert_cmphex(file_sum(d, index->head.offset, index->head.length), ==,
                    index->head.sum);
    g_assert_cmphex(file_sum(d, index->tail.offset, index->tail.length), ==,
                    index->tail.sum);
    for (size_t i = 0; i < d->blocks->len; i++) {
        const FixedRamIndexBlock *block = fixed_ram_index_block(index, i);
        const DecodedBlock *b = decoded_block(d, i);
        uint64_t held = 0;

        for (uint64_t page = 0; page < bitmap_bytes(b) * 8; page++) {
            held += decoded_bit(d, b, page);
        }
        g_assert_cmpuint(held, ==, block->pages);
        g_assert_cmphex(file_sum(d, b->bitmap, bitmap_bytes(b)), ==,
                        block->bitmap_sum);
    }
}

void check_table_sum(const FixedRamIndex *index, const Decoded *d,
                     uint64_t cluster, uint64_t sum)
{
    const FixedRamIndexTable *table = &index->table;
    uint64_t chunk = cluster * 8 / 4096;
    uint64_t length = MIN(table->length - chunk * 4096, 4096);

    g_assert_cmphex(sum, ==, decoded_le(d, table->offset + cluster * 8, 8));
    g_assert_cmphex(file_sum(d, table->offset + chunk * 4096, length), ==,
                    g_array_index(table->chunk_sums, uint64_t, chunk));
}

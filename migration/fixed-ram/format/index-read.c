/*
 * fixed-ram: the index, from bytes to checked structs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qapi/error.h"
#include "index.h"
#include "index-layers.h"
#include "index-options.h"
#include "index-set.h"
#include "space.h"
#include "sums.h"

/* The payload of one section. */
typedef struct Section {
    uint64_t at;                /* offset in the file; 0: not in the index */
    uint64_t length;
} Section;

/* What is needed to parse one index. */
typedef struct IndexParser {
    FixedRamReader *r;          /* its buffer holds all of the index */
    const FixedRamRamSection *ram;
    const FixedRamSuperblock *sb;
    Section sections[SECTION_TYPES];    /* those that are known */
} IndexParser;

/* Fields and sections begin at multiples of INDEX_PADDING. */
QEMU_BUILD_BUG_ON(INDEX_ALIGNMENT % INDEX_PADDING);

/*
 * Sections
 */

/* One type is reserved. */
static bool is_known(uint32_t type)
{
    return type && type < SECTION_TYPES && type != SECTION_ENCRYPTION;
}

static void check_section(IndexParser *p, uint64_t offset, uint32_t type,
                          uint32_t flags)
{
    FixedRamReader *r = p->r;

    if (flags & ~SECTION_REQUIRED) {
        fixed_ram_reader_fail_unknown(r, offset, "section type %" PRIu32 " has "
                                      "the unknown flags 0x%" PRIx32, type,
                                      flags & ~SECTION_REQUIRED);
    }
    if (!type) {
        fixed_ram_reader_fail(r, offset, "found a section of type 0");
    }
    if (!is_known(type) && flags & SECTION_REQUIRED) {
        fixed_ram_reader_fail_unknown(r, offset, "section type %" PRIu32 " is "
                                      "not known to this version, and the "
                                      "snapshot cannot be loaded without it",
                                      type);
    }
    if (is_known(type) && p->sections[type].at) {
        fixed_ram_reader_fail(r, offset, "section type %" PRIu32 " is there "
                              "twice", type);
    }
}

static void read_section_header(IndexParser *p, FixedRamIndex *index)
{
    FixedRamReader *r = p->r;
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t type = fixed_ram_reader_le32(r);
    uint32_t flags = fixed_ram_reader_le32(r);
    uint64_t length = fixed_ram_reader_le64(r);

    QEMU_BUILD_BUG_ON(offsetof(SectionHeader, flags) != 4);
    QEMU_BUILD_BUG_ON(offsetof(SectionHeader, length) != 8);
    check_section(p, offset, type, flags);
    if (!r->error && is_known(type)) {
        p->sections[type] = (Section) {
            .at = fixed_ram_reader_offset(r), .length = length,
        };
    }
    index->has_unknown = index->has_unknown || !is_known(type);
    fixed_ram_reader_skip(r, length);
    fixed_ram_reader_padding(r, INDEX_PADDING);
}

/* Find all sections; their contents are parsed later. */
static void read_header(IndexParser *p, FixedRamIndex *index)
{
    FixedRamReader *r = p->r;
    uint64_t start = fixed_ram_reader_offset(r);
    IndexHeader header;
    uint32_t version, sections;

    fixed_ram_reader_get(r, &header, sizeof(header));
    version = le32_to_cpu(header.version);
    sections = le32_to_cpu(header.sections);
    if (memcmp(header.magic, INDEX_MAGIC, sizeof(header.magic))) {
        fixed_ram_reader_fail(r, start, "it does not begin with '%s'",
                              INDEX_MAGIC);
    }
    if (version != INDEX_VERSION) {
        fixed_ram_reader_fail_unknown(r, start + offsetof(IndexHeader, version),
                                      "it has version %" PRIu32 ", expected %d",
                                      version, INDEX_VERSION);
    }
    if (memcmp(header.id, p->sb->id, sizeof(header.id))) {
        fixed_ram_reader_fail(r, start + offsetof(IndexHeader, id), "it "
                              "belongs to another snapshot: its identity "
                              "differs from the superblock's");
    }
    while (sections-- && !r->error) {
        read_section_header(p, index);
    }
    if (fixed_ram_reader_left(r)) {
        fixed_ram_reader_fail(r, fixed_ram_reader_offset(r), "it goes on after "
                              "its sections");
    }
}

/* Go to the payload of a section.  False if the index does not have it. */
static bool open_section(IndexParser *p, SectionType type)
{
    const Section *section = &p->sections[type];

    if (p->r->error || !section->at) {
        return false;
    }
    fixed_ram_reader_limit(p->r, section->at, section->at + section->length,
                           "a section");
    return true;
}

static void close_section(IndexParser *p)
{
    if (fixed_ram_reader_left(p->r)) {
        fixed_ram_reader_fail(p->r, fixed_ram_reader_offset(p->r), "a section "
                              "is longer than its fields");
    }
}

/* A section's number of entries must be @expected. */
static void read_count(FixedRamReader *r, uint32_t expected, const char *what)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t count = fixed_ram_reader_le32(r);

    QEMU_BUILD_BUG_ON(offsetof(CountFields, zero) != 4);
    fixed_ram_reader_zeros(r, sizeof(uint32_t));
    if (count != expected) {
        fixed_ram_reader_fail(r, offset, "found %" PRIu32 " %s, expected %"
                              PRIu32, count, what, expected);
    }
}

/*
 * The machine
 */

/* Never NULL. */
static char *read_string(FixedRamReader *r)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t length = fixed_ram_reader_le32(r);
    g_autofree char *text = NULL;

    if (length > INDEX_STRING_MAX) {
        fixed_ram_reader_fail(r, offset, "a text has %" PRIu32 " bytes, "
                              "expected at most %d", length, INDEX_STRING_MAX);
    }
    if (r->error) {
        return g_strdup("");
    }
    text = g_malloc0(length + 1);
    fixed_ram_reader_get(r, text, length);
    if (!g_utf8_validate(text, length, NULL)) {
        fixed_ram_reader_fail(r, offset, "a text is not UTF-8 or has a zero "
                              "byte in it");
    }
    return g_steal_pointer(&text);
}

static void read_machine(IndexParser *p, FixedRamIndex *index)
{
    FixedRamIndexMachine *machine = &index->machine;
    FixedRamReader *r = p->r;
    MachineFields fields;

    index->has_machine = open_section(p, SECTION_MACHINE);
    if (!index->has_machine) {
        machine->type = g_strdup("");
        machine->version = g_strdup("");
        machine->name = g_strdup("");
        return;
    }
    fixed_ram_reader_get(r, &fields, sizeof(fields));
    machine->time = le64_to_cpu(fields.time);
    machine->ram_bytes = le64_to_cpu(fields.ram_bytes);
    memcpy(machine->uuid, fields.uuid, sizeof(machine->uuid));
    machine->type = read_string(r);
    machine->version = read_string(r);
    machine->name = read_string(r);
    close_section(p);
}

static void read_options(IndexParser *p, FixedRamIndex *index)
{
    if (open_section(p, SECTION_OPTIONS)) {
        index->options = fixed_ram_index_options_read(p->r);
        close_section(p);
    }
}

/*
 * Blocks
 */

/* A field that repeats the stream's header of the block must equal it. */
static void check_field(FixedRamReader *r, uint64_t offset,
                        const FixedRamIndexBlock *block, const char *what,
                        uint64_t found, uint64_t expected)
{
    if (found != expected) {
        fixed_ram_reader_fail(r, offset, "block '%s' has %s 0x%" PRIx64
                              ", but the stream says 0x%" PRIx64, block->name,
                              what, found, expected);
    }
}

static void check_block(IndexParser *p, uint64_t offset,
                        const FixedRamIndexBlock *block,
                        const FixedRamBlockInfo *info)
{
    FixedRamReader *r = p->r;
    uint64_t pages = info->length / p->ram->page_size;

    if (strcmp(block->name, info->name)) {
        fixed_ram_reader_fail(r, offset, "found block '%s', but the stream has "
                              "'%s'", block->name, info->name);
    }
    check_field(r, offset, block, "length", block->length, info->length);
    check_field(r, offset, block, "page size", block->page_size,
                p->ram->page_size);
    check_field(r, offset, block, "a bitmap at offset", block->bitmap_offset,
                info->bitmap_offset);
    check_field(r, offset, block, "pages at offset", block->pages_offset,
                info->pages_offset);
    if (block->pages > pages) {
        fixed_ram_reader_fail(r, offset, "block '%s': %" PRIu64 " pages with "
                              "data are more than its %" PRIu64 " pages",
                              block->name, block->pages, pages);
    }
}

static void read_block(FixedRamReader *r, FixedRamIndexBlock *block)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    BlockFields fields;
    uint32_t name_length;

    fixed_ram_reader_get(r, &fields, sizeof(fields));
    block->length = le64_to_cpu(fields.length);
    block->page_size = le64_to_cpu(fields.page_size);
    block->bitmap_offset = le64_to_cpu(fields.bitmap_offset);
    block->pages_offset = le64_to_cpu(fields.pages_offset);
    block->pages = le64_to_cpu(fields.pages);
    name_length = le32_to_cpu(fields.name_length);
    if (name_length > FIXED_RAM_NAME_MAX) {
        fixed_ram_reader_fail(r, offset, "a block's name has %" PRIu32
                              " bytes, expected at most %d", name_length,
                              FIXED_RAM_NAME_MAX);
        return;
    }
    fixed_ram_reader_get(r, block->name, name_length);
    if (strlen(block->name) != name_length) {
        fixed_ram_reader_fail(r, offset, "a block's name has a zero byte in "
                              "it");
    }
    fixed_ram_reader_padding(r, INDEX_PADDING);
}

static void read_blocks(IndexParser *p, FixedRamIndex *index)
{
    const FixedRamRamSection *ram = p->ram;
    FixedRamReader *r = p->r;
    uint64_t first_cluster = 0;

    if (!open_section(p, SECTION_BLOCKS)) {
        fixed_ram_reader_fail(r, p->sb->index_offset, "it has no section of "
                              "blocks");
        return;
    }
    read_count(r, ram->blocks->len, "blocks");
    for (size_t i = 0; i < ram->blocks->len && !r->error; i++) {
        FixedRamIndexBlock block = { .first_cluster = first_cluster };
        uint64_t offset = fixed_ram_reader_offset(r);

        read_block(r, &block);
        check_block(p, offset, &block, fixed_ram_ramsection_block(ram, i));
        first_cluster += fixed_ram_sums_clusters(block.length);
        g_array_append_val(index->blocks, block);
    }
    close_section(p);
}

/*
 * Parts of the stream
 */

static void read_part(FixedRamReader *r, uint32_t kind, uint64_t from,
                      uint64_t to, FixedRamIndexPart *part)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    PartFields fields;

    fixed_ram_reader_get(r, &fields, sizeof(fields));
    part->offset = le64_to_cpu(fields.offset);
    part->length = le64_to_cpu(fields.length);
    part->sum = le64_to_cpu(fields.sum);
    if (le32_to_cpu(fields.kind) != kind || fields.zero ||
        part->offset != from || part->length != to - from) {
        fixed_ram_reader_fail(r, offset, "found part %" PRIu32 " of the "
                              "stream, 0x%" PRIx64 " bytes at offset 0x%" PRIx64
                              ", expected part %" PRIu32 ", 0x%" PRIx64
                              " bytes at offset 0x%" PRIx64,
                              le32_to_cpu(fields.kind), part->length,
                              part->offset, kind, to - from, from);
    }
}

static void read_stream(IndexParser *p, FixedRamIndex *index)
{
    const FixedRamRamSection *ram = p->ram;
    FixedRamReader *r = p->r;

    if (!open_section(p, SECTION_STREAM)) {
        fixed_ram_reader_fail(r, p->sb->index_offset, "it has no section of "
                              "the stream's parts");
        return;
    }
    read_count(r, 2, "parts of the stream");
    read_part(r, PART_HEAD, ram->start,
              fixed_ram_ramsection_block(ram, 0)->bitmap_offset, &index->head);
    read_part(r, PART_TAIL, ram->ram_end, p->sb->stream_end, &index->tail);
    if (!p->sections[SECTION_SUMS].at &&
        (index->head.sum || index->tail.sum)) {
        fixed_ram_reader_fail(r, fixed_ram_reader_offset(r), "parts of the "
                              "stream have checksums, but blocks have not");
    }
    close_section(p);
}

/*
 * Sums
 */

/* The table lies behind the stream, apart from the index, and in the file. */
static void check_table(IndexParser *p, uint64_t offset,
                        const FixedRamIndexTable *table, uint64_t clusters)
{
    const FixedRamSuperblock *sb = p->sb;
    FixedRamReader *r = p->r;
    uint64_t end;

    if (table->length != clusters * sizeof(uint64_t)) {
        fixed_ram_reader_fail(r, offset, "the table of checksums has 0x%" PRIx64
                              " bytes, but there are %" PRIu64 " clusters",
                              table->length, clusters);
        return;
    }
    if (uadd64_overflow(table->offset, table->length, &end) ||
        !QEMU_IS_ALIGNED(table->offset, sizeof(uint64_t)) ||
        table->offset < sb->stream_end || end > r->source->size ||
        (table->offset < sb->index_offset + sb->index_length &&
         end > sb->index_offset)) {
        fixed_ram_reader_fail(r, offset, "the table of checksums, 0x%" PRIx64
                              " bytes at offset 0x%" PRIx64 ", does not lie "
                              "behind the stream's end at 0x%" PRIx64 ", apart "
                              "from the index at 0x%" PRIx64 " and before the "
                              "file's end at 0x%" PRIx64, table->length,
                              table->offset, sb->stream_end, sb->index_offset,
                              r->source->size);
    }
}

static void read_chunk_sums(FixedRamReader *r, FixedRamIndexTable *table)
{
    uint64_t expected = DIV_ROUND_UP(table->length, FIXED_RAM_CHUNK_BYTES);
    uint64_t offset = fixed_ram_reader_offset(r);
    uint64_t count = fixed_ram_reader_le64(r);

    /* The index must hold as many sums before memory is taken for them. */
    if (count != expected ||
        count > fixed_ram_reader_left(r) / sizeof(uint64_t)) {
        fixed_ram_reader_fail(r, offset, "found %" PRIu64 " chunks of the "
                              "table of checksums, expected %" PRIu64 ", with "
                              "8 bytes for each", count, expected);
    }
    if (r->error) {
        return;
    }
    g_array_set_size(table->chunk_sums, count);
    fixed_ram_reader_get(r, table->chunk_sums->data, count * sizeof(uint64_t));
    for (size_t i = 0; i < count; i++) {
        le64_to_cpus(&g_array_index(table->chunk_sums, uint64_t, i));
    }
}

static void check_algorithm(IndexParser *p, uint64_t offset,
                            const SumsFields *fields)
{
    uint32_t algorithm = le32_to_cpu(fields->algorithm);
    uint32_t cluster = le32_to_cpu(fields->cluster_bytes);
    uint32_t chunk = le32_to_cpu(fields->chunk_bytes);

    if ((algorithm != SUMS_XXH3_64 && algorithm != SUMS_KEYED_XXH3_64) ||
        cluster != FIXED_RAM_CLUSTER_BYTES || chunk != FIXED_RAM_CHUNK_BYTES ||
        fields->zero) {
        fixed_ram_reader_fail_unknown(
            p->r, offset, "found checksums of algorithm %" PRIu32 " for "
            "clusters of %" PRIu32 " bytes in chunks of %" PRIu32 " bytes, "
            "expected algorithm 1 or 2, %d and %d bytes", algorithm, cluster,
            chunk, (int)FIXED_RAM_CLUSTER_BYTES, FIXED_RAM_CHUNK_BYTES);
    }
    if (p->ram->page_size > FIXED_RAM_CLUSTER_BYTES) {
        fixed_ram_reader_fail(p->r, offset, "found pages of %" PRIu64 " bytes, "
                              "expected at most 65536", p->ram->page_size);
    }
}

static void read_bitmap_sums(FixedRamReader *r, FixedRamIndex *index)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint64_t count = fixed_ram_reader_le64(r);

    if (count != index->blocks->len) {
        fixed_ram_reader_fail(r, offset, "found checksums of %" PRIu64
                              " bitmaps, expected %u", count,
                              index->blocks->len);
    }
    for (size_t i = 0; i < index->blocks->len; i++) {
        fixed_ram_index_block(index, i)->bitmap_sum = fixed_ram_reader_le64(r);
    }
}

static void read_key(FixedRamReader *r, uint64_t *key)
{
    *key = fixed_ram_reader_le64(r);
    if (!*key) {
        fixed_ram_reader_fail(r, fixed_ram_reader_offset(r) - sizeof(*key),
                              "the key of the checksums is 0");
    }
}

static void read_sums(IndexParser *p, FixedRamIndex *index)
{
    FixedRamReader *r = p->r;
    uint64_t clusters = 0, offset;
    SumsFields fields;

    index->has_sums = open_section(p, SECTION_SUMS);
    if (!index->has_sums) {
        return;
    }
    offset = fixed_ram_reader_offset(r);
    fixed_ram_reader_get(r, &fields, sizeof(fields));
    index->table.offset = le64_to_cpu(fields.table_offset);
    index->table.length = le64_to_cpu(fields.table_length);
    check_algorithm(p, offset, &fields);
    for (size_t i = 0; i < index->blocks->len; i++) {
        clusters += fixed_ram_sums_clusters(fixed_ram_index_block(index,
                                                                  i)->length);
    }
    check_table(p, offset, &index->table, clusters);
    read_bitmap_sums(r, index);
    read_chunk_sums(r, &index->table);
    if (le32_to_cpu(fields.algorithm) == SUMS_KEYED_XXH3_64) {
        read_key(r, &index->table.key);
    }
    close_section(p);
}

/*
 * Layers
 */

/* Old and new readers of the stream tell a delta by the headers' version. */
static void read_layers(IndexParser *p, FixedRamIndex *index)
{
    FixedRamReader *r = p->r;
    bool found = open_section(p, SECTION_LAYERS);

    if (!r->error && found != p->ram->delta) {
        fixed_ram_reader_fail(r, p->sb->index_offset, "it has %s layers, but "
                              "the blocks' headers are those of a %s",
                              found ? "a section of" : "no",
                              found ? "full snapshot" : "delta");
    }
    if (found) {
        index->layers = fixed_ram_index_layers_read(r, p->sb, index);
        close_section(p);
    }
}

/*
 * What a load can do without: damage is no failure
 */

static void read_set(IndexParser *p, FixedRamIndex *index)
{
    FixedRamReader *r = p->r;

    if (!open_section(p, SECTION_WORKING_SET)) {
        return;
    }
    fixed_ram_index_set_read(r, p->sb, index);
    close_section(p);
    index->has_set = !r->error;
    index->set_problem = g_steal_pointer(&r->error);
}

static void read_space(IndexParser *p, FixedRamIndex *index)
{
    FixedRamReader *r = p->r;

    if (open_section(p, SECTION_SPACE)) {
        fixed_ram_space_read(r, p->sb, &index->space);
        close_section(p);
        if (r->error) {
            index->space = (FixedRamIndexSpace) { };
            error_free(g_steal_pointer(&r->error));
        }
    }
}

static void read_clean(IndexParser *p, FixedRamIndex *index)
{
    index->clean = open_section(p, SECTION_CLEAN);
    if (index->clean) {
        close_section(p);
    }
}

/* Have @r read all of the index at once and compare its CRC. */
static void read_bytes(FixedRamReader *r, const FixedRamSuperblock *sb)
{
    g_autofree uint8_t *bytes = g_malloc(sb->index_length);
    uint32_t crc;

    fixed_ram_reader_limit(r, sb->index_offset,
                           sb->index_offset + sb->index_length, "the index");
    fixed_ram_reader_get(r, bytes, sb->index_length);
    if (r->error) {
        return;
    }
    crc = fixed_ram_layout_crc32c(bytes, sb->index_length);
    if (crc != sb->index_crc) {
        fixed_ram_reader_fail(r, sb->index_offset, "it has CRC 0x%08" PRIx32
                              ", expected 0x%08" PRIx32, crc, sb->index_crc);
    }
    fixed_ram_reader_seek(r, sb->index_offset);
}

FixedRamIndex *fixed_ram_index_read(FixedRamSource *source,
                                    const FixedRamRamSection *ram,
                                    const FixedRamSuperblock *sb,
                                    FixedRamVerdict *verdict, Error **errp)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, sb->index_offset,
                                                       sb->index_length);
    IndexParser p = { .r = r, .ram = ram, .sb = sb };

    assert(sb->state == FIXED_RAM_COMPLETE);
    r->prefix = "index: ";
    memcpy(index->id, sb->id, sizeof(index->id));
    read_bytes(r, sb);
    read_header(&p, index);
    read_machine(&p, index);
    read_options(&p, index);
    read_blocks(&p, index);
    read_stream(&p, index);
    read_sums(&p, index);
    read_layers(&p, index);
    read_clean(&p, index);
    read_set(&p, index);
    read_space(&p, index);
    if (r->error) {
        if (verdict) {
            *verdict = r->verdict;
        }
        error_propagate(errp, g_steal_pointer(&r->error));
        return NULL;
    }
    return g_steal_pointer(&index);
}

/*
 * fixed-ram: the index, from bytes to checked structs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "qapi/error.h"
#include "index.h"
#include "layout.h"
#include "sums.h"

/* One section's payload. */
typedef struct Section {
    size_t at;                  /* 0: there is none of this type */
    size_t length;
} Section;

/* Reads the index in order.  After a failed read all others fail too. */
typedef struct Reader {
    const FixedRamSource *source;
    const FixedRamSnapshot *snapshot;
    const FixedRamSuperblock *sb;
    const uint8_t *bytes;       /* of the index */
    size_t next;                /* next one */
    size_t end;                 /* of what is being read */
    Section sections[SECTION_KNOWN];
    Error *error;               /* the first one */
} Reader;

static void G_GNUC_PRINTF(3, 4)
reader_fail(Reader *r, size_t at, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    if (r->error) {
        return;
    }
    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_setg(&r->error, "snapshot '%s': offset 0x%" PRIx64 ": damaged "
               "index: %s", r->source->name, r->sb->index_offset + at, what);
}

/* So many bytes, where they are, or NULL. */
static const void *reader_take(Reader *r, uint64_t length)
{
    const uint8_t *at = r->bytes + r->next;

    if (!r->error && length > r->end - r->next) {
        reader_fail(r, r->next, "it ends in the middle of something");
    }
    if (r->error) {
        return NULL;
    }
    r->next += length;
    return at;
}

/* Zeros after a failure: who asks looks at r->error in the end. */
static void reader_get(Reader *r, void *out, size_t length)
{
    const void *at = reader_take(r, length);

    if (at) {
        memcpy(out, at, length);
    } else {
        memset(out, 0, length);
    }
}

static uint32_t reader_le32(Reader *r)
{
    uint32_t v;

    reader_get(r, &v, sizeof(v));
    return le32_to_cpu(v);
}

static uint64_t reader_le64(Reader *r)
{
    uint64_t v;

    reader_get(r, &v, sizeof(v));
    return le64_to_cpu(v);
}

static void reader_zeros(Reader *r, size_t length)
{
    size_t offset = r->next;
    const void *at = reader_take(r, length);

    if (at && length && !buffer_is_zero(at, length)) {
        reader_fail(r, offset, "bytes are set that must be zero");
    }
}

static void reader_padding(Reader *r)
{
    reader_zeros(r, ROUND_UP(r->next, INDEX_PADDING) - r->next);
}

/*
 * Sections
 */

static void read_section_header(Reader *r)
{
    size_t offset = r->next;
    SectionHeader header;
    uint32_t type, flags;
    uint64_t length;

    reader_get(r, &header, sizeof(header));
    type = le32_to_cpu(header.type);
    flags = le32_to_cpu(header.flags);
    length = le64_to_cpu(header.length);
    if (flags & ~SECTION_REQUIRED) {
        reader_fail(r, offset, "flags 0x%" PRIx32 " of section type %" PRIu32,
                    flags, type);
    }
    if (!type) {
        reader_fail(r, offset, "section of type 0");
    }
    if (type >= SECTION_KNOWN && flags & SECTION_REQUIRED) {
        reader_fail(r, offset, "section type %" PRIu32 " is not known here, "
                    "and the snapshot cannot be loaded without it", type);
    }
    if (type < SECTION_KNOWN) {
        if (r->sections[type].at) {
            reader_fail(r, offset, "section type %" PRIu32 " is there twice",
                        type);
        }
        r->sections[type] = (Section) { .at = r->next, .length = length };
    }
    reader_take(r, length);
    reader_padding(r);
}

/* Find all sections; what is in them comes later. */
static void read_header(Reader *r)
{
    IndexHeader header;
    uint32_t version, sections;

    reader_get(r, &header, sizeof(header));
    version = le32_to_cpu(header.version);
    sections = le32_to_cpu(header.sections);
    if (memcmp(header.magic, INDEX_MAGIC, sizeof(header.magic))) {
        reader_fail(r, 0, "there is something else in its place");
    }
    if (version != INDEX_VERSION) {
        reader_fail(r, offsetof(IndexHeader, version), "version %" PRIu32
                    ", expected %d", version, INDEX_VERSION);
    }
    if (memcmp(header.id, r->sb->id, sizeof(header.id))) {
        reader_fail(r, offsetof(IndexHeader, id), "it belongs to another "
                    "snapshot");
    }
    while (sections-- && !r->error) {
        read_section_header(r);
    }
    if (r->next != r->end) {
        reader_fail(r, r->next, "it goes on after its sections");
    }
}

/* Go to a section's payload.  Is it there? */
static bool open_section(Reader *r, SectionType type)
{
    const Section *section = &r->sections[type];

    if (r->error || !section->at) {
        return false;
    }
    r->next = section->at;
    r->end = section->at + section->length;
    return true;
}

static void close_section(Reader *r)
{
    if (r->next != r->end) {
        reader_fail(r, r->next, "a section is longer than what is in it");
    }
}

/* How many entries follow; @expected is known from elsewhere. */
static void read_count(Reader *r, uint32_t expected, const char *what)
{
    size_t offset = r->next;
    uint32_t count = reader_le32(r);

    reader_zeros(r, sizeof(uint32_t));
    if (count != expected) {
        reader_fail(r, offset, "%" PRIu32 " %s, expected %" PRIu32, count,
                    what, expected);
    }
}

/*
 * The machine
 */

/* Never NULL. */
static char *read_string(Reader *r)
{
    size_t offset = r->next;
    uint32_t length = reader_le32(r);
    const char *text;

    if (length > INDEX_STRING_MAX) {
        reader_fail(r, offset, "a text has %" PRIu32 " bytes", length);
    }
    text = reader_take(r, length);
    if (text && !g_utf8_validate(text, length, NULL)) {
        reader_fail(r, offset, "a text is not UTF-8 or has a zero byte in it");
    }
    return r->error ? g_strdup("") : g_strndup(text, length);
}

static void read_machine(Reader *r, FixedRamIndex *index)
{
    FixedRamIndexMachine *machine = &index->machine;
    MachineFields fields;

    index->has_machine = open_section(r, SECTION_MACHINE);
    if (!index->has_machine) {
        machine->type = g_strdup("");
        machine->version = g_strdup("");
        machine->name = g_strdup("");
        return;
    }
    reader_get(r, &fields, sizeof(fields));
    machine->time = le64_to_cpu(fields.time);
    machine->ram_bytes = le64_to_cpu(fields.ram_bytes);
    memcpy(machine->uuid, fields.uuid, sizeof(machine->uuid));
    machine->type = read_string(r);
    machine->version = read_string(r);
    machine->name = read_string(r);
    close_section(r);
}

/*
 * Blocks
 */

/* Where it comes from the stream is what the stream says. */
static void check_block(Reader *r, size_t offset,
                        const FixedRamIndexBlock *block,
                        const FixedRamBlockInfo *info)
{
    if (strcmp(block->name, info->name)) {
        reader_fail(r, offset, "block '%s', the stream has '%s'", block->name,
                    info->name);
    }
    if (block->length != info->length ||
        block->page_size != r->snapshot->page_size ||
        block->bitmap_offset != info->bitmap_offset ||
        block->pages_offset != info->pages_offset) {
        reader_fail(r, offset, "block '%s': length, page size and offsets "
                    "differ from those in the stream", block->name);
    }
    if (block->pages > info->length / r->snapshot->page_size) {
        reader_fail(r, offset, "block '%s': %" PRIu64 " pages are more than "
                    "it has", block->name, block->pages);
    }
}

static void read_block(Reader *r, FixedRamIndexBlock *block)
{
    BlockFields fields;
    size_t offset = r->next;
    uint32_t name_length;

    reader_get(r, &fields, sizeof(fields));
    block->length = le64_to_cpu(fields.length);
    block->page_size = le64_to_cpu(fields.page_size);
    block->bitmap_offset = le64_to_cpu(fields.bitmap_offset);
    block->pages_offset = le64_to_cpu(fields.pages_offset);
    block->pages = le64_to_cpu(fields.pages);
    name_length = le32_to_cpu(fields.name_length);
    if (name_length > FIXED_RAM_NAME_MAX) {
        reader_fail(r, offset, "a block's name has %" PRIu32 " bytes",
                    name_length);
        return;
    }
    reader_get(r, block->name, name_length);
    if (strlen(block->name) != name_length) {
        reader_fail(r, offset, "a block's name has a zero byte in it");
    }
    reader_padding(r);
}

static void read_blocks(Reader *r, FixedRamIndex *index)
{
    const FixedRamSnapshot *snapshot = r->snapshot;
    uint64_t first_cluster = 0;

    if (!open_section(r, SECTION_BLOCKS)) {
        reader_fail(r, 0, "it has no section of blocks");
        return;
    }
    read_count(r, snapshot->blocks->len, "blocks");
    for (size_t i = 0; i < snapshot->blocks->len && !r->error; i++) {
        FixedRamIndexBlock block = { .first_cluster = first_cluster };
        size_t offset = r->next;

        read_block(r, &block);
        check_block(r, offset, &block, fixed_ram_snapshot_block(snapshot, i));
        first_cluster += fixed_ram_clusters(block.length);
        g_array_append_val(index->blocks, block);
    }
    close_section(r);
}

/*
 * Parts of the stream
 */

static void read_part(Reader *r, uint32_t kind, uint64_t from, uint64_t to,
                      FixedRamIndexPart *part)
{
    PartFields fields;
    size_t offset = r->next;

    reader_get(r, &fields, sizeof(fields));
    part->offset = le64_to_cpu(fields.offset);
    part->length = le64_to_cpu(fields.length);
    part->sum = le64_to_cpu(fields.sum);
    if (le32_to_cpu(fields.kind) != kind || fields.zero ||
        part->offset != from || part->length != to - from) {
        reader_fail(r, offset, "part %" PRIu32 " of the stream, 0x%" PRIx64
                    " bytes at offset 0x%" PRIx64 ", expected part %" PRIu32
                    ", 0x%" PRIx64 " bytes at offset 0x%" PRIx64,
                    le32_to_cpu(fields.kind), part->length, part->offset,
                    kind, to - from, from);
    }
}

static void read_stream(Reader *r, FixedRamIndex *index)
{
    const FixedRamSnapshot *s = r->snapshot;

    if (!open_section(r, SECTION_STREAM)) {
        reader_fail(r, 0, "it has no section of the stream's parts");
        return;
    }
    read_count(r, 2, "parts of the stream");
    read_part(r, PART_HEAD, s->start,
              fixed_ram_snapshot_block(s, 0)->bitmap_offset, &index->head);
    read_part(r, PART_TAIL, s->ram_end, r->sb->stream_end, &index->tail);
    if (!r->sections[SECTION_SUMS].at &&
        (index->head.sum || index->tail.sum)) {
        reader_fail(r, r->next, "parts of the stream have checksums, but "
                    "blocks have not");
    }
    close_section(r);
}

/*
 * Sums
 */

/* The table is behind the stream, apart from the index, and in the file. */
static void check_table(Reader *r, size_t offset,
                        const FixedRamIndexTable *table, uint64_t clusters)
{
    const FixedRamSuperblock *sb = r->sb;
    uint64_t end;

    if (table->length != clusters * sizeof(uint64_t)) {
        reader_fail(r, offset, "the table of checksums has 0x%" PRIx64
                    " bytes, but there are %" PRIu64 " clusters",
                    table->length, clusters);
        return;
    }
    if (uadd64_overflow(table->offset, table->length, &end) ||
        !QEMU_IS_ALIGNED(table->offset, sizeof(uint64_t)) ||
        table->offset < sb->stream_end || end > r->source->size ||
        (table->offset < sb->index_offset + sb->index_length &&
         end > sb->index_offset)) {
        reader_fail(r, offset, "the table of checksums, 0x%" PRIx64
                    " bytes at offset 0x%" PRIx64 ", is not where it can be",
                    table->length, table->offset);
    }
}

static void read_chunk_sums(Reader *r, FixedRamIndexTable *table)
{
    uint64_t expected = DIV_ROUND_UP(table->length, FIXED_RAM_CHUNK_BYTES);
    size_t offset = r->next;
    uint64_t count = reader_le64(r);

    if (count != expected || count > (r->end - r->next) / sizeof(uint64_t)) {
        reader_fail(r, offset, "%" PRIu64 " chunks of the table of checksums, "
                    "expected %" PRIu64, count, expected);
        return;
    }
    g_array_set_size(table->chunk_sums, count);
    for (size_t i = 0; i < count; i++) {
        g_array_index(table->chunk_sums, uint64_t, i) = reader_le64(r);
    }
}

static void read_sums(Reader *r, FixedRamIndex *index)
{
    const GArray *blocks = index->blocks;
    uint64_t clusters = 0;
    size_t offset;
    SumsFields fields;

    index->has_sums = open_section(r, SECTION_SUMS);
    if (!index->has_sums) {
        return;
    }
    offset = r->next;
    reader_get(r, &fields, sizeof(fields));
    index->table.offset = le64_to_cpu(fields.table_offset);
    index->table.length = le64_to_cpu(fields.table_length);
    if (le32_to_cpu(fields.algorithm) != SUMS_XXH3_64 ||
        le32_to_cpu(fields.cluster_bytes) != FIXED_RAM_CLUSTER_BYTES ||
        le32_to_cpu(fields.chunk_bytes) != FIXED_RAM_CHUNK_BYTES ||
        fields.zero || r->snapshot->page_size > FIXED_RAM_CLUSTER_BYTES) {
        reader_fail(r, offset, "checksums of a kind that is not known here");
    }
    for (size_t i = 0; i < blocks->len; i++) {
        clusters += fixed_ram_clusters(fixed_ram_index_block(index,
                                                             i)->length);
    }
    check_table(r, offset, &index->table, clusters);
    offset = r->next;
    if (reader_le64(r) != blocks->len) {
        reader_fail(r, offset, "there are not as many checksums of bitmaps as "
                    "there are blocks");
    }
    for (size_t i = 0; i < blocks->len; i++) {
        fixed_ram_index_block(index, i)->bitmap_sum = reader_le64(r);
    }
    read_chunk_sums(r, &index->table);
    close_section(r);
}

FixedRamIndex *fixed_ram_index_read(FixedRamSource *source,
                                    const FixedRamSnapshot *snapshot,
                                    const FixedRamSuperblock *sb,
                                    Error **errp)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    g_autofree uint8_t *bytes = g_malloc(sb->index_length);
    Reader r = {
        .source = source, .snapshot = snapshot, .sb = sb, .bytes = bytes,
        .end = sb->index_length,
    };

    assert(sb->state == FIXED_RAM_COMPLETE);
    if (!fixed_ram_source_read(source, bytes, sb->index_length,
                               sb->index_offset, errp)) {
        error_prepend(errp, "index: ");
        return NULL;
    }
    if (fixed_ram_crc32c(bytes, sb->index_length) != sb->index_crc) {
        reader_fail(&r, 0, "its checksum is wrong");
    }
    memcpy(index->id, sb->id, sizeof(index->id));
    read_header(&r);
    read_machine(&r, index);
    read_blocks(&r, index);
    read_stream(&r, index);
    read_sums(&r, index);
    if (r.error) {
        error_propagate(errp, r.error);
        return NULL;
    }
    return g_steal_pointer(&index);
}

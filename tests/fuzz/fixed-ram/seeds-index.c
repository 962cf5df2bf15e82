/*
 * fixed-ram: superblock and index for seeds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* docs/interop/fixed-ram.rst */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "migration/fixed-ram/format/sums.h"
#include "check-index.h"
#include "check-pages.h"
#include "seeds-index.h"

/* The seed before the index was added. */
typedef struct Writer {
    Seed *s;
    SeedIndex kind;
    Input in;
    Decoded *d;
    uint8_t *before;            /* the input, which @in refers to */
    bool has_sums;
    uint64_t stream_end;
    uint64_t table, table_length;
} Writer;

static void put(Seed *s, const void *bytes, size_t length)
{
    g_byte_array_append(s->input, bytes, length);
}

static void put_le(Seed *s, unsigned width, uint64_t value)
{
    SeedField field = { .at = s->input->len, .width = width, .little = true };
    uint8_t le[8];

    stq_le_p(le, value);
    put(s, le, width);
    g_array_append_val(s->fields, field);
}

static void put_string(Seed *s, const char *string)
{
    put_le(s, 4, strlen(string));
    put(s, string, strlen(string));
}

/* The offset of the next byte in the file. */
static uint64_t here(const Writer *w)
{
    return w->s->input->len - INPUT_HEAD + (w->in.hole_end - w->in.hole_at);
}

static void align(Writer *w, unsigned to)
{
    while (here(w) % to) {
        put(w->s, "", 1);
    }
}

static void end_part(Seed *s, uint32_t at)
{
    SeedPart part = { .at = at, .length = s->input->len - at };

    g_array_append_val(s->parts, part);
}

/*
 * Sums
 */

static uint64_t file_sum(const Writer *w, uint64_t from, uint64_t to)
{
    g_autofree uint8_t *bytes = g_malloc(to - from);

    input_read(&w->in, bytes, to - from, from);
    return fixed_ram_sums_get(bytes, to - from);
}

/* The table's words are not fields: mutations change them as bytes. */
static void put_table(Writer *w)
{
    uint64_t le;
    uint32_t at;

    align(w, 8);
    at = w->s->input->len;
    w->table = here(w);
    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);

        for (uint64_t p = 0; p < b->length / INPUT_PAGE; p += CLUSTER_PAGES) {
            stq_le_p(&le, cluster_sum(w->d, b, p));
            put(w->s, &le, sizeof(le));
        }
    }
    w->table_length = here(w) - w->table;
    end_part(w->s, at);
}

/*
 * Sections
 */

static void put_machine(Writer *w)
{
    Seed *s = w->s;

    put_le(s, 8, 1700000000);
    put_le(s, 8, 16 * MiB);
    put(s, "0123456789abcdef", 16);
    put_string(s, "pc-i440fx-10.0");
    put_string(s, "10.0.2");
    put_string(s, "");
}

static void put_blocks(Writer *w)
{
    Seed *s = w->s;

    put_le(s, 4, w->d->blocks->len);
    put_le(s, 4, 0);
    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);
        uint64_t held = 0;

        for (uint64_t page = 0; page < b->length / INPUT_PAGE; page++) {
            held += decoded_bit(w->d, b, page);
        }
        put_le(s, 8, b->length);
        put_le(s, 8, b->page_size);
        put_le(s, 8, b->bitmap);
        put_le(s, 8, b->pages);
        put_le(s, 8, held);
        put_string(s, b->name);
        align(w, 8);
    }
}

static void put_part(Writer *w, uint32_t kind, uint64_t from, uint64_t to)
{
    put_le(w->s, 4, kind);
    put_le(w->s, 4, 0);
    put_le(w->s, 8, from);
    put_le(w->s, 8, to - from);
    put_le(w->s, 8, w->has_sums ? file_sum(w, from, to) : 0);
}

static void put_stream(Writer *w)
{
    put_le(w->s, 4, 2);
    put_le(w->s, 4, 0);
    put_part(w, 1, w->in.start, decoded_block(w->d, 0)->bitmap);
    put_part(w, 2, w->d->ram_end, w->stream_end);
}

static void put_sums(Writer *w)
{
    Seed *s = w->s;
    const uint8_t *table;

    put_le(s, 4, 1);
    put_le(s, 4, 64 * KiB);
    put_le(s, 4, 4096);
    put_le(s, 4, 0);
    put_le(s, 8, w->table);
    put_le(s, 8, w->table_length);
    put_le(s, 8, w->d->blocks->len);
    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);
        uint64_t words = DIV_ROUND_UP(b->length / INPUT_PAGE, 64);

        put_le(s, 8, file_sum(w, b->bitmap, b->bitmap + words * 8));
    }
    g_assert(w->table_length <= 4096);
    table = s->input->data + s->input->len - (here(w) - w->table);
    put_le(s, 8, 1);
    put_le(s, 8, fixed_ram_sums_get(table, w->table_length));
}

static void put_later(Writer *w)
{
    put(w->s, "not known", 9);
}

/* Its section has no fields. */
static void put_clean(Writer *w)
{
}

/* Are pages whose bit is clear zero in the file, too? */
static bool is_clean(const Writer *w)
{
    uint8_t bytes[INPUT_PAGE];

    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);

        for (uint64_t page = 0; page < b->length / INPUT_PAGE; page++) {
            input_read(&w->in, bytes, INPUT_PAGE, b->pages + page * INPUT_PAGE);
            if (!decoded_bit(w->d, b, page) &&
                !buffer_is_zero(bytes, INPUT_PAGE)) {
                return false;
            }
        }
    }
    return true;
}

static void put_section(Writer *w, uint32_t type, uint32_t flags,
                        void (*put_payload)(Writer *w))
{
    uint32_t at = w->s->input->len;
    uint32_t payload;

    put_le(w->s, 4, type);
    put_le(w->s, 4, flags);
    put_le(w->s, 8, 0);
    payload = w->s->input->len;
    put_payload(w);
    stq_le_p(w->s->input->data + payload - 8, w->s->input->len - payload);
    align(w, 8);
    end_part(w->s, at);
}

/* Returns its length. */
static uint64_t put_index(Writer *w, uint64_t at)
{
    bool has_machine = w->kind >= INDEX_FULL, later = w->kind >= INDEX_LATER;
    bool clean = has_machine && is_clean(w);
    uint32_t header = w->s->input->len;

    put(w->s, "QFXRINDX", 8);
    put_le(w->s, 4, 1);
    put_le(w->s, 4, 2 + has_machine + w->has_sums + later + clean);
    put(w->s, "the seed's own id", 16);
    end_part(w->s, header);
    if (has_machine) {
        put_section(w, 1, 0, put_machine);
    }
    if (later) {
        put_section(w, 99, 0, put_later);
    }
    put_section(w, 2, 1, put_blocks);
    put_section(w, 3, 1, put_stream);
    if (w->has_sums) {
        put_section(w, 4, 0, put_sums);
    }
    if (clean) {
        put_section(w, 9, 0, put_clean);
    }
    return here(w) - at;
}

/*
 * Superblock
 */

/* The slot is there and zero. */
static void fill_superblock(Writer *w, uint64_t index, uint64_t length)
{
    static const struct {
        uint8_t at, width;
    } fields[] = {
        { 8, 4 }, { 12, 4 }, { 32, 8 }, { 40, 8 }, { 48, 8 }, { 56, 8 },
        { 64, 4 },
    };
    Seed *s = w->s;
    uint8_t *sb = s->input->data + s->superblock;
    SeedPart part = { .at = s->superblock, .length = 4096 };

    memcpy(sb, "QEMUFXRM", 8);
    stl_le_p(sb + 8, 1);
    stl_le_p(sb + 12, index ? 2 : 1);
    memcpy(sb + 16, "the seed's own id", 16);
    stq_le_p(sb + 32, w->in.start);
    stq_le_p(sb + 40, index ? w->stream_end : 0);
    stq_le_p(sb + 48, index);
    stq_le_p(sb + 56, length);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        SeedField field = {
            .at = s->superblock + fields[i].at, .width = fields[i].width,
            .little = true,
        };

        g_array_append_val(s->fields, field);
    }
    g_array_append_val(s->parts, part);
}

void seed_add_index(Seed *s, SeedIndex kind)
{
    Writer w = {
        .s = s, .kind = kind,
        .before = g_memdup2(s->input->data, s->input->len),
        .has_sums = kind >= INDEX_SUMS && fixed_ram_sums_built(),
    };
    uint64_t index = 0, length = 0;

    s->index_fields = s->fields->len;
    input_parse(&w.in, w.before, s->input->len);
    w.d = decode(&w.in);
    w.stream_end = w.in.size;
    s->superblock = decoded_block(w.d, 0)->pages - 4096 + INPUT_HEAD;
    if (w.has_sums) {
        put_table(&w);
    }
    if (kind >= INDEX_BARE) {
        align(&w, 4096);
        index = here(&w);
        length = put_index(&w, index);
    }
    if (kind >= INDEX_LATER) {
        align(&w, 4096);        /* the file goes on */
    }
    fill_superblock(&w, index, length);
    seed_seal(s->input->data, s->input->len, s->superblock);
    decoded_free(w.d);
    g_free(w.before);
}

void seed_seal(uint8_t *input, size_t size, uint32_t superblock)
{
    g_autofree uint8_t *index = NULL;
    uint8_t *sb = input + superblock;
    uint64_t offset, length;
    Input in;

    if (superblock + 4096 > size || !input_parse(&in, input, size)) {
        return;
    }
    offset = ldq_le_p(sb + 48);
    length = ldq_le_p(sb + 56);
    if (length && length <= MiB) {
        index = g_malloc(length);
        length = input_read(&in, index, length, offset);
        stl_le_p(sb + 64, check_crc32c(index, length));
    }
    stl_le_p(sb + 4092, check_crc32c(sb, 4092));
}

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
#include "seeds-layers.h"
#include "seeds-set.h"

void seed_put(SeedWriter *w, const void *bytes, size_t length)
{
    g_byte_array_append(w->s->input, bytes, length);
}

void seed_put_le(SeedWriter *w, unsigned width, uint64_t value)
{
    SeedField field = {
        .at = w->s->input->len, .width = width, .little = true,
    };
    uint8_t le[8];

    stq_le_p(le, value);
    seed_put(w, le, width);
    g_array_append_val(w->s->fields, field);
}

static void put_string(SeedWriter *w, const char *string)
{
    seed_put_le(w, 4, strlen(string));
    seed_put(w, string, strlen(string));
}

uint64_t seed_here(const SeedWriter *w)
{
    return w->s->input->len - INPUT_HEAD + (w->in.hole_end - w->in.hole_at);
}

void seed_align(SeedWriter *w, unsigned to)
{
    while (seed_here(w) % to) {
        seed_put(w, "", 1);
    }
}

void seed_end_part(SeedWriter *w, uint32_t at)
{
    SeedPart part = { .at = at, .length = w->s->input->len - at };

    g_array_append_val(w->s->parts, part);
}

void seed_patch(const Input *in, uint8_t *input, size_t size, uint64_t offset,
                uint64_t value)
{
    uint64_t hole = offset >= in->hole_end ? in->hole_end - in->hole_at : 0;
    uint64_t at = offset - hole + INPUT_HEAD;

    if (at <= size && size - at >= 8) {
        stq_le_p(input + at, value);
    }
}

/*
 * Sums
 */

static uint64_t file_sum(const SeedWriter *w, uint64_t from, uint64_t to)
{
    g_autofree uint8_t *bytes = g_malloc(to - from);

    input_read(&w->in, bytes, to - from, from);
    return fixed_ram_sums_get(bytes, to - from);
}

/* Some indexes are of earlier versions, whose checksums have no key. */
static uint64_t seed_key(const SeedWriter *w)
{
    return w->set ? 0x1122334455667788 : 0;
}

/* The table's words are not fields: mutations change them as bytes. */
static void put_table(SeedWriter *w)
{
    uint64_t le;
    uint32_t at;

    seed_align(w, 8);
    at = w->s->input->len;
    w->table = seed_here(w);
    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);

        for (uint64_t p = 0; p < b->length / INPUT_PAGE; p += CLUSTER_PAGES) {
            stq_le_p(&le, cluster_sum(w->d, b, p, seed_key(w)));
            seed_put(w, &le, sizeof(le));
        }
    }
    w->table_length = seed_here(w) - w->table;
    seed_end_part(w, at);
}

/*
 * Sections
 */

static void put_machine(SeedWriter *w)
{
    seed_put_le(w, 8, 1700000000);
    seed_put_le(w, 8, 16 * MiB);
    seed_put(w, "0123456789abcdef", 16);
    put_string(w, "pc-i440fx-10.0");
    put_string(w, "10.0.2");
    put_string(w, "");
}

static void put_blocks(SeedWriter *w)
{
    seed_put_le(w, 4, w->d->blocks->len);
    seed_put_le(w, 4, 0);
    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);
        uint64_t held = 0;

        for (uint64_t page = 0; page < b->length / INPUT_PAGE; page++) {
            held += decoded_bit(w->d, b, page);
        }
        seed_put_le(w, 8, b->length);
        seed_put_le(w, 8, b->page_size);
        seed_put_le(w, 8, b->bitmap);
        seed_put_le(w, 8, b->pages);
        seed_put_le(w, 8, held);
        put_string(w, b->name);
        seed_align(w, 8);
    }
}

static void put_part(SeedWriter *w, uint32_t kind, uint64_t from, uint64_t to)
{
    seed_put_le(w, 4, kind);
    seed_put_le(w, 4, 0);
    seed_put_le(w, 8, from);
    seed_put_le(w, 8, to - from);
    seed_put_le(w, 8, w->has_sums ? file_sum(w, from, to) : 0);
}

static void put_stream(SeedWriter *w)
{
    seed_put_le(w, 4, 2);
    seed_put_le(w, 4, 0);
    put_part(w, 1, w->in.start, decoded_block(w->d, 0)->bitmap);
    put_part(w, 2, w->d->ram_end, w->stream_end);
}

static void put_sums(SeedWriter *w)
{
    const GByteArray *input = w->s->input;
    const uint8_t *table;

    seed_put_le(w, 4, seed_key(w) ? 2 : 1);
    seed_put_le(w, 4, 64 * KiB);
    seed_put_le(w, 4, 4096);
    seed_put_le(w, 4, 0);
    seed_put_le(w, 8, w->table);
    seed_put_le(w, 8, w->table_length);
    seed_put_le(w, 8, w->d->blocks->len);
    for (size_t i = 0; i < w->d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(w->d, i);
        uint64_t words = DIV_ROUND_UP(b->length / INPUT_PAGE, 64);

        seed_put_le(w, 8, file_sum(w, b->bitmap, b->bitmap + words * 8));
    }
    g_assert(w->table_length <= 4096);
    table = input->data + input->len - (seed_here(w) - w->table);
    seed_put_le(w, 8, 1);
    seed_put_le(w, 8, fixed_ram_sums_get(table, w->table_length));
    if (seed_key(w)) {
        seed_put_le(w, 8, seed_key(w));
    }
}

static void put_later(SeedWriter *w)
{
    seed_put(w, "not known", 9);
}

/* Its section has no fields. */
static void put_clean(SeedWriter *w)
{
}

static void put_text(SeedWriter *w, const char *text)
{
    seed_put_le(w, 4, strlen(text));
    seed_put(w, text, strlen(text));
}

/* An option with an argument, one without, and a disk image. */
static void put_options(SeedWriter *w)
{
    seed_put_le(w, 4, 3);
    seed_put_le(w, 4, 1);
    put_text(w, "qemu-system-x86_64");
    seed_put_le(w, 4, 1);
    put_text(w, "smp");
    put_text(w, "2");
    seed_put_le(w, 4, 0);
    put_text(w, "nodefaults");
    seed_put_le(w, 4, 1);
    put_text(w, "");
    put_text(w, "gr\xc3\xbcn \x1b.img");
}

/* Are pages whose bit is clear zero in the file, too? */
static bool is_clean(const SeedWriter *w)
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

static void put_section(SeedWriter *w, uint32_t type, uint32_t flags,
                        void (*put_payload)(SeedWriter *w))
{
    uint32_t at = w->s->input->len;
    uint32_t payload;

    seed_put_le(w, 4, type);
    seed_put_le(w, 4, flags);
    seed_put_le(w, 8, 0);
    payload = w->s->input->len;
    put_payload(w);
    stq_le_p(w->s->input->data + payload - 8, w->s->input->len - payload);
    seed_align(w, 8);
    seed_end_part(w, at);
}

/* Returns its length. */
static uint64_t put_index(SeedWriter *w, uint64_t at)
{
    bool has_machine = w->kind >= INDEX_FULL, later = w->kind >= INDEX_LATER;
    bool clean = has_machine && is_clean(w);
    uint32_t header = w->s->input->len;

    seed_put(w, "QFXRINDX", 8);
    seed_put_le(w, 4, 1);
    seed_put_le(w, 4, 2 + 2 * has_machine + w->has_sums + later + clean +
                      2 * !!w->set + !!w->layers);
    seed_put(w, w->s->id, 16);
    seed_end_part(w, header);
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
    if (w->layers) {
        put_section(w, 5, 1, seed_put_layers);
    }
    if (w->set) {
        put_section(w, 6, 0, seed_put_set_section);
        put_section(w, 8, 0, seed_put_space);
    }
    if (clean) {
        put_section(w, 9, 0, put_clean);
    }
    if (has_machine) {
        put_section(w, 10, 0, put_options);
    }
    return seed_here(w) - at;
}

/*
 * Superblock
 */

/* The slot is there and zero. */
static void fill_superblock(SeedWriter *w, uint64_t index, uint64_t length)
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
    memcpy(sb + 16, s->id, 16);
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

void seed_add_index(Seed *s, SeedIndex kind, SeedSet set, unsigned layers)
{
    SeedWriter w = {
        .s = s, .kind = kind,
        .set = fixed_ram_sums_built() ? set : SEED_SET_NONE,
        .layers = fixed_ram_sums_built() ? layers : 0,
        .before = g_memdup2(s->input->data, s->input->len),
        .has_sums = kind >= INDEX_SUMS && fixed_ram_sums_built(),
    };
    uint64_t index = 0, length = 0;

    s->index_fields = s->fields->len;
    input_parse(&w.in, w.before, s->input->len);
    w.d = decode(&w.in);
    w.stream_end = w.in.size;
    s->superblock = decoded_block(w.d, 0)->pages - 4096 + INPUT_HEAD;
    if (w.layers) {
        seed_plan_layers(&w);
    }
    if (w.has_sums) {
        put_table(&w);
    }
    if (w.layers) {
        seed_put_map(&w);
    }
    if (w.set) {
        seed_put_set(&w);
    }
    if (kind >= INDEX_BARE) {
        seed_align(&w, 4096);
        index = seed_here(&w);
        length = put_index(&w, index);
    }
    if (kind >= INDEX_LATER) {
        seed_align(&w, 4096);   /* the file goes on */
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
        seed_seal_set(&in, input, size, offset, length);
        seed_seal_layers(&in, input, size, offset, length);
        index = g_malloc(length);
        length = input_read(&in, index, length, offset);
        stl_le_p(sb + 64, check_crc32c(index, length));
    }
    stl_le_p(sb + 4092, check_crc32c(sb, 4092));
}

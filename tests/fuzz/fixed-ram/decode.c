/*
 * fixed-ram: what a snapshot says RAM holds, found out once more
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "decode.h"

/* docs/devel/migration/main.rst and mapped-ram.rst */
#define SECTION_START       1
#define SUBSECTION          5
#define CONFIGURATION       7
#define COMMAND             8

typedef struct Cursor {
    const Input *in;
    uint64_t pos;
    bool bad;                   /* it ran into the file's end */
} Cursor;

/* A big-endian number of @width bytes; 0 beyond the end. */
static uint64_t take(Cursor *c, unsigned width)
{
    uint8_t bytes[8];
    uint64_t value = 0;

    if (input_read(c->in, bytes, width, c->pos) < width) {
        c->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < width; i++) {
        value = value << 8 | bytes[i];
    }
    c->pos += width;
    return value;
}

/* Returns its length. */
static size_t take_name(Cursor *c, char name[256])
{
    size_t length = take(c, 1);

    c->bad |= input_read(c->in, name, length, c->pos) < length;
    name[c->bad ? 0 : length] = '\0';
    c->pos += length;
    return length;
}

static void skip_configuration(Cursor *c)
{
    char name[256];

    c->pos += take(c, 4);
    while (!c->bad && take(c, 1) == SUBSECTION) {
        take_name(c, name);
        take(c, 4);
        if (g_str_equal(name, "configuration/uuid")) {
            c->pos += 16;
        } else if (g_str_equal(name, "configuration/target-page-bits")) {
            c->pos += 4;
        } else {
            for (uint64_t n = take(c, 4); n && !c->bad; n--) {
                take_name(c, name);
            }
        }
    }
    c->pos--;
}

/* Up to the RAM section's content. */
static bool find_ram(Cursor *c)
{
    char name[256];
    uint8_t type;

    take(c, 8);
    while (!c->bad && (type = take(c, 1)) != SECTION_START) {
        if (type == CONFIGURATION) {
            skip_configuration(c);
        } else if (type == COMMAND) {
            take(c, 2);
            c->pos += take(c, 2);
        } else {
            return false;
        }
    }
    take(c, 4);
    take_name(c, name);
    take(c, 8);
    return !c->bad && g_str_equal(name, "ram");
}

static uint64_t take_block(Cursor *c, GArray *blocks, uint64_t first_cluster)
{
    DecodedBlock block = { .header = c->pos };

    block.name_length = take_name(c, block.name);
    block.length = take(c, 8);
    block.version = take(c, 4);
    block.page_size = take(c, 8);
    block.bitmap = take(c, 8);
    block.pages = take(c, 8);
    block.header_end = c->pos;
    block.first_cluster = first_cluster;
    c->pos = block.pages + block.length;
    g_array_append_val(blocks, block);
    return block.length;
}

Decoded *decode(const Input *in)
{
    g_autoptr(Decoded) d = g_new0(Decoded, 1);
    Cursor c = { .in = in, .pos = in->start };
    uint64_t left, clusters = 0;

    d->in = in;
    d->blocks = g_array_new(false, false, sizeof(DecodedBlock));
    if (!find_ram(&c)) {
        return NULL;
    }
    left = take(&c, 8) & -INPUT_PAGE;
    while (left && !c.bad) {
        uint64_t length = take_block(&c, d->blocks, clusters);

        c.bad |= !length || length > left;
        left -= length;
        clusters += DIV_ROUND_UP(length, 64 * KiB);
    }
    d->ram_end = c.pos;
    d->after = take(&c, 8);
    return c.bad ? NULL : g_steal_pointer(&d);
}

void decoded_free(Decoded *d)
{
    g_array_unref(d->blocks);
    g_free(d->map);
    if (d->layers) {
        g_ptr_array_unref(d->layers);
    }
    g_free(d);
}

const DecodedBlock *decoded_find(const Decoded *d, const DecodedBlock *like)
{
    for (size_t i = 0; i < d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(d, i);

        if (g_str_equal(b->name, like->name) && b->length == like->length) {
            return b;
        }
    }
    return NULL;
}

bool decoded_bit(const Decoded *d, const DecodedBlock *block, uint64_t page)
{
    uint8_t byte = 0;

    input_read(d->in, &byte, 1, block->bitmap + page / 8);
    return byte >> page % 8 & 1;
}

/* The file that has the page, and the block there. */
static const Decoded *find_page(const Decoded *d, const DecodedBlock **block,
                                uint64_t page)
{
    uint64_t cluster = (*block)->first_cluster + page * INPUT_PAGE / (64 * KiB);
    const Decoded *layer;

    if (!d->map || !d->map[cluster]) {
        return d;
    }
    g_assert_cmpuint(d->map[cluster], <=, d->layers->len);
    layer = g_ptr_array_index(d->layers, d->map[cluster] - 1);
    *block = decoded_find(layer, *block);
    g_assert(*block);
    return layer;
}

void decoded_page(const Decoded *d, const DecodedBlock *block, uint64_t page,
                  uint8_t *buf)
{
    memset(buf, 0, INPUT_PAGE);
    if (decoded_bit(d, block, page)) {
        d = find_page(d, &block, page);
        input_read(d->in, buf, INPUT_PAGE, block->pages + page * INPUT_PAGE);
    }
}

uint64_t decoded_section(const Input *in, uint32_t type, uint64_t index,
                         uint64_t length, uint64_t *payload)
{
    uint64_t at = index + 32, end = index + length;
    uint8_t header[16];

    while (at < end &&
           input_read(in, header, sizeof(header), at) == sizeof(header)) {
        *payload = ldq_le_p(header + 8);
        if (*payload > length) {
            break;
        }
        at += sizeof(header);
        if (ldl_le_p(header) == type) {
            return at;
        }
        at += ROUND_UP(*payload, 8);
    }
    *payload = 0;
    return 0;
}

uint8_t *decoded_bytes(const Decoded *d, uint64_t offset, uint64_t length)
{
    uint8_t *bytes;

    g_assert_cmpuint(offset, <=, d->in->size);
    g_assert_cmpuint(length, <=, d->in->size - offset);
    bytes = g_malloc(MAX(length, 1));
    input_read(d->in, bytes, length, offset);
    return bytes;
}

uint64_t decoded_le(const Decoded *d, uint64_t offset, unsigned width)
{
    g_autofree uint8_t *bytes = decoded_bytes(d, offset, width);
    uint64_t value = 0;

    while (width--) {
        value = value << 8 | bytes[width];
    }
    return value;
}

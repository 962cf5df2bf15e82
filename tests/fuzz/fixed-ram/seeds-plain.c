/*
 * fixed-ram: plain migration streams to begin fuzzing with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "input.h"
#include "seeds-plain.h"

#define FLAG_ZERO       0x002
#define FLAG_PAGE       0x008
#define FLAG_EOS        0x010
#define FLAG_CONTINUE   0x020

typedef struct PlainOptions {
    const char *name;
    uint64_t start;             /* bytes before the stream */
    unsigned rounds;            /* sections of pages after the first one */
    bool capabilities;          /* there are some, not those of a layout */
    bool description;           /* of devices, at the end */
    uint64_t odd;               /* flags in the place of one page's */
} PlainOptions;

static const PlainOptions options[] = {
    { "plain", .rounds = 1, .description = true },
    { "plain-live", .rounds = 4, .capabilities = true },
    { "plain-offset", .start = 513, .rounds = 1, .description = true },
    { "plain-multifd", .rounds = 1, .odd = 0x200 },
    { "plain-xbzrle", .rounds = 1, .odd = 0x40 },
};

static const struct {
    const char *name;
    uint64_t pages;
} blocks[] = { { "pc.ram", 9 }, { "/rom@etc/acpi/tables", 2 } };

static void put(Seed *s, const void *bytes, size_t length)
{
    g_byte_array_append(s->input, bytes, length);
}

static void put_be(Seed *s, unsigned width, uint64_t value)
{
    SeedField field = { .at = s->input->len, .width = width };
    uint8_t be[8];

    stq_be_p(be, value);
    put(s, be + 8 - width, width);
    g_array_append_val(s->fields, field);
}

static void put_string(Seed *s, const char *string)
{
    put_be(s, 1, strlen(string));
    put(s, string, strlen(string));
}

static void put_bytes(Seed *s, uint8_t value, size_t length)
{
    guint from = s->input->len;

    g_byte_array_set_size(s->input, from + length);
    memset(s->input->data + from, value, length);
}

static void end_part(Seed *s, uint32_t at)
{
    SeedPart part = { .at = at, .length = s->input->len - at };

    g_array_append_val(s->parts, part);
}

static void put_beginning(Seed *s, const PlainOptions *o)
{
    uint32_t at;

    put_be(s, 8, o->start);
    put_bytes(s, 0, INPUT_HEAD - 8);
    put_bytes(s, 0xee, o->start);
    put_be(s, 4, 0x5145564d);
    put_be(s, 4, 3);
    at = s->input->len;
    put_be(s, 1, 7);
    put_be(s, 4, 7);
    put(s, "machine", 7);
    if (o->capabilities) {
        put_be(s, 1, 5);
        put_string(s, "configuration/capabilities");
        put_be(s, 4, 1);
        put_be(s, 4, 1);
        put_string(s, "multifd");
    }
    end_part(s, at);
}

static void put_section_end(Seed *s)
{
    put_be(s, 8, FLAG_EOS);
    put_be(s, 1, 0x7e);
    put_be(s, 4, 2);
}

static void put_list(Seed *s)
{
    uint32_t at = s->input->len;
    uint64_t total = 0;

    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        total += blocks[i].pages * INPUT_PAGE;
    }
    put_be(s, 1, 1);
    put_be(s, 4, 2);
    put_string(s, "ram");
    put_be(s, 4, 0);
    put_be(s, 4, 4);
    put_be(s, 8, total | 4);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        put_string(s, blocks[i].name);
        put_be(s, 8, blocks[i].pages * INPUT_PAGE);
    }
    put_section_end(s);
    end_part(s, at);
}

/* A page that differs each time, and is zero now and then. */
static void put_page(Seed *s, size_t i, uint64_t page, unsigned round,
                     uint64_t odd)
{
    bool zero = (page + round) % 3 == 0;
    uint64_t flags = odd ?: zero ? FLAG_ZERO : FLAG_PAGE;

    put_be(s, 8, page * INPUT_PAGE | flags | (page ? FLAG_CONTINUE : 0));
    if (!page) {
        put_string(s, blocks[i].name);
    }
    put_bytes(s, zero ? 0 : 1 + page + round, zero ? 1 : INPUT_PAGE);
}

static void put_round(Seed *s, const PlainOptions *o, unsigned round)
{
    uint32_t at = s->input->len;

    put_be(s, 1, round + 1 == o->rounds ? 3 : 2);
    put_be(s, 4, 2);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
        for (uint64_t page = 0; page < blocks[i].pages; page++) {
            put_page(s, i, page, round, i && !page ? o->odd : 0);
        }
    }
    put_section_end(s);
    end_part(s, at);
}

static void put_end(Seed *s, const PlainOptions *o)
{
    static const char text[] = "{\"devices\":[{\"name\":\"timer\"}]}";
    uint32_t at = s->input->len;

    put_be(s, 1, 4);
    put_be(s, 4, 3);
    put_string(s, "timer");
    put_be(s, 4, 0);
    put_be(s, 4, 2);
    put_bytes(s, 0x55, 24);
    put_be(s, 1, 0);
    if (o->description) {
        put_be(s, 1, 6);
        put_be(s, 4, strlen(text));
        put(s, text, strlen(text));
    }
    end_part(s, at);
}

static Seed *seed_new(const PlainOptions *o)
{
    Seed *s = g_new0(Seed, 1);

    s->name = o->name;
    s->input = g_byte_array_new();
    s->fields = g_array_new(false, false, sizeof(SeedField));
    s->parts = g_array_new(false, false, sizeof(SeedPart));
    s->pages = g_array_new(false, false, sizeof(SeedPart));
    put_beginning(s, o);
    put_list(s);
    for (unsigned i = 0; i < o->rounds; i++) {
        put_round(s, o, i);
    }
    put_end(s, o);
    return s;
}

void seeds_add_plain(GPtrArray *seeds)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        g_ptr_array_add(seeds, seed_new(&options[i]));
    }
}

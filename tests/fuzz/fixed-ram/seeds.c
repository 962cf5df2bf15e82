/*
 * fixed-ram: snapshots to begin fuzzing with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "migration/fixed-ram/format/sums.h"
#include "input.h"
#include "layers.h"
#include "machine.h"
#include "seeds-index.h"
#include "seeds-plain.h"

typedef enum Filling {
    FULL,
    EMPTY,
    FRAGMENTED,                 /* single pages and runs */
    SPARSE,                     /* a page now and then */
    ENDS,                       /* the first page and the last one */
} Filling;

/* A fault of the seed; all other fields agree with it. */
typedef enum Defect {
    GOOD,
    TWICE,                      /* the last block is called as the first one */
    UNALIGNED,                  /* the first block's pages */
    LENGTHS,                    /* of two blocks are no multiples of a page */
    WRAPPED,                    /* pages so far behind that they end before */
    LACKING,                    /* a layer lacks a block that it is to have */
    UNSUMMED,                   /* the map is not what its checksum says */
    REPEATED,                   /* both layers are the base */
} Defect;

typedef struct SeedOptions {
    const char *name;
    uint64_t start;             /* bytes before the stream */
    bool libvirt;               /* they are libvirt's header and its data */
    uint8_t flags;              /* INPUT_... */
    uint8_t loaders;
    const char *const *caps;    /* NULL: what mapped-ram writes */
    unsigned machine_name;      /* bytes; 0: a usual one */
    bool bare;                  /* no other part in the configuration */
    unsigned commands;
    uint64_t align;             /* of pages; 0: no more than is needed */
    unsigned resizable;         /* pages of that block; 0: as the machine's */
    bool reversed;              /* the blocks */
    bool solid;                 /* has no hole */
    Filling filling;
    Defect defect;
    SeedIndex index;
    SeedSet set;                /* needs an index */
    unsigned layers;            /* of a delta; 0: it is a full snapshot */
    const char *id;             /* NULL: a usual one */
} SeedOptions;

/* What libvirt puts in front of a stream. */
#define LIBVIRT_XML     "<domain><name>seed</name></domain>"
#define LIBVIRT_COOKIE  "<cookie/>"
#define LIBVIRT_DATA    (sizeof(LIBVIRT_XML) + sizeof(LIBVIRT_COOKIE))
#define LIBVIRT_UNUSED  56
#define LIBVIRT_BYTES   (16 + 5 * 4 + LIBVIRT_UNUSED + LIBVIRT_DATA)

static const char *const caps_mapped[] = { "mapped-ram", NULL };
static const char *const caps_ours[] = {
    "multifd", "mapped-ram", "fixed-ram", NULL
};
static const char *const caps_many[] = {
    "auto-converge", "events", "late-block-activate", "mapped-ram", "multifd",
    "pause-before-switchover", "release-ram", "validate-uuid",
    "switchover-ack-that-has-a-name-as-long-as-no-capability-had-before-and-"
    "that-goes-on-and-on-until-it-fills-what-a-byte-can-count-if-not-quite",
    NULL
};

/* Files that others have for layers, the base first. */
static const SeedOptions layer_options[] = {
    { "base.img", .start = 777, .filling = FULL, .index = INDEX_FULL,
      .id = "identity of base" },
    { "newer.img", .resizable = MACHINE_LARGE, .filling = FRAGMENTED,
      .index = INDEX_SUMS, .layers = 1, .id = "the newer one id" },
};

static const SeedOptions options[] = {
    { "eager", .loaders = 1, .filling = FRAGMENTED },
    { "eager-ours", .loaders = 2, .caps = caps_ours, .filling = FRAGMENTED },
    { "eager-full", .loaders = 2, .filling = FULL },
    { "eager-empty", .loaders = 1, .filling = EMPTY },
    { "eager-offset", .start = 777, .loaders = 1, .filling = SPARSE },
    { "eager-large", .loaders = 2, .resizable = MACHINE_LARGE,
      .filling = FRAGMENTED },
    { "eager-large-full", .loaders = 1, .resizable = MACHINE_LARGE,
      .filling = FULL },
    { "demand", .flags = INPUT_ON_DEMAND, .loaders = 1,
      .filling = FRAGMENTED },
    { "demand-faults", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY,
      .filling = FRAGMENTED },
    { "demand-early", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY,
      .loaders = 2, .filling = FULL },
    { "demand-late", .flags = INPUT_ON_DEMAND | INPUT_RUNS_LATE, .loaders = 1,
      .filling = ENDS },
    { "demand-empty", .flags = INPUT_ON_DEMAND, .filling = EMPTY },
    { "demand-offset", .start = 70001, .flags = INPUT_ON_DEMAND, .loaders = 1,
      .commands = 2, .filling = SPARSE },
    { "demand-large", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY,
      .loaders = 1, .resizable = MACHINE_LARGE, .filling = FULL },
    { "demand-large-late", .flags = INPUT_ON_DEMAND | INPUT_RUNS_LATE,
      .loaders = 2, .resizable = MACHINE_LARGE, .filling = SPARSE },
    { "many-capabilities", .loaders = 1, .caps = caps_many,
      .filling = SPARSE },
    { "long-machine-name", .loaders = 1, .machine_name = 4096,
      .filling = SPARSE },
    { "bare", .loaders = 1, .caps = caps_mapped, .bare = true,
      .filling = ENDS },
    { "commands", .loaders = 1, .commands = 4, .filling = ENDS },
    { "aligned", .loaders = 1, .align = 64 * KiB, .filling = SPARSE },
    { "smaller", .loaders = 1, .resizable = 3, .filling = FULL },
    { "one-page", .flags = INPUT_ON_DEMAND, .loaders = 1, .resizable = 1,
      .filling = FULL },
    { "word", .loaders = 1, .resizable = 64, .filling = FULL },
    { "word-and-a-page", .flags = INPUT_ON_DEMAND, .loaders = 1,
      .resizable = 65, .filling = FULL },
    { "reversed", .loaders = 1, .reversed = true, .filling = FRAGMENTED },
    { "reversed-demand", .flags = INPUT_ON_DEMAND | INPUT_RUNS_LATE,
      .reversed = true, .filling = FRAGMENTED },
    { "units", .flags = INPUT_ON_DEMAND | INPUT_UNITS, .loaders = 1,
      .filling = FRAGMENTED },
    { "units-large", .flags = INPUT_ON_DEMAND | INPUT_UNITS | INPUT_RUNS_EARLY,
      .loaders = 2, .resizable = MACHINE_LARGE, .filling = SPARSE },
    { "index", .loaders = 1, .filling = FRAGMENTED, .index = INDEX_FULL },
    { "index-demand", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY,
      .loaders = 1, .filling = FRAGMENTED, .index = INDEX_LATER },
    { "index-units", .flags = INPUT_ON_DEMAND | INPUT_UNITS, .loaders = 2,
      .filling = FULL, .index = INDEX_SUMS },
    { "index-offset", .start = 777, .loaders = 1, .filling = SPARSE,
      .index = INDEX_FULL },
    { "index-libvirt", .start = LIBVIRT_BYTES, .libvirt = true, .loaders = 1,
      .filling = SPARSE, .index = INDEX_FULL },
    { "index-large", .flags = INPUT_ON_DEMAND, .loaders = 2,
      .resizable = MACHINE_LARGE, .filling = FRAGMENTED,
      .index = INDEX_FULL },
    { "index-reversed", .loaders = 1, .reversed = true, .filling = ENDS,
      .index = INDEX_SUMS },
    { "index-empty", .loaders = 1, .filling = EMPTY, .index = INDEX_FULL },
    { "index-bare", .loaders = 1, .filling = FRAGMENTED,
      .index = INDEX_BARE },
    { "index-later", .flags = INPUT_ON_DEMAND, .loaders = 1,
      .filling = FRAGMENTED, .index = INDEX_LATER },
    { "index-solid", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY, .loaders = 1,
      .resizable = 40, .solid = true, .filling = FRAGMENTED,
      .index = INDEX_SUMS },
    { "index-solid-eager", .loaders = 1, .resizable = 40, .solid = true,
      .filling = FULL, .index = INDEX_SUMS },
    { "index-unverified", .flags = INPUT_UNVERIFIED, .loaders = 1,
      .filling = FULL, .index = INDEX_SUMS },
    { "index-cut-off", .loaders = 1, .filling = SPARSE,
      .index = INDEX_CUT_OFF },
    { "set-recorded", .flags = INPUT_ON_DEMAND, .loaders = 1,
      .filling = FRAGMENTED, .index = INDEX_SUMS, .set = SEED_SET_RECORDED },
    { "set-packed", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY, .loaders = 2,
      .filling = FULL, .index = INDEX_FULL, .set = SEED_SET_PACKED },
    { "set-packed-late", .start = 777,
      .flags = INPUT_ON_DEMAND | INPUT_RUNS_LATE, .loaders = 1,
      .resizable = MACHINE_LARGE, .filling = FRAGMENTED, .index = INDEX_SUMS,
      .set = SEED_SET_PACKED },
    { "set-packed-unverified", .flags = INPUT_ON_DEMAND | INPUT_UNVERIFIED,
      .loaders = 1, .filling = FRAGMENTED, .index = INDEX_LATER,
      .set = SEED_SET_PACKED },
    { "set-guessed", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY, .loaders = 1,
      .filling = FRAGMENTED, .index = INDEX_FULL, .set = SEED_SET_GUESSED },
    { "set-large", .flags = INPUT_ON_DEMAND, .loaders = 2, .filling = FULL,
      .index = INDEX_SUMS, .set = SEED_SET_LARGE },
    { "set-units", .flags = INPUT_ON_DEMAND | INPUT_UNITS, .loaders = 1,
      .filling = FULL, .index = INDEX_SUMS, .set = SEED_SET_PACKED },
    { "set-bare", .flags = INPUT_ON_DEMAND, .loaders = 1, .filling = SPARSE,
      .index = INDEX_BARE, .set = SEED_SET_GUESSED },
    { "set-eager", .loaders = 1, .filling = FRAGMENTED, .index = INDEX_FULL,
      .set = SEED_SET_PACKED },
    { "set-record", .flags = INPUT_ON_DEMAND | INPUT_RECORD, .loaders = 1,
      .filling = FRAGMENTED, .index = INDEX_SUMS, .set = SEED_SET_RECORDED },
    { "delta", .loaders = 1, .filling = FRAGMENTED, .index = INDEX_SUMS,
      .layers = 1 },
    { "delta-full", .loaders = 2, .filling = FULL, .index = INDEX_FULL,
      .layers = 2 },
    { "delta-demand", .flags = INPUT_ON_DEMAND | INPUT_RUNS_EARLY,
      .loaders = 1, .filling = FULL, .index = INDEX_FULL, .layers = 2 },
    { "delta-large", .flags = INPUT_ON_DEMAND | INPUT_UNITS, .loaders = 2,
      .resizable = MACHINE_LARGE, .filling = FRAGMENTED, .index = INDEX_SUMS,
      .layers = 2 },
    { "delta-reversed", .flags = INPUT_ON_DEMAND | INPUT_RUNS_LATE,
      .loaders = 1, .reversed = true, .filling = SPARSE, .index = INDEX_LATER,
      .layers = 2 },
    { "delta-offset", .start = 777, .loaders = 1, .filling = ENDS,
      .index = INDEX_SUMS, .layers = 1 },
    { "delta-set", .flags = INPUT_ON_DEMAND, .loaders = 1,
      .filling = FRAGMENTED, .index = INDEX_FULL, .set = SEED_SET_PACKED,
      .layers = 2 },
    { "bad-twice", .loaders = 1, .filling = ENDS, .defect = TWICE },
    { "bad-unaligned", .loaders = 1, .filling = ENDS, .defect = UNALIGNED },
    { "bad-lengths", .loaders = 1, .filling = ENDS, .defect = LENGTHS },
    { "bad-wrapped", .loaders = 1, .filling = ENDS, .defect = WRAPPED },
    { "bad-lacking", .loaders = 1, .filling = FULL, .defect = LACKING,
      .index = INDEX_SUMS, .layers = 2 },
    { "bad-unsummed", .loaders = 1, .filling = FULL, .defect = UNSUMMED,
      .index = INDEX_SUMS, .layers = 2 },
    { "bad-repeated", .loaders = 1, .filling = FULL, .defect = REPEATED,
      .index = INDEX_SUMS, .layers = 2 },
};

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

/* Bytes without meaning, none of them zero. */
static void put_any(Seed *s, size_t length)
{
    guint from = s->input->len;

    g_byte_array_set_size(s->input, from + length);
    for (guint i = from; i < s->input->len; i++) {
        s->input->data[i] = (i * 7 + i / 4096) | 0x80;
    }
}

/* The offset of the next byte in the file. */
static uint64_t here(const Seed *s)
{
    uint64_t hole = lduw_be_p(s->input->data + 14) * INPUT_PAGE;

    return s->input->len - INPUT_HEAD + hole;
}

static void end_part(Seed *s, uint32_t at)
{
    SeedPart part = { .at = at, .length = s->input->len - at };

    g_array_append_val(s->parts, part);
}

static void put_le32(Seed *s, uint32_t value)
{
    SeedField field = { .at = s->input->len, .width = 4, .little = true };
    uint8_t le[4];

    stl_le_p(le, value);
    put(s, le, sizeof(le));
    g_array_append_val(s->fields, field);
}

static void put_libvirt(Seed *s)
{
    static const uint8_t unused[LIBVIRT_UNUSED];

    put(s, "LibvirtQemudSave", 16);
    put_le32(s, 2);                     /* version */
    put_le32(s, LIBVIRT_DATA);
    put_le32(s, 1);                     /* was running */
    put_le32(s, 6);                     /* format: sparse */
    put_le32(s, sizeof(LIBVIRT_XML));   /* where the cookie begins */
    put(s, unused, sizeof(unused));
    put(s, LIBVIRT_XML, sizeof(LIBVIRT_XML));
    put(s, LIBVIRT_COOKIE, sizeof(LIBVIRT_COOKIE));
}

static void put_head(Seed *s, const SeedOptions *o)
{
    put_be(s, 8, o->start);
    put_be(s, 1, o->flags);
    put_be(s, 1, o->loaders);
    put_be(s, 1, 0);            /* no faults */
    put_be(s, 1, 2);
    put_be(s, 1, 1);
    put_be(s, 1, strlen(o->name));
    put_be(s, 2, 0);            /* no hole yet */
    put_be(s, 4, 0);
    if (o->libvirt) {
        put_libvirt(s);
    } else {
        put_any(s, o->start);
    }
}

static void put_subsection(Seed *s, const char *name)
{
    put_be(s, 1, 5);
    put_string(s, name);
    put_be(s, 4, 1);
}

static void put_capabilities(Seed *s, const SeedOptions *o)
{
    const char *const *caps = o->caps ?: caps_mapped;

    put_subsection(s, "configuration/capabilities");
    put_be(s, 4, g_strv_length((char **)caps));
    for (; *caps; caps++) {
        put_string(s, *caps);
    }
}

static void put_configuration(Seed *s, const SeedOptions *o)
{
    uint32_t at = s->input->len;
    size_t name = o->machine_name ?: strlen("pc-i440fx-10.0");

    put_be(s, 1, 7);
    put_be(s, 4, name);
    put_any(s, name);
    if (!o->bare) {
        put_subsection(s, "configuration/target-page-bits");
        put_be(s, 4, 12);
    }
    put_capabilities(s, o);
    if (!o->bare) {
        put_subsection(s, "configuration/uuid");
        put_any(s, 16);
    }
    end_part(s, at);
}

static void put_commands(Seed *s, const SeedOptions *o)
{
    for (unsigned i = 0; i < o->commands; i++) {
        uint32_t at = s->input->len;

        put_be(s, 1, 8);
        put_be(s, 2, i + 3);
        put_be(s, 2, i * 100);
        put_any(s, i * 100);
        end_part(s, at);
    }
}

static bool holds_page(Filling filling, uint64_t page, uint64_t pages)
{
    switch (filling) {
    case FULL:
        return true;
    case EMPTY:
        return false;
    case FRAGMENTED:
        return page % 7 > 3 || page % 64 == 0 || page / 100 == 2;
    case SPARSE:
        return page % 29 == 1;
    case ENDS:
        return page == 0 || page == pages - 1;
    default:
        g_assert_not_reached();
    }
}

static void put_bitmap(Seed *s, const SeedOptions *o, uint64_t pages)
{
    uint32_t at = s->input->len;

    for (uint64_t word = 0; word < pages; word += 64) {
        uint64_t bits = 0, le;

        for (uint64_t page = word; page < MIN(word + 64, pages); page++) {
            bits |= (uint64_t)holds_page(o->filling, page, pages)
                    << (page - word);
        }
        stq_le_p(&le, bits);
        put(s, &le, sizeof(le));
    }
    end_part(s, at);
}

/* The place of a superblock is zero; other padding may have any content. */
static void put_padding(Seed *s, uint64_t length)
{
    put_any(s, length);
    if (length >= 4096) {
        memset(s->input->data + s->input->len - 4096, 0, 4096);
    }
}

/* The largest block's pages make the hole, the others' are in the input. */
static void put_pages(Seed *s, const SeedOptions *o, uint64_t length,
                      bool largest)
{
    SeedPart part = { .at = s->input->len, .length = length };

    if (largest && !o->solid) {
        stl_be_p(s->input->data + 16, here(s));
        stw_be_p(s->input->data + 14, length / INPUT_PAGE);
    } else {
        put_any(s, length);
        if (o->index) {
            g_array_append_val(s->pages, part);
        }
    }
}

/* Number @i of the blocks in the file. */
static const MachineBlock *seed_block(const SeedOptions *o, int i)
{
    return &machine_blocks[o->reversed ? MACHINE_BLOCKS - 1 - i : i];
}

static uint64_t seed_length(const SeedOptions *o, int i)
{
    const MachineBlock *block = seed_block(o, i);
    uint64_t pages = block->resizable && o->resizable ? o->resizable
                                                      : block->pages;

    return pages * INPUT_PAGE +
           (o->defect == LENGTHS && i < 2 ? INPUT_PAGE / 2 : 0);
}

static void put_block(Seed *s, const SeedOptions *o, int i)
{
    uint32_t at = s->input->len;
    int named = o->defect == TWICE && i == MACHINE_BLOCKS - 1 ? 0 : i;
    uint64_t length = seed_length(o, i);
    uint64_t pages = length / INPUT_PAGE, bitmap_at, pages_at;
    bool wrapped = o->defect == WRAPPED && i == 0;

    put_string(s, seed_block(o, named)->name);
    put_be(s, 8, length);
    put_be(s, 4, o->layers ? 2 : 1);
    put_be(s, 8, INPUT_PAGE);
    bitmap_at = here(s) + 16;
    pages_at = ROUND_UP(bitmap_at + DIV_ROUND_UP(pages, 64) * 8 +
                        (o->index && i == 0 ? 4096 : 0),
                        MAX(o->align, INPUT_PAGE));
    pages_at += o->defect == UNALIGNED && i == 0 ? 512 : 0;
    put_be(s, 8, bitmap_at);
    put_be(s, 8, wrapped ? pages_at - length : pages_at);
    end_part(s, at);
    put_bitmap(s, o, pages);
    put_padding(s, pages_at - here(s));
    put_pages(s, o, wrapped ? 0 : length, seed_block(o, i)->resizable);
}

static void put_ram(Seed *s, const SeedOptions *o)
{
    uint64_t total = 0;
    uint32_t at = s->input->len;

    for (int i = 0; i < MACHINE_BLOCKS; i++) {
        total += seed_length(o, i);
    }
    put_be(s, 1, 1);
    put_be(s, 4, 2);
    put_string(s, "ram");
    put_be(s, 4, 0);
    put_be(s, 4, 4);
    put_be(s, 8, total | 4);
    end_part(s, at);
    for (int i = 0; i < MACHINE_BLOCKS; i++) {
        put_block(s, o, i);
    }
}

/* The end of RAM's first section, its last one, a device, the end. */
static void put_rest(Seed *s)
{
    uint32_t at = s->input->len;

    put_be(s, 8, 0x10);
    put_be(s, 1, 0x7e);
    put_be(s, 4, 2);
    put_be(s, 1, 3);
    put_be(s, 4, 2);
    put_be(s, 8, 0x10);
    put_be(s, 1, 0x7e);
    put_be(s, 4, 2);
    end_part(s, at);
    put_be(s, 1, 4);
    put_be(s, 4, 3);
    put_string(s, "timer");
    put_be(s, 4, 0);
    put_be(s, 4, 2);
    put_any(s, 24);
    put_be(s, 1, 0x7e);
    put_be(s, 4, 3);
    put_be(s, 1, 0);
}

/* Does nothing if there are no layers, since there are no checksums. */
static void spoil_delta(Seed *s, Defect defect)
{
    uint8_t *last = s->input->data + s->map.at + s->map.length - 1;
    uint8_t *layers = s->input->data + s->layers.at;
    uint32_t each = s->layers.length / 2;

    if (!s->map.length) {
        return;
    }
    if (defect == REPEATED) {
        memcpy(layers, layers + each, each);
    } else {
        /* Layer 1 has the last block with another length, layer 2 has it. */
        *last = defect == LACKING ? 1 : *last ? 0 : 2;
    }
    if (defect != UNSUMMED) {
        seed_seal(s->input->data, s->input->len, s->superblock);
    }
}

static Seed *seed_new(const SeedOptions *o)
{
    Seed *s = g_new0(Seed, 1);

    s->name = o->name;
    s->id = o->id ?: "the seed's own id";
    s->good = o->defect == GOOD && o->index != INDEX_CUT_OFF &&
              (!o->layers || fixed_ram_sums_built());
    s->input = g_byte_array_new();
    s->fields = g_array_new(false, false, sizeof(SeedField));
    s->parts = g_array_new(false, false, sizeof(SeedPart));
    s->pages = g_array_new(false, false, sizeof(SeedPart));
    put_head(s, o);
    put_be(s, 4, 0x5145564d);
    put_be(s, 4, 3);
    put_configuration(s, o);
    put_commands(s, o);
    put_ram(s, o);
    put_rest(s);
    if (o->index) {
        seed_add_index(s, o->index, o->set, o->layers);
    }
    if (o->defect >= LACKING) {
        spoil_delta(s, o->defect);
    }
    return s;
}

static void seed_free(void *opaque)
{
    Seed *s = opaque;

    g_byte_array_unref(s->input);
    g_array_unref(s->fields);
    g_array_unref(s->parts);
    g_array_unref(s->pages);
    g_free(s);
}

void seeds_add_layers(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(layer_options); i++) {
        Seed *s = seed_new(&layer_options[i]);

        layers_add(s->name, (const uint8_t *)s->id, s->input);
        seed_free(s);
    }
}

GPtrArray *seeds_new(void)
{
    GPtrArray *seeds = g_ptr_array_new_with_free_func(seed_free);

    seeds_add_layers();
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        g_ptr_array_add(seeds, seed_new(&options[i]));
    }
    seeds_add_plain(seeds);
    return seeds;
}

bool seeds_write(const GPtrArray *seeds, const char *dir)
{
    for (size_t i = 0; i < seeds->len; i++) {
        const Seed *s = g_ptr_array_index(seeds, i);
        g_autofree char *path = g_build_filename(dir, s->name, NULL);
        GError *err = NULL;

        if (!g_file_set_contents(path, (char *)s->input->data, s->input->len,
                                 &err)) {
            fprintf(stderr, "%s\n", err->message);
            g_error_free(err);
            return false;
        }
    }
    return true;
}

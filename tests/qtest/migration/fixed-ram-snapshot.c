/*
 * What a snapshot file says a guest consists of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include <sys/mman.h>
#include "migration/fixed-ram-index.h"

#define STREAM_MAGIC            0x5145564dU
#define STREAM_VERSION          3
#define SECTION_START           0x01
#define SECTION_PART            0x02
#define SECTION_END             0x03
#define SECTION_FULL            0x04
#define SUBSECTION              0x05
#define CONFIGURATION           0x07
#define COMMAND                 0x08
#define FOOTER                  0x7e

#define RAM_MEM_SIZE            0x04
#define RAM_EOS                 0x10
#define RAM_MULTIFD_FLUSH       0x200

/* Of the section in which the VM's state goes along as a string. */
#define RUNSTATE_SECTION        "globalstate"

static const uint8_t zero_page[SNAPSHOT_PAGE_SIZE];

typedef struct Cursor {
    const Snapshot *s;
    size_t pos;
} Cursor;

static const uint8_t *take(Cursor *c, size_t n)
{
    const uint8_t *p = c->s->data + c->pos;

    g_assert_cmpuint(n, <=, c->s->size - c->pos);
    c->pos += n;
    return p;
}

static uint8_t take8(Cursor *c)
{
    return *take(c, 1);
}

static uint16_t take16(Cursor *c)
{
    return lduw_be_p(take(c, 2));
}

static uint32_t take32(Cursor *c)
{
    return ldl_be_p(take(c, 4));
}

static uint64_t take64(Cursor *c)
{
    return ldq_be_p(take(c, 8));
}

static char *take_name(Cursor *c)
{
    uint8_t n = take8(c);

    return g_strndup((const char *)take(c, n), n);
}

static void decode_capabilities(Cursor *c)
{
    uint32_t count = take32(c);

    g_assert_cmpuint(count, <, 256);
    while (count--) {
        g_ptr_array_add(c->s->capabilities, take_name(c));
    }
}

static void decode_configuration(Cursor *c)
{
    take(c, take32(c));         /* the machine's name */
    while (c->s->data[c->pos] == SUBSECTION) {
        g_autofree char *name = NULL;

        take8(c);
        name = take_name(c);
        take32(c);              /* version */
        if (g_str_equal(name, "configuration/capabilities")) {
            decode_capabilities(c);
        } else if (g_str_equal(name, "configuration/target-page-bits")) {
            take32(c);
        } else {
            g_assert_cmpstr(name, ==, "configuration/uuid");
            take(c, 16);
        }
    }
}

static void decode_command(Cursor *c)
{
    take16(c);                  /* which one */
    take(c, take16(c));
}

static void decode_block(Cursor *c)
{
    SnapshotBlock block = { .header_offset = c->pos };
    g_autofree char *name = take_name(c);
    uint32_t version;
    uint64_t words;
    Cursor at = *c;

    pstrcpy(block.name, sizeof(block.name), name);
    block.length = take64(c);
    version = take32(c);
    g_assert(version == 1 || version == 2); /* the latter in a delta */
    g_assert_cmpuint(take64(c), ==, SNAPSHOT_PAGE_SIZE);
    block.bitmap_offset = take64(c);
    block.pages_offset = take64(c);

    g_assert_cmpuint(block.length % SNAPSHOT_PAGE_SIZE, ==, 0);
    g_assert_cmpuint(block.bitmap_offset, >=, c->pos);
    words = DIV_ROUND_UP(block.length / SNAPSHOT_PAGE_SIZE, 64);
    at.pos = block.bitmap_offset;
    block.bitmap = g_memdup2(take(&at, words * 8), words * 8);
    g_assert_cmpuint(block.pages_offset, >=, at.pos);
    at.pos = block.pages_offset;
    block.pages = take(&at, block.length);
    g_array_append_val(c->s->blocks, block);
    c->pos = at.pos;
}

/* What follows in a RAM section: no pages, for they have their own places. */
static void decode_ram_records(Cursor *c)
{
    uint64_t record;

    do {
        record = take64(c);
        g_assert(record == RAM_EOS || record == RAM_MULTIFD_FLUSH);
    } while (record != RAM_EOS);
}

static void decode_footer(Cursor *c, uint32_t section)
{
    g_assert_cmpuint(take8(c), ==, FOOTER);
    g_assert_cmpuint(take32(c), ==, section);
}

/* Returns the section's number. */
static uint32_t decode_ram(Cursor *c, Snapshot *s)
{
    uint32_t section = take32(c);
    g_autofree char *name = take_name(c);
    uint64_t total;

    g_assert_cmpstr(name, ==, "ram");
    take32(c);                  /* instance */
    g_assert_cmpuint(take32(c), ==, 4);
    s->total_offset = c->pos;
    total = take64(c);
    g_assert_cmpuint(total % SNAPSHOT_PAGE_SIZE, ==, RAM_MEM_SIZE);
    total -= RAM_MEM_SIZE;
    while (total) {
        const SnapshotBlock *block;

        decode_block(c);
        block = &g_array_index(s->blocks, SnapshotBlock, s->blocks->len - 1);
        g_assert_cmpuint(block->length, <=, total);
        total -= block->length;
    }
    s->ram_end = c->pos;
    decode_ram_records(c);
    decode_footer(c, section);
    return section;
}

/* The RAM section goes on while a guest runs; then come the devices. */
static void decode_up_to_devices(Cursor *c, uint32_t ram)
{
    while (true) {
        uint8_t type = take8(c);

        if (type == SECTION_FULL) {
            c->pos--;
            return;
        } else if (type == COMMAND) {
            decode_command(c);
        } else {
            g_assert(type == SECTION_PART || type == SECTION_END);
            g_assert_cmpuint(take32(c), ==, ram);
            decode_ram_records(c);
            decode_footer(c, ram);
        }
    }
}

static void decode(Snapshot *s, uint64_t offset)
{
    Cursor c = { .s = s, .pos = offset };
    uint8_t type;

    g_assert_cmphex(take32(&c), ==, STREAM_MAGIC);
    g_assert_cmpuint(take32(&c), ==, STREAM_VERSION);
    while ((type = take8(&c)) != SECTION_START) {
        if (type == CONFIGURATION) {
            decode_configuration(&c);
        } else {
            g_assert_cmpuint(type, ==, COMMAND);
            decode_command(&c);
        }
    }
    decode_up_to_devices(&c, decode_ram(&c, s));
    s->devices = c.pos;
}

Snapshot *snapshot_open(const char *path, uint64_t offset)
{
    Snapshot *s = g_new0(Snapshot, 1);
    int fd = open(path, O_RDONLY);
    struct stat st;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    s->path = g_strdup(path);
    s->size = st.st_size;
    s->data = mmap(NULL, s->size, PROT_READ, MAP_PRIVATE, fd, 0);
    g_assert(s->data != MAP_FAILED);
    close(fd);
    s->capabilities = g_ptr_array_new_with_free_func(g_free);
    s->blocks = g_array_new(false, false, sizeof(SnapshotBlock));
    s->start = offset;
    decode(s, offset);
    s->end = snapshot_stream_end(s);
    return s;
}

void snapshot_close(Snapshot *s)
{
    for (size_t i = 0; i < s->blocks->len; i++) {
        g_free((void *)g_array_index(s->blocks, SnapshotBlock, i).bitmap);
    }
    g_array_unref(s->blocks);
    g_ptr_array_unref(s->capabilities);
    munmap((void *)s->data, s->size);
    g_free(s->path);
    g_free(s);
}

bool snapshot_has_capability(const Snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->capabilities->len; i++) {
        if (g_str_equal(g_ptr_array_index(s->capabilities, i), name)) {
            return true;
        }
    }
    return false;
}

const SnapshotBlock *snapshot_block(const Snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(s->blocks, SnapshotBlock,
                                                    i);

        if (g_str_equal(block->name, name)) {
            return block;
        }
    }
    return NULL;
}

const SnapshotBlock *snapshot_largest_block(const Snapshot *s)
{
    const SnapshotBlock *largest = NULL;

    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(s->blocks, SnapshotBlock,
                                                    i);

        if (!largest || block->length > largest->length) {
            largest = block;
        }
    }
    return largest;
}

bool snapshot_page_is_data(const SnapshotBlock *block, uint64_t page)
{
    return le64_to_cpu(block->bitmap[page / 64]) >> (page % 64) & 1;
}

const uint8_t *snapshot_page(const SnapshotBlock *block, uint64_t page)
{
    g_assert_cmpuint(page, <, block->length / SNAPSHOT_PAGE_SIZE);
    return snapshot_page_is_data(block, page)
        ? block->pages + page * SNAPSHOT_PAGE_SIZE : zero_page;
}

static bool same_page(const uint8_t *a, const uint8_t *b)
{
    return !memcmp(a, b, SNAPSHOT_PAGE_SIZE);
}

uint64_t snapshot_block_data(const SnapshotBlock *block, uint64_t unit)
{
    uint64_t pages = unit / SNAPSHOT_PAGE_SIZE;
    uint64_t bytes = 0;

    for (uint64_t p = 0; p < block->length / SNAPSHOT_PAGE_SIZE; p += pages) {
        uint64_t i = 0;

        while (i < pages && !snapshot_page_is_data(block, p + i)) {
            i++;
        }
        bytes += i < pages ? unit : 0;
    }
    return bytes;
}

uint64_t snapshot_data(const Snapshot *s)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < s->blocks->len; i++) {
        bytes += snapshot_block_data(&g_array_index(s->blocks, SnapshotBlock,
                                                    i), SNAPSHOT_PAGE_SIZE);
    }
    return bytes;
}

uint64_t snapshot_stale_pages(const Snapshot *s)
{
    uint64_t count = 0;

    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(s->blocks, SnapshotBlock,
                                                    i);

        for (uint64_t p = 0; p < block->length / SNAPSHOT_PAGE_SIZE; p++) {
            count += !snapshot_page_is_data(block, p) &&
                     !same_page(block->pages + p * SNAPSHOT_PAGE_SIZE,
                                zero_page);
        }
    }
    return count;
}

static uint64_t differing_pages(const SnapshotBlock *want,
                                const SnapshotBlock *have,
                                uint64_t first, uint64_t end)
{
    uint64_t bad = 0;

    for (uint64_t page = first; page < end; page++) {
        const uint8_t *w = snapshot_page(want, page);
        const uint8_t *h = snapshot_page(have, page);
        size_t i = 0;

        if (same_page(w, h)) {
            continue;
        }
        while (w[i] == h[i]) {
            i++;
        }
        if (bad++ < 5) {
            g_test_message("block '%s' offset 0x%" PRIx64 ": %02x, expected "
                           "%02x (its page is %s in the snapshot)",
                           want->name, page * SNAPSHOT_PAGE_SIZE + i, h[i],
                           w[i], snapshot_page_is_data(want, page)
                                 ? "data" : "zero");
        }
    }
    if (bad) {
        g_test_message("block '%s': %" PRIu64 " of %" PRIu64 " pages differ",
                       want->name, bad, end - first);
    }
    return bad;
}

void snapshot_assert_same_range(const Snapshot *want, const Snapshot *have,
                                const char *block, uint64_t first,
                                uint64_t end)
{
    const SnapshotBlock *w = snapshot_block(want, block);
    const SnapshotBlock *h = snapshot_block(have, block);

    g_assert(w && h);
    g_assert_cmpuint(w->length, ==, h->length);
    g_assert_cmpuint(differing_pages(w, h, first, end), ==, 0);
}

void snapshot_assert_same_ram(const Snapshot *want, const Snapshot *have)
{
    uint64_t bad = 0;

    g_assert_cmpuint(want->blocks->len, ==, have->blocks->len);
    for (size_t i = 0; i < want->blocks->len; i++) {
        const SnapshotBlock *w = &g_array_index(want->blocks, SnapshotBlock,
                                                i);
        const SnapshotBlock *h = snapshot_block(have, w->name);

        g_assert_nonnull(h);
        g_assert_cmpuint(w->length, ==, h->length);
        bad += differing_pages(w, h, 0, w->length / SNAPSHOT_PAGE_SIZE);
    }
    g_assert_cmpuint(bad, ==, 0);
}

void snapshot_assert_same_bitmaps(const Snapshot *want, const Snapshot *have)
{
    g_assert_cmpuint(want->blocks->len, ==, have->blocks->len);
    for (guint i = 0; i < want->blocks->len; i++) {
        const SnapshotBlock *a = &g_array_index(want->blocks, SnapshotBlock,
                                                i);
        const SnapshotBlock *b = &g_array_index(have->blocks, SnapshotBlock,
                                                i);
        size_t bytes = DIV_ROUND_UP(a->length, SNAPSHOT_PAGE_SIZE * 64) * 8;

        g_assert_cmpuint(a->length, ==, b->length);
        g_assert_cmpmem(a->bitmap, bytes, b->bitmap, bytes);
    }
}

/* A device's section, from its header to its footer. */
typedef struct Section {
    char *name;
    size_t start;
    size_t end;
} Section;

/* Sections have no length: search for the footer. */
static size_t section_end(const Snapshot *s, size_t start)
{
    uint8_t footer[5] = { FOOTER };
    const uint8_t *at;

    memcpy(footer + 1, s->data + start + 1, 4);
    at = memmem(s->data + start, s->end - start, footer, sizeof(footer));
    g_assert_nonnull(at);
    return at - s->data + sizeof(footer);
}

/* Returns false behind the last section. */
static bool next_section(const Snapshot *s, Section *section)
{
    Cursor c = { .s = s, .pos = section->end };

    g_clear_pointer(&section->name, g_free);
    section->start = c.pos;
    if (take8(&c) != SECTION_FULL) {
        return false;
    }
    take32(&c);                 /* number */
    section->name = take_name(&c);
    section->end = section_end(s, section->start);
    return true;
}

static bool same_bytes(const Snapshot *want, size_t w, const Snapshot *have,
                       size_t h, size_t length, const char *what)
{
    bool same = true;

    for (size_t i = 0; i < length; i++) {
        if (want->data[w + i] != have->data[h + i]) {
            g_test_message("%s offset 0x%zx: %02x, expected %02x", what, i,
                           have->data[h + i], want->data[w + i]);
            same = false;
        }
    }
    return same;
}

bool snapshot_same_devices(const Snapshot *want, const Snapshot *have,
                           bool any_runstate)
{
    Section w = { .end = want->devices }, h = { .end = have->devices };
    bool same = true;

    while (next_section(want, &w)) {
        g_assert(next_section(have, &h));
        g_assert_cmpstr(w.name, ==, h.name);
        g_assert_cmpuint(w.end - w.start, ==, h.end - h.start);
        if (!any_runstate || !g_str_equal(w.name, RUNSTATE_SECTION)) {
            same &= same_bytes(want, w.start, have, h.start, w.end - w.start,
                               w.name);
        }
    }
    g_assert(!next_section(have, &h));
    /* What remains describes the sections. */
    g_assert_cmpuint(want->end - w.start, ==, have->end - h.start);
    same &= same_bytes(want, w.start, have, h.start, want->end - w.start,
                       "description");
    return same;
}

/*
 * fixed-ram: superblock and index for small snapshots, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "migration/fixed-ram/format/sums.h"
#include "image-index.h"

static void put(Image *img, const void *bytes, size_t length)
{
    g_byte_array_append(img->bytes, bytes, length);
}

static void put_le(Image *img, unsigned width, uint64_t value)
{
    uint8_t le[8];

    stq_le_p(le, value);
    put(img, le, width);
}

static void put_string(Image *img, const char *s)
{
    put_le(img, 4, strlen(s));
    put(img, s, strlen(s));
}

static void align(Image *img, unsigned to)
{
    while (img->bytes->len % to) {
        put_le(img, 1, 0);
    }
}

static Field of_block(unsigned i, Field field)
{
    return field + (i ? NAME1 - NAME0 : 0);
}

static uint64_t pages_at(const Image *img, unsigned i)
{
    return image_get(img, of_block(i, PAGES0), 8);
}

static uint64_t bitmap_at(const Image *img, unsigned i)
{
    return image_get(img, of_block(i, BITMAP0), 8);
}

static uint64_t bytes_sum(const Image *img, uint64_t from, uint64_t to)
{
    return fixed_ram_sums_get(img->bytes->data + from, to - from);
}

void image_fill(Image *img)
{
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        uint8_t *pages = img->bytes->data + pages_at(img, i);

        for (size_t j = 0; j < image_block_pages[i] * IMAGE_PAGE; j++) {
            pages[j] = (j * 7 + j / IMAGE_PAGE + i) | 1;
        }
    }
}

uint64_t image_cluster_sum(const Image *img, unsigned i, uint64_t cluster)
{
    static const uint8_t zeros[IMAGE_PAGE];
    uint64_t per_cluster = IMAGE_CLUSTER / IMAGE_PAGE;
    uint64_t page = cluster * per_cluster;
    uint64_t end = MIN(page + per_cluster, image_block_pages[i]);
    uint64_t sums[IMAGE_CLUSTER / IMAGE_PAGE];
    size_t n = 0;

    for (; page < end; page++) {
        const uint8_t *bytes = img->bytes->data + pages_at(img, i) +
                               page * IMAGE_PAGE;
        const uint8_t *from = image_holds_page(i, page) ? bytes : zeros;

        stq_le_p(&sums[n++], fixed_ram_sums_get(from, IMAGE_PAGE));
    }
    return fixed_ram_sums_get(sums, n * 8);
}

static void put_table(Image *img, ImageIndex *at)
{
    align(img, 8);
    at->table = img->bytes->len;
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        uint64_t bytes = image_block_pages[i] * IMAGE_PAGE;

        for (uint64_t c = 0; c * IMAGE_CLUSTER < bytes; c++) {
            put_le(img, 8, image_cluster_sum(img, i, c));
        }
    }
    at->table_length = img->bytes->len - at->table;
}

const uint8_t *image_page(const Image *img, unsigned i, uint64_t page)
{
    return img->bytes->data + pages_at(img, i) + page * IMAGE_PAGE;
}

static void put_pack(Image *img, const ImageIndexOptions *o, ImageIndex *at)
{
    align(img, IMAGE_CLUSTER);
    at->pack = img->bytes->len;
    for (size_t i = 0; i < o->run_count; i++) {
        const ImageRun *run = &o->runs[i];

        for (uint32_t j = 0; j < run->pages && run->flags & 1; j++) {
            g_autofree uint8_t *page = g_memdup2(
                image_page(img, run->block, run->first + j), IMAGE_PAGE);

            put(img, page, IMAGE_PAGE);
        }
    }
    at->pack_length = img->bytes->len - at->pack;
}

static void put_list(Image *img, const ImageIndexOptions *o, ImageIndex *at)
{
    uint64_t end = at->pack + at->pack_length;

    align(img, 8);
    at->list = img->bytes->len;
    for (size_t i = 0; i < o->run_count; i++) {
        put_le(img, 2, o->runs[i].block);
        put_le(img, 2, o->runs[i].flags);
        put_le(img, 4, o->runs[i].pages);
        put_le(img, 8, o->runs[i].first);
        at->set_pages += o->runs[i].pages;
    }
    for (uint64_t from = at->pack; from < end; from += IMAGE_CLUSTER) {
        put_le(img, 8, bytes_sum(img, from, MIN(from + IMAGE_CLUSTER, end)));
    }
    at->list_length = img->bytes->len - at->list;
}

/*
 * Sections
 */

static void put_machine(Image *img, const ImageIndex *at)
{
    put_le(img, 8, IMAGE_TIME);
    put_le(img, 8, IMAGE_RAM);
    put(img, IMAGE_UUID, 16);
    put_string(img, IMAGE_MACHINE);
    put_string(img, IMAGE_VERSION);
    put_string(img, IMAGE_VM);
}

static void put_blocks(Image *img, const ImageIndex *at)
{
    put_le(img, 4, IMAGE_BLOCKS);
    put_le(img, 4, 0);
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        uint64_t held = 0;

        for (uint64_t page = 0; page < image_block_pages[i]; page++) {
            held += image_holds_page(i, page);
        }
        put_le(img, 8, image_block_pages[i] * IMAGE_PAGE);
        put_le(img, 8, IMAGE_PAGE);
        put_le(img, 8, bitmap_at(img, i));
        put_le(img, 8, pages_at(img, i));
        put_le(img, 8, held);
        put_string(img, image_block_names[i]);
        align(img, 8);
    }
}

static void put_part(Image *img, const ImageIndex *at, unsigned kind,
                     uint64_t from, uint64_t to)
{
    put_le(img, 4, kind);
    put_le(img, 4, 0);
    put_le(img, 8, from);
    put_le(img, 8, to - from);
    put_le(img, 8, at->table_length ? bytes_sum(img, from, to) : 0);
}

static void put_stream(Image *img, const ImageIndex *at)
{
    put_le(img, 4, 2);
    put_le(img, 4, 0);
    put_part(img, at, 1, img->start, bitmap_at(img, 0));
    put_part(img, at, 2, img->at[STREAM_END], at->stream_end);
}

static void put_sums(Image *img, const ImageIndex *at)
{
    put_le(img, 4, 1);
    put_le(img, 4, IMAGE_CLUSTER);
    put_le(img, 4, 4096);
    put_le(img, 4, 0);
    put_le(img, 8, at->table);
    put_le(img, 8, at->table_length);
    put_le(img, 8, IMAGE_BLOCKS);
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        uint64_t from = bitmap_at(img, i);

        put_le(img, 8, bytes_sum(img, from, from +
                                 DIV_ROUND_UP(image_block_pages[i], 64) * 8));
    }
    /* All of the table is in one chunk. */
    put_le(img, 8, 1);
    put_le(img, 8, bytes_sum(img, at->table, at->table + at->table_length));
}

static void put_set(Image *img, const ImageIndex *at)
{
    uint64_t sums = DIV_ROUND_UP(at->pack_length, IMAGE_CLUSTER);

    put_le(img, 4, 1);
    put_le(img, 4, 0);
    put_le(img, 8, IMAGE_SET_TIME);
    put_le(img, 8, at->set_pages);
    put_le(img, 8, (at->list_length - sums * 8) / 16);
    put_le(img, 8, at->list);
    put_le(img, 8, bytes_sum(img, at->list, at->list + at->list_length));
    put_le(img, 8, at->pack);
    put_le(img, 8, at->pack_length);
}

/* The options are only here, as payloads are put without them. */
static void put_layers(Image *img, const ImageIndexOptions *o, ImageIndex *at)
{
    uint64_t payload;

    put_le(img, 4, LAYERS);
    put_le(img, 4, 1);
    put_le(img, 8, 0);
    payload = at->payload[LAYERS] = img->bytes->len;
    put_le(img, 4, o->layer_count);
    put_le(img, 4, 0);
    put_le(img, 8, at->map);
    put_le(img, 8, IMAGE_CLUSTERS);
    put_le(img, 8, bytes_sum(img, at->map, at->map + IMAGE_CLUSTERS));
    for (size_t i = 0; i < o->layer_count; i++) {
        put(img, o->layers[i].id, 16);
        put_le(img, 8, o->layers[i].digest);
        put_le(img, 8, o->layers[i].start);
        put_string(img, o->layers[i].path);
        align(img, 8);
    }
    stq_le_p(img->bytes->data + payload - 8, img->bytes->len - payload);
}

static void put_section(Image *img, ImageIndex *at, uint32_t type,
                        uint32_t flags,
                        void (*put_payload)(Image *img, const ImageIndex *at))
{
    uint64_t payload;

    put_le(img, 4, type);
    put_le(img, 4, flags);
    put_le(img, 8, 0);
    payload = img->bytes->len;
    put_payload(img, at);
    stq_le_p(img->bytes->data + payload - 8, img->bytes->len - payload);
    align(img, 8);
    if (type < TYPES) {
        at->payload[type] = payload;
    }
}

static void put_nonsense(Image *img, const ImageIndex *at)
{
    put(img, "of a later version", 18);
}

static void put_index(Image *img, const ImageIndexOptions *o, ImageIndex *at)
{
    static void (*const payloads[SECTIONS])(Image *, const ImageIndex *) = {
        [MACHINE] = put_machine, [BLOCKS] = put_blocks,
        [STREAM] = put_stream, [SUMS] = put_sums,
    };
    uint32_t sections = 0;

    align(img, 4096);
    at->index = img->bytes->len;
    put(img, "QFXRINDX", 8);
    put_le(img, 4, 1);
    put_le(img, 4, 0);
    put(img, o->id ?: IMAGE_ID, 16);
    if (o->extra && o->extra_first) {
        put_section(img, at, o->extra, o->extra_flags, put_nonsense);
        sections++;
    }
    for (unsigned type = MACHINE; type < SECTIONS; type++) {
        bool required = type == BLOCKS || type == STREAM;

        if (type != o->without && (type != SUMS || at->table_length)) {
            put_section(img, at, type, required, payloads[type]);
            sections++;
        }
    }
    if (o->layers) {
        put_layers(img, o, at);
        sections++;
    }
    if (o->runs) {
        put_section(img, at, WORKING_SET, 0, put_set);
        sections++;
    }
    if (o->extra && !o->extra_first) {
        put_section(img, at, o->extra, o->extra_flags, put_nonsense);
        sections++;
    }
    stl_le_p(img->bytes->data + at->index + 12, sections);
    at->index_length = img->bytes->len - at->index;
}

/*
 * Superblock
 */

/* The usual CRC-32C, computed by QEMU's function. */
static uint32_t crc(const uint8_t *bytes, size_t length)
{
    return crc32c(0xffffffff, bytes, length);
}

/* Returns the superblock's bytes; fields of the index are zero. */
static uint8_t *begin_superblock(Image *img, uint32_t state)
{
    uint8_t *sb = img->bytes->data + pages_at(img, 0) - IMAGE_SUPERBLOCK;

    memcpy(sb, "QEMUFXRM", 8);
    stl_le_p(sb + 8, 1);
    stl_le_p(sb + 12, state);
    memcpy(sb + 16, IMAGE_ID, 16);
    stq_le_p(sb + 32, img->start);
    return sb;
}

void image_seal_superblock(Image *img, const ImageIndex *at)
{
    uint8_t *sb = img->bytes->data + at->superblock;

    stl_le_p(sb + 4092, crc(sb, 4092));
}

void image_seal(Image *img, const ImageIndex *at)
{
    stl_le_p(img->bytes->data + at->superblock + 64,
             crc(img->bytes->data + at->index, at->index_length));
    image_seal_superblock(img, at);
}

void image_seal_list(Image *img, const ImageIndex *at)
{
    stq_le_p(img->bytes->data + at->payload[WORKING_SET] + 40,
             bytes_sum(img, at->list, at->list + at->list_length));
    image_seal(img, at);
}

void image_add_index(Image *img, const ImageIndexOptions *o, ImageIndex *at)
{
    bool has_sums = !o->no_sums && o->without != SUMS &&
                    fixed_ram_sums_built();
    uint8_t *sb;

    *at = (ImageIndex) {
        .superblock = pages_at(img, 0) - IMAGE_SUPERBLOCK,
        .stream_end = img->bytes->len,
    };
    if (o->layers) {
        image_set(img, VERSION0, 4, 2);
        image_set(img, VERSION1, 4, 2);
    }
    if (has_sums) {
        put_table(img, at);
    }
    if (o->layers) {
        at->map = img->bytes->len;
        put(img, o->map, IMAGE_CLUSTERS);
    }
    if (o->pack) {
        put_pack(img, o, at);
    }
    if (o->runs) {
        put_list(img, o, at);
    }
    put_index(img, o, at);
    img->parent.size = img->bytes->len;
    sb = begin_superblock(img, 2);
    memcpy(sb + 16, o->id ?: IMAGE_ID, 16);
    stq_le_p(sb + 40, at->stream_end);
    stq_le_p(sb + 48, at->index);
    stq_le_p(sb + 56, at->index_length);
    image_seal(img, at);
}

uint64_t image_digest(const Image *img, const ImageIndex *at)
{
    const uint8_t *bytes = img->bytes->data;
    uint64_t blocks = at->payload[BLOCKS], sums = at->payload[SUMS];
    g_autoptr(GByteArray) all = g_byte_array_new();

    g_byte_array_append(all, bytes + blocks, ldq_le_p(bytes + blocks - 8));
    g_byte_array_append(all, bytes + sums + 32,
                        ldq_le_p(bytes + sums - 8) - 32);
    return fixed_ram_sums_get(all->data, all->len);
}

void image_cut_off(Image *img)
{
    ImageIndex at = { .superblock = pages_at(img, 0) - IMAGE_SUPERBLOCK };

    begin_superblock(img, 1);
    image_seal_superblock(img, &at);
}

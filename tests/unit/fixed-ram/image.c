/*
 * fixed-ram: an encoder of small snapshots, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "image.h"

const char *const image_block_names[] = { "pc.ram", "0000:00:02.0/vga.rom" };
const uint64_t image_block_pages[] = { 100, 16 };

static ssize_t image_read(FixedRamSource *source, void *buf, size_t length,
                          uint64_t offset)
{
    Image *img = container_of(source, Image, parent);
    uint64_t size = MIN(source->size, img->bytes->len);
    size_t n = offset < size ? MIN(length, size - offset) : 0;

    if (img->error) {
        return -img->error;
    }
    if (n) {
        memcpy(buf, img->bytes->data + offset, n);
    }
    return n;
}

static const FixedRamSourceOps image_ops = { .read = image_read };

static void put(Image *img, const void *bytes, size_t length)
{
    g_byte_array_append(img->bytes, bytes, length);
}

static void put_be(Image *img, unsigned width, uint64_t value)
{
    uint64_t be = cpu_to_be64(value);

    put(img, (uint8_t *)&be + 8 - width, width);
}

static void put_string(Image *img, const char *s)
{
    put_be(img, 1, strlen(s));
    put(img, s, strlen(s));
}

static void put_subsection(Image *img, const char *name)
{
    put_be(img, 1, 5);
    put_string(img, name);
    put_be(img, 4, 1);
}

static void mark(Image *img, Field field)
{
    img->at[field] = img->bytes->len;
}

static void pad_to(Image *img, uint64_t size)
{
    guint from = img->bytes->len;

    if (size > from) {
        g_byte_array_set_size(img->bytes, size);
        memset(img->bytes->data + from, 0, size - from);
    }
}

static void put_configuration(Image *img, const ImageOptions *o)
{
    static const char *const mapped[] = { "multifd", "mapped-ram", NULL };
    const char *const *caps = o->caps ?: mapped;
    static const char machine[] = "pc-i440fx-10.0";

    mark(img, CONFIG_TYPE);
    put_be(img, 1, 7);
    mark(img, MACHINE_LENGTH);
    put_be(img, 4, strlen(machine));
    put(img, machine, strlen(machine));
    put_subsection(img, "configuration/target-page-bits");
    put_be(img, 4, 12);
    mark(img, SUBSECTION_NAME);
    img->at[SUBSECTION_NAME] += 2;
    put_subsection(img, "configuration/capabilities");
    mark(img, CAP_COUNT);
    put_be(img, 4, g_strv_length((char **)caps));
    for (; *caps; caps++) {
        mark(img, CAP_NAME);
        put_string(img, *caps);
    }
    put_subsection(img, "configuration/uuid");
    put(img, "0123456789abcdef", 16);
    if (o->extra) {
        put_subsection(img, o->extra);
    }
}

/* The first page, the last one, and some runs have data. */
bool image_holds_page(unsigned i, uint64_t page)
{
    return page == 0 || page == image_block_pages[i] - 1 || page % 7 > 3;
}

static void put_block(Image *img, unsigned i)
{
    Field base = i ? NAME1 - NAME0 : 0;
    uint64_t bitmap[2] = { };
    uint64_t bitmap_at, pages_at;

    for (uint64_t page = 0; page < image_block_pages[i]; page++) {
        if (image_holds_page(i, page)) {
            bitmap[page / 64] |= BIT_ULL(page % 64);
        }
    }
    mark(img, base + NAME0);
    put_string(img, image_block_names[i]);
    mark(img, base + LENGTH0);
    put_be(img, 8, image_block_pages[i] * IMAGE_PAGE);
    mark(img, base + VERSION0);
    put_be(img, 4, 1);
    mark(img, base + PAGE_SIZE0);
    put_be(img, 8, IMAGE_PAGE);
    mark(img, base + BITMAP0);
    bitmap_at = img->bytes->len + 16;
    pages_at = ROUND_UP(bitmap_at + sizeof(bitmap), MiB);
    put_be(img, 8, bitmap_at);
    mark(img, base + PAGES0);
    put_be(img, 8, pages_at);
    mark(img, base + HEADER_END0);
    put(img, bitmap, DIV_ROUND_UP(image_block_pages[i], 64) * 8);
    /* The last pages are there, so the file reaches to the block's end. */
    pad_to(img, pages_at + image_block_pages[i] * IMAGE_PAGE);
}

/* A later section of RAM, which holds only its end mark. */
static void put_ram_section(Image *img, uint8_t type)
{
    put_be(img, 1, type);
    put_be(img, 4, 2);
    put_be(img, 8, 0x10);
    put_be(img, 1, 0x7e);
    put_be(img, 4, 2);
}

Image *image_new(const ImageOptions *o)
{
    Image *img = g_new0(Image, 1);
    uint64_t total;

    img->bytes = g_byte_array_new();
    img->start = o->start;
    pad_to(img, o->start);
    mark(img, MAGIC);
    put_be(img, 4, 0x5145564d);
    mark(img, VERSION);
    put_be(img, 4, 3);
    put_configuration(img, o);
    for (unsigned i = 0; i < o->commands; i++) {
        mark(img, COMMAND_TYPE);
        put_be(img, 1, 8);
        put_be(img, 2, 3);
        put_be(img, 2, i * 3000);
        pad_to(img, img->bytes->len + i * 3000);
    }
    mark(img, SECTION_TYPE);
    put_be(img, 1, 1);
    put_be(img, 4, 2);
    mark(img, SECTION_NAME);
    put_string(img, "ram");
    put_be(img, 4, 0);
    mark(img, SECTION_VERSION);
    put_be(img, 4, 4);
    mark(img, TOTAL);
    total = (image_block_pages[0] + image_block_pages[1]) * IMAGE_PAGE;
    put_be(img, 8, total | 4);
    put_block(img, 0);
    put_block(img, 1);
    mark(img, STREAM_END);
    put_be(img, 8, 0x10);
    mark(img, FOOTER);
    put_be(img, 1, 0x7e);
    put_be(img, 4, 2);
    mark(img, RAM_PART);
    put_ram_section(img, 2);
    put_ram_section(img, 3);
    mark(img, NEXT_SECTION);
    put_be(img, 1, 4);
    img->parent = (FixedRamSource) {
        .ops = &image_ops, .name = (char *)IMAGE_NAME, .size = img->bytes->len,
        .refs = 1,
    };
    return img;
}

void image_free(Image *img)
{
    g_byte_array_unref(img->bytes);
    g_free(img);
}

uint64_t image_get(const Image *img, Field field, unsigned width)
{
    return ldn_be_p(img->bytes->data + img->at[field], width);
}

void image_set(Image *img, Field field, unsigned width, uint64_t value)
{
    stn_be_p(img->bytes->data + img->at[field], width, value);
}

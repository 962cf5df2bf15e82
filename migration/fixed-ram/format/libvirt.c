/*
 * fixed-ram: the header that libvirt puts in front of a migration stream
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "libvirt.h"
#include "stream.h"

#define MAGIC_COMPLETE  "LibvirtQemudSave"
#define MAGIC_PARTIAL   "LibvirtQemudPart"

QEMU_BUILD_BUG_ON(sizeof(MAGIC_COMPLETE) - 1 != FIXED_RAM_LIBVIRT_MAGIC_BYTES);
QEMU_BUILD_BUG_ON(sizeof(MAGIC_PARTIAL) - 1 != FIXED_RAM_LIBVIRT_MAGIC_BYTES);

#define VERSION_MAX     2

/* Offsets of words in the header. */
#define VERSION_AT      16
#define DATA_LENGTH_AT  20
#define FORMAT_AT       28
#define COOKIE_AT       32
#define UNUSED_BYTES    56

/* How compressed content begins, and what unpacks it. */
typedef struct Compression {
    FixedRamLibvirtFormat format;
    const char *begin;
    size_t length;              /* of @begin */
} Compression;

static const Compression compressions[] = {
    { FIXED_RAM_LIBVIRT_GZIP, "\x1f\x8b", 2 },
    { FIXED_RAM_LIBVIRT_BZIP2, "BZh", 3 },
    { FIXED_RAM_LIBVIRT_XZ, "\xfd" "7zXZ", 6 },     /* with the zero byte */
    { FIXED_RAM_LIBVIRT_LZOP, "\x89" "LZO", 4 },
    { FIXED_RAM_LIBVIRT_ZSTD, "\x28\xb5\x2f\xfd", 4 },
};

const char *fixed_ram_libvirt_format_name(uint32_t format)
{
    static const char *const names[] = {
        [FIXED_RAM_LIBVIRT_RAW] = "raw",
        [FIXED_RAM_LIBVIRT_GZIP] = "gzip",
        [FIXED_RAM_LIBVIRT_BZIP2] = "bzip2",
        [FIXED_RAM_LIBVIRT_XZ] = "xz",
        [FIXED_RAM_LIBVIRT_LZOP] = "lzop",
        [FIXED_RAM_LIBVIRT_ZSTD] = "zstd",
        [FIXED_RAM_LIBVIRT_SPARSE] = "sparse",
    };

    return format < ARRAY_SIZE(names) ? names[format] : NULL;
}

const char *fixed_ram_libvirt_magic(void)
{
    return MAGIC_COMPLETE;
}

/* Returns false if this is no image of libvirt. */
static bool read_magic(FixedRamReader *r, FixedRamLibvirt *image)
{
    const uint8_t *magic;

    if (fixed_ram_reader_left(r) < FIXED_RAM_LIBVIRT_MAGIC_BYTES) {
        return false;
    }
    magic = fixed_ram_reader_peek(r, FIXED_RAM_LIBVIRT_MAGIC_BYTES);
    if (!magic) {
        return false;
    }
    image->complete = !memcmp(magic, MAGIC_COMPLETE,
                              FIXED_RAM_LIBVIRT_MAGIC_BYTES);
    return image->complete ||
           !memcmp(magic, MAGIC_PARTIAL, FIXED_RAM_LIBVIRT_MAGIC_BYTES);
}

static uint32_t read_word(FixedRamReader *r, const FixedRamLibvirt *image)
{
    uint32_t word = 0;

    fixed_ram_reader_get(r, &word, sizeof(word));
    return image->swapped ? bswap32(word) : word;
}

static bool version_is_known(uint32_t version)
{
    return version >= 1 && version <= VERSION_MAX;
}

static void read_version(FixedRamReader *r, FixedRamLibvirt *image)
{
    image->version = read_word(r, image);
    if (!version_is_known(image->version) &&
        version_is_known(bswap32(image->version))) {
        image->swapped = true;
        image->version = bswap32(image->version);
    }
    if (!version_is_known(image->version)) {
        fixed_ram_reader_fail_unknown(r, VERSION_AT, "version %" PRIu32
                                      ", expected 1 to %d", image->version,
                                      VERSION_MAX);
    }
}

static void read_words(FixedRamReader *r, FixedRamLibvirt *image)
{
    fixed_ram_reader_skip(r, FIXED_RAM_LIBVIRT_MAGIC_BYTES);
    read_version(r, image);
    image->data_length = read_word(r, image);
    image->was_running = read_word(r, image);
    image->format = read_word(r, image);
    image->cookie_at = read_word(r, image);
    fixed_ram_reader_skip(r, UNUSED_BYTES);
}

static void check_lengths(FixedRamReader *r, const FixedRamLibvirt *image)
{
    uint64_t left = fixed_ram_reader_left(r);

    if (!image->data_length ||
        image->data_length > FIXED_RAM_LIBVIRT_DATA_MAX) {
        fixed_ram_reader_fail(r, DATA_LENGTH_AT, "%" PRIu32 " bytes of data, "
                              "expected 1 to %" PRIu64, image->data_length,
                              (uint64_t)FIXED_RAM_LIBVIRT_DATA_MAX);
    } else if (image->data_length > left) {
        fixed_ram_reader_fail(r, DATA_LENGTH_AT, "%" PRIu32 " bytes of data, "
                              "but the file has only %" PRIu64 " behind the "
                              "header", image->data_length, left);
    } else if (image->cookie_at >= image->data_length) {
        fixed_ram_reader_fail(r, COOKIE_AT, "the cookie begins at byte %"
                              PRIu32 " of the data, which has %" PRIu32
                              " bytes", image->cookie_at, image->data_length);
    }
}

/* @from and @end are offsets in the data */
static void check_text(FixedRamReader *r, const char *data, uint32_t from,
                       uint32_t end, const char *what)
{
    if (!memchr(data + from, 0, end - from)) {
        fixed_ram_reader_fail(r, FIXED_RAM_LIBVIRT_HEADER_BYTES + from,
                              "%s has no end: there is no zero byte in %"
                              PRIu32 " bytes", what, end - from);
    }
}

static void read_data(FixedRamReader *r, FixedRamLibvirt *image)
{
    uint32_t length = image->data_length;
    uint32_t xml_length = image->cookie_at ?: length;
    g_autofree char *data = g_malloc(length);

    fixed_ram_reader_get(r, data, length);
    if (r->error) {
        return;
    }
    check_text(r, data, 0, xml_length, "the XML");
    if (image->cookie_at) {
        check_text(r, data, image->cookie_at, length, "the cookie");
    }
    if (!r->error) {
        image->xml = g_steal_pointer(&data);
        image->stream = fixed_ram_reader_offset(r);
    }
}

static const Compression *find_compression(FixedRamReader *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(compressions); i++) {
        const Compression *c = &compressions[i];
        const uint8_t *found;

        if (fixed_ram_reader_left(r) < c->length) {
            continue;
        }
        found = fixed_ram_reader_peek(r, c->length);
        if (found && !memcmp(found, c->begin, c->length)) {
            return c;
        }
    }
    return NULL;
}

/* Some versions of libvirt write plain streams under any format's number. */
static void check_content(FixedRamReader *r, const FixedRamLibvirt *image)
{
    const Compression *c = find_compression(r);

    if (c && !r->error) {
        const char *program = fixed_ram_libvirt_format_name(c->format);
        g_autofree char *file = g_shell_quote(r->source->path);

        r->prefix = "";
        fixed_ram_reader_fail_unknown(
            r, image->stream, "libvirt has compressed the migration stream by "
            "%s; this command unpacks it: (head -c %" PRIu64 " %s; tail -c "
            "+%" PRIu64 " %s | %s -dc) > NEW", program, image->stream, file,
            image->stream + 1, file, program);
    }
}

/* This explains whatever else is wrong, but not that reading failed. */
static void check_complete(FixedRamReader *r, const FixedRamLibvirt *image)
{
    if (image->complete || r->verdict == FIXED_RAM_VERDICT_UNREADABLE) {
        return;
    }
    error_free(r->error);
    r->error = NULL;
    r->prefix = "";
    fixed_ram_reader_fail(r, 0, "the snapshot is incomplete: libvirt's save "
                          "was cut off (found magic '%s', expected '%s')",
                          MAGIC_PARTIAL, MAGIC_COMPLETE);
    r->verdict = FIXED_RAM_VERDICT_CUT_OFF;
}

FixedRamLibvirt *fixed_ram_libvirt_read(FixedRamReader *r)
{
    g_autoptr(FixedRamLibvirt) image = g_new0(FixedRamLibvirt, 1);

    if (!read_magic(r, image)) {
        return NULL;
    }
    r->prefix = "libvirt header: ";
    read_words(r, image);
    if (!r->error) {
        check_lengths(r, image);
    }
    if (!r->error) {
        read_data(r, image);
    }
    if (!r->error) {
        check_content(r, image);
    }
    check_complete(r, image);
    return g_steal_pointer(&image);
}

void fixed_ram_libvirt_make_sparse(const FixedRamLibvirt *image,
                                   uint8_t *header)
{
    uint32_t format = FIXED_RAM_LIBVIRT_SPARSE;

    if (image->swapped) {
        format = bswap32(format);
    }
    memcpy(header, MAGIC_PARTIAL, FIXED_RAM_LIBVIRT_MAGIC_BYTES);
    memcpy(header + FORMAT_AT, &format, sizeof(format));
}

void fixed_ram_libvirt_free(FixedRamLibvirt *image)
{
    if (image) {
        g_free(image->xml);
        g_free(image);
    }
}

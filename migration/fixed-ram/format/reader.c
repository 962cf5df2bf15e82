/*
 * fixed-ram: read a migration stream in order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "reader.h"

FixedRamReader *fixed_ram_reader_new(FixedRamSource *source, uint64_t offset,
                                     size_t size)
{
    FixedRamReader *r = g_new0(FixedRamReader, 1);

    r->source = source;
    r->pos = offset;
    r->size = size;
    r->buf = g_malloc(size);
    return r;
}

void fixed_ram_reader_free(FixedRamReader *r)
{
    error_free(r->error);
    g_free(r->buf);
    g_free(r);
}

void fixed_ram_reader_seek(FixedRamReader *r, uint64_t offset)
{
    r->pos = offset;
    r->next = r->filled = 0;
}

void fixed_ram_reader_skip(FixedRamReader *r, uint64_t length)
{
    if (length <= r->filled - r->next) {
        r->next += length;
    } else {
        fixed_ram_reader_seek(r, fixed_ram_reader_offset(r) + length);
    }
}

void fixed_ram_reader_fail(FixedRamReader *r, uint64_t offset, const char *fmt,
                           ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    if (r->error) {
        return;
    }
    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    error_setg(&r->error, "snapshot '%s': offset 0x%" PRIx64 ": %s",
               r->source->name, offset, what);
}

static void reader_fill(FixedRamReader *r)
{
    uint64_t left = r->pos < r->source->size ? r->source->size - r->pos : 0;
    size_t n = MIN(left, r->size);

    if (!n) {
        fixed_ram_reader_fail(r, r->pos, "the file ends here, in the middle of "
                              "the stream");
    } else if (fixed_ram_source_read(r->source, r->buf, n, r->pos,
                                     &r->error)) {
        r->pos += n;
        r->next = 0;
        r->filled = n;
    }
}

void fixed_ram_reader_get(FixedRamReader *r, void *out, size_t length)
{
    uint8_t *to = out;

    memset(out, 0, length);
    while (length && !r->error) {
        size_t n = MIN(length, r->filled - r->next);

        if (!n) {
            reader_fill(r);
            continue;
        }
        memcpy(to, r->buf + r->next, n);
        r->next += n;
        to += n;
        length -= n;
    }
}

uint8_t fixed_ram_reader_u8(FixedRamReader *r)
{
    uint8_t v;

    fixed_ram_reader_get(r, &v, sizeof(v));
    return v;
}

uint16_t fixed_ram_reader_be16(FixedRamReader *r)
{
    uint16_t v;

    fixed_ram_reader_get(r, &v, sizeof(v));
    return be16_to_cpu(v);
}

uint32_t fixed_ram_reader_be32(FixedRamReader *r)
{
    uint32_t v;

    fixed_ram_reader_get(r, &v, sizeof(v));
    return be32_to_cpu(v);
}

uint64_t fixed_ram_reader_be64(FixedRamReader *r)
{
    uint64_t v;

    fixed_ram_reader_get(r, &v, sizeof(v));
    return be64_to_cpu(v);
}

void fixed_ram_reader_string(FixedRamReader *r,
                             char out[FIXED_RAM_NAME_MAX + 1])
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint8_t length = fixed_ram_reader_u8(r);

    fixed_ram_reader_get(r, out, length);
    out[length] = '\0';
    if (!length || strlen(out) != length) {
        fixed_ram_reader_fail(r, offset, "a name is empty or has a zero byte "
                              "in it");
    }
}

/*
 * qemu-snapshot: read a migration stream in order
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "reader.h"

/* Large, as plain streams are read from one end to the other. */
#define BUFFER_BYTES    (256 * KiB)

ToolReader *tool_reader_new(FixedRamSource *source, uint64_t offset)
{
    ToolReader *r = g_new0(ToolReader, 1);

    r->source = source;
    r->buf = g_malloc(BUFFER_BYTES);
    r->pos = offset;
    return r;
}

void tool_reader_free(ToolReader *r)
{
    error_free(r->error);
    g_free(r->buf);
    g_free(r);
}

void tool_reader_seek(ToolReader *r, uint64_t offset)
{
    r->pos = offset;
    r->next = r->filled = 0;
}

void tool_reader_skip(ToolReader *r, uint64_t length)
{
    if (length <= r->filled - r->next) {
        r->next += length;
    } else {
        tool_reader_seek(r, tool_reader_offset(r) + length);
    }
}

void tool_reader_fail(ToolReader *r, uint64_t offset, const char *fmt, ...)
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

static void reader_fill(ToolReader *r)
{
    uint64_t left = r->pos < r->source->size ? r->source->size - r->pos : 0;
    size_t n = MIN(left, BUFFER_BYTES);

    if (!n) {
        tool_reader_fail(r, r->pos, "the file ends here, in the middle of the "
                         "stream");
    } else if (fixed_ram_source_read(r->source, r->buf, n, r->pos,
                                     &r->error)) {
        r->pos += n;
        r->next = 0;
        r->filled = n;
    }
}

void tool_reader_get(ToolReader *r, void *out, size_t length)
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

uint8_t tool_reader_u8(ToolReader *r)
{
    uint8_t v;

    tool_reader_get(r, &v, sizeof(v));
    return v;
}

uint16_t tool_reader_be16(ToolReader *r)
{
    uint16_t v;

    tool_reader_get(r, &v, sizeof(v));
    return be16_to_cpu(v);
}

uint32_t tool_reader_be32(ToolReader *r)
{
    uint32_t v;

    tool_reader_get(r, &v, sizeof(v));
    return be32_to_cpu(v);
}

uint64_t tool_reader_be64(ToolReader *r)
{
    uint64_t v;

    tool_reader_get(r, &v, sizeof(v));
    return be64_to_cpu(v);
}

void tool_reader_string(ToolReader *r, char out[FIXED_RAM_NAME_MAX + 1])
{
    uint64_t offset = tool_reader_offset(r);
    uint8_t length = tool_reader_u8(r);

    tool_reader_get(r, out, length);
    out[length] = '\0';
    if (!length || strlen(out) != length) {
        tool_reader_fail(r, offset, "a name is empty or has a zero byte in "
                         "it");
    }
}

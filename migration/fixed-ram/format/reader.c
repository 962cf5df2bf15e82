/*
 * fixed-ram: read fields of a snapshot one after the other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "reader.h"
#include "../util/text.h"

FixedRamReader *fixed_ram_reader_new(FixedRamSource *source, uint64_t offset,
                                     size_t size)
{
    FixedRamReader *r = g_new0(FixedRamReader, 1);

    r->source = source;
    r->prefix = "";
    r->part = "the file";
    r->end = source->size;
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

void fixed_ram_reader_forget(FixedRamReader *r, uint64_t offset)
{
    r->pos = offset;
    r->next = r->filled = 0;
}

void fixed_ram_reader_seek(FixedRamReader *r, uint64_t offset)
{
    uint64_t from = r->pos - r->filled;

    if (offset >= from && offset - from <= r->filled) {
        r->next = offset - from;
    } else {
        fixed_ram_reader_forget(r, offset);
    }
}

void fixed_ram_reader_limit(FixedRamReader *r, uint64_t offset, uint64_t end,
                            const char *part)
{
    r->end = end;
    r->part = part;
    fixed_ram_reader_seek(r, offset);
}

static void G_GNUC_PRINTF(4, 0)
reader_fail(FixedRamReader *r, FixedRamVerdict verdict, uint64_t offset,
            const char *fmt, va_list ap)
{
    g_autofree char *what = NULL;
    g_autofree char *printable = NULL;

    if (r->error) {
        return;
    }
    what = g_strdup_vprintf(fmt, ap);
    printable = fixed_ram_text_printable(what);
    r->verdict = verdict;
    error_setg(&r->error, "snapshot '%s': offset 0x%" PRIx64 ": %s%s%s",
               r->source->name, offset,
               *r->prefix && verdict == FIXED_RAM_VERDICT_CORRUPT ? "damaged "
                                                                  : "",
               r->prefix, printable);
}

void fixed_ram_reader_fail(FixedRamReader *r, uint64_t offset, const char *fmt,
                           ...)
{
    va_list ap;

    va_start(ap, fmt);
    reader_fail(r, FIXED_RAM_VERDICT_CORRUPT, offset, fmt, ap);
    va_end(ap);
}

void fixed_ram_reader_fail_unknown(FixedRamReader *r, uint64_t offset,
                                   const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    reader_fail(r, FIXED_RAM_VERDICT_NOT_UNDERSTOOD, offset, fmt, ap);
    va_end(ap);
}

static void reader_fail_end(FixedRamReader *r)
{
    fixed_ram_reader_fail(r, fixed_ram_reader_offset(r), "%s ends at offset "
                          "0x%" PRIx64 ", in the middle of a field", r->part,
                          r->end);
}

static void reader_fill(FixedRamReader *r)
{
    size_t n = MIN(fixed_ram_reader_left(r), r->size);

    if (!n) {
        reader_fail_end(r);
    } else if (fixed_ram_source_read(r->source, r->buf, n, r->pos,
                                     &r->error)) {
        r->pos += n;
        r->next = 0;
        r->filled = n;
    } else {
        error_prepend(&r->error, "%s", r->prefix);
        r->verdict = FIXED_RAM_VERDICT_UNREADABLE;
    }
}

const uint8_t *fixed_ram_reader_peek(FixedRamReader *r, size_t length)
{
    assert(length <= r->size);
    if (length > fixed_ram_reader_left(r)) {
        reader_fail_end(r);
    } else if (!r->error && length > r->filled - r->next) {
        fixed_ram_reader_forget(r, fixed_ram_reader_offset(r));
        reader_fill(r);
    }
    return r->error ? NULL : r->buf + r->next;
}

void fixed_ram_reader_skip(FixedRamReader *r, uint64_t length)
{
    if (length > fixed_ram_reader_left(r)) {
        reader_fail_end(r);
    } else if (!r->error) {
        fixed_ram_reader_seek(r, fixed_ram_reader_offset(r) + length);
    }
}

void fixed_ram_reader_get(FixedRamReader *r, void *out, size_t length)
{
    uint8_t *to = out;

    memset(out, 0, length);
    if (length > fixed_ram_reader_left(r)) {
        reader_fail_end(r);
    }
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

uint32_t fixed_ram_reader_le32(FixedRamReader *r)
{
    uint32_t v;

    fixed_ram_reader_get(r, &v, sizeof(v));
    return le32_to_cpu(v);
}

uint64_t fixed_ram_reader_le64(FixedRamReader *r)
{
    uint64_t v;

    fixed_ram_reader_get(r, &v, sizeof(v));
    return le64_to_cpu(v);
}

void fixed_ram_reader_zeros(FixedRamReader *r, size_t length)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    bool zero = true;

    while (length-- && !r->error) {
        zero = !fixed_ram_reader_u8(r) && zero;
    }
    if (!zero) {
        fixed_ram_reader_fail(r, offset, "bytes are set that must be zero");
    }
}

void fixed_ram_reader_padding(FixedRamReader *r, size_t alignment)
{
    uint64_t offset = fixed_ram_reader_offset(r);

    fixed_ram_reader_zeros(r, ROUND_UP(offset, alignment) - offset);
}

void fixed_ram_reader_name(FixedRamReader *r, char out[FIXED_RAM_NAME_MAX + 1])
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint8_t length = fixed_ram_reader_u8(r);

    fixed_ram_reader_get(r, out, length);
    out[length] = '\0';
    if (!length || strlen(out) != length) {
        fixed_ram_reader_fail(r, offset, "a name is empty or has a zero byte "
                              "in it");
    } else if (!fixed_ram_text_is_printable(out)) {
        fixed_ram_reader_fail(r, offset, "the name '%s' has characters that "
                              "cannot be printed", out);
    }
}

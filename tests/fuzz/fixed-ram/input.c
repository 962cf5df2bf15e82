/*
 * fixed-ram: what a fuzzer's bytes stand for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "folder.h"
#include "input.h"

typedef struct InputSource {
    FixedRamSource parent;
    Input in;
    unsigned *faults;           /* NULL: there are none */
    int64_t good;               /* reads before the first one; atomic */
} InputSource;

bool input_parse(Input *in, const uint8_t *data, size_t size)
{
    uint64_t hole, bytes;

    if (size < INPUT_HEAD) {
        return false;
    }
    bytes = size - INPUT_HEAD;
    hole = lduw_be_p(data + 14) * INPUT_PAGE;
    *in = (Input) {
        .name = INPUT_NAME,
        .start = ldq_be_p(data),
        .flags = data[8],
        .loaders = data[9],
        .fault = data[10] % FAULTS,
        .good_reads = data[11],
        .bad_sources = data[12],
        .order = data[13],
        .hole_at = MIN(ldl_be_p(data + 16), bytes),
        .bytes = data + INPUT_HEAD,
        .size = bytes + hole,
    };
    in->hole_end = in->hole_at + hole;
    return true;
}

/* No byte of the hole is zero, and no two words are alike. */
static void make_up(uint8_t *buf, size_t length, uint64_t offset)
{
    for (size_t n, i = 0; i < length; i += n) {
        unsigned skip = (offset + i) % 8;
        uint64_t word = (offset + i - skip) * 0x9e3779b97f4a7c15ULL |
                        0x0101010101010101ULL;

        n = skip || length - i < 8 ? 1 : 8;
        if (n == 8) {
            stq_le_p(buf + i, word);
        } else {
            buf[i] = word >> skip * 8;
        }
    }
}

size_t input_read(const Input *in, void *buf, size_t length, uint64_t offset)
{
    uint8_t *to = buf;
    uint64_t left = offset < in->size ? in->size - offset : 0;
    size_t total = MIN(length, left);
    size_t n;

    for (size_t done = 0; done < total; done += n) {
        uint64_t at = offset + done;

        n = total - done;
        if (at < in->hole_at) {
            n = MIN(n, in->hole_at - at);
            memcpy(to + done, in->bytes + at, n);
        } else if (at < in->hole_end) {
            n = MIN(n, in->hole_end - at);
            make_up(to + done, n, at);
        } else {
            memcpy(to + done, in->bytes + at - (in->hole_end - in->hole_at),
                   n);
        }
    }
    return total;
}

void input_write(const Input *in, const char *path)
{
    g_autofree char *bytes = g_malloc(MAX(in->size, 1));
    GError *err = NULL;

    input_read(in, bytes, in->size, 0);
    g_file_set_contents(path, bytes, in->size, &err);
    g_assert_no_error(err);
}

void input_take_faults(Input *in, const Input *other)
{
    in->flags = other->flags;
    in->fault = other->fault;
    in->good_reads = other->good_reads;
    in->order = other->order;
    in->verified = other->verified;
}

static ssize_t bad_read(const Input *in, void *buf, size_t length,
                        uint64_t offset)
{
    switch (in->fault) {
    case FAULT_EIO:
        return -EIO;
    case FAULT_ESTALE:
        return -ESTALE;
    case FAULT_SHORT:
        return input_read(in, buf, length / 2, offset);
    case FAULT_ROT:
        length = input_read(in, buf, length, offset);
        ((uint8_t *)buf)[length * in->order / 256] ^= 1 << in->order % 8;
        return length;
    default:
        return 0;
    }
}

static bool has_fault(const Input *in)
{
    return in->fault && (in->fault != FAULT_ROT || in->verified);
}

static ssize_t source_read_pages(FixedRamSource *source, void *buf,
                                 size_t length, uint64_t offset)
{
    InputSource *s = container_of(source, InputSource, parent);

    if (s->faults && has_fault(&s->in) && qatomic_fetch_dec(&s->good) <= 0) {
        qatomic_inc(s->faults);
        return bad_read(&s->in, buf, length, offset);
    }
    return input_read(&s->in, buf, length, offset);
}

static ssize_t source_read(FixedRamSource *source, void *buf, size_t length,
                           uint64_t offset)
{
    InputSource *s = container_of(source, InputSource, parent);

    return s->in.flags & INPUT_METADATA
           ? source_read_pages(source, buf, length, offset)
           : input_read(&s->in, buf, length, offset);
}

/* Of sources; atomic. */
static unsigned still_open;

static void source_close(FixedRamSource *source)
{
    g_free(container_of(source, InputSource, parent));
    qatomic_dec(&still_open);
}

unsigned input_sources_open(void)
{
    return qatomic_read(&still_open);
}

static const FixedRamSourceOps source_ops = {
    .read = source_read,
    .read_pages = source_read_pages,
    .close = source_close,
};

FixedRamSource *input_source(const Input *in)
{
    return input_bad_source(in, NULL);
}

FixedRamSource *input_bad_source(const Input *in, unsigned *faults)
{
    InputSource *s = g_new0(InputSource, 1);

    fixed_ram_source_init(&s->parent, &source_ops, in->name, in->size);
    g_free(s->parent.path);
    s->parent.path = folder_path(in->name);
    s->in = *in;
    s->faults = faults;
    s->good = in->good_reads;
    qatomic_inc(&still_open);
    return &s->parent;
}

/*
 * fixed-ram: the snapshot's metadata, from bytes to checked structs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/host-utils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "format.h"

/* The stream's own marks; see docs/devel/migration/main.rst */
#define STREAM_MAGIC            0x5145564d
#define STREAM_VERSION          3
#define STREAM_EOF              0x00
#define STREAM_SECTION_START    0x01
#define STREAM_SECTION_PART     0x02
#define STREAM_SECTION_END      0x03
#define STREAM_SUBSECTION       0x05
#define STREAM_CONFIGURATION    0x07
#define STREAM_COMMAND          0x08
#define STREAM_FOOTER           0x7e

#define RAM_SECTION_VERSION     4
#define RAM_FLAG_MEM_SIZE       0x04
#define RAM_FLAG_EOS            0x10
#define BLOCK_HEADER_VERSION    1

/* More than any machine has; keeps a bad count from costing memory. */
#define MAX_CAPABILITIES        256
#define MAX_MACHINE_NAME        4096
#define MAX_BLOCKS              4096
#define MAX_COMMANDS            1024
/* A live save writes one for each of its rounds, day and night. */
#define MAX_RAM_SECTIONS        (16 * MiB)

/* Reads the stream in order.  After a failed read all others fail too. */
typedef struct Reader {
    FixedRamSource *source;
    uint64_t pos;               /* where @buf goes on, in the file */
    size_t next;                /* next byte of @buf */
    size_t filled;              /* bytes in @buf */
    uint8_t buf[4096];
    uint32_t ram_section;       /* number of the section that holds RAM */
    Error *error;               /* the first one */
} Reader;

static uint64_t reader_offset(const Reader *r)
{
    return r->pos - (r->filled - r->next);
}

static void reader_seek(Reader *r, uint64_t offset)
{
    r->pos = offset;
    r->next = r->filled = 0;
}

static void G_GNUC_PRINTF(3, 4)
reader_fail(Reader *r, uint64_t offset, const char *fmt, ...)
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

static void reader_fill(Reader *r)
{
    uint64_t left = r->pos < r->source->size ? r->source->size - r->pos : 0;
    size_t n = MIN(left, sizeof(r->buf));

    if (!n) {
        reader_fail(r, r->pos, "the file ends here, in the middle of the "
                    "stream");
        return;
    }
    if (!r->error &&
        fixed_ram_source_read(r->source, r->buf, n, r->pos, &r->error)) {
        r->pos += n;
        r->next = 0;
        r->filled = n;
    }
}

/* Zeros after a failure: who asks looks at r->error in the end. */
static void reader_get(Reader *r, void *out, size_t length)
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

static uint8_t reader_u8(Reader *r)
{
    uint8_t v;

    reader_get(r, &v, sizeof(v));
    return v;
}

static uint16_t reader_be16(Reader *r)
{
    uint16_t v;

    reader_get(r, &v, sizeof(v));
    return be16_to_cpu(v);
}

static uint32_t reader_be32(Reader *r)
{
    uint32_t v;

    reader_get(r, &v, sizeof(v));
    return be32_to_cpu(v);
}

static uint64_t reader_be64(Reader *r)
{
    uint64_t v;

    reader_get(r, &v, sizeof(v));
    return be64_to_cpu(v);
}

/* A byte that counts, then so many characters. */
static void reader_string(Reader *r, char out[FIXED_RAM_NAME_MAX + 1])
{
    uint64_t offset = reader_offset(r);
    uint8_t length = reader_u8(r);

    reader_get(r, out, length);
    out[length] = '\0';
    if (!length || strlen(out) != length) {
        reader_fail(r, offset, "a name is empty or has a zero byte in it");
    }
}

/* Which capabilities shaped the snapshot; is mapped-ram one of them? */
static bool read_capabilities(Reader *r)
{
    uint64_t offset = reader_offset(r);
    uint32_t count = reader_be32(r);
    bool mapped = false;

    if (count > MAX_CAPABILITIES) {
        reader_fail(r, offset, "%" PRIu32 " capabilities in the "
                    "configuration, at most %d can be", count,
                    MAX_CAPABILITIES);
    }
    for (uint32_t i = 0; i < count && !r->error; i++) {
        char name[FIXED_RAM_NAME_MAX + 1];

        offset = reader_offset(r);
        reader_string(r, name);
        mapped = mapped || !strcmp(name, "mapped-ram");
        if (!strcmp(name, "x-ignore-shared")) {
            reader_fail(r, offset, "saved with x-ignore-shared, which "
                        "cannot be loaded this way");
        }
    }
    return mapped;
}

/* Returns whether it says that the layout is mapped-ram's. */
static bool read_subsection(Reader *r)
{
    uint64_t offset = reader_offset(r);
    char name[FIXED_RAM_NAME_MAX + 1];
    uint8_t uuid[16];

    reader_string(r, name);
    reader_be32(r);             /* version */
    if (!strcmp(name, "configuration/capabilities")) {
        return read_capabilities(r);
    } else if (!strcmp(name, "configuration/target-page-bits")) {
        reader_be32(r);
    } else if (!strcmp(name, "configuration/uuid")) {
        reader_get(r, uuid, sizeof(uuid));
    } else {
        reader_fail(r, offset, "unknown part '%s' of the configuration",
                    name);
    }
    return false;
}

static void read_configuration(Reader *r)
{
    uint64_t offset = reader_offset(r);
    uint32_t length = reader_be32(r);
    bool mapped = false;

    if (length > MAX_MACHINE_NAME) {
        reader_fail(r, offset, "the machine's name has %" PRIu32 " bytes",
                    length);
        return;
    }
    reader_seek(r, reader_offset(r) + length);
    while (!r->error) {
        uint64_t here = reader_offset(r);

        if (reader_u8(r) != STREAM_SUBSECTION) {
            reader_seek(r, here);
            break;
        }
        mapped |= read_subsection(r);
    }
    if (!mapped) {
        reader_fail(r, offset, "saved without fixed-ram or mapped-ram: its "
                    "pages have no fixed places");
    }
}

/* Go to the first byte of the RAM section's content. */
static void find_ram_section(Reader *r)
{
    uint64_t offset = reader_offset(r);
    char name[FIXED_RAM_NAME_MAX + 1];
    uint32_t magic = reader_be32(r);
    uint32_t version = reader_be32(r);
    unsigned commands = 0;
    uint32_t instance;

    if (magic != STREAM_MAGIC || version != STREAM_VERSION) {
        reader_fail(r, offset, "this is not a VM snapshot (found magic 0x%"
                    PRIx32 " version %" PRIu32 ", expected 0x%x version %d)",
                    magic, version, STREAM_MAGIC, STREAM_VERSION);
    }
    while (!r->error) {
        uint8_t type;

        offset = reader_offset(r);
        type = reader_u8(r);
        if (type == STREAM_CONFIGURATION) {
            read_configuration(r);
        } else if (type == STREAM_COMMAND && commands++ < MAX_COMMANDS) {
            uint16_t length;

            reader_be16(r);     /* which one */
            length = reader_be16(r);
            reader_seek(r, reader_offset(r) + length);
        } else if (type == STREAM_SECTION_START) {
            break;
        } else {
            reader_fail(r, offset, "section of type %d before the one that "
                        "holds RAM", type);
        }
    }

    r->ram_section = reader_be32(r);
    reader_string(r, name);
    instance = reader_be32(r);
    version = reader_be32(r);
    if (strcmp(name, "ram") || instance || version != RAM_SECTION_VERSION) {
        reader_fail(r, offset, "section '%s' instance %" PRIu32 " version %"
                    PRIu32 ", expected 'ram' instance 0 version %d", name,
                    instance, version, RAM_SECTION_VERSION);
    }
}

/* @info is read up to here; is it possible? */
static void check_block(Reader *r, const FixedRamSnapshot *s,
                        const FixedRamBlockInfo *info)
{
    uint64_t at = info->header_offset;
    uint64_t bitmap_end, pages_end;

    if (!info->length || !QEMU_IS_ALIGNED(info->length, s->page_size)) {
        reader_fail(r, at, "block '%s': length 0x%" PRIx64 " is not a "
                    "multiple of the page size %" PRIu64, info->name,
                    info->length, s->page_size);
        return;
    }
    if (!QEMU_IS_ALIGNED(info->pages_offset, s->page_size)) {
        reader_fail(r, at, "block '%s': pages at offset 0x%" PRIx64
                    " are not aligned to the page size %" PRIu64, info->name,
                    info->pages_offset, s->page_size);
        return;
    }
    if (info->bitmap_offset != reader_offset(r) ||
        uadd64_overflow(info->bitmap_offset,
                        fixed_ram_bitmap_bytes(info->length, s->page_size),
                        &bitmap_end) ||
        bitmap_end > info->pages_offset) {
        reader_fail(r, at, "block '%s': bitmap at offset 0x%" PRIx64
                    " does not lie behind its header at 0x%" PRIx64
                    " and before its pages at 0x%" PRIx64, info->name,
                    info->bitmap_offset, reader_offset(r),
                    info->pages_offset);
        return;
    }
    if (uadd64_overflow(info->pages_offset, info->length, &pages_end) ||
        pages_end > r->source->size) {
        reader_fail(r, at, "block '%s': 0x%" PRIx64 " bytes of pages at "
                    "offset 0x%" PRIx64 " reach beyond the file's end at 0x%"
                    PRIx64, info->name, info->length, info->pages_offset,
                    r->source->size);
    }
}

static void read_block(Reader *r, FixedRamSnapshot *s)
{
    FixedRamBlockInfo info = { .header_offset = reader_offset(r) };
    uint64_t page_size;
    uint32_t version;

    reader_string(r, info.name);
    if (r->error) {
        return;
    }
    info.length = reader_be64(r);
    version = reader_be32(r);
    page_size = reader_be64(r);
    info.bitmap_offset = reader_be64(r);
    info.pages_offset = reader_be64(r);
    if (r->error) {
        error_prepend(&r->error, "block '%s': ", info.name);
        return;
    }

    if (s->blocks->len == MAX_BLOCKS) {
        reader_fail(r, info.header_offset, "block '%s': more than %d blocks",
                    info.name, MAX_BLOCKS);
    }
    if (version != BLOCK_HEADER_VERSION) {
        reader_fail(r, info.header_offset, "block '%s': version %" PRIu32
                    " of the header, expected %d", info.name, version,
                    BLOCK_HEADER_VERSION);
    }
    if (page_size != s->page_size) {
        reader_fail(r, info.header_offset, "block '%s': page size %" PRIu64
                    ", this target has %" PRIu64, info.name, page_size,
                    s->page_size);
    }
    if (fixed_ram_snapshot_find(s, info.name)) {
        reader_fail(r, info.header_offset, "block '%s' is there twice",
                    info.name);
    }
    if (r->error) {
        return;
    }
    check_block(r, s, &info);
    g_array_append_val(s->blocks, info);
    reader_seek(r, info.pages_offset + info.length);
}

static void read_blocks(Reader *r, FixedRamSnapshot *s)
{
    uint64_t offset = reader_offset(r);
    uint64_t total = reader_be64(r);
    uint64_t flags = total & (s->page_size - 1);

    total -= flags;
    if (flags != RAM_FLAG_MEM_SIZE) {
        reader_fail(r, offset, "the RAM section begins with flags 0x%" PRIx64
                    ", expected 0x%x", flags, RAM_FLAG_MEM_SIZE);
    }
    while (total && !r->error) {
        const FixedRamBlockInfo *info;

        offset = reader_offset(r);
        read_block(r, s);
        if (r->error) {
            break;
        }
        info = fixed_ram_snapshot_block(s, s->blocks->len - 1);
        if (info->length > total) {
            reader_fail(r, offset, "block '%s': length 0x%" PRIx64 ", but "
                        "only 0x%" PRIx64 " bytes of RAM are left",
                        info->name, info->length, total);
            break;
        }
        total -= info->length;
    }
    s->ram_end = reader_offset(r);
}

/* Skip the footer of a section of RAM; older machine types write none. */
static uint8_t next_section(Reader *r, uint64_t *offset)
{
    uint8_t type;

    *offset = reader_offset(r);
    type = reader_u8(r);
    if (type == STREAM_FOOTER) {
        uint32_t section = reader_be32(r);

        if (section != r->ram_section) {
            reader_fail(r, *offset, "section %" PRIu32 " ends here, expected "
                        "%" PRIu32, section, r->ram_section);
        }
        *offset = reader_offset(r);
        type = reader_u8(r);
    }
    return type;
}

/*
 * RAM's other sections hold nothing, and end with the one that says so.  Then
 * comes the state of devices.  A save that was cut off leaves nothing there,
 * or zeros, which would pass for the stream's end.
 */
static void check_ram_end(Reader *r)
{
    uint64_t offset = reader_offset(r);
    uint64_t flags = reader_be64(r);
    unsigned sections = 0;
    uint8_t type;

    if (flags != RAM_FLAG_EOS) {
        reader_fail(r, offset, "flags 0x%" PRIx64 " where the list of RAM "
                    "blocks ends, expected 0x%x: the save was cut off, or the "
                    "file is damaged", flags, RAM_FLAG_EOS);
    }
    type = next_section(r, &offset);
    while ((type == STREAM_SECTION_PART || type == STREAM_SECTION_END) &&
           sections++ < MAX_RAM_SECTIONS &&
           reader_be32(r) == r->ram_section &&
           reader_be64(r) == RAM_FLAG_EOS) {
        type = next_section(r, &offset);
    }
    if (type == STREAM_EOF) {
        reader_fail(r, offset, "the stream ends after RAM, without any "
                    "device's state: the save was cut off");
    }
}

FixedRamSnapshot *fixed_ram_format_read(FixedRamSource *source,
                                        uint64_t start, uint64_t page_size,
                                        Error **errp)
{
    g_autoptr(FixedRamSnapshot) s = g_new0(FixedRamSnapshot, 1);
    g_autofree Reader *r = g_new0(Reader, 1);

    s->start = start;
    s->page_size = page_size;
    s->blocks = g_array_new(false, true, sizeof(FixedRamBlockInfo));
    r->source = source;
    reader_seek(r, start);

    find_ram_section(r);
    if (!r->error) {
        read_blocks(r, s);
        check_ram_end(r);
    }
    if (r->error) {
        error_propagate(errp, r->error);
        return NULL;
    }
    return g_steal_pointer(&s);
}

void fixed_ram_snapshot_free(FixedRamSnapshot *snapshot)
{
    if (snapshot) {
        g_array_unref(snapshot->blocks);
        g_free(snapshot);
    }
}

FixedRamBlockInfo *
fixed_ram_snapshot_find(const FixedRamSnapshot *snapshot, const char *name)
{
    for (size_t i = 0; i < snapshot->blocks->len; i++) {
        FixedRamBlockInfo *info = fixed_ram_snapshot_block(snapshot, i);

        if (!strcmp(info->name, name)) {
            return info;
        }
    }
    return NULL;
}

unsigned long *fixed_ram_format_read_bitmap(FixedRamSource *source,
                                            const FixedRamSnapshot *snapshot,
                                            const FixedRamBlockInfo *info,
                                            Error **errp)
{
    uint64_t pages = info->length / snapshot->page_size;
    uint64_t bytes = fixed_ram_bitmap_bytes(info->length,
                                            snapshot->page_size);
    g_autofree unsigned long *bitmap = g_try_malloc(bytes);

    QEMU_BUILD_BUG_ON(sizeof(unsigned long) != sizeof(uint64_t));

    if (!bitmap) {
        error_setg(errp, "snapshot '%s': block '%s': no memory for a bitmap "
                   "of %" PRIu64 " bytes", source->name, info->name, bytes);
        return NULL;
    }
    if (!fixed_ram_source_read(source, bitmap, bytes, info->bitmap_offset,
                               errp)) {
        error_prepend(errp, "block '%s': ", info->name);
        return NULL;
    }
    if (pages % 64 && bitmap[pages / 64] >> (pages % 64)) {
        error_setg(errp, "snapshot '%s': block '%s': the bitmap at offset 0x%"
                   PRIx64 " has bits set beyond the block's end",
                   source->name, info->name, info->bitmap_offset);
        return NULL;
    }
    return g_steal_pointer(&bitmap);
}

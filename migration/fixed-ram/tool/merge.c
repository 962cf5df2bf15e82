/*
 * qemu-snapshot merge: make a full snapshot of a delta and its layers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * The new snapshot is the delta with all of its pages: the same stream at the
 * same places, but for the version in the blocks' headers, the same checksums,
 * and an index without layers.  So no page is read, and nothing is verified.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/qemu-progress.h"
#include "qemu/units.h"
#include "../format/index-layers.h"
#include "../format/index-set.h"
#include "../format/layers.h"
#include "../save/metadata.h"
#include "../util/io.h"
#include "clone.h"
#include "command.h"
#include "file.h"
#include "report.h"

#define FULL_HEADER_VERSION 1

/* Where pages are copied: so many bytes at once, and read so far ahead. */
#define COPY_BYTES (4 * MiB)
#define AHEAD_BYTES (32 * MiB)

/* All fields belong to the thread that runs the command. */
typedef struct Merge {
    ToolFile *in;
    ToolClone clone;
    uint64_t ahead;             /* pages of the block up to here are expected */
    FixedRamMetadata file;      /* superblock and index of the output */
} Merge;

static bool copy_own(Merge *m, uint64_t from, uint64_t end, Error **errp)
{
    const FixedRamSource *own = m->in->snapshot->layers->own;

    return from >= end || tool_clone_range(&m->clone, own, from, end - from,
                                           from, errp);
}

/*
 * Write the bytes from @from up to the bitmap of block @i, with the version of
 * a full snapshot.  The caller frees them.
 */
static uint8_t *put_header(Merge *m, size_t i, uint64_t from, Error **errp)
{
    const FixedRamSnapshot *s = m->in->snapshot;
    const FixedRamBlockInfo *info = fixed_ram_ramsection_block(s->ram, i);
    uint64_t version = info->header_offset + 1 + strlen(info->name) +
                       sizeof(uint64_t);
    size_t length = info->bitmap_offset - from;
    g_autofree uint8_t *bytes = g_malloc(length);

    if (!fixed_ram_source_read(s->source, bytes, length, from, errp)) {
        return NULL;
    }
    stl_be_p(bytes + (version - from), FULL_HEADER_VERSION);
    return tool_writer_put(m->clone.out, bytes, length, from, errp)
           ? g_steal_pointer(&bytes) : NULL;
}

/* The head ends with the first block's header. */
static bool put_head(Merge *m, Error **errp)
{
    FixedRamIndexPart *head = &m->in->snapshot->index->head;
    g_autofree uint8_t *bytes = put_header(m, 0, head->offset, errp);

    if (bytes) {
        head->sum = fixed_ram_sums_get(bytes, head->length);
    }
    return bytes;
}

/*
 * The files are opened for reads past the page cache, so the kernel reads
 * nothing ahead of a copy, and each file is read in pieces.
 */
static void read_ahead(Merge *m, const FixedRamBlockInfo *info, uint64_t at)
{
    uint64_t end = MIN(at + AHEAD_BYTES, info->length);

    if (!m->clone.no_share || end < m->ahead + COPY_BYTES) {
        return;
    }
    fixed_ram_source_expect(m->in->snapshot->source,
                            info->pages_offset + m->ahead, end - m->ahead);
    m->ahead = end;
}

/* Pages from @at of the block on; *@length: how many bytes lie in one file. */
static bool put_part(Merge *m, const FixedRamBlockInfo *info, uint64_t at,
                     uint64_t *length, Error **errp)
{
    uint64_t to = info->pages_offset + at;
    uint64_t left = info->length - at;
    FixedRamSourcePart part =
        fixed_ram_source_part(m->in->snapshot->source, to,
                              m->clone.no_share ? MIN(left, COPY_BYTES) : left);

    *length = part.length;
    return tool_clone_range(&m->clone, part.source, part.offset, part.length,
                            to, errp);
}

static bool put_block(Merge *m, size_t i, Error **errp)
{
    const FixedRamSnapshot *s = m->in->snapshot;
    const FixedRamBlockInfo *info = fixed_ram_ramsection_block(s->ram, i);
    uint64_t bitmap_end = info->bitmap_offset +
        fixed_ram_ramsection_bitmap_bytes(info->length, s->page_size);
    uint64_t ram = s->ram->ram_end - s->start, length;

    if (i) {
        g_autofree uint8_t *bytes = put_header(m, i, info->header_offset,
                                               errp);

        if (!bytes) {
            return false;
        }
    }
    if (!copy_own(m, info->bitmap_offset, bitmap_end, errp)) {
        return false;
    }
    m->ahead = 0;
    for (uint64_t at = 0; at < info->length; at += length) {
        read_ahead(m, info, at);
        if (!put_part(m, info, at, &length, errp)) {
            return false;
        }
        qemu_progress_print(100.0 * length / ram, 100);
    }
    return true;
}

static bool put_stream(Merge *m, Error **errp)
{
    const FixedRamSnapshot *s = m->in->snapshot;

    if (!put_head(m, errp)) {
        return false;
    }
    for (size_t i = 0; i < s->ram->blocks->len; i++) {
        if (!put_block(m, i, errp)) {
            return false;
        }
    }
    return copy_own(m, s->ram->ram_end, s->sb.stream_end, errp);
}

/* What the index refers to, but for the layers. */
static bool put_tables(Merge *m, Error **errp)
{
    const FixedRamIndex *index = m->in->snapshot->index;
    const FixedRamIndexTable *table = &index->table;
    const FixedRamIndexSet *set = &index->set;

    if (!copy_own(m, table->offset, table->offset + table->length, errp)) {
        return false;
    }
    return !index->has_set ||
           (copy_own(m, set->list_offset, set->list_offset +
                     fixed_ram_index_set_list_bytes(set), errp) &&
            copy_own(m, set->pack_offset, set->pack_offset + set->pack_length,
                     errp));
}

/* A cluster of a layer may have old bytes where a page is zero. */
static bool all_clean(const FixedRamSnapshot *s)
{
    bool clean = s->index->clean;

    for (size_t i = 1; clean && i <= s->layers->list->len; i++) {
        clean = fixed_ram_layer(s->layers, i)->snapshot->index->clean;
    }
    return clean;
}

/* The new index is not longer than that of the delta, in whose place it is. */
static bool put_index(Merge *m, Error **errp)
{
    const FixedRamSnapshot *s = m->in->snapshot;
    FixedRamIndex *index = s->index;
    g_autoptr(GByteArray) bytes = NULL;

    index->clean = all_clean(s);
    fixed_ram_index_layers_free(g_steal_pointer(&index->layers));
    bytes = fixed_ram_index_encode(index);
    assert(bytes->len <= s->sb.index_length);
    m->file.sb.stream_end = s->sb.stream_end;
    m->file.sb.index_offset = s->sb.index_offset;
    m->file.sb.index_length = bytes->len;
    m->file.sb.index_crc = fixed_ram_layout_crc32c(bytes->data, bytes->len);
    return tool_writer_put(m->clone.out, bytes->data, bytes->len,
                           s->sb.index_offset, errp);
}

static bool write_all(Merge *m, Error **errp)
{
    const FixedRamSnapshot *s = m->in->snapshot;

    m->file = (FixedRamMetadata) {
        .fd = m->clone.out->fd,
        .name = m->clone.out->name,
        .sb.start = s->start,
        .sb_offset = fixed_ram_superblock_offset(
            fixed_ram_ramsection_block(s->ram, 0)->pages_offset),
    };
    memcpy(m->file.sb.id, s->index->id, FIXED_RAM_ID_BYTES);
    return fixed_ram_metadata_begin(&m->file, errp) && put_stream(m, errp) &&
           put_tables(m, errp) && put_index(m, errp) &&
           fixed_ram_metadata_sync(&m->file, errp) &&
           fixed_ram_metadata_complete(&m->file, errp);
}

static bool check_in(const ToolFile *in, Error **errp)
{
    const char *name = in->snapshot->source->name;

    if (!in->snapshot->layers) {
        error_setg(errp, "snapshot '%s' is no delta, so there is nothing to "
                   "merge", name);
        return false;
    }
    if (in->snapshot->start) {
        error_setg(errp, "snapshot '%s' does not begin at the file's start: "
                   "use 'qemu-snapshot convert'", name);
        return false;
    }
    return true;
}

bool tool_merge_delta(const char *from, const char *to, Error **errp)
{
    uint64_t start = 0;
    g_autofree char *path = tool_file_parse_name(to, &start, errp);
    g_autoptr(ToolFile) in = path ? tool_file_open_good(from, 0, errp) : NULL;
    Merge m = { .in = in };
    bool ok;

    if (!in || !check_in(in, errp)) {
        return false;
    }
    if (start) {
        error_setg(errp, "'%s': merge writes no offset but 0", to);
        return false;
    }
    m.clone.out = tool_writer_open(path, 0, in->snapshot->source, errp);
    if (m.clone.out && m.clone.out->is_stream) {
        error_setg(errp, "cannot write a snapshot to '%s': it is not a regular "
                   "file", path);
    }
    ok = m.clone.out && !m.clone.out->is_stream &&
         tool_writer_empty(m.clone.out, in->snapshot->ram->ram_end, errp) &&
         write_all(&m, errp);
    return tool_writer_close(m.clone.out, ok, ok ? errp : NULL) && ok;
}

static int run_merge(const ToolCommand *command, int argc, char **argv)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, { "progress", no_argument, NULL, 'p' }, { },
    };
    ToolCommon common = { };
    bool progress = false;
    Error *err = NULL;
    bool ok;

    while (tool_getopt(command, argc, argv, "hp", options, &common) != -1) {
        progress = true;
    }
    tool_expect_args(command, argc, 2);
    qemu_progress_init(progress, 1.0);
    ok = tool_merge_delta(argv[optind], argv[optind + 1], &err);
    qemu_progress_end();
    if (!ok) {
        error_report_err(err);
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

const ToolCommand tool_merge = {
    .name = "merge",
    .summary = "Make a full snapshot of a delta and its layers",
    .syntax = "[-p] DELTA OUT",
    .help =
"  -p, --progress\n"
"     show progress\n"
"  DELTA\n"
"     a snapshot that was saved with fixed-ram-base\n"
"  OUT\n"
"     the snapshot to write.  An existing file is overwritten.\n"
"\n"
"OUT has the identity and the content of DELTA and needs no other file.  Content\n"
"is shared with the layers' files if the file system can do that, else copied.\n"
"It is not verified: check OUT before you remove a layer.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_merge,
};

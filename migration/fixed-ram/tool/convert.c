/*
 * qemu-snapshot convert: write a file of any kind as a fixed-ram snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/random.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/qemu-progress.h"
#include "../format/index-options.h"
#include "../save/metadata.h"
#include "command.h"
#include "copy.h"
#include "description.h"
#include "libvirt.h"
#include "set.h"

/* The user has not said where in the new file the stream shall begin. */
#define NO_OFFSET   UINT64_MAX

/* All fields belong to the thread that runs the command. */
typedef struct Convert {
    bool sparse;                /* the user wants holes for all zero pages */
    bool libvirt;               /* libvirt's header is kept */
    ToolFile *in;
    ToolLayout *layout;         /* of the new snapshot */
    GPtrArray *copies;          /* of ToolCopy, as the blocks of @in */
    uint8_t *buf;               /* TOOL_CHUNK_BYTES */
    ToolWriter *out;
    FixedRamMetadata file;      /* superblock, index and sums of @out */
    FixedRamIndex *index;
} Convert;

static bool write_head(Convert *c, Error **errp)
{
    const GByteArray *head = c->layout->head;
    const ToolLayoutBlock *first = tool_layout_block(c->layout, 0);
    uint64_t start = c->out->start;

    c->index->head.offset = start;
    c->index->head.length = first->bitmap_offset - start;
    if (c->index->has_sums) {
        FixedRamSumStream *sum = fixed_ram_sums_stream_new();

        fixed_ram_sums_stream_add(sum, head->data, head->len);
        fixed_ram_sums_stream_add(sum, first->header->data,
                                  first->header->len);
        c->index->head.sum = fixed_ram_sums_stream_get(sum);
        fixed_ram_sums_stream_free(sum);
    }
    return tool_writer_put(c->out, head->data, head->len, start, errp);
}

/* The same bytes as in the input. */
static bool copy_piece(Convert *c, const ToolPiece *piece, uint64_t to,
                       FixedRamSumStream *sum, Error **errp)
{
    for (uint64_t done = 0; done < piece->length; ) {
        size_t n = MIN(piece->length - done, TOOL_CHUNK_BYTES);

        if (!fixed_ram_source_read(c->in->snapshot->source, c->buf, n,
                                   piece->offset + done, errp) ||
            !tool_writer_put(c->out, c->buf, n, to + done, errp)) {
            return false;
        }
        if (sum) {
            fixed_ram_sums_stream_add(sum, c->buf, n);
        }
        done += n;
    }
    return true;
}

/* All that comes behind RAM; @end: where it ends in the output. */
static bool copy_tail(Convert *c, uint64_t *end, Error **errp)
{
    FixedRamSumStream *sum = c->index->has_sums ? fixed_ram_sums_stream_new()
                                                : NULL;
    uint64_t to = c->layout->ram_end;
    bool ok = true;

    for (size_t i = 0; ok && i < c->layout->tail->len; i++) {
        const ToolPiece *piece = &g_array_index(c->layout->tail, ToolPiece, i);

        ok = copy_piece(c, piece, to, sum, errp);
        to += piece->length;
    }
    c->index->tail.offset = c->layout->ram_end;
    c->index->tail.length = to - c->layout->ram_end;
    if (sum) {
        c->index->tail.sum = fixed_ram_sums_stream_get(sum);
        fixed_ram_sums_stream_free(sum);
    }
    *end = to;
    return ok;
}

/* The name and the like are only in an index; a stream has just the type. */
static void copy_machine(FixedRamIndex *to, const FixedRamIndex *from)
{
    if (from && from->has_machine) {
        to->has_machine = true;
        to->machine = from->machine;
        to->machine.type = g_strdup(from->machine.type);
        to->machine.version = g_strdup(from->machine.version);
        to->machine.name = g_strdup(from->machine.name);
    }
    to->options = from ? fixed_ram_index_options_copy(from->options) : NULL;
}

static bool same_places(const Convert *c)
{
    for (size_t i = 0; i < c->in->blocks->len; i++) {
        if (tool_file_block(c->in, i)->pages_offset !=
            tool_layout_block(c->layout, i)->pages_offset) {
            return false;
        }
    }
    return true;
}

/*
 * migrate-recover takes a snapshot with the same identity in place of another
 * one.  So only a copy has it that has the same pages at the same places.
 */
static bool choose_id(Convert *c, Error **errp)
{
    const FixedRamIndex *in = c->in->snapshot->index;

    if (in && !c->sparse && same_places(c)) {
        memcpy(c->index->id, in->id, FIXED_RAM_ID_BYTES);
        /* Deltas to the input accept the output, whose sums are the same. */
        fixed_ram_index_choose_key(c->index, in->has_sums ? in : NULL);
        return true;
    }
    if (qcrypto_random_init(errp) ||
        qcrypto_random_bytes(c->index->id, FIXED_RAM_ID_BYTES, errp)) {
        return false;
    }
    fixed_ram_index_choose_key(c->index, NULL);
    return true;
}

static bool make_index(Convert *c, Error **errp)
{
    c->index = fixed_ram_index_new();
    c->index->has_sums = fixed_ram_sums_built();
    /* The output is emptied first, and only pages with data are written. */
    c->index->clean = true;
    copy_machine(c->index, c->in->snapshot->index);
    return choose_id(c, errp);
}

static bool make_copies(Convert *c, Error **errp)
{
    /* A save of a running VM leaves zero pages out, too. */
    bool find_zeros = c->sparse || c->in->plain;

    for (size_t i = 0; i < c->in->blocks->len; i++) {
        ToolCopy *copy = tool_copy_new(c->in, c->layout, i,
                                       c->index->table.key, find_zeros, errp);

        if (!copy) {
            return false;
        }
        g_ptr_array_add(c->copies, copy);
    }
    return true;
}

/* Where the stream of the input ends. */
static bool find_end(const ToolFile *in, uint64_t *end, Error **errp)
{
    ERRP_GUARD();
    QDict *description;

    *end = in->snapshot->index ? in->snapshot->sb.stream_end : 0;
    if (*end) {
        return true;
    }
    description = tool_description_find(in->snapshot->source,
                                        tool_file_ram_end(in), end,
                                        errp);
    qobject_unref(description);
    return !*errp;
}

/* What can fail without touching the output. */
static bool prepare(Convert *c, uint64_t start, Error **errp)
{
    uint64_t in_end;

    if (!find_end(c->in, &in_end, errp)) {
        return false;
    }
    c->layout = tool_layout_new(c->in, start, in_end, errp);
    return c->layout && make_index(c, errp) && make_copies(c, errp);
}

static bool open_out(Convert *c, const char *path, uint64_t start,
                     Error **errp)
{
    c->out = tool_writer_open(path, start, c->in->snapshot->source, errp);
    if (c->out && c->out->is_stream) {
        error_setg(errp, "cannot write a snapshot to '%s': it is not a regular "
                   "file", path);
        return false;
    }
    return c->out && tool_writer_empty(c->out, c->layout->ram_end, errp);
}

static bool copy_blocks(Convert *c, Error **errp)
{
    double length = c->layout->ram_end - c->out->start;

    for (size_t i = 0; i < c->copies->len; i++) {
        ToolCopy *copy = g_ptr_array_index(c->copies, i);
        FixedRamIndexBlock entry;

        if (!tool_copy_run(copy, c->out, c->buf,
                           100 * copy->in->length / length, errp)) {
            return false;
        }
        entry = tool_copy_describe(copy);
        g_array_append_val(c->index->blocks, entry);
    }
    return true;
}

static bool write_index(Convert *c, uint64_t stream_end, Error **errp)
{
    g_autoptr(GPtrArray) sums = g_ptr_array_new();

    for (size_t i = 0; i < c->copies->len; i++) {
        g_ptr_array_add(sums, ((ToolCopy *)c->copies->pdata[i])->sums);
    }
    return fixed_ram_metadata_write_index(&c->file, c->index, sums, NULL,
                                          stream_end, errp);
}

/*
 * In the order of a save: until the end the superblock says that the snapshot
 * is not complete.
 */
static bool write_all(Convert *c, Error **errp)
{
    uint64_t end;

    c->file = (FixedRamMetadata) {
        .fd = c->out->fd,
        .name = c->out->name,
        .sb.start = c->out->start,
        .sb_offset = c->layout->superblock,
    };
    memcpy(c->file.sb.id, c->index->id, FIXED_RAM_ID_BYTES);
    return (!c->libvirt || tool_libvirt_begin(c->in, c->out, errp)) &&
           fixed_ram_metadata_begin(&c->file, errp) &&
           write_head(c, errp) && copy_blocks(c, errp) &&
           copy_tail(c, &end, errp) && write_index(c, end, errp) &&
           fixed_ram_metadata_sync(&c->file, errp) &&
           (!c->libvirt || tool_libvirt_complete(c->out, errp)) &&
           fixed_ram_metadata_complete(&c->file, errp);
}

/*
 * The set refers to pages by their numbers, so it holds for the copy.  The copy
 * is good without it.
 */
static void copy_set(const ToolFile *in, const char *path, uint64_t start)
{
    const FixedRamIndex *index = in->snapshot->index;
    g_autoptr(ToolFile) out = NULL;
    Error *err = NULL;

    if (!index || (!index->has_set && !index->set_problem)) {
        return;
    }
    out = tool_file_open_good(path, start, &err);
    if (!out || !tool_set_copy(in, out, index->set.pack_length, &err)) {
        warn_reportf_err(err, "the copy has no working set: ");
    }
}

static void free_copy(void *opaque)
{
    tool_copy_free(opaque);
}

static void convert_free(Convert *c)
{
    g_ptr_array_unref(c->copies);
    if (c->index) {
        fixed_ram_index_free(c->index);
    }
    if (c->layout) {
        tool_layout_free(c->layout);
    }
    qemu_vfree(c->buf);
    tool_file_close(c->in);
}

/*
 * Where the new stream begins.  An offset in the command line asks for the
 * stream alone, without libvirt's header.
 */
static uint64_t choose_start(Convert *c, uint64_t offset)
{
    c->libvirt = c->in->libvirt && offset == NO_OFFSET;
    if (c->libvirt) {
        return c->in->libvirt->stream;
    }
    return offset == NO_OFFSET ? 0 : offset;
}

static bool convert(Convert *c, char **names, Error **errp)
{
    uint64_t start = NO_OFFSET;
    g_autofree char *path = tool_file_parse_name(names[1], &start, errp);
    bool ok;

    c->copies = g_ptr_array_new_with_free_func(free_copy);
    c->buf = tool_buffer_new();
    c->in = path ? tool_file_open_good(names[0], 0, errp) : NULL;
    if (c->in) {
        start = choose_start(c, start);
    }
    ok = c->in && prepare(c, start, errp) && open_out(c, path, start, errp) &&
         write_all(c, errp);
    ok = tool_writer_close(c->out, ok, ok ? errp : NULL) && ok;
    if (ok) {
        copy_set(c->in, path, start);
    }
    convert_free(c);
    return ok;
}

enum { OPT_SPARSE = TOOL_OPT_OWN };

static int run_convert(const ToolCommand *command, int argc, char **argv)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP,
        { "sparse", no_argument, NULL, OPT_SPARSE },
        { "progress", no_argument, NULL, 'p' },
        { },
    };
    ToolCommon common = { };
    bool progress = false;
    Convert c = { };
    Error *err = NULL;
    bool ok;
    int o;

    while ((o = tool_getopt(command, argc, argv, "hp", options,
                            &common)) != -1) {
        if (o == 'p') {
            progress = true;
        } else {
            c.sparse = true;
        }
    }
    tool_expect_args(command, argc, 2);
    qemu_progress_init(progress, 1.0);
    ok = convert(&c, argv + optind, &err);
    qemu_progress_end();
    if (!ok) {
        error_report_err(err);
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

const ToolCommand tool_convert = {
    .name = "convert",
    .summary = "Write a file of any kind as a fixed-ram snapshot",
    .syntax = "[--sparse] [-p] IN OUT",
    .help =
"  --sparse\n"
"     leave a hole for each page whose bytes are all zero, too, not only for\n"
"     pages that IN has marked as zero; always done for plain streams.  The\n"
"     copy of a fixed-ram snapshot gets a new identity then.\n"
"  -p, --progress\n"
"     show progress\n"
"  IN\n"
"     a plain migration stream, a mapped-ram or a fixed-ram snapshot, or a save\n"
"     image of libvirt that holds one of them;\n"
"     file:PATH,offset=N where the stream does not begin at the file's start\n"
"  OUT\n"
"     the snapshot to write, or file:PATH,offset=N.  An existing file is\n"
"     overwritten, from N on.  Without N the copy of a save image has the\n"
"     header and the XML, too, and libvirt restores it; with N, which may be\n"
"     0, it is the snapshot alone.\n"
"\n"
"Content that has checksums is verified while it is copied.  The copy of a\n"
"fixed-ram snapshot has the same identity if its pages lie at the same places.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_convert,
};

/*
 * qemu-snapshot convert: write a file of any kind as a fixed-ram snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/random.h>
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/qemu-progress.h"
#include "../save/file.h"
#include "../save/page-sums.h"
#include "block.h"
#include "command.h"
#include "description.h"
#include "layout.h"
#include "writer.h"

typedef struct Convert {
    ToolFile *in;
    bool find_zeros;            /* look into pages, too */
    uint64_t bytes;             /* of all blocks, for progress */
    uint8_t *buf;
    ToolWriter *out;
    ToolLayout *layout;
    FixedRamSaveFile file;      /* superblock, index, sums */
    FixedRamIndex *index;
    GPtrArray *sums;            /* of FixedRamSaveSums */
} Convert;

/* A block on its way to the output. */
typedef struct Copy {
    const ToolBlock *in;
    const ToolLayoutBlock *out;
    unsigned long *data;        /* bits of pages that were written */
    FixedRamSaveSums *sums;     /* NULL: none are kept */
} Copy;

static void note_page(Convert *c, Copy *copy, uint64_t page,
                      const uint8_t *bytes)
{
    size_t size = copy->in->page_size;

    if (!test_bit(page, copy->in->data) ||
        (c->find_zeros && buffer_is_zero(bytes, size))) {
        return;
    }
    set_bit(page, copy->data);
    if (copy->sums) {
        fixed_ram_save_sums_set(copy->sums, page, fixed_ram_sum(bytes, size));
    }
}

/* Those of the pages in @c->buf that hold data. */
static bool write_pages(Convert *c, const Copy *copy, uint64_t first,
                        uint64_t end, Error **errp)
{
    uint64_t size = copy->in->page_size;
    uint64_t from = find_next_bit(copy->data, end, first);

    while (from < end) {
        uint64_t to = find_next_zero_bit(copy->data, end, from);

        if (!tool_writer_put(c->out, c->buf + (from - first) * size,
                             (to - from) * size,
                             copy->out->pages_offset + from * size, errp)) {
            return false;
        }
        from = find_next_bit(copy->data, end, to);
    }
    return true;
}

static bool copy_pages(Convert *c, Copy *copy, Error **errp)
{
    const ToolBlock *in = copy->in;
    uint64_t chunk = TOOL_CHUNK_BYTES / in->page_size;

    for (uint64_t first = 0; first < in->pages; first += chunk) {
        uint64_t end = MIN(first + chunk, in->pages);

        if (tool_block_has_data(in, first, end - first) || c->in->table) {
            if (!tool_block_read_good(c->in, in, first, end - first, c->buf,
                                      errp)) {
                return false;
            }
            for (uint64_t page = first; page < end; page++) {
                note_page(c, copy, page,
                          c->buf + (page - first) * in->page_size);
            }
            if (!write_pages(c, copy, first, end, errp)) {
                return false;
            }
        }
        qemu_progress_print(100.0 * (end - first) * in->page_size / c->bytes,
                            100);
    }
    return true;
}

static bool copy_bitmap(Convert *c, const Copy *copy, Error **errp)
{
    uint64_t length = copy->in->length;
    uint64_t size = copy->in->page_size;
    size_t bytes = fixed_ram_bitmap_bytes(length, size);
    FixedRamIndexBlock entry = {
        .length = length,
        .page_size = size,
        .bitmap_offset = copy->out->bitmap_offset,
        .pages_offset = copy->out->pages_offset,
        .pages = bitmap_count_one(copy->data, copy->in->pages),
    };

    pstrcpy(entry.name, sizeof(entry.name), copy->in->name);
    if (copy->sums) {
        fixed_ram_save_sums_close(copy->sums, copy->data, length);
        entry.bitmap_sum = fixed_ram_sum(copy->data, bytes);
    }
    g_array_append_val(c->index->blocks, entry);
    return tool_writer_put(c->out, copy->data, bytes,
                           copy->out->bitmap_offset, errp);
}

static bool copy_block(Convert *c, size_t i, Error **errp)
{
    Copy copy = {
        .in = tool_file_block(c->in, i),
        .out = tool_layout_block(c->layout, i),
    };
    g_autofree unsigned long *data = bitmap_try_new(copy.in->pages);

    if (!data) {
        error_setg(errp, "block '%s': no memory for its bitmap",
                   copy.in->name);
        return false;
    }
    copy.data = data;
    if (fixed_ram_sums_built()) {
        copy.sums = fixed_ram_save_sums_new(copy.in->length,
                                            copy.in->page_size, errp);
        if (!copy.sums) {
            return false;
        }
        g_ptr_array_add(c->sums, copy.sums);
    }
    return tool_writer_put(c->out, copy.out->header->data,
                           copy.out->header->len, copy.out->header_offset,
                           errp) &&
           copy_pages(c, &copy, errp) && copy_bitmap(c, &copy, errp);
}

static bool write_head(Convert *c, Error **errp)
{
    const GByteArray *head = c->layout->head;
    const ToolLayoutBlock *first = tool_layout_block(c->layout, 0);
    uint64_t start = c->out->start;

    c->index->head.offset = start;
    c->index->head.length = first->bitmap_offset - start;
    if (c->index->has_sums) {
        FixedRamSumStream *sum = fixed_ram_sum_stream_new();

        fixed_ram_sum_stream_add(sum, head->data, head->len);
        fixed_ram_sum_stream_add(sum, first->header->data,
                                 first->header->len);
        c->index->head.sum = fixed_ram_sum_stream_get(sum);
        fixed_ram_sum_stream_free(sum);
    }
    return tool_writer_put(c->out, head->data, head->len, start, errp);
}

/* The same bytes as in the input. */
static bool copy_piece(Convert *c, const ToolPiece *piece, uint64_t to,
                       FixedRamSumStream *sum, Error **errp)
{
    for (uint64_t done = 0; done < piece->length; ) {
        size_t n = MIN(piece->length - done, TOOL_CHUNK_BYTES);

        if (!fixed_ram_source_read(c->in->source, c->buf, n,
                                   piece->offset + done, errp) ||
            !tool_writer_put(c->out, c->buf, n, to + done, errp)) {
            return false;
        }
        if (sum) {
            fixed_ram_sum_stream_add(sum, c->buf, n);
        }
        done += n;
    }
    return true;
}

/* All that comes behind RAM; @end: where it ends in the output. */
static bool copy_tail(Convert *c, uint64_t *end, Error **errp)
{
    FixedRamSumStream *sum = c->index->has_sums ? fixed_ram_sum_stream_new()
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
        c->index->tail.sum = fixed_ram_sum_stream_get(sum);
        fixed_ram_sum_stream_free(sum);
    }
    *end = to;
    return ok;
}

/*
 * What an index says about the machine a stream does not: then the new one
 * says nothing.  The type is in the configuration.
 */
static void copy_machine(FixedRamIndex *to, const FixedRamIndex *from)
{
    if (from && from->has_machine) {
        to->has_machine = true;
        to->machine = from->machine;
        to->machine.type = g_strdup(from->machine.type);
        to->machine.version = g_strdup(from->machine.version);
        to->machine.name = g_strdup(from->machine.name);
    }
}

/* A copy is the same snapshot, and one may take the other's place. */
static bool choose_id(Convert *c, Error **errp)
{
    uint8_t *id = c->file.sb.id;

    if (c->in->index) {
        memcpy(id, c->in->index->id, FIXED_RAM_ID_BYTES);
    } else if (getrandom(id, FIXED_RAM_ID_BYTES, 0) != FIXED_RAM_ID_BYTES) {
        error_setg_errno(errp, errno, "no random numbers for an id");
        return false;
    }
    memcpy(c->index->id, id, FIXED_RAM_ID_BYTES);
    return true;
}

/* In the order of a save: who looks in between sees that it is not complete. */
static bool write_all(Convert *c, Error **errp)
{
    uint64_t end;

    c->file = (FixedRamSaveFile) {
        .fd = c->out->fd,
        .name = c->out->name,
        .sb.start = c->out->start,
        .sb_offset = c->layout->superblock,
    };
    c->index->has_sums = fixed_ram_sums_built();
    copy_machine(c->index, c->in->index);
    if (!choose_id(c, errp) || !fixed_ram_save_file_begin(&c->file, errp) ||
        !write_head(c, errp)) {
        return false;
    }
    for (size_t i = 0; i < c->in->blocks->len; i++) {
        c->bytes += tool_file_block(c->in, i)->length;
    }
    for (size_t i = 0; i < c->in->blocks->len; i++) {
        if (!copy_block(c, i, errp)) {
            return false;
        }
    }
    return copy_tail(c, &end, errp) &&
           fixed_ram_save_file_index(&c->file, c->index, c->sums, end, errp) &&
           fixed_ram_save_file_sync(&c->file, errp) &&
           fixed_ram_save_file_complete(&c->file, errp);
}

static bool stream_end(const ToolFile *in, uint64_t *end, Error **errp)
{
    ERRP_GUARD();
    QDict *description;

    *end = in->index ? in->sb.stream_end : 0;
    if (*end) {
        return true;
    }
    description = tool_description_find(in->source, tool_file_ram_end(in), end,
                                        errp);
    qobject_unref(description);
    return !*errp;
}

static bool open_out(Convert *c, const char *name, Error **errp)
{
    uint64_t start = 0, in_end;
    g_autofree char *path = tool_file_parse_name(name, &start, errp);

    if (!path || !stream_end(c->in, &in_end, errp)) {
        return false;
    }
    c->layout = tool_layout_new(c->in, start, in_end, errp);
    if (!c->layout) {
        return false;
    }
    c->out = tool_writer_open(path, start, c->in->source, errp);
    return c->out;
}

static void free_sums(void *opaque)
{
    fixed_ram_save_sums_free(opaque);
}

static bool convert(Convert *c, char **names, Error **errp)
{
    bool ok;

    c->in = tool_file_open_good(names[0], 0, false, errp);
    if (!c->in) {
        return false;
    }
    /* As a save does. */
    c->find_zeros |= c->in->plain != NULL;
    c->buf = tool_buffer_new();
    c->index = fixed_ram_index_new();
    c->sums = g_ptr_array_new_with_free_func(free_sums);
    ok = open_out(c, names[1], errp) && write_all(c, errp);
    ok = tool_writer_close(c->out, ok, ok ? errp : NULL) && ok;
    g_ptr_array_unref(c->sums);
    fixed_ram_index_free(c->index);
    if (c->layout) {
        tool_layout_free(c->layout);
    }
    qemu_vfree(c->buf);
    tool_file_close(c->in);
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
            c.find_zeros = true;
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
"     leave holes for pages that hold zeros, too, not only for those that are\n"
"     known to be zero; always done for plain streams\n"
"  -p, --progress\n"
"     show progress\n"
"  IN\n"
"     a plain migration stream, a mapped-ram or a fixed-ram snapshot;\n"
"     file:PATH,offset=N where the stream does not begin at the file's start\n"
"  OUT\n"
"     the snapshot that is written, or file:PATH,offset=N; what was there\n"
"     from N on is lost\n"
"\n"
"What has checksums is verified on the way.  The copy of a fixed-ram snapshot\n"
"has the same identity.\n",
    .trouble = EXIT_FAILURE,
    .run = run_convert,
};

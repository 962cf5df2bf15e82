/*
 * qemu-snapshot extract: a RAM block, or a part of it, as a raw file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "block.h"
#include "command.h"
#include "writer.h"

#define STATUS_DAMAGED  2

/* All fields belong to the thread that runs the command. */
typedef struct Extract {
    ToolCommon common;
    const char *block_name;
    const char *range;          /* NULL: the whole block */
    bool force;

    ToolFile *file;
    const ToolBlock *block;
    uint64_t start, end;        /* of the block, in bytes */
    const char *out_name;       /* "-" is standard output */
    ToolWriter *out;
    bool damaged;               /* content is not what was saved */
} Extract;

/* START+LENGTH or START-END, END not included. */
static bool parse_range(Extract *x, Error **errp)
{
    uint64_t second;
    const char *end;
    char kind;

    x->end = x->block->length;
    if (!x->range) {
        return true;
    }
    if (qemu_strtosz(x->range, &end, &x->start) < 0 ||
        (*end != '+' && *end != '-') ||
        qemu_strtosz(end + 1, NULL, &second) < 0) {
        error_setg(errp, "'%s' is not a range: START+LENGTH or START-END",
                   x->range);
        return false;
    }
    kind = *end;
    if (x->start > x->block->length ||
        (kind == '+' && second > x->block->length - x->start) ||
        (kind == '-' && (second > x->block->length || second < x->start))) {
        error_setg(errp, "range '%s' is not in block '%s', whose length is 0x%"
                   PRIx64, x->range, x->block->name, x->block->length);
        return false;
    }
    x->end = kind == '+' ? x->start + second : second;
    return true;
}

/* In a file all that is not written is a hole. */
static bool open_out(Extract *x, Error **errp)
{
    const FixedRamSource *in = x->file->snapshot->source;
    g_autofree char *path = NULL;
    uint64_t start = 0;

    if (!strcmp(x->out_name, "-")) {
        x->out = tool_writer_stdout(in, errp);
        return x->out;
    }
    path = tool_file_parse_name(x->out_name, &start, errp);
    x->out = path ? tool_writer_open(path, start, in, errp) : NULL;
    return x->out &&
           (x->out->is_stream ||
            tool_writer_empty(x->out, start + x->end - x->start, errp));
}

/* How many bytes from @buf on are alike: all zeros, or none of the pages. */
static uint64_t run_length(const uint8_t *buf, uint64_t length, uint64_t step,
                           bool *zeros)
{
    uint64_t n = MIN(length, step);

    *zeros = buffer_is_zero(buf, n);
    while (n < length) {
        uint64_t next = MIN(length - n, step);

        if (buffer_is_zero(buf + n, next) != *zeros) {
            break;
        }
        n += next;
    }
    return n;
}

/* Write those of the @length bytes at @at, in @buf, that are wanted. */
static bool write_chunk(Extract *x, const uint8_t *buf, uint64_t at,
                        uint64_t length, Error **errp)
{
    uint64_t from = MAX(at, x->start);
    uint64_t to = MIN(at + length, x->end);

    while (from < to) {
        const uint8_t *bytes = buf + (from - at);
        bool zeros;
        uint64_t n = run_length(bytes, to - from, x->block->page_size, &zeros);

        if ((!zeros || x->out->is_stream) &&
            !tool_writer_put(x->out, bytes, n,
                             x->out->start + from - x->start, errp)) {
            return false;
        }
        from += n;
    }
    return true;
}

/* Damaged content fails the command, or with --force sets @x->damaged. */
static bool read_chunk(Extract *x, const ToolPages *p, Error **errp)
{
    Error *err = NULL;

    if (tool_block_read_good(p, &err)) {
        return true;
    }
    if (!x->force) {
        error_propagate(errp, err);
        return false;
    }
    warn_report_err(err);
    x->damaged = true;
    return tool_block_read(p, errp);
}

static bool copy_chunk(Extract *x, uint64_t at, uint64_t length, uint8_t *buf,
                       Error **errp)
{
    const ToolPages p = {
        .file = x->file,
        .block = x->block,
        .page = at / x->block->page_size,
        .pages = length / x->block->page_size,
        .buf = buf,
    };

    if (tool_block_has_data(x->block, p.page, p.pages)) {
        return read_chunk(x, &p, errp) && write_chunk(x, buf, at, length, errp);
    }
    if (!x->out->is_stream) {
        return true;
    }
    memset(buf, 0, length);
    return write_chunk(x, buf, at, length, errp);
}

static bool copy(Extract *x, Error **errp)
{
    uint8_t *buf = tool_buffer_new();
    uint64_t at = QEMU_ALIGN_DOWN(x->start, TOOL_CHUNK_BYTES);
    bool ok = true;

    while (ok && at < x->end) {
        uint64_t length = MIN(TOOL_CHUNK_BYTES, x->block->length - at);

        ok = copy_chunk(x, at, length, buf, errp);
        at += length;
    }
    qemu_vfree(buf);
    return ok;
}

/* With --force a file with a problem will do if its blocks are known. */
static bool open_in(Extract *x, const char *in, Error **errp)
{
    x->file = tool_file_open(in, x->common.offset, errp);
    if (!x->file) {
        return false;
    }
    if (!tool_file_verify(x->file)) {
        Error *problem = g_steal_pointer(&x->file->snapshot->problem);

        if (!x->force || !x->file->blocks->len) {
            error_propagate(errp, problem);
            return false;
        }
        warn_report_err(problem);
        x->damaged = true;
    }
    x->block = tool_file_find_or_fail(x->file, x->block_name, errp);
    return x->block;
}

static bool extract(Extract *x, const char *in, Error **errp)
{
    bool ok = open_in(x, in, errp) && parse_range(x, errp) &&
              open_out(x, errp) && copy(x, errp);

    ok = tool_writer_close(x->out, ok, ok ? errp : NULL) && ok;
    tool_file_close(x->file);
    return ok;
}

enum { OPT_RANGE = TOOL_OPT_OWN, OPT_FORCE };

static void parse(const ToolCommand *command, int argc, char **argv,
                  Extract *x)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, TOOL_OPTION_OFFSET,
        { "block", required_argument, NULL, 'b' },
        { "range", required_argument, NULL, OPT_RANGE },
        { "force", no_argument, NULL, OPT_FORCE },
        { },
    };
    int c;

    while ((c = tool_getopt(command, argc, argv, "hb:", options,
                            &x->common)) != -1) {
        if (c == 'b') {
            x->block_name = optarg;
        } else if (c == OPT_RANGE) {
            x->range = optarg;
        } else {
            x->force = true;
        }
    }
    tool_expect_args(command, argc, 2);
    if (!x->block_name) {
        tool_usage(command, "the option --block=NAME is missing; info lists "
                   "the blocks");
    }
}

static int run_extract(const ToolCommand *command, int argc, char **argv)
{
    Extract x = { };
    Error *err = NULL;

    parse(command, argc, argv, &x);
    x.out_name = argv[optind + 1];
    if (!extract(&x, argv[optind], &err)) {
        error_report_err(err);
        return EXIT_FAILURE;
    }
    return x.damaged ? STATUS_DAMAGED : EXIT_SUCCESS;
}

const ToolCommand tool_extract = {
    .name = "extract",
    .summary = "Copy a RAM block to a raw file",
    .syntax = "--block=NAME [--range=START+LENGTH|START-END] [--force]\n"
              "                        [--offset=N] FILE OUT",
    .help =
"  -b, --block=NAME\n"
"     the RAM block to copy; info lists the blocks\n"
"  --range=START+LENGTH, --range=START-END\n"
"     copy only these bytes of the block; END is the first byte after them\n"
"  --force\n"
"     copy damaged content, too: warn, and end with exit status 2\n"
TOOL_HELP_OFFSET
"  FILE\n"
"     the file that a VM was saved to\n"
"  OUT\n"
"     a file, which is overwritten and in which zero pages become holes; a\n"
"     pipe; or - for standard output\n",
    .usage_status = EXIT_FAILURE,
    .run = run_extract,
};

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

#define STATUS_DAMAGED  2

typedef struct Extract {
    ToolCommon common;
    const char *block_name;
    const char *range;
    bool force;

    ToolFile *file;
    const ToolBlock *block;
    uint64_t start, end;        /* of the block, in bytes */
    const char *out_name;
    int out;
    bool damaged;
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

static bool open_out(Extract *x, Error **errp)
{
    x->out = qemu_create(x->out_name, O_WRONLY, 0600, errp);
    if (x->out < 0) {
        return false;
    }
    if (fixed_ram_source_is_file(x->file->source, x->out)) {
        error_setg(errp, "'%s' is the snapshot itself", x->out_name);
        return false;
    }
    /* What is not written stays a hole. */
    if (ftruncate(x->out, 0) || ftruncate(x->out, x->end - x->start)) {
        error_setg_errno(errp, errno, "'%s'", x->out_name);
        return false;
    }
    return true;
}

static bool write_out(Extract *x, const uint8_t *buf, uint64_t length,
                      uint64_t at, Error **errp)
{
    while (length) {
        ssize_t n = pwrite(x->out, buf, length, at - x->start);

        if (n < 0 && errno != EINTR) {
            error_setg_errno(errp, errno, "'%s': writing at offset 0x%" PRIx64,
                             x->out_name, at - x->start);
            return false;
        }
        n = MAX(n, 0);
        buf += n;
        at += n;
        length -= n;
    }
    return true;
}

/* Bytes from @buf on that are alike: zeros, or not, a page at a time. */
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

/* Of a chunk at @at, in @buf, what is wanted and not zero. */
static bool write_chunk(Extract *x, const uint8_t *buf, uint64_t at,
                        uint64_t length, Error **errp)
{
    uint64_t from = MAX(at, x->start);
    uint64_t to = MIN(at + length, x->end);

    while (from < to) {
        const uint8_t *bytes = buf + (from - at);
        bool zeros;
        uint64_t n = run_length(bytes, to - from, x->block->page_size, &zeros);

        if (!zeros && !write_out(x, bytes, n, from, errp)) {
            return false;
        }
        from += n;
    }
    return true;
}

/* False, too, if damage was found that must not be. */
static bool read_chunk(Extract *x, uint64_t at, uint64_t length, uint8_t *buf,
                       Error **errp)
{
    uint64_t page = at / x->block->page_size;
    uint64_t pages = length / x->block->page_size;
    Error *err = NULL;

    if (tool_block_read_good(x->file, x->block, page, pages, buf, &err)) {
        return true;
    }
    if (!x->force) {
        error_propagate(errp, err);
        return false;
    }
    warn_report_err(err);
    x->damaged = true;
    return tool_block_read(x->file, x->block, page, pages, buf, errp);
}

static bool copy(Extract *x, Error **errp)
{
    uint8_t *buf = tool_buffer_new();
    uint64_t at = QEMU_ALIGN_DOWN(x->start, TOOL_CHUNK_BYTES);
    bool ok = true;

    while (ok && at < x->end) {
        uint64_t length = MIN(TOOL_CHUNK_BYTES, x->block->length - at);

        ok = read_chunk(x, at, length, buf, errp) &&
             write_chunk(x, buf, at, length, errp);
        at += length;
    }
    qemu_vfree(buf);
    return ok;
}

/* Also a file with a problem, if asked for and if there are blocks in it. */
static bool open_in(Extract *x, const char *in, Error **errp)
{
    x->file = tool_file_open(in, x->common.offset, false, errp);
    if (!x->file) {
        return false;
    }
    if (!tool_file_verify(x->file)) {
        Error *problem = g_steal_pointer(&x->file->problem);

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

    if (x->out >= 0 && qemu_close(x->out) && ok) {
        error_setg_errno(errp, errno, "'%s'", x->out_name);
        ok = false;
    }
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
        tool_usage(command, "--block says which block; info and map list "
                   "them");
    }
}

static int run_extract(const ToolCommand *command, int argc, char **argv)
{
    Extract x = { .out = -1 };
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
"     the RAM block\n"
"  --range=START+LENGTH, --range=START-END\n"
"     only these bytes of it; END is not included\n"
"  --force\n"
"     go on where the content is not what was saved; the exit status is 2\n"
"     then\n"
TOOL_HELP_OFFSET
"  FILE\n"
"     what migrate has saved a VM to\n"
"  OUT\n"
"     a file; it is overwritten.  Pages of zeros become holes.\n",
    .trouble = EXIT_FAILURE,
    .run = run_extract,
};

/*
 * qemu-snapshot map: where a guest's memory lies
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-fixed-ram.h"
#include "qapi/qobject-output-visitor.h"
#include "qemu/error-report.h"
#include "block.h"
#include "command.h"
#include "output.h"
#include "picture.h"

typedef struct MapOptions {
    ToolCommon common;
    const char *block;          /* name; NULL: all blocks */
    bool ascii;                 /* draw with ASCII characters only */
} MapOptions;

/* Print each range by itself: a list of millions would take memory. */
static void print_entry(const ToolFile *file, const ToolBlock *block,
                        const ToolRun *run, bool *first)
{
    FixedRamSource *source = file->snapshot->source;
    FixedRamSourcePart part;
    FixedRamMapEntry entry = {
        .block = (char *)block->name,
        .start = run->page * block->page_size,
        .length = run->pages * block->page_size,
        .data = run->data,
        .has_offset = run->data && !block->plain,
    };
    FixedRamMapEntry *e = &entry;
    Visitor *v;
    QObject *object;

    if (entry.has_offset) {
        part = fixed_ram_source_part(source, tool_block_place(block, run->page),
                                     entry.length);
        entry.offset = part.offset;
        if (strcmp(part.source->name, source->name)) {
            entry.file = part.source->name;
        }
    }
    v = qobject_output_visitor_new(&object);
    visit_type_FixedRamMapEntry(v, NULL, &e, &error_abort);
    visit_complete(v, &object);
    visit_free(v);
    fputs(*first ? "" : ",\n", stdout);
    tool_print_json_line(object);
    *first = false;
}

/* A run of a delta may lie in several files: keep what lies in the first. */
static void limit_run(const ToolFile *file, const ToolBlock *block,
                      ToolRun *run)
{
    FixedRamSourcePart part;

    if (run->data && !block->plain) {
        part = fixed_ram_source_part(file->snapshot->source,
                                     tool_block_place(block, run->page),
                                     run->pages * block->page_size);
        run->pages = part.length / block->page_size;
    }
}

static void print_json(const ToolFile *file, const ToolBlock *block,
                       bool *first)
{
    ToolRun run = { };

    while (tool_block_next_run(block, run.page + run.pages, block->pages,
                               &run)) {
        limit_run(file, block, &run);
        print_entry(file, block, &run, first);
    }
}

static bool wanted(const MapOptions *o, const ToolBlock *block)
{
    return !o->block || !strcmp(o->block, block->name);
}

static void print_map(const ToolFile *file, const MapOptions *o)
{
    ToolPicture picture = tool_picture_init(o->ascii);
    bool first = true;

    if (o->common.json) {
        printf("[");
    } else {
        tool_picture_legend(&picture);
    }
    for (size_t i = 0; i < file->blocks->len; i++) {
        const ToolBlock *block = tool_file_block(file, i);

        if (!wanted(o, block)) {
            continue;
        }
        if (o->common.json) {
            print_json(file, block, &first);
        } else {
            tool_picture_draw(&picture, block);
        }
    }
    if (o->common.json) {
        printf("]\n");
    }
}

enum { OPT_ASCII = TOOL_OPT_OWN };

static void parse(const ToolCommand *command, int argc, char **argv,
                  MapOptions *o)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, TOOL_OPTION_OUTPUT, TOOL_OPTION_OFFSET,
        { "block", required_argument, NULL, 'b' },
        { "ascii", no_argument, NULL, OPT_ASCII },
        { },
    };
    int c;

    while ((c = tool_getopt(command, argc, argv, "hb:", options,
                            &o->common)) != -1) {
        if (c == 'b') {
            o->block = optarg;
        } else {
            o->ascii = true;
        }
    }
    tool_expect_args(command, argc, 1);
}

static int run_map(const ToolCommand *command, int argc, char **argv)
{
    MapOptions o = { };
    g_autoptr(ToolFile) file = NULL;
    Error *err = NULL;

    parse(command, argc, argv, &o);
    file = tool_file_open_good(argv[optind], o.common.offset, &err);
    if (file && o.block && !tool_file_find_or_fail(file, o.block, &err)) {
        tool_file_close(g_steal_pointer(&file));
    }
    if (!file) {
        error_report_err(err);
        return EXIT_FAILURE;
    }
    print_map(file, &o);
    return EXIT_SUCCESS;
}

const ToolCommand tool_map = {
    .name = "map",
    .summary = "Show where a guest's memory lies",
    .syntax = "[--block=NAME] [--ascii] [--output=human|json] [--offset=N] "
              "FILE",
    .help =
"  -b, --block=NAME\n"
"     show only this RAM block\n"
"  --ascii\n"
"     draw with ASCII characters even if the terminal can show others\n"
TOOL_HELP_OUTPUT
TOOL_HELP_OFFSET
"  FILE\n"
"     the file that a VM was saved to\n"
"\n"
"For people this draws a picture of each block.  The JSON output is an array of\n"
"ranges of memory: those that the file has data for, and those that are zero.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_map,
};

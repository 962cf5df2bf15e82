/*
 * qemu-snapshot working-set: show and change the working set of a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "../format/working-set-write.h"
#include "command.h"
#include "set.h"

typedef struct SetOptions {
    ToolCommon common;
    bool ascii;                 /* draw with ASCII characters only */
    bool no_pack;               /* write no packed copy */
} SetOptions;

/* What stands behind working-set. */
typedef struct SetAction {
    const char *name;
    int files;                  /* names that it takes; the last is FILE */
    bool (*run)(const SetOptions *o, const ToolFile *file, const char *other,
                Error **errp);
} SetAction;

static bool run_show(const SetOptions *o, const ToolFile *file,
                     const char *other, Error **errp)
{
    return tool_set_show(file, o->common.json, o->ascii, errp);
}

static bool run_drop(const SetOptions *o, const ToolFile *file,
                     const char *other, Error **errp)
{
    return fixed_ram_working_set_drop(file->snapshot, errp);
}

static bool run_pack(const SetOptions *o, const ToolFile *file,
                     const char *other, Error **errp)
{
    return tool_set_copy(file, file, !o->no_pack, errp);
}

static bool run_copy(const SetOptions *o, const ToolFile *file,
                     const char *other, Error **errp)
{
    g_autoptr(ToolFile) from = tool_file_open_good(other, 0, errp);

    return from && tool_set_copy(from, file, !o->no_pack, errp);
}

static const SetAction actions[] = {
    { "show", 1, run_show },
    { "drop", 1, run_drop },
    { "pack", 1, run_pack },
    { "copy-from", 2, run_copy },
};

static const SetAction *find_action(const ToolCommand *command,
                                    const char *name)
{
    for (size_t i = 0; name && i < ARRAY_SIZE(actions); i++) {
        if (!strcmp(actions[i].name, name)) {
            return &actions[i];
        }
    }
    tool_usage(command, "expected show, drop, pack or copy-from, found %s",
               name ?: "nothing");
}

enum { OPT_ASCII = TOOL_OPT_OWN, OPT_NO_PACK };

static void parse(const ToolCommand *command, int argc, char **argv,
                  SetOptions *o)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, TOOL_OPTION_OUTPUT, TOOL_OPTION_OFFSET,
        { "ascii", no_argument, NULL, OPT_ASCII },
        { "no-pack", no_argument, NULL, OPT_NO_PACK },
        { },
    };
    int c;

    while ((c = tool_getopt(command, argc, argv, "h", options,
                            &o->common)) != -1) {
        if (c == OPT_ASCII) {
            o->ascii = true;
        } else {
            o->no_pack = true;
        }
    }
}

static int run_working_set(const ToolCommand *command, int argc, char **argv)
{
    g_autoptr(ToolFile) file = NULL;
    const SetAction *action;
    SetOptions o = { };
    Error *err = NULL;

    parse(command, argc, argv, &o);
    action = find_action(command, argv[optind]);
    optind++;
    tool_expect_args(command, argc, action->files);
    file = tool_file_open_good(argv[argc - 1], o.common.offset, &err);
    if (!file || !action->run(&o, file, argv[optind], &err)) {
        error_report_err(err);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

const ToolCommand tool_working_set = {
    .name = "working-set",
    .summary = "Show or change which pages a load brings first",
    .syntax = "show|drop|pack|copy-from [--ascii] [--no-pack] "
              "[--output=human|json]\n      [--offset=N] [OTHER] FILE",
    .help =
"  show\n"
"     show the pages of the set, and in which order the guest touches them\n"
"  drop\n"
"     take the set out of FILE\n"
"  pack\n"
"     make the packed copy of the set's pages again, from the pages in FILE\n"
"  copy-from OTHER\n"
"     give FILE the set of OTHER, a snapshot of the same VM, by the places of\n"
"     the pages; OTHER may be file:PATH,offset=N\n"
"  --ascii\n"
"     draw with ASCII characters even if the terminal can show others\n"
"  --no-pack\n"
"     write the set without a packed copy; with pack, remove only the copy\n"
TOOL_HELP_OUTPUT
TOOL_HELP_OFFSET
"  FILE\n"
"     a fixed-ram snapshot\n"
"\n"
"Processes that are loading from FILE are not disturbed.  If the command is\n"
"interrupted, FILE is what it was.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_working_set,
};

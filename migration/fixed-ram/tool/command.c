/*
 * qemu-snapshot: what all commands have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "command.h"

static void show_help(const ToolCommand *command)
{
    printf("%s.  Usage:\n\n"
           "  qemu-snapshot %s %s\n\n"
           "Arguments:\n"
           "  -h, --help\n"
           "     print this help and exit\n"
           "%s", command->summary, command->name, command->syntax,
           command->help);
}

static G_NORETURN void try_help(const ToolCommand *command)
{
    error_printf("Try 'qemu-snapshot %s --help' for more information\n",
                 command->name);
    exit(command->usage_status);
}

void tool_usage(const ToolCommand *command, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_vreport(fmt, ap);
    va_end(ap);
    try_help(command);
}

uint64_t tool_parse_size(const ToolCommand *command, const char *what,
                         const char *text)
{
    uint64_t size;

    if (qemu_strtosz(text, NULL, &size) < 0) {
        tool_usage(command, "%s needs a number of bytes, found '%s'", what,
                   text);
    }
    return size;
}

static bool parse_output(const ToolCommand *command, const char *format)
{
    if (strcmp(format, "json") && strcmp(format, "human")) {
        tool_usage(command, "--output needs human or json, found '%s'",
                   format);
    }
    return !strcmp(format, "json");
}

int tool_getopt(const ToolCommand *command, int argc, char **argv,
                const char *letters, const struct option *options,
                ToolCommon *common)
{
    while (true) {
        int c = getopt_long(argc, argv, letters, options, NULL);

        switch (c) {
        case 'h':
            show_help(command);
            exit(EXIT_SUCCESS);
        case TOOL_OPT_OUTPUT:
            common->json = parse_output(command, optarg);
            break;
        case TOOL_OPT_OFFSET:
            common->offset = tool_parse_size(command, "--offset", optarg);
            break;
        case '?':
            try_help(command);
        default:
            return c;
        }
    }
}

void tool_expect_args(const ToolCommand *command, int argc, int count)
{
    if (argc - optind != count) {
        tool_usage(command, "expected %d file name%s, found %d", count,
                   count == 1 ? "" : "s", argc - optind);
    }
}

/*
 * qemu-snapshot: what a command is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_COMMAND_H
#define MIGRATION_FIXED_RAM_TOOL_COMMAND_H

#include <getopt.h>

typedef struct ToolCommand {
    const char *name;
    const char *summary;        /* a line */
    const char *syntax;         /* of what follows the name */
    const char *help;           /* a few lines an option */
    int trouble;                /* exit status where options are wrong */
    /* Returns the exit status. */
    int (*run)(const struct ToolCommand *command, int argc, char **argv);
} ToolCommand;

extern const ToolCommand tool_info, tool_check, tool_map, tool_extract,
                         tool_compare, tool_convert;

/* Long options without a letter. */
enum {
    TOOL_OPT_OUTPUT = 256,
    TOOL_OPT_OFFSET,
    TOOL_OPT_OWN,               /* a command's own begin here */
};

#define TOOL_OPTION_HELP    { "help", no_argument, NULL, 'h' }
#define TOOL_OPTION_OUTPUT \
    { "output", required_argument, NULL, TOOL_OPT_OUTPUT }
#define TOOL_OPTION_OFFSET \
    { "offset", required_argument, NULL, TOOL_OPT_OFFSET }

#define TOOL_HELP_OUTPUT \
"  --output=human|json\n" \
"     for people, or for programs\n"
#define TOOL_HELP_OFFSET \
"  --offset=N\n" \
"     where the stream begins in FILE, in bytes; file:FILE,offset=N says\n" \
"     the same\n"

/* What the options above ask for. */
typedef struct ToolCommon {
    bool json;
    uint64_t offset;
} ToolCommon;

/**
 * tool_getopt(): the next option that is @command's own; -1 after the last
 *
 * Shows help where it is asked for, and ends the process where an option is
 * wrong.
 */
int tool_getopt(const ToolCommand *command, int argc, char **argv,
                const char *letters, const struct option *options,
                ToolCommon *common);

/**
 * tool_expect_args(): are there @count arguments behind the options?
 *
 * Ends the process if not.
 */
void tool_expect_args(const ToolCommand *command, int argc, int count);

/** tool_usage(): say what is wrong and where help is; ends the process. */
G_NORETURN void G_GNUC_PRINTF(2, 3)
tool_usage(const ToolCommand *command, const char *fmt, ...);

/**
 * tool_parse_size(): a number of bytes, maybe with a suffix
 *
 * @what: for the message that ends the process
 */
uint64_t tool_parse_size(const ToolCommand *command, const char *what,
                         const char *text);

#endif

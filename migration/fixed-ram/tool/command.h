/*
 * qemu-snapshot: what all commands have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_COMMAND_H
#define MIGRATION_FIXED_RAM_TOOL_COMMAND_H

#include <getopt.h>

typedef struct ToolCommand {
    const char *name;
    const char *summary;        /* what it does, in one line */
    const char *syntax;         /* options and arguments, for its help */
    const char *help;           /* explains them */
    int usage_status;           /* exit status if an option is wrong */
    /* Runs the command and returns the exit status. */
    int (*run)(const struct ToolCommand *command, int argc, char **argv);
} ToolCommand;

extern const ToolCommand tool_info, tool_check, tool_map, tool_extract,
                         tool_compare, tool_convert, tool_merge,
                         tool_rebase, tool_working_set;

/* Values of getopt_long() for options without a letter. */
enum {
    TOOL_OPT_OUTPUT = 256,
    TOOL_OPT_OFFSET,
    TOOL_OPT_OWN,               /* first value that a command may use */
};

#define TOOL_OPTION_HELP    { "help", no_argument, NULL, 'h' }
#define TOOL_OPTION_OUTPUT \
    { "output", required_argument, NULL, TOOL_OPT_OUTPUT }
#define TOOL_OPTION_OFFSET \
    { "offset", required_argument, NULL, TOOL_OPT_OFFSET }

#define TOOL_HELP_OUTPUT \
"  --output=human|json\n" \
"     print for people (the default), or for programs\n"
#define TOOL_HELP_OFFSET \
"  --offset=N\n" \
"     byte at which the stream begins in FILE; file:FILE,offset=N means the\n" \
"     same\n"

/* Options that several commands have. */
typedef struct ToolCommon {
    bool json;
    uint64_t offset;
} ToolCommon;

/**
 * tool_getopt(): parse options up to the next one that is @command's own
 *
 * @common: filled in with the options that are not
 *
 * Returns the option's value, or -1 after the last option.  Prints help and
 * ends the process for --help; ends the process if an option is wrong.
 */
int tool_getopt(const ToolCommand *command, int argc, char **argv,
                const char *letters, const struct option *options,
                ToolCommon *common);

/** tool_expect_args(): end the process unless @count arguments follow */
void tool_expect_args(const ToolCommand *command, int argc, int count);

/** tool_usage(): report a wrong command line and end the process */
G_NORETURN void G_GNUC_PRINTF(2, 3)
tool_usage(const ToolCommand *command, const char *fmt, ...);

/**
 * tool_parse_size(): parse a number of bytes, perhaps with a suffix
 *
 * @what: the option, for the message if @text is no number; then the process
 *        ends
 */
uint64_t tool_parse_size(const ToolCommand *command, const char *what,
                         const char *text);

#endif

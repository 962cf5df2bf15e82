/*
 * qemu-snapshot: look into saved VMs, verify and convert them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <getopt.h>
#include <locale.h>
#include "qapi/error.h"
#include "qemu-version.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/help-texts.h"
#include "qemu/log.h"
#include "qemu/module.h"
#include "qemu/config-file.h"
#include "qemu/option.h"
#include "trace/control.h"
#include "command.h"
#include "../util/text.h"

#define VERSION_TEXT "qemu-snapshot version " QEMU_FULL_VERSION "\n" \
                     QEMU_COPYRIGHT "\n"

static const ToolCommand *const commands[] = {
    &tool_info, &tool_check, &tool_map, &tool_extract, &tool_compare,
    &tool_convert, &tool_merge, &tool_rebase, &tool_working_set,
};

/* Messages quote names from files that are not trusted. */
static int G_GNUC_PRINTF(1, 0) print_message(const char *fmt, va_list ap)
{
    g_autofree char *message = g_strdup_vprintf(fmt, ap);
    g_auto(GStrv) lines = g_strsplit(message, "\n", -1);
    g_autofree char *printable = NULL;

    for (char **line = lines; *line; line++) {
        char *text = fixed_ram_text_printable(*line);

        g_free(*line);
        *line = text;
    }
    printable = g_strjoinv("\n", lines);
    return fputs(printable, stderr) < 0 ? -1 : strlen(printable);
}

/*
 * The linker puts these in the place of two functions of QEMU.  Up to 10.2 all
 * messages pass the first one, since 11.1 the second one.
 */
int G_GNUC_PRINTF(1, 0) __wrap_error_vprintf(const char *fmt, va_list ap);
int G_GNUC_PRINTF(2, 0) __wrap_monitor_vprintf(Monitor *mon, const char *fmt,
                                               va_list ap);

int __wrap_error_vprintf(const char *fmt, va_list ap)
{
    return print_message(fmt, ap);
}

int __wrap_monitor_vprintf(Monitor *mon, const char *fmt, va_list ap)
{
    return print_message(fmt, ap);
}

static void show_help(void)
{
    printf(VERSION_TEXT
           "QEMU VM snapshot utility.  Usage:\n\n"
           "  qemu-snapshot [standard options] COMMAND [--help | command "
           "options]\n\n"
           "Standard options:\n"
           "  -h, --help\n"
           "     display this help and exit\n"
           "  -V, --version\n"
           "     display version info and exit\n"
           "  -T, --trace TRACE\n"
           "     specify tracing options:\n"
           "        [[enable=]<pattern>][,events=<file>][,file=<file>]\n\n"
           "Commands (qemu-snapshot COMMAND --help has more):\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
    }
    printf("\nFILE is a file that QEMU's migrate command wrote with a file: "
           "URI: a fixed-ram or\nmapped-ram snapshot, or a plain migration "
           "stream.\n\n"
           QEMU_HELP_BOTTOM "\n");
}

static G_NORETURN void usage(void)
{
    error_printf("Try 'qemu-snapshot --help' for more information\n");
    exit(EXIT_FAILURE);
}

static void start_tracing(void)
{
    if (!trace_init_backends()) {
        exit(EXIT_FAILURE);
    }
    trace_init_file();
    qemu_set_log(LOG_TRACE, &error_fatal);
}

/* Parse the standard options, which end at the command's name. */
static void parse_options(int argc, char **argv)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP,
        { "version", no_argument, NULL, 'V' },
        { "trace", required_argument, NULL, 'T' },
        { },
    };
    int c;

    while ((c = getopt_long(argc, argv, "+hVT:", options, NULL)) != -1) {
        switch (c) {
        case 'h':
            show_help();
            exit(EXIT_SUCCESS);
        case 'V':
            printf(VERSION_TEXT);
            exit(EXIT_SUCCESS);
        case 'T':
            trace_opt_parse(optarg);
            break;
        default:
            usage();
        }
    }
}

static int run_command(int argc, char **argv)
{
    const char *name = argv[optind];

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(commands[i]->name, name)) {
            g_autofree char *argv0 = g_strdup_printf("qemu-snapshot %s", name);

            argc -= optind;
            argv += optind;
            argv[0] = argv0;    /* getopt_long()'s messages begin with it */
            qemu_reset_optind();
            return commands[i]->run(commands[i], argc, argv);
        }
    }
    error_report("there is no command '%s'", name);
    usage();
}

int main(int argc, char **argv)
{
    int status;

    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_CTYPE, "");
    error_init(argv[0]);
    module_call_init(MODULE_INIT_TRACE);
    qemu_add_opts(&qemu_trace_opts);
    parse_options(argc, argv);
    if (optind >= argc) {
        error_report("a command is missing");
        usage();
    }
    start_tracing();
    status = run_command(argc, argv);
    /* Output that did not arrive is an error, with a full disk for example. */
    if (fflush(stdout)) {
        error_report("cannot write to standard output: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    return status;
}

/*
 * qemu-snapshot check: is everything what was saved?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-fixed-ram.h"
#include "qapi/qobject-output-visitor.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/qemu-progress.h"
#include "clean.h"
#include "command.h"
#include "output.h"
#include "report.h"
#include "set.h"
#include "verify.h"
#include "watch.h"
#include "../format/sums.h"
#include "../util/text.h"

/* Two threads for each CPU: one reads while the other one computes. */
#define THREADS_DEFAULT     8   /* at most */
#define THREADS_MAX         64

static const char *why_unverified(const ToolFile *file)
{
    if (file->snapshot->kind == FIXED_RAM_FILE_KIND_STREAM) {
        return "a plain migration stream has no checksums; its structure is "
               "good";
    } else if (!file->snapshot->index) {
        return "saved without fixed-ram, so there are no checksums; its "
               "structure is good";
    } else if (!file->snapshot->index->has_sums) {
        return "saved by a QEMU without libxxhash, so its content has no "
               "checksums; the metadata is good";
    }
    return "this qemu-snapshot was built without libxxhash; the metadata is "
           "good";
}

static FixedRamCheckResult result_of(FixedRamVerdict verdict)
{
    switch (verdict) {
    case FIXED_RAM_VERDICT_UNREADABLE:
        return FIXED_RAM_CHECK_RESULT_UNREADABLE;
    case FIXED_RAM_VERDICT_NOT_UNDERSTOOD:
        return FIXED_RAM_CHECK_RESULT_NOT_UNDERSTOOD;
    default:
        return FIXED_RAM_CHECK_RESULT_CORRUPT;
    }
}

/*
 * A problem of the metadata, or of the file as a whole.  It counts more than
 * that the content cannot be verified.
 */
static void note_problem(ToolFile *file, FixedRamCheckInfo *info)
{
    g_free(info->problem);
    info->problem = g_strdup(error_get_pretty(file->snapshot->problem));
    info->result = tool_watch_failed() ? FIXED_RAM_CHECK_RESULT_UNREADABLE
                                       : result_of(file->snapshot->verdict);
}

/* A load does without a set that is damaged, but it is not what was written. */
static void check_set(ToolFile *file, FixedRamCheckInfo *info)
{
    const FixedRamIndex *index = file->snapshot->index;
    Error *err = NULL;

    if (file->snapshot->problem || !index || !fixed_ram_sums_built() ||
        (!index->has_set && !index->set_problem)) {
        return;
    }
    if (!tool_set_verify(file, &err)) {
        fixed_ram_snapshot_fail(file->snapshot, FIXED_RAM_VERDICT_CORRUPT, err);
        note_problem(file, info);
    }
}

/* A guest that has the file mapped would see what is there. */
static void check_clean(ToolFile *file, FixedRamCheckInfo *info)
{
    FixedRamSnapshot *s = file->snapshot;
    Error *err = NULL;

    if (s->problem || !s->index || !s->index->clean ||
        tool_clean_verify(file, &err)) {
        return;
    }
    fixed_ram_snapshot_fail(s, FIXED_RAM_VERDICT_CORRUPT, err);
    note_problem(file, info);
}

FixedRamCheckInfo *tool_check_file(ToolFile *file, unsigned threads)
{
    FixedRamCheckInfo *info = g_new0(FixedRamCheckInfo, 1);

    info->filename = g_strdup(file->snapshot->source->name);
    if (!tool_file_verify(file)) {
        note_problem(file, info);
    }
    if (file->table) {
        tool_verify_pages(file, threads, info);
    } else if (!file->snapshot->problem) {
        info->result = FIXED_RAM_CHECK_RESULT_UNVERIFIED;
        info->problem = g_strdup(why_unverified(file));
    }
    if (!info->corrupt && !info->unreadable) {
        check_set(file, info);
        check_clean(file, info);
    }
    if (info->corrupt) {
        info->result = FIXED_RAM_CHECK_RESULT_CORRUPT;
    } else if (info->unreadable &&
               info->result != FIXED_RAM_CHECK_RESULT_CORRUPT) {
        info->result = FIXED_RAM_CHECK_RESULT_UNREADABLE;
    }
    return info;
}

static void print_range(const FixedRamCheckRange *r)
{
    g_autofree char *name = fixed_ram_text_printable(r->block);
    g_autofree char *file = r->file ? fixed_ram_text_printable(r->file) : NULL;

    printf("%s: 0x%" PRIx64 " - 0x%" PRIx64 " (%s offset 0x%" PRIx64 "): ",
           name, r->start, r->start + r->length - 1, file ?: "file", r->offset);
    if (r->error) {
        g_autofree char *error = fixed_ram_text_printable(r->error);

        printf("%s\n", error);
    } else {
        printf("checksum %s, expected %s\n", r->found, r->expected);
    }
}

static void print_amounts(const FixedRamCheckInfo *info)
{
    g_autofree char *verified = size_to_str(info->verified);
    g_autofree char *corrupt = size_to_str(info->corrupt);
    g_autofree char *unreadable = size_to_str(info->unreadable);

    printf("RAM: ");
    if (info->corrupt) {
        printf("%s are corrupt, ", corrupt);
    }
    if (info->unreadable) {
        printf("%s could not be read, ", unreadable);
    }
    printf("%s are what was saved.\n", verified);
}

static const char *problem_title(FixedRamCheckResult result)
{
    switch (result) {
    case FIXED_RAM_CHECK_RESULT_UNVERIFIED:
        return "The content was not verified";
    case FIXED_RAM_CHECK_RESULT_NOT_UNDERSTOOD:
        return "The file was not checked, it may be good";
    default:
        return "Error";
    }
}

static void print_check(const FixedRamCheckInfo *info)
{
    if (info->result == FIXED_RAM_CHECK_RESULT_GOOD) {
        g_autofree char *verified = size_to_str(info->verified);

        printf("No errors were found: the metadata and all %s of RAM are what "
               "was saved.\n", verified);
        return;
    }
    for (FixedRamCheckRangeList *r = info->ranges; r; r = r->next) {
        print_range(r->value);
    }
    if (info->more_ranges) {
        printf("and %" PRIu64 " more ranges\n", info->more_ranges);
    }
    if (info->problem) {
        g_autofree char *problem = fixed_ram_text_printable(info->problem);

        printf("%s: %s\n", problem_title(info->result), problem);
    }
    if (info->verified || info->corrupt || info->unreadable) {
        print_amounts(info);
    }
}

typedef struct CheckOptions {
    ToolCommon common;
    bool progress;
    unsigned threads;
} CheckOptions;

static void parse(const ToolCommand *command, int argc, char **argv,
                  CheckOptions *o)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, TOOL_OPTION_OUTPUT, TOOL_OPTION_OFFSET,
        { "progress", no_argument, NULL, 'p' },
        { "jobs", required_argument, NULL, 'j' },
        { },
    };
    int c;

    while ((c = tool_getopt(command, argc, argv, "hpj:", options,
                            &o->common)) != -1) {
        if (c == 'p') {
            o->progress = true;
        } else if (qemu_strtoui(optarg, NULL, 10, &o->threads) < 0 ||
                   !o->threads || o->threads > THREADS_MAX) {
            tool_usage(command, "--jobs needs a number from 1 to %d, found "
                       "'%s'", THREADS_MAX, optarg);
        }
    }
    tool_expect_args(command, argc, 1);
}

static int exit_status(FixedRamCheckResult result)
{
    static const int status[] = {
        [FIXED_RAM_CHECK_RESULT_GOOD] = 0,
        [FIXED_RAM_CHECK_RESULT_UNREADABLE] = 1,
        [FIXED_RAM_CHECK_RESULT_CORRUPT] = 2,
        [FIXED_RAM_CHECK_RESULT_UNVERIFIED] = 3,
        [FIXED_RAM_CHECK_RESULT_NOT_UNDERSTOOD] = 1,
    };

    return status[result];
}

static int run_check(const ToolCommand *command, int argc, char **argv)
{
    g_autoptr(FixedRamCheckInfo) info = NULL;
    g_autoptr(ToolFile) file = NULL;
    CheckOptions o = {
        .threads = MIN(2 * g_get_num_processors(), THREADS_DEFAULT),
    };
    Error *err = NULL;

    parse(command, argc, argv, &o);
    file = tool_file_open(argv[optind], o.common.offset, &err);
    if (!file) {
        error_report_err(err);
        return exit_status(FIXED_RAM_CHECK_RESULT_UNREADABLE);
    }
    qemu_progress_init(o.progress && !o.common.json, 1.0);
    info = tool_check_file(file, o.threads);
    qemu_progress_end();
    if (o.common.json) {
        TOOL_PRINT_JSON(FixedRamCheckInfo, info);
    } else {
        print_check(info);
    }
    return exit_status(info->result);
}

const ToolCommand tool_check = {
    .name = "check",
    .summary = "Verify that everything is what was saved",
    .syntax = "[-p] [-j N] [--output=human|json] [--offset=N] FILE",
    .help =
"  -p, --progress\n"
"     show progress\n"
"  -j, --jobs=N\n"
"     how many threads read the file; the default is two for each CPU, but at\n"
"     most 8\n"
TOOL_HELP_OUTPUT
TOOL_HELP_OFFSET
"  FILE\n"
"     the file that a VM was saved to\n"
"\n"
"The exit status is 0 if everything is what was saved, 1 if something could not\n"
"be read or is not understood, 2 if something is corrupt or the save was cut\n"
"off, 3 if the file has no checksums to verify it by.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_check,
};

/*
 * qemu-snapshot compare: which pages differ
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-fixed-ram.h"
#include "qapi/qobject-output-visitor.h"
#include "qapi/util.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/qemu-progress.h"
#include "block.h"
#include "command.h"
#include "output.h"
#include "../util/text.h"

/* The same as those of qemu-img compare. */
#define STATUS_DIFFERENT    1
#define STATUS_TROUBLE      2

#define RANGES_SHOWN        10  /* of a block, to people */

/* A block that both files have. */
typedef struct Pair {
    const ToolFile *file[2];
    const ToolBlock *block[2];
    uint8_t *buf[2];            /* TOOL_CHUNK_BYTES each */
    bool quick;                 /* do not read clusters with equal checksums */
    FixedRamCompareBlock *result;
    FixedRamCompareRangeList **tail;    /* where the next range is added */
    FixedRamCompareRange *last; /* range that was added last; NULL: none */
} Pair;

static void add_page(Pair *p, uint64_t page)
{
    uint64_t step = p->block[0]->page_size;
    uint64_t at = page * step;

    p->result->different_pages++;
    if (p->last && p->last->start + p->last->length == at) {
        p->last->length += step;
        return;
    }
    p->last = g_new0(FixedRamCompareRange, 1);
    p->last->start = at;
    p->last->length = step;
    QAPI_LIST_APPEND(p->tail, p->last);
}

/* 1: all checksums are equal, 0: unknown, -1: they cannot be read */
static int same_sums(const Pair *p, uint64_t at, uint64_t length, Error **errp)
{
    uint64_t first = at / FIXED_RAM_CLUSTER_BYTES;
    uint64_t clusters = fixed_ram_sums_clusters(length);

    if (!p->quick) {
        return 0;
    }
    for (uint64_t c = first; c < first + clusters; c++) {
        uint64_t sum[2];

        for (int i = 0; i < 2; i++) {
            if (!tool_block_sum(p->file[i], p->block[i], c, &sum[i], errp)) {
                return -1;
            }
        }
        if (sum[0] != sum[1]) {
            return 0;
        }
    }
    return 1;
}

static bool compare_chunk(Pair *p, uint64_t page, uint64_t pages, Error **errp)
{
    uint64_t step = p->block[0]->page_size;
    int same;

    if (!tool_block_has_data(p->block[0], page, pages) &&
        !tool_block_has_data(p->block[1], page, pages)) {
        return true;
    }
    same = same_sums(p, page * step, pages * step, errp);
    if (same) {
        return same > 0;
    }
    for (int i = 0; i < 2; i++) {
        const ToolPages side = {
            .file = p->file[i],
            .block = p->block[i],
            .page = page,
            .pages = pages,
            .buf = p->buf[i],
        };

        if (!tool_block_read(&side, errp)) {
            return false;
        }
    }
    for (uint64_t i = 0; i < pages; i++) {
        if (memcmp(p->buf[0] + i * step, p->buf[1] + i * step, step)) {
            add_page(p, page + i);
        }
    }
    return true;
}

/* @share: percent of the command's progress that this block stands for */
static bool compare_pages(Pair *p, double share, Error **errp)
{
    uint64_t chunk = TOOL_CHUNK_BYTES / p->block[0]->page_size;
    uint64_t all = p->result->pages;

    for (uint64_t page = 0; page < all; page += chunk) {
        uint64_t pages = MIN(chunk, all - page);

        if (!compare_chunk(p, page, pages, errp)) {
            return false;
        }
        qemu_progress_print(share * pages / all, 100);
    }
    return true;
}

typedef struct Compare {
    ToolFile *file[2];
    bool quick;
    FixedRamCompareInfo *info;
    FixedRamCompareBlockList **tail;
} Compare;

static FixedRamCompareBlock *add_block(Compare *c, const char *name)
{
    FixedRamCompareBlock *result = g_new0(FixedRamCompareBlock, 1);

    result->name = g_strdup(name);
    QAPI_LIST_APPEND(c->tail, result);
    return result;
}

static void add_lengths(FixedRamCompareBlock *result, const Pair *p)
{
    sizeList **tail = &result->lengths;

    result->has_lengths = true;
    QAPI_LIST_APPEND(tail, p->block[0]->length);
    QAPI_LIST_APPEND(tail, p->block[1]->length);
}

static bool compare_block(Compare *c, const ToolBlock *a, const ToolBlock *b,
                          double share, Error **errp)
{
    Pair p = {
        .file = { c->file[0], c->file[1] },
        .block = { a, b },
        .quick = c->quick &&
                 fixed_ram_sumtable_key(c->file[0]->table) ==
                 fixed_ram_sumtable_key(c->file[1]->table),
        .result = add_block(c, a->name),
    };
    bool ok;

    p.tail = &p.result->ranges;
    p.result->pages = MIN(a->pages, b->pages);
    if (a->length != b->length) {
        add_lengths(p.result, &p);
        /* The shorter one may end within a cluster of the other one. */
        p.quick = false;
    }
    p.buf[0] = tool_buffer_new();
    p.buf[1] = tool_buffer_new();
    ok = compare_pages(&p, share, errp);
    qemu_vfree(p.buf[0]);
    qemu_vfree(p.buf[1]);
    if (p.result->different_pages || p.result->has_lengths) {
        c->info->identical = false;
    }
    return ok;
}

static void only_in(Compare *c, int which, const ToolBlock *block)
{
    add_block(c, block->name)->only_in =
        g_strdup(c->file[which]->snapshot->source->name);
    c->info->identical = false;
}

static uint64_t total_bytes(const ToolFile *file)
{
    uint64_t total = 0;

    for (size_t i = 0; i < file->blocks->len; i++) {
        total += tool_file_block(file, i)->length;
    }
    return total;
}

static bool compare_files(Compare *c, Error **errp)
{
    const FixedRamSnapshot *sa = c->file[0]->snapshot;
    const FixedRamSnapshot *sb = c->file[1]->snapshot;
    uint64_t total = total_bytes(c->file[0]);

    if (sa->page_size != sb->page_size) {
        error_setg(errp, "cannot compare pages of %" PRIu64 " bytes in '%s' "
                   "with pages of %" PRIu64 " bytes in '%s'",
                   sa->page_size, sa->source->name, sb->page_size,
                   sb->source->name);
        return false;
    }
    if (c->quick && !(c->file[0]->table && c->file[1]->table)) {
        error_setg(errp, "cannot compare checksums for --quick: '%s' has none "
                   "that this qemu-snapshot can use",
                   (c->file[0]->table ? sb : sa)->source->name);
        return false;
    }
    c->info->identical = true;
    c->info->page_size = c->file[0]->snapshot->page_size;
    for (size_t i = 0; i < c->file[0]->blocks->len; i++) {
        const ToolBlock *a = tool_file_block(c->file[0], i);
        const ToolBlock *b = tool_file_find(c->file[1], a->name);

        if (!b) {
            only_in(c, 0, a);
        } else if (!compare_block(c, a, b, 100.0 * a->length / total, errp)) {
            return false;
        }
    }
    for (size_t i = 0; i < c->file[1]->blocks->len; i++) {
        const ToolBlock *b = tool_file_block(c->file[1], i);

        if (!tool_file_find(c->file[0], b->name)) {
            only_in(c, 1, b);
        }
    }
    return true;
}

static void print_ranges(const FixedRamCompareBlock *b)
{
    unsigned shown = 0, more = 0;

    for (FixedRamCompareRangeList *r = b->ranges; r; r = r->next) {
        if (shown == RANGES_SHOWN) {
            more++;
            continue;
        }
        shown++;
        printf("    0x%" PRIx64 " - 0x%" PRIx64 "\n", r->value->start,
               r->value->start + r->value->length - 1);
    }
    if (more) {
        printf("    and %u more ranges\n", more);
    }
}

static void print_block(const FixedRamCompareBlock *b)
{
    g_autofree char *name = fixed_ram_text_printable(b->name);
    g_autofree char *share = tool_percent(b->different_pages, b->pages);

    if (b->only_in) {
        g_autofree char *file = fixed_ram_text_printable(b->only_in);

        printf("%s: only in %s\n", name, file);
        return;
    }
    if (b->has_lengths) {
        g_autofree char *first = size_to_str(b->lengths->value);
        g_autofree char *second = size_to_str(b->lengths->next->value);

        printf("%s: %s in the first file, %s in the second one\n", name, first,
               second);
    }
    if (b->different_pages) {
        printf("%s: %" PRIu64 " of %" PRIu64 " pages differ (%s)\n", name,
               b->different_pages, b->pages, share);
        print_ranges(b);
    }
}

static void print_compare(const FixedRamCompareInfo *info)
{
    for (FixedRamCompareBlockList *b = info->blocks; b; b = b->next) {
        print_block(b->value);
    }
    printf("RAM %s.\n", info->identical ? "is identical" : "differs");
}

typedef struct CompareOptions {
    ToolCommon common;
    bool quick, progress;
} CompareOptions;

enum { OPT_QUICK = TOOL_OPT_OWN };

static void parse(const ToolCommand *command, int argc, char **argv,
                  CompareOptions *o)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, TOOL_OPTION_OUTPUT,
        { "quick", no_argument, NULL, OPT_QUICK },
        { "progress", no_argument, NULL, 'p' },
        { },
    };
    int c;

    while ((c = tool_getopt(command, argc, argv, "hp", options,
                            &o->common)) != -1) {
        if (c == 'p') {
            o->progress = true;
        } else {
            o->quick = true;
        }
    }
    tool_expect_args(command, argc, 2);
}

static bool compare(Compare *c, char **names, bool progress, Error **errp)
{
    bool ok;

    for (int i = 0; i < 2; i++) {
        c->file[i] = tool_file_open_good(names[i], 0, errp);
        if (!c->file[i]) {
            return false;
        }
    }
    qemu_progress_init(progress, 1.0);
    ok = compare_files(c, errp);
    qemu_progress_end();
    return ok;
}

static int run_compare(const ToolCommand *command, int argc, char **argv)
{
    g_autoptr(FixedRamCompareInfo) info = g_new0(FixedRamCompareInfo, 1);
    Compare c = { .info = info, .tail = &info->blocks };
    CompareOptions o = { };
    int status = STATUS_TROUBLE;
    Error *err = NULL;

    parse(command, argc, argv, &o);
    c.quick = o.quick;
    if (compare(&c, argv + optind, o.progress && !o.common.json, &err)) {
        status = info->identical ? EXIT_SUCCESS : STATUS_DIFFERENT;
        if (o.common.json) {
            TOOL_PRINT_JSON(FixedRamCompareInfo, info);
        } else {
            print_compare(info);
        }
    } else {
        error_report_err(err);
    }
    tool_file_close(c.file[0]);
    tool_file_close(c.file[1]);
    return status;
}

const ToolCommand tool_compare = {
    .name = "compare",
    .summary = "Show which pages of two snapshots differ",
    .syntax = "[--quick] [-p] [--output=human|json] A B",
    .help =
"  --quick\n"
"     do not read clusters whose checksums are equal.  They can only be equal\n"
"     if one snapshot is a copy of the other, or a delta to it\n"
"  -p, --progress\n"
"     show progress\n"
TOOL_HELP_OUTPUT
"  A, B\n"
"     the files that VMs were saved to; file:PATH,offset=N where the stream\n"
"     does not begin at the file's start\n"
"\n"
"Only RAM is compared, not the devices' state.  The exit status is 0 if RAM is\n"
"the same, 1 if it differs, 2 if it could not be compared.\n",
    .usage_status = STATUS_TROUBLE,
    .run = run_compare,
};

/*
 * qemu-snapshot check: is everything what was saved?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-fixed-ram.h"
#include "qapi/qobject-output-visitor.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/qemu-progress.h"
#include "qemu/thread.h"
#include "block.h"
#include "command.h"
#include "damage.h"
#include "output.h"
#include "report.h"
#include "watch.h"

/* Two threads for each CPU: one reads while the other one computes. */
#define THREADS_DEFAULT     8   /* at most */
#define THREADS_MAX         64
#define PROGRESS_MS         100

typedef struct Check {
    /* Set before the threads start. */
    const ToolFile *file;
    uint64_t chunks;            /* in all blocks */
    /* Atomic. */
    uint64_t next;              /* number of the next chunk to check */
    /* Protected by @lock. */
    QemuMutex lock;
    QemuCond ended;             /* a thread has ended */
    unsigned running;           /* threads that have not ended */
    uint64_t done;              /* chunks */
    uint64_t verified;          /* bytes that are what was saved */
    GArray *damage;             /* of ToolDamage */
} Check;

/* Pages of a block that a thread reads at once. */
typedef struct Chunk {
    size_t number;              /* of the block in the file */
    const ToolBlock *block;
    uint64_t page, pages;
} Chunk;

static uint64_t block_chunks(const ToolBlock *block)
{
    return DIV_ROUND_UP(block->length, TOOL_CHUNK_BYTES);
}

static bool next_chunk(Check *c, Chunk *chunk)
{
    uint64_t n = qatomic_fetch_inc(&c->next);
    uint64_t per_chunk;

    if (n >= c->chunks) {
        return false;
    }
    for (chunk->number = 0; ; chunk->number++) {
        chunk->block = tool_file_block(c->file, chunk->number);
        if (n < block_chunks(chunk->block)) {
            break;
        }
        n -= block_chunks(chunk->block);
    }
    per_chunk = TOOL_CHUNK_BYTES / chunk->block->page_size;
    chunk->page = n * per_chunk;
    chunk->pages = MIN(per_chunk, chunk->block->pages - chunk->page);
    return true;
}

static uint64_t first_cluster(const Chunk *chunk)
{
    return chunk->page * chunk->block->page_size / FIXED_RAM_CLUSTER_BYTES;
}

static uint64_t chunk_clusters(const Chunk *chunk)
{
    return fixed_ram_sums_clusters(chunk->pages * chunk->block->page_size);
}

static void note_damage(Check *c, const Chunk *chunk, const ToolBad *bad,
                        Error *error)
{
    ToolDamage damage = {
        .block = chunk->number,
        .bad = *bad,
        .unreadable = error && tool_watch_failed(),
    };

    QEMU_LOCK_GUARD(&c->lock);
    tool_damage_add(c->damage, damage, error);
}

/* Returns how many clusters are damaged. */
static uint64_t verify(Check *c, const Chunk *chunk, const uint8_t *buf)
{
    const ToolBlock *block = chunk->block;
    uint64_t end = (chunk->page + chunk->pages) * block->page_size;
    uint64_t first = first_cluster(chunk);
    uint64_t cluster = first;
    uint64_t bad_clusters = 0;

    while (true) {
        uint64_t at = (cluster - first) * FIXED_RAM_CLUSTER_BYTES;
        ToolBad bad;
        Error *err = NULL;
        int ret = tool_block_next_bad(c->file, block, buf + at, end, &cluster,
                                      &bad, &err);

        if (!ret) {
            return bad_clusters;
        }
        note_damage(c, chunk, &bad, err);
        bad_clusters++;
    }
}

static uint64_t check_chunk(Check *c, const Chunk *chunk, uint8_t *buf);

/* Reading the whole chunk has failed: find out which clusters fail. */
static uint64_t check_each(Check *c, const Chunk *chunk, uint8_t *buf)
{
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / chunk->block->page_size;
    uint64_t bad_clusters = 0;

    for (uint64_t at = 0; at < chunk->pages; at += per_cluster) {
        Chunk part = *chunk;

        part.page += at;
        part.pages = MIN(per_cluster, chunk->pages - at);
        bad_clusters += check_chunk(c, &part, buf);
    }
    return bad_clusters;
}

static uint64_t check_chunk(Check *c, const Chunk *chunk, uint8_t *buf)
{
    Error *err = NULL;

    if (!tool_block_has_data(chunk->block, chunk->page, chunk->pages) ||
        tool_block_read(c->file, chunk->block, chunk->page, chunk->pages, buf,
                        &err)) {
        return verify(c, chunk, buf);
    }
    if (chunk_clusters(chunk) > 1) {
        error_free(err);
        tool_watch_failed();    /* forget this failure; it comes again */
        return check_each(c, chunk, buf);
    }
    note_damage(c, chunk, &(ToolBad) { .cluster = first_cluster(chunk) }, err);
    return 1;
}

static void *check_thread(void *opaque)
{
    Check *c = opaque;
    uint8_t *buf = tool_buffer_new();
    Chunk chunk;

    while (next_chunk(c, &chunk)) {
        uint64_t bytes = chunk.pages * chunk.block->page_size;
        uint64_t bad = check_chunk(c, &chunk, buf) * FIXED_RAM_CLUSTER_BYTES;

        QEMU_LOCK_GUARD(&c->lock);
        c->done++;
        c->verified += bytes - MIN(bytes, bad);
    }
    qemu_vfree(buf);
    QEMU_LOCK_GUARD(&c->lock);
    c->running--;
    qemu_cond_signal(&c->ended);
    return NULL;
}

static void wait_for_threads(Check *c)
{
    uint64_t shown = 0;

    QEMU_LOCK_GUARD(&c->lock);
    while (c->running) {
        qemu_cond_timedwait(&c->ended, &c->lock, PROGRESS_MS);
        qemu_progress_print(100.0 * (c->done - shown) / MAX(c->chunks, 1),
                            100);
        shown = c->done;
    }
}

static void check_pages(const ToolFile *file, unsigned threads,
                        FixedRamCheckInfo *info)
{
    Check c = { .file = file, .damage = tool_damage_new() };
    g_autofree QemuThread *thread = NULL;

    for (size_t i = 0; i < file->blocks->len; i++) {
        c.chunks += block_chunks(tool_file_block(file, i));
    }
    threads = MIN(threads, MAX(c.chunks, 1));
    thread = g_new0(QemuThread, threads);
    c.running = threads;
    qemu_mutex_init(&c.lock);
    qemu_cond_init(&c.ended);
    for (unsigned i = 0; i < threads; i++) {
        qemu_thread_create(&thread[i], "check", check_thread, &c,
                           QEMU_THREAD_JOINABLE);
    }
    wait_for_threads(&c);
    for (unsigned i = 0; i < threads; i++) {
        qemu_thread_join(&thread[i]);
    }
    qemu_cond_destroy(&c.ended);
    qemu_mutex_destroy(&c.lock);
    info->verified = c.verified;
    tool_damage_report(c.damage, file, info);
    g_array_unref(c.damage);
}

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

/* A problem of the metadata, or of the file as a whole. */
static void note_problem(ToolFile *file, FixedRamCheckInfo *info)
{
    info->problem = g_strdup(error_get_pretty(file->snapshot->problem));
    info->result = tool_watch_failed() ? FIXED_RAM_CHECK_RESULT_UNREADABLE
                                       : FIXED_RAM_CHECK_RESULT_CORRUPT;
}

FixedRamCheckInfo *tool_check_file(ToolFile *file, unsigned threads)
{
    FixedRamCheckInfo *info = g_new0(FixedRamCheckInfo, 1);

    info->filename = g_strdup(file->snapshot->source->name);
    if (!tool_file_verify(file)) {
        note_problem(file, info);
    }
    if (file->table) {
        check_pages(file, threads, info);
    } else if (!file->snapshot->problem) {
        info->result = FIXED_RAM_CHECK_RESULT_UNVERIFIED;
        info->problem = g_strdup(why_unverified(file));
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
    g_autofree char *name = tool_printable(r->block);

    printf("%s: 0x%" PRIx64 " - 0x%" PRIx64 " (file offset 0x%" PRIx64 "): ",
           name, r->start, r->start + r->length - 1, r->offset);
    if (r->error) {
        g_autofree char *error = tool_printable(r->error);

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
        g_autofree char *problem = tool_printable(info->problem);

        printf("%s: %s\n", info->result == FIXED_RAM_CHECK_RESULT_UNVERIFIED
                           ? "Nothing to verify by" : "Error", problem);
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
    file = tool_file_open(argv[optind], o.common.offset, true, &err);
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
"be read, 2 if something is corrupt or the save was cut off, 3 if the file has\n"
"no checksums to verify it by.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_check,
};

/*
 * fixed-ram: fuzz qemu-snapshot, which opens files of any kind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/qemu-progress.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/qapi-types-fixed-ram.h"
#include "migration/fixed-ram/tool/block.h"
#include "migration/fixed-ram/tool/chain.h"
#include "migration/fixed-ram/tool/layout.h"
#include "migration/fixed-ram/tool/report.h"
#include "migration/fixed-ram/tool/watch.h"
#include "check.h"
#include "folder.h"
#include "fuzz.h"
#include "layers.h"

/* A few bytes can describe blocks that take hours to read. */
#define READ_MAX    (64 * MiB)

/* A file of more bytes is not written, and the delta not merged. */
#define WRITE_MAX   (4 * MiB)

const char fuzz_name[] = "fuzz-tool";
FuzzCounts fuzz_counts;

static uint64_t total_bytes(const ToolFile *file)
{
    uint64_t total = 0;

    for (size_t i = 0; i < file->blocks->len; i++) {
        total += tool_file_block(file, i)->length;
    }
    return total;
}

/* Is each page what a decoder that shares nothing with the tool says? */
static void compare_pages(const Decoded *d, size_t i, const ToolPages *p)
{
    uint8_t expected[INPUT_PAGE];

    for (uint64_t n = 0; n < p->pages; n++) {
        decoded_page(d, decoded_block(d, i), p->page + n, expected);
        g_assert(!memcmp(expected, p->buf + n * INPUT_PAGE, INPUT_PAGE));
    }
}

/* Read as extract and compare do.  @d is NULL for a plain stream. */
static bool read_block(const ToolFile *file, size_t i, const Decoded *d)
{
    const ToolBlock *block = tool_file_block(file, i);
    uint64_t chunk = TOOL_CHUNK_BYTES / block->page_size;
    ToolPages p = { .file = file, .block = block, .buf = tool_buffer_new() };
    bool ok = true;

    for (; ok && p.page < block->pages; p.page += chunk) {
        Error *err = NULL;

        p.pages = MIN(chunk, block->pages - p.page);
        ok = tool_block_read(&p, &err);
        if (!ok) {
            check_error(err);
        } else if (d) {
            compare_pages(d, i, &p);
        }
    }
    qemu_vfree(p.buf);
    return ok;
}

/* Runs cover the block from its start to its end. */
static void check_runs(const ToolBlock *block)
{
    uint64_t data = 0, next = 0;
    ToolRun run;

    while (tool_block_next_run(block, next, block->pages, &run)) {
        g_assert_cmpuint(run.page, ==, next);
        g_assert_cmpuint(run.pages, >, 0);
        data += run.data ? run.pages : 0;
        next = run.page + run.pages;
    }
    g_assert_cmpuint(next, ==, block->pages);
    g_assert_cmpuint(data, ==, block->data_pages);
}

/* NULL: it is not decoded. */
static Decoded *decode_file(const Input *in, const ToolFile *file)
{
    const FixedRamSnapshot *s = file->snapshot;
    Decoded *d = NULL;

    if (s->ram && s->page_size == INPUT_PAGE) {
        d = decode(in);
        check_snapshot(s->ram, d);
        if (s->layers) {
            layers_decode(d);
        }
    }
    return d;
}

static bool read_blocks(const ToolFile *file, const Decoded *d)
{
    bool ok = true;

    for (size_t i = 0; ok && i < file->blocks->len; i++) {
        check_runs(tool_file_block(file, i));
        ok = read_block(file, i, d);
    }
    return ok;
}

/* Blocks follow each other, with space for the superblock. */
static void check_layout(const ToolFile *file, uint64_t start)
{
    g_autoptr(ToolLayout) l = tool_layout_new(
        file, start, file->snapshot->source->size, NULL);
    uint64_t end;

    if (!l) {
        return;
    }
    end = start + l->head->len;
    for (size_t i = 0; i < file->blocks->len; i++) {
        const ToolLayoutBlock *b = tool_layout_block(l, i);
        const ToolBlock *block = tool_file_block(file, i);
        uint64_t bitmap_end = b->bitmap_offset +
            fixed_ram_ramsection_bitmap_bytes(block->length, block->page_size);

        g_assert_cmpuint(b->header_offset, ==, end);
        g_assert_cmpuint(b->bitmap_offset, ==, end + b->header->len);
        g_assert_cmpuint(bitmap_end + (i ? 0 : FIXED_RAM_SUPERBLOCK_BYTES),
                         <=, b->pages_offset);
        end = b->pages_offset + block->length;
    }
    g_assert_cmpuint(l->ram_end, ==, end);
}

static Input input_from(const Input *in, uint64_t start)
{
    Input result = *in;

    result.start = start;
    return result;
}

/* A file that has a problem is not called good. */
static void check_report(ToolFile *file)
{
    FixedRamCheckInfo *info = tool_check_file(file, 2);

    if (file->snapshot->problem) {
        g_assert(info->problem);
        g_assert_cmpint(info->result, !=, FIXED_RAM_CHECK_RESULT_GOOD);
        g_assert_cmpint(info->result, !=, FIXED_RAM_CHECK_RESULT_UNVERIFIED);
    }
    if (info->result == FIXED_RAM_CHECK_RESULT_GOOD) {
        g_assert_cmpuint(info->verified, ==, total_bytes(file));
        g_assert(!info->ranges);
    }
    qapi_free_FixedRamCheckInfo(info);
}

/*
 * Deltas
 */

/* As info --chain does. */
static void show_chain(const ToolFile *file)
{
    for (size_t i = 1; i <= tool_chain_length(file); i++) {
        g_autoptr(ToolFile) layer = tool_chain_open(file, i, NULL);

        qapi_free_FixedRamFileInfo(layer ? tool_info_file(layer) : NULL);
    }
}

/* A file of ours is good, and has the same pages as the input. */
static void check_file(const char *path, const Decoded *d)
{
    g_autoptr(ToolFile) file = tool_file_open_good(path, 0, &error_abort);

    g_assert(read_blocks(file, d));
}

/* The full snapshot has the same pages.  Their checksums may be wrong. */
static bool merge(const char *path, const Decoded *d)
{
    g_autofree char *merged = folder_path("merged.img");
    Error *err = NULL;

    if (!tool_merge_delta(path, merged, &err)) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    check_file(merged, d);
    return true;
}

/* A delta whose layer is gone is not opened, and it is once it is back. */
static void rebase(const char *path, const FixedRamSnapshot *s,
                   const Decoded *d)
{
    const FixedRamIndexLayer *first = fixed_ram_index_layer(s->index->layers,
                                                            1);
    g_autofree char *name = g_path_get_basename(first->path);
    g_autofree char *there = folder_path(name), *gone = folder_path("gone.img");
    Error *err = NULL;

    if (!tool_rebase_delta(path, gone, true, &err)) {
        check_error(err);
        return;
    }
    g_assert(!tool_file_open_good(path, 0, &err));
    check_error(err);
    tool_rebase_delta(path, there, false, &error_abort);
    check_file(path, d);
}

/* Files that the tool writes have no faults, and begin at their start. */
static void change_delta(const Input *in, const ToolFile *file,
                         const Decoded *d)
{
    g_autofree char *path = folder_path(INPUT_NAME);

    if (!in->start && in->size <= WRITE_MAX) {
        input_write(in, path);
        if (merge(path, d)) {
            rebase(path, file->snapshot, d);
        }
    }
}

/* Returns a file whose layers, if it has any, are opened. */
static ToolFile *open_input(const Input *in, unsigned *faults)
{
    FixedRamSource *source = tool_watch_new(input_bad_source(in, faults));
    ToolFile *file;

    g_free(source->path);
    source->path = folder_path(INPUT_NAME);
    file = tool_file_examine(source, in->start);
    tool_file_open_layers(file);
    return file;
}

static bool read_file(const Input *in, const ToolFile *file)
{
    g_autoptr(Decoded) d = decode_file(in, file);

    if (d && d->map) {
        show_chain(file);
        change_delta(in, file, d);
    }
    return read_blocks(file, d);
}

static void run_tool(const Input *input, unsigned *faults)
{
    ToolFile *file = open_input(input, faults);
    /* The stream may begin behind the header of libvirt. */
    const Input found = input_from(input, file->snapshot->start);
    const Input *in = &found;

    qapi_free_FixedRamFileInfo(tool_info_file(file));
    if (!file->blocks->len || total_bytes(file) > READ_MAX ||
        (file->snapshot->ram && file->snapshot->ram->delta &&
         !file->snapshot->layers)) {
        fuzz_counts.refused++;
    } else {
        check_report(file);
        check_layout(file, in->start);
        if (!read_file(in, file) || file->snapshot->problem) {
            fuzz_counts.failed++;
        } else if (file->snapshot->ram) {
            fuzz_counts.taken++;
        }
    }
    tool_file_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned faults = 0;
    Input in;

    qemu_progress_init(false, 1.0);
    if (input_parse(&in, data, size)) {
        run_tool(&in, &faults);
        if (in.start) {
            /* As if the user had not said where the stream begins. */
            in.start = 0;
            run_tool(&in, &faults);
        }
        fuzz_counts.faults += faults;
    }
    return 0;
}

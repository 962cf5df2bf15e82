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
#include "migration/fixed-ram/tool/layout.h"
#include "migration/fixed-ram/tool/report.h"
#include "migration/fixed-ram/tool/watch.h"
#include "check.h"
#include "fuzz.h"

/* A few bytes can describe blocks that take hours to read. */
#define READ_MAX    (64 * MiB)

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

static bool read_blocks(const Input *in, const ToolFile *file)
{
    g_autoptr(Decoded) d = NULL;
    bool ok = true;

    const FixedRamSnapshot *s = file->snapshot;

    if (s->ram && s->page_size == INPUT_PAGE) {
        d = decode(in);
        check_snapshot(s->ram, d);
    }
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

static void run_tool(const Input *input, unsigned *faults)
{
    ToolFile *file = tool_file_examine(
        tool_watch_new(input_bad_source(input, faults)), input->start);
    /* The stream may begin behind the header of libvirt. */
    const Input found = input_from(input, file->snapshot->start);
    const Input *in = &found;

    qapi_free_FixedRamFileInfo(tool_info_file(file));
    if (!file->blocks->len || total_bytes(file) > READ_MAX ||
        (file->snapshot->ram && file->snapshot->ram->delta)) {
        fuzz_counts.refused++;
    } else {
        check_report(file);
        check_layout(file, in->start);
        if (!read_blocks(in, file) || file->snapshot->problem) {
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

/*
 * qemu-snapshot check: is the place of a zero page empty?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "block.h"
#include "clean.h"

/* Consecutive pages with a clear bit; @buf has room for a chunk. */
typedef struct CleanRun {
    FixedRamSource *source;
    const ToolBlock *block;
    uint64_t offset;            /* in the file */
    uint64_t end;
    uint8_t *buf;
} CleanRun;

static bool check_chunk(const CleanRun *run, uint64_t offset, uint64_t length,
                        Error **errp)
{
    if (!fixed_ram_source_read(run->source, run->buf, length, offset, errp)) {
        return false;
    }
    if (!buffer_is_zero(run->buf, length)) {
        error_setg(errp, "snapshot '%s': block '%s': a page in the 0x%" PRIx64
                   " bytes at offset 0x%" PRIx64 " is zero by the bitmap, but "
                   "not in the file, and the index says that it is",
                   run->source->name, run->block->name, length, offset);
        return false;
    }
    return true;
}

/* Chunks begin where the file has data. */
static bool check_run(const CleanRun *run, Error **errp)
{
    uint64_t at = fixed_ram_source_next_data(run->source, run->offset);

    while (at < run->end) {
        uint64_t length = MIN(run->end - at, TOOL_CHUNK_BYTES);

        if (!check_chunk(run, at, length, errp)) {
            return false;
        }
        at = fixed_ram_source_next_data(run->source, at + length);
    }
    return true;
}

static bool check_block(const ToolFile *file, const ToolBlock *block,
                        uint8_t *buf, Error **errp)
{
    ToolRun pages;

    for (uint64_t page = 0;
         tool_block_next_run(block, page, block->pages, &pages);
         page += pages.pages) {
        CleanRun run = {
            .source = file->snapshot->source,
            .block = block,
            .offset = block->pages_offset + page * block->page_size,
            .buf = buf,
        };

        run.end = run.offset + pages.pages * block->page_size;
        if (!pages.data && !check_run(&run, errp)) {
            return false;
        }
    }
    return true;
}

bool tool_clean_verify(const ToolFile *file, Error **errp)
{
    uint8_t *buf = tool_buffer_new();
    bool ok = true;

    for (size_t i = 0; ok && i < file->blocks->len; i++) {
        ok = check_block(file, tool_file_block(file, i), buf, errp);
    }
    qemu_vfree(buf);
    return ok;
}

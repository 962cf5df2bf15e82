/*
 * qemu-snapshot: a file of any kind, opened
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "../format/sums.h"
#include "file.h"
#include "watch.h"

#define DEFAULT_PAGE_SIZE   4096

/* Large, as plain streams are read from one end to the other. */
#define BUFFER_BYTES        (256 * KiB)

static void tool_block_free(void *opaque)
{
    ToolBlock *block = opaque;

    if (!block->plain) {
        g_free(block->data);
    }
    g_free(block);
}

void tool_file_close(ToolFile *file)
{
    if (!file) {
        return;
    }
    g_ptr_array_unref(file->blocks);
    fixed_ram_sum_table_unref(file->table);
    if (file->index) {
        fixed_ram_index_free(file->index);
    }
    fixed_ram_snapshot_free(file->snapshot);
    if (file->plain) {
        tool_plain_free(file->plain);
    }
    tool_head_free(file->head);
    error_free(file->problem);
    fixed_ram_source_close(file->source);
    g_free(file);
}

ToolBlock *tool_file_find(const ToolFile *file, const char *name)
{
    for (size_t i = 0; i < file->blocks->len; i++) {
        if (!strcmp(tool_file_block(file, i)->name, name)) {
            return tool_file_block(file, i);
        }
    }
    return NULL;
}

ToolBlock *tool_file_find_or_fail(const ToolFile *file, const char *name,
                                  Error **errp)
{
    ToolBlock *block = tool_file_find(file, name);

    if (!block) {
        error_setg(errp, "snapshot '%s' has no block '%s'",
                   file->source->name, name);
        error_append_hint(errp, "Its blocks are:\n");
        for (size_t i = 0; i < file->blocks->len; i++) {
            error_append_hint(errp, "  %s\n", tool_file_block(file, i)->name);
        }
    }
    return block;
}

uint64_t tool_file_ram_end(const ToolFile *file)
{
    return file->plain ? file->plain->ram_end : file->snapshot->ram_end;
}

/* A block whose bitmap is there, the block's from now on unless it is plain. */
static void add_block(ToolFile *file, ToolBlock *block)
{
    block->page_size = file->page_size;
    block->pages = block->length / file->page_size;
    block->data_pages = bitmap_count_one(block->data, block->pages);
    g_ptr_array_add(file->blocks, block);
}

static bool add_mapped_blocks(ToolFile *file, Error **errp)
{
    for (size_t i = 0; i < file->snapshot->blocks->len; i++) {
        FixedRamBlockInfo *info = fixed_ram_snapshot_block(file->snapshot, i);
        unsigned long *data = fixed_ram_format_read_bitmap(
            file->source, file->snapshot, info, errp);
        ToolBlock *block;

        if (!data) {
            return false;
        }
        block = g_new0(ToolBlock, 1);
        block->name = info->name;
        block->length = info->length;
        block->pages_offset = info->pages_offset;
        block->data = data;
        add_block(file, block);
    }
    return true;
}

static void add_plain_blocks(ToolFile *file)
{
    for (size_t i = 0; i < file->plain->blocks->len; i++) {
        const ToolPlainBlock *plain = tool_plain_block(file->plain, i);
        ToolBlock *block = g_new0(ToolBlock, 1);

        block->name = plain->name;
        block->length = plain->length;
        block->plain = plain;
        block->data = plain->data;
        add_block(file, block);
    }
}

/* Is there something where the superblock has its place? */
static bool slot_used(ToolFile *file, const FixedRamSnapshot *first)
{
    const FixedRamBlockInfo *info = fixed_ram_snapshot_block(first, 0);
    Error *err = NULL;

    if (info->pages_offset > file->source->size) {
        return false;
    }
    if (fixed_ram_superblock_read(file->source, first, &file->sb, &err)) {
        return file->sb.state != FIXED_RAM_PLAIN;
    }
    /* Whoever reads it again says what is wrong with it. */
    error_free(err);
    return true;
}

/* What the metadata says, up to the first thing that is wrong. */
static bool read_mapped(ToolFile *file, Error **errp)
{
    file->snapshot = fixed_ram_format_read(file->source, file->start,
                                           file->page_size, errp);
    if (!file->snapshot || !add_mapped_blocks(file, errp) ||
        !fixed_ram_superblock_read(file->source, file->snapshot, &file->sb,
                                   errp)) {
        return false;
    }
    if (file->sb.state != FIXED_RAM_COMPLETE) {
        return true;
    }
    file->index = fixed_ram_index_read(file->source, file->snapshot, &file->sb,
                                       errp);
    if (!file->index) {
        return false;
    }
    file->table = fixed_ram_sum_table_new(file->index);
    for (size_t i = 0; i < file->blocks->len; i++) {
        tool_file_block(file, i)->first_cluster =
            fixed_ram_index_block(file->index, i)->first_cluster;
    }
    return true;
}

static void examine_mapped(ToolFile *file)
{
    g_autoptr(FixedRamSnapshot) first =
        fixed_ram_format_read_first(file->source, file->start,
                                    &file->problem);

    file->kind = FIXED_RAM_FILE_KIND_MAPPED_RAM;
    if (!first) {
        return;
    }
    file->page_size = first->page_size;
    if (slot_used(file, first)) {
        file->kind = FIXED_RAM_FILE_KIND_FIXED_RAM;
    }
    read_mapped(file, &file->problem);
    if (file->sb.state == FIXED_RAM_BEING_WRITTEN) {
        /* No wonder if there is more that is wrong. */
        error_free(file->problem);
        file->problem = NULL;
        fixed_ram_superblock_incomplete(file->source, &file->problem);
    }
}

static void examine_plain(ToolFile *file, FixedRamReader *r)
{
    const ToolHead *head = file->head;

    file->kind = FIXED_RAM_FILE_KIND_STREAM;
    file->page_size = head->page_bits ? 1ULL << MIN(head->page_bits, 63)
                                      : DEFAULT_PAGE_SIZE;
    if (file->page_size < FIXED_RAM_PAGE_SIZE_MIN ||
        file->page_size > FIXED_RAM_PAGE_SIZE_MAX) {
        fixed_ram_reader_fail(r, file->start, "pages of 2^%" PRIu32 " bytes",
                              head->page_bits);
    }
    file->plain = tool_plain_read(r, head, file->page_size, &file->problem);
    if (file->plain) {
        add_plain_blocks(file);
    }
}

ToolFile *tool_file_examine(FixedRamSource *source, uint64_t start)
{
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, start,
                                                       BUFFER_BYTES);
    ToolFile *file = g_new0(ToolFile, 1);

    file->source = source;
    file->start = start;
    file->blocks = g_ptr_array_new_with_free_func(tool_block_free);
    file->head = tool_head_read(r);
    if (!file->head->is_stream) {
        file->kind = FIXED_RAM_FILE_KIND_NONE;
    } else if (tool_head_has(file->head, "mapped-ram")) {
        file->kind = FIXED_RAM_FILE_KIND_MAPPED_RAM;
    } else {
        file->kind = FIXED_RAM_FILE_KIND_STREAM;
    }
    if (r->error) {
        file->problem = g_steal_pointer(&r->error);
    } else if (file->kind == FIXED_RAM_FILE_KIND_MAPPED_RAM) {
        examine_mapped(file);
    } else {
        examine_plain(file, r);
    }
    return file;
}

char *tool_file_parse_name(const char *name, uint64_t *offset, Error **errp)
{
    static const char option[] = ",offset=";
    const char *at;

    if (!strstart(name, "file:", &name)) {
        return g_strdup(name);
    }
    at = strstr(name, option);
    if (!at) {
        return g_strdup(name);
    }
    if (qemu_strtosz(at + strlen(option), NULL, offset) < 0) {
        error_setg(errp, "'%s' is not an offset", at + strlen(option));
        return NULL;
    }
    return g_strndup(name, at - name);
}

static FixedRamSource *open_source(const char *path, uint64_t offset,
                                   bool direct, Error **errp)
{
    FixedRamSource *source = NULL;

    if (direct) {
        /* Some file systems cannot. */
        source = fixed_ram_source_open_file(path, offset, true, NULL);
    }
    return source ?: fixed_ram_source_open_file(path, offset, false, errp);
}

ToolFile *tool_file_open(const char *name, uint64_t offset, bool direct,
                         Error **errp)
{
    g_autofree char *path = tool_file_parse_name(name, &offset, errp);
    FixedRamSource *source;
    ToolFile *file;
    struct stat st;

    source = path ? open_source(path, offset, direct, errp) : NULL;
    if (!source) {
        return NULL;
    }
    file = tool_file_examine(tool_watch_new(source), offset);
    if (!stat(path, &st)) {
        file->allocated = st.st_blocks * 512ULL;
    }
    return file;
}

bool tool_file_verify(ToolFile *file)
{
    if (!file->problem && file->index) {
        fixed_ram_index_verify_stream(file->index, file->source,
                                      &file->problem);
    }
    return !file->problem;
}

ToolFile *tool_file_open_good(const char *name, uint64_t offset, bool direct,
                              Error **errp)
{
    ToolFile *file = tool_file_open(name, offset, direct, errp);

    if (file && !tool_file_verify(file)) {
        error_propagate(errp, g_steal_pointer(&file->problem));
        tool_file_close(file);
        return NULL;
    }
    return file;
}

/*
 * qemu-snapshot: open a file of any kind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qapi/error.h"
#include "file.h"
#include "watch.h"
#include "../format/layers.h"

/* For streams whose configuration does not say it. */
#define DEFAULT_PAGE_SIZE   4096

/* Large, since plain streams are read from one end to the other. */
#define BUFFER_BYTES        (256 * KiB)

/* For libvirt's header. */
#define HEADER_BYTES        4096

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
    if (file) {
        g_ptr_array_unref(file->blocks);
        fixed_ram_sumtable_unref(file->table);
        tool_plain_free(file->plain);
        fixed_ram_libvirt_free(file->libvirt);
        fixed_ram_snapshot_free(file->snapshot);
        g_free(file);
    }
}

/* NULL if there is a problem with the section. */
static const FixedRamRamSection *file_ram(const ToolFile *file)
{
    return file->plain ? file->plain->ram : file->snapshot->ram;
}

ToolBlock *tool_file_find(const ToolFile *file, const char *name)
{
    const FixedRamRamSection *ram = file_ram(file);
    ssize_t i = ram ? fixed_ram_ramsection_index(ram, name) : -1;

    return i >= 0 && i < file->blocks->len ? tool_file_block(file, i) : NULL;
}

ToolBlock *tool_file_find_or_fail(const ToolFile *file, const char *name,
                                  Error **errp)
{
    ToolBlock *block = tool_file_find(file, name);

    if (!block) {
        error_setg(errp, "snapshot '%s' has no block '%s'",
                   file->snapshot->source->name, name);
        error_append_hint(errp, "Its blocks are:\n");
        for (size_t i = 0; i < file->blocks->len; i++) {
            error_append_hint(errp, "  %s\n", tool_file_block(file, i)->name);
        }
    }
    return block;
}

uint64_t tool_file_ram_end(const ToolFile *file)
{
    return file_ram(file)->ram_end;
}

/* @data: the file owns it if @plain is NULL */
static void add_block(ToolFile *file, const FixedRamBlockInfo *info,
                      unsigned long *data, const ToolPlainBlock *plain)
{
    const FixedRamSnapshot *s = file->snapshot;
    ToolBlock *block = g_new0(ToolBlock, 1);

    block->name = info->name;
    block->length = info->length;
    block->page_size = file_ram(file)->page_size;
    block->pages = block->length / block->page_size;
    block->data = data;
    block->data_pages = bitmap_count_one(data, block->pages);
    block->pages_offset = info->pages_offset;
    block->plain = plain;
    if (s->index) {
        block->first_cluster =
            fixed_ram_index_block(s->index, file->blocks->len)->first_cluster;
    }
    g_ptr_array_add(file->blocks, block);
}

/* Bitmaps are what fixed_ram_snapshot_examine() does not read. */
static void add_mapped_blocks(ToolFile *file)
{
    FixedRamSnapshot *s = file->snapshot;

    for (size_t i = 0; s->ram && i < s->ram->blocks->len; i++) {
        FixedRamBlockInfo *info = fixed_ram_ramsection_block(s->ram, i);
        Error *err = NULL;
        unsigned long *data = fixed_ram_ramsection_read_bitmap(
            s->ram, s->source, info, NULL, &err);

        if (!data) {
            fixed_ram_snapshot_fail(s, FIXED_RAM_VERDICT_CORRUPT, err);
            break;
        }
        add_block(file, info, data, NULL);
    }
    if (s->index) {
        file->table = fixed_ram_sumtable_new(s->index);
    }
}

static uint64_t plain_page_size(FixedRamReader *r, const FixedRamSnapshot *s)
{
    uint32_t bits = s->head->page_bits;
    uint64_t size = bits ? 1ULL << MIN(bits, 63) : DEFAULT_PAGE_SIZE;

    if (size < FIXED_RAM_PAGE_SIZE_MIN || size > FIXED_RAM_PAGE_SIZE_MAX) {
        fixed_ram_reader_fail(r, s->head->configuration_at, "the configuration "
                              "has pages of 2^%" PRIu32 " bytes, expected %d "
                              "to %d bytes", bits, (int)FIXED_RAM_PAGE_SIZE_MIN,
                              (int)FIXED_RAM_PAGE_SIZE_MAX);
    }
    return size;
}

static void add_plain_blocks(ToolFile *file)
{
    FixedRamSnapshot *s = file->snapshot;
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(s->source, s->head->end,
                                                       BUFFER_BYTES);

    s->page_size = plain_page_size(r, s);
    file->plain = tool_plain_read(r, s->head, s->page_size);
    if (!file->plain) {
        fixed_ram_snapshot_fail(s, r->verdict, g_steal_pointer(&r->error));
        return;
    }
    for (size_t i = 0; i < file->plain->blocks->len; i++) {
        const ToolPlainBlock *plain = tool_plain_block(file->plain, i);

        add_block(file, fixed_ram_ramsection_block(file->plain->ram, i),
                  plain->data, plain);
    }
}

/* What is wrong with libvirt's header explains what is wrong behind it. */
static void take_libvirt_problem(FixedRamSnapshot *s, FixedRamReader *r)
{
    if (r->error) {
        error_free(s->problem);
        s->problem = g_steal_pointer(&r->error);
        s->verdict = r->verdict;
    }
}

static void examine_stream(ToolFile *file, FixedRamSource *source,
                           uint64_t start)
{
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(source, start,
                                                       HEADER_BYTES);

    file->libvirt = start ? NULL : fixed_ram_libvirt_read(r);
    if (file->libvirt) {
        start = file->libvirt->stream;
    }
    file->snapshot = fixed_ram_snapshot_examine(source, start, 0);
    take_libvirt_problem(file->snapshot, r);
}

ToolFile *tool_file_examine(FixedRamSource *source, uint64_t start)
{
    ToolFile *file = g_new0(ToolFile, 1);
    FixedRamSnapshot *s;

    examine_stream(file, source, start);
    s = file->snapshot;
    file->blocks = g_ptr_array_new_with_free_func(tool_block_free);
    if (s->kind != FIXED_RAM_FILE_KIND_STREAM) {
        add_mapped_blocks(file);
    } else if (!s->problem) {
        add_plain_blocks(file);
    }
    fixed_ram_source_unref(source);
    return file;
}

char *tool_file_parse_name(const char *name, uint64_t *offset, Error **errp)
{
    static const char option[] = ",offset=";
    const char *at;

    if (!strcmp(name, "-")) {
        error_setg(errp, "'-' is no file: only extract writes to standard "
                   "output, and no command reads standard input");
        error_append_hint(errp, "A file of this name is './-'.\n");
        return NULL;
    }
    if (!strstart(name, "file:", &name)) {
        return g_strdup(name);
    }
    at = strstr(name, option);
    if (!at) {
        return g_strdup(name);
    }
    if (qemu_strtosz(at + strlen(option), NULL, offset) < 0) {
        error_setg(errp, "offset= needs a number of bytes, found '%s'",
                   at + strlen(option));
        return NULL;
    }
    return g_strndup(name, at - name);
}

/* Without its layers nothing is known about a delta's content. */
void tool_file_open_layers(ToolFile *file)
{
    const FixedRamLayersConfig config = {
        .direct = ON_OFF_AUTO_AUTO, .wrap = tool_watch_new,
    };
    FixedRamSnapshot *s = file->snapshot;
    Error *err = NULL;

    if (!s->problem && !fixed_ram_layers_open(s, &config, &err)) {
        fixed_ram_snapshot_fail(s, FIXED_RAM_VERDICT_UNREADABLE, err);
        fixed_ram_sumtable_unref(g_steal_pointer(&file->table));
    }
}

ToolFile *tool_file_open_alone(const char *name, uint64_t offset, Error **errp)
{
    g_autofree char *path = tool_file_parse_name(name, &offset, errp);
    FixedRamSource *source;
    ToolFile *file;
    struct stat st;

    source = path ? fixed_ram_source_open_file(path, offset, ON_OFF_AUTO_AUTO,
                                               errp)
                  : NULL;
    if (!source) {
        return NULL;
    }
    file = tool_file_examine(tool_watch_new(source), offset);
    if (!stat(path, &st)) {
        file->allocated = st.st_blocks * 512ULL;
    }
    return file;
}

ToolFile *tool_file_open(const char *name, uint64_t offset, Error **errp)
{
    ToolFile *file = tool_file_open_alone(name, offset, errp);

    if (file) {
        tool_file_open_layers(file);
    }
    return file;
}

bool tool_file_verify(ToolFile *file)
{
    FixedRamSnapshot *s = file->snapshot;
    Error *err = NULL;

    if (!s->problem && s->index &&
        !fixed_ram_index_verify_stream(s->index, s->source, &err)) {
        fixed_ram_snapshot_fail(s, FIXED_RAM_VERDICT_CORRUPT, err);
    }
    return !s->problem;
}

ToolFile *tool_file_open_good(const char *name, uint64_t offset, Error **errp)
{
    ToolFile *file = tool_file_open(name, offset, errp);

    if (file && !tool_file_verify(file)) {
        error_propagate(errp, g_steal_pointer(&file->snapshot->problem));
        tool_file_close(file);
        return NULL;
    }
    return file;
}

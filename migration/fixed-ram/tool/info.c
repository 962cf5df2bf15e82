/*
 * qemu-snapshot info: what a file holds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/uuid.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-fixed-ram.h"
#include "qapi/qobject-output-visitor.h"
#include "qapi/util.h"
#include "qobject/qlist.h"
#include "qemu/error-report.h"
#include "../format/sums.h"
#include "command-line.h"
#include "command.h"
#include "description.h"
#include "file.h"
#include "libvirt.h"
#include "output.h"
#include "report.h"
#include "chain.h"
#include "sections.h"
#include "../util/text.h"

#define WIDTH       76          /* of lines that are filled */
#define NAME_WIDTH  28          /* of a block's name, as a rule */

static char *uuid_text(const uint8_t bytes[16])
{
    QemuUUID uuid;

    memcpy(&uuid, bytes, sizeof(uuid));
    return qemu_uuid_is_null(&uuid) ? NULL : qemu_uuid_unparse_strdup(&uuid);
}

/* An index holds an empty text for what the saver did not know. */
static char *text_or_null(const char *text)
{
    return *text ? g_strdup(text) : NULL;
}

static char *id_text(const uint8_t id[FIXED_RAM_ID_BYTES])
{
    size_t size = 2 * FIXED_RAM_ID_BYTES + 1;
    char *text = g_malloc0(size);

    qemu_hexdump_to_buffer(text, size, id, FIXED_RAM_ID_BYTES);
    return text;
}

static FixedRamFileMachine *machine_info(const ToolFile *file)
{
    FixedRamFileMachine *m = g_new0(FixedRamFileMachine, 1);

    if (file->snapshot->index && file->snapshot->index->has_machine) {
        const FixedRamIndexMachine *im = &file->snapshot->index->machine;

        m->type = text_or_null(im->type);
        m->version = text_or_null(im->version);
        m->name = text_or_null(im->name);
        m->uuid = uuid_text(im->uuid);
        m->has_time = im->time;
        m->time = im->time;
        m->has_ram = im->ram_bytes;
        m->ram = im->ram_bytes;
    } else {
        const FixedRamStreamHead *head = file->snapshot->head;

        m->type = text_or_null(head->machine);
        m->uuid = head->has_uuid ? uuid_text(head->uuid) : NULL;
    }
    return m;
}

static strList *capabilities_info(const ToolFile *file)
{
    strList *list = NULL, **tail = &list;

    for (size_t i = 0; i < file->snapshot->head->capabilities->len; i++) {
        char *name = g_ptr_array_index(file->snapshot->head->capabilities, i);

        QAPI_LIST_APPEND(tail, g_strdup(name));
    }
    return list;
}

static FixedRamFileBlockList *blocks_info(const ToolFile *file)
{
    FixedRamFileBlockList *list = NULL, **tail = &list;

    for (size_t i = 0; i < file->blocks->len; i++) {
        const ToolBlock *block = tool_file_block(file, i);
        FixedRamFileBlock *b = g_new0(FixedRamFileBlock, 1);

        b->name = g_strdup(block->name);
        b->length = block->length;
        b->pages = block->pages;
        b->data_pages = block->data_pages;
        b->has_offset = !block->plain;
        b->offset = block->pages_offset;
        QAPI_LIST_APPEND(tail, b);
    }
    return list;
}

static FixedRamFileDeviceList *devices_list(const QList *devices)
{
    FixedRamFileDeviceList *list = NULL, **tail = &list;
    const QListEntry *entry;

    QLIST_FOREACH_ENTRY(devices, entry) {
        QDict *dict = qobject_to(QDict, qlist_entry_obj(entry));
        const char *name = dict ? qdict_get_try_str(dict, "name") : NULL;
        FixedRamFileDevice *device;

        if (name) {
            device = g_new0(FixedRamFileDevice, 1);
            device->name = g_strdup(name);
            device->instance = qdict_get_try_int(dict, "instance_id", 0);
            QAPI_LIST_APPEND(tail, device);
        }
    }
    return list;
}

static FixedRamFileDeviceList *devices_info(const ToolFile *file)
{
    const FixedRamSuperblock *sb = &file->snapshot->sb;
    uint64_t end = sb->state == FIXED_RAM_COMPLETE ? sb->stream_end : 0;
    FixedRamFileDeviceList *list = NULL;
    QDict *description;

    if (!file->snapshot->ram && !file->plain) {
        return NULL;
    }
    description = tool_description_find(file->snapshot->source,
                                        tool_file_ram_end(file), &end, NULL);
    if (description) {
        list = devices_list(qdict_get_qlist(description, "devices"));
    }
    qobject_unref(description);
    return list;
}

static FixedRamFileChecksums *checksums_info(const ToolFile *file)
{
    FixedRamFileChecksums *sums;

    if (!file->snapshot->index || !file->snapshot->index->has_sums) {
        return NULL;
    }
    sums = g_new0(FixedRamFileChecksums, 1);
    sums->algorithm = g_strdup("XXH3-64");
    sums->cluster_size = FIXED_RAM_CLUSTER_BYTES;
    sums->table_size = file->snapshot->index->table.length;
    return sums;
}

static void add_set(FixedRamFileInfo *info, const FixedRamIndex *index)
{
    if (index && index->has_set) {
        FixedRamFileWorkingSet *set = g_new0(FixedRamFileWorkingSet, 1);

        set->kind = index->set.kind;
        set->time = index->set.time;
        set->pages = index->set.pages;
        set->packed_size = index->set.pack_length;
        info->working_set = set;
    } else if (index && index->set_problem) {
        info->working_set_problem =
            g_strdup(error_get_pretty(index->set_problem));
    }
}

FixedRamFileInfo *tool_info_file(const ToolFile *file)
{
    FixedRamFileInfo *info = g_new0(FixedRamFileInfo, 1);
    const FixedRamSnapshot *s = file->snapshot;
    bool has_superblock = s->sb.state != FIXED_RAM_PLAIN;

    info->filename = g_strdup(s->source->name);
    info->offset = s->start;
    info->kind = s->kind;
    info->libvirt = file->libvirt ? tool_libvirt_info(file->libvirt) : NULL;
    info->has_complete = s->verdict != FIXED_RAM_VERDICT_UNREADABLE &&
                         s->verdict != FIXED_RAM_VERDICT_NOT_UNDERSTOOD;
    info->complete = !s->problem;
    info->problem = s->problem ? g_strdup(error_get_pretty(s->problem)) : NULL;
    info->id = has_superblock ? id_text(s->sb.id) : NULL;
    info->file_size = s->source->size;
    info->allocated_size = file->allocated;
    info->sections = tool_sections(file);
    info->has_sections = info->sections;
    info->checksums = checksums_info(file);
    info->has_clean = s->index;
    info->clean = s->index && s->index->clean;
    add_set(info, s->index);
    if (s->kind == FIXED_RAM_FILE_KIND_NONE) {
        return info;
    }
    info->has_page_size = s->page_size;
    info->page_size = s->page_size;
    info->has_capabilities = true;
    info->capabilities = capabilities_info(file);
    info->machine = machine_info(file);
    info->command_line = tool_command_line(file);
    info->has_command_line = info->command_line;
    info->layers = tool_chain_layers(file);
    info->has_layers = info->layers;
    info->blocks = blocks_info(file);
    info->has_blocks = info->blocks;
    info->devices = devices_info(file);
    info->has_devices = info->devices;
    return info;
}

static void print_size(const char *what, uint64_t size)
{
    g_autofree char *text = size_to_str(size);

    printf("%s: %s (%" PRIu64 " bytes)\n", what, text, size);
}

static void print_kind(const FixedRamFileInfo *info)
{
    static const char *const kinds[] = {
        [FIXED_RAM_FILE_KIND_NONE] = "none, this is no VM snapshot",
        [FIXED_RAM_FILE_KIND_STREAM] = "plain migration stream",
        [FIXED_RAM_FILE_KIND_MAPPED_RAM] = "mapped-ram snapshot",
        [FIXED_RAM_FILE_KIND_FIXED_RAM] = "fixed-ram snapshot",
    };

    printf("kind: %s\n", kinds[info->kind]);
    if (info->kind != FIXED_RAM_FILE_KIND_NONE) {
        printf("complete: %s\n", !info->has_complete ? "unknown" :
                                 info->complete ? "yes" : "no");
    }
    if (info->problem) {
        g_autofree char *problem = fixed_ram_text_printable(info->problem);

        printf("problem: %s\n", problem);
    }
    if (info->id) {
        printf("id: %s\n", info->id);
    }
}

static void print_text(const char *what, const char *text)
{
    if (text) {
        g_autofree char *printable = fixed_ram_text_printable(text);

        printf("%s: %s\n", what, printable);
    }
}

static void print_libvirt(const FixedRamFileLibvirt *l)
{
    print_text("libvirt domain", l->domain);
    printf("libvirt format: %s\n", l->format);
    printf("libvirt starts it: %s\n", l->running ? "running" : "paused");
}

static void print_machine(const FixedRamFileMachine *m)
{
    print_text("machine", m->type);
    print_text("saved by QEMU", m->version);
    if (m->has_time) {
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(m->time);
        g_autofree char *text = time ? g_date_time_format(time, "%F %T UTC")
                                     : NULL;

        print_text("saved at", text);
    }
    print_text("VM name", m->name);
    print_text("VM UUID", m->uuid);
    if (m->has_ram) {
        print_size("RAM", m->ram);
    }
}

static void print_checksums(const FixedRamFileInfo *info)
{
    if (info->checksums) {
        g_autofree char *cluster = size_to_str(info->checksums->cluster_size);

        printf("checksums: %s, one for each %s of RAM\n",
               info->checksums->algorithm, cluster);
    } else if (info->kind != FIXED_RAM_FILE_KIND_NONE) {
        printf("checksums: none\n");
    }
}

static void print_clean(const FixedRamFileInfo *info)
{
    if (info->has_clean) {
        printf("zero pages: %s\n", info->clean ? "zero in the file, too"
                                               : "may have old bytes there");
    }
}

static void print_set(const FixedRamFileInfo *info)
{
    const FixedRamFileWorkingSet *set = info->working_set;

    print_text("working set", info->working_set_problem);
    if (set) {
        g_autofree char *size = size_to_str(set->pages * info->page_size);

        printf("working set: %s, %s, %s\n",
               FixedRamWorkingSetKind_str(set->kind), size,
               set->packed_size ? "with a packed copy" : "no packed copy");
    }
}

static void print_blocks(const FixedRamFileBlockList *blocks,
                         uint64_t page_size)
{
    printf("blocks:\n    %-*s %10s %10s %7s\n", NAME_WIDTH, "NAME", "SIZE",
           "NON-ZERO", "SHARE");
    for (; blocks; blocks = blocks->next) {
        const FixedRamFileBlock *b = blocks->value;
        g_autofree char *name = fixed_ram_text_printable(b->name);
        g_autofree char *size = size_to_str(b->length);
        g_autofree char *data = size_to_str(b->data_pages * page_size);
        g_autofree char *share = tool_percent(b->data_pages, b->pages);

        printf("    %-*s %10s %10s %7s\n", NAME_WIDTH, name, size, data,
               share);
    }
}

/* A list whose lines are filled with words. */
typedef struct Words {
    int column;                 /* where the line ends so far; 0: no line yet */
} Words;

static void print_word(Words *w, const char *word, bool last)
{
    int width = g_utf8_strlen(word, -1) + !last;

    if (!w->column || w->column + 1 + width > WIDTH) {
        printf("%s   ", w->column ? "\n" : "");
        w->column = 3;
    }
    printf(" %s%s", word, last ? "\n" : ",");
    w->column += 1 + width;
}

static void print_devices(const FixedRamFileDeviceList *devices)
{
    Words w = { };

    printf("devices:\n");
    while (devices) {
        g_autofree char *name = fixed_ram_text_printable(devices->value->name);
        g_autofree char *several = NULL;
        unsigned count = 0;
        const char *first = devices->value->name;

        for (; devices && !strcmp(devices->value->name, first); count++) {
            devices = devices->next;
        }
        if (count > 1) {
            several = g_strdup_printf("%s (%u)", name, count);
        }
        print_word(&w, several ?: name, !devices);
    }
}

static void print_sections(const FixedRamFileSectionList *sections)
{
    Words w = { };

    printf("index sections:\n");
    for (; sections; sections = sections->next) {
        const FixedRamFileSection *s = sections->value;
        g_autofree char *unknown = NULL;

        if (!s->name) {
            unknown = g_strdup_printf("type %" PRIu32 " (unknown%s)", s->type,
                                      s->required ? ", required" : "");
        }
        print_word(&w, unknown ?: s->name, !sections->next);
    }
}

static void print_info(const FixedRamFileInfo *info)
{
    print_text("file", info->filename);
    if (info->offset) {
        printf("offset: %" PRIu64 "\n", info->offset);
    }
    if (info->libvirt) {
        print_libvirt(info->libvirt);
    }
    print_kind(info);
    if (info->machine) {
        print_machine(info->machine);
    }
    print_size("file size", info->file_size);
    print_size("disk size", info->allocated_size);
    print_checksums(info);
    print_clean(info);
    print_set(info);
    if (info->has_sections) {
        print_sections(info->sections);
    }
    if (info->has_layers) {
        tool_chain_print(info->layers);
    }
    if (info->has_blocks) {
        print_blocks(info->blocks, info->page_size);
    }
    if (info->has_devices) {
        print_devices(info->devices);
    }
}

static void show(const ToolFile *file, bool json)
{
    g_autoptr(FixedRamFileInfo) info = tool_info_file(file);

    if (json) {
        TOOL_PRINT_JSON(FixedRamFileInfo, info);
    } else {
        print_info(info);
    }
}

/* The file, then its layers; JSON becomes an array. */
static bool show_chain(const ToolFile *file, bool json, Error **errp)
{
    bool ok = true;

    fputs(json ? "[\n" : "", stdout);
    show(file, json);
    for (size_t i = 1; ok && i <= tool_chain_length(file); i++) {
        g_autoptr(ToolFile) layer = tool_chain_open(file, i, errp);

        ok = layer;
        if (ok) {
            printf(json ? ",\n" : "\nlayer %zu\n", i);
            show(layer, json);
        }
    }
    fputs(json ? "]\n" : "", stdout);
    return ok;
}

enum { OPT_COMMAND_LINE = TOOL_OPT_OWN, OPT_CHAIN };

static int run_info(const ToolCommand *command, int argc, char **argv)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, TOOL_OPTION_OUTPUT, TOOL_OPTION_OFFSET,
        { "command-line", no_argument, NULL, OPT_COMMAND_LINE },
        { "chain", no_argument, NULL, OPT_CHAIN }, { },
    };
    g_autoptr(ToolFile) file = NULL;
    ToolCommon common = { };
    bool command_line = false, chain = false, ok;
    Error *err = NULL;
    int c;

    while ((c = tool_getopt(command, argc, argv, "h", options,
                            &common)) >= 0) {
        command_line = command_line || c == OPT_COMMAND_LINE;
        chain = chain || c == OPT_CHAIN;
    }
    tool_expect_args(command, argc, 1);
    file = tool_file_open(argv[optind], common.offset, &err);
    ok = file;
    if (ok && command_line) {
        ok = tool_command_line_print(file, &err);
    } else if (ok && chain) {
        ok = show_chain(file, common.json, &err);
    } else if (ok) {
        show(file, common.json);
    }
    if (!ok) {
        error_report_err(err);
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

const ToolCommand tool_info = {
    .name = "info",
    .summary = "Show what a file holds",
    .syntax = "[--output=human|json] [--command-line] [--chain] [--offset=N] "
              "FILE",
    .help =
TOOL_HELP_OUTPUT
"  --command-line\n"
"     print only a command that starts QEMU and loads FILE\n"
"  --chain\n"
"     show the files of a delta's layers, too\n"
TOOL_HELP_OFFSET
"  FILE\n"
"     the file that a VM was saved to\n"
"\n"
"A plain migration stream is read from one end to the other for this.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_info,
};

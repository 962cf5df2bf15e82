/*
 * qemu-snapshot working-set show: which pages the guest touches first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-fixed-ram.h"
#include "qapi/qobject-output-visitor.h"
#include "qapi/util.h"
#include "qemu/cutils.h"
#include "output.h"
#include "picture.h"
#include "set.h"
#include "../util/text.h"

/* A digit says in which tenth of the set the first page of a cell was. */
#define TENTHS  10

typedef struct Order {
    uint64_t cell;              /* pages that a character stands for */
    uint8_t *tenth;             /* for each cell; TENTHS: no page of the set */
} Order;

static uint64_t ram_pages(const ToolFile *file)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < file->blocks->len; i++) {
        pages += tool_file_block(file, i)->pages;
    }
    return pages;
}

/*
 * For programs
 */

static FixedRamWorkingSetRangeList *ranges_info(const ToolFile *file,
                                                const FixedRamWorkingSet *set)
{
    FixedRamWorkingSetRangeList *list = NULL, **tail = &list;

    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);
        const ToolBlock *block = tool_file_block(file, run->block);
        FixedRamWorkingSetRange *range = g_new0(FixedRamWorkingSetRange, 1);

        range->block = g_strdup(block->name);
        range->start = run->first * block->page_size;
        range->length = run->pages * block->page_size;
        range->data = run->data;
        QAPI_LIST_APPEND(tail, range);
    }
    return list;
}

static void print_json(const ToolFile *file, const FixedRamWorkingSet *set)
{
    g_autoptr(FixedRamWorkingSetInfo) info = g_new0(FixedRamWorkingSetInfo, 1);

    info->filename = g_strdup(file->snapshot->source->name);
    info->kind = set->kind;
    info->time = set->time;
    info->pages = set->pages;
    info->data_pages = set->data_pages;
    info->ram_pages = ram_pages(file);
    info->page_size = file->snapshot->page_size;
    info->packed_size = set->pack_length;
    info->ranges = ranges_info(file, set);
    TOOL_PRINT_JSON(FixedRamWorkingSetInfo, info);
}

/*
 * For people
 */

static void print_size(const char *what, uint64_t size)
{
    g_autofree char *text = size_to_str(size);

    printf("%s: %s (%" PRIu64 " bytes)\n", what, text, size);
}

static void print_head(const ToolFile *file, const FixedRamWorkingSet *set)
{
    uint64_t size = file->snapshot->page_size;
    g_autofree char *share = tool_percent(set->pages, ram_pages(file));
    g_autofree char *bytes = size_to_str(set->pages * size);
    g_autofree char *data = size_to_str(set->data_pages * size);
    g_autofree char *time = tool_time_text(set->time);

    printf("kind: %s\n", FixedRamWorkingSetKind_str(set->kind));
    printf("recorded at: %s\n", time ?: "unknown");
    printf("pages: %" PRIu64 " in %u runs, %s, %s of RAM\n", set->pages,
           set->runs->len, bytes, share);
    printf("with data: %" PRIu64 " pages, %s\n", set->data_pages, data);
    if (set->pack_length) {
        print_size("packed copy", set->pack_length);
    } else {
        printf("packed copy: none\n");
    }
}

static const char *draw_order(const ToolPicture *p, const ToolBlock *block,
                              uint64_t page, uint64_t end, const void *opaque)
{
    static const char *const digits[TENTHS] = {
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
    };
    const Order *order = opaque;
    unsigned tenth = order->tenth[page / order->cell];

    return tenth == TENTHS ? p->shades[0] : digits[tenth];
}

/* Returns how many pages of the set are in the block. */
static uint64_t find_order(const FixedRamWorkingSet *set, uint32_t block,
                           Order *order)
{
    uint64_t count = 0, before = 0;

    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        for (uint64_t j = 0; run->block == block && j < run->pages; j++) {
            uint8_t *tenth = &order->tenth[(run->first + j) / order->cell];

            *tenth = MIN(*tenth, (before + j) * TENTHS / set->pages);
            count++;
        }
        before += run->pages;
    }
    return count;
}

static void draw_block(const ToolPicture *p, const ToolFile *file,
                       const FixedRamWorkingSet *set, uint32_t number)
{
    const ToolBlock *block = tool_file_block(file, number);
    Order order = { .cell = tool_picture_cell(p, block) };
    uint64_t cells = DIV_ROUND_UP(block->pages, order.cell);
    g_autofree char *name = fixed_ram_text_printable(block->name);
    g_autofree char *cell_size = size_to_str(order.cell * block->page_size);
    uint64_t count;

    order.tenth = g_malloc(cells);
    memset(order.tenth, TENTHS, cells);
    count = find_order(set, number, &order);
    if (count) {
        printf("\n%s: %" PRIu64 " pages of the set, %s per character\n", name,
               count, cell_size);
        tool_picture_rows(p, block, draw_order, &order);
    }
    g_free(order.tenth);
}

static void print_set(const ToolFile *file, const FixedRamWorkingSet *set,
                      bool ascii)
{
    ToolPicture picture = tool_picture_init(ascii);

    print_head(file, set);
    printf("\n0 first tenth of the set to 9 last tenth, %s not in the set\n",
           picture.shades[0]);
    for (size_t i = 0; i < file->blocks->len; i++) {
        draw_block(&picture, file, set, i);
    }
}

bool tool_set_show(const ToolFile *file, bool json, bool ascii, Error **errp)
{
    g_autoptr(FixedRamWorkingSet) set = tool_set_read(file, errp);

    if (!set) {
        return false;
    }
    if (json) {
        print_json(file, set);
    } else {
        print_set(file, set, ascii);
    }
    return true;
}

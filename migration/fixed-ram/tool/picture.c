/*
 * qemu-snapshot: a picture of a RAM block, in characters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <langinfo.h>
#include <sys/ioctl.h>
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "output.h"
#include "picture.h"
#include "../util/text.h"

#define ROWS_MAX        16      /* of a block */
#define COLUMNS_MIN     40      /* of a terminal */
#define COLUMNS_MAX     512
#define COLUMNS_DEFAULT 80
#define MARGIN          14      /* columns that the address of a row takes */

/* The first and the last one mean exactly no data and all data. */
static const char *const unicode[] = { "·", "░", "▒", "▓", "█" };
static const char *const ascii[] = { ".", ":", "+", "x", "#" };

static unsigned terminal_columns(void)
{
    const char *variable = getenv("COLUMNS");
    struct winsize size;
    unsigned columns = 0;

    if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) {
        columns = size.ws_col;
    }
    if (!columns && variable) {
        qemu_strtoui(variable, NULL, 10, &columns);
    }
    return MIN(MAX(columns ?: COLUMNS_DEFAULT, COLUMNS_MIN), COLUMNS_MAX);
}

ToolPicture tool_picture_init(bool want_ascii)
{
    bool utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");

    return (ToolPicture) {
        .shades = want_ascii || !utf8 ? ascii : unicode,
        .columns = pow2floor(terminal_columns() - MARGIN),
    };
}

void tool_picture_legend(const ToolPicture *p)
{
    printf("%s no data   %s less than 1/3   %s less than 2/3   %s more   "
           "%s all data\n", p->shades[0], p->shades[1], p->shades[2],
           p->shades[3], p->shades[4]);
}

static const char *shade(const ToolPicture *p, uint64_t data, uint64_t pages)
{
    if (!data) {
        return p->shades[0];
    } else if (data == pages) {
        return p->shades[4];
    }
    return p->shades[1 + data * 3 / pages];
}

uint64_t tool_picture_cell(const ToolPicture *p, const ToolBlock *block)
{
    uint64_t cells = (uint64_t)p->columns * ROWS_MAX;

    /* A power of two, so that addresses are round. */
    return pow2ceil(DIV_ROUND_UP(block->pages, cells));
}

static GString *make_row(const ToolPicture *p, const ToolBlock *block,
                         uint64_t page, uint64_t cell, ToolPictureCell *draw,
                         const void *opaque)
{
    uint64_t end = MIN(page + cell * p->columns, block->pages);
    GString *row = g_string_new(NULL);

    for (; page < end; page += cell) {
        g_string_append(row, draw(p, block, page, MIN(page + cell, end),
                                  opaque));
    }
    return row;
}

/* As hexdump does, print an asterisk for rows that repeat the one before. */
void tool_picture_rows(const ToolPicture *p, const ToolBlock *block,
                       ToolPictureCell *draw, const void *opaque)
{
    uint64_t cell = tool_picture_cell(p, block);
    uint64_t step = cell * p->columns;
    GString *last = NULL;
    bool left_out = false;

    for (uint64_t page = 0; page < block->pages; page += step) {
        GString *row = make_row(p, block, page, cell, draw, opaque);
        bool again = last && page + step < block->pages &&
                     g_string_equal(row, last);

        if (!again) {
            printf("  %10" PRIx64 "  %s\n", page * block->page_size, row->str);
        } else if (!left_out) {
            printf("  %10s\n", "*");
        }
        left_out = again;
        if (last) {
            g_string_free(last, true);
        }
        last = row;
    }
    if (last) {
        g_string_free(last, true);
    }
}

static const char *draw_data(const ToolPicture *p, const ToolBlock *block,
                             uint64_t page, uint64_t end, const void *opaque)
{
    return shade(p, bitmap_count_one_with_offset(block->data, page,
                                                 end - page), end - page);
}

void tool_picture_draw(const ToolPicture *p, const ToolBlock *block)
{
    g_autofree char *name = fixed_ram_text_printable(block->name);
    g_autofree char *size = size_to_str(block->length);
    g_autofree char *share = tool_percent(block->data_pages, block->pages);
    uint64_t cell = tool_picture_cell(p, block);
    g_autofree char *cell_size = size_to_str(cell * block->page_size);

    printf("\n%s: %s, %s data, %s per character\n", name, size, share,
           cell_size);
    tool_picture_rows(p, block, draw_data, NULL);
}

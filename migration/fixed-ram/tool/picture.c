/*
 * qemu-snapshot: a picture of a RAM block, in characters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <langinfo.h>
#include <sys/ioctl.h>
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "output.h"
#include "picture.h"

#define ROWS_MAX        16      /* of a block */
#define COLUMNS_MAX     512
#define MARGIN          14      /* the address before a row */

/* Nothing, three thirds, and all: the first and the last one mean just that. */
#define STEPS           5

static const char *const unicode[STEPS] = { "·", "░", "▒", "▓", "█" };
static const char *const ascii[STEPS] = { ".", ":", "+", "x", "#" };

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
    if (!columns) {
        columns = 80;
    }
    return MIN(MAX(columns, 40), COLUMNS_MAX);
}

ToolPicture tool_picture_init(bool want_ascii)
{
    bool utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");

    return (ToolPicture) {
        .shades = want_ascii || !utf8 ? ascii : unicode,
        .columns = terminal_columns(),
    };
}

void tool_picture_legend(const ToolPicture *p)
{
    printf("%s no data   %s less than 1/3   %s less than 2/3   %s more   "
           "%s all data\n", p->shades[0], p->shades[1], p->shades[2],
           p->shades[3], p->shades[4]);
}

static uint64_t count_data(const ToolBlock *block, uint64_t page, uint64_t end)
{
    uint64_t data = 0;
    ToolRun run;

    while (page < end && tool_block_next_run(block, page, &run)) {
        run.pages = MIN(run.pages, end - page);
        data += run.data ? run.pages : 0;
        page += run.pages;
    }
    return data;
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

/* Pages in a character: a power of two, so that addresses are round. */
static uint64_t scale(const ToolPicture *p, const ToolBlock *block)
{
    unsigned columns = pow2floor(p->columns - MARGIN);
    uint64_t cells = (uint64_t)columns * ROWS_MAX;

    return pow2ceil(DIV_ROUND_UP(block->pages, cells));
}

/* All of a row's pages with or without data: the next such row says no more. */
static bool row_is_plain(const ToolBlock *block, uint64_t page, uint64_t pages)
{
    uint64_t data = count_data(block, page, page + pages);

    return !data || data == pages;
}

static void draw_row(const ToolPicture *p, const ToolBlock *block,
                     uint64_t page, uint64_t end, uint64_t cell)
{
    printf("  %10" PRIx64 "  ", page * block->page_size);
    for (; page < end; page += cell) {
        uint64_t pages = MIN(cell, end - page);

        fputs(shade(p, count_data(block, page, page + pages), pages), stdout);
    }
    printf("\n");
}

/* As hexdump does, rows that repeat the one before are left out. */
static void draw_rows(const ToolPicture *p, const ToolBlock *block,
                      uint64_t cell, uint64_t row)
{
    bool left_out = false;

    for (uint64_t page = 0; page < block->pages; page += row) {
        uint64_t end = MIN(page + row, block->pages);
        bool again = page && end < block->pages &&
                     row_is_plain(block, page - row, 2 * row);

        if (!again) {
            draw_row(p, block, page, end, cell);
        } else if (!left_out) {
            printf("  %10s\n", "*");
        }
        left_out = again;
    }
}

void tool_picture_draw(const ToolPicture *p, const ToolBlock *block)
{
    g_autofree char *name = tool_printable(block->name);
    g_autofree char *size = size_to_str(block->length);
    g_autofree char *share = tool_percent(block->data_pages, block->pages);
    uint64_t cell = scale(p, block);
    g_autofree char *cell_size = size_to_str(cell * block->page_size);

    printf("\n%s: %s, %s data, %s a character\n", name, size, share,
           cell_size);
    draw_rows(p, block, cell, cell * pow2floor(p->columns - MARGIN));
}

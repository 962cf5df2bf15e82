/*
 * qemu-snapshot map: a picture of a RAM block, in characters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_PICTURE_H
#define MIGRATION_FIXED_RAM_TOOL_PICTURE_H

#include "block.h"

typedef struct ToolPicture {
    const char *const *shades;  /* five characters, from no data to all data */
    unsigned columns;           /* characters in a row, a power of two */
} ToolPicture;

/**
 * tool_picture_init(): a picture that fits the terminal
 *
 * @ascii: use no other characters, even if the terminal can show them
 */
ToolPicture tool_picture_init(bool ascii);

/** tool_picture_legend(): print what the characters mean */
void tool_picture_legend(const ToolPicture *picture);

/** tool_picture_draw(): print a picture of @block */
void tool_picture_draw(const ToolPicture *picture, const ToolBlock *block);

/** tool_picture_cell(): how many pages of @block a character stands for */
uint64_t tool_picture_cell(const ToolPicture *picture, const ToolBlock *block);

/* Returns the character, in UTF-8, for pages from @page to @end. */
typedef const char *ToolPictureCell(const ToolPicture *picture,
                                    const ToolBlock *block, uint64_t page,
                                    uint64_t end, const void *opaque);

/** tool_picture_rows(): print a block's rows, each with its address */
void tool_picture_rows(const ToolPicture *picture, const ToolBlock *block,
                       ToolPictureCell *draw, const void *opaque);

#endif

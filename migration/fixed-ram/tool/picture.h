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

#endif

/*
 * qemu-snapshot: a picture of a RAM block, in characters
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_PICTURE_H
#define MIGRATION_FIXED_RAM_TOOL_PICTURE_H

#include "block.h"

typedef struct ToolPicture {
    const char *const *shades;  /* from nothing to all */
    unsigned columns;           /* of the terminal */
} ToolPicture;

/** tool_picture_init(): as the terminal is; @ascii: no matter what it is */
ToolPicture tool_picture_init(bool ascii);

/** tool_picture_legend(): what characters mean */
void tool_picture_legend(const ToolPicture *picture);

/** tool_picture_draw(): where in @block the data is */
void tool_picture_draw(const ToolPicture *picture, const ToolBlock *block);

#endif

/*
 * qemu-snapshot: save images of libvirt
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_LIBVIRT_H
#define MIGRATION_FIXED_RAM_TOOL_LIBVIRT_H

#include "file.h"
#include "writer.h"

/**
 * tool_libvirt_domain(): the domain's name, as the XML has it
 *
 * @xml: need not be XML.  Returns NULL if no name is found in it.  The caller
 * frees the name.
 */
char *tool_libvirt_domain(const char *xml);

/** tool_libvirt_info(): what info says about @image; the caller frees it */
FixedRamFileLibvirt *tool_libvirt_info(const FixedRamLibvirt *image);

/**
 * tool_libvirt_begin(): write the header and the XML of @in to @out
 *
 * @in: a save image of libvirt without a problem
 *
 * The new header has the sparse format, and says that the save is not complete.
 */
bool tool_libvirt_begin(const ToolFile *in, ToolWriter *out, Error **errp);

/** tool_libvirt_complete(): let the header of @out say that it is complete */
bool tool_libvirt_complete(ToolWriter *out, Error **errp);

#endif

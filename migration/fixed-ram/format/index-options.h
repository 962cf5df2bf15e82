/*
 * fixed-ram: the index's section about the machine's options
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_INDEX_OPTIONS_H
#define MIGRATION_FIXED_RAM_FORMAT_INDEX_OPTIONS_H

#include "index-types.h"

/** fixed_ram_index_options_new(): no options; the caller frees the result */
FixedRamIndexOptions *fixed_ram_index_options_new(const char *program);

/** fixed_ram_index_options_free(): free @options; NULL is fine */
void fixed_ram_index_options_free(FixedRamIndexOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamIndexOptions,
                              fixed_ram_index_options_free)

/** fixed_ram_index_options_copy(): a copy of @from, which may be NULL */
FixedRamIndexOptions *
fixed_ram_index_options_copy(const FixedRamIndexOptions *from);

/**
 * fixed_ram_index_options_add(): append an option
 *
 * @name: without the dash; empty for a disk image, which is an argument alone
 * @argument: NULL: it has none
 *
 * Returns false, and adds nothing, if a text is too long for the index or is
 * not UTF-8.
 */
bool fixed_ram_index_options_add(FixedRamIndexOptions *options,
                                 const char *name, const char *argument);

/** fixed_ram_index_option(): option number @i, of options->list->len. */
static inline const FixedRamIndexOption *
fixed_ram_index_option(const FixedRamIndexOptions *options, size_t i)
{
    return g_ptr_array_index(options->list, i);
}

/** fixed_ram_index_options_encode(): append the section's payload to @out */
void fixed_ram_index_options_encode(const FixedRamIndexOptions *options,
                                    GByteArray *out);

/**
 * fixed_ram_index_options_read(): parse and check the section's payload
 *
 * @r: at the payload, and limited to it
 *
 * The first failure is @r->error.  The caller frees the result.
 */
FixedRamIndexOptions *fixed_ram_index_options_read(FixedRamReader *r);

#endif

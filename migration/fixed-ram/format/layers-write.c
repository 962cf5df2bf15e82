/*
 * fixed-ram: write into a complete delta where its layers lie
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "append.h"
#include "index-layers.h"
#include "layers-write.h"

bool fixed_ram_layers_write(const FixedRamSnapshot *s,
                            const FixedRamIndexLayers *layers, Error **errp)
{
    g_autoptr(FixedRamAppend) append =
        fixed_ram_append_begin(s, SECTION_LAYERS, errp);
    g_autoptr(GByteArray) payload = g_byte_array_new();

    if (!append) {
        return false;
    }
    fixed_ram_index_layers_encode(layers, payload);
    fixed_ram_append_place(append, 0, payload->len);
    return fixed_ram_append_commit(append, payload->data, errp);
}

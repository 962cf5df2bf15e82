/*
 * fixed-ram: write the superblock, the index and the table of checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "../format/layout.h"
#include "../format/working-set-write.h"
#include "metadata.h"
#include "table.h"
#include "../util/io.h"

bool fixed_ram_metadata_sync(FixedRamMetadata *file, Error **errp)
{
    return fixed_ram_sync_snapshot(file->fd, file->name, errp);
}

static bool write_superblock(FixedRamMetadata *file,
                             FixedRamCompleteness state, Error **errp)
{
    uint8_t bytes[FIXED_RAM_SUPERBLOCK_BYTES];

    file->sb.state = state;
    fixed_ram_superblock_encode(&file->sb, bytes);
    return fixed_ram_write_snapshot(file->fd, file->name, bytes, sizeof(bytes),
                                    file->sb_offset, errp);
}

bool fixed_ram_metadata_begin(FixedRamMetadata *file, Error **errp)
{
    return write_superblock(file, FIXED_RAM_BEING_WRITTEN, errp) &&
           fixed_ram_metadata_sync(file, errp);
}

bool fixed_ram_metadata_complete(FixedRamMetadata *file, Error **errp)
{
    return write_superblock(file, FIXED_RAM_COMPLETE, errp) &&
           fixed_ram_metadata_sync(file, errp);
}

void fixed_ram_metadata_revoke(FixedRamMetadata *file)
{
    if (file->sb.state == FIXED_RAM_COMPLETE) {
        write_superblock(file, FIXED_RAM_BEING_WRITTEN, NULL);
    }
}

/* The list of the set from @offset on; *@end is the offset behind it. */
static bool write_set(FixedRamMetadata *file, FixedRamIndex *index,
                      const FixedRamWorkingSet *set, uint64_t offset,
                      uint64_t *end, Error **errp)
{
    g_autoptr(GByteArray) list = NULL;

    offset = ROUND_UP(offset, INDEX_PADDING);
    list = fixed_ram_working_set_encode(set, offset, &index->set);
    index->has_set = true;
    *end = offset + list->len;
    return fixed_ram_write_snapshot(file->fd, file->name, list->data,
                                    list->len, offset, errp);
}

/* The map of layers at @offset; *@end is the offset behind it. */
static bool write_layers(FixedRamMetadata *file, FixedRamIndex *index,
                         uint64_t offset, uint64_t *end, Error **errp)
{
    index->layers = fixed_ram_delta_write(file->delta, file->fd, file->name,
                                          offset, errp);
    if (!index->layers) {
        return false;
    }
    *end = offset + index->layers->map_length;
    return true;
}

bool fixed_ram_metadata_write_index(FixedRamMetadata *file,
                                    FixedRamIndex *index, const GPtrArray *sums,
                                    const FixedRamWorkingSet *set,
                                    uint64_t stream_end, Error **errp)
{
    g_autoptr(GByteArray) bytes = NULL;
    uint64_t offset = ROUND_UP(stream_end, INDEX_ALIGNMENT);

    if (index->has_sums) {
        if (!fixed_ram_table_write(file->fd, file->name, index, sums, offset,
                                   errp)) {
            return false;
        }
        offset += index->table.length;
    }
    if (file->delta && !write_layers(file, index, offset, &offset, errp)) {
        return false;
    }
    if (set && !write_set(file, index, set, offset, &offset, errp)) {
        return false;
    }
    offset = ROUND_UP(offset, INDEX_ALIGNMENT);
    bytes = fixed_ram_index_encode(index);
    if (bytes->len > INDEX_MAX) {
        error_setg(errp, "snapshot '%s': cannot write an index of %u bytes, "
                   "at most %u are allowed", file->name, bytes->len,
                   (unsigned)INDEX_MAX);
        return false;
    }
    file->sb.stream_end = stream_end;
    file->sb.index_offset = offset;
    file->sb.index_length = bytes->len;
    file->sb.index_crc = fixed_ram_layout_crc32c(bytes->data, bytes->len);
    return fixed_ram_write_snapshot(file->fd, file->name, bytes->data,
                                    bytes->len, offset, errp);
}

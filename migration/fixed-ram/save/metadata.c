/*
 * fixed-ram: write the superblock, the index and the table of checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "../format/layout.h"
#include "metadata.h"
#include "page-sums.h"
#include "../format/sums.h"
#include "../util/io.h"

static bool write_at(FixedRamMetadata *file, const void *buf, size_t length,
                     uint64_t offset, Error **errp)
{
    int ret = fixed_ram_write_full(file->fd, buf, length, offset);

    if (ret < 0) {
        error_setg_errno(errp, -ret, "snapshot '%s': offset 0x%" PRIx64
                         ": cannot write 0x%zx bytes", file->name, offset,
                         length);
        return false;
    }
    return true;
}

bool fixed_ram_metadata_sync(FixedRamMetadata *file, Error **errp)
{
    /* This covers writes through all descriptors of the file. */
    if (RETRY_ON_EINTR(qemu_fdatasync(file->fd))) {
        error_setg_errno(errp, errno, "snapshot '%s': cannot write the file "
                         "to disk", file->name);
        return false;
    }
    return true;
}

static bool write_superblock(FixedRamMetadata *file,
                             FixedRamCompleteness state, Error **errp)
{
    uint8_t bytes[FIXED_RAM_SUPERBLOCK_BYTES];

    file->sb.state = state;
    fixed_ram_superblock_encode(&file->sb, bytes);
    return write_at(file, bytes, sizeof(bytes), file->sb_offset, errp);
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

static void end_chunk(FixedRamIndexTable *table, FixedRamSumStream *chunk)
{
    uint64_t sum = fixed_ram_sums_stream_get(chunk);

    g_array_append_val(table->chunk_sums, sum);
    fixed_ram_sums_stream_reset(chunk);
}

/* Add @length bytes to @table; a chunk may span two blocks. */
static void add_to_table(FixedRamIndexTable *table, FixedRamSumStream *chunk,
                         const uint8_t *bytes, uint64_t length)
{
    while (length) {
        uint64_t left = FIXED_RAM_CHUNK_BYTES -
                        table->length % FIXED_RAM_CHUNK_BYTES;
        uint64_t n = MIN(left, length);

        fixed_ram_sums_stream_add(chunk, bytes, n);
        table->length += n;
        if (n == left) {
            end_chunk(table, chunk);
        }
        bytes += n;
        length -= n;
    }
}

/* Write the checksums of all blocks, and record in the index where they are. */
static bool write_table(FixedRamMetadata *file, FixedRamIndex *index,
                        const GPtrArray *sums, uint64_t offset, Error **errp)
{
    FixedRamIndexTable *table = &index->table;
    FixedRamSumStream *chunk = fixed_ram_sums_stream_new();
    bool ok = true;

    table->offset = offset;
    for (guint i = 0; ok && i < sums->len; i++) {
        uint64_t clusters;
        const uint64_t *part =
            fixed_ram_page_sums_table(g_ptr_array_index(sums, i), &clusters);

        fixed_ram_index_block(index, i)->first_cluster =
            table->length / sizeof(*part);
        ok = write_at(file, part, clusters * sizeof(*part),
                      offset + table->length, errp);
        add_to_table(table, chunk, (const uint8_t *)part,
                     clusters * sizeof(*part));
    }
    if (table->length % FIXED_RAM_CHUNK_BYTES) {
        end_chunk(table, chunk);
    }
    fixed_ram_sums_stream_free(chunk);
    return ok;
}

bool fixed_ram_metadata_write_index(FixedRamMetadata *file,
                                    FixedRamIndex *index, const GPtrArray *sums,
                                    uint64_t stream_end, Error **errp)
{
    g_autoptr(GByteArray) bytes = NULL;
    uint64_t offset = ROUND_UP(stream_end, INDEX_ALIGNMENT);

    if (index->has_sums) {
        if (!write_table(file, index, sums, offset, errp)) {
            return false;
        }
        offset = ROUND_UP(offset + index->table.length, INDEX_ALIGNMENT);
    }
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
    return write_at(file, bytes->data, bytes->len, offset, errp);
}

/*
 * fixed-ram: write the table of checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "page-sums.h"
#include "table.h"
#include "../format/sums.h"
#include "../util/io.h"

/* A window is as much of the table as is put together in memory. */
#define WINDOW_CHUNKS   64
#define WINDOW_BYTES    ((size_t)WINDOW_CHUNKS * FIXED_RAM_CHUNK_BYTES)

typedef struct TableWriter {
    int fd;
    const char *name;           /* the file, for messages */
    FixedRamIndexTable *table;

    const GPtrArray *sums;      /* of FixedRamPageSums, a block each */
    /* Where the walk through the sums is: at a cluster that may have data. */
    guint block;
    uint64_t cluster;           /* number in the block */
    uint64_t first;             /* number in the table of the block's first */

    uint64_t begin;             /* of the window, in bytes of the table */
    uint8_t *buf;               /* WINDOW_BYTES: content of the window */
    unsigned long used[BITS_TO_LONGS(WINDOW_CHUNKS)]; /* chunks to write */
    uint64_t zero_sum;          /* of a chunk of zeros */
} TableWriter;

/* Go on to the next cluster that may have data; false if there is none. */
static bool find_cluster(TableWriter *w)
{
    while (w->block < w->sums->len) {
        const FixedRamPageSums *sums = g_ptr_array_index(w->sums, w->block);
        uint64_t clusters = fixed_ram_page_sums_clusters(sums);

        w->cluster = fixed_ram_page_sums_next(sums, w->cluster);
        if (w->cluster < clusters) {
            return true;
        }
        w->block++;
        w->first += clusters;
        w->cluster = 0;
    }
    return false;
}

/* Put all sums of the window, which ends at @end, into the buffer. */
static void fill_window(TableWriter *w, uint64_t end)
{
    if (!bitmap_empty(w->used, WINDOW_CHUNKS)) {
        memset(w->buf, 0, WINDOW_BYTES);
        bitmap_zero(w->used, WINDOW_CHUNKS);
    }
    while (find_cluster(w)) {
        const FixedRamPageSums *sums = g_ptr_array_index(w->sums, w->block);
        uint64_t at = (w->first + w->cluster) * sizeof(uint64_t);

        if (at >= end) {
            break;
        }
        at -= w->begin;
        stq_le_p(w->buf + at, fixed_ram_page_sums_cluster(sums, w->cluster));
        set_bit(at / FIXED_RAM_CHUNK_BYTES, w->used);
        w->cluster++;
    }
}

static void sum_chunks(TableWriter *w, size_t length)
{
    for (size_t at = 0; at < length; at += FIXED_RAM_CHUNK_BYTES) {
        size_t n = MIN(length - at, FIXED_RAM_CHUNK_BYTES);
        bool zero = !test_bit(at / FIXED_RAM_CHUNK_BYTES, w->used);
        uint64_t sum = zero && n == FIXED_RAM_CHUNK_BYTES
                       ? w->zero_sum : fixed_ram_sums_get(w->buf + at, n);

        g_array_append_val(w->table->chunk_sums, sum);
    }
}

/* @length: of the window */
static bool write_chunks(TableWriter *w, size_t length, Error **errp)
{
    size_t end, first = 0;

    while ((first = find_next_bit(w->used, WINDOW_CHUNKS, first)) <
           WINDOW_CHUNKS) {
        size_t from = first * FIXED_RAM_CHUNK_BYTES, n;

        end = find_next_zero_bit(w->used, WINDOW_CHUNKS, first);
        n = MIN(end * FIXED_RAM_CHUNK_BYTES, length) - from;
        if (!fixed_ram_write_snapshot(w->fd, w->name, w->buf + from, n,
                                      w->table->offset + w->begin + from,
                                      errp)) {
            return false;
        }
        first = end;
    }
    return true;
}

static bool write_windows(TableWriter *w, Error **errp)
{
    for (; w->begin < w->table->length; w->begin += WINDOW_BYTES) {
        size_t length = MIN(w->table->length - w->begin, WINDOW_BYTES);

        fill_window(w, w->begin + length);
        sum_chunks(w, length);
        if (!write_chunks(w, length, errp)) {
            return false;
        }
    }
    return true;
}

bool fixed_ram_table_write(int fd, const char *name, FixedRamIndex *index,
                           const GPtrArray *sums, uint64_t offset,
                           Error **errp)
{
    g_autofree uint8_t *buf = g_malloc0(WINDOW_BYTES);
    TableWriter w = {
        .fd = fd,
        .name = name,
        .table = &index->table,
        .sums = sums,
        .buf = buf,
        .zero_sum = fixed_ram_sums_get(buf, FIXED_RAM_CHUNK_BYTES),
    };
    uint64_t clusters = 0;

    for (guint i = 0; i < sums->len; i++) {
        fixed_ram_index_block(index, i)->first_cluster = clusters;
        clusters += fixed_ram_page_sums_clusters(g_ptr_array_index(sums, i));
    }
    w.table->offset = offset;
    w.table->length = clusters * sizeof(uint64_t);
    return write_windows(&w, errp);
}

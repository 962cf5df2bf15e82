/*
 * What a snapshot's superblock and index say
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "migration/fixed-ram-index.h"
#ifdef TEST_XXHASH
#include <xxhash.h>
#endif

#define VERSION         1
#define CLUSTER_BYTES   (64 * KiB)
#define CHUNK_BYTES     4096

enum {
    MACHINE = 1, BLOCKS, STREAM, SUMS, WORKING_SET = 6, SPACE = 8, CLEAN,
    OPTIONS, SECTIONS
};

static uint32_t crc32_castagnoli(const uint8_t *bytes, size_t length)
{
    uint32_t crc = ~0u;

    while (length--) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        }
    }
    return ~crc;
}

static void assert_zeros(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        g_assert_cmphex(bytes[i], ==, 0);
    }
}

bool snapshot_superblock(const uint8_t *bytes, SnapshotSuperblock *sb)
{
    if (buffer_is_zero(bytes, SUPERBLOCK_BYTES)) {
        return false;
    }
    g_assert_cmpmem(bytes, 8, "QEMUFXRM", 8);
    g_assert_cmphex((uint32_t)ldl_le_p(bytes + 4092), ==,
                    crc32_castagnoli(bytes, 4092));
    g_assert_cmpuint((uint32_t)ldl_le_p(bytes + 8), ==, VERSION);
    sb->state = ldl_le_p(bytes + 12);
    g_assert(sb->state == SUPERBLOCK_BEING_WRITTEN ||
             sb->state == SUPERBLOCK_COMPLETE);
    memcpy(sb->id, bytes + 16, sizeof(sb->id));
    g_assert_false(buffer_is_zero(sb->id, sizeof(sb->id)));
    sb->start = ldq_le_p(bytes + 32);
    sb->stream_end = ldq_le_p(bytes + 40);
    sb->index_offset = ldq_le_p(bytes + 48);
    sb->index_length = ldq_le_p(bytes + 56);
    sb->index_crc = ldl_le_p(bytes + 64);
    assert_zeros(bytes + 68, 4092 - 68);
    if (sb->state == SUPERBLOCK_BEING_WRITTEN) {
        assert_zeros(bytes + 40, 68 - 40);
    }
    return true;
}

bool snapshot_find_superblock(const char *path, SnapshotSuperblock *sb)
{
    uint8_t bytes[SUPERBLOCK_BYTES];
    int fd = open(path, O_RDONLY);
    bool found = false;

    g_assert_cmpint(fd, >=, 0);
    for (int i = 1; i <= 2 && !found; i++) {
        found = pread(fd, bytes, sizeof(bytes), i * MiB - sizeof(bytes)) ==
                    sizeof(bytes) &&
                !memcmp(bytes, "QEMUFXRM", 8) &&
                snapshot_superblock(bytes, sb);
    }
    close(fd);
    return found;
}

/* What follows in the index. */
typedef struct Reader {
    const uint8_t *at;
    const uint8_t *end;
} Reader;

static const uint8_t *take(Reader *r, size_t n)
{
    const uint8_t *bytes = r->at;

    g_assert_cmpuint(n, <=, r->end - r->at);
    r->at += n;
    return bytes;
}

static uint32_t take32(Reader *r)
{
    return ldl_le_p(take(r, 4));
}

static uint64_t take64(Reader *r)
{
    return ldq_le_p(take(r, 8));
}

static char *take_string(Reader *r)
{
    uint32_t n = take32(r);
    const char *bytes = (const char *)take(r, n);

    g_assert_cmpuint(n, <=, 4096);
    g_assert_true(g_utf8_validate_len(bytes, n, NULL));
    return g_strndup(bytes, n);
}

static const SnapshotBlock *block_number(const Snapshot *s, size_t i)
{
    return &g_array_index(s->blocks, SnapshotBlock, i);
}

static uint64_t bitmap_bytes(const SnapshotBlock *block)
{
    return DIV_ROUND_UP(block->length / SNAPSHOT_PAGE_SIZE, 64) * 8;
}

static void decode_machine(SnapshotIndex *index, Reader *r)
{
    index->has_machine = true;
    index->time = take64(r);
    index->ram_bytes = take64(r);
    memcpy(index->uuid, take(r, 16), 16);
    index->machine_type = take_string(r);
    index->version = take_string(r);
    index->name = take_string(r);
}

/* They are those of the stream. */
static void check_blocks(const Snapshot *s, Reader *r)
{
    g_assert_cmpuint(take32(r), ==, s->blocks->len);
    g_assert_cmpuint(take32(r), ==, 0);
    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *block = block_number(s, i);
        size_t n = strlen(block->name), padding = -(44 + n) % 8;

        g_assert_cmphex(take64(r), ==, block->length);
        g_assert_cmphex(take64(r), ==, SNAPSHOT_PAGE_SIZE);
        g_assert_cmphex(take64(r), ==, block->bitmap_offset);
        g_assert_cmphex(take64(r), ==, block->pages_offset);
        g_assert_cmpuint(take64(r) * SNAPSHOT_PAGE_SIZE, ==,
                         snapshot_block_data(block, SNAPSHOT_PAGE_SIZE));
        g_assert_cmpuint(take32(r), ==, n);
        g_assert_cmpmem(take(r, n), n, block->name, n);
        assert_zeros(take(r, padding), padding);
    }
}

/*
 * Check that @sum is the checksum of the bytes at @at, if there is the library.
 */
static void check_sum(const void *at, size_t length, uint64_t sum,
                      const char *what, uint64_t number)
{
#ifdef TEST_XXHASH
    uint64_t have = XXH3_64bits(at, length);

    if (have != sum) {
        g_test_message("%s %" PRIu64 " has sum 0x%" PRIx64
                       ", in the index it is 0x%" PRIx64, what, number, have,
                       sum);
        g_assert_not_reached();
    }
#endif
}

static void check_part(const Snapshot *s, Reader *r, uint32_t kind,
                       uint64_t offset, uint64_t end, bool has_sums)
{
    uint64_t sum;

    g_assert_cmpuint(take32(r), ==, kind);
    g_assert_cmpuint(take32(r), ==, 0);
    g_assert_cmphex(take64(r), ==, offset);
    g_assert_cmphex(take64(r), ==, end - offset);
    sum = take64(r);
    if (has_sums) {
        check_sum(s->data + offset, end - offset, sum, "part", kind);
    } else {
        g_assert_cmphex(sum, ==, 0);
    }
}

static void check_stream(const Snapshot *s, const SnapshotIndex *index,
                         Reader *r)
{
    g_assert_cmpuint(take32(r), ==, 2);
    g_assert_cmpuint(take32(r), ==, 0);
    check_part(s, r, 1, s->start, block_number(s, 0)->bitmap_offset,
               index->has_sums);
    check_part(s, r, 2, s->ram_end, index->sb.stream_end, index->has_sums);
}

static void check_cluster(const SnapshotBlock *block, uint64_t first,
                          uint64_t key, uint64_t sum)
{
#ifdef TEST_XXHASH
    uint64_t pages = block->length / SNAPSHOT_PAGE_SIZE;
    uint64_t sums[CLUSTER_BYTES / SNAPSHOT_PAGE_SIZE];
    bool data = false;
    size_t n;

    for (n = 0; n < ARRAY_SIZE(sums) && first + n < pages; n++) {
        sums[n] = cpu_to_le64(
            XXH3_64bits_withSeed(snapshot_page(block, first + n),
                                 SNAPSHOT_PAGE_SIZE, key));
        data |= snapshot_page_is_data(block, first + n);
    }
    if (!data) {
        g_assert_cmphex(sum, ==, 0);
        return;
    }
    g_assert_cmphex(XXH3_64bits_withSeed(sums, n * sizeof(sums[0]), key), ==,
                    sum);
#endif
}

/* Returns the end of this block's part. */
static const uint8_t *check_clusters(const SnapshotBlock *block,
                                     uint64_t key, const uint8_t *table)
{
    uint64_t pages = block->length / SNAPSHOT_PAGE_SIZE;

    for (uint64_t first = 0; first < pages;
         first += CLUSTER_BYTES / SNAPSHOT_PAGE_SIZE) {
        check_cluster(block, first, key, ldq_le_p(table));
        table += sizeof(uint64_t);
    }
    return table;
}

static void check_table(const Snapshot *s, const SnapshotIndex *index,
                        uint64_t key)
{
    const uint8_t *at = s->data + index->table_offset;
    const uint8_t *end = at + index->table_length;

    for (size_t i = 0; i < s->blocks->len; i++) {
        at = check_clusters(block_number(s, i), key, at);
        g_assert_true(at <= end);
    }
    g_assert_true(at == end);
}

static void check_sums(const Snapshot *s, SnapshotIndex *index, Reader *r)
{
    uint64_t n, key;

    g_assert_cmpuint(take32(r), ==, 2);
    g_assert_cmpuint(take32(r), ==, CLUSTER_BYTES);
    g_assert_cmpuint(take32(r), ==, CHUNK_BYTES);
    g_assert_cmpuint(take32(r), ==, 0);
    index->table_offset = take64(r);
    index->table_length = take64(r);
    g_assert_cmpuint(index->table_offset % 8, ==, 0);
    g_assert_cmpuint(index->table_offset, >=, index->sb.stream_end);
    g_assert_cmpuint(index->table_offset + index->table_length, <=, s->size);
    g_assert_cmpuint(take64(r), ==, s->blocks->len);
    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *block = block_number(s, i);

        check_sum(block->bitmap, bitmap_bytes(block), take64(r), "bitmap", i);
    }
    n = take64(r);
    g_assert_cmpuint(n, ==, DIV_ROUND_UP(index->table_length, CHUNK_BYTES));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = i * CHUNK_BYTES;

        check_sum(s->data + index->table_offset + at,
                  MIN(CHUNK_BYTES, index->table_length - at), take64(r),
                  "chunk", i);
    }
    key = take64(r);
    g_assert_cmphex(key, !=, 0);
    check_table(s, index, key);
}

/* The list and its sum, and each page of the packed copy. */
static void check_set(const Snapshot *s, const SnapshotIndex *index)
{
    Reader list = { s->data + index->list_offset, s->data + s->size };
    const uint8_t *packed = s->data + index->pack_offset;
    uint64_t pages = 0, data = 0;

    for (uint64_t i = 0; i < index->set_runs; i++) {
        uint32_t word = take32(&list), n = take32(&list);
        uint64_t first = take64(&list);
        const SnapshotBlock *block = block_number(s, word & 0xffff);

        g_assert_cmpuint(word >> 16, <=, 1);
        g_assert_cmpuint(n, >, 0);
        for (uint64_t page = first; page < first + n; page++) {
            const uint8_t *want = snapshot_page(block, page);

            if (word >> 16 && index->pack_offset) {
                g_assert_cmpmem(want, SNAPSHOT_PAGE_SIZE, packed +
                                data * SNAPSHOT_PAGE_SIZE, SNAPSHOT_PAGE_SIZE);
            } else if (!(word >> 16)) {
                g_assert_true(buffer_is_zero(want, SNAPSHOT_PAGE_SIZE));
            }
            data += word >> 16;
        }
        pages += n;
    }
    g_assert_cmpuint(pages, ==, index->set_pages);
    g_assert_cmpuint(index->pack_length, ==,
                     index->pack_offset ? data * SNAPSHOT_PAGE_SIZE : 0);
    for (uint64_t at = 0; at < index->pack_length; at += 64 * KiB) {
        check_sum(packed + at, MIN(64 * KiB, index->pack_length - at),
                  take64(&list), "chunk", at / (64 * KiB));
    }
    check_sum(s->data + index->list_offset, list.at - s->data -
              index->list_offset, index->list_sum, "list", 0);
}

static void decode_set(const Snapshot *s, SnapshotIndex *index, Reader *r)
{
    index->set_kind = take32(r);
    g_assert_cmpuint(index->set_kind, >=, 1);
    g_assert_cmpuint(index->set_kind, <=, 2);
    g_assert_cmpuint(take32(r), ==, 0);
    g_assert_cmpuint(take64(r), >, 0);
    index->set_pages = take64(r);
    index->set_runs = take64(r);
    index->list_offset = take64(r);
    index->list_sum = take64(r);
    index->pack_offset = take64(r);
    index->pack_length = take64(r);
    check_set(s, index);
}

/* The file is zero wherever the bitmap says that a page is. */
static void check_clean(const Snapshot *s)
{
    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *block = block_number(s, i);

        for (uint64_t page = 0; page < block->length / SNAPSHOT_PAGE_SIZE;
             page++) {
            g_assert_true(snapshot_page_is_data(block, page) ||
                          buffer_is_zero(s->data + block->pages_offset +
                                         page * SNAPSHOT_PAGE_SIZE,
                                         SNAPSHOT_PAGE_SIZE));
        }
    }
}

static void split_sections(Reader *r, uint32_t count, Reader *sections)
{
    while (count--) {
        uint32_t type = take32(r), flags = take32(r);
        uint64_t length = take64(r), padding = -length % 8;

        g_assert_cmpuint(type, >=, MACHINE);
        g_assert_cmpuint(type, <, SECTIONS);
        g_assert_cmpuint(flags, ==, type == BLOCKS || type == STREAM);
        g_assert_null(sections[type].at);
        sections[type].at = take(r, length);
        sections[type].end = r->at;
        assert_zeros(take(r, padding), padding);
    }
    g_assert_true(r->at == r->end);
}

static void decode_sections(const Snapshot *s, SnapshotIndex *index,
                            Reader *sections)
{
    index->has_sums = sections[SUMS].at;
    if (sections[MACHINE].at) {
        decode_machine(index, &sections[MACHINE]);
    }
    check_blocks(s, &sections[BLOCKS]);
    check_stream(s, index, &sections[STREAM]);
    if (index->has_sums) {
        check_sums(s, index, &sections[SUMS]);
    }
    index->has_set = sections[WORKING_SET].at;
    if (index->has_set) {
        decode_set(s, index, &sections[WORKING_SET]);
    }
    index->clean = sections[CLEAN].at;
    if (index->clean) {
        check_clean(s);
    }
    /* Where an appender may write, for other appenders only. */
    sections[SPACE].at = sections[SPACE].end;
    /* For people; the unit test "options" decodes it. */
    sections[OPTIONS].at = sections[OPTIONS].end;
    for (int i = MACHINE; i < SECTIONS; i++) {
        g_assert_true(sections[i].at == sections[i].end);
    }
}

static const uint8_t *superblock_slot(const Snapshot *s)
{
    const SnapshotBlock *first = block_number(s, 0);
    uint64_t offset = first->pages_offset - SUPERBLOCK_BYTES;

    return first->bitmap_offset + bitmap_bytes(first) <= offset
           ? s->data + offset : NULL;
}

SnapshotIndex *snapshot_index_open(const Snapshot *s)
{
    SnapshotIndex *index = g_new0(SnapshotIndex, 1);
    const SnapshotSuperblock *sb = &index->sb;
    const uint8_t *slot = superblock_slot(s);
    Reader sections[SECTIONS] = { };
    uint32_t count;
    Reader r;

    g_assert_nonnull(slot);
    g_assert_true(snapshot_superblock(slot, &index->sb));
    g_assert_cmpuint(sb->state, ==, SUPERBLOCK_COMPLETE);
    g_assert_cmpuint(sb->start, ==, s->start);
    g_assert_cmpuint(sb->index_offset % 4096, ==, 0);
    g_assert_cmpuint(sb->index_offset, >=, sb->stream_end);
    g_assert_cmpuint(sb->index_offset, <, s->size);
    r.at = s->data + sb->index_offset;
    r.end = s->data + s->size;
    g_assert_cmphex(crc32_castagnoli(r.at, sb->index_length), ==,
                    sb->index_crc);
    r.end = r.at + sb->index_length;
    g_assert_cmpmem(take(&r, 8), 8, "QFXRINDX", 8);
    g_assert_cmpuint(take32(&r), ==, VERSION);
    count = take32(&r);
    g_assert_cmpmem(take(&r, 16), 16, sb->id, 16);
    split_sections(&r, count, sections);
    decode_sections(s, index, sections);
    return index;
}

void snapshot_index_close(SnapshotIndex *index)
{
    g_free(index->machine_type);
    g_free(index->version);
    g_free(index->name);
    g_free(index);
}

void snapshot_check_index(const Snapshot *s, bool sums)
{
    g_autoptr(SnapshotIndex) index = snapshot_index_open(s);

#ifdef TEST_XXHASH
    g_assert_cmpint(index->has_sums, ==, sums);
#endif
    g_assert_true(index->has_machine);
    g_assert_cmpuint(index->sb.index_offset + index->sb.index_length, ==,
                     s->size);
}

void snapshot_check_no_index(const Snapshot *s)
{
    const uint8_t *slot = superblock_slot(s);

    g_assert_true(!slot || buffer_is_zero(slot, SUPERBLOCK_BYTES));
}

uint64_t snapshot_stream_end(const Snapshot *s)
{
    const uint8_t *slot = superblock_slot(s);
    SnapshotSuperblock sb;

    return slot && !memcmp(slot, "QEMUFXRM", 8) &&
           snapshot_superblock(slot, &sb) && sb.state == SUPERBLOCK_COMPLETE
           ? sb.stream_end : s->size;
}

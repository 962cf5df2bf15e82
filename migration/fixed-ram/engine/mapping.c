/*
 * fixed-ram: guest memory that is a private mapping of the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/madvise.h"
#include "copies.h"
#include "mapping.h"
#include "numa.h"
#include "../trace.h"

/* Linux's default for the mappings of a process. */
#define MAX_MAP_COUNT       65530
/*
 * A cover splits the file's mapping in two, so it costs two mappings.  The
 * other half of what the host allows is for QEMU and for pages that the guest
 * gives back.
 */
#define MAPPINGS_A_COVER    2
#define SHARE_FOR_COVERS    2

/*
 * The kernel cannot always join a piece that is mapped again with what is
 * beside it, so that mappings become more.  After so many the whole block is
 * mapped again.
 */
#define PIECES_MAX          512

typedef struct MappedBlock {
    char *name;
    uint64_t length;            /* bytes */
    uint64_t pages_offset;      /* in the file */
    GArray *covers;             /* of FixedRamRun */
    /* Set when it is mapped. */
    uint8_t *host;              /* NULL: not mapped, or unplugged since */
    bool reserve;
    FixedRamMappingAdvice advice;
    void *policy;               /* a page with the memory's NUMA policy */
    /*
     * A bit a page of the host: it was discarded or replaced, so it may not be
     * the file's any more.  NULL: no page was.
     */
    unsigned long *replaced;
    unsigned pieces;            /* mapped again since the whole block was */
} MappedBlock;

struct FixedRamMapping {
    FixedRamSource *source;
    size_t count;
    MappedBlock *blocks;        /* as in the map */
};

size_t fixed_ram_mapping_limit(void)
{
    g_autofree char *text = NULL;
    uint64_t maximum = MAX_MAP_COUNT;

    if (g_file_get_contents("/proc/sys/vm/max_map_count", &text, NULL, NULL)) {
        maximum = g_ascii_strtoull(text, NULL, 10);
    }
    return maximum / SHARE_FOR_COVERS / MAPPINGS_A_COVER;
}

/*
 * The plan
 */

/* Does the file have a hole there, which reads as zeros? */
static bool is_hole(FixedRamSource *source, uint64_t offset, uint64_t length)
{
    return fixed_ram_source_next_data(source, offset) >= offset + length;
}

/*
 * Cover runs of zero pages that are longer than @gap, and shorter ones unless
 * the file is zero there, too.  Returns false if there are more than @left.
 */
static bool plan_covers(const FixedRamBlock *block, MappedBlock *mapped,
                        FixedRamSource *source, bool clean, uint64_t gap,
                        size_t left)
{
    uint64_t at = 0;

    g_array_set_size(mapped->covers, 0);
    while (at < block->length) {
        FixedRamRun data, zero = { .offset = at };

        if (!fixed_ram_block_next_data(block, at, block->length,
                                       clean ? gap : 0, &data)) {
            data = (FixedRamRun) { .offset = block->length };
        }
        zero.length = data.offset - at;
        if (zero.length > gap ||
            (zero.length && !clean &&
             !is_hole(source, block->pages_offset + at, zero.length))) {
            g_array_append_val(mapped->covers, zero);
        }
        at = data.offset + data.length;
        if (mapped->covers->len > left) {
            return false;
        }
    }
    return true;
}

static bool plan_block(FixedRamMapping *mapping, const FixedRamBlock *block,
                       bool clean, uint64_t gap, size_t left)
{
    MappedBlock *mapped = &mapping->blocks[block->number];

    mapped->length = block->length;
    mapped->pages_offset = block->pages_offset;
    return plan_covers(block, mapped, mapping->source, clean, gap, left);
}

/* Returns false if there are too many covers. */
static bool plan(FixedRamMapping *mapping, const FixedRamMap *map, bool clean,
                 uint64_t gap, size_t limit)
{
    size_t covers = 0;

    for (size_t i = 0; i < mapping->count; i++) {
        if (!plan_block(mapping, fixed_ram_map_block(map, i), clean, gap,
                        limit - covers)) {
            return false;
        }
        covers += mapping->blocks[i].covers->len;
    }
    trace_fixed_ram_mapping_plan(mapping->source->name, clean, gap, covers,
                                 limit);
    return true;
}

/* The longest block: with a gap as long no zero page needs a cover. */
static uint64_t longest(const FixedRamMap *map)
{
    uint64_t length = 0;

    for (size_t i = 0; i < map->blocks->len; i++) {
        length = MAX(length, fixed_ram_map_block(map, i)->length);
    }
    return length;
}

/* Covers that merely save memory must leave room for those that are needed. */
static bool plan_to_fit(FixedRamMapping *mapping, const FixedRamMap *map,
                        bool clean, size_t limit, Error **errp)
{
    uint64_t most = longest(map);

    for (uint64_t gap = FIXED_RAM_EXTENT_BYTES; ; gap *= 2) {
        if (plan(mapping, map, clean, gap, limit)) {
            return true;
        }
        if (gap >= most) {
            break;
        }
    }
    error_setg(errp, "snapshot '%s' has old bytes in the place of zero pages, "
               "and to cover them takes more than %zu mappings; "
               "'qemu-snapshot convert' makes a copy without them",
               mapping->source->name, limit);
    return false;
}

static bool check_block(const FixedRamBlock *block, FixedRamSource *source,
                        Error **errp)
{
    size_t host_page = qemu_real_host_page_size();

    if (!QEMU_IS_ALIGNED(block->pages_offset | block->length |
                         block->page_size, host_page)) {
        error_setg(errp, "snapshot '%s': block '%s' has 0x%" PRIx64 " bytes in "
                   "pages of %" PRIu64 " at offset 0x%" PRIx64 ", which the "
                   "host cannot map by its pages of %zu bytes", source->name,
                   block->name, block->length, block->page_size,
                   block->pages_offset, host_page);
        return false;
    }
    return true;
}

FixedRamMapping *fixed_ram_mapping_new(const FixedRamMap *map,
                                       FixedRamSource *source, bool clean,
                                       size_t limit, Error **errp)
{
    g_autoptr(FixedRamMapping) mapping = g_new0(FixedRamMapping, 1);

    mapping->source = fixed_ram_source_ref(source);
    mapping->count = map->blocks->len;
    mapping->blocks = g_new0(MappedBlock, mapping->count);
    for (size_t i = 0; i < mapping->count; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);

        mapping->blocks[i].name = g_strdup(block->name);
        mapping->blocks[i].covers = g_array_new(false, false,
                                                sizeof(FixedRamRun));
        if (!check_block(block, source, errp)) {
            return NULL;
        }
    }
    if (fixed_ram_source_map_fd(source) < 0) {
        error_setg(errp, "snapshot '%s' cannot be mapped: it is no file",
                   source->name);
        return NULL;
    }
    return plan_to_fit(mapping, map, clean, limit, errp)
           ? g_steal_pointer(&mapping) : NULL;
}

/*
 * Memory
 */

/* Returns 0 or a negative errno.  @fd is -1 for anonymous memory. */
static int map_range(const MappedBlock *block, uint8_t *at, uint64_t length,
                     int fd, uint64_t offset)
{
    int flags = MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0) |
                (block->reserve ? 0 : MAP_NORESERVE);

    return mmap(at, length, PROT_READ | PROT_WRITE, flags, fd,
                offset) == MAP_FAILED ? -errno : 0;
}

/* Advice is only advice: QEMU ignores failures of it elsewhere, too. */
static void advise(const MappedBlock *block, uint8_t *at, uint64_t length)
{
    if (!block->advice.fork) {
        qemu_madvise(at, length, QEMU_MADV_DONTFORK);
    }
    if (!block->advice.dump) {
        qemu_madvise(at, length, QEMU_MADV_DONTDUMP);
    }
    if (block->advice.merge) {
        qemu_madvise(at, length, QEMU_MADV_MERGEABLE);
    }
    if (block->policy) {
        fixed_ram_numa_follow(at, length, block->policy);
    }
}

static int cover(const MappedBlock *block, uint8_t *at, uint64_t length)
{
    int ret = map_range(block, at, length, -1, 0);

    if (!ret) {
        qemu_madvise(at, length, QEMU_MADV_HUGEPAGE);
    }
    return ret;
}

/* The policy belongs to the old mapping: remember it in a page of its own. */
static void keep_policy(MappedBlock *block)
{
    size_t size = qemu_real_host_page_size();
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page != MAP_FAILED) {
        fixed_ram_numa_follow(page, size, block->host);
        block->policy = page;
    }
}

/* A guest touches memory at random, and clones wait for each other. */
static void expect(const MappedBlock *block, bool in_order)
{
    qemu_madvise(block->host, block->length,
                 in_order ? MADV_SEQUENTIAL : MADV_RANDOM);
}

static int map_block(const MappedBlock *block, int fd)
{
    int ret = map_range(block, block->host, block->length, fd,
                        block->pages_offset);

    if (!ret) {
        expect(block, false);
    }
    for (size_t i = 0; !ret && i < block->covers->len; i++) {
        const FixedRamRun *run = &g_array_index(block->covers, FixedRamRun, i);

        ret = cover(block, block->host + run->offset, run->length);
    }
    return ret;
}

bool fixed_ram_mapping_apply(FixedRamMapping *mapping, size_t i, void *host,
                             bool reserve, const FixedRamMappingAdvice *advice,
                             Error **errp)
{
    MappedBlock *block = &mapping->blocks[i];
    int ret;

    block->host = host;
    block->reserve = reserve;
    block->advice = *advice;
    keep_policy(block);
    ret = map_block(block, fixed_ram_source_map_fd(mapping->source));
    if (ret) {
        error_setg_errno(errp, -ret, "snapshot '%s': block '%s': cannot map "
                         "0x%" PRIx64 " bytes at offset 0x%" PRIx64,
                         mapping->source->name, block->name, block->length,
                         block->pages_offset);
        return false;
    }
    advise(block, block->host, block->length);
    return true;
}

void fixed_ram_mapping_expect(const FixedRamMapping *mapping, bool in_order)
{
    for (size_t i = 0; i < mapping->count; i++) {
        if (mapping->blocks[i].host) {
            expect(&mapping->blocks[i], in_order);
        }
    }
}

static MappedBlock *find_block(const FixedRamMapping *mapping,
                               const uint8_t *host, size_t length)
{
    for (size_t i = 0; i < mapping->count; i++) {
        MappedBlock *block = &mapping->blocks[i];

        if (block->host && host < block->host + block->length &&
            host + length > block->host) {
            return block;
        }
    }
    return NULL;
}

bool fixed_ram_mapping_has(const FixedRamMapping *mapping, const void *host,
                           size_t length)
{
    return find_block(mapping, host, length);
}

static void set_replaced(MappedBlock *block, const uint8_t *host,
                         size_t length)
{
    size_t page = qemu_real_host_page_size();

    if (!block->replaced) {
        block->replaced = bitmap_new(block->length / page);
    }
    bitmap_set(block->replaced, (host - block->host) / page, length / page);
}

void fixed_ram_mapping_replaced(FixedRamMapping *mapping, const void *host,
                                size_t length)
{
    MappedBlock *block = find_block(mapping, host, length);

    if (block) {
        set_replaced(block, host, length);
    }
}

int fixed_ram_mapping_discard(FixedRamMapping *mapping, void *host,
                              size_t length)
{
    MappedBlock *block = find_block(mapping, host, length);
    int ret = cover(block, host, length);

    if (!ret) {
        set_replaced(block, host, length);
        advise(block, host, length);
    } else if (ret == -ENOMEM) {
        memset(host, 0, length);
    }
    trace_fixed_ram_mapping_discard(block->name, (uint8_t *)host - block->host,
                                    length, -ret);
    return ret == -ENOMEM ? 0 : ret;
}

uint64_t fixed_ram_mapping_length(const FixedRamMapping *mapping,
                                  const char *name, const void *host)
{
    const MappedBlock *block = find_block(mapping, host, 1);

    return block && block->host == host && g_str_equal(block->name, name)
           ? block->length : 0;
}

const char *fixed_ram_mapping_unplugged(const FixedRamMapping *mapping)
{
    for (size_t i = 0; i < mapping->count; i++) {
        if (!mapping->blocks[i].host) {
            return mapping->blocks[i].name;
        }
    }
    return NULL;
}

/*
 * Back to the file
 */

typedef struct Restore {
    const FixedRamMapping *mapping;
    MappedBlock *block;
    int pagemap;                /* see copies.h */
    FixedRamMappingChanged *changed;
} Restore;

static int map_piece(const Restore *r, uint64_t from, uint64_t to)
{
    const MappedBlock *block = r->block;
    uint8_t *at = block->host + from;
    int ret;

    if (from >= to) {
        return 0;
    }
    ret = map_range(block, at, to - from,
                    fixed_ram_source_map_fd(r->mapping->source),
                    block->pages_offset + from);
    if (!ret) {
        qemu_madvise(at, to - from, MADV_RANDOM);
        advise(block, at, to - from);
        r->changed(block->name, from, to - from);
    }
    return ret;
}

/*
 * @cover: number of the first cover that may reach into the range; moved on.
 * Covers stay what they are, anonymous memory.
 */
static int map_between_covers(const Restore *r, uint64_t from, uint64_t to,
                              size_t *cover)
{
    const GArray *covers = r->block->covers;

    for (; *cover < covers->len; (*cover)++) {
        const FixedRamRun *run = &g_array_index(covers, FixedRamRun, *cover);
        int ret;

        if (run->offset >= to) {
            break;
        }
        ret = map_piece(r, from, run->offset);
        if (ret) {
            return ret;
        }
        from = MAX(from, run->offset + run->length);
        if (from > to) {
            /* It may reach into the next range, too. */
            return 0;
        }
    }
    return map_piece(r, from, to);
}

static int map_all(const Restore *r)
{
    MappedBlock *block = r->block;
    int ret = map_block(block, fixed_ram_source_map_fd(r->mapping->source));

    if (!ret) {
        advise(block, block->host, block->length);
        block->pieces = 0;
        r->changed(block->name, 0, block->length);
    }
    return ret;
}

static int map_replaced(const Restore *r)
{
    MappedBlock *block = r->block;
    size_t size = qemu_real_host_page_size();
    uint64_t pages = block->replaced ? block->length / size : 0;
    uint64_t page = find_next_bit(block->replaced, pages, 0);
    size_t cover = 0;
    int ret = 0;

    while (!ret && page < pages) {
        uint64_t end = find_next_zero_bit(block->replaced, pages, page);

        if (++block->pieces > PIECES_MAX) {
            return map_all(r);
        }
        ret = map_between_covers(r, page * size, end * size, &cover);
        page = find_next_bit(block->replaced, pages, end);
    }
    return ret;
}

static int drop(const Restore *r, uint8_t *start, uint8_t *end)
{
    if (qemu_madvise(start, end - start, QEMU_MADV_DONTNEED)) {
        return -errno;
    }
    r->changed(r->block->name, start - r->block->host, end - start);
    return 0;
}

static int drop_copies(const Restore *r)
{
    uint8_t *at = r->block->host, *end = at + r->block->length;
    FixedRamCopies copies[64];

    while (at < end) {
        ssize_t n = fixed_ram_copies_find(r->pagemap, &at, end, copies,
                                          ARRAY_SIZE(copies));

        if (n < 0) {
            /* Clean pages go, too; they are read again. */
            return drop(r, at, end);
        }
        for (ssize_t i = 0; i < n; i++) {
            int ret = drop(r, copies[i].start, copies[i].end);

            if (ret) {
                return ret;
            }
        }
    }
    return 0;
}

static bool restore_block(const Restore *r, MappedBlock *block, Error **errp)
{
    int ret = map_replaced(r);

    if (!ret) {
        g_free(g_steal_pointer(&block->replaced));
        ret = drop_copies(r);
    }
    if (ret) {
        error_setg_errno(errp, -ret, "snapshot '%s': block '%s' cannot be "
                         "restored", r->mapping->source->name, block->name);
    }
    return !ret;
}

bool fixed_ram_mapping_restore(FixedRamMapping *mapping,
                               FixedRamMappingChanged *changed, Error **errp)
{
    Restore r = {
        .mapping = mapping,
        .pagemap = fixed_ram_copies_open(),
        .changed = changed,
    };
    bool ok = true;

    for (size_t i = 0; ok && i < mapping->count; i++) {
        MappedBlock *block = &mapping->blocks[i];

        r.block = block;
        ok = !block->host || restore_block(&r, block, errp);
    }
    if (r.pagemap >= 0) {
        close(r.pagemap);
    }
    return ok;
}

static void drop_policy(MappedBlock *block)
{
    if (block->policy) {
        munmap(block->policy, qemu_real_host_page_size());
        block->policy = NULL;
    }
}

void fixed_ram_mapping_forget(FixedRamMapping *mapping, const void *host)
{
    MappedBlock *block = find_block(mapping, host, 1);

    if (block) {
        block->host = NULL;
        drop_policy(block);
        g_free(g_steal_pointer(&block->replaced));
    }
}

void fixed_ram_mapping_free(FixedRamMapping *mapping)
{
    if (!mapping) {
        return;
    }
    for (size_t i = 0; i < mapping->count; i++) {
        g_free(mapping->blocks[i].name);
        g_array_unref(mapping->blocks[i].covers);
        drop_policy(&mapping->blocks[i]);
        g_free(mapping->blocks[i].replaced);
    }
    fixed_ram_source_unref(mapping->source);
    g_free(mapping->blocks);
    g_free(mapping);
}

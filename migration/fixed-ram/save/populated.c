/*
 * fixed-ram: which pages of a mapping may hold data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/magic.h>
#include <sys/vfs.h>
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "populated.h"
#include "../util/pagemap.h"
#include "../util/sparse.h"

/* /proc/self/pagemap has a word for each page of the host. */
#define PAGEMAP_SWAPPED         (1ULL << 62)
#define PAGEMAP_PRESENT         (1ULL << 63)

#define HUGE_BYTES              (2 * MiB)

struct FixedRamPopulated {
    FixedRamMemory mem;
    size_t page_size;
    /* Which oracles to ask; a page may hold data if any of them says so */
    bool by_tables;
    bool by_file;
    int pagemap;                /* /proc/self/pagemap, or -1 */
    bool scan;                  /* @pagemap knows PAGEMAP_SCAN */
};

/* A question: pages from @offset to @end of the mapping. */
typedef struct Query {
    const FixedRamPopulated *populated;
    uint64_t offset;
    uint64_t end;
    unsigned long *pages;       /* the answer */
} Query;

/* @start, @end: in the mapping; the range may exceed the query */
static void add_range(const Query *query, uint64_t start, uint64_t end)
{
    size_t page_size = query->populated->page_size;
    uint64_t first = MAX(start, query->offset) - query->offset;
    uint64_t last = MIN(end, query->end) - query->offset;

    first /= page_size;
    bitmap_set(query->pages, first, DIV_ROUND_UP(last, page_size) - first);
}

/* Ask for ranges of pages that are there, except for the kernel's zero page. */
static struct pm_scan_arg scan_arg(const FixedRamPopulated *p, uint64_t offset,
                                   uint64_t end, struct page_region *ranges,
                                   size_t n)
{
    return (struct pm_scan_arg) {
        .size = sizeof(struct pm_scan_arg),
        .start = (uintptr_t)p->mem.host + offset,
        .end = (uintptr_t)p->mem.host + end,
        .vec = (uintptr_t)ranges,
        .vec_len = n,
        .category_inverted = PAGE_IS_PFNZERO,
        .category_mask = PAGE_IS_PFNZERO,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    };
}

static bool add_scanned(const Query *query)
{
    const FixedRamPopulated *p = query->populated;
    uintptr_t host = (uintptr_t)p->mem.host;
    struct page_region ranges[64];
    struct pm_scan_arg arg = scan_arg(p, query->offset, query->end, ranges,
                                      ARRAY_SIZE(ranges));

    do {
        int n = ioctl(p->pagemap, PAGEMAP_SCAN, &arg);

        if (n < 0) {
            return false;
        }
        for (int i = 0; i < n; i++) {
            add_range(query, ranges[i].start - host, ranges[i].end - host);
        }
        arg.start = arg.walk_end;
    } while (arg.start < arg.end);
    return true;
}

static bool add_listed(const Query *query)
{
    const FixedRamPopulated *p = query->populated;
    size_t page_size = qemu_real_host_page_size();
    uintptr_t host = (uintptr_t)p->mem.host;
    uint64_t entries[512];

    for (uint64_t pos = query->offset; pos < query->end; ) {
        size_t n = MIN(DIV_ROUND_UP(query->end - pos, page_size),
                       ARRAY_SIZE(entries));
        off_t entry = (host + pos) / page_size * sizeof(*entries);

        if (pread(p->pagemap, entries, n * sizeof(*entries), entry) !=
            n * sizeof(*entries)) {
            return false;
        }
        for (size_t i = 0; i < n; i++, pos += page_size) {
            if (entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) {
                add_range(query, pos, pos + page_size);
            }
        }
    }
    return true;
}

static bool add_by_tables(const Query *query)
{
    return query->populated->scan ? add_scanned(query) : add_listed(query);
}

static bool add_by_file(const Query *query)
{
    const FixedRamMemory *mem = &query->populated->mem;
    uint64_t pos = query->offset;

    while (pos < query->end) {
        off_t data = lseek(mem->fd, mem->fd_offset + pos, SEEK_DATA);
        off_t hole;

        if (data < 0) {
            return errno == ENXIO;
        }
        if (data >= mem->fd_offset + query->end) {
            break;
        }
        hole = lseek(mem->fd, data, SEEK_HOLE);
        if (data < mem->fd_offset + pos || hole <= data) {
            return false;
        }
        add_range(query, data - mem->fd_offset, hole - mem->fd_offset);
        pos = hole - mem->fd_offset;
    }
    return true;
}

static void add_absent(const Query *query)
{
    const FixedRamPopulated *p = query->populated;
    uint64_t first = query->offset / p->page_size;
    uint64_t end = query->end / p->page_size, page = first;

    while (p->mem.absent &&
           (page = find_next_bit(p->mem.absent, end, page)) < end) {
        set_bit(page++ - first, query->pages);
    }
}

void fixed_ram_populated_get(const FixedRamPopulated *populated,
                             uint64_t offset, uint64_t length,
                             unsigned long *pages)
{
    Query query = {
        .populated = populated,
        .offset = offset,
        .end = offset + length,
        .pages = pages,
    };
    uint64_t n = length / populated->page_size;

    assert(offset + length <= populated->mem.length);
    bitmap_zero(pages, n);
    if ((!populated->by_tables && !populated->by_file) ||
        (populated->by_tables && !add_by_tables(&query)) ||
        (populated->by_file && !add_by_file(&query))) {
        bitmap_set(pages, 0, n);
    }
    add_absent(&query);
}

/* Returns @offset if the kernel does not tell. */
static uint64_t next_by_tables(const FixedRamPopulated *p, uint64_t offset,
                               uint64_t end)
{
    struct page_region range;
    struct pm_scan_arg arg = scan_arg(p, offset, end, &range, 1);
    int n;

    if (!p->scan) {
        return offset;
    }
    arg.max_pages = 1;
    n = ioctl(p->pagemap, PAGEMAP_SCAN, &arg);
    if (n < 0) {
        return offset;
    }
    return n ? range.start - (uintptr_t)p->mem.host : end;
}

static uint64_t next_by_file(const FixedRamPopulated *p, uint64_t offset,
                             uint64_t end)
{
    off_t data = lseek(p->mem.fd, p->mem.fd_offset + offset, SEEK_DATA);

    if (data < 0) {
        return errno == ENXIO ? end : offset;
    }
    return MIN(data - p->mem.fd_offset, end);
}

static uint64_t next_populated(const FixedRamPopulated *p, uint64_t offset,
                               uint64_t end)
{
    uint64_t next = end;

    assert(end <= p->mem.length);
    if (!p->by_tables && !p->by_file) {
        return offset;
    }
    if (p->by_tables) {
        next = next_by_tables(p, offset, end);
    }
    if (p->by_file) {
        next = next_by_file(p, offset, next);
    }
    /* Pages of the host may be smaller. */
    return ROUND_DOWN(next, p->page_size);
}

bool fixed_ram_populated_any(const FixedRamPopulated *populated,
                             uint64_t offset, uint64_t length)
{
    return next_populated(populated, offset, offset + length) <
           offset + length;
}

uint64_t fixed_ram_populated_next(const FixedRamPopulated *populated,
                                  uint64_t offset, uint64_t end)
{
    const FixedRamPopulated *p = populated;
    uint64_t next = next_populated(p, offset, end);

    if (p->mem.absent) {
        next = find_next_bit(p->mem.absent, next / p->page_size,
                             offset / p->page_size) * p->page_size;
    }
    return next;
}

bool fixed_ram_populated_known(const FixedRamPopulated *populated)
{
    return populated->by_tables || populated->by_file;
}

int fixed_ram_populated_writable(const FixedRamPopulated *populated,
                                 uint64_t *offset, uint64_t end,
                                 FixedRamWritable *ranges, size_t count)
{
    const FixedRamPopulated *p = populated;
    struct page_region found[256];
    struct pm_scan_arg arg = scan_arg(p, *offset, end, found,
                                      MIN(count, ARRAY_SIZE(found)));
    int n;

    /* A page of a file may be absent in the tables, and yet hold data. */
    if (!p->scan || !p->by_tables || p->mem.fd >= 0) {
        return -1;
    }
    arg.category_mask |= PAGE_IS_WRITTEN;
    arg.return_mask = PAGE_IS_WRITTEN;
    n = ioctl(p->pagemap, PAGEMAP_SCAN, &arg);
    for (int i = 0; i < n; i++) {
        ranges[i].offset = found[i].start - (uintptr_t)p->mem.host;
        ranges[i].length = found[i].end - found[i].start;
    }
    *offset = arg.walk_end - (uintptr_t)p->mem.host;
    return n;
}

static void add_extents(const struct page_region *range, GPtrArray *extents)
{
    uintptr_t at = ROUND_UP(range->start, HUGE_BYTES);

    for (; at + HUGE_BYTES <= range->end; at += HUGE_BYTES) {
        g_ptr_array_add(extents, (void *)at);
    }
}

void fixed_ram_populated_huge(const FixedRamPopulated *populated,
                              GPtrArray *extents)
{
    const FixedRamPopulated *p = populated;
    struct page_region found[64];
    struct pm_scan_arg arg = scan_arg(p, 0, p->mem.length, found,
                                      ARRAY_SIZE(found));
    int n = p->scan && p->by_tables ? 1 : 0;

    arg.category_mask = PAGE_IS_HUGE;
    arg.category_inverted = 0;
    arg.return_mask = PAGE_IS_HUGE;
    while (n > 0 && arg.start < arg.end) {
        n = ioctl(p->pagemap, PAGEMAP_SCAN, &arg);
        for (int i = 0; i < n; i++) {
            add_extents(&found[i], extents);
        }
        arg.start = arg.walk_end;
    }
}

/* A page of the host that was written to: find out which parts are not zero. */
static void look_at_page(const uint8_t *bytes, size_t length, size_t from,
                         size_t end, unsigned long *parts)
{
    size_t at = ROUND_DOWN(from, FIXED_RAM_PART_BYTES);

    for (; at < MIN(end, length); at += FIXED_RAM_PART_BYTES) {
        size_t n = MIN(length - at, FIXED_RAM_PART_BYTES);

        if (!buffer_is_zero(bytes + at, n)) {
            set_bit(at / FIXED_RAM_PART_BYTES, parts);
        }
    }
}

unsigned long *fixed_ram_populated_parts(const unsigned long *bits,
                                         size_t length)
{
    unsigned long *parts = bitmap_new(fixed_ram_sparse_parts(length * 8));
    size_t size = qemu_real_host_page_size(), pages;
    const uint8_t *bytes = (const uint8_t *)bits;
    FixedRamMemory mem = { .host = QEMU_ALIGN_PTR_DOWN(bytes, size), .fd = -1 };
    size_t before = bytes - mem.host;
    g_autofree unsigned long *touched = NULL;
    FixedRamPopulated *p;

    mem.length = ROUND_UP(before + length, size);
    pages = mem.length / size;
    touched = bitmap_new(pages);
    p = fixed_ram_populated_new(&mem, size);
    fixed_ram_populated_get(p, 0, mem.length, touched);
    fixed_ram_populated_free(p);
    for (size_t i = find_first_bit(touched, pages); i < pages;
         i = find_next_bit(touched, pages, i + 1)) {
        size_t at = i * size;

        look_at_page(bytes, length, at - MIN(at, before), at + size - before,
                     parts);
    }
    return parts;
}

/*
 * Before Linux 6.4 a page of tmpfs that is just becoming part of a huge page
 * looks like a hole.  PAGEMAP_SCAN is younger than that.
 */
static bool file_knows_holes(const FixedRamPopulated *p)
{
    struct statfs fs;
    struct stat st;

    /* Device nodes lie in a tmpfs, but do not know their holes. */
    return p->scan && !fstatfs(p->mem.fd, &fs) && fs.f_type == TMPFS_MAGIC &&
           !fstat(p->mem.fd, &st) && S_ISREG(st.st_mode);
}

static void choose(FixedRamPopulated *p)
{
    if (p->mem.fd < 0) {
        /* The kernel may have swapped out shared pages: no table says so. */
        p->by_tables = p->pagemap >= 0 && !p->mem.shared;
    } else if (file_knows_holes(p)) {
        p->by_file = true;
        /* A private mapping has pages of its own where it was written to. */
        p->by_tables = !p->mem.shared;
    }
}

static bool can_scan(const FixedRamPopulated *p)
{
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .start = (uintptr_t)p->mem.host,
        .end = (uintptr_t)p->mem.host,
    };

    return !getenv(FIXED_RAM_NO_PAGEMAP_SCAN) &&
           !ioctl(p->pagemap, PAGEMAP_SCAN, &arg);
}

FixedRamPopulated *fixed_ram_populated_new(const FixedRamMemory *mem,
                                           size_t page_size)
{
    FixedRamPopulated *p = g_new0(FixedRamPopulated, 1);

    p->mem = *mem;
    p->page_size = page_size;
    p->pagemap = -1;
    if (!getenv(FIXED_RAM_NO_PAGEMAP)) {
        p->pagemap = qemu_open(FIXED_RAM_PAGEMAP, O_RDONLY, NULL);
    }
    p->scan = p->pagemap >= 0 && can_scan(p);
    choose(p);
    return p;
}

void fixed_ram_populated_free(FixedRamPopulated *populated)
{
    if (populated) {
        if (populated->pagemap >= 0) {
            qemu_close(populated->pagemap);
        }
        g_free(populated);
    }
}

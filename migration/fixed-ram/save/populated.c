/*
 * fixed-ram: which pages of a mapping hold something
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include "qemu/bitmap.h"
#include "qemu/units.h"
#include "populated.h"

#ifndef PAGEMAP_SCAN            /* Linux 6.7 */
#define PAGE_IS_PRESENT         (1 << 3)
#define PAGE_IS_SWAPPED         (1 << 4)
#define PAGE_IS_PFNZERO         (1 << 5)

struct page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct pm_scan_arg {
    uint64_t size;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

#define PAGEMAP_SCAN            _IOWR('f', 16, struct pm_scan_arg)
#endif

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC         0x958458f6
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC         0x58465342
#endif

/* A word a page in /proc/self/pagemap */
#define PAGEMAP_SWAPPED         (1ULL << 62)
#define PAGEMAP_PRESENT         (1ULL << 63)

struct FixedRamPopulated {
    FixedRamMemory mem;
    size_t page_size;
    /* A page holds something if one of those that count says so. */
    bool by_tables;
    bool by_file;
    int pagemap;                /* what is in our page tables, or -1 */
    bool scan;                  /* it can be asked for ranges */
};

/* A part that is being looked at. */
typedef struct Part {
    const FixedRamPopulated *populated;
    uint64_t offset;
    uint64_t end;
    unsigned long *pages;
} Part;

/* @start, @end: in the block, perhaps beyond the part */
static void add_range(const Part *part, uint64_t start, uint64_t end)
{
    size_t page_size = part->populated->page_size;
    uint64_t first = MAX(start, part->offset) - part->offset;
    uint64_t last = MIN(end, part->end) - part->offset;

    first /= page_size;
    bitmap_set(part->pages, first, DIV_ROUND_UP(last, page_size) - first);
}

static bool add_scanned(const Part *part)
{
    const FixedRamPopulated *p = part->populated;
    uintptr_t host = (uintptr_t)p->mem.host;
    struct page_region ranges[64];
    struct pm_scan_arg arg = {
        .size = sizeof(arg),
        .start = host + part->offset,
        .end = host + part->end,
        .vec = (uintptr_t)ranges,
        .vec_len = ARRAY_SIZE(ranges),
        .category_inverted = PAGE_IS_PFNZERO,
        .category_mask = PAGE_IS_PFNZERO,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
    };

    do {
        int n = ioctl(p->pagemap, PAGEMAP_SCAN, &arg);

        if (n < 0) {
            return false;
        }
        for (int i = 0; i < n; i++) {
            add_range(part, ranges[i].start - host, ranges[i].end - host);
        }
        arg.start = arg.walk_end;
    } while (arg.start < arg.end);
    return true;
}

static bool add_listed(const Part *part)
{
    const FixedRamPopulated *p = part->populated;
    size_t page_size = qemu_real_host_page_size();
    uintptr_t host = (uintptr_t)p->mem.host;
    uint64_t entries[512];

    for (uint64_t pos = part->offset; pos < part->end; ) {
        size_t n = MIN(DIV_ROUND_UP(part->end - pos, page_size),
                       ARRAY_SIZE(entries));
        off_t entry = (host + pos) / page_size * sizeof(*entries);

        if (pread(p->pagemap, entries, n * sizeof(*entries), entry) !=
            n * sizeof(*entries)) {
            return false;
        }
        for (size_t i = 0; i < n; i++, pos += page_size) {
            if (entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) {
                add_range(part, pos, pos + page_size);
            }
        }
    }
    return true;
}

static bool add_by_tables(const Part *part)
{
    return part->populated->scan ? add_scanned(part) : add_listed(part);
}

static bool add_by_file(const Part *part)
{
    const FixedRamMemory *mem = &part->populated->mem;
    uint64_t pos = part->offset;

    while (pos < part->end) {
        off_t data = lseek(mem->fd, mem->fd_offset + pos, SEEK_DATA);
        off_t hole;

        if (data < 0) {
            return errno == ENXIO;
        }
        if (data >= mem->fd_offset + part->end) {
            break;
        }
        hole = lseek(mem->fd, data, SEEK_HOLE);
        if (data < mem->fd_offset + pos || hole <= data) {
            return false;
        }
        add_range(part, data - mem->fd_offset, hole - mem->fd_offset);
        pos = hole - mem->fd_offset;
    }
    return true;
}

void fixed_ram_populated_get(const FixedRamPopulated *populated,
                             uint64_t offset, uint64_t length,
                             unsigned long *pages)
{
    Part part = {
        .populated = populated,
        .offset = offset,
        .end = offset + length,
        .pages = pages,
    };
    uint64_t n = length / populated->page_size;

    assert(offset + length <= populated->mem.length);
    bitmap_zero(pages, n);
    if ((!populated->by_tables && !populated->by_file) ||
        (populated->by_tables && !add_by_tables(&part)) ||
        (populated->by_file && !add_by_file(&part))) {
        bitmap_set(pages, 0, n);
    }
}

static uint64_t count_in_tables(const FixedRamPopulated *p)
{
    uint64_t bytes = 0;

    for (uint64_t pos = 0; pos < p->mem.length; ) {
        DECLARE_BITMAP(pages, 4096);
        uint64_t length = MIN(p->mem.length - pos, 4096 * p->page_size);
        uint64_t n = length / p->page_size;

        fixed_ram_populated_get(p, pos, length, pages);
        bytes += bitmap_count_one(pages, n) * p->page_size;
        pos += length;
    }
    return bytes;
}

/*
 * It does not say where it has holes, but how much there is.  Where that is
 * what our page tables have nobody else has put anything there.
 */
static void choose_by_hugetlbfs(FixedRamPopulated *p)
{
    uint64_t expected;
    struct stat st;

    p->by_tables = p->pagemap >= 0;
    expected = p->mem.shared ? count_in_tables(p) : 0;
    if (fstat(p->mem.fd, &st) || st.st_blocks * 512ULL != expected) {
        p->by_tables = false;
    }
}

/* Before Linux 6.4 what is just being made a huge page looks like a hole. */
static bool tmpfs_knows_its_holes(void)
{
    unsigned major, minor;
    struct utsname host;

    return !uname(&host) &&
           sscanf(host.release, "%u.%u", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 4));
}

/* Those that know of each page that somebody has written to a mapping. */
static bool knows_its_holes(unsigned long type)
{
    return type == EXT4_SUPER_MAGIC || type == XFS_SUPER_MAGIC ||
           type == BTRFS_SUPER_MAGIC ||
           (type == TMPFS_MAGIC && tmpfs_knows_its_holes());
}

static void choose(FixedRamPopulated *p)
{
    bool has_tables = p->pagemap >= 0;
    struct statfs fs;
    struct stat st;

    if (p->mem.fd < 0) {
        /* What is shared may have been swapped out, and no table says so. */
        p->by_tables = has_tables && !p->mem.shared;
    } else if (fstatfs(p->mem.fd, &fs) || fstat(p->mem.fd, &st) ||
               !S_ISREG(st.st_mode)) {
        /* The nodes of devices lie in a tmpfs, but know nothing. */
        return;
    } else if (fs.f_type == HUGETLBFS_MAGIC) {
        choose_by_hugetlbfs(p);
    } else if (knows_its_holes(fs.f_type) && (has_tables || p->mem.shared)) {
        p->by_file = true;
        /* A private mapping may also hold what is not in the file. */
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
        p->pagemap = qemu_open("/proc/self/pagemap", O_RDONLY, NULL);
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

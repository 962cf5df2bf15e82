/*
 * fixed-ram: memory that huge pages may back, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "thp.h"

/* What lies before and after the memory, and cannot be touched. */
#define GUARD THP_SIZE

uint8_t *thp_map(size_t size)
{
    size_t room = size + 3 * GUARD;
    uint8_t *all = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    uint8_t *mem, *end;

    g_assert_true(all != MAP_FAILED);
    mem = QEMU_ALIGN_PTR_UP(all + GUARD, THP_SIZE);
    end = mem + size + GUARD;
    munmap(all, mem - GUARD - all);
    munmap(end, all + room - end);
    g_assert_cmpint(mprotect(mem, size, PROT_READ | PROT_WRITE), ==, 0);
    /* Fails where the kernel has no huge pages, which is fine, too. */
    madvise(mem, size, MADV_HUGEPAGE);
    return mem;
}

void thp_unmap(uint8_t *mem, size_t size)
{
    munmap(mem - GUARD, size + 2 * GUARD);
}

size_t thp_bytes(const uint8_t *mem, size_t size)
{
    g_autofree char *smaps = NULL;
    g_auto(GStrv) lines = NULL;
    size_t bytes = 0;
    bool ours = false;

    if (!g_file_get_contents("/proc/self/smaps", &smaps, NULL, NULL)) {
        return 0;
    }
    lines = g_strsplit(smaps, "\n", -1);
    for (char **line = lines; *line; line++) {
        uintptr_t start, end;
        size_t kib;

        if (sscanf(*line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2) {
            ours = start < (uintptr_t)mem + size && end > (uintptr_t)mem;
        } else if (ours && sscanf(*line, "AnonHugePages: %zu", &kib) == 1) {
            bytes += kib * KiB;
        }
    }
    return bytes;
}

uint64_t thp_fallbacks(void)
{
    g_autofree char *vmstat = NULL;
    const char *found;

    if (!g_file_get_contents("/proc/vmstat", &vmstat, NULL, NULL)) {
        return 0;
    }
    found = strstr(vmstat, "thp_fault_fallback ");
    return found ? g_ascii_strtoull(strchr(found, ' '), NULL, 10) : 0;
}

bool thp_available(void)
{
    uint8_t *mem = thp_map(THP_SIZE);
    bool huge;

    memset(mem, 1, THP_SIZE);
    huge = thp_bytes(mem, THP_SIZE) == THP_SIZE;
    thp_unmap(mem, THP_SIZE);
    if (!huge) {
        g_test_skip("this host gives no transparent huge pages");
    }
    return huge;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the guest's program share.
 */

#ifndef FIXED_RAM_GUEST_H
#define FIXED_RAM_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES      4096UL
#define PAGE_WORDS      (PAGE_BYTES / sizeof(uint64_t))
#define PAGES_PER_MIB   ((1UL << 20) / PAGE_BYTES)
#define GOLDEN          0x9e3779b97f4a7c15ULL
#define WORK_LOCALITY   100UL       /* of work that is not told */

/* What "fill" filled */
typedef struct Area {
    uint64_t *words;
    uint64_t pages;
    bool fragmented;
    uint64_t seed;
} Area;

extern Area area;

void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...);
uint64_t now_us(void);
uint64_t mix64(uint64_t x);
void page_content(uint64_t page, uint64_t *first, uint64_t *step);
void start_thread(const char *name, void *(*run)(void *), size_t pages);

/* work.c */
void start_work_thread(void);
void do_work(uint64_t mib, uint64_t locality);
bool is_working(void);

#endif

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
#define OWN_PAGES       256UL       /* that work writes, one a unit */
#define UNIT_PAGES      16UL        /* that a unit of work reads */

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
void write_page(uint64_t page);
void start_thread(const char *name, void *(*run)(void *), size_t pages);

/* work.c: the thread.  Its fields and the next two functions are its own */
typedef struct Work {
    uint64_t pages;                 /* of the area, where it reads */
    uint64_t random;
    uint64_t units;                 /* that wrote pages of its own */
    uint64_t *own;
} Work;

extern Work work;

uint64_t work_random(uint64_t limit);
bool word_is_good(uint64_t page);
bool do_work(const char *name, uint64_t mib, uint64_t detail);
void start_work_thread(void);
bool is_working(void);

/* local.c */
void local_begin(uint64_t detail);
bool local_unit(void);

/* random.c */
void random_begin(uint64_t detail);
bool random_unit(void);

/* write.c */
uint64_t page_version(uint64_t page);
void forget_versions(void);
void do_change(uint64_t count, uint64_t run, uint64_t seed);
void write_begin(uint64_t detail);
bool write_unit(void);

#endif

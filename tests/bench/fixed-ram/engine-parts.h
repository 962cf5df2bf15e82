/*
 * fixed-ram: what the files of the engine's benchmark share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_BENCH_FIXED_RAM_ENGINE_PARTS_H
#define TESTS_BENCH_FIXED_RAM_ENGINE_PARTS_H

#include "qemu/thread.h"
#include "qemu/units.h"
#include "migration/fixed-ram/engine/load.h"
#include "migration/fixed-ram/engine/uffd.h"

#define PAGE            (4 * KiB)
#define MAX_TOUCHERS    64
#define MAX_ROUNDS      (1024 * 1024)

typedef enum Mode {
    MODE_ENGINE,                /* on demand */
    MODE_EAGER,                 /* our engine, all before the first touch */
    MODE_NAIVE,
    MODE_MAPPING,
} Mode;

typedef enum Order {
    ORDER_RANDOM,               /* with repetition */
    ORDER_EACH,                 /* every page once, shuffled */
    ORDER_STRIDED,              /* every so many pages one, over and over */
    ORDER_SEQUENTIAL,           /* neighbours, over and over */
    ORDER_BURSTS,               /* random, with a quiet time after each round */
} Order;

/* So many touches by all touchers; in ns */
typedef struct Round {
    int64_t begun;
    int64_t done;               /* 0: not yet */
} Round;

typedef struct Toucher {
    struct Bench *bench;
    QemuThread thread;
    GRand *rand;
    uint32_t turn;              /* of so many touches of all touchers */
} Toucher;

typedef struct Bench {
    /* What to do */
    gchar *mode_name;
    gchar *order_name;
    gchar *path;
    gint size_mib;
    gint touchers;
    gint touches;               /* of each toucher; 0: until all is loaded */
    gint span_mib;              /* they touch in this much from the start */
    gint one_of;                /* and of this many pages one */
    gint round;                 /* touches of a round; 0: no rounds */
    gint think_us;              /* in rounds, after each touch */
    gint quiet_ms;              /* after a burst */
    gint loaders;
    gint zero_every;            /* this page of so many is zero; 0: none */
    gboolean direct;            /* read by O_DIRECT */
    gboolean buffered;          /* through the page cache; neither: choose */
    gboolean cold;
    gboolean finish;            /* wait until all is loaded */
    gboolean collapse;          /* and make huge pages of what was broken up */
    gboolean each_round;        /* print its time */
    gint seed;

    /* How it goes */
    Mode mode;
    Order order;
    uint64_t size;
    uint8_t *memory;
    FixedRamMap *map;
    FixedRamLoad *load;
    QemuEvent changed;          /* the engine says: look at me */
    FixedRamUffd uffd;          /* the naive handler's */
    int fd;
    QemuThread naive;
    Toucher toucher[MAX_TOUCHERS];
    uint32_t *pages;            /* that are touched */
    uint32_t page_count;
    unsigned long *touched;     /* atomic, like all that follows */
    bool stop;                  /* touchers that make rounds end */
    uint64_t started;           /* touches in rounds */
    uint64_t done;
    Round *rounds;

    /* What came of it */
    FixedRamLatency latency;    /* of first touches */
    uint64_t distinct;          /* pages that a toucher was first at */
    uint64_t wrong;             /* touches that found another page's bytes */
    uint64_t faults;
    uint64_t huge_kib;          /* in the end */
    uint64_t huge_kib_later;    /* a second after it */
} Bench;

/* engine-load.c: what brings the pages */

/** load_start(): returns when the memory may be touched */
void load_start(Bench *b);

/** load_finish(): ours: waits until every page has been received */
void load_finish(Bench *b);

/** load_end(): leaves as little behind as the real thing does */
void load_end(Bench *b);

/** load_huge_kib(): of our memory in transparent huge pages, in KiB */
uint64_t load_huge_kib(const Bench *b);

/* engine-touch.c: threads that touch them */

/** touch_init(): choose the pages; before any thread is started */
void touch_init(Bench *b);

void touch_start(Bench *b);

/** touch_join(): wait until all touchers have ended */
void touch_join(Bench *b);

/* engine-rounds.c: what rounds came to */

/**
 * rounds_print(): as fields of a JSON object
 *
 * @start: when the load began; times are printed as seconds since then
 * @settled: rounds that begin after this count as steady
 */
void rounds_print(const Bench *b, int64_t start, int64_t settled);

#endif

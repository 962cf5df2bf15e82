/*
 * fixed-ram: the engine alone, on a plain mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Threads touch pages of a mapping at random while it is loaded from a file,
 * and measure what they felt: userfaultfd's messages carry no time, so only
 * the toucher knows how long it waited.  Compared are our engine, a handler
 * as it is usually written (one thread, a page at a time) and the kernel's own
 * private file mapping.  Prints one line of JSON.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/host-utils.h"
#include "qemu/madvise.h"
#include "qemu/memalign.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "migration/fixed-ram/engine/collapse.h"
#include "migration/fixed-ram/engine/load.h"
#include "migration/fixed-ram/engine/uffd.h"

#define PAGE            (4 * KiB)
#define MAX_TOUCHERS    64

typedef enum { MODE_ENGINE, MODE_NAIVE, MODE_MAPPING } Mode;

typedef struct Bench {
    /* What to do */
    gchar *mode_name;
    gchar *path;
    gint size_mib;
    gint touchers;
    gint touches;               /* of each toucher; 0: until all is loaded */
    gchar *order;               /* "random", or "each" page once */
    gint span_mib;              /* they touch in this much from the start */
    gint loaders;
    gint zero_every;            /* this page of so many is zero; 0: none */
    gboolean direct;
    gboolean cold;
    gboolean finish;            /* wait until all is loaded */
    gboolean collapse;          /* and make huge pages of what was broken up */
    gint seed;

    /* How it goes */
    Mode mode;
    uint64_t size;
    uint8_t *memory;
    FixedRamMap *map;
    FixedRamLoad *load;
    QemuEvent changed;          /* the engine says: look at me */
    FixedRamUffd uffd;          /* the naive handler's */
    int fd;
    QemuThread naive;
    FixedRamLatency latency;    /* of touches */
    uint64_t distinct;          /* pages that a toucher was first at */
    unsigned long *touched;
    uint32_t *pages;            /* "each": the order of pages */
    uint64_t huge_kib;          /* in the end */
} Bench;

typedef struct Toucher {
    Bench *bench;
    QemuThread thread;
    GRand *rand;
    uint32_t turn;              /* of so many touches of all touchers */
} Toucher;

static void make_file(Bench *b)
{
    g_autofree uint64_t *buf = g_malloc(MiB);
    g_autoptr(GRand) rand = g_rand_new_with_seed(b->seed);
    struct stat st;
    int fd;

    if (!stat(b->path, &st) && st.st_size >= b->size) {
        return;
    }
    fd = open(b->path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0) {
        error_setg_errno(&error_fatal, errno, "%s", b->path);
    }
    for (uint64_t done = 0; done < b->size; done += MiB) {
        for (size_t i = 0; i < MiB / sizeof(*buf); i++) {
            buf[i] = ((uint64_t)g_rand_int(rand) << 32) | i | 1;
        }
        if (qemu_write_full(fd, buf, MiB) != MiB) {
            error_setg_errno(&error_fatal, errno, "%s", b->path);
        }
    }
    fsync(fd);
    close(fd);
}

/* Have the host's page cache hold nothing, or all, of the file. */
static void set_cache(Bench *b)
{
    g_autofree uint8_t *buf = g_malloc(MiB);
    int fd = open(b->path, O_RDONLY);

    fsync(fd);
    if (b->cold) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    } else {
        while (read(fd, buf, MiB) > 0) {
            /* only to have it read */
        }
    }
    close(fd);
}

static void make_memory(Bench *b)
{
    size_t align = 2 * MiB;
    uint8_t *p;

    if (b->mode == MODE_MAPPING) {
        p = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, b->fd, 0);
        madvise(p, b->size, MADV_RANDOM);
    } else {
        p = mmap(NULL, b->size + align, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p = (uint8_t *)QEMU_ALIGN_PTR_UP(p, align);
        madvise(p, b->size, MADV_HUGEPAGE);
    }
    if (p == MAP_FAILED) {
        error_setg_errno(&error_fatal, errno, "mmap");
    }
    b->memory = p;
}

static unsigned long *make_bitmap(Bench *b)
{
    uint64_t pages = b->size / PAGE;
    unsigned long *data = bitmap_new(pages);

    bitmap_set(data, 0, pages);
    for (uint64_t i = 0; b->zero_every && i < pages; i += b->zero_every) {
        clear_bit(i, data);
    }
    return data;
}

/*
 * Our engine
 */

static void engine_notify(void *opaque)
{
    Bench *b = opaque;

    qemu_event_set(&b->changed);
}

static void engine_start(Bench *b)
{
    static const FixedRamLoadOps ops = { .notify = engine_notify };
    FixedRamLoadConfig config = {
        .on_demand = true, .loaders = b->loaders, .ops = &ops, .opaque = b,
    };
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);
    FixedRamSource *source;

    pstrcpy(block->name, sizeof(block->name), "bench");
    block->host = b->memory;
    block->length = b->size;
    block->page_size = block->unit = PAGE;
    block->huge = true;
    block->data = make_bitmap(b);
    b->map = fixed_ram_map_new();
    fixed_ram_map_add(b->map, block);

    qemu_event_init(&b->changed, false);
    source = fixed_ram_source_open_file(b->path, 0, b->direct, &error_fatal);
    b->load = fixed_ram_load_new(b->map, source, &config, &error_fatal);
    fixed_ram_load_register(b->load, &error_fatal);
    fixed_ram_load_start(b->load, &error_abort);
    fixed_ram_load_guest_runs(b->load);
}

static void engine_finish(Bench *b)
{
    while (fixed_ram_load_state(b->load) == FIXED_RAM_LOAD_ACTIVE) {
        qemu_event_wait(&b->changed);
        qemu_event_reset(&b->changed);
    }
    if (fixed_ram_load_state(b->load) != FIXED_RAM_LOAD_COMPLETE) {
        error_propagate(&error_fatal, fixed_ram_load_error(b->load));
    }
}

/* KiB of our memory in transparent huge pages. */
static uint64_t huge_kib(Bench *b)
{
    g_autofree char *smaps = NULL;
    g_autofree char *head = g_strdup_printf("%" PRIx64 "-",
                                            (uint64_t)(uintptr_t)b->memory);
    const char *line;
    uint64_t kib = 0;

    if (!g_file_get_contents("/proc/self/smaps", &smaps, NULL, NULL)) {
        return 0;
    }
    line = strstr(smaps, head);
    line = line ? strstr(line, "AnonHugePages:") : NULL;
    if (line) {
        sscanf(line, "AnonHugePages: %" SCNu64, &kib);
    }
    return kib;
}

/* Leave as little behind as the real thing does. */
static void engine_end(Bench *b)
{
    bool complete =
        fixed_ram_load_state(b->load) == FIXED_RAM_LOAD_COMPLETE;

    fixed_ram_load_free(b->load);
    if (complete && b->collapse) {
        g_autoptr(GPtrArray) broken = fixed_ram_map_split_extents(b->map);

        fixed_ram_collapse(broken);
    }
    b->huge_kib = huge_kib(b);
    fixed_ram_map_free(b->map);
}

/*
 * The yardstick: one thread, a page at a time
 */

static void *naive_thread(void *opaque)
{
    Bench *b = opaque;
    uint8_t *page = qemu_memalign(PAGE, PAGE);
    FixedRamFault fault;
    uint64_t done;

    while (!fixed_ram_uffd_read(&b->uffd, &fault)) {
        if (fixed_ram_uffd_answer(&b->uffd, &fault)) {
            break;
        }
        if (pread(b->fd, page, PAGE, fault.addr - (uintptr_t)b->memory) !=
            PAGE) {
            error_setg_errno(&error_fatal, errno, "%s", b->path);
        }
        fixed_ram_uffd_copy(&b->uffd, (void *)fault.addr, page, PAGE, PAGE,
                            &done);
    }
    qemu_vfree(page);
    return NULL;
}

static void naive_start(Bench *b)
{
    fixed_ram_uffd_open(&b->uffd, &error_fatal);
    fixed_ram_uffd_register(&b->uffd, b->memory, b->size, &error_fatal);
    qemu_thread_create(&b->naive, "naive", naive_thread, b,
                       QEMU_THREAD_JOINABLE);
}

/*
 * Touching
 */

/* The next page to touch; false: that was all. */
static bool next_page(Toucher *t, uint32_t *page)
{
    Bench *b = t->bench;
    uint32_t pages = b->span_mib * (MiB / PAGE);
    uint32_t turn = t->turn;

    t->turn += b->touchers;
    if (b->pages) {
        *page = turn < pages ? b->pages[turn] : 0;
        return turn < pages;
    }
    *page = g_rand_int_range(t->rand, 0, pages);
    return b->touches ? turn / b->touchers < b->touches
                      : fixed_ram_map_left(b->map) > 0;
}

static void *toucher_thread(void *opaque)
{
    Toucher *t = opaque;
    Bench *b = t->bench;
    uint32_t page;

    while (next_page(t, &page)) {
        /* volatile: the touch is the point */
        volatile uint64_t *p = (void *)(b->memory + (uint64_t)page * PAGE);
        unsigned long bit = BIT_MASK(page);
        bool first = !(qatomic_fetch_or(&b->touched[BIT_WORD(page)], bit) &
                       bit);
        int64_t start = get_clock();

        (void)*p;
        if (first) {
            qatomic_inc(&b->distinct);
            fixed_ram_latency_add(&b->latency, get_clock() - start);
        }
    }
    return NULL;
}

static void shuffle_pages(Bench *b)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(b->seed);
    uint32_t count = b->span_mib * (MiB / PAGE);

    b->pages = g_new(uint32_t, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = g_rand_int_range(rand, 0, i + 1);

        b->pages[i] = b->pages[j];
        b->pages[j] = i;
    }
}

static void touch(Bench *b)
{
    Toucher touchers[MAX_TOUCHERS];

    for (gint i = 0; i < b->touchers; i++) {
        touchers[i].bench = b;
        touchers[i].turn = i;
        touchers[i].rand = g_rand_new_with_seed(b->seed + i);
        qemu_thread_create(&touchers[i].thread, "toucher", toucher_thread,
                           &touchers[i], QEMU_THREAD_JOINABLE);
    }
    for (gint i = 0; i < b->touchers; i++) {
        qemu_thread_join(&touchers[i].thread);
        g_rand_free(touchers[i].rand);
    }
}

static void print_result(Bench *b, double touch_s, double load_s)
{
    FixedRamLatency *l = &b->latency;

    printf("{\"mode\": \"%s\", \"touchers\": %d, \"loaders\": %d, "
           "\"cold\": %s, \"direct\": %s, \"zero_every\": %d, "
           "\"pages\": %" PRIu64 ", \"touch_s\": %.6f, "
           "\"pages_per_s\": %.0f, \"mean_us\": %.2f, \"p50_us\": %.2f, "
           "\"p99_us\": %.2f, \"max_us\": %.2f, \"load_s\": %.6f, "
           "\"mib_per_s\": %.1f, \"huge_kib\": %" PRIu64 "}\n",
           b->mode_name, b->touchers, b->loaders, b->cold ? "true" : "false",
           b->direct ? "true" : "false", b->zero_every, b->distinct, touch_s,
           touch_s > 0 ? b->distinct / touch_s : 0,
           l->count ? l->sum / 1e3 / l->count : 0,
           fixed_ram_latency_percentile(l, 50) / 1e3,
           fixed_ram_latency_percentile(l, 99) / 1e3, l->max / 1e3, load_s,
           load_s > 0 ? b->size_mib / load_s : 0, b->huge_kib);
}

static void run(Bench *b)
{
    int64_t start, touched, loaded = 0;

    start = get_clock();
    if (b->mode == MODE_ENGINE) {
        engine_start(b);
    } else if (b->mode == MODE_NAIVE) {
        naive_start(b);
    }
    touch(b);
    touched = get_clock();
    if (b->mode == MODE_ENGINE && b->finish) {
        engine_finish(b);
        loaded = get_clock();
    }
    if (b->mode == MODE_ENGINE) {
        engine_end(b);
    } else if (b->mode == MODE_NAIVE) {
        fixed_ram_uffd_ring(&b->uffd, 0);
        qemu_thread_join(&b->naive);
        fixed_ram_uffd_close(&b->uffd);
    }
    print_result(b, (touched - start) / 1e9,
                 loaded ? (loaded - start) / 1e9 : 0);
}

/* What else the arguments must be. */
static bool arguments_are_good(const Bench *b)
{
    return b->path && b->touchers > 0 && b->touchers <= MAX_TOUCHERS &&
           b->span_mib > 0 && b->span_mib <= b->size_mib && b->touches >= 0 &&
           (g_str_equal(b->order, "random") || g_str_equal(b->order, "each")) &&
           (b->touches || b->mode == MODE_ENGINE);
}

static bool parse_mode(Bench *b)
{
    static const char *const names[] = { "engine", "naive", "mapping" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!g_strcmp0(b->mode_name, names[i])) {
            b->mode = i;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    Bench b = {
        .mode_name = g_strdup("engine"), .order = g_strdup("random"),
        .size_mib = 1024, .touchers = 1, .touches = 2000, .span_mib = 256,
        .loaders = 4, .seed = 1,
    };
    GOptionEntry entries[] = {
        { "mode", 0, 0, G_OPTION_ARG_STRING, &b.mode_name,
          "engine, naive or mapping", "MODE" },
        { "file", 0, 0, G_OPTION_ARG_FILENAME, &b.path,
          "load from FILE; made if it is not there", "FILE" },
        { "size", 0, 0, G_OPTION_ARG_INT, &b.size_mib, "MiB in all", "N" },
        { "touchers", 0, 0, G_OPTION_ARG_INT, &b.touchers, "threads", "N" },
        { "touches", 0, 0, G_OPTION_ARG_INT, &b.touches,
          "of each at random; 0: until all is loaded", "N" },
        { "order", 0, 0, G_OPTION_ARG_STRING, &b.order,
          "random, or each: every page of the span once", "ORDER" },
        { "span", 0, 0, G_OPTION_ARG_INT, &b.span_mib,
          "MiB that they touch", "N" },
        { "loaders", 0, 0, G_OPTION_ARG_INT, &b.loaders, "threads", "N" },
        { "zero-every", 0, 0, G_OPTION_ARG_INT, &b.zero_every,
          "a zero page every N", "N" },
        { "direct", 0, 0, G_OPTION_ARG_NONE, &b.direct, "O_DIRECT", NULL },
        { "cold", 0, 0, G_OPTION_ARG_NONE, &b.cold,
          "drop the file from the page cache first", NULL },
        { "finish", 0, 0, G_OPTION_ARG_NONE, &b.finish,
          "wait until all is loaded", NULL },
        { "collapse", 0, 0, G_OPTION_ARG_NONE, &b.collapse,
          "and make huge pages of what was broken up", NULL },
        { "seed", 0, 0, G_OPTION_ARG_INT, &b.seed, "for what is random", "N" },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err) ||
        !parse_mode(&b) || !arguments_are_good(&b)) {
        fprintf(stderr, "%s: %s\n", argv[0],
                err ? err->message : "bad arguments, see --help");
        return 1;
    }
    b.size = b.size_mib * MiB;
    b.touched = bitmap_new(b.size / PAGE);
    if (g_str_equal(b.order, "each")) {
        shuffle_pages(&b);
    }
    make_file(&b);
    set_cache(&b);
    b.fd = open(b.path, O_RDONLY);
    make_memory(&b);
    run(&b);
    return 0;
}

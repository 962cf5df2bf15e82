/*
 * fixed-ram: the engine alone, on a plain mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Threads touch pages of a mapping while it is loaded from a file, and measure
 * what they felt: userfaultfd's messages carry no time, so only the toucher
 * knows how long it waited.  Compared are our engine, on demand and eager, a
 * handler as it is usually written (one thread, a page at a time) and the
 * kernel's own private file mapping.  Prints one line of JSON.
 *
 * With rounds the threads behave like a guest at work: they touch the pages of
 * a working set again and again, go on until a second after all is loaded, and
 * each round's time shows how fast the guest was then.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/madvise.h"
#include "qemu/timer.h"
#include "engine-parts.h"

static const char *const mode_names[] = {
    [MODE_ENGINE] = "engine", [MODE_EAGER] = "eager", [MODE_NAIVE] = "naive",
    [MODE_MAPPING] = "mapping",
};

static const char *const order_names[] = {
    [ORDER_RANDOM] = "random", [ORDER_EACH] = "each",
    [ORDER_STRIDED] = "strided", [ORDER_SEQUENTIAL] = "sequential",
    [ORDER_BURSTS] = "bursts",
};

/* touch_page() checks the lower half of a page's first word. */
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

static void print_result(const Bench *b, int64_t start, int64_t touched,
                         int64_t loaded)
{
    const FixedRamLatency *l = &b->latency;
    double touch_s = (touched - start) / 1e9;
    double load_s = loaded ? (loaded - start) / 1e9 : 0;

    printf("{\"mode\": \"%s\", \"touchers\": %d, \"loaders\": %d, "
           "\"cold\": %s, \"direct\": %s, \"zero_every\": %d, "
           "\"pages\": %" PRIu64 ", \"touch_s\": %.6f, "
           "\"pages_per_s\": %.0f, \"mean_us\": %.2f, \"p50_us\": %.2f, "
           "\"p99_us\": %.2f, \"max_us\": %.2f, \"load_s\": %.6f, "
           "\"mib_per_s\": %.1f, \"huge_kib\": %" PRIu64,
           b->mode_name, b->touchers, b->loaders, b->cold ? "true" : "false",
           b->direct ? "true" : "false", b->zero_every, b->distinct, touch_s,
           touch_s > 0 ? b->distinct / touch_s : 0,
           l->count ? l->sum / 1e3 / l->count : 0,
           fixed_ram_latency_percentile(l, 50) / 1e3,
           fixed_ram_latency_percentile(l, 99) / 1e3, l->max / 1e3, load_s,
           load_s > 0 ? b->size_mib / load_s : 0, b->huge_kib);
}

static void run_once(Bench *b)
{
    int64_t start = get_clock(), touched, loaded = 0;

    load_start(b);
    touch_start(b);
    touch_join(b);
    touched = get_clock();
    if (b->mode == MODE_EAGER || (b->mode == MODE_ENGINE && b->finish)) {
        load_finish(b);
        loaded = get_clock();
    }
    load_end(b);
    b->huge_kib = load_huge_kib(b);
    print_result(b, start, touched, loaded);
    printf("}\n");
}

static void run_rounds(Bench *b)
{
    int64_t start = get_clock(), loaded, settled;

    load_start(b);
    touch_start(b);
    load_finish(b);
    loaded = get_clock();
    load_end(b);
    b->huge_kib = load_huge_kib(b);
    settled = get_clock();
    g_usleep(G_USEC_PER_SEC);
    b->huge_kib_later = load_huge_kib(b);
    qatomic_set(&b->stop, true);
    touch_join(b);
    print_result(b, start, get_clock(), loaded);
    rounds_print(b, start, settled);
    printf("}\n");
}

/* What else the arguments must be. */
static bool arguments_are_good(const Bench *b)
{
    bool ours = b->mode == MODE_ENGINE || b->mode == MODE_EAGER;

    return b->path && b->touchers > 0 && b->touchers <= MAX_TOUCHERS &&
           b->span_mib > 0 && b->span_mib <= b->size_mib && b->one_of > 0 &&
           b->one_of <= b->span_mib * (MiB / PAGE) && b->touches >= 0 &&
           b->round >= 0 && b->think_us >= 0 && b->quiet_ms >= 0 &&
           (b->touches || b->round || b->mode == MODE_ENGINE) &&
           (b->round ? ours && b->order != ORDER_EACH
                     : b->order != ORDER_BURSTS);
}

/* The number of a name; -1 if there is no such name. */
static int find_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(names[i], name)) {
            return i;
        }
    }
    return -1;
}

static bool parse_names(Bench *b)
{
    int mode = find_name(mode_names, ARRAY_SIZE(mode_names), b->mode_name);
    int order = find_name(order_names, ARRAY_SIZE(order_names),
                          b->order_name);

    b->mode = mode;
    b->order = order;
    return mode >= 0 && order >= 0;
}

static bool parse_arguments(Bench *b, int argc, char **argv, GError **err)
{
    GOptionEntry entries[] = {
        { "mode", 0, 0, G_OPTION_ARG_STRING, &b->mode_name,
          "engine, eager, naive or mapping", "MODE" },
        { "file", 0, 0, G_OPTION_ARG_FILENAME, &b->path,
          "load from FILE; made if it is not there", "FILE" },
        { "size", 0, 0, G_OPTION_ARG_INT, &b->size_mib, "MiB in all", "N" },
        { "touchers", 0, 0, G_OPTION_ARG_INT, &b->touchers, "threads", "N" },
        { "touches", 0, 0, G_OPTION_ARG_INT, &b->touches,
          "of each; 0: until all is loaded", "N" },
        { "order", 0, 0, G_OPTION_ARG_STRING, &b->order_name,
          "random, strided, sequential, bursts, or each: every page once",
          "ORDER" },
        { "span", 0, 0, G_OPTION_ARG_INT, &b->span_mib,
          "MiB that they touch; 0: all", "N" },
        { "one-of", 0, 0, G_OPTION_ARG_INT, &b->one_of,
          "they touch one of N pages", "N" },
        { "round", 0, 0, G_OPTION_ARG_INT, &b->round,
          "rounds of N touches, until a second after all is loaded", "N" },
        { "think", 0, 0, G_OPTION_ARG_INT, &b->think_us,
          "microseconds of work after each touch of a round", "N" },
        { "quiet", 0, 0, G_OPTION_ARG_INT, &b->quiet_ms,
          "milliseconds between bursts", "N" },
        { "each-round", 0, 0, G_OPTION_ARG_NONE, &b->each_round,
          "print each round: number, end in s, length in ms", NULL },
        { "loaders", 0, 0, G_OPTION_ARG_INT, &b->loaders, "threads", "N" },
        { "zero-every", 0, 0, G_OPTION_ARG_INT, &b->zero_every,
          "a zero page every N", "N" },
        { "direct", 0, 0, G_OPTION_ARG_NONE, &b->direct,
          "read by O_DIRECT", NULL },
        { "buffered", 0, 0, G_OPTION_ARG_NONE, &b->buffered,
          "read through the page cache; without both, choose", NULL },
        { "cold", 0, 0, G_OPTION_ARG_NONE, &b->cold,
          "drop the file from the page cache first", NULL },
        { "finish", 0, 0, G_OPTION_ARG_NONE, &b->finish,
          "wait until all is loaded", NULL },
        { "collapse", 0, 0, G_OPTION_ARG_NONE, &b->collapse,
          "and make huge pages of what was broken up", NULL },
        { "seed", 0, 0, G_OPTION_ARG_INT, &b->seed, "for what is random",
          "N" },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, err)) {
        return false;
    }
    if (b->span_mib == 0) {
        b->span_mib = b->size_mib;
    }
    return parse_names(b) && arguments_are_good(b);
}

int main(int argc, char **argv)
{
    Bench b = {
        .mode_name = g_strdup("engine"), .order_name = g_strdup("random"),
        .size_mib = 1024, .touchers = 1, .touches = 2000, .one_of = 1,
        .think_us = 2, .quiet_ms = 200, .loaders = 4, .seed = 1,
    };
    g_autoptr(GError) err = NULL;

    if (!parse_arguments(&b, argc, argv, &err)) {
        fprintf(stderr, "%s: %s\n", argv[0],
                err ? err->message : "bad arguments, see --help");
        return 1;
    }
    b.size = b.size_mib * MiB;
    touch_init(&b);
    make_file(&b);
    set_cache(&b);
    b.fd = open(b.path, O_RDONLY);
    make_memory(&b);
    if (b.round) {
        run_rounds(&b);
    } else {
        run_once(&b);
    }
    if (b.wrong) {
        fprintf(stderr, "%s: %" PRIu64 " touches found wrong bytes\n",
                argv[0], b.wrong);
    }
    return b.wrong ? 1 : 0;
}

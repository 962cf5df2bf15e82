/*
 * fixed-ram: the bulk saver alone, over a plain mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Saves memory of a given pattern to a file and waits until it is on disk.
 * Prints one line of JSON for each run.
 */

#include "qemu/osdep.h"
#include <sys/resource.h>
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/madvise.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "migration/fixed-ram/save/bulk.h"
#include "migration/fixed-ram/format/sums.h"

#define PAGE            (4 * KiB)
#define PAGES_OFFSET    MiB

typedef struct Bench {
    gchar *path;
    gint size_mib;
    gint untouched_mib;         /* additional memory, never accessed */
    gint zero_every;            /* one page in so many is zero; 0: none */
    gint workers;
    gint runs;
    gboolean direct;
    gboolean no_sums;

    uint64_t size;              /* of all memory */
    uint8_t *memory;
} Bench;

static void make_memory(Bench *b)
{
    size_t align = 2 * MiB;
    uint64_t seed = 88172645463325252ULL;
    uint8_t *p = mmap(NULL, b->size + align, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        error_setg_errno(&error_fatal, errno, "mmap");
    }
    b->memory = (uint8_t *)QEMU_ALIGN_PTR_UP(p, align);
    qemu_madvise(b->memory, b->size, QEMU_MADV_HUGEPAGE);
    for (uint64_t page = 0; page < b->size_mib * (MiB / PAGE); page++) {
        uint64_t *words = (uint64_t *)(b->memory + page * PAGE);

        for (size_t i = 0; i < PAGE / sizeof(*words); i++) {
            bool zero = b->zero_every && page % b->zero_every == 3;

            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            words[i] = zero ? 0 : seed;
        }
    }
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec +
           (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_result(const Bench *b, const FixedRamBulkProgress *p,
                         double seconds, double cpu, int fd)
{
    struct stat st;
    double data = p->data_pages * PAGE;

    fstat(fd, &st);
    printf("{\"size_mib\": %d, \"untouched_mib\": %d, \"zero_every\": %d, "
           "\"direct\": %s, \"sums\": %s, \"workers\": %d, "
           "\"seconds\": %.6f, \"written_mib_per_s\": %.1f, "
           "\"cpu_s_per_gib\": %.3f, \"size_on_disk\": %.4f}\n",
           b->size_mib, b->untouched_mib, b->zero_every,
           b->direct ? "true" : "false", b->no_sums ? "false" : "true",
           b->workers, seconds, p->bytes / seconds / MiB,
           data ? cpu / (data / GiB) : 0, data ? st.st_blocks * 512 / data : 0);
    fflush(stdout);
}

static void run(Bench *b)
{
    uint64_t pages = b->size / PAGE;
    g_autofree unsigned long *todo = bitmap_new(pages);
    g_autofree unsigned long *data = bitmap_new(pages);
    FixedRamBulkConfig config = {
        .name = b->path, .direct = b->direct, .workers = b->workers,
        .page_size = PAGE, .buffered_fd = -1,
    };
    FixedRamBulkBlock block = {
        .name = "memory", .pages_offset = PAGES_OFFSET,
        .mem = { .host = b->memory, .length = b->size, .fd = -1 },
        .todo = todo, .data = data,
    };
    FixedRamBulkProgress progress;
    FixedRamBulk *bulk;
    double cpu = cpu_seconds();
    int64_t begun;

    bitmap_set(todo, 0, pages);
    unlink(b->path);
    config.fd = qemu_create(b->path, O_WRONLY | (b->direct ? O_DIRECT : 0),
                            0600, &error_fatal);
    if (!b->no_sums && fixed_ram_sums_built()) {
        block.sums = fixed_ram_page_sums_new(b->size, PAGE, 1, &error_fatal);
    }
    begun = get_clock();
    bulk = fixed_ram_bulk_start(&config, &block, 1, &error_fatal);
    fixed_ram_bulk_wait(bulk, INT_MAX);
    fixed_ram_bulk_finish(bulk, &error_fatal);
    if (qemu_fdatasync(config.fd)) {
        error_setg_errno(&error_fatal, errno, "%s", b->path);
    }
    fixed_ram_bulk_progress(bulk, &progress);
    print_result(b, &progress, (get_clock() - begun) / 1e9,
                 cpu_seconds() - cpu, config.fd);
    fixed_ram_bulk_free(bulk);
    fixed_ram_page_sums_free(block.sums);
    qemu_close(config.fd);
    unlink(b->path);
}

int main(int argc, char **argv)
{
    Bench b = { .size_mib = 1024, .runs = 1 };
    GOptionEntry entries[] = {
        { "file", 0, 0, G_OPTION_ARG_FILENAME, &b.path,
          "save to FILE, which is removed", "FILE" },
        { "size", 0, 0, G_OPTION_ARG_INT, &b.size_mib, "MiB of memory", "N" },
        { "untouched", 0, 0, G_OPTION_ARG_INT, &b.untouched_mib,
          "MiB more that were never touched", "N" },
        { "zero-every", 0, 0, G_OPTION_ARG_INT, &b.zero_every,
          "a zero page every N", "N" },
        { "workers", 0, 0, G_OPTION_ARG_INT, &b.workers,
          "threads; 0: as many as suit the host", "N" },
        { "runs", 0, 0, G_OPTION_ARG_INT, &b.runs, "how often", "N" },
        { "direct", 0, 0, G_OPTION_ARG_NONE, &b.direct, "O_DIRECT", NULL },
        { "no-sums", 0, 0, G_OPTION_ARG_NONE, &b.no_sums, "no checksums",
          NULL },
        { NULL }
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err) || !b.path ||
        b.size_mib < 0 || b.untouched_mib < 0 || b.workers < 0) {
        fprintf(stderr, "%s: %s\n", argv[0],
                err ? err->message : "bad arguments, see --help");
        return 1;
    }
    b.size = (b.size_mib + (uint64_t)b.untouched_mib) * MiB;
    make_memory(&b);
    for (gint i = 0; i < b.runs; i++) {
        run(&b);
    }
    return 0;
}

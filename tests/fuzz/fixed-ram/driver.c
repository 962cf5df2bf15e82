/*
 * fixed-ram: run a fuzz target where there is no fuzzer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * Runs the target over the built-in seeds, then over mutations of them: number
 * N of seed S is the same input on every machine.  Speaks TAP.  Or runs it
 * over files, which --write-corpus or a fuzzer has written.
 */

#include "qemu/osdep.h"
#include "fuzz.h"
#include "mutate.h"
#include "seeds.h"

/* A load takes a millisecond, but machines may be busy. */
#define SECONDS_MAX     60

typedef struct Options {
    gint64 seed;
    gint64 first;
    gint64 count;
    gint seconds;               /* 0: no limit */
    char *corpus;
    char **files;
} Options;

/* The run's parameters, printed if the process ends abnormally. */
static char now[128];

static void say_where(int sig)
{
    if (write(STDOUT_FILENO, now, strlen(now)) < 0) {
        /* The message is dropped then. */
    }
    raise(sig);
}

/* Signals that may end a fuzzing process; SIGALRM ends one that hangs. */
static void catch_signals(void)
{
    static const int signals[] = { SIGABRT, SIGTRAP, SIGALRM };
    const struct sigaction act = {
        .sa_handler = say_where, .sa_flags = SA_RESETHAND,
    };

    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        sigaction(signals[i], &act, NULL);
    }
}

/* Sanitizers have their own handlers, which would report less. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "abort_on_error=1:handle_abort=0:allocator_may_return_null=1";
}

const char *__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

static void run_input(const GByteArray *input)
{
    /*
     * A buffer of its own, so that sanitizers notice each byte beyond its end.
     */
    g_autofree uint8_t *data = g_memdup2(input->data, input->len);

    alarm(SECONDS_MAX);
    LLVMFuzzerTestOneInput(data, input->len);
    alarm(0);
}

static bool run_seeds(const GPtrArray *seeds)
{
    for (size_t i = 0; i < seeds->len; i++) {
        const Seed *seed = g_ptr_array_index(seeds, i);
        unsigned taken = fuzz_counts.taken;

        g_snprintf(now, sizeof(now), "# in seed %s\n", seed->name);
        run_input(seed->input);
        if (seed->good != (fuzz_counts.taken > taken)) {
            printf("# seed %s was %s\n", seed->name,
                   seed->good ? "not taken" : "taken");
            return false;
        }
    }
    return true;
}

static bool in_time(const Options *o, gint64 begun)
{
    return !o->seconds || g_get_monotonic_time() - begun <
                          o->seconds * G_USEC_PER_SEC;
}

static gint64 run_mutations(const GPtrArray *seeds, const Options *o)
{
    gint64 begun = g_get_monotonic_time();
    gint64 done = 0;

    while (done < o->count && in_time(o, begun)) {
        gint64 n = o->first + done++;
        Random random = { .state = o->seed };
        g_autoptr(GByteArray) input = NULL;

        random.state = random_u64(&random) + n;
        g_snprintf(now, sizeof(now), "# in %s --seed %" PRId64 " --first %"
                   PRId64 " --count 1\n", fuzz_name, o->seed, n);
        input = mutate(seeds, &random);
        run_input(input);
    }
    return done;
}

static bool run_file(const char *path)
{
    g_autofree char *data = NULL;
    GError *err = NULL;
    gsize size;

    if (!g_file_get_contents(path, &data, &size, &err)) {
        fprintf(stderr, "%s\n", err->message);
        g_error_free(err);
        return false;
    }
    g_snprintf(now, sizeof(now), "# in file %s\n", path);
    alarm(SECONDS_MAX);
    LLVMFuzzerTestOneInput((uint8_t *)data, size);
    alarm(0);
    return true;
}

static bool run_all(const GPtrArray *seeds, const Options *o)
{
    bool seeds_good = run_seeds(seeds);
    gint64 done;

    printf("%sok 1 %s/seeds\n", seeds_good ? "" : "not ", fuzz_name);
    fflush(stdout);
    fuzz_counts = (FuzzCounts) { };
    done = run_mutations(seeds, o);
    printf("# seed %" PRId64 ", from %" PRId64 ": %" PRId64 " inputs, %u "
           "taken, %u refused, %u failed, %u reads failed\n", o->seed,
           o->first, done, fuzz_counts.taken, fuzz_counts.refused,
           fuzz_counts.failed, fuzz_counts.faults);
    printf("ok 2 %s/mutations\n1..2\n", fuzz_name);
    return seeds_good;
}

static bool parse_options(Options *o, int argc, char **argv)
{
    const GOptionEntry entries[] = {
        { "seed", 0, 0, G_OPTION_ARG_INT64, &o->seed, "of all mutations" },
        { "first", 0, 0, G_OPTION_ARG_INT64, &o->first, "the first one" },
        { "count", 0, 0, G_OPTION_ARG_INT64, &o->count, "how many" },
        { "seconds", 0, 0, G_OPTION_ARG_INT, &o->seconds, "no longer" },
        { "write-corpus", 0, 0, G_OPTION_ARG_FILENAME, &o->corpus,
          "only write the seeds", "DIR" },
        { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o->files,
          NULL, "[FILE...]" },
        { },
    };
    GOptionContext *context = g_option_context_new(NULL);
    GError *err = NULL;
    bool ok;

    g_option_context_add_main_entries(context, entries, NULL);
    ok = g_option_context_parse(context, &argc, &argv, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", err->message);
        g_error_free(err);
    }
    g_option_context_free(context);
    return ok;
}

static bool run_files(char **files)
{
    bool ok = true;

    for (; *files; files++) {
        ok = run_file(*files) && ok;
    }
    return ok;
}

int main(int argc, char **argv)
{
    Options o = { .seed = 1, .count = 1000 };
    g_autoptr(GPtrArray) seeds = seeds_new();
    bool ok = parse_options(&o, argc, argv);

    catch_signals();
    if (ok && o.corpus) {
        ok = seeds_write(seeds, o.corpus);
    } else if (ok && o.files) {
        ok = run_files(o.files);
    } else if (ok) {
        ok = run_all(seeds, &o);
    }
    g_strfreev(o.files);
    g_free(o.corpus);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

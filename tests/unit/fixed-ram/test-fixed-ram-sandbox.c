/*
 * fixed-ram: unit tests of saves in a sandbox that forbids system calls
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "bulk-rig.h"

#define PAGEMAP_SCAN_NUMBER     16      /* of ioctl('f', ...) */

typedef struct Sandbox {
    const char *name;
    BulkWay way;
    int calls[3];               /* forbidden system calls; 0: no more */
    bool no_scan;               /* PAGEMAP_SCAN is forbidden */
    bool no_threads;            /* the calls are those that start threads */
} Sandbox;

/* A filter that answers one system call with EPERM, for all later threads. */
static void forbid(int call, bool scan_only)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[1])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, scan_only ? 0xffff : 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                 scan_only ? 'f' << 8 | PAGEMAP_SCAN_NUMBER : 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { ARRAY_SIZE(filter), filter };

    g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
    g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==,
                    0);
}

static void enter(const Sandbox *sandbox)
{
    for (size_t i = 0; i < ARRAY_SIZE(sandbox->calls); i++) {
        if (sandbox->calls[i]) {
            forbid(sandbox->calls[i], false);
        }
    }
    if (sandbox->no_scan) {
        forbid(__NR_ioctl, true);
    }
}

/* No page is saved, and none is lost: the caller saves them in another way. */
static void check_nothing_saved(const BulkRig *f)
{
    FixedRamBulkProgress progress;

    fixed_ram_bulk_progress(f->bulk, &progress);
    g_assert_cmpuint(progress.data_pages + progress.zero_pages, ==, 0);
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        g_assert_true(bitmap_equal(f->blocks[kind].todo, f->wanted[kind],
                                   bulk_lengths[kind] / PAGE));
    }
}

static void save(const Sandbox *sandbox)
{
    BulkRig f;

    if (!bulk_rig_setup(&f, sandbox->way | MARKED)) {
        return;
    }
    enter(sandbox);
    bulk_rig_start(&f, 0);
    bulk_rig_wait(&f);
    g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
    if (sandbox->no_threads) {
        check_nothing_saved(&f);
    } else {
        bulk_rig_check_progress(&f);
        bulk_rig_check_file(&f);
    }
    bulk_rig_teardown(&f);
}

/* A process cannot leave a sandbox, so a child enters it. */
static void test_sandbox(const void *opaque)
{
    if (g_test_subprocess()) {
        save(opaque);
        /* At exit LeakSanitizer would start a process, which is forbidden. */
        _exit(EXIT_SUCCESS);
    }
    g_test_trap_subprocess(NULL, 60 * G_USEC_PER_SEC,
                           G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
}

int main(int argc, char **argv)
{
    static const Sandbox sandboxes[] = {
        { .name = "pwritev2", .calls = { __NR_pwritev2 } },
        { .name = "sync-file-range", .way = PLAIN,
          .calls = { __NR_sync_file_range } },
        { .name = "fadvise", .way = PLAIN, .calls = { __NR_fadvise64 } },
        { .name = "fallocate", .calls = { __NR_fallocate } },
        { .name = "madvise", .calls = { __NR_madvise } },
        { .name = "madvise/direct", .way = DIRECT, .calls = { __NR_madvise } },
        { .name = "io-uring/setup", .way = DIRECT,
          .calls = { __NR_io_uring_setup } },
        { .name = "io-uring/enter", .way = DIRECT,
          .calls = { __NR_io_uring_enter } },
        { .name = "pagemap-scan", .no_scan = true },
        { .name = "no-threads", .no_threads = true,
          .calls = { __NR_clone, __NR_clone3 } },
        { .name = "all", .no_scan = true,
          .calls = { __NR_pwritev2, __NR_sync_file_range, __NR_madvise } },
        { .name = "all/direct", .way = DIRECT, .no_scan = true,
          .calls = { __NR_io_uring_setup, __NR_madvise } },
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(sandboxes); i++) {
        g_autofree char *path = g_strdup_printf("/fixed-ram/sandbox/%s",
                                                sandboxes[i].name);

        g_test_add_data_func(path, &sandboxes[i], test_sandbox);
    }
    return g_test_run();
}

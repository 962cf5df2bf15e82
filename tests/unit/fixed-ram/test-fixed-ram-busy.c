/*
 * fixed-ram: unit tests of userfaultfd where the kernel is always busy
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "migration/fixed-ram/engine/uffd.h"

static unsigned long busy_request;      /* this request fails with EAGAIN */
static unsigned busy_calls;

/* Takes the place of the C library's function in this program. */
int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *arg;

    va_start(args, request);
    arg = va_arg(args, void *);
    va_end(args);
    if (busy_request && request == busy_request) {
        busy_calls++;
        errno = EAGAIN;
        return -1;
    }
    return syscall(SYS_ioctl, fd, request, arg);
}

/* A thread that places pages fails some time, and does not try for ever. */
static void test_busy(void)
{
    size_t size = qemu_real_host_page_size();
    FixedRamUffd uffd = { .fd = -1, .can_poison = true };
    g_autofree uint8_t *buf = g_malloc(size);
    uint64_t done;

    busy_request = UFFDIO_COPY;
    g_assert_cmpint(fixed_ram_uffd_copy(&uffd, buf, buf, size, size, &done),
                    ==, -EAGAIN);
    g_assert_cmpuint(done, ==, 0);
    busy_request = UFFDIO_ZEROPAGE;
    g_assert_cmpint(fixed_ram_uffd_zero(&uffd, buf, size), ==, -EAGAIN);
    busy_request = UFFDIO_POISON;
    g_assert_cmpint(fixed_ram_uffd_poison(&uffd, buf, size), ==, -EAGAIN);
    busy_request = 0;
    /* Not at once, either. */
    g_assert_cmpuint(busy_calls, >, 300);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/busy/place", test_busy);
    return g_test_run();
}

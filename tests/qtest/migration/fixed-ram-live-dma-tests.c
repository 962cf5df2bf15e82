/*
 * QTest testcases for fixed-ram: devices write to RAM while it is saved live
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-driver.h"
#include "migration/fixed-ram-live.h"
#include "standard-headers/linux/virtio_blk.h"

#define DISK        "disk"
#define REQUEST     (1 * MiB)   /* bytes */

/* A disk of zeros as large as the pattern. */
static void make_disk(void)
{
    g_autofree char *path = frt_path(DISK);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, PATTERN_BYTES), ==, 0);
    close(fd);
}

/* The device reads a part of the disk to @addr. */
static void read_disk(FixedRamDriver *d, uint64_t addr, uint64_t sector)
{
    struct virtio_blk_outhdr header = {
        .type = cpu_to_le32(VIRTIO_BLK_T_IN), .sector = cpu_to_le64(sector),
    };
    uint64_t status = d->page + sizeof(header);
    QVirtQueue *vq = d->queues[0];
    uint32_t head;

    qtest_memwrite(d->qts, d->page, &header, sizeof(header));
    qtest_writeb(d->qts, status, 0xff);
    head = qvirtqueue_add(d->qts, vq, d->page, sizeof(header), false, true);
    qvirtqueue_add(d->qts, vq, addr, REQUEST, true, true);
    qvirtqueue_add(d->qts, vq, status, 1, true, false);
    frt_driver_kick(d, vq, head);
    g_assert_cmpint(qtest_readb(d->qts, status), ==, VIRTIO_BLK_S_OK);
}

/*
 * The kernel writes what it reads of the disk to memory that no saver has
 * reached, for a thread of QEMU's that has no vCPU.
 */
static void test_disk(const char *cache)
{
    g_autofree char *path = frt_path(DISK);
    g_autofree char *opts = g_strdup_printf(
        "-drive if=none,id=zeros,format=raw,file=%s,cache=%s "
        "-device virtio-blk-pci,drive=zeros,addr=9,disable-legacy=on", path,
        cache);
    FixedRamTest args = { .save = FR_BUFFERED, .start.opts_source = opts };
    FixedRamDriver d;

    make_disk();
    if (!frt_live_begin_held_late(&args)) {
        return;
    }
    frt_driver_start(&d, args.from, 0, 1);
    for (uint64_t at = 0; at < PATTERN_BYTES; at += REQUEST) {
        read_disk(&d, PATTERN_START + at, at / 512);
    }
    g_assert_cmpuint(qtest_readq(args.from, PATTERN_START), ==, 0);
    frt_driver_end(&d);
    frt_live_release(&args);
}

static void test_buffered(void)
{
    test_disk("writeback");
}

/* The kernel hands the memory to the disk. */
static void test_direct(void)
{
    test_disk("none");
}

static const FixedRamCase cases[] = {
    { "buffered", test_buffered },
    { "direct", test_direct },
};

void frt_add_live_dma_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "live-dma", cases, ARRAY_SIZE(cases));
}

/*
 * QTest testcases for fixed-ram: virtio devices that give memory back
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include "libqtest.h"
#include "migration/fixed-ram-driver.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-live.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "standard-headers/linux/virtio_mem.h"

/*
 * Balloon
 */

enum { INFLATE, DEFLATE, STATS, REPORT };

#define BALLOON "-device virtio-balloon-pci,id=balloon0,addr=9," \
    "free-page-reporting=on"

/* Pages of the pattern that are data: these have no zero pages. */
#define INFLATED                (PATTERN_START + 6 * MiB)
#define REPORTED                (PATTERN_START + 7 * MiB)

static void balloon_pfn(FixedRamDriver *d, int queue, uint64_t addr)
{
    qtest_writel(d->qts, d->page, addr >> VIRTIO_BALLOON_PFN_SHIFT);
    frt_driver_send(d, queue, d->page, 4, false);
}

static void balloon_report(FixedRamDriver *d, uint64_t addr)
{
    frt_driver_send(d, REPORT, addr, SNAPSHOT_PAGE_SIZE, true);
}

static bool page_is_zero(QTestState *qts, uint64_t addr)
{
    g_autofree uint8_t *page = g_malloc(SNAPSHOT_PAGE_SIZE);

    qtest_bufread(qts, addr, page, SNAPSHOT_PAGE_SIZE);
    return buffer_is_zero(page, SNAPSHOT_PAGE_SIZE);
}

/* Pages that are missing, then pages that are present. */
static void balloon_action(FixedRamTest *t, bool paused)
{
    uint64_t pos = paused ? MiB / 2 : 0;
    FixedRamDriver d;

    frt_driver_start(&d, t->to, 1ull << VIRTIO_BALLOON_F_REPORTING, 4);
    qtest_qmp_assert_success(t->to, "{ 'execute': 'balloon', "
                             "'arguments': { 'value': %d } }", 100 << 20);
    balloon_pfn(&d, INFLATE, INFLATED + pos);
    balloon_pfn(&d, DEFLATE, INFLATED + pos);
    balloon_report(&d, REPORTED + pos);
    if (!paused) {
        g_assert_false(page_is_zero(t->to, INFLATED));
        g_assert_false(page_is_zero(t->to, REPORTED));
    }
    balloon_pfn(&d, INFLATE, INFLATED);
    balloon_report(&d, REPORTED);
    frt_driver_end(&d);
}

/* The balloon gives nothing back during the load, but it does afterwards. */
static void test_balloon(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.opts_source = BALLOON,
        .start.opts_target = BALLOON,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    FixedRamDriver d;

    if (!frt_in_both_states(&args, balloon_action)) {
        return;
    }
    frt_load_rest(&args);
    frt_compare_ram_up_to(&args, FRT_DRIVER_START);
    frt_driver_start(&d, args.to, 1ull << VIRTIO_BALLOON_F_REPORTING, 4);
    balloon_pfn(&d, INFLATE, INFLATED);
    balloon_report(&d, REPORTED);
    g_assert_true(page_is_zero(args.to, INFLATED));
    g_assert_true(page_is_zero(args.to, REPORTED));
    g_assert_false(page_is_zero(args.to, INFLATED + SNAPSHOT_PAGE_SIZE));
    frt_driver_end(&d);
    frt_end(&args);
}

/* What the guest gives back before it is saved stays where it is. */
static void test_balloon_live(void)
{
    FixedRamTest args = { .save = FR_BUFFERED, .start.opts_source = BALLOON };
    FixedRamDriver d;

    if (!frt_live_begin_held_late(&args)) {
        return;
    }
    frt_driver_start(&d, args.from, 1ull << VIRTIO_BALLOON_F_REPORTING, 4);
    balloon_pfn(&d, INFLATE, INFLATED);
    balloon_report(&d, REPORTED);
    frt_driver_end(&d);
    g_assert_false(page_is_zero(args.from, INFLATED));
    g_assert_false(page_is_zero(args.from, REPORTED));
    frt_live_release(&args);
}

/*
 * RAM that is a mapping of the snapshot: a page that was given back must not
 * show the snapshot's content again.
 */
static void test_balloon_mapped(void)
{
    FixedRamTest args = {
        .start.opts_source = BALLOON,
        .start.opts_target = BALLOON,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };
    FixedRamDriver d;

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_false(page_is_zero(args.to, INFLATED));
    g_assert_false(page_is_zero(args.to, REPORTED));
    frt_driver_start(&d, args.to, 1ull << VIRTIO_BALLOON_F_REPORTING, 4);
    balloon_pfn(&d, INFLATE, INFLATED);
    balloon_report(&d, REPORTED);
    g_assert_true(page_is_zero(args.to, INFLATED));
    g_assert_true(page_is_zero(args.to, REPORTED));
    g_assert_false(page_is_zero(args.to, INFLATED + SNAPSHOT_PAGE_SIZE));
    g_assert_false(page_is_zero(args.to, REPORTED - SNAPSHOT_PAGE_SIZE));
    balloon_pfn(&d, DEFLATE, INFLATED);
    qtest_writel(args.to, INFLATED, 0x12345678);
    g_assert_cmphex(qtest_readl(args.to, INFLATED), ==, 0x12345678);
    frt_driver_end(&d);
    frt_end(&args);
}

/* The guest gives pages back that are the snapshot's. */
static void give_pages_back(QTestState *qts)
{
    FixedRamDriver d;

    frt_driver_start(&d, qts, 1ull << VIRTIO_BALLOON_F_REPORTING, 4);
    for (uint64_t pos = 0; pos < MiB / 2; pos += 3 * SNAPSHOT_PAGE_SIZE) {
        balloon_pfn(&d, INFLATE, INFLATED + pos);
    }
    balloon_report(&d, REPORTED);
    qtest_writel(qts, REPORTED, 0x12345678);
    g_assert_true(page_is_zero(qts, INFLATED));
    frt_driver_end(&d);
}

/* They are the snapshot's again after a rollback. */
static void test_balloon_rollback(void)
{
    FixedRamTest args = {
        .start.opts_source = BALLOON,
        .start.opts_target = BALLOON,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    for (int i = 0; i < 3; i++) {
        give_pages_back(args.to);
        frt_roll_back(&args);
        g_assert_false(page_is_zero(args.to, INFLATED));
    }
    frt_compare_ram(&args);
    frt_end(&args);
}

/* The host cannot map them again: the VM must not go on as it is. */
static void test_balloon_rollback_fails(void)
{
    const FixedRamFaultsRule no_maps = {
        .mode = FIXED_RAM_FAULTS_MAP_ERROR, .error = ENOMEM,
    };
    FixedRamTest args = {
        .start.opts_source = BALLOON,
        .start.opts_target = BALLOON,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_load(&args);
    give_pages_back(args.to);
    frt_faults_set(0, &no_maps);
    frt_assert_refused(args.to, "failed half-way|block 'pc.ram' cannot be "
                       "restored|Cannot allocate memory", FRT_ROLLBACK);
    frt_assert_refused(args.to, "Resetting the Virtual Machine is required",
                       "{ 'execute': 'cont' }");
    frt_faults_off(0);
    frt_roll_back(&args);
    frt_compare_ram(&args);
    frt_faults_end(&args);
}

/*
 * Virtio-mem
 */

#define MEM_MACHINE "-m 150M,slots=2,maxmem=1G"
#define MEM_BLOCK               (2 * MiB)
#define MEM_PLUGGED             (4 * MiB)
#define MEM "-object memory-backend-ram,id=vmem0,size=64M " \
    "-device virtio-mem-pci,id=vm0,memdev=vmem0,addr=9,block-size=2M," \
    "requested-size=4M,prealloc="

static uint16_t mem_request(FixedRamDriver *d, uint16_t type, uint64_t addr,
                            uint16_t blocks, uint16_t *state)
{
    struct virtio_mem_req req = {
        .type = cpu_to_le16(type),
        .u.plug.addr = cpu_to_le64(addr),
        .u.plug.nb_blocks = cpu_to_le16(blocks),
    };
    uint64_t resp = d->page + sizeof(req);
    QVirtQueue *vq = d->queues[0];
    uint32_t head;

    qtest_memwrite(d->qts, d->page, &req, sizeof(req));
    head = qvirtqueue_add(d->qts, vq, d->page, sizeof(req), false, true);
    qvirtqueue_add(d->qts, vq, resp, sizeof(struct virtio_mem_resp), true,
                   false);
    frt_driver_kick(d, vq, head);
    if (state) {
        *state = qtest_readw(d->qts, resp +
                             offsetof(struct virtio_mem_resp, u.state.state));
    }
    return qtest_readw(d->qts, resp);
}

static uint64_t mem_addr(FixedRamDriver *d)
{
    return qvirtio_config_readq(&d->pci.vdev,
                                offsetof(struct virtio_mem_config, addr));
}

static void mem_start(FixedRamDriver *d, QTestState *qts)
{
    frt_driver_start(d, qts,
                     1ull << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE, 1);
}

static void mem_action(FixedRamTest *t, bool paused)
{
    uint16_t state;
    FixedRamDriver d;

    mem_start(&d, t->to);
    qtest_qmp_assert_success(t->to, "{ 'execute': 'qom-set', 'arguments': "
                             "{ 'path': 'vm0', 'property': 'requested-size', "
                             "'value': %d } }", paused ? 32 << 20 : 16 << 20);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_STATE, mem_addr(&d), 2,
                                 &state), ==, VIRTIO_MEM_RESP_ACK);
    g_assert_cmpuint(state, ==, VIRTIO_MEM_STATE_PLUGGED);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_UNPLUG, mem_addr(&d), 1,
                                 NULL), ==, VIRTIO_MEM_RESP_BUSY);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_UNPLUG_ALL, 0, 0, NULL),
                     ==, VIRTIO_MEM_RESP_BUSY);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_PLUG, mem_addr(&d) +
                                 MEM_PLUGGED, 1, NULL), ==,
                     VIRTIO_MEM_RESP_BUSY);
    frt_driver_end(&d);
}

static void test_mem(const char *prealloc)
{
    g_autofree char *opts = g_strconcat(MEM, prealloc, NULL);
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.memory_backend = MEM_MACHINE,
        .start.opts_source = opts,
        .start.opts_target = opts,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    uint64_t addr;
    FixedRamDriver d;

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    mem_start(&d, args.from);
    addr = mem_addr(&d);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_PLUG, addr, 2, NULL),
                     ==, VIRTIO_MEM_RESP_ACK);
    qtest_memset(args.from, addr, 0x5a, MEM_PLUGGED);
    frt_driver_end(&d);
    frt_save(&args);

    frt_begin_crawl(&args);
    mem_action(&args, false);
    frt_pause(&args);
    mem_action(&args, true);
    frt_recover(&args);
    frt_load_rest(&args);
    frt_compare_ram_up_to(&args, FRT_DRIVER_START);

    mem_start(&d, args.to);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_UNPLUG, addr, 1, NULL),
                     ==, VIRTIO_MEM_RESP_ACK);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_PLUG, addr + MEM_PLUGGED,
                                 1, NULL), ==, VIRTIO_MEM_RESP_ACK);
    g_assert_true(page_is_zero(args.to, addr + MEM_PLUGGED));
    g_assert_false(page_is_zero(args.to, addr + MEM_BLOCK));
    frt_driver_end(&d);
    frt_end(&args);
}

static void test_mem_plain(void)
{
    test_mem("off");
}

static void test_mem_prealloc(void)
{
    test_mem("on");
}

/* Neither preallocation nor unplugged memory brings or loses content. */
static void test_mem_mapped(void)
{
    FixedRamTest args = {
        .start.memory_backend = MEM_MACHINE,
        .start.opts_source = MEM "on",
        .start.opts_target = MEM "on",
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };
    uint64_t addr;
    FixedRamDriver d;

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    mem_start(&d, args.from);
    addr = mem_addr(&d);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_PLUG, addr, 2, NULL),
                     ==, VIRTIO_MEM_RESP_ACK);
    qtest_memset(args.from, addr, 0x5a, MEM_PLUGGED);
    frt_driver_end(&d);
    frt_save(&args);
    frt_load(&args);

    mem_start(&d, args.to);
    g_assert_cmphex(qtest_readb(args.to, addr), ==, 0x5a);
    g_assert_cmphex(qtest_readb(args.to, addr + MEM_PLUGGED - 1), ==, 0x5a);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_UNPLUG, addr, 1, NULL),
                     ==, VIRTIO_MEM_RESP_ACK);
    g_assert_cmpuint(mem_request(&d, VIRTIO_MEM_REQ_PLUG, addr, 1, NULL),
                     ==, VIRTIO_MEM_RESP_ACK);
    g_assert_true(page_is_zero(args.to, addr));
    g_assert_false(page_is_zero(args.to, addr + MEM_BLOCK));
    frt_driver_end(&d);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "balloon", test_balloon },
    { "balloon-live", test_balloon_live },
    { "balloon-mapped", test_balloon_mapped },
    { "balloon-rollback", test_balloon_rollback },
    { "balloon-rollback-fails", test_balloon_rollback_fails },
    { "mem", test_mem_plain },
    { "mem-prealloc", test_mem_prealloc },
    { "mem-mapped", test_mem_mapped },
};

void frt_add_virtio_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "virtio", cases, ARRAY_SIZE(cases));
}

/*
 * QTest testcases for fixed-ram: the guest's memory is looked at from outside
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "elf.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

/*
 * To a file
 */

/* Check that the file holds the guest's memory from @pos on. */
static void assert_file_holds(FixedRamTest *t, const char *name, uint64_t pos,
                              uint64_t addr, uint64_t size)
{
    g_autofree char *file = frt_path(name);
    g_autofree char *text = NULL;
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    const SnapshotBlock *block = frt_pattern_block(t, s);
    gsize length;

    g_assert(g_file_get_contents(file, &text, &length, NULL));
    g_assert_cmpuint(length, >=, pos + size);
    for (uint64_t i = 0; i < size; i += SNAPSHOT_PAGE_SIZE) {
        g_assert(!memcmp(text + pos + i,
                         snapshot_page(block, (addr + i) / SNAPSHOT_PAGE_SIZE),
                         SNAPSHOT_PAGE_SIZE));
    }
}

static void test_memory(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    g_autofree char *path = frt_path("other");

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'pmemsave', 'arguments': "
                             "{ 'val': %" PRIu64 ", 'size': %" PRIu64
                             ", 'filename': %s } }", PATTERN_START, MiB,
                             path);
    assert_file_holds(&args, "other", 0, PATTERN_START, MiB);
    frt_pause(&args);
    frt_assert_waits(&args, "{ 'execute': 'pmemsave', 'id': 'waits', "
                     "'arguments': { 'val': %" PRIu64 ", 'size': %"
                     PRIu64 ", 'filename': %s } }",
                     PATTERN_START + MiB, MiB, path);
    assert_file_holds(&args, "other", 0, PATTERN_START + MiB, MiB);
    frt_pause(&args);
    frt_assert_waits(&args, "{ 'execute': 'memsave', 'id': 'waits', "
                     "'arguments': { 'val': %" PRIu64 ", 'size': %"
                     PRIu64 ", 'filename': %s } }",
                     PATTERN_START + 2 * MiB, MiB, path);
    assert_file_holds(&args, "other", 0, PATTERN_START + 2 * MiB, MiB);
    frt_finish(&args);
}

/* An ELF file has the range as a segment of its own. */
static uint64_t find_segment(const char *name, uint64_t addr, uint64_t size)
{
    g_autofree char *file = frt_path(name);
    g_autofree char *text = NULL;
    const Elf64_Ehdr *head;
    const Elf64_Phdr *segment;
    gsize length;
    unsigned i = 0;

    g_assert(g_file_get_contents(file, &text, &length, NULL));
    g_assert_cmpuint(length, >, sizeof(*head));
    head = (const Elf64_Ehdr *)text;
    segment = (const Elf64_Phdr *)(text + head->e_phoff);
    while (segment[i].p_type != PT_LOAD || segment[i].p_paddr != addr) {
        i++;
        g_assert_cmpuint(i, <, head->e_phnum);
    }
    g_assert_cmpuint(segment[i].p_filesz, ==, size);
    return segment[i].p_offset;
}

static void assert_dumped(FixedRamTest *t, uint64_t addr)
{
    assert_file_holds(t, "other", find_segment("other", addr, MiB), addr, MiB);
}

#define DUMP "{ 'execute': 'dump-guest-memory', 'id': 'waits', " \
    "'arguments': { 'paging': false, 'protocol': %s, 'begin': %" PRIu64 ", " \
    "'length': %" PRIu64 ", 'detach': %i } }"

static bool dump_is(QTestState *qts, const char *what)
{
    QDict *rsp = qtest_qmp_assert_success_ref(qts,
                                              "{ 'execute': 'query-dump' }");
    const char *status = qdict_get_str(rsp, "status");
    bool is = g_str_equal(status, what);

    g_assert_cmpstr(status, !=, "failed");
    qobject_unref(rsp);
    return is;
}

static void test_dump(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    g_autofree char *uri = frt_file_uri("other");

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    qtest_qmp_assert_success(args.to, DUMP, uri, PATTERN_START, MiB, false);
    assert_dumped(&args, PATTERN_START);

    frt_pause(&args);
    frt_assert_waits(&args, DUMP, uri, PATTERN_START + MiB, MiB, false);
    assert_dumped(&args, PATTERN_START + MiB);

    /* The dump's own thread waits. */
    frt_pause(&args);
    qtest_qmp_assert_success(args.to, DUMP, uri, PATTERN_START + 2 * MiB, MiB,
                             true);
    g_usleep(300000);
    g_assert_true(dump_is(args.to, "active"));
    frt_recover(&args);
    while (!dump_is(args.to, "completed")) {
        g_usleep(1000);
    }
    assert_dumped(&args, PATTERN_START + 2 * MiB);
    frt_finish(&args);
}

/*
 * The rate at which the guest changes its memory
 */

static bool dirty_rate_is(QTestState *qts, const char *what)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-dirty-rate' }");
    bool is = g_str_equal(qdict_get_str(rsp, "status"), what);

    qobject_unref(rsp);
    return is;
}

static void begin_dirty_rate(QTestState *qts, const char *mode)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'calc-dirty-rate', "
                             "'arguments': { 'calc-time': 50, "
                             "'calc-time-unit': 'millisecond', "
                             "'mode': %s } }", mode);
}

static void wait_dirty_rate(QTestState *qts)
{
    while (!dirty_rate_is(qts, "measured")) {
        g_usleep(1000);
    }
}

static void test_dirty_rate(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    begin_dirty_rate(args.to, "page-sampling");
    wait_dirty_rate(args.to);
    begin_dirty_rate(args.to, "dirty-bitmap");
    wait_dirty_rate(args.to);

    frt_pause(&args);
    begin_dirty_rate(args.to, "dirty-bitmap");
    wait_dirty_rate(args.to);
    /* The measurement reads memory, in a thread of its own. */
    begin_dirty_rate(args.to, "page-sampling");
    g_usleep(500000);
    g_assert_true(dirty_rate_is(args.to, "measuring"));
    frt_recover(&args);
    wait_dirty_rate(args.to);
    frt_finish(&args);
}

/*
 * A debugger
 */

/* QEMU's end of a socket, as a character device. */
static int gdb_connect(QTestState *qts)
{
    g_autofree char *text = NULL;
    int fd[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), ==, 0);
    qtest_qmp_fds_assert_success(qts, &fd[1], 1, "{ 'execute': 'getfd', "
                                 "'arguments': { 'fdname': 'gdb' } }");
    close(fd[1]);
    qtest_qmp_assert_success(
        qts, "{ 'execute': 'chardev-add', 'arguments': { 'id': 'gdb0', "
        "'backend': { 'type': 'socket', 'data': { 'server': false, 'addr': "
        "{ 'type': 'fd', 'data': { 'str': 'gdb' } } } } } }");
    text = qtest_hmp(qts, "gdbserver chardev:gdb0");
    return fd[0];
}

static void gdb_send(int fd, const char *packet)
{
    g_autofree char *text = NULL;
    uint8_t sum = 0;

    for (size_t i = 0; packet[i]; i++) {
        sum += packet[i];
    }
    text = g_strdup_printf("+$%s#%02x", packet, sum);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
}

/* The reply's content, without the frame of the packet. */
static char *gdb_reply(int fd)
{
    GString *text = g_string_new(NULL);
    char c = 0, sum[2];

    while (c != '#') {
        g_assert_cmpint(read(fd, &c, 1), ==, 1);
        if (c == '$') {
            g_string_truncate(text, 0);
        } else if (c != '#') {
            g_string_append_c(text, c);
        }
    }
    g_assert_cmpint(recv(fd, sum, sizeof(sum), MSG_WAITALL), ==, sizeof(sum));
    return g_string_free(text, false);
}

/* The 8 bytes there, as the protocol writes them. */
static char *hex_bytes(FixedRamTest *t, uint64_t addr)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    const uint8_t *page = snapshot_page(frt_pattern_block(t, s),
                                        addr / SNAPSHOT_PAGE_SIZE);

    return g_strdup_printf("%016" PRIx64, ldq_be_p(page));
}

static void gdb_request_read(int fd, uint64_t addr)
{
    g_autofree char *packet = g_strdup_printf("m%" PRIx64 ",8", addr);

    gdb_send(fd, packet);
}

static void gdb_assert_reply(int fd, const char *want)
{
    g_autofree char *reply = gdb_reply(fd);

    g_assert_cmpstr(reply, ==, want);
}

static void gdb_assert_reads(FixedRamTest *t, int fd, uint64_t addr)
{
    g_autofree char *want = hex_bytes(t, addr);

    gdb_assert_reply(fd, want);
}

static void gdb_request_write(int fd, uint64_t addr, const char *bytes)
{
    g_autofree char *packet = g_strdup_printf("M%" PRIx64 ",8:%s", addr,
                                              bytes);

    gdb_send(fd, packet);
}

static void gdb_write(int fd, uint64_t addr, const char *bytes)
{
    gdb_request_write(fd, addr, bytes);
    gdb_assert_reply(fd, "OK");
}

/* The packet is acknowledged, but there is no reply. */
static void assert_no_reply(int fd)
{
    GPollFD poll = { .fd = fd, .events = G_IO_IN };
    char c;

    while (g_poll(&poll, 1, 500)) {
        g_assert_cmpint(read(fd, &c, 1), ==, 1);
        g_assert_cmpint(c, ==, '+');
    }
}

static void test_gdb(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    const uint64_t written = PATTERN_START + 3 * MiB;
    char *before[2];
    int fd;

    if (!frt_prepare(&args)) {
        return;
    }
    before[0] = hex_bytes(&args, written);
    before[1] = hex_bytes(&args, written + MiB);
    frt_begin_crawl(&args);
    fd = gdb_connect(args.to);
    gdb_request_read(fd, PATTERN_START);
    gdb_assert_reads(&args, fd, PATTERN_START);
    gdb_write(fd, written, "0123456789abcdef");

    frt_pause(&args);
    gdb_request_read(fd, PATTERN_START + MiB);
    assert_no_reply(fd);
    migrate_recover(args.to, args.uri);
    gdb_assert_reads(&args, fd, PATTERN_START + MiB);
    frt_wait_status(args.to, "postcopy-active");

    frt_pause(&args);
    gdb_request_write(fd, written + MiB, "0123456789abcdef");
    assert_no_reply(fd);
    migrate_recover(args.to, args.uri);
    gdb_assert_reply(fd, "OK");

    frt_load_rest(&args);
    for (int i = 0; i < 2; i++) {
        gdb_request_read(fd, written + i * MiB);
        gdb_assert_reply(fd, "0123456789abcdef");
        gdb_write(fd, written + i * MiB, before[i]);
        g_free(before[i]);
    }
    close(fd);
    frt_check(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "memory", test_memory },
    { "dump", test_dump },
    { "dirty-rate", test_dirty_rate },
    { "gdb", test_gdb },
};

void frt_add_monitor_access_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "monitor-access", cases, ARRAY_SIZE(cases));
}

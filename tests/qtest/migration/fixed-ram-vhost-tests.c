/*
 * QTest testcases for fixed-ram: vhost devices, which use RAM by themselves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-driver.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

#ifdef CONFIG_LINUX
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#endif

/*
 * vhost-user: another process has RAM mapped
 */

/* The part of the protocol that a back end needs. */
typedef struct VhostUserMessage {
    uint32_t request;
    uint32_t flags;
    uint32_t size;
    uint64_t value;
} QEMU_PACKED VhostUserMessage;

#define VHOST_USER_HEADER       offsetof(VhostUserMessage, value)
#define VHOST_USER_IS_REPLY     0x5
#define VHOST_USER_GET_FEATURES 1
#define VHOST_USER_GET_PROTOCOL_FEATURES 15
#define VHOST_USER_GET_CONFIG   24
/* It has protocol features, can do the base's postcopy, and has a config. */
#define VHOST_USER_FEATURES     (1ULL << 30)
#define VHOST_USER_PROTOCOL_FEATURES (1ULL << 8 | 1ULL << 9)

/* A back end for one connection to the file "copy". */
typedef struct Backend {
    char *path;
    int sock;
    int conn;
    bool hang_up;               /* at the first message */
    unsigned messages;
    GThread *thread;
} Backend;

/* The message is complete; @payload follows its header. */
static bool backend_answer(int fd, VhostUserMessage *msg, const char *payload)
{
    msg->flags = VHOST_USER_IS_REPLY;
    if (msg->request == VHOST_USER_GET_CONFIG) {
        return send(fd, msg, VHOST_USER_HEADER, MSG_NOSIGNAL | MSG_MORE) ==
               VHOST_USER_HEADER &&
               send(fd, payload, msg->size, MSG_NOSIGNAL) == msg->size;
    }
    if (msg->request != VHOST_USER_GET_FEATURES &&
        msg->request != VHOST_USER_GET_PROTOCOL_FEATURES) {
        return true;
    }
    msg->size = sizeof(msg->value);
    msg->value = msg->request == VHOST_USER_GET_FEATURES
        ? VHOST_USER_FEATURES : VHOST_USER_PROTOCOL_FEATURES;
    return send(fd, msg, sizeof(*msg), MSG_NOSIGNAL) == sizeof(*msg);
}

static void *backend_thread(void *opaque)
{
    Backend *b = opaque;
    int fd = accept(b->sock, NULL, NULL);
    VhostUserMessage msg;
    char payload[4096];

    qatomic_set(&b->conn, fd);
    while (recv(fd, &msg, VHOST_USER_HEADER, MSG_WAITALL) ==
           VHOST_USER_HEADER) {
        b->messages++;
        if (b->hang_up || msg.size > sizeof(payload) ||
            (msg.size && recv(fd, payload, msg.size, MSG_WAITALL) !=
             msg.size) ||
            !backend_answer(fd, &msg, payload)) {
            break;
        }
    }
    close(fd);
    return NULL;
}

static void backend_start(Backend *b, bool hang_up)
{
    *b = (Backend) {
        .path = frt_path("copy"),
        .hang_up = hang_up,
    };
    b->sock = qtest_socket_server(b->path);
    b->thread = g_thread_new("vhost-user", backend_thread, b);
}

/* The connection is closed by QEMU, or was shut down. */
static void backend_end(Backend *b)
{
    g_thread_join(b->thread);
    close(b->sock);
    unlink(b->path);
    g_free(b->path);
}

#define SHARED_MEMORY "-m %s -machine memory-backend=mem0 -object " \
    "memory-backend-memfd,id=mem0,size=150M"

/* @mode: of fixed-ram-load-mode, or NULL */
static void user_before(unsigned load, const char *mode)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.memory_backend = SHARED_MEMORY,
        .save = FR_FIXED,
        .load = load,
        .load_mode = mode,
    };
    g_autofree char *opts = NULL;
    Backend backend;

    if (!frt_prepare(&args)) {
        return;
    }
    backend_start(&backend, false);
    opts = g_strdup_printf("-chardev socket,id=chr0,path=%s -netdev vhost-user,"
                           "id=net0,chardev=chr0", backend.path);
    frt_restart_target(&args, "defer", opts);
    frt_set_mode(args.to, load);
    if (mode) {
        migrate_set_parameter_str(args.to, "fixed-ram-load-mode", mode);
    }
    frt_assert_refused(args.to, "vhost-user",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", args.uri);
    g_assert_cmpstr(args.events->str, ==, "");
    g_assert_false(frt_running(args.to));
    frt_end(&args);
    backend_end(&backend);
}

static void test_user_before(void)
{
    user_before(FR_DEMAND, NULL);
}

static void test_user_mapped(void)
{
    user_before(FR_FIXED, "mapped");
}

static void add_chardev(QTestState *qts, const char *path)
{
    qtest_qmp_assert_success(
        qts, "{ 'execute': 'chardev-add', 'arguments': { 'id': 'chr0', "
        "'backend': { 'type': 'socket', 'data': { 'server': false, 'addr': "
        "{ 'type': 'unix', 'data': { 'path': %s } } } } } }", path);
}

#define ADD_VSOCK "{ 'execute': 'device_add', 'arguments': { 'driver': " \
    "'vhost-user-vsock-pci', 'id': 'vsock0', 'chardev': 'chr0' } }"

static void user_action(FixedRamTest *t, bool paused)
{
    Backend backend;

    backend_start(&backend, false);
    add_chardev(t->to, backend.path);
    frt_assert_refused(t->to, "still being loaded", ADD_VSOCK);
    /* QEMU prints the reason to standard error and removes the chardev. */
    frt_assert_refused(t->to, "vhost-user",
                       "{ 'execute': 'netdev_add', 'arguments': "
                       "{ 'type': 'vhost-user', 'id': 'net0', "
                       "'chardev': 'chr0' } }");
    backend_end(&backend);
}

static void test_user_plugged(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.memory_backend = SHARED_MEMORY,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (frt_in_both_states(&args, user_action)) {
        frt_finish(&args);
    }
}

/* Wait until QEMU has noticed that the back end is gone. */
static void load_begin_without_backend(FixedRamTest *t)
{
    bool refused = true;

    frt_set_mode(t->to, t->load);
    migrate_set_parameter_int(t->to, "max-postcopy-bandwidth", 1);
    while (refused) {
        QDict *rsp = qtest_qmp(t->to, "{ 'execute': 'migrate-incoming', "
                               "'arguments': { 'uri': %s } }", t->uri);

        refused = qdict_haskey(rsp, "error");
        qobject_unref(rsp);
        g_usleep(1000);
    }
    frt_wait_status(t->to, "postcopy-active");
}

/* A device whose back end disconnects, and reconnects during the load. */
static void test_user_again(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.memory_backend = SHARED_MEMORY,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *opts = NULL;
    Backend backend;

    if (!frt_prepare(&args)) {
        return;
    }
    backend_start(&backend, false);
    opts = g_strdup_printf("-chardev socket,id=chr0,path=%s,reconnect-ms=50 "
                           "-device vhost-user-blk-pci,chardev=chr0",
                           backend.path);
    frt_restart_target(&args, "defer", opts);
    shutdown(qatomic_read(&backend.conn), SHUT_RDWR);
    backend_end(&backend);
    load_begin_without_backend(&args);

    for (int paused = 0; paused < 2; paused++) {
        backend_start(&backend, true);
        backend_end(&backend);
        g_assert_cmpuint(backend.messages, ==, 0);
        if (!paused) {
            frt_pause(&args);
        }
    }
    frt_recover(&args);
    frt_load_rest(&args);
    frt_compare_ram_up_to(&args, 150 * MiB);
    frt_end(&args);
}

#ifdef CONFIG_LINUX
/*
 * vhost-net: a thread of the kernel reads and writes RAM
 */

#define VHOST_NET "-netdev tap,id=net0,script=no,downscript=no,vhost=on " \
    "-device virtio-net-pci,netdev=net0,addr=9"
#define NET_TX                  1
#define NET_PACKET              76      /* with virtio-net's header */

static bool may_use_vhost_net(void)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd = open("/dev/net/tun", O_RDWR);
    bool may = fd >= 0 && !ioctl(fd, TUNSETIFF, &ifr) &&
               !access("/dev/vhost-net", R_OK | W_OK);

    if (fd >= 0) {
        close(fd);
    }
    return may;
}

static void test_net(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.opts_source = VHOST_NET,
        .start.opts_target = VHOST_NET,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
        .crawl = true,
    };
    FixedRamDriver d;

    if (!may_use_vhost_net()) {
        g_test_skip("/dev/vhost-net or /dev/net/tun cannot be used");
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    frt_driver_start(&d, args.to, 0, 2);
    /* Only the device touches the pages that are sent. */
    for (unsigned i = 0; i < 4; i++) {
        frt_driver_send(&d, NET_TX, PATTERN_START + i * MiB, NET_PACKET,
                        false);
    }
    frt_load_rest(&args);
    frt_driver_end(&d);
    frt_check(&args);
    frt_end(&args);
}
#endif

static const FixedRamCase cases[] = {
    { "user-before", test_user_before },
    { "user-mapped", test_user_mapped },
    { "user-plugged", test_user_plugged },
    { "user-again", test_user_again },
#ifdef CONFIG_LINUX
    { "net", test_net },
#endif
};

void frt_add_vhost_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "vhost", cases, ARRAY_SIZE(cases));
}

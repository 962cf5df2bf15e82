/*
 * QTest testcases for fixed-ram: vhost devices, which use RAM by themselves
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

/*
 * vhost-user: another process has RAM mapped
 */

/* As much of the protocol as it takes to be a back end. */
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
/* It has protocol features, and can do the base's postcopy. */
#define VHOST_USER_FEATURES     (1ULL << 30)
#define VHOST_USER_PROTOCOL_FEATURES (1ULL << 8)

static void *backend_thread(void *opaque)
{
    int fd = accept((intptr_t)opaque, NULL, NULL);
    VhostUserMessage msg;
    char payload[4096];

    while (recv(fd, &msg, VHOST_USER_HEADER, MSG_WAITALL) ==
           VHOST_USER_HEADER) {
        if (msg.size > sizeof(payload) ||
            (msg.size && recv(fd, payload, msg.size, MSG_WAITALL) !=
             msg.size)) {
            break;
        }
        if (msg.request == VHOST_USER_GET_FEATURES ||
            msg.request == VHOST_USER_GET_PROTOCOL_FEATURES) {
            msg.flags = VHOST_USER_IS_REPLY;
            msg.size = sizeof(msg.value);
            msg.value = msg.request == VHOST_USER_GET_FEATURES
                ? VHOST_USER_FEATURES : VHOST_USER_PROTOCOL_FEATURES;
            if (send(fd, &msg, sizeof(msg), MSG_NOSIGNAL) != sizeof(msg)) {
                break;
            }
        }
    }
    close(fd);
    return NULL;
}

/* A back end for one connection to the file "copy". */
typedef struct Backend {
    char *path;
    int sock;
    GThread *thread;
} Backend;

static void backend_start(Backend *b)
{
    b->path = fixed_ram_path("copy");
    b->sock = qtest_socket_server(b->path);
    b->thread = g_thread_new("vhost-user", backend_thread,
                             (void *)(intptr_t)b->sock);
}

/* The connection is closed by QEMU. */
static void backend_end(Backend *b)
{
    g_thread_join(b->thread);
    close(b->sock);
    unlink(b->path);
    g_free(b->path);
}

#define SHARED_MEMORY "-m %s -machine memory-backend=mem0 -object " \
    "memory-backend-memfd,id=mem0,size=150M"

static void test_user_before(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.memory_backend = SHARED_MEMORY,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *opts = NULL;
    Backend backend;

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    backend_start(&backend);
    opts = g_strdup_printf("-chardev socket,id=chr0,path=%s -netdev vhost-user,"
                           "id=net0,chardev=chr0", backend.path);
    fixed_ram_restart_target(&args, "defer", opts);
    fixed_ram_set_mode(args.to, FR_DEMAND);
    fixed_ram_assert_refused(args.to, "vhost-user",
                             "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", args.uri);
    g_assert_cmpstr(args.events->str, ==, "");
    g_assert_false(fixed_ram_running(args.to));
    fixed_ram_end(&args);
    backend_end(&backend);
}

static void add_chardev(QTestState *who, const char *path)
{
    qtest_qmp_assert_success(
        who, "{ 'execute': 'chardev-add', 'arguments': { 'id': 'chr0', "
        "'backend': { 'type': 'socket', 'data': { 'server': false, 'addr': "
        "{ 'type': 'unix', 'data': { 'path': %s } } } } } }", path);
}

#define ADD_VSOCK "{ 'execute': 'device_add', 'arguments': { 'driver': " \
    "'vhost-user-vsock-pci', 'id': 'vsock0', 'chardev': 'chr0' } }"

static void user_action(FixedRamTest *t, bool paused)
{
    Backend backend;

    backend_start(&backend);
    add_chardev(t->to, backend.path);
    fixed_ram_assert_refused(t->to, "still being loaded", ADD_VSOCK);
    /* Its reason goes to standard error, and the chardev goes with it. */
    fixed_ram_assert_refused(t->to, "vhost-user",
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

    if (fixed_ram_in_both_states(&args, user_action)) {
        fixed_ram_finish(&args);
    }
}

static const FixedRamCase cases[] = {
    { "vhost/user-before", test_user_before },
    { "vhost/user-plugged", test_user_plugged },
};

void fixed_ram_add_vhost_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}

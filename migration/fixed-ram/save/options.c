/*
 * fixed-ram: which options of the command line a snapshot holds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "options.h"

/*
 * Options that make the machine.  All others say how this one process runs and
 * where it can be reached, or are secret, so an option that is not known here
 * is left out.
 */
static const char *const machine_options[] = {
    "", "M", "machine", "cpu", "accel", "enable-kvm", "smp", "m", "mem-path",
    "mem-prealloc", "numa", "icount", "overcommit", "rtc", "uuid", "name",
    "device", "blockdev", "drive", "hda", "hdb", "hdc", "hdd", "fda", "fdb",
    "cdrom", "mtdblock", "sd", "pflash", "snapshot", "fsdev", "virtfs",
    "netdev", "nic", "net", "audio", "audiodev", "vga", "g", "nographic", "usb",
    "usbdevice", "tpmdev", "boot", "bios", "L", "kernel", "initrd", "append",
    "dtb", "shim", "smbios", "acpitable", "fw_cfg", "prom-env", "option-rom",
    "semihosting", "semihosting-config", "nodefaults", "no-user-config",
    "readconfig", "set", "action", "no-reboot", "no-shutdown",
    "win2k-hack", "no-fd-bootchk", "compat",
};

static bool in_list(const char *name, const char *const *list, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (g_str_equal(name, list[i])) {
            return true;
        }
    }
    return false;
}

/*
 * Secrets
 */

/* Does @key, perhaps of a nested object, hold or name a secret? */
static bool is_secret_key(const char *key)
{
    g_autofree char *lower = g_ascii_strdown(key, -1);

    return strstr(lower, "password") || strstr(lower, "secret") ||
           strstr(lower, "cookie");
}

/* Remove "user:password@" of addresses from @text. */
static bool remove_users(GString *text)
{
    bool removed = false;
    size_t at = 0;
    char *found;

    while ((found = strstr(text->str + at, "://"))) {
        size_t from = found - text->str + strlen("://");
        size_t length = strcspn(text->str + from, "/,\"@");

        at = from;
        if (text->str[from + length] == '@') {
            g_string_erase(text, from, length + 1);
            removed = true;
        }
    }
    return removed;
}

/* The next "key=value" of @text; two commas stand for one in it. */
static size_t piece_length(const char *text)
{
    size_t length = 0;

    while (text[length] && (text[length] != ',' || text[length + 1] == ',')) {
        length += text[length] == ',' ? 2 : 1;
    }
    return length;
}

static char *piece_key(const char *piece, size_t length)
{
    const char *equals = memchr(piece, '=', length);

    return equals ? g_strndup(piece, equals - piece) : NULL;
}

/* @argument without pairs whose key is that of a secret */
static GString *keep_pairs(const char *argument, bool *removed)
{
    GString *out = g_string_new(NULL);

    for (;;) {
        size_t length = piece_length(argument);
        g_autofree char *key = piece_key(argument, length);

        if (key && is_secret_key(key)) {
            *removed = true;
        } else {
            g_string_append_len(out, argument, length);
            g_string_append_c(out, ',');
        }
        if (!argument[length]) {
            break;
        }
        argument += length + 1;
    }
    g_string_truncate(out, out->len ? out->len - 1 : 0);
    return out;
}

static bool remove_secrets(QObject *object)
{
    QDict *dict = qobject_to(QDict, object);
    QList *list = qobject_to(QList, object);
    const QDictEntry *next;
    QListEntry *item;
    bool removed = false;

    for (const QDictEntry *e = dict ? qdict_first(dict) : NULL; e; e = next) {
        next = qdict_next(dict, e);
        if (is_secret_key(qdict_entry_key(e))) {
            qdict_del(dict, qdict_entry_key(e));
            removed = true;
        } else {
            removed |= remove_secrets(qdict_entry_value(e));
        }
    }
    if (list) {
        QLIST_FOREACH_ENTRY(list, item) {
            removed |= remove_secrets(qlist_entry_obj(item));
        }
    }
    return removed;
}

/* NULL: it is not JSON, though it looks so. */
static GString *keep_json(const char *argument, bool *removed)
{
    QObject *object = qobject_from_json(argument, NULL);
    g_autoptr(GString) json = NULL;
    GString *out = NULL;

    if (object) {
        *removed = remove_secrets(object);
        /* A snapshot's options have one line each. */
        json = *removed || strpbrk(argument, "\n\r\t")
               ? qobject_to_json(object) : NULL;
        out = g_string_new(json ? json->str : argument);
    }
    qobject_unref(object);
    return out;
}

/* Objects in a text of pairs are not taken apart. */
static bool hides_secret(const char *argument)
{
    return *argument != '{' && strstr(argument, "json:") &&
           is_secret_key(argument);
}

/* NULL: the whole option must be left out. */
static char *without_secrets(const char *argument, bool *removed)
{
    GString *text;

    if (hides_secret(argument)) {
        return NULL;
    }
    text = *argument == '{' ? keep_json(argument, removed)
                            : keep_pairs(argument, removed);
    if (!text) {
        return NULL;
    }
    *removed |= remove_users(text);
    return g_string_free(text, false);
}

/*
 * Options with rules of their own
 */

/* The value of @key; the first piece without a key has @first's. */
static char *value_of(const char *argument, const char *key, const char *first)
{
    if (*argument == '{') {
        QObject *object = qobject_from_json(argument, NULL);
        QDict *dict = qobject_to(QDict, object);
        char *value = g_strdup(dict ? qdict_get_try_str(dict, key) : NULL);

        qobject_unref(object);
        return value;
    }
    for (bool at_first = true; ; at_first = false) {
        size_t length = piece_length(argument);
        g_autofree char *found = piece_key(argument, length);

        if (found && g_str_equal(found, key)) {
            return g_strndup(argument + strlen(key) + 1,
                             length - strlen(key) - 1);
        }
        if (!found && at_first && g_strcmp0(key, first) == 0) {
            return g_strndup(argument, length);
        }
        if (!argument[length]) {
            return NULL;
        }
        argument += length + 1;
    }
}

char *fixed_ram_options_id(const char *argument)
{
    return value_of(argument, "id", NULL);
}

/* Objects that are secret, or belong to monitors and displays. */
static bool is_private_object(const char *argument)
{
    static const char *const prefixes[] = {
        "secret", "tls-", "authz-", "qtest", "input-",
    };
    g_autofree char *type = value_of(argument, "qom-type", "qom-type");

    for (size_t i = 0; type && i < ARRAY_SIZE(prefixes); i++) {
        if (g_str_has_prefix(type, prefixes[i])) {
            return true;
        }
    }
    return !type;
}

/* The settings of migrations are no part of the machine. */
static bool is_migration_global(const char *argument)
{
    g_autofree char *driver = value_of(argument, "driver", NULL);

    return g_str_has_prefix(argument, "migration.") ||
           g_strcmp0(driver, "migration") == 0;
}

/* The device stays, and leads nowhere. */
static char *null_chardev(const char *argument)
{
    g_autofree char *id = fixed_ram_options_id(argument);

    return id ? g_strdup_printf("null,id=%s", id) : NULL;
}

static char *null_port(const char *argument)
{
    bool keep = g_str_equal(argument, "none") ||
                g_str_has_prefix(argument, "chardev:");

    return g_strdup(keep ? argument : "null");
}

static bool is_port(const char *name)
{
    static const char *const ports[] = { "serial", "parallel", "debugcon" };

    return in_list(name, ports, ARRAY_SIZE(ports));
}

static bool is_wanted(const char *name, const char *argument)
{
    if (g_str_equal(name, "object")) {
        return !is_private_object(argument);
    }
    if (g_str_equal(name, "global")) {
        return !is_migration_global(argument);
    }
    if (g_str_equal(name, "display")) {
        return g_str_equal(argument, "none");
    }
    return is_port(name) || g_str_equal(name, "chardev") ||
           in_list(name, machine_options, ARRAY_SIZE(machine_options));
}

static char *described_argument(const char *name, const char *argument,
                                bool *removed)
{
    char *out;

    if (is_port(name) || g_str_equal(name, "chardev")) {
        out = is_port(name) ? null_port(argument) : null_chardev(argument);
        *removed = g_strcmp0(out, argument) != 0;
        return out;
    }
    /* The guest's system has its own syntax there. */
    return g_str_equal(name, "append") ? g_strdup(argument)
                                       : without_secrets(argument, removed);
}

void fixed_ram_options_describe(FixedRamIndexOptions *to, const char *name,
                                const char *argument)
{
    g_autofree char *described = NULL;
    bool removed = false;

    if (!is_wanted(name, argument)) {
        to->left_out |= g_str_equal(name, "object") ||
                        g_str_equal(name, "iscsi");
        return;
    }
    if (argument) {
        described = described_argument(name, argument, &removed);
    }
    if ((argument && !described) ||
        !fixed_ram_index_options_add(to, name, described)) {
        removed = true;
    }
    to->left_out |= removed;
}

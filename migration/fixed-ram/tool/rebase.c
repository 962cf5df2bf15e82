/*
 * qemu-snapshot rebase: tell a delta where its layers are now
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "../format/layers-write.h"
#include "../format/layers.h"
#include "command.h"
#include "file.h"
#include "report.h"

static const FixedRamLayersConfig config = { .direct = ON_OFF_AUTO_OFF };

/*
 * Paths.  All of these functions return absolute ones, and the caller frees
 * them.
 */

/* A save does not name a layer by a link, and this command does not either. */
static char *present_path(const char *path, Error **errp)
{
    char *real = realpath(path, NULL), *result = g_strdup(real);

    free(real);
    if (!result) {
        error_setg_errno(errp, errno, "cannot find '%s'", path);
    }
    return result;
}

/* Of a file that need not be there yet, and neither its folder. */
static char *future_path(const char *path, Error **errp)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *name = g_path_get_basename(path);
    char *real, *result;

    if (g_str_has_suffix(path, "/") || g_file_test(path, G_FILE_TEST_IS_DIR)) {
        error_setg(errp, "'%s' is a folder, expected the path of a file", path);
        return NULL;
    }
    real = realpath(folder, NULL);
    result = real ? g_build_filename(real, name, NULL)
                  : g_canonicalize_filename(path, NULL);
    free(real);
    return result;
}

/* Where @base says that this layer lies; NULL: it does not know the layer. */
static char *path_in_base(const FixedRamSnapshot *base,
                          const FixedRamIndexLayer *layer)
{
    const FixedRamIndexLayers *layers = base->index->layers;

    for (size_t i = 1; layers && i <= layers->list->len; i++) {
        const FixedRamIndexLayer *other = fixed_ram_index_layer(layers, i);

        if (!memcmp(other->id, layer->id, sizeof(layer->id))) {
            g_autofree char *path = fixed_ram_layers_path(base->source->path,
                                                          other->path, NULL);
            char *real = present_path(path, NULL);

            return real ?: g_steal_pointer(&path);
        }
    }
    return NULL;
}

/*
 * Layers
 */

/* @path: absolute */
static bool set_path(const FixedRamSnapshot *s, FixedRamIndexLayer *layer,
                     const char *path, Error **errp)
{
    if (!g_utf8_validate(path, -1, NULL) || strlen(path) > INDEX_STRING_MAX) {
        error_setg(errp, "delta '%s' cannot name a layer by a path that is not "
                   "UTF-8 or has more than %d bytes", s->source->name,
                   INDEX_STRING_MAX);
        return false;
    }
    g_free(layer->path);
    layer->path = fixed_ram_layers_name(s->source->path, path);
    return true;
}

/*
 * Open the file @path, which must be one of the delta's layers.
 *
 * @which: receives the layer's number
 *
 * The error says what the first layer has, which is the base.
 */
static FixedRamSnapshot *open_base(const FixedRamSnapshot *s, char *path,
                                   size_t *which, Error **errp)
{
    ERRP_GUARD();

    for (*which = 1; *which <= s->index->layers->list->len; (*which)++) {
        FixedRamIndexLayer named = *fixed_ram_index_layer(s->index->layers,
                                                          *which);
        FixedRamSnapshot *base;

        named.path = path;
        base = fixed_ram_layers_open_one(s, &named, &config,
                                         *errp ? NULL : errp);
        if (base) {
            error_free(*errp);
            *errp = NULL;
            return base;
        }
    }
    error_prepend(errp, "delta '%s': ", s->source->name);
    return NULL;
}

/* A layer that was moved together with the base lies where the base says. */
static bool find_layer(const FixedRamSnapshot *s, FixedRamIndexLayer *layer,
                       const FixedRamSnapshot *base, Error **errp)
{
    g_autoptr(FixedRamSnapshot) found =
        fixed_ram_layers_open_one(s, layer, &config, NULL);
    g_autofree char *path = found ? NULL : path_in_base(base, layer);

    return !path || set_path(s, layer, path, errp);
}

static bool find_layers(const FixedRamSnapshot *s, char *path, Error **errp)
{
    g_autoptr(FixedRamSnapshot) base = NULL;
    size_t which;

    base = open_base(s, path, &which, errp);
    if (!base) {
        return false;
    }
    for (size_t i = 1; i <= s->index->layers->list->len; i++) {
        FixedRamIndexLayer *layer = fixed_ram_index_layer(s->index->layers, i);

        if (i == which ? !set_path(s, layer, path, errp)
                       : !find_layer(s, layer, base, errp)) {
            return false;
        }
    }
    return true;
}

/*
 * The command
 */

static bool check_file(ToolFile *file, const char *base, Error **errp)
{
    FixedRamSnapshot *s = file->snapshot;
    g_autofree char *path = present_path(s->source->path, NULL);

    if (s->problem) {
        error_propagate(errp, g_steal_pointer(&s->problem));
        return false;
    }
    if (!s->index || !s->index->layers) {
        error_setg(errp, "snapshot '%s' is a full one, which has no base, "
                   "expected a delta", s->source->name);
        return false;
    }
    if (!g_strcmp0(path, base)) {
        error_setg(errp, "'%s' is the delta itself, expected its base", base);
        return false;
    }
    return true;
}

static char *parse_base(const char *name, bool unsafe, Error **errp)
{
    uint64_t offset = 0;
    g_autofree char *path = tool_file_parse_name(name, &offset, errp);

    if (!path) {
        return NULL;
    }
    if (offset) {
        error_setg(errp, "'%s': the delta knows at which offset its base "
                   "begins, expected a path alone", name);
        return NULL;
    }
    return unsafe ? future_path(path, errp) : present_path(path, errp);
}

bool tool_rebase_delta(const char *name, const char *to, bool unsafe,
                       Error **errp)
{
    g_autofree char *base = parse_base(to, unsafe, errp);
    g_autoptr(ToolFile) file = base ? tool_file_open_alone(name, 0, errp)
                                    : NULL;
    FixedRamSnapshot *s;
    bool ok;

    if (!file || !check_file(file, base, errp)) {
        return false;
    }
    s = file->snapshot;
    if (unsafe) {
        ok = set_path(s, fixed_ram_index_layer(s->index->layers, 1), base,
                      errp);
    } else {
        ok = find_layers(s, base, errp) &&
             fixed_ram_layers_open(s, &config, errp);
    }
    return ok && fixed_ram_layers_write(s, s->index->layers, errp);
}

static int run_rebase(const ToolCommand *command, int argc, char **argv)
{
    static const struct option options[] = {
        TOOL_OPTION_HELP, { "unsafe", no_argument, NULL, 'u' }, { },
    };
    ToolCommon common = { };
    bool unsafe = false;
    Error *err = NULL;

    while (tool_getopt(command, argc, argv, "hu", options, &common) != -1) {
        unsafe = true;
    }
    tool_expect_args(command, argc, 2);
    if (!tool_rebase_delta(argv[optind], argv[optind + 1], unsafe, &err)) {
        error_report_err(err);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

const ToolCommand tool_rebase = {
    .name = "rebase",
    .summary = "Tell a delta where its base has been moved",
    .syntax = "[-u] FILE BASE",
    .help =
"  -u, --unsafe\n"
"     name BASE without looking at it: it need not be there yet\n"
"  FILE\n"
"     a snapshot that was saved with fixed-ram-base\n"
"  BASE\n"
"     the new path of its base, or of another one of its layers\n"
"\n"
"BASE must be the snapshot that FILE was saved to need.  Layers that are no\n"
"longer at their old places are taken from where BASE has them.  All of them are\n"
"checked before FILE is changed.  Processes that are loading from FILE are not\n"
"disturbed.  If the command is interrupted, FILE is what it was.\n",
    .usage_status = EXIT_FAILURE,
    .run = run_rebase,
};

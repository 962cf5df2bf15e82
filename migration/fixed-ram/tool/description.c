/*
 * qemu-snapshot: the description of devices at a stream's end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "description.h"
#include "../format/stream.h"

/* The end of the stream's sections, the description's mark, its length. */
#define MARK_BYTES      6
/* Bounds for the search in a hostile file. */
#define WINDOW_BYTES    (64 * MiB)
#define MAX_TRIALS      16

/* A part of the file, in memory. */
typedef struct Window {
    uint8_t *bytes;
    size_t length;
    uint64_t offset;            /* in the file */
} Window;

static bool window_read(Window *w, FixedRamSource *source, uint64_t from,
                        uint64_t end, Error **errp)
{
    w->offset = from;
    w->length = end - from;
    w->bytes = g_malloc(MAX(w->length, 1));
    return fixed_ram_source_read(source, w->bytes, w->length, from, errp);
}

/* The length of the text if a mark is at @i, else 0. */
static uint32_t text_length(const Window *w, size_t i)
{
    const uint8_t *mark = w->bytes + i;
    uint32_t length;

    if (mark[0] || mark[1] != STREAM_DESCRIPTION || mark[MARK_BYTES] != '{') {
        return 0;
    }
    length = ldl_be_p(mark + 2);
    return length <= w->length - i - MARK_BYTES ? length : 0;
}

static QDict *parse(const Window *w, size_t i, uint32_t length)
{
    g_autofree char *text = g_strndup((char *)w->bytes + i, length);
    QObject *object = qobject_from_json(text, NULL);
    QDict *dict = qobject_to(QDict, object);

    if (!dict || !qdict_get_qlist(dict, "devices")) {
        qobject_unref(object);
        return NULL;
    }
    return dict;
}

/* @at_end: accept only a description that ends where the window does */
static QDict *search(const Window *w, bool at_end, uint64_t *end)
{
    unsigned trials = 0;

    for (size_t i = 0; i + MARK_BYTES < w->length; i++) {
        uint32_t length = text_length(w, i);
        QDict *found;

        if (!length || (at_end && i + MARK_BYTES + length != w->length)) {
            continue;
        }
        found = parse(w, i + MARK_BYTES, length);
        if (found) {
            *end = w->offset + i + MARK_BYTES + length;
            return found;
        }
        if (++trials == MAX_TRIALS) {
            break;
        }
    }
    return NULL;
}

static QDict *search_in(FixedRamSource *source, uint64_t from, uint64_t to,
                        bool at_end, uint64_t *end, Error **errp)
{
    Window w = { };
    QDict *found = NULL;

    if (window_read(&w, source, from, to, errp)) {
        found = search(&w, at_end, end);
    }
    g_free(w.bytes);
    return found;
}

QDict *tool_description_find(FixedRamSource *source, uint64_t from,
                             uint64_t *end, Error **errp)
{
    ERRP_GUARD();
    bool known = *end;
    uint64_t to = known ? *end : source->size;
    uint64_t back = MAX(from, to > WINDOW_BYTES ? to - WINDOW_BYTES : 0);
    QDict *found;

    if (from >= to || to > source->size) {
        *end = known ? *end : source->size;
        return NULL;
    }
    /* Usually the stream ends where the file does. */
    found = search_in(source, back, to, true, end, errp);
    if (!found && !known && !*errp) {
        found = search_in(source, from, MIN(to, from + WINDOW_BYTES), false,
                          end, errp);
    }
    if (!found) {
        *end = to;
    }
    return found;
}

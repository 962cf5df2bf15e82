/*
 * qemu-snapshot: save images of libvirt
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "libvirt.h"

/* The text of <name> in <domain>, the outermost element. */
typedef struct Search {
    bool in_name;
    GString *name;
} Search;

static void start_element(GMarkupParseContext *context, const char *element,
                          const char **names, const char **values,
                          void *opaque, GError **error)
{
    const GSList *stack = g_markup_parse_context_get_element_stack(context);
    Search *search = opaque;

    search->in_name = !search->name && !strcmp(element, "name") &&
                      stack->next && !stack->next->next &&
                      !strcmp(stack->next->data, "domain");
    if (search->in_name) {
        search->name = g_string_new(NULL);
    }
}

static void end_element(GMarkupParseContext *context, const char *element,
                        void *opaque, GError **error)
{
    Search *search = opaque;

    search->in_name = false;
}

static void text(GMarkupParseContext *context, const char *bytes,
                 gsize length, void *opaque, GError **error)
{
    Search *search = opaque;

    if (search->in_name) {
        g_string_append_len(search->name, bytes, length);
    }
}

char *tool_libvirt_domain(const char *xml)
{
    static const GMarkupParser parser = {
        .start_element = start_element,
        .end_element = end_element,
        .text = text,
    };
    Search search = { };
    GMarkupParseContext *context = g_markup_parse_context_new(
        &parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &search, NULL);

    /* What was found before an error is good enough to be shown. */
    g_markup_parse_context_parse(context, xml, strlen(xml), NULL);
    g_markup_parse_context_free(context);
    return search.name ? g_string_free(search.name, false) : NULL;
}

FixedRamFileLibvirt *tool_libvirt_info(const FixedRamLibvirt *image)
{
    FixedRamFileLibvirt *info = g_new0(FixedRamFileLibvirt, 1);
    const char *format = fixed_ram_libvirt_format_name(image->format);

    info->domain = image->xml ? tool_libvirt_domain(image->xml) : NULL;
    info->complete = image->complete;
    info->running = image->was_running;
    info->format = format ? g_strdup(format)
                          : g_strdup_printf("unknown (%" PRIu32 ")",
                                            image->format);
    info->data_size = image->data_length;
    return info;
}

bool tool_libvirt_begin(const ToolFile *in, ToolWriter *out, Error **errp)
{
    size_t length = in->libvirt->stream;
    g_autofree uint8_t *bytes = g_malloc(length);

    if (!fixed_ram_source_read(in->snapshot->source, bytes, length, 0, errp)) {
        return false;
    }
    fixed_ram_libvirt_make_sparse(in->libvirt, bytes);
    return tool_writer_put(out, bytes, length, 0, errp);
}

bool tool_libvirt_complete(ToolWriter *out, Error **errp)
{
    return tool_writer_put(out, fixed_ram_libvirt_magic(),
                           FIXED_RAM_LIBVIRT_MAGIC_BYTES, 0, errp);
}

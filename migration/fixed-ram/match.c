/*
 * fixed-ram: does a snapshot fit this machine?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/boards.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "incoming.h"
#include "ramblocks.h"

static const char *this_type(void)
{
    return MACHINE_GET_CLASS(current_machine)->name;
}

/* From what is in the index nothing has to be guessed. */
static void prepend_machines(const FixedRamFile *file, Error **errp)
{
    const FixedRamIndexMachine *saved = &file->index->machine;

    error_prepend(errp, "snapshot '%s' was saved from %s with %" PRIu64
                  " MiB of RAM, this is %s with %" PRIu64 " MiB: ",
                  file->source->name, saved->type, saved->ram_bytes / MiB,
                  this_type(), current_machine->ram_size / MiB);
}

static bool same_machine(const FixedRamIndexMachine *saved, Error **errp)
{
    if (strcmp(saved->type, this_type())) {
        error_setg(errp, "the machine types differ");
        return false;
    }
    if (saved->ram_bytes != current_machine->ram_size) {
        error_setg(errp, "the sizes of RAM differ");
        return false;
    }
    return true;
}

bool fixed_ram_machine_match(const FixedRamFile *file, Error **errp)
{
    ERRP_GUARD();
    bool known = file->index && file->index->has_machine;

    if ((!known || same_machine(&file->index->machine, errp)) &&
        fixed_ram_blocks_match(file->snapshot, file->source->name, errp)) {
        return true;
    }
    if (known) {
        prepend_machines(file, errp);
    }
    return false;
}

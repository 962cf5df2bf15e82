/*
 * fixed-ram: the channel that a snapshot's stream is written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_OUTGOING_CHANNEL_H
#define MIGRATION_FIXED_RAM_OUTGOING_CHANNEL_H

#include "io/channel-file.h"
#include "format/index.h"

/*
 * A file channel that sums what is written to it in sequence: the stream
 * without what has a place of its own.  A seek begins a new part.  The first
 * part is the head, up to the first block's bitmap; the last one is the tail,
 * from the last block's pages on.
 */
#define TYPE_FIXED_RAM_CHANNEL "fixed-ram-channel"
OBJECT_DECLARE_SIMPLE_TYPE(FixedRamChannel, FIXED_RAM_CHANNEL)

/** fixed_ram_channel_new(): takes over the descriptor of @file */
FixedRamChannel *fixed_ram_channel_new(QIOChannelFile *file);

/** fixed_ram_channel_head(): the first part; nothing before its end */
const FixedRamIndexPart *fixed_ram_channel_head(const FixedRamChannel *ioc);

/** fixed_ram_channel_tail(): the part being written, up to here */
FixedRamIndexPart fixed_ram_channel_tail(const FixedRamChannel *ioc);

#endif

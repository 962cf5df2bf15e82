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
 * A file channel that takes checksums of the bytes that are written to it in
 * sequence: the stream without RAM pages and bitmaps, which are written by
 * position.  Each seek begins a new part of the stream.  The first part is the
 * head, up to the bitmap of the first block; the last part is the tail, from
 * the end of the last block's pages on.
 *
 * Its errors name the file and the offset, and become the error of the
 * migration.
 */
#define TYPE_FIXED_RAM_OUTGOING_CHANNEL "fixed-ram-outgoing-channel"
OBJECT_DECLARE_SIMPLE_TYPE(FixedRamOutgoingChannel, FIXED_RAM_OUTGOING_CHANNEL)

/**
 * fixed_ram_outgoing_channel_new(): create a channel with the descriptor of
 * @file
 *
 * @file: has no descriptor afterwards
 * @name: the file, for messages; copied
 */
FixedRamOutgoingChannel *fixed_ram_outgoing_channel_new(QIOChannelFile *file,
                                                        const char *name);

/**
 * fixed_ram_outgoing_channel_head(): the first part
 *
 * All its fields are 0 until it has ended.  The channel owns it.
 */
const FixedRamIndexPart *
fixed_ram_outgoing_channel_head(const FixedRamOutgoingChannel *ioc);

/** fixed_ram_outgoing_channel_tail(): the part that is written now, so far */
FixedRamIndexPart
fixed_ram_outgoing_channel_tail(const FixedRamOutgoingChannel *ioc);

/**
 * fixed_ram_outgoing_channel_try(): can multifd open its channels?
 *
 * It will do that after the file has been made empty.  All are opened at once:
 * the number of descriptors has a limit, too.  @name is the file.
 */
bool fixed_ram_outgoing_channel_try(const char *name, Error **errp);

#endif

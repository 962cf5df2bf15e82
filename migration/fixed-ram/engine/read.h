/*
 * fixed-ram: reading a claim from the source
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_READ_H
#define MIGRATION_FIXED_RAM_ENGINE_READ_H

#include "internal.h"

/**
 * fixed_ram_read_claim(): read all data of the worker's claim
 *
 * If the load has checksums the data is verified too.  Bytes of the extent
 * that are no data, or not claimed, become undefined.
 *
 * @straight: read into the block's memory, not into the worker's buffer; the
 *            claim must be whole
 *
 * On failure the claim is missing again, and the load is stalled.  Only for
 * the worker's own thread, and as fixed_ram_worker_read_end() says the call
 * may not return.
 */
bool fixed_ram_read_claim(FixedRamWorker *w, bool straight);

#endif

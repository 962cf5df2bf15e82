/*
 * fixed-ram: fault threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_FAULT_H
#define MIGRATION_FIXED_RAM_ENGINE_FAULT_H

/* Bytes that are read for one fault, at most. */
#define FIXED_RAM_FAULT_BYTES_MAX   (256 * KiB)

/**
 * fixed_ram_fault_thread(): serve faults until the doorbell rings
 *
 * @opaque: the FixedRamWorker
 */
void *fixed_ram_fault_thread(void *opaque);

#endif

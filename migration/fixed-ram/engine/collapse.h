/*
 * fixed-ram: huge pages for what faults have broken up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_COLLAPSE_H
#define MIGRATION_FIXED_RAM_ENGINE_COLLAPSE_H

/**
 * fixed_ram_collapse(): have the kernel make a huge page of each extent
 *
 * @extents: addresses of extents whose memory is all there and no longer
 *           registered with userfaultfd
 *
 * Who uses an extent waits meanwhile, a millisecond at most; between two of
 * them there is a pause.  Memory that has gone, or that the kernel cannot
 * collapse, is left as it is.  Returns how many extents became huge pages.
 */
size_t fixed_ram_collapse(const GPtrArray *extents);

/**
 * fixed_ram_collapse_start(): the same in a thread that ends by itself
 *
 * @extents: the thread's from now on
 */
void fixed_ram_collapse_start(GPtrArray *extents);

#endif

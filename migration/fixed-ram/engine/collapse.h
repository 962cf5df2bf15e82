/*
 * fixed-ram: huge pages for extents that faults have split
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_COLLAPSE_H
#define MIGRATION_FIXED_RAM_ENGINE_COLLAPSE_H

/**
 * fixed_ram_collapse(): have the kernel make a huge page of each extent
 *
 * @extents: addresses of extents whose memory is present and no longer
 *           registered with userfaultfd
 *
 * A thread that touches an extent meanwhile waits for a few milliseconds, and
 * there is a pause after each extent.  Memory that has been unmapped, or that
 * the kernel cannot collapse, stays as it is.
 *
 * Returns how many extents became huge pages.  Any thread.
 */
size_t fixed_ram_collapse(const GPtrArray *extents);

/**
 * fixed_ram_collapse_start(): the same in a thread that ends by itself
 *
 * If the host refuses the thread the memory stays as it is: that costs the
 * guest some speed, nothing else.
 *
 * @extents: belongs to the thread from now on, also on failure
 */
void fixed_ram_collapse_start(GPtrArray *extents);

#endif

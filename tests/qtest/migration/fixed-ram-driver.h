/*
 * A driver for one virtio device, in the place of the guest's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_DRIVER_H
#define TEST_FIXED_RAM_DRIVER_H

#include "qemu/units.h"
#include "libqos/libqos-malloc.h"
#include "libqos/virtio.h"
#include "libqos/virtio-pci.h"

/* The driver's rings; no test compares the memory there. */
#define FRT_DRIVER_START  (120 * MiB)
#define FRT_DRIVER_END    (124 * MiB)
/* Where the device is: "addr=9". */
#define FRT_DRIVER_SLOT   9

typedef struct FixedRamDriver {
    QTestState *qts;
    QPCIBus *bus;
    QVirtioPCIDevice pci;
    QGuestAllocator alloc;
    uint64_t page;              /* for messages to and from the device */
    QVirtQueue *queues[4];
} FixedRamDriver;

void frt_driver_start(FixedRamDriver *d, QTestState *qts,
                      uint64_t features, unsigned nqueues);
void frt_driver_end(FixedRamDriver *d);

/*
 * The buffer that begins with descriptor @head has been made: waits until the
 * device has used it.
 */
void frt_driver_kick(FixedRamDriver *d, QVirtQueue *vq, uint32_t head);
/* The same with a buffer in one piece. */
void frt_driver_send(FixedRamDriver *d, unsigned queue, uint64_t addr,
                     uint32_t length, bool write);

#endif

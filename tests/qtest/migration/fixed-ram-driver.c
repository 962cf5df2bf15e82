/*
 * A driver for one virtio device, in the place of the guest's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "libqos/pci-pc.h"
#include "migration/fixed-ram-driver.h"
#include "migration/fixed-ram-snapshot.h"
#include "standard-headers/linux/virtio_config.h"

#define TIMEOUT_USEC            (60 * G_USEC_PER_SEC)

void fixed_ram_driver_start(FixedRamDriver *d, QTestState *who,
                            uint64_t features, unsigned nqueues)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(FIXED_RAM_DRIVER_SLOT, 0) };
    QVirtioDevice *vdev = &d->pci.vdev;

    *d = (FixedRamDriver) { .who = who, .bus = qpci_new_pc(who, NULL) };
    alloc_init(&d->alloc, 0, FIXED_RAM_DRIVER_START, FIXED_RAM_DRIVER_END,
               SNAPSHOT_PAGE_SIZE);
    virtio_pci_init(&d->pci, d->bus, &addr);
    qvirtio_pci_device_enable(&d->pci);
    qvirtio_start_device(vdev);
    qvirtio_set_features(vdev, (features | 1ull << VIRTIO_F_VERSION_1) &
                         qvirtio_get_features(vdev));
    for (unsigned i = 0; i < nqueues; i++) {
        d->queues[i] = qvirtqueue_setup(vdev, &d->alloc, i);
    }
    qvirtio_set_driver_ok(vdev);
    d->page = guest_alloc(&d->alloc, SNAPSHOT_PAGE_SIZE);
}

void fixed_ram_driver_end(FixedRamDriver *d)
{
    for (size_t i = 0; i < ARRAY_SIZE(d->queues); i++) {
        if (d->queues[i]) {
            qvirtqueue_cleanup(d->pci.vdev.bus, d->queues[i], &d->alloc);
        }
    }
    g_free(d->pci.pdev);
    qpci_free_pc(d->bus);
    alloc_destroy(&d->alloc);
}

void fixed_ram_driver_kick(FixedRamDriver *d, QVirtQueue *vq, uint32_t head)
{
    qvirtqueue_kick(d->who, &d->pci.vdev, vq, head);
    qvirtio_wait_used_elem(d->who, &d->pci.vdev, vq, head, NULL,
                           TIMEOUT_USEC);
}

void fixed_ram_driver_send(FixedRamDriver *d, unsigned queue, uint64_t addr,
                           uint32_t length, bool write)
{
    QVirtQueue *vq = d->queues[queue];

    fixed_ram_driver_kick(d, vq, qvirtqueue_add(d->who, vq, addr, length,
                                                write, false));
}

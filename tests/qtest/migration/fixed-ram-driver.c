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

void frt_driver_start(FixedRamDriver *d, QTestState *qts,
                      uint64_t features, unsigned nqueues)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(FRT_DRIVER_SLOT, 0) };
    QVirtioDevice *vdev = &d->pci.vdev;

    *d = (FixedRamDriver) { .qts = qts, .bus = qpci_new_pc(qts, NULL) };
    alloc_init(&d->alloc, 0, FRT_DRIVER_START, FRT_DRIVER_END,
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

void frt_driver_end(FixedRamDriver *d)
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

void frt_driver_kick(FixedRamDriver *d, QVirtQueue *vq, uint32_t head)
{
    qvirtqueue_kick(d->qts, &d->pci.vdev, vq, head);
    qvirtio_wait_used_elem(d->qts, &d->pci.vdev, vq, head, NULL,
                           TIMEOUT_USEC);
}

void frt_driver_send(FixedRamDriver *d, unsigned queue, uint64_t addr,
                     uint32_t length, bool write)
{
    QVirtQueue *vq = d->queues[queue];

    frt_driver_kick(d, vq, qvirtqueue_add(d->qts, vq, addr, length,
                                          write, false));
}

# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices and memory that come and go while a guest is being loaded.

A device that stays is in the next snapshot, and a QEMU that loads that one
must have the device from the start.
"""

from dataclasses import dataclass, field

from .machine import RNG_SLOT

SLOTS = 8
DIMMS = 3               # of four slots, one may be the machine's
DIMM_MIB = 128
GONE_S = 15             # the guest may keep what it uses
# during a pause the answer may be late, and the devices are unknown until then
LATER = "not in a pause"
# "not found": the guest has given it back meanwhile
REFUSED = ("still being loaded|process of unplug|not support|migrat|not found|"
           "[Ii]nsufficient")


@dataclass
class Devices:
    """Those that were plugged in: a number for each"""
    rngs: set = field(default_factory=set)
    dimms: dict = field(default_factory=dict)       # number -> place
    leaving: set = field(default_factory=set)       # ids

    def copy(self):
        return Devices(set(self.rngs), dict(self.dimms))

    def arguments(self):
        result = []
        for n in sorted(self.rngs):
            result += ["-device", f"virtio-rng-pci,id=rng{n},"
                       f"addr={RNG_SLOT + n:#x}"]
        for n, place in sorted(self.dimms.items()):
            result += ["-object", f"memory-backend-ram,id=plug{n},"
                       f"size={DIMM_MIB}M",
                       "-device", f"pc-dimm,id=dimm{n},memdev=plug{n},{place}"]
        return result


def plug_rng(run, _rng):
    if run.paused:
        return LATER
    free = set(range(SLOTS)) - run.devices.rngs
    if not free:
        return "no slot"
    n = min(free)
    done = run.either("device_add", {
        "driver": "virtio-rng-pci", "id": f"rng{n}", "bus": "pci.0",
        "addr": f"{RNG_SLOT + n:#x}"}, REFUSED)
    if done == "ok":
        run.devices.rngs.add(n)
    return done


def plug_dimm(run, _rng):
    if run.paused:
        return LATER
    free = set(range(1, DIMMS + 1)) - set(run.devices.dimms)
    if not free:
        return "no slot"
    n = min(free)
    run.must("object-add", {"qom-type": "memory-backend-ram",
                            "id": f"plug{n}", "size": DIMM_MIB << 20})
    done = run.either("device_add", {
        "driver": "pc-dimm", "id": f"dimm{n}", "memdev": f"plug{n}"}, REFUSED)
    if done != "ok":
        run.must("object-del", {"id": f"plug{n}"})
        return done
    run.devices.dimms[n] = ""
    return done


def unplug(run, rng):
    devices = run.devices
    there = [f"rng{n}" for n in sorted(devices.rngs)] + \
        [f"dimm{n}" for n in sorted(devices.dimms)]
    if not there:
        return "no device"
    name = rng.choice(there)
    done = run.either("device_del", {"id": name}, REFUSED)
    if done == "ok":
        devices.leaving.add(name)
    return done


def resize_virtio_mem(run, rng):
    machine = run.vm.machine
    if machine.kind != "virtio-mem":
        return "no device"
    size = rng.randrange(0, machine.dimm + 1, 16) << 20
    return run.either("qom-set", {"path": "/machine/peripheral/vmem0",
                                  "property": "requested-size",
                                  "value": size}, ".")


# ------------------------------------------------------------ afterwards

def _decided(vm, name):
    return (vm.event("DEVICE_DELETED", device=name)
            or vm.event("DEVICE_UNPLUG_GUEST_ERROR", device=name)
            or vm.event("MEM_UNPLUG_ERROR", device=name))


def settle(run):
    """Whether it is known what stays; run.devices is that"""
    known = True
    for name in sorted(run.devices.leaving):
        try:
            run.vm.wait_for(lambda name=name: _decided(run.vm, name),
                            f"end of {name}", GONE_S)
        except TimeoutError:
            run.world.count("devices", "undecided " + name[:-1])
            known = False
    for name in sorted(run.devices.leaving):
        if run.vm.event("DEVICE_DELETED", device=name):
            _forget(run, name)
        elif known:
            run.world.count("devices", "kept " + name[:-1])
    run.devices.leaving.clear()
    _note_places(run)
    return known


def _forget(run, name):
    n = int(name[-1])
    run.world.count("devices", "unplugged " + name[:-1])
    if name.startswith("rng"):
        run.devices.rngs.discard(n)
        return
    run.devices.dimms.pop(n, None)
    run.vm.ask("object-del", {"id": f"plug{n}"})


def _note_places(run):
    if not run.devices.dimms:
        return
    for entry in run.vm.order("query-memory-devices"):
        data = entry["data"]
        name = data.get("id", "")
        if entry["type"] == "dimm" and name[4:].isdigit() \
                and int(name[4:]) in run.devices.dimms:
            run.devices.dimms[int(name[4:])] = \
                f"addr={data['addr']:#x},slot={data['slot']}"

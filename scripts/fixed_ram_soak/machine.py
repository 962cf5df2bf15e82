# SPDX-License-Identifier: GPL-2.0-or-later
"""A random machine, as QEMU's command line."""

from dataclasses import dataclass

from fixed_ram.machine import GUEST_RESERVE_MIB

SIZES = (256, 320, 384, 448, 512, 512, 640, 768, 1024, 1280, 1536)
KINDS = ("plain", "plain", "shared", "prealloc", "numa", "dimm", "shared dimm",
         "virtio-mem")
SPARE_MIB = 1024        # of address space, for what is plugged in
RNG_SLOT = 0x10         # the first PCI slot of devices that come and go


@dataclass(frozen=True)
class Machine:
    memory: int         # MiB, without DIMMs
    cpus: int
    kind: str           # of memory
    dimm: int           # MiB
    balloon: str        # "", "balloon", or "reporting"
    disk: bool
    video: bool
    locked: bool        # -overcommit mem-lock=on
    fill: int           # MiB

    def __str__(self):
        words = [f"{self.memory}" + (f"+{self.dimm}" if self.dimm else "")
                 + " MiB", self.kind, f"{self.cpus} CPU"]
        words += [name for name, there in (
            (self.balloon, self.balloon), ("disk", self.disk),
            ("VGA", self.video), ("locked", self.locked)) if there]
        return " ".join(words)


SMALL = Machine(memory=256, cpus=1, kind="plain", dimm=0, balloon="",
                disk=False, video=False, locked=False, fill=32)


def draw_machine(rng, most, may_lock):
    memory = rng.choice([size for size in SIZES if size <= most])
    kind = rng.choice(KINDS)
    dimm = rng.choice((128, 256)) if kind.endswith(("dimm", "mem")) else 0
    room = memory - GUEST_RESERVE_MIB + (dimm if kind.endswith("dimm") else 0)
    balloon = rng.choice(("", "balloon", "reporting"))
    # locked memory can be neither ballooned nor plugged in by the guest
    lockable = not balloon and kind != "virtio-mem"
    return Machine(memory=memory, kind=kind, dimm=dimm, balloon=balloon,
                   cpus=rng.choice((1, 1, 2, 4)), disk=rng.random() < 0.5,
                   video=rng.random() < 0.25,
                   locked=rng.random() < 0.2 and lockable and may_lock,
                   fill=max(32, int(room * rng.uniform(0.3, 0.85))))


def can_be_mapped(machine):
    """Whether its RAM can be a mapping of a snapshot"""
    return not machine.locked and not machine.kind.startswith("shared")


def backend(name, size, kind):
    options = {"shared": "memory-backend-memfd,share=on",
               "prealloc": "memory-backend-ram,prealloc=on"}
    what = options.get(kind.split()[0], "memory-backend-ram")
    return ["-object", f"{what},id={name},size={size}M"]


def memory_arguments(machine):
    total = machine.memory
    result = ["-m", f"{total},slots=4,maxmem={total + 256 + SPARE_MIB}M"]
    if machine.kind == "numa":
        for node in range(2):
            result += backend(f"ram{node}", total // 2, "plain")
            result += ["-numa", f"node,memdev=ram{node}"]
    elif machine.kind not in ("plain", "dimm", "virtio-mem"):
        result += backend("ram0", total, machine.kind)
        result += ["-machine", "memory-backend=ram0"]
    if machine.dimm:
        result += backend("mem0", machine.dimm, machine.kind)
        result += ["-device", "virtio-mem-pci,id=vmem0,memdev=mem0,addr=5,"
                   "requested-size=64M" if machine.kind == "virtio-mem" else
                   "pc-dimm,id=dimm0,memdev=mem0"]
    return result


def arguments(machine, disk):
    result = memory_arguments(machine) + ["-smp", str(machine.cpus)]
    if machine.video:
        result += ["-device", "VGA,id=video,addr=2"]
    if machine.balloon:
        result += ["-device", "virtio-balloon-pci,id=balloon0,addr=3,"
                   "deflate-on-oom=on,free-page-reporting="
                   + ("on" if machine.balloon == "reporting" else "off")]
    if machine.disk:
        result += ["-blockdev",
                   "driver=qcow2,node-name=disk0,file.driver=file,"
                   f"file.filename={disk}",
                   "-device", "virtio-blk-pci,id=blk0,drive=disk0,addr=4"]
    if machine.locked:
        result += ["-overcommit", "mem-lock=on"]
    return result

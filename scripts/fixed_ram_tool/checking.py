# SPDX-License-Identifier: GPL-2.0-or-later
"""check."""

import errno
import os
import random
import struct

from .stream import PAGE, SUPERBLOCK, being_written
from .tap import Skip, equal, test, true
from .world import LARGE_PAGES, flip, read_at, write_at

CLUSTER = 65536
PLACES = 1000           # in a large snapshot
METADATA_PLACES = 100   # in each of its parts


def check(world, path, status, **more):
    info = world.json("check", path, status=status, **more)
    world.schema.check(info, "FixedRamCheckInfo")
    result = ("good", "unreadable", "corrupt", "unverified")[status]
    equal(info["result"], result, "result")
    return info


@test("check/good")
def test_good(world):
    for path in (world.saved["fixed-ram"], world.converted):
        total = sum(b["length"] for b in world.json("info", path)["blocks"])
        info = check(world, path, 0)
        equal(info["verified"], total, "verified")
        true("No errors" in world.run("check", "-p", "-j1", path), "text")


@test("check/unverified")
def test_unverified(world):
    for kind in ("stream", "mapped-ram", "offset", "multifd"):
        true(check(world, world.saved[kind], 3)["problem"], "no reason")


@test("check/no-snapshot")
def test_no_snapshot(world):
    noise = world.path("noise")
    noise.write_bytes(bytes(10000))
    check(world, noise, 2)
    world.run("check", world.path("missing"), status=1)
    world.run("check", world.folder, status=1)


@test("check/cut-off")
def test_cut_off(world):
    path = world.copy(world.converted, "cut")
    at = world.superblock_at(path)
    write_at(path, at, being_written(read_at(path, at, SUPERBLOCK)))
    true("incomplete" in check(world, path, 2)["problem"], "problem")
    info = world.json("info", path)
    equal((info["kind"], info["complete"]), ("fixed-ram", False), "info")
    for length in (os.stat(path).st_size - 1, 60 << 20, 3 << 20, 100):
        os.truncate(path, length)
        check(world, path, 2)
        info = world.json("info", path)
        equal(info["complete"], False, f"complete with {length} bytes")
    for command, status in (("map", 1), ("extract", 1), ("compare", 2),
                            ("convert", 1)):
        more = ["-b", "pc.ram"] if command == "extract" else []
        more += [world.path("out")] if command != "map" else []
        world.run(command, path, *more, status=status)
        true(not world.path("out").exists() or command == "compare",
             f"{command} left a file")


def data_clusters(world, path):
    """(offset in the file, length, block) of data in each cluster"""
    for entry in world.data_ranges(path):
        at, end = entry["start"], entry["start"] + entry["length"]
        while at < end:
            stop = min(end, at // CLUSTER * CLUSTER + CLUSTER)
            yield (entry["offset"] + at - entry["start"], stop - at,
                   entry["block"], at // CLUSTER * CLUSTER)
            at = stop


@test("check/each-cluster")
def test_each_cluster(world):
    """A bit in every cluster of a small snapshot"""
    rng = random.Random(5)
    path = world.copy(world.converted, "flipped")
    clusters = {}
    for offset, length, block, start in data_clusters(world, path):
        clusters.setdefault((block, start), (offset, length))
    true(len(clusters) > 90, f"only {len(clusters)} clusters")
    for (block, start), (offset, length) in clusters.items():
        place, bit = offset + rng.randrange(length), rng.randrange(8)
        flip(path, place, bit)
        info = check(world, path, 2)
        equal([(r["block"], r["start"]) for r in info["ranges"]],
              [(block, start)], f"flipped at {place}")
        true(info["ranges"][0]["found"] != info["ranges"][0]["expected"],
             "sums")
        flip(path, place, bit)
    check(world, path, 0)


@test("check/metadata")
def test_metadata(world):
    """A bit here and there in all that is not pages or padding"""
    rng = random.Random(6)
    path = world.copy(world.converted, "flipped")
    info = world.json("info", path)
    slot = world.superblock_at(path)
    superblock = read_at(path, slot, SUPERBLOCK)
    (_, end, index, length) = struct.unpack("<4Q", superblock[32:64])
    last = info["blocks"][-1]
    head = read_at(path, 0, 4096)
    head_end = len(head.rstrip(b"\0"))
    parts = [(slot, SUPERBLOCK), (index, length), (0, head_end),
             (last["offset"] + last["length"],
              end - last["offset"] - last["length"])]
    if "checksums" in info:
        table = info["checksums"]["table-size"]
        parts.append((find_table(path, end, index, table), table))
    for start, size in parts:
        for number in range(METADATA_PLACES):
            first = start + number * size // METADATA_PLACES
            place = first + rng.randrange(max(size // METADATA_PLACES, 1))
            bit = rng.randrange(8)
            flip(path, place, bit)
            world.run("check", path, status=2)
            flip(path, place, bit)
    check(world, path, 0)


def find_table(path, end, index, length):
    """It lies between the stream and the index, where there are no zeros"""
    between = read_at(path, end, index - end)
    at = len(between) - len(between.lstrip(b"\0"))
    at -= (end + at) % 8
    true(at + length <= len(between), "where is the table?")
    return end + at


@test("check/large")
def test_large(world):
    """A bit in 1,000 random places of a large snapshot, all at once"""
    rng = random.Random(7)
    path = world.copy(world.large, "flipped")
    entries = world.data_ranges(path)
    clusters = {}
    while len(clusters) < PLACES:
        entry = rng.choice(entries)
        within = rng.randrange(entry["length"])
        cluster = (entry["start"] + within) // CLUSTER
        clusters.setdefault(cluster, entry["offset"] + within)
    for place in clusters.values():
        flip(path, place, rng.randrange(8))
    info = check(world, path, 2)
    equal(info["corrupt"], PLACES * CLUSTER, "corrupt bytes")
    equal(info["verified"], LARGE_PAGES * PAGE - PLACES * CLUSTER, "verified bytes")
    runs = sum(c - 1 not in clusters for c in clusters)
    equal(len(info["ranges"]) + info["more-ranges"], runs, "ranges")
    expected = sorted(c * CLUSTER for c in clusters if c - 1 not in clusters)
    equal([r["start"] for r in info["ranges"]],
          expected[:len(info["ranges"])], "where they are")


@test("check/unreadable")
def test_unreadable(world):
    path = world.converted
    offset, _, block, start = list(data_clusters(world, path))[40]
    env = world.with_faults(path, errno.EIO, first=offset, length=1)
    info = check(world, path, 1, env=env)
    if not world.faults.injected:
        raise Skip("reads cannot be made to fail here")
    equal([(r["block"], r["start"], r["length"]) for r in info["ranges"]],
          [(block, start, CLUSTER)], "ranges")
    true("Input/output error" in info["ranges"][0]["error"], "error")
    # metadata, too: that is no damage
    env = world.with_faults(path, errno.EIO, first=0, length=1)
    check(world, path, 1, env=env)
    world.faults.off()
    check(world, path, 0)

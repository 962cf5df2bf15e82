# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot check."""

import errno
import os
import random
import resource
import struct

from stream import (CONTINUE, FULL, PAGE, SUPERBLOCK, beginning, being_written,
                    ending, record)
from tooltest import LARGE_PAGES, ToolTest, flip, read_at, write_at

CLUSTER = 65536
PLACES = 1000           # in a large snapshot
METADATA_PLACES = 100   # in each of its parts
USER = 54321            # has no processes


class CheckTest(ToolTest):
    def check(self, path, status, perhaps_unknown=False, **more):
        """What it says; @perhaps_unknown: a file may not be understood"""
        done = (1, status) if perhaps_unknown else status
        info = self.json("check", path, status=done, **more)
        self.schema.check(info, "FixedRamCheckInfo")
        result = ("good", "unreadable", "corrupt", "unverified")[status]
        results = {result, "not-understood"} if perhaps_unknown else {result}
        self.true(info["result"] in results, f"result {info['result']}")
        return info

    def not_understood(self, path, words):
        for command in ("check", "convert"):
            more = [self.path("out")] if command == "convert" else []
            said = self.tool(command, path, *more, status=1)
            self.true(words in said, f"{command}: {said}")
        info = self.json("check", path, status=1)
        self.schema.check(info, "FixedRamCheckInfo")
        self.equal(info["result"], "not-understood", words)
        info = self.json("info", path)
        self.schema.check(info, "FixedRamFileInfo")
        self.equal((info["kind"], "complete" in info), ("stream", False),
                   f"{words}: kind and completeness")
        self.true("complete: unknown" in self.tool("info", path), "text")

    def test_good(self):
        for path in (self.saved["fixed-ram"], self.converted):
            total = sum(b["length"] for b in self.json("info", path)["blocks"])
            info = self.check(path, 0)
            self.equal(info["verified"], total, "verified")
            self.true("No errors" in self.tool("check", "-p", "-j1", path),
                      "text")

    def test_no_threads(self):
        """The main thread reads the file if no other thread can be had"""
        if os.geteuid():
            self.skipTest("only root can become a user without processes")
        path = self.copy(self.converted, "readable")
        path.chmod(0o644)

        def limit():
            os.setgid(USER)
            os.setuid(USER)
            # the main thread and QEMU's RCU thread
            resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))

        with open(path, "rb") as f:
            try:
                said = self.tool("check", f"/dev/fd/{f.fileno()}",
                                 pass_fds=(f.fileno(),), preexec_fn=limit)
            except PermissionError as e:
                self.skipTest(str(e))
        self.true("No errors" in said, said)

    def test_unverified(self):
        for kind in ("stream", "mapped-ram", "offset", "multifd"):
            self.true(self.check(self.saved[kind], 3)["problem"], "no reason")

    def test_unknown_records(self):
        """Streams that hold other things than pages are not corrupt"""
        path = self.path("unknown")
        for flags, words in ((0x200, "multifd"), (0x40, "xbzrle"),
                             (0x100, "compress"), (0x80, "RDMA")):
            path.write_bytes(beginning("pc.ram", 4 * PAGE) +
                             record(0, flags | FULL, bytes(PAGE)))
            self.not_understood(path, words)

    def test_early_state(self):
        """A device's state ends RAM only if all pages were sent before"""
        path, start = self.path("early"), beginning("pc.ram", 4 * PAGE)
        part = start[:-5] + b"\x02" + start[-4:]
        pages = [record(n, FULL | (CONTINUE if n else 0), bytes([n]) * PAGE)
                 for n in range(4)]
        path.write_bytes(part + b"".join(pages[:3]) + ending())
        self.not_understood(path, "after 3 of 4 pages")
        path.write_bytes(part + b"".join(pages) + ending())
        self.check(path, 3)

    def test_unknown_streams(self):
        """What QEMU saves with capabilities that change the stream"""
        content, path = self.path("memory"), self.path("unknown")
        node = ("-blockdev", "driver=null-co,node-name=node",
                "-device", "virtio-blk,drive=node")
        self.assertTrue(self.saved)
        with self.machine(content, more=node) as vm:
            vm.cmd("block-dirty-bitmap-add", node="node", name="bitmap")
            vm.save(path, ["dirty-bitmaps"])
        self.not_understood(path, "dirty-bitmaps")
        with self.machine(content) as vm:
            vm.save(path, ["x-ignore-shared"])
        self.not_understood(path, "x-ignore-shared")

    def test_no_snapshot(self):
        noise = self.path("noise")
        noise.write_bytes(bytes(10000))
        self.check(noise, 2)
        self.tool("check", self.path("missing"), status=1)
        self.tool("check", self.folder, status=1)

    def test_cut_off(self):
        path = self.copy(self.converted, "cut")
        at = self.superblock_at(path)
        write_at(path, at, being_written(read_at(path, at, SUPERBLOCK)))
        self.true("incomplete" in self.check(path, 2)["problem"], "problem")
        info = self.json("info", path)
        self.equal((info["kind"], info["complete"]), ("fixed-ram", False),
                   "info")
        for length in (os.stat(path).st_size - 1, 60 << 20, 3 << 20, 100):
            os.truncate(path, length)
            self.check(path, 2)
            info = self.json("info", path)
            self.equal(info["complete"], False,
                       f"complete with {length} bytes")
        for command, status in (("map", 1), ("extract", 1), ("compare", 2),
                                ("convert", 1)):
            more = ["-b", "pc.ram"] if command == "extract" else []
            more += [self.path("out")] if command != "map" else []
            self.tool(command, path, *more, status=status)
            self.true(not self.path("out").exists() or command == "compare",
                      f"{command} left a file")

    def data_clusters(self, path):
        """(offset in the file, length, block) of data in each cluster"""
        for entry in self.data_ranges(path):
            at, end = entry["start"], entry["start"] + entry["length"]
            while at < end:
                stop = min(end, at // CLUSTER * CLUSTER + CLUSTER)
                yield (entry["offset"] + at - entry["start"], stop - at,
                       entry["block"], at // CLUSTER * CLUSTER)
                at = stop

    def test_each_cluster(self):
        """A bit in every cluster of a small snapshot"""
        rng = random.Random(5)
        path = self.copy(self.converted, "flipped")
        clusters = {}
        for offset, length, block, start in self.data_clusters(path):
            clusters.setdefault((block, start), (offset, length))
        self.true(len(clusters) > 90, f"only {len(clusters)} clusters")
        for (block, start), (offset, length) in clusters.items():
            place, bit = offset + rng.randrange(length), rng.randrange(8)
            flip(path, place, bit)
            info = self.check(path, 2)
            self.equal([(r["block"], r["start"]) for r in info["ranges"]],
                       [(block, start)], f"flipped at {place}")
            found = info["ranges"][0]
            self.true(found["found"] != found["expected"], "sums")
            flip(path, place, bit)
        self.check(path, 0)

    def test_metadata(self):
        """A bit here and there in all that is not pages or padding"""
        rng = random.Random(6)
        path = self.copy(self.converted, "flipped")
        info = self.json("info", path)
        slot = self.superblock_at(path)
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
            parts.append((self.find_table(end, index, table), table))
        for start, size in parts:
            for number in range(METADATA_PLACES):
                first = start + number * size // METADATA_PLACES
                place = first + rng.randrange(max(size // METADATA_PLACES, 1))
                bit = rng.randrange(8)
                flip(path, place, bit)
                # the head names what it holds, and other names are unknown
                self.check(path, 2, start == 0)
                flip(path, place, bit)
        self.check(path, 0)

    def find_table(self, end, index, length):
        """It begins at the first multiple of a chunk behind the stream"""
        at = -(-end // 4096) * 4096
        self.true(at + length <= index, "where is the table?")
        return at

    def test_large(self):
        """A bit in 1,000 random places of a large snapshot, all at once"""
        rng = random.Random(7)
        path = self.copy(self.large, "flipped")
        entries = self.data_ranges(path)
        clusters = {}
        while len(clusters) < PLACES:
            entry = rng.choice(entries)
            within = rng.randrange(entry["length"])
            cluster = (entry["start"] + within) // CLUSTER
            clusters.setdefault(cluster, entry["offset"] + within)
        for place in clusters.values():
            flip(path, place, rng.randrange(8))
        info = self.check(path, 2)
        self.equal(info["corrupt"], PLACES * CLUSTER, "corrupt bytes")
        self.equal(info["verified"], LARGE_PAGES * PAGE - PLACES * CLUSTER,
                   "verified bytes")
        runs = sum(c - 1 not in clusters for c in clusters)
        self.equal(len(info["ranges"]) + info["more-ranges"], runs, "ranges")
        expected = sorted(c * CLUSTER for c in clusters
                          if c - 1 not in clusters)
        self.equal([r["start"] for r in info["ranges"]],
                   expected[:len(info["ranges"])], "where they are")

    def test_clean(self):
        """The place of a zero page must be as empty as the index says"""
        path = self.copy(self.converted, "not-clean")
        zero = next(e for e in self.json("map", path)
                    if not e["data"] and e["length"] >= 3 * PAGE)
        base = next(b["offset"] for b in self.json("info", path)["blocks"]
                    if b["name"] == zero["block"])
        self.check(path, 0)
        flip(path, base + zero["start"] + zero["length"] - 1)
        problem = self.check(path, 2)["problem"]
        self.true(f"block '{zero['block']}'" in problem, problem)
        # a copy without the old byte, of the same snapshot
        self.tool("convert", path, self.path("clean-again"))
        self.check(self.path("clean-again"), 0)

    def test_unreadable(self):
        path = self.converted
        offset, _, block, start = list(self.data_clusters(path))[40]
        env, faults = self.failing_reads(path, errno.EIO, first=offset,
                                         length=1)
        info = self.check(path, 1, env=env)
        if not faults.injected:
            self.skipTest("reads cannot be made to fail here")
        self.equal([(r["block"], r["start"],
                     r["length"]) for r in info["ranges"]],
                   [(block, start, CLUSTER)], "ranges")
        self.true("Input/output error" in info["ranges"][0]["error"], "error")
        # metadata, too: that is no damage
        faults.fail(errno.EIO, first=0, length=1)
        self.check(path, 1, env=env)
        faults.off()
        self.check(path, 0)

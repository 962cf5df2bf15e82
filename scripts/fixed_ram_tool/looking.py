# SPDX-License-Identifier: GPL-2.0-or-later
"""info, map, extract, compare."""

import json
import os
import re
import subprocess

from .stream import PAGE
from .tap import equal, test, true
from .vm import (CONTENT_AT, CONTENT_BYTES, MEMORY_MIB, NAME, UUID, Vm,
                 make_content)
from .world import OFFSET, read_at, write_at

COMMANDS = ("info", "check", "map", "extract", "compare", "convert")


@test("help")
def test_help(world):
    text = world.run("--help")
    for command in COMMANDS:
        true(command in text, f"--help does not name {command}")
        own = world.run(command, "--help")
        true(f"qemu-snapshot {command}" in own, f"{command} --help")
    true("version" in world.run("--version"), "--version")


@test("usage")
def test_usage(world):
    saved = world.saved["mapped-ram"]
    for words, status in (((), 1), (("nothing",), 1), (("info",), 1),
                          (("info", saved, saved), 1),
                          (("info", "--nothing", saved), 1),
                          (("info", "--output=xml", saved), 1),
                          (("info", "--offset=far", saved), 1),
                          (("check", "-j", "0", saved), 1),
                          (("compare", saved), 2),
                          (("compare", "--nothing", saved, saved), 2),
                          (("extract", saved, world.path("out")), 1)):
        said = world.run(*words, status=status)
        true("--help" in said, f"{words}: no hint in {said!r}")


@test("completion")
def test_completion(world):
    """Every option in it is one, and every long option is in it"""
    script = (world.source / "migration" / "fixed-ram" / "tool" /
              "qemu-snapshot.bash-completion")
    for command in COMMANDS:
        out = subprocess.run(
            ["bash", "-c", '. "$1"; _qemu_snapshot_options "$2"', "bash",
             script, command], check=True, capture_output=True, text=True)
        offered = sorted(word.rstrip("=") for word in out.stdout.split())
        known = sorted(set(re.findall(r"^  (?:-\w, )?(--\w+)",
                                      world.run(command, "--help"), re.M)))
        equal(offered, known, f"options of {command}")


@test("info/kinds")
def test_info_kinds(world):
    noise = world.path("noise")
    noise.write_bytes(b"this is something else")
    kinds = {**world.saved, "none": noise}
    infos = {}
    for kind, path in kinds.items():
        info = infos[kind] = world.json("info", path)
        world.schema.check(info, "FixedRamFileInfo", kind)
        expected = {"offset": "mapped-ram", "multifd": "mapped-ram"}
        equal(info["kind"], expected.get(kind, kind), "kind")
        equal(info["complete"], kind != "none", f"{kind}: complete")
        equal("problem" in info, kind == "none", f"{kind}: problem")
        equal("id" in info, kind == "fixed-ram", f"{kind}: id")
        text = world.run("info", path)
        true(re.search(r"^kind: ", text, re.M), text)
    for kind in world.saved:
        check_info(infos[kind], infos["stream"])
    equal(infos["offset"]["offset"], OFFSET, "offset")


def check_info(info, other):
    equal(info["machine"]["type"][:6], "pc-i44", "machine type")
    equal([(b["name"], b["length"], b["data-pages"]) for b in info["blocks"]],
          [(b["name"], b["length"], b["data-pages"])
           for b in other["blocks"]], "blocks")
    ram = info["blocks"][0]
    equal((ram["name"], ram["length"]), ("pc.ram", MEMORY_MIB << 20), "RAM")
    true(ram["data-pages"] >= CONTENT_BYTES // PAGE * 4 // 5, "data pages")
    names = [d["name"] for d in info["devices"]]
    true({"cpu", "0000:00:02.0/vga"} <= set(names), f"devices {names}")


@test("info/fixed-ram")
def test_info_fixed(world):
    info = world.json("info", world.saved["fixed-ram"])
    machine = info["machine"]
    equal((machine["name"], machine["uuid"]), (NAME, UUID), "name and UUID")
    equal(machine["ram"], MEMORY_MIB << 20, "RAM")
    true(re.fullmatch("[0-9a-f]{32}", info["id"]), "id")
    equal(info["file-size"], os.stat(world.saved["fixed-ram"]).st_size, "size")
    true({"machine", "blocks", "stream"} <=
         {s.get("name") for s in info["sections"]}, "sections")


@test("info/damaged")
def test_info_damaged(world):
    """What can be said about a file without its end"""
    cut = world.copy(world.saved["mapped-ram"], "cut")
    os.truncate(cut, 3 << 20)
    info = world.json("info", cut)
    equal((info["kind"], info["complete"]), ("mapped-ram", False), "kind")
    true("reach beyond" in info["problem"], info["problem"])
    equal(info["machine"]["type"][:6], "pc-i44", "machine type")
    whole = world.copy(world.converted, "cut-behind")
    os.truncate(whole, os.stat(whole).st_size - 1)
    info = world.json("info", whole)
    equal((info["kind"], info["complete"]), ("fixed-ram", False), "kind")
    os.truncate(cut, 5)
    equal(world.json("info", cut)["kind"], "none", "kind of 5 bytes")


@test("map/ranges")
def test_map(world):
    for kind, path in world.saved.items():
        entries = world.json("map", path)
        info = world.json("info", path)
        for entry in entries:
            world.schema.check(entry, "FixedRamMapEntry", kind)
            equal("offset" in entry, entry["data"] and kind != "stream",
                  f"{kind}: offset")
        for block in info["blocks"]:
            check_map(block, [e for e in entries
                              if e["block"] == block["name"]])
    one = world.json("map", "--block=pc.bios", world.saved["mapped-ram"])
    equal({e["block"] for e in one}, {"pc.bios"}, "--block")


def check_map(block, entries):
    at = data = 0
    for entry in entries:
        equal(entry["start"], at, f"{block['name']}: start")
        at += entry["length"]
        if entry["data"]:
            data += entry["length"] // PAGE
            if "offset" in entry:
                equal(entry["offset"], block["offset"] + entry["start"],
                      f"{block['name']}: offset")
    equal(at, block["length"], f"{block['name']}: end")
    equal(data, block["data-pages"], f"{block['name']}: data")


@test("map/picture")
def test_picture(world):
    path = world.saved["mapped-ram"]
    text = world.run("map", path, env={"COLUMNS": "60"})
    true("█" in text and "·" in text, text)
    true(max(map(len, text.split("\n"))) <= 70, "lines are too long")
    for words, env in (([path, "--ascii"], {}), ([path], {"LC_ALL": "C"})):
        text = world.run("map", *words, env=env)
        true(text.isascii() and "#" in text, "not ASCII")
    empty = world.run("map", "--ascii", "--block=pc.rom", path)
    true(empty.rstrip("\n").endswith("." * 32), empty)


@test("extract/content")
def test_extract(world):
    saved, out = world.saved, world.path("out")
    memory = world.path("memory").read_bytes()
    for path in saved.values():
        world.run("extract", "--block=pc.ram", path, out)
        equal(out.stat().st_size, MEMORY_MIB << 20, "size")
        true(read_at(out, CONTENT_AT, CONTENT_BYTES) == memory,
             f"{path}: other content")
        true(out.stat().st_blocks * 512 < CONTENT_BYTES + (4 << 20),
             "no holes for zeros")


@test("extract/range")
def test_extract_range(world):
    path, out = world.saved["fixed-ram"], world.path("out")
    whole = world.path("whole")
    world.run("extract", "--block=pc.ram", path, whole)
    for text, start, length in (
            ("16M+1M", 16 << 20, 1 << 20), ("0x1000100-0x1000223",
                                            0x1000100, 0x123),
            ("16777215+8193", 16777215, 8193), ("48M+0", 48 << 20, 0),
            ("47M-48M", 47 << 20, 1 << 20)):
        world.run("extract", "-b", "pc.ram", f"--range={text}", path, out)
        true(out.read_bytes() == read_at(whole, start, length), text)
    for text in ("1", "1+", "-1", "2-1", "48M+1", "0-49M", "0x0+16E", "a-b",
                 "1+2+3"):
        world.run("extract", "-b", "pc.ram", f"--range={text}", path, out,
                  status=1)


@test("extract/refused")
def test_extract_refused(world):
    path = world.copy(world.saved["mapped-ram"], "victim")
    before = path.read_bytes()
    said = world.run("extract", "-b", "nothing", path, world.path("out"),
                     status=1)
    true("pc.ram" in said, f"blocks are not listed: {said}")
    said = world.run("extract", "-b", "pc.ram", path, path, status=1)
    true("file that is read" in said, said)
    true(path.read_bytes() == before, "the snapshot was changed")


@test("compare/same")
def test_compare_same(world):
    names = list(world.saved.values())
    for other in names[1:]:
        info = world.json("compare", names[0], other)
        world.schema.check(info, "FixedRamCompareInfo")
        equal(info["identical"], True, f"{names[0]} and {other}")
    true("identical" in world.run("compare", names[0], names[-1]), "text")


@test("compare/pages")
def test_compare_pages(world):
    """One bit here, a page there, and one that only pretends to be data"""
    path = world.copy(world.saved["mapped-ram"], "other")
    block = world.json("info", path)["blocks"][0]
    page = CONTENT_AT // PAGE
    write_at(path, block["offset"] + page * PAGE + 77, b"\xff\x00\xff")
    write_at(path, block["offset"] + (page + 1) * PAGE, bytes(PAGE))
    # the bitmap lies before the superblock's slot or the pages; page + 4 is 0
    set_bit(path, bitmap_at(path), page + 4)
    info = world.json("compare", world.saved["mapped-ram"], path, status=1)
    ram = info["blocks"][0]
    equal(ram["ranges"], [{"start": CONTENT_AT, "length": 2 * PAGE}], "ranges")
    equal(ram["different-pages"], 2, "pages")
    text = world.run("compare", world.saved["stream"], path, status=1)
    true("0x1000000 - 0x1001fff" in text, text)


def bitmap_at(path):
    """Where the header of the first block says it is"""
    head = read_at(path, 0, 4096)
    at = head.index(b"\x06pc.ram", head.index(b"\x03ram")) + 7 + 8 + 4 + 8
    return int.from_bytes(head[at:at + 8], "big")


def set_bit(path, bitmap, bit):
    old = read_at(path, bitmap + bit // 8, 1)[0]
    write_at(path, bitmap + bit // 8, bytes([old | 1 << bit % 8]))


@test("compare/machines")
def test_compare_machines(world):
    content = world.path("content2")
    make_content(content)
    with Vm(world.qemu, content, MEMORY_MIB // 2) as vm:
        vm.save(world.path("half"), ["mapped-ram"])
    info = world.json("compare", world.path("half"), world.saved["stream"],
                      status=1)
    world.schema.check(info, "FixedRamCompareInfo")
    ram = info["blocks"][0]
    equal(ram["lengths"], [MEMORY_MIB << 19, MEMORY_MIB << 20], "lengths")
    true(ram["different-pages"] > 1000, "other content")


@test("compare/quick")
def test_compare_quick(world):
    path = world.copy(world.converted, "other")
    world.run("compare", "--quick", world.converted, path)
    # it reads no content whose checksums are equal, and says so in its manual
    write_at(path, world.data_ranges(path)[0]["offset"], b"damage")
    world.run("compare", "--quick", world.converted, path)
    world.run("compare", world.converted, path, status=1)
    world.run("compare", "--quick", path, world.saved["mapped-ram"], status=2)
    world.run("compare", path, world.path("missing"), status=2)


@test("json")
def test_json(world):
    """One value, and nothing else, on stdout"""
    for command, status in (("info", 0), ("check", 3), ("map", 0)):
        out = world.run(command, "--output=json", world.saved["mapped-ram"],
                        status=status)
        json.loads(out)

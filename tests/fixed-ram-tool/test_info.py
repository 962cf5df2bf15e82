# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot info."""

import os
import re
import shlex

from machine import (CONTENT_BYTES, MEMORY_MIB, NAME, UUID, Machine,
                     make_content)
from qemu.machine import QEMUMachine
from stream import PAGE
from tooltest import OFFSET, ToolTest


class InfoTest(ToolTest):
    def test_kinds(self):
        noise = self.path("noise")
        noise.write_bytes(b"this is something else")
        kinds = {**self.saved, "none": noise}
        infos = {}
        for kind, path in kinds.items():
            info = infos[kind] = self.json("info", path)
            self.schema.check(info, "FixedRamFileInfo", kind)
            expected = {"offset": "mapped-ram", "multifd": "mapped-ram"}
            self.equal(info["kind"], expected.get(kind, kind), "kind")
            self.equal(info["complete"], kind != "none", f"{kind}: complete")
            self.equal("problem" in info, kind == "none", f"{kind}: problem")
            self.equal("id" in info, kind == "fixed-ram", f"{kind}: id")
            self.equal(info.get("clean"), True if kind == "fixed-ram" else
                       None, f"{kind}: clean")
            text = self.tool("info", path)
            self.true(re.search(r"^kind: ", text, re.M), text)
        for kind in self.saved:
            self.check_info(infos[kind], infos["stream"])
        self.equal(infos["offset"]["offset"], OFFSET, "offset")

    def check_info(self, info, other):
        self.equal(info["machine"]["type"][:6], "pc-i44", "machine type")
        self.equal([(b["name"], b["length"],
                     b["data-pages"]) for b in info["blocks"]],
                   [(b["name"], b["length"], b["data-pages"])
                    for b in other["blocks"]], "blocks")
        ram = info["blocks"][0]
        self.equal((ram["name"], ram["length"]), ("pc.ram", MEMORY_MIB << 20),
                   "RAM")
        self.true(ram["data-pages"] >= CONTENT_BYTES // PAGE * 4 // 5,
                  "data pages")
        names = [d["name"] for d in info["devices"]]
        self.true({"cpu", "0000:00:02.0/vga"} <= set(names),
                  f"devices {names}")

    def test_fixed_ram(self):
        info = self.json("info", self.saved["fixed-ram"])
        machine = info["machine"]
        self.equal((machine["name"], machine["uuid"]), (NAME, UUID),
                   "name and UUID")
        self.equal(machine["ram"], MEMORY_MIB << 20, "RAM")
        self.true(re.fullmatch("[0-9a-f]{32}", info["id"]), "id")
        self.equal(info["file-size"], os.stat(self.saved["fixed-ram"]).st_size,
                   "size")
        self.true({"machine", "blocks", "stream"} <=
                  {s.get("name") for s in info["sections"]}, "sections")

    def test_damaged(self):
        """What can be said about a file without its end"""
        cut = self.copy(self.saved["mapped-ram"], "cut")
        os.truncate(cut, 3 << 20)
        info = self.json("info", cut)
        self.equal((info["kind"], info["complete"]), ("mapped-ram", False),
                   "kind")
        self.true("reach beyond" in info["problem"], info["problem"])
        self.equal(info["machine"]["type"][:6], "pc-i44", "machine type")
        whole = self.copy(self.converted, "cut-behind")
        os.truncate(whole, os.stat(whole).st_size - 1)
        info = self.json("info", whole)
        self.equal((info["kind"], info["complete"]), ("fixed-ram", False),
                   "kind")
        os.truncate(cut, 5)
        self.equal(self.json("info", cut)["kind"], "none", "kind of 5 bytes")

    def test_command_line(self):
        """The printed command starts a machine that loads the snapshot"""
        path, content = self.path("described"), self.path("content")
        make_content(content)
        text = "name=opt/x,string=it's \x1b[1m"
        more = ("-smp", "2", "-serial", f"file:{self.path('place')}",
                "-object", "secret,id=s0,data=hidden", "-fw_cfg", text)
        with self.machine(content, more=more) as source:
            source.save(path, ["fixed-ram"])
        line = self.tool("info", "--command-line", path)
        words = self.json("info", path)["command-line"]
        self.true("hidden" not in line and "place" not in line and
                  "\x1b" not in line and line.count("\n") == 1, line)
        escaped = "$'" + text.replace("'", r"\x27").replace("\x1b",
                                                           r"\x1b") + "'"
        self.true(escaped in line, line)
        self.equal(shlex.split(line.replace(escaped, "X")),
                   ["X" if w == text else w for w in words], "words")
        self.equal(words[-4:], ["-global", "migration.fixed-ram=on",
                                "-incoming", f"file:{path}"], "end")
        self.load_by(words)
        converted = self.path("described-again")
        self.tool("convert", path, converted)
        self.equal(self.json("info", converted)["command-line"][:-1],
                   words[:-1], "words of a copy")

    def load_by(self, words):
        with QEMUMachine(str(self.qemu), args=words[1:],
                         base_temp_dir=str(self.folder)) as vm:
            vm.launch()
            Machine.wait_for(vm, "completed")

    def test_not_described(self):
        path, content = self.path("undescribed"), self.path("content")
        make_content(content)
        with self.machine(content) as source:
            source.cmd("migrate-set-parameters", fixed_ram_describe=False)
            source.save(path, ["fixed-ram"])
        self.true("command-line" not in self.json("info", path), "words")
        self.tool("info", "--command-line", path, status=1)

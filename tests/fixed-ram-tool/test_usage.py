# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's own help, options and output."""

import json
import os
import re
import subprocess

from stream import PAGE, beginning, ending
from tooltest import ToolTest

COMMANDS = ("info", "check", "map", "extract", "compare", "convert",
            "merge", "rebase", "working-set")


class UsageTest(ToolTest):
    def test_help(self):
        text = self.tool("--help")
        for command in COMMANDS:
            self.true(command in text, f"--help does not name {command}")
            own = self.tool(command, "--help")
            self.true(f"qemu-snapshot {command}" in own, f"{command} --help")
        self.true("version" in self.tool("--version"), "--version")

    def test_usage(self):
        saved = self.saved["mapped-ram"]
        for words, status in (((), 1), (("nothing",), 1), (("info",), 1),
                              (("info", saved, saved), 1),
                              (("info", "--nothing", saved), 1),
                              (("info", "--output=xml", saved), 1),
                              (("info", "--offset=far", saved), 1),
                              (("check", "-j", "0", saved), 1),
                              (("merge", saved), 1),
                              (("rebase", saved), 1),
                              (("rebase", "--nothing", saved, saved), 1),
                              (("working-set",), 1),
                              (("working-set", "nothing", saved), 1),
                              (("working-set", "show"), 1),
                              (("working-set", "drop", saved, saved), 1),
                              (("working-set", "copy-from", saved), 1),
                              (("compare", saved), 2),
                              (("compare", "--nothing", saved, saved), 2),
                              (("extract", saved, self.path("out")), 1)):
            said = self.tool(*words, status=status)
            self.true("--help" in said, f"{words}: no hint in {said!r}")

    def bash(self, commands, *words):
        """What bash prints once it has read the completion"""
        script = (self.source / "migration" / "fixed-ram" / "tool" /
                  "qemu-snapshot.bash-completion")
        path = f"{self.build}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", f'. "$1"; {commands}', "bash", script, *words],
            check=True, capture_output=True, text=True,
            env={**os.environ, "PATH": path}).stdout.split()

    def test_completion(self):
        """Every option in it is one, and every long option is in it"""
        for command in COMMANDS:
            words = self.bash('_qemu_snapshot_options "$2"', command)
            offered = sorted(word.rstrip("=") for word in words)
            known = sorted(set(re.findall(r"^  (?:-\w, )?(--[\w-]+)",
                                          self.tool(command, "--help"), re.M)))
            self.equal(offered, known, f"options of {command}")

    def complete(self, line):
        """What bash offers for the word at the end of @line"""
        return self.bash('compopt() { :; }; COMP_LINE=$2; COMP_POINT=${#2}; '
                         '_qemu_snapshot; printf "%s\n" "${COMPREPLY[@]}"',
                         f"qemu-snapshot {line}")

    def test_completion_values(self):
        fixed, offset = self.saved["fixed-ram"], self.saved["offset"]
        blocks = [b["name"] for b in self.json("info", fixed)["blocks"]]
        for line, expected in (
                ("ch", ["check"]), ("check --ou", ["--output="]),
                ("-T x map --as", ["--ascii"]),
                ("check --output=h", ["human"]),
                ("check --output j", ["json"]),
                ("wor", ["working-set"]),
                ("working-set c", ["copy-from"]),
                ("working-set show --as", ["--ascii"]),
                (f"extract {fixed} -b ", blocks),
                (f"extract {fixed} --block=pc.r", ["pc.ram", "pc.rom"]),
                (f"extract {offset} -b pc.r", ["pc.ram", "pc.rom"]),
                # bash keeps what is before the last colon
                (f"extract {fixed} -b 0000:00:02.0/vga.v", ["02.0/vga.vram"]),
                ("extract -b ", [])):
            self.equal(self.complete(line), expected, line)

    def test_dash(self):
        """No command but extract takes - for a stream, and none makes a file"""
        path = self.saved["stream"]
        for words in (("info", "-"), ("check", "-"), ("map", "-"),
                      ("extract", "--block=pc.ram", "-", self.path("out")),
                      ("convert", "-", self.path("out")),
                      ("convert", path, "-"), ("compare", path, "-")):
            said = self.tool(*words, status=(1, 2), cwd=self.folder)
            self.true("'-' is no file" in said, f"{words}: {said}")
        self.true(not self.path("-").exists(), "there is a file -")

    def test_escape_sequences(self):
        """No name in a file, and no name of a file, reaches the terminal"""
        path, missing = self.path("bad"), self.path("no\x1b[31mfile\x9b")
        evil = "p\x1b]0;title\x07.ram"
        path.write_bytes(beginning(evil, 2 * PAGE) + ending())
        extract = ("extract", "--block", evil)
        for words in (("info", path), ("check", path), ("map", path),
                      (*extract, path, self.path("out")),
                      (*extract, self.converted, self.path("out")),
                      ("compare", path, path), ("info", missing),
                      ("compare", missing, path),
                      (*extract, self.converted, missing / "out"),
                      ("convert", path, self.path("out")), (evil,)):
            said = self.tool(*words, status=(0, 1, 2, 3))
            self.true(said.replace("\n", "").isprintable(), f"{words}: {said!r}")

    def test_json(self):
        """One value, and nothing else, on stdout"""
        for command, status in (("info", 0), ("check", 3), ("map", 0)):
            out = self.tool(command, "--output=json", self.saved["mapped-ram"],
                            status=status)
            json.loads(out)

# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's own help, options and output."""

import json
import re
import subprocess

from tooltest import ToolTest

COMMANDS = ("info", "check", "map", "extract", "compare", "convert")


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
                              (("compare", saved), 2),
                              (("compare", "--nothing", saved, saved), 2),
                              (("extract", saved, self.path("out")), 1)):
            said = self.tool(*words, status=status)
            self.true("--help" in said, f"{words}: no hint in {said!r}")

    def test_completion(self):
        """Every option in it is one, and every long option is in it"""
        script = (self.source / "migration" / "fixed-ram" / "tool" /
                  "qemu-snapshot.bash-completion")
        for command in COMMANDS:
            out = subprocess.run(
                ["bash", "-c", '. "$1"; _qemu_snapshot_options "$2"', "bash",
                 script, command], check=True, capture_output=True, text=True)
            offered = sorted(word.rstrip("=") for word in out.stdout.split())
            known = sorted(set(re.findall(r"^  (?:-\w, )?(--\w+)",
                                          self.tool(command, "--help"), re.M)))
            self.equal(offered, known, f"options of {command}")

    def test_json(self):
        """One value, and nothing else, on stdout"""
        for command, status in (("info", 0), ("check", 3), ("map", 0)):
            out = self.tool(command, "--output=json", self.saved["mapped-ram"],
                            status=status)
            json.loads(out)

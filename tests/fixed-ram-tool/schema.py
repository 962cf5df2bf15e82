# SPDX-License-Identifier: GPL-2.0-or-later
"""Is JSON what the QAPI schema says?"""

import ast
import re

INTEGERS = ("int", "uint32", "uint64", "size")


class Schema:
    """The types of one of QAPI's modules"""

    def __init__(self, path):
        text = "\n".join(line for line in path.read_text().split("\n")
                         if not line.startswith("#"))
        text = re.sub(r"\btrue\b", "True", re.sub(r"\bfalse\b", "False", text))
        self.types = {}
        for part in re.split(r"\n(?=\{)", text):
            if part.strip():
                entry = ast.literal_eval(part.strip())
                name = entry.get("struct") or entry.get("enum")
                if name:
                    self.types[name] = entry

    def check(self, value, kind, where="top"):
        if isinstance(kind, list):
            self._expect(isinstance(value, list), where, "an array", value)
            for n, each in enumerate(value):
                self.check(each, kind[0], f"{where}[{n}]")
        elif kind == "str":
            self._expect(isinstance(value, str), where, kind, value)
        elif kind == "bool":
            self._expect(isinstance(value, bool), where, kind, value)
        elif kind in INTEGERS:
            self._expect(isinstance(value, int) and
                         not isinstance(value, bool), where, kind, value)
        elif "enum" in self.types[kind]:
            self._expect(value in self.types[kind]["data"], where, kind, value)
        else:
            self._struct(value, self.types[kind]["data"], where)

    def _struct(self, value, members, where):
        self._expect(isinstance(value, dict), where, "an object", value)
        left = set(value)
        for member, kind in members.items():
            name = member.lstrip("*")
            if name in value:
                left.discard(name)
                self.check(value[name], kind, f"{where}.{name}")
            elif not member.startswith("*"):
                raise AssertionError(f"{where}: no {name}")
        if left:
            raise AssertionError(f"{where}: unknown {sorted(left)}")

    @staticmethod
    def _expect(good, where, kind, value):
        if not good:
            raise AssertionError(f"{where}: {value!r} is not {kind}")

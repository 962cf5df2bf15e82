# SPDX-License-Identifier: GPL-2.0-or-later
"""Save images of libvirt, made here: a header, XML, a cookie, a stream."""

import bz2
import gzip
import lzma
import struct
import subprocess

from tooltest import ToolTest, read_at, write_at

SAVED, PARTIAL = b"LibvirtQemudSave", b"LibvirtQemudPart"
HEADER = 92
RAW, GZIP, BZIP2, XZ, LZOP, ZSTD, SPARSE = range(7)
XML = b"""<domain type='qemu' id='7'>
  <metadata><name>wrong</name></metadata>
  <name>web &amp; mail</name>
  <title>a title</title>
</domain>
\0"""
COOKIE = b"<cookie><name>wrong</name></cookie>\n\0"
VERSION_AT, LENGTH_AT, FORMAT_AT, COOKIE_AT = 16, 20, 28, 32


def header(data_length, kind=RAW, cookie_at=0, magic=SAVED, order="<",
           version=2):
    return magic + struct.pack(order + "5I56x", version, data_length, 1, kind,
                               cookie_at)


def beginning(kind=RAW, xml=XML, cookie=COOKIE, pad=0, **more):
    """All that lies in front of the stream"""
    data = xml + cookie + bytes(pad)
    return header(len(data), kind, len(xml) if cookie else 0, **more) + data


class LibvirtTest(ToolTest):
    def image(self, name, stream, **more):
        path = self.path(name)
        path.write_bytes(beginning(**more) + stream)
        return path

    def moved(self, saved, name, **more):
        """A snapshot behind a header: saved there, as places are absolute"""
        begin = beginning(**more)
        path = self.path(name)
        path.unlink(missing_ok=True)
        self.tool("convert", self.saved[saved],
                  f"file:{path},offset={len(begin)}")
        write_at(path, 0, begin)
        return path, len(begin)

    def problem(self, path, *words, status=2):
        """check says all of it, info shows it, and others refuse the file"""
        said = self.tool("check", path, status=status)
        for word in (str(path), *words):
            self.true(word in said, f"no '{word}' in: {said}")
        info = self.json("info", path)
        self.schema.check(info, "FixedRamFileInfo", path.name)
        self.true(words[0] in info["problem"], info["problem"])
        for command in (("map", path), ("compare", path, path),
                        ("extract", "-b", "pc.ram", path, self.path("no")),
                        ("convert", path, self.path("no"))):
            said = self.tool(*command, status=(1, 2))
            self.true(words[0] in said, f"{command[0]}: {said}")
        self.true(not self.path("no").exists(), "an output was made")

    # ---- good images ----

    def test_info(self):
        plain = self.saved["stream"].read_bytes()
        for number, (more, running) in enumerate((
                ({}, True), ({"order": ">"}, True), ({"version": 1}, True),
                ({"cookie": b""}, True), ({"pad": 1024}, True),
                ({"kind": SPARSE}, True), ({"kind": GZIP}, True))):
            path = self.image(f"info-{number}", plain, **more)
            info = self.json("info", path)
            self.schema.check(info, "FixedRamFileInfo", path.name)
            begin = len(beginning(**more))
            self.equal(info["offset"], begin, "offset")
            self.equal(info["kind"], "stream", "kind")
            self.equal(info["libvirt"], {
                "domain": "web & mail", "complete": True, "running": running,
                "format": {SPARSE: "sparse", GZIP: "gzip"}.get(
                    more.get("kind"), "raw"),
                "data-size": begin - HEADER}, f"{more}")
            self.true("libvirt domain: web & mail\n" in
                      self.tool("info", path), "no domain")
        self.true("libvirt" not in self.json("info", self.saved["stream"]),
                  "a plain stream has no domain")

    def test_commands(self):
        """A snapshot behind a header, used by all commands"""
        path, begin = self.moved("fixed-ram", "sparse", kind=SPARSE)
        self.equal(self.json("info", path)["kind"], "fixed-ram", "kind")
        self.equal(self.json("info", path)["offset"], begin, "offset")
        self.tool("check", path)
        self.tool("compare", path, self.saved["fixed-ram"])
        for name, file in (("a", path), ("b", self.saved["fixed-ram"])):
            self.tool("extract", "-b", "pc.ram", file, self.path(name))
        self.true(self.path("a").read_bytes() == self.path("b").read_bytes(),
                  "extract: other content")
        self.equal(sum(e["length"] for e in self.data_ranges(path)),
                   sum(e["length"] for e in
                       self.data_ranges(self.saved["fixed-ram"])), "map")
        self.true("no working set" in self.tool(
            "working-set", "show", path, status=(0, 1)), "working-set")

    # ---- convert ----

    def test_convert(self):
        """Header and XML are kept, and the format becomes sparse"""
        plain = self.saved["stream"].read_bytes()
        for number, more in enumerate(({}, {"order": ">"}, {"pad": 300},
                                       {"cookie": b""}, {"kind": ZSTD})):
            path = self.image(f"raw-{number}", plain, **more)
            out = self.path(f"raw-{number}-out")
            self.tool("convert", path, out)
            begin = beginning(**{**more, "kind": SPARSE})
            self.equal(read_at(out, 0, len(begin)), begin, f"{more}: header")
            self.tool("check", out)
            self.tool("compare", path, out)
            info = self.json("info", out)
            self.equal((info["kind"], info["offset"],
                        info["libvirt"]["format"]),
                       ("fixed-ram", len(begin), "sparse"), f"{more}")

    def test_convert_again(self):
        """A copy of a copy has the same bytes in front, and the same pages"""
        path = self.image("again-raw", self.saved["stream"].read_bytes())
        first, second = self.path("again-1"), self.path("again-2")
        self.tool("convert", path, first)
        self.tool("convert", first, second)
        begin = len(beginning())
        self.equal(read_at(first, 0, begin), read_at(second, 0, begin),
                   "header")
        self.tool("compare", first, second)
        self.equal(self.json("info", first)["id"],
                   self.json("info", second)["id"], "identity")

    def test_convert_alone(self):
        """With an offset it is the snapshot without libvirt's header"""
        path = self.image("alone-raw", self.saved["stream"].read_bytes())
        out = self.path("alone")
        self.tool("convert", path, f"file:{out},offset=0")
        self.equal(read_at(out, 0, 4), b"QEVM", "magic")
        self.true("libvirt" not in self.json("info", out), "a header")
        with self.machine() as vm:
            vm.load(out, ["fixed-ram"])

    def test_convert_cut_off(self):
        """What a killed convert leaves does not look complete"""
        path = self.image("full-raw", self.saved["stream"].read_bytes())
        out = self.path("full-out")
        self.tool("convert", path, out)
        env, faults = self.failing_reads(path, 5, after=40)
        out.write_bytes(b"")
        self.tool("convert", path, out, status=1, env=env)
        faults.close()
        self.equal(read_at(out, 0, 16), PARTIAL, "magic")
        self.true(self.json("info", out)["complete"] is False, "complete")

    # ---- compressed ones ----

    def test_compressed(self):
        """The message has the command that unpacks the image"""
        plain = self.saved["stream"].read_bytes()
        for kind, name, stream in (
                (GZIP, "gzip", gzip.compress(plain, 1)),
                (BZIP2, "bzip2", bz2.compress(plain, 1)),
                (XZ, "xz", lzma.compress(plain, preset=0))):
            path = self.image(f"it's {name}", stream, kind=kind)
            self.problem(path, f"compressed the migration stream by {name}",
                         f"0x{len(beginning()):x}", status=1)
            said = self.json("info", path)["problem"]
            command = said[said.index("(head"):].replace("NEW", "unpacked")
            subprocess.run(["sh", "-c", command], cwd=self.folder, check=True)
            self.tool("convert", self.path("unpacked"), self.path("again"))
            self.tool("compare", self.path("again"), self.saved["stream"])
            self.tool("check", self.path("again"))

    def test_compressed_names(self):
        """By how the content begins; the word of the header is not believed"""
        for name, begin in (("zstd", b"\x28\xb5\x2f\xfd"),
                            ("lzop", b"\x89LZO\0\r\n\x1a\n"),
                            ("gzip", b"\x1f\x8b\x08")):
            for kind in (RAW, GZIP, ZSTD, SPARSE):
                path = self.image(f"{name}-{kind}", begin + bytes(64),
                                  kind=kind)
                self.problem(path, f"by {name};", status=1)
        path = self.image("noise", b"neither of them" * 9, kind=GZIP)
        self.problem(path, "this is not a VM snapshot",
                     f"0x{len(beginning()):x}")

    # ---- hostile ones ----

    def test_incomplete(self):
        for name, stream in (("empty", b""),
                             ("plain", self.saved["stream"].read_bytes())):
            path = self.image(f"part-{name}", stream, magic=PARTIAL)
            self.problem(path, "libvirt's save was cut off", "offset 0x0")
            self.equal(self.json("info", path)["libvirt"]["complete"], False,
                       "complete")

    def test_truncated(self):
        """At each byte of the header and of the data"""
        whole = beginning()
        path = self.path("cut")
        for length in range(16, len(whole), 3):
            path.write_bytes(whole[:length])
            said = self.tool("check", path, status=2)
            self.true(str(path) in said and "offset 0x" in said,
                      f"{length}: {said}")
            self.true("libvirt header" in said, f"{length}: {said}")
        path.write_bytes(whole[:15])
        self.true("magic 0x4c696276" in self.tool("check", path, status=2),
                  "no magic")

    def test_words(self):
        """Each field that can be wrong"""
        plain = self.saved["stream"].read_bytes()
        data = len(XML + COOKIE)
        for number, (at, value, words, status) in enumerate((
                (VERSION_AT, 0, ("version 0, expected 1 to 2", "0x10"), 1),
                (VERSION_AT, 3, ("version 3, expected 1 to 2", "0x10"), 1),
                (VERSION_AT, 0xffffffff, ("version 4294967295",), 1),
                (LENGTH_AT, 0, ("0 bytes of data, expected 1", "0x14"), 2),
                (LENGTH_AT, 0xffffffff, ("4294967295 bytes of data",), 2),
                (LENGTH_AT, 1 << 24, ("but the file has only",), 2),
                (LENGTH_AT, 50, ("the cookie begins at byte",), 2),
                (COOKIE_AT, data, (f"the cookie begins at byte {data}",
                                   "0x20"), 2),
                (COOKIE_AT, 9, ("the XML has no end", "0x5c"), 2),
                (LENGTH_AT, data - 1, ("the cookie has no end",
                                       f"0x{HEADER + len(XML):x}"), 2))):
            size = 20 << 20 if value == 0xffffffff else 0
            path = self.image(f"word-{number}", plain + bytes(size))
            write_at(path, at, struct.pack("<I", value))
            self.problem(path, *words, status=status)

    def test_format(self):
        """A number that is not known is only shown"""
        path = self.image("format", self.saved["stream"].read_bytes(),
                          kind=77)
        self.equal(self.json("info", path)["libvirt"]["format"],
                   "unknown (77)", "format")
        self.tool("check", path, status=3)

    def test_xml(self):
        """The name is for people; an image is not refused for its XML"""
        plain = self.saved["stream"].read_bytes()
        for number, (xml, expected) in enumerate((
                (b"\0", None), (b"<domain>\0", None),
                (b"no XML <<<\0", None), (b"\xff\xfe<domain>\0", None),
                (b"<a><name>x</name></a>\0", None),
                (b"<domain><a><name>x</name></a></domain>\0", None),
                (b"<domain><name></name></domain>\0", ""),
                (b"<domain><name>a<b/>c</name><name>d</name></domain>\0",
                 "a"),
                (b"<domain><name>x\ny</name><broken\0", "x\ny"),
                (b"<domain><name><![CDATA[<&>]]></name></domain>\0", "<&>"),
                (b"<a>" * 100000 + b"\0", None))):
            path = self.image(f"xml-{number}", plain, xml=xml)
            self.equal(self.json("info", path)["libvirt"].get("domain"),
                       expected, f"{xml[:60]}")
            text = self.tool("info", path)
            self.equal(text.count("\nlibvirt domain: "),
                       0 if expected is None else 1, text)

    def test_offset(self):
        """An offset of the user is believed; the header is not looked at"""
        path = self.image("offset", self.saved["stream"].read_bytes())
        begin = len(beginning())
        info = self.json("info", f"file:{path},offset={begin}")
        self.equal((info["kind"], "libvirt" in info), ("stream", False),
                   "by its offset")

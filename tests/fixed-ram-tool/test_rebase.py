# SPDX-License-Identifier: GPL-2.0-or-later
"""qemu-snapshot rebase: deltas whose layers have been moved."""

import fcntl
import os
import shutil

from deltafiles import DeltaFiles
from tooltest import APPENDER, flip, lock


class RebaseTest(DeltaFiles):
    def place(self, name):
        """An empty folder"""
        folder = self.path(f"rebase-{name}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def paths(self, path):
        return [layer["path"] for layer in self.json("info", path)["layers"]]

    def good(self, path, number, *paths):
        """It names these paths, and is what was saved"""
        self.equal(self.paths(path), [str(p) for p in paths], "paths")
        self.tool("check", path)
        self.true(self.content(path) == self.expect(number), "content")

    def refused(self, path, base, *words, options=()):
        """An error with these words, and the file is what it was"""
        before = path.read_bytes()
        said = self.tool("rebase", *options, path, base, status=1)
        for word in words:
            self.true(str(word) in said, f"{word} is not in {said}")
        self.equal(said.count("qemu-snapshot:"), 1, f"errors: {said}")
        self.true(path.read_bytes() == before, "the file has changed")

    def test_base_moved(self):
        """Deltas name it as their base, or as another layer"""
        two, one, base = self.folder_with("two", "one", "base")
        base = shutil.move(base, self.place("a") / "moved")
        self.tool("check", one, status=1)
        self.tool("rebase", one, base)
        self.good(one, 1, base)
        self.tool("check", two, status=1)
        self.tool("rebase", two, base)
        self.good(two, 2, "delta-one", base)

    def test_dependents(self):
        """What others have recorded of a delta stays the same"""
        two, one, base = self.folder_with("two", "one", "base")
        info = self.json("info", one)
        below = self.place("a")
        self.tool("rebase", two, shutil.copyfile(base, below / "base"))
        self.tool("rebase", one, below / "base")
        base.unlink()
        self.good(two, 2, "delta-one", below / "base")
        for key in ("id", "machine", "blocks"):
            self.equal(self.json("info", one)[key], info[key], key)
        self.load(one, 1)
        self.load(two, 2)

    def test_folder_moved(self):
        """All is found by the path of the base, which has relative ones"""
        two, one, base = self.folder_with("two", "one", "base")
        old, alone = self.place("old"), self.place("alone")
        one = shutil.move(one, old / "one")
        base = shutil.move(base, old / "delta-base")
        two = shutil.move(two, alone / "two")
        self.tool("rebase", two, one)
        self.good(two, 2, one, base)
        new = self.path("rebase-new")
        shutil.rmtree(new, ignore_errors=True)
        old.rename(new)
        self.tool("check", two, status=1)
        self.tool("rebase", two, new / "one")
        self.good(two, 2, new / "one", new / "delta-base")
        # A folder below that of the delta has a relative path.
        shutil.move(new, alone / "below")
        self.tool("rebase", two, alone / "below" / "one")
        self.good(two, 2, "below/one", "below/delta-base")
        shutil.move(alone, self.place("a") / "all")
        self.good(self.path("rebase-a") / "all" / "two", 2, "below/one",
                  "below/delta-base")

    def test_absolute(self):
        """Each in a folder of its own: one after the other from the base up"""
        a, b, c = (self.place(name) for name in "abc")
        two, one, base = self.folder_with("two", "one", "base")
        base, one = shutil.move(base, a / "base"), shutil.move(one, b / "one")
        two = shutil.move(two, c / "two")
        self.tool("rebase", one, base)
        self.tool("rebase", two, one)
        self.good(two, 2, one, base)
        base = shutil.move(base, b / "base")
        # The delta between does not know it either.
        self.refused(two, one, two, "layer 2 of 2", a / "base", "No such file")
        self.tool("rebase", one, base)
        self.good(one, 1, "base")
        self.tool("rebase", two, one)
        self.good(two, 2, one, base)

    def test_old_path_first(self):
        """A layer that is still found stays where it is"""
        two, one, base = self.folder_with("two", "one", "base")
        away = self.place("a")
        shutil.copyfile(base, away / "delta-base")
        one = shutil.move(one, away / "one")
        self.tool("rebase", two, one)
        self.good(two, 2, one, "delta-base")
        base.write_bytes(self.names["full-one"].read_bytes())
        self.tool("rebase", two, one)
        self.good(two, 2, one, away / "delta-base")

    def test_unsafe(self):
        """Before the base is moved, to a place that need not be there"""
        one, base = self.folder_with("one", "base")
        away = self.path("rebase-not-yet")
        shutil.rmtree(away, ignore_errors=True)
        self.tool("rebase", "-u", one, away / "base")
        self.equal(self.paths(one), [str(away / "base")], "paths")
        self.tool("check", one, status=1)
        away.mkdir()
        base = shutil.move(base, away / "base")
        self.good(one, 1, base)
        # As seen from where the command runs
        self.tool("rebase", "--unsafe", one, "base", cwd=away)
        self.good(one, 1, base)
        self.tool("rebase", "-u", one, "x/base", cwd=away)
        self.equal(self.paths(one), [str(away / "x" / "base")], "paths")
        self.tool("rebase", "-u", one.name, "base", cwd=one.parent)
        self.equal(self.paths(one), ["base"], "paths")
        shutil.move(base, one.parent / "base")
        self.good(one, 1, "base")

    def test_link(self):
        """Paths are seen from where the file is, not from a link to it"""
        one, base = self.folder_with("one", "base")
        away = self.place("a")
        link = away / "link"
        link.symlink_to(one)
        base = shutil.move(base, one.parent / "moved")
        (away / "base").symlink_to(base)
        self.tool("rebase", link, away / "base")
        self.good(one, 1, "moved")
        self.true(link.is_symlink(), "the link was replaced")
        (away / "folder").symlink_to(one.parent)
        self.tool("rebase", "-u", one, away / "folder" / "later")
        self.equal(self.paths(one), ["later"], "paths")

    def test_merged(self):
        """The base was merged and moved: it is the same snapshot"""
        two, one, base = self.folder_with("two", "one", "base")
        merged = self.place("a") / "merged"
        self.tool("merge", one, merged)
        one.unlink()
        self.tool("rebase", two, merged)
        self.good(two, 2, merged, base.name)

    def test_wrong_file(self):
        folder = self.place("a")
        base = shutil.copyfile(self.names["base"], folder / "base")
        nothing = folder / "nothing"
        nothing.write_bytes(b"no snapshot" * 1000)
        saved = self.saved
        for options in ((), ("-u",)):
            for path, words in (
                    (self.names["full-one"], ("full", "expected a delta")),
                    (saved["mapped-ram"], ("expected a delta",)),
                    (saved["stream"], ("expected a delta",)),
                    (nothing, ("expected",))):
                self.refused(path, base, path, *words, options=options)
            said = self.tool("rebase", *options, folder / "x", base, status=1)
            self.true(f"{folder / 'x'}" in said and "No such file" in said,
                      said)

    def test_wrong_base(self):
        two, one, base = self.folder_with("two", "one", "base")
        nothing, link = one.parent / "nothing", one.parent / "hard-link"
        nothing.write_bytes(b"no snapshot" * 1000)
        os.link(two, link)
        full = self.names["full-one"]
        ids = {p: self.json("info", p)["id"] for p in (two, one, full)}
        another = ("another one", "expected " + ids[one])
        for path, words in (
                (full, (ids[full], *another)),
                (link, (ids[two], *another)),
                (self.saved["mapped-ram"], ("no identity", ids[one])),
                (self.saved["stream"], ()),
                (nothing, ("expected",)),
                (two, ("the delta itself", "expected its base")),
                (two.parent, ("not a regular file",)),
                (f"file:{one},offset=4096", ("expected a path alone",)),
                (two.parent / "x", ("No such file",))):
            self.refused(two, path, path, *words)
        # A file of the right name, but not what it was
        flip(one, self.superblock_at(one) + 20)
        self.refused(two, one, one, "superblock")
        one.unlink()
        self.refused(two, base, two, "layer 1 of 2", "No such file")

    def test_wrong_base_unsafe(self):
        one, _ = self.folder_with("one", "base")
        for path, words in ((one, ("the delta itself",)),
                            (one.parent, ("folder",)),
                            (f"{one.parent}/x/", ("folder",)),
                            ("/" + 5000 * "x", (one, "more than 4096 bytes")),
                            ("/x\udcff", (one, "not UTF-8")),
                            ("-", ("no file",))):
            self.refused(one, path, *words, options=["-u"])

    def test_in_use(self):
        """Beside a load it works; beside a save or another change it does not"""
        one, base = self.folder_with("one", "base")
        for start, length, words in ((APPENDER, 1, "cannot be changed"),
                                     (0, 0, "it is being written")):
            for options in ((), ("-u",)):
                with open(one, "r+b") as f:
                    lock(f, fcntl.F_WRLCK, start, length)
                    self.refused(one, base, one, words, options=options)
        with open(base, "r+b") as f:
            lock(f, fcntl.F_WRLCK, 0, 0)
            self.refused(one, base, base, "it is being written")
        with open(one, "r+b") as f:
            lock(f, fcntl.F_RDLCK, 0, APPENDER)
            base = shutil.move(base, self.place("a") / "base")
            self.tool("rebase", one, base)
        self.good(one, 1, base)

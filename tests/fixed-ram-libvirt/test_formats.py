# SPDX-License-Identifier: GPL-2.0-or-later
"""Saving in each format that libvirt knows, and restoring from it."""

from libvirttest import ON_DEMAND, VERIFIED, LibvirtTest

BOTH = (*ON_DEMAND, *VERIFIED)


class FormatsTest(LibvirtTest):

    def cycle(self, image_format, *words, restore=()):
        """A guest that was restored is saved so, and restored again"""
        self.restore(self.image("verified"), *BOTH)
        self.wait_loaded()
        path = self.save(f"{image_format}.image", image_format, *words)
        self.restore(path, *BOTH, words=restore)
        return path

    def sparse(self, *words):
        """A verified snapshot, which is restored on demand"""
        path = self.cycle("sparse", *words, restore=words)
        self.assert_on_demand(True)
        self.verify()
        info = self.info(path)
        self.equal((info["kind"], info["libvirt"]["format"]),
                   ("fixed-ram", "sparse"), "kind and format")
        self.tool("check", path)

    def packed(self, image_format, command):
        """The stream is not for us, and the tool says how to unpack it"""
        path = self.cycle(image_format)
        self.verify()
        said = self.tool("check", path, status=1)
        self.says(said, image_format, command)
        self.equal(self.info(path)["libvirt"]["domain"], "guest", "the name")

    def test_sparse(self):
        self.sparse()

    def test_sparse_direct(self):
        self.sparse("--bypass-cache")

    def test_sparse_parallel(self):
        self.sparse("--parallel-channels", "4")

    def test_sparse_parallel_direct(self):
        self.sparse("--parallel-channels", "4", "--bypass-cache")

    def test_raw(self):
        path = self.cycle("raw")
        self.verify()
        self.equal(self.info(path)["libvirt"]["format"], "raw", "the format")

    def test_gzip(self):
        self.packed("gzip", "gzip -dc")

    def test_bzip2(self):
        self.packed("bzip2", "bzip2 -dc")

    def test_xz(self):
        self.packed("xz", "xz -dc")

    def test_lzop(self):
        self.packed("lzop", "lzop -dc")

    def test_zstd(self):
        self.packed("zstd", "zstd -dc")

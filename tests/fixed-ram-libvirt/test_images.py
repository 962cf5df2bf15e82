# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of every origin: our QEMU's, Debian's, converted, and many times."""

from libvirttest import ON_DEMAND, STOCK, VERIFIED, LibvirtTest

from fixed_ram_libvirt.program import install_program


class ImagesTest(LibvirtTest):

    def on_demand(self, path, verified):
        self.restore(path, *ON_DEMAND)
        self.assert_on_demand(verified)
        self.verify()
        self.wait_loaded()

    def test_verified(self):
        self.on_demand(self.image("verified"), True)

    def test_plain(self):
        """Saved by this QEMU without the line about verified saves"""
        self.on_demand(self.image("plain"), False)

    def test_stock(self):
        """Saved by Debian's QEMU"""
        self.on_demand(self.image("stock"), False)

    def test_for_stock(self):
        """Debian's QEMU restores a verified image"""
        self.restore(self.image("verified"), emulator=STOCK)
        self.verify()

    def test_without_the_line(self):
        """As libvirt always did"""
        self.restore(self.image("verified"))
        self.true("fixed-ram" not in self.figures(), "an ordinary load")
        self.verify()

    def test_convert(self):
        """A raw image becomes a verified sparse one"""
        self.restore(self.image("plain"))
        raw = self.save("raw-before.image", "raw")
        path = self.path("converted.image")
        self.tool("convert", raw, path)
        self.tool("check", path)
        self.equal(self.info(path)["libvirt"],
                   {**self.info(raw)["libvirt"], "format": "sparse"},
                   "libvirt's header")
        self.restore(path, *ON_DEMAND)
        self.assert_on_demand(True)
        self.verify()

    def test_wrapper(self):
        """A wrapper as the emulator in the place of a line a domain"""
        wrapper = install_program(
            self.build / "qemu-system-x86_64", self.libvirt.folder,
            "on-demand", " ".join(ON_DEMAND + VERIFIED))
        self.restore(self.image("plain"), emulator=wrapper)
        self.assert_on_demand(False)
        self.verify()
        self.wait_loaded()
        self.restore(self.save("wrapped.image", "sparse"), emulator=wrapper)
        self.assert_on_demand(True)
        self.verify()

    def test_own_incoming(self):
        """A new domain that starts from an image by its own -incoming"""
        path = self.image("verified")
        offset = self.info(path)["offset"]
        self.define(*ON_DEMAND, *VERIFIED, "-incoming",
                    f"file:{path},offset={offset}")
        path.chmod(0o644)
        self.domain.load()
        self.assert_on_demand(True)
        self.verify()

    def test_generations(self):
        path = self.image("verified")
        for number in range(self.generations):
            self.restore(path, *ON_DEMAND, *VERIFIED)
            self.assert_on_demand(True)
            path = self.save(f"generation-{number % 2}.image", "sparse")
            self.tool("check", path)
        self.restore(path, *ON_DEMAND)
        self.verify()

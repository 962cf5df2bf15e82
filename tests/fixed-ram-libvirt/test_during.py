# SPDX-License-Identifier: GPL-2.0-or-later
"""What virsh does while a restored guest's RAM is still being loaded."""

from fixed_ram.qmp import Failure
from libvirttest import ON_DEMAND, SLOWLY, VERIFIED, LibvirtTest

SLOW = (*ON_DEMAND, *VERIFIED, *SLOWLY)


class DuringTest(LibvirtTest):

    def begin(self, **more):
        """A guest that runs, and whose RAM is not there"""
        self.restore(self.image("verified"), *SLOW, **more)
        self.domain.serial.wait_first_byte(60)
        self.true(self.load_job(), "RAM is still being loaded")

    def ends_well(self):
        self.full_speed()
        self.wait_loaded()
        self.verify()

    def saved_well(self, path):
        self.equal(self.info(path)["kind"], "fixed-ram", "the kind")
        self.tool("check", path)
        self.restore(path)
        self.verify()

    def test_output(self):
        """The guest works before its RAM is there"""
        self.begin()
        for _ in range(3):
            self.domain.serial.wait_line(r"^tick \d", 60,
                                         len(self.domain.serial.lines))
        self.true(self.load_job(), "RAM is still being loaded")
        self.ends_well()

    def test_job(self):
        self.begin()
        job = self.load_job()
        self.equal(job["status"], "running", "the job")
        self.true(job["current-progress"] < job["total-progress"], job)
        self.equal(self.figures()["status"], "completed", "the migration")
        self.ends_well()
        self.equal(self.load_job(), None, "the job")

    def test_job_held(self):
        """A client may hold the loaders, and a save says so"""
        self.begin()
        job = self.load_job()["id"]
        self.assertRaisesRegex(Failure, "cannot be cancelled", self.qmp,
                               "job-cancel", id=job)
        self.qmp("job-pause", id=job)
        self.says(self.refused(self.save, "held.image", "sparse"),
                  "still being loaded", "resume the job")
        self.equal(self.domain.state(), "running", "the state")
        self.qmp("job-resume", id=job)
        self.saved_well(self.save("held.image", "sparse"))

    def test_save(self):
        self.begin()
        self.saved_well(self.save("early.image", "sparse"))

    def test_managed_save(self):
        self.begin()
        self.domain.define()
        self.domain.virsh("managedsave")
        self.domain.start()
        self.verify()

    def test_memory_snapshot(self):
        self.begin()
        path = self.path("snapshot.image")
        path.unlink(missing_ok=True)
        self.domain.virsh("snapshot-create-as", "--no-metadata", "--memspec",
                          f"file={path},snapshot=external",
                          "--diskspec", "hda,snapshot=no")
        # libvirt writes a plain stream, without checksums
        self.says(self.tool("check", path, status=3), "structure is good")
        self.ends_well()

    def test_suspend(self):
        self.begin()
        self.domain.virsh("suspend")
        self.equal(self.domain.state(), "paused", "the state")
        self.domain.virsh("resume")
        self.equal(self.domain.state(), "running", "the state")
        self.ends_well()

    def test_dump_of_memory(self):
        self.begin()
        path = self.path("memory.dump")
        self.domain.virsh("dump", path, "--memory-only")
        self.true(path.stat().st_size > 256 << 20, "all of the memory")
        self.ends_well()

    def test_dump(self):
        """By a migration to a file, which waits"""
        self.begin()
        self.domain.virsh("dump", self.path("guest.dump"))
        self.ends_well()

    def test_disk(self):
        self.begin()
        path = self.path("copy.qcow2")
        path.unlink(missing_ok=True)
        self.domain.virsh("blockcopy", "hda", "--dest", path, "--format",
                          "qcow2", "--transient-job", "--wait", "--finish")
        self.true(path.exists(), "the copy")
        self.ends_well()

    def test_job_info(self):
        self.begin()
        self.says(self.domain.virsh("domjobinfo"), "Job type")
        self.says(self.domain.virsh("dommemstat"), "rss")
        self.ends_well()

    def test_shutdown(self):
        """The button is pressed; this guest does not listen to it"""
        self.begin()
        self.domain.virsh("shutdown", "--mode", "acpi")
        self.true(self.load_job(), "RAM is still being loaded")
        self.equal(self.domain.state(), "running", "the state")
        self.ends_well()

    def test_reset(self):
        self.begin()
        self.domain.virsh("reset")
        self.domain.serial.wait_line("^ready$", 120,
                                     len(self.domain.serial.lines))

    def test_destroy(self):
        self.begin()
        self.domain.virsh("destroy")
        self.says(self.refused(self.domain.state), "failed to get domain")

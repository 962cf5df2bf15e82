# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk can do, measured by fio."""

import shutil

from .child import run, run_json
from .qmp import Failure

ENGINES = ("io_uring", "libaio")


class Fio:
    """Each call is one run of fio over a file, direct, in this process group"""

    def __init__(self, program, engine):
        self.program = program
        self.engine = engine

    def _run(self, jobs, timeout):
        command = [self.program, "--output-format=json", "--thread",
                   f"--ioengine={self.engine}", "--direct=1"]
        for name, options in jobs:
            command += [f"--name={name}", *options]
        return {job["jobname"]: job for job in
                run_json(command, timeout)["jobs"]}

    def read(self, path, offset, size, seconds):
        """Sequentially; returns (bytes, seconds)"""
        jobs = self._run([("seq", _sequential(path, offset, size, seconds)
                           + ["--iodepth=8"])], seconds + 60)
        return _amount(jobs["seq"]["read"])

    def write(self, path, size, seconds):
        jobs = self._run([("seq", ["--rw=write", "--bs=1M", "--iodepth=8",
                                   f"--filename={path}", f"--size={size}",
                                   f"--runtime={seconds}", "--fallocate=none"]
                           )], seconds + 60)
        return _amount(jobs["seq"]["write"])

    def random(self, path, offset, size, seconds, beside=False):
        """4 KiB reads, one at a time; returns latencies in microseconds

        beside: with one sequential reader, 1 MiB at a time
        """
        jobs = [("random", ["--rw=randread", "--bs=4k", "--iodepth=1",
                            *_where(path, offset, size, seconds),
                            "--time_based", "--norandommap"])]
        if beside:
            jobs.append(("seq", _sequential(path, offset, size, seconds)
                         + ["--iodepth=1", "--time_based"]))
        result = self._run(jobs, seconds + 60)
        latency = result["random"]["read"]["clat_ns"]
        figures = {"p50_us": latency["percentile"]["50.000000"] / 1000,
                   "p99_us": latency["percentile"]["99.000000"] / 1000,
                   "max_us": latency["max"] / 1000}
        if beside:
            size, took = _amount(result["seq"]["read"])
            figures["beside_mib_s"] = round(size / took / 2**20, 1)
        return figures


def _where(path, offset, size, seconds):
    return [f"--filename={path}", "--readonly", f"--offset={offset}",
            f"--size={size}", f"--runtime={seconds}"]


def _sequential(path, offset, size, seconds):
    return ["--rw=read", "--bs=1M", *_where(path, offset, size, seconds)]


def _amount(side):
    return side["io_bytes"], max(side["runtime"], 1) / 1000


def find_fio():
    """A Fio, or None; and why there is none"""
    program = shutil.which("fio")
    if not program:
        return None, "fio is not installed"
    known = run([program, "--enghelp"], 30).split()
    for engine in ENGINES:
        if engine in known and _works(program, engine):
            return Fio(program, engine), None
    return None, f"fio has no working {' or '.join(ENGINES)}"


def _works(program, engine):
    """The kernel may refuse what fio knows"""
    try:
        run([program, "--name=try", "--readonly", "--rw=read", "--bs=512",
             "--size=512", f"--filename={__file__}", f"--ioengine={engine}"],
            30)
    except Failure:
        return False
    return True

# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU where its libraries are not installed: with those it was built with."""

from pathlib import Path
import re
import shutil

from fixed_ram.child import run

# The build folder as libvirt's root shows it.
INSIDE = Path("/fixed-ram/build")
WRAPPER = """#!/bin/sh
# The emulator of a domain: the same options for each domain of this host.
exec {lib}/ld.so --library-path {lib} {program} {options} "$@"
"""


def copy_libraries(program, folder):
    """Also the loader, as ld.so: the C library's version must be its own"""
    folder.mkdir(exist_ok=True)
    for path in re.findall(r"(/\S+) \(0x", run(["ldd", program], 60)):
        name = Path(path).name
        shutil.copy(path, folder / (
            "ld.so" if name.startswith("ld-linux") else name))


def install_program(program, folder, name=None, options=""):
    """A wrapper in the folder that runs a program of the build folder"""
    lib = folder / "lib.d"
    copy_libraries(program, lib)
    wrapper = folder / (name or program.name)
    wrapper.write_text(WRAPPER.format(
        lib=lib, program=INSIDE / program.name, options=options))
    wrapper.chmod(0o755)
    return wrapper

# SPDX-License-Identifier: GPL-2.0-or-later
"""What "make check" wants to know of a small run; speaks TAP."""

FIGURES = ("running_ms", "output_ms", "before_mib", "pss_mib", "private_mib",
           "read_mib")
MAY_STAY = ("lock",)


def guids(herd):
    """What each clone's vmgenid says"""
    return [guid["guid"] for guid in herd.each(
        lambda machine: machine.qmp.execute("query-vm-generation-id"))]


def wrong_in_mode(data):
    """What is missing or wrong in a mode's figures"""
    for clone in data["clones"]:
        for key in FIGURES:
            if clone.get(key, -1) < 0:
                yield f"{clone['name']} has no {key}"
    yield from data["wrong"]
    if data["guids"] != [clone["guid"] for clone in data["clones"]]:
        yield f"vmgenid has {data['guids']}"
    if len(set(data["guids"])) < len(data["clones"]):
        yield "two clones have the same guid"


def left_over(output, results):
    for path in output.iterdir():
        if path.name not in (*results, *MAY_STAY):
            yield f"{path.name} was left in {output}"


def checks(report, output, results, no_picture):
    """(name, what is wrong with it, why it was skipped)"""
    for mode, data in report["modes"].items():
        yield mode, list(wrong_in_mode(data)), None
    yield "unchanged", [] if report["unchanged"] else ["it changed"], None
    yield "cleaned-up", list(left_over(output, results)), None
    yield "picture", [], no_picture


def tap(report, output, results, no_picture):
    """The exit status"""
    lines = list(checks(report, output, results, no_picture))
    print(f"1..{len(lines)}")
    for number, (name, wrong, skipped) in enumerate(lines, 1):
        for text in wrong:
            print(f"# {name}: {text}")
        print(f"{'not ok' if wrong else 'ok'} {number} clones/{name}"
              + (f" # SKIP {skipped}" if skipped else ""))
    return 1 if any(wrong for _, wrong, _ in lines) else 0

# SPDX-License-Identifier: GPL-2.0-or-later
"""Random migration commands for one QEMU: what is drawn, and from what.

The seed decides commands, order and pauses.  It does not decide how far QEMU
has come in between, so that a sequence may have to be tried several times.
"""

from dataclasses import dataclass, field
import random

MONITORS = 2
SNAPSHOTS = ("fixed", "mapped", "plain", "cut")     # see commandworld.py
STEPS = (4, 40)
DISCONNECT = "disconnect"


@dataclass(frozen=True)
class Step:
    monitor: int
    command: str            # or DISCONNECT, and a connection follows
    arguments: dict = field(default_factory=dict)
    oob: bool = False
    pause_s: float = 0.0    # before it
    wait: bool = True       # for its answer, for a short time

    def __str__(self):
        words = [f"m{self.monitor}", self.command]
        words += [str(self.arguments)] if self.arguments else []
        words += ["oob"] if self.oob else []
        words += [] if self.wait else ["no wait"]
        words += [f"after {self.pause_s:.4f} s"] if self.pause_s else []
        return " ".join(words)


@dataclass(frozen=True)
class Trial:
    number: int
    incoming: bool          # QEMU waits for migrate-incoming
    steps: tuple


def switch(*names, state=True):
    return {"capabilities": [{"capability": name, "state": state}
                             for name in names]}


CAPABILITIES = ("fixed-ram", "mapped-ram", "postcopy-ram", "multifd", "events",
                "return-path", "auto-converge", "xbzrle", "dirty-bitmaps",
                "background-snapshot", "validate-uuid", "pause-before-switchover")


def source(rng, where):
    """A URI to load from"""
    return rng.choice((
        *(f"file:{where}/{name}" for name in ("fixed", "fixed", "fixed",
                                              *SNAPSHOTS, "missing", "saved")),
        f"file:{where}/fixed,offset=4096", "file:/dev/null", "file:", "",
        "tcp:127.0.0.1:0", "tcp:127.0.0.1:1", f"unix:{where}/socket",
        "fd:none", "nonsense:"))


def target(rng, where):
    """A URI to save to"""
    return rng.choice((
        *[f"file:{where}/saved"] * 4, f"file:{where}/fixed", "file:/dev/full",
        f"file:{where}/none/saved", f"file:{where}/saved,offset=12345", "",
        "tcp:127.0.0.1:1", f"unix:{where}/socket", "fd:none"))


def incoming(rng, where):
    arguments = {"uri": source(rng, where)}
    if rng.random() < 0.9:
        arguments["exit-on-error"] = False
    return arguments


def parameters(rng, _where):
    return rng.choice((
        {"multifd-channels": rng.randint(1, 8)},
        {"max-bandwidth": rng.choice((0, 1 << 20, 1 << 30))},
        {"max-postcopy-bandwidth": rng.choice((0, 1 << 20, 1 << 30))},
        {"direct-io": rng.random() < 0.5},
        {"fixed-ram-precopy-percent": rng.randint(0, 100)},
        {"fixed-ram-verify": rng.choice(["off", "on", "full"])},
        {"downtime-limit": rng.randint(0, 1000)}))


def some_capabilities(rng, _where):
    return switch(*rng.sample(CAPABILITIES, rng.randint(1, 3)),
                  state=rng.random() < 0.7)


def yank(rng, _where):
    return {"instances": rng.choice((
        [{"type": "migration"}], [],
        [{"type": "chardev", "id": "m1"}]))}


def hmp(rng, where):
    return {"command-line": rng.choice((
        "info migrate", "info migrate_capabilities", "savevm a", "loadvm a",
        f"migrate -d {target(rng, where)}", f"migrate -r {target(rng, where)}",
        f"migrate_incoming {source(rng, where)}", "migrate_cancel",
        f"migrate_recover {source(rng, where)}", "migrate_pause",
        "migrate_start_postcopy", "info registers", "xp /16xg 0x1000000"))}


def nothing(_rng, _where):
    return {}


# (weight, command, arguments, how likely out-of-band)
COMMANDS = (
    (12, "migrate-incoming", incoming, 0),
    (10, "migrate", lambda r, w: {"uri": target(r, w), **(
        {"resume": True} if r.random() < 0.2 else {})}, 0),
    (8, "migrate-recover", lambda r, w: {"uri": source(r, w)}, 0.8),
    (8, "migrate-pause", nothing, 0.8),
    (8, "migrate_cancel", nothing, 0),
    (4, "migrate-start-postcopy", nothing, 0),
    (3, "migrate-continue", lambda r, w: {"state": r.choice((
        "pre-switchover", "device", "completed"))}, 0),
    (4, "yank", yank, 0.8),
    (8, "migrate-set-capabilities", some_capabilities, 0),
    (6, "migrate-set-parameters", parameters, 0),
    (0.3, "xen-load-devices-state",
     lambda r, w: {"filename": f"{w}/{r.choice((*SNAPSHOTS, 'devices'))}"}, 0),
    (2, "xen-save-devices-state",
     lambda r, w: {"filename": f"{w}/devices"}, 0),
    (3, "query-migrate", nothing, 0),
    (2, "query-yank", nothing, 0),
    (4, "cont", nothing, 0),
    (4, "stop", nothing, 0),
    (2, "system_reset", nothing, 0),
    (1, "calc-dirty-rate", lambda r, w: {"calc-time": 1}, 0),
    (1, "snapshot-save", lambda r, w: {
        "job-id": f"j{r.randrange(99)}", "tag": "a", "vmstate": "none",
        "devices": []}, 0),
    (4, "human-monitor-command", hmp, 0),
    (3, DISCONNECT, nothing, 0),
)


def draw_step(rng, where):
    _, command, arguments, oob = rng.choices(
        COMMANDS, [weight for weight, *_ in COMMANDS])[0]
    return Step(rng.randrange(MONITORS), command, arguments(rng, where),
                rng.random() < oob,
                rng.choice((0, 0, 0, 0.0005, 0.003, 0.02, 0.1)),
                rng.random() < 0.6)


def opening(rng, where, loads):
    """What most users begin with; without it a load is rare"""
    names = ["fixed-ram"] if rng.random() < 0.7 else ["mapped-ram"]
    names += ["postcopy-ram"] if loads and rng.random() < 0.7 else []
    names += ["multifd"] if rng.random() < 0.3 else []
    steps = [Step(0, "migrate-set-capabilities", switch(*names))]
    if rng.random() < 0.5:
        # slow, so that other commands come in the middle of it
        steps.append(Step(0, "migrate-set-parameters",
                          {"max-postcopy-bandwidth": 1 << 20}))
    if loads:
        steps.append(Step(0, "migrate-incoming", {
            "uri": f"file:{where}/fixed", "exit-on-error": False},
            wait=rng.random() < 0.5))
    else:
        steps.append(Step(0, "migrate", {"uri": f"file:{where}/saved"},
                          wait=rng.random() < 0.5))
    return steps


def draw_trial(seed, number, where):
    rng = random.Random(f"{seed} {number}")
    loads = rng.random() < 0.7
    steps = opening(rng, where, loads) if rng.random() < 0.6 else []
    steps += [draw_step(rng, where) for _ in range(rng.randint(*STEPS))]
    return Trial(number, loads, tuple(steps))


def shorter(trial):
    """Trials with fewer steps, large cuts first, one of which may do"""
    size = len(trial.steps) // 2
    while size:
        for start in range(0, len(trial.steps), size):
            yield Trial(trial.number, trial.incoming,
                        trial.steps[:start] + trial.steps[start + size:])
        size //= 2

# SPDX-License-Identifier: GPL-2.0-or-later
"""With fixed-ram off QEMU behaves as the base does: what the hooks may change.

Hooks of the band 0 are fixes of the base and know nothing of fixed-ram.  Each
change that another hook makes to C code either names fixed-ram, or adds a
function, or makes one visible to other files.
"""

import os
import re

OURS = re.compile(r'fixed[-_]ram', re.I)
# One word or line of a change that has no effect by itself.
LINKAGE = re.compile(r'static\b *')
# Other changes, and why they do not concern QEMU with fixed-ram off.
ALLOWED = {
    ('202-postcopy-of-files.patch', 'migration/options.c'):
        'mapped-ram together with postcopy-ram asks for a load of ours',
    ('308-virtio-mem.patch', 'hw/virtio/virtio-mem.c'):
        'the early state comes before postcopy discards pages',
    ('317-thread-sigbus.patch', 'util/qemu-thread-posix.c'):
        'nothing changes before a load has mapped a snapshot',
}


def hunks(text):
    """(line, file, changed lines) of each hunk of a patch"""
    name, found = None, []
    for n, line in enumerate(text.splitlines(), 1):
        if line.startswith('+++ b/'):
            name = line[6:]
        elif line.startswith('@@ '):
            found.append((n, name, []))
        elif found and re.match(r'[+-](?!\+\+ |-- )', line):
            found[-1][2].append(line)
    return found


def signature(lines, sign):
    """A function's head without "static", however it is wrapped."""
    text = ' '.join(line[1:] for line in lines if line[0] == sign)
    return ' '.join(LINKAGE.sub('', text).split())


def harmless(lines):
    """Only a function that is new, or one that has become visible."""
    removed = signature(lines, '-')
    if removed or all(line[0] == '-' for line in lines):
        return removed == signature(lines, '+')
    first = next((line[1:] for line in lines if line[1:].strip()), '')
    return re.match(r'[a-z/]', first) is not None


def find(top, files):
    """A finding for each change that none of this allows."""
    for f in files:
        name = os.path.basename(f)
        if not re.match(r'patches/([\d.]+/)?[0123]\d\d-.*\.patch$', f):
            continue
        with open(os.path.join(top, f), encoding='utf-8') as patch:
            text = patch.read()
        for n, changed, lines in hunks(text):
            ours = any(OURS.search(line) for line in lines)
            if name.startswith('0'):
                if ours:
                    yield f'{f}:{n}: a fix of the base names fixed-ram'
            elif (changed.endswith(('.c', '.h')) and not ours and
                  not harmless(lines) and (name, changed) not in ALLOWED):
                yield f'{f}:{n}: changes the base without naming fixed-ram'

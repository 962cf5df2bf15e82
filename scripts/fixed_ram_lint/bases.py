# SPDX-License-Identifier: GPL-2.0-or-later
"""Hooks for other bases than the default one: patches/VERSION.

A hook there takes the place of an older base's with the same name, a series
there the place of patches/series.  scripts/lib.sh has the same rule.
"""

import os
import re
import shutil
import subprocess
import tempfile

# Longest time in seconds that fetching and unpacking a base may take.
PATIENCE = 150


def version(folder):
    """[10, 2] for patches/10.2, [] for patches"""
    return [int(x) for x in re.findall(r'\d+', folder)]


def folders(files):
    """patches/VERSION of each other base, the oldest first"""
    return sorted({m[0] for m in (re.match(r'patches/[\d.]+(?=/)', f)
                                  for f in files) if m}, key=version)


def find(files, folder, name):
    """the file of a hook or series that a base uses, None if there is none"""
    chain = [f for f in ['patches'] + folders(files)
             if version(f) <= version(folder)]
    return next((f'{f}/{name}' for f in reversed(chain)
                 if f'{f}/{name}' in files), None)


def series_of(top, files, folder):
    """the names in a base's series, and the file that has them"""
    name = find(files, folder, 'series')
    if not name:
        return [], 'patches/series'
    with open(os.path.join(top, name), encoding='utf-8') as f:
        names = [re.sub(r'#.*', '', line).strip() for line in f]
    return [n for n in names if n], name


def wrong_series(top, files, folder):
    """names that only one of a series and its folder has"""
    series, name = series_of(top, files, folder)
    for patch in series:
        if not find(files, folder, patch):
            yield f'{name}:1: {patch}: there is no such hook'
    for f in files:
        if (os.path.dirname(f) == folder and f.endswith('.patch') and
                os.path.basename(f) not in series):
            yield f'{name}:1: {f} is not in the series'
    if series != sorted(set(series)):
        yield f'{name}:1: not in the order of the numbers'


def source(top, base, fetch):
    """the folder of a base's source, None if it cannot be had"""
    command = [f'{top}/scripts/base', *([] if fetch else ['--cached']),
               'source', base]
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE,
                              check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def copy_touched(tree, patch, folder):
    """Copies the files that a patch changes, unless they are there."""
    for name in re.findall(r'^--- a/(.*)$', patch, re.M):
        to = os.path.join(folder, name)
        if not os.path.exists(to) and os.path.exists(f'{tree}/{name}'):
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copyfile(f'{tree}/{name}', to)


def wrong_hooks(top, files, folder, tree):
    """hooks that do not apply, without fuzz, to the base in @tree"""
    with tempfile.TemporaryDirectory() as tmp:
        for name in series_of(top, files, folder)[0]:
            patch = find(files, folder, name)
            path = os.path.join(top, patch)
            with open(path, encoding='utf-8') as f:
                copy_touched(tree, f.read(), tmp)
            done = subprocess.run(
                ['git', 'apply', '--whitespace=nowarn', path], cwd=tmp,
                env={**os.environ, 'GIT_DIR': '/nonexistent'},
                capture_output=True, text=True, check=False)
            if done.returncode:
                why = done.stderr.strip().splitlines()[0]
                yield (f'{patch}:1: does not apply to QEMU '
                       f'{os.path.basename(folder)}: {why}')

# SPDX-License-Identifier: GPL-2.0-or-later
"""Which folder of migration/fixed-ram may use which, and no circles of files.

Both rules read the sources only, so that they need no build.
"""

from collections import defaultdict
import os
import re

ROOT = 'migration/fixed-ram'

# What the files of a folder may include, besides those of their own folder.
MAY_INCLUDE = {
    '.': {'engine', 'save', 'format', 'util'},
    'engine': {'format', 'util'},
    'save': {'format', 'util'},
    'tool': {'save', 'format', 'util'},
    'format': {'util'},
    'util': set(),
}
# What is built instead of other files: it defines their functions again.
STUB = re.compile(r'(unsupported|-stub)\.c$')
# Every folder has trace points.
EVERYBODYS = {f'{ROOT}/trace.h'}
# QEMU's headers that stand for a running VM: for the root folder only.
GLOBALS = re.compile(r'(\.\./)*(migration|system|monitor|hw|exec|block)/|'
                     r'\.\./\.\./(?!trace\.h)|qapi/qapi-commands-')

INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
COMMENT_OR_STRING = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
# A function at the beginning of a line; what follows tells a body from a
# declaration.
FUNCTION = re.compile(r'^(?!static|typedef|return|else)[A-Za-z_][\w \t*]*?'
                      r'\b(\w+)\s*\([^;{}]*\)\s*(?=\{)', re.M)


def read(top, name):
    with open(os.path.join(top, name), encoding='utf-8') as f:
        return f.read()


def sources(files):
    return [f for f in files
            if f.startswith(ROOT + '/') and f.endswith(('.c', '.h'))]


def folder(name):
    """'engine' for a file in it, '.' for the root, None for other files"""
    if not name.startswith(ROOT + '/'):
        return None
    inner = os.path.dirname(name)[len(ROOT) + 1:]
    return inner or '.'


def included(name, files, text):
    """(line, as written, the file of ours that is meant or None)"""
    for n, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            beside = os.path.normpath(
                os.path.join(os.path.dirname(name), found[1]))
            ours = [f for f in (beside, found[1], f'include/{found[1]}')
                    if f in files]
            yield n, found[1], ours[0] if ours else None


def wrong_includes(top, files):
    """Findings: a folder includes what it must not"""
    every = set(files)
    for name in sources(files):
        here = folder(name)
        if here not in MAY_INCLUDE:
            yield f'{name}:1: {here}/ is not in MAY_INCLUDE of layers.py'
            continue
        for n, written, target in included(name, every, read(top, name)):
            there = folder(target) if target else None
            if target in EVERYBODYS or there == here:
                continue
            if there and there not in MAY_INCLUDE[here]:
                yield f'{name}:{n}: {here}/ must not include {there}/: {written}'
            elif not there and here != '.' and GLOBALS.match(written):
                yield (f'{name}:{n}: only the root folder may know '
                       f'QEMU\'s globals: {written}')


def stem(name):
    return os.path.splitext(name)[0]


def without_comments(text):
    return COMMENT_OR_STRING.sub(
        lambda m: re.sub(r'[^\n]', ' ', m[0]), text)


def references(top, files):
    """stem -> {other stem: a function of that one that it names}

    A header counts for the .c file of its name.
    """
    texts = {f: without_comments(read(top, f)) for f in sources(files)
             if not STUB.search(f)}
    owner = {}
    for name, text in texts.items():
        if name.endswith('.c'):
            owner.update({f: stem(name) for f in FUNCTION.findall(text)})
    edges = defaultdict(dict)
    for name, text in texts.items():
        for word in set(re.findall(r'\w+', text)):
            # A header declares what is defined elsewhere: that is no call.
            if word in owner and owner[word] != stem(name) and not (
                    name.endswith('.h') and not called_in(text, word)):
                edges[stem(name)].setdefault(owner[word], word)
    return edges


def called_in(header, word):
    """Whether an inline function or a macro of this header uses the word"""
    bodies = re.findall(r'^\{.*?^\}', header, re.M | re.S)
    bodies += re.findall(r'^#\s*define(?:[^\n]*\\\n)*[^\n]*', header, re.M)
    return any(re.search(rf'\b{word}\b', body) for body in bodies)


def path(edges, start, goal):
    """The shortest way over edges, or None"""
    came = {start: None}
    queue = [start]
    for at in queue:
        for to in sorted(edges.get(at, ())):
            if to == goal:
                way = [at]
                while came[way[-1]] is not None:
                    way.append(came[way[-1]])
                return way[::-1] + [goal]
            if to not in came:
                came[to] = at
                queue.append(to)
    return None


def circles(top, files):
    """Findings: files that call each other, directly or through other files"""
    edges = references(top, files)
    told = set()
    for start in sorted(edges):
        way = path(edges, start, start)
        if way and not told & set(way):
            told |= set(way)
            steps = [f'{os.path.relpath(a, ROOT)} calls {edges[a][b]}() of '
                     f'{os.path.relpath(b, ROOT)}'
                     for a, b in zip(way, way[1:])]
            yield f'{start}.c:1: a circle of files: {", ".join(steps)}'

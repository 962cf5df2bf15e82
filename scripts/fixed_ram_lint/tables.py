# SPDX-License-Identifier: GPL-2.0-or-later
"""CONTRIBUTING.md has a table of tests for each kind: is each test in it?"""

import os
import re

# A line that ends with a colon and has the path, then the table.
TABLE = re.compile(r'`(tests/[^` ]*NAME[^` ]*)`(?:(?!\n\n)[^|])*:\n\n'
                   r'((?:\|.*\n)+)')
ROW = re.compile(r'^\| `([^`]+)` \|', re.M)
KINDS = 6               # tables that there must be


def names(pattern, files):
    """What stands for NAME in those files that the pattern matches"""
    regex = re.compile(re.escape(pattern).replace('NAME', '(.+)') + '$')
    return {m[1] for m in map(regex.match, files) if m}


def missing_tests(top, files):
    """A finding for each test without a row, and each row without a test."""
    doc = 'CONTRIBUTING.md'
    with open(os.path.join(top, doc), encoding='utf-8') as f:
        text = f.read()
    tables = list(TABLE.finditer(text))
    if len(tables) != KINDS:
        yield f'{doc}:1: {len(tables)} tables of tests, expected {KINDS}'
    for table in tables:
        line = text.count('\n', 0, table.start()) + 1
        rows = set(ROW.findall(table[2]))
        tests = names(table[1], files)
        for name in sorted(tests - rows):
            path = table[1].replace('NAME', name)
            yield f'{doc}:{line}: {path} is missing from the table'
        for name in sorted(rows - tests):
            path = table[1].replace('NAME', name)
            yield f'{doc}:{line}: the table has {path}, which does not exist'

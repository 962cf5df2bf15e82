# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that plain sentences do without, in comments, messages and documents."""

import io
import os
import re
import tokenize

# word -> what to write.  This file is the only one that may contain them.
WORDS = {
    r'who|whom|whoever|whomever': 'name the actor: vCPU, loader, saver, caller',
    r'somebody|someone|nobody|no\s+one|anybody|anyone|everybody|everyone':
        'name the actor: vCPU, loader, saver, caller',
    r'one\'s': 'name the owner, or "your"',
    r'in\s+vain': 'say what fails',
    r'rooms|the\s+house': 'folder, layer, repository',
    r'moods?': 'state',
    r'glue': 'name the folder or the file',
    r'without\s+more\s+ado': 'by default',
}
PATTERN = re.compile('|'.join(rf'\b(?P<w{n}>{words})\b'
                              for n, words in enumerate(WORDS)), re.I)
HINTS = list(WORDS.values())

EXEMPT = ('COPYING', 'scripts/fixed_ram_lint/words.py')
C_TEXT = re.compile(r'(/\*.*?\*/|//[^\n]*)|("(?:\\.|[^"\\\n])*")|'
                    r'\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text):
    return re.sub(r'[^\n]', ' ', text)


def prose_of_c(text):
    """Comments and strings; the rest is blanks, so that lines stay lines"""
    result, last = [], 0
    for m in C_TEXT.finditer(text):
        kept = re.sub(r'^(\s*)\*', r'\1 ', m[1], flags=re.M) if m[1] else \
            m[2] or blank(m[0])
        result += [blank(text[last:m.start()]), kept]
        last = m.end()
    return ''.join(result) + blank(text[last:])


def prose_of_python(text):
    kinds = {tokenize.COMMENT, tokenize.STRING,
             getattr(tokenize, 'FSTRING_MIDDLE', tokenize.STRING)}
    lines = [blank(line) for line in text.splitlines(keepends=True)]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            row, column = token.start
            for part in token.string.split('\n'):
                line = lines[row - 1]
                lines[row - 1] = line[:column] + part + \
                    line[column + len(part):]
                row, column = row + 1, 0
    return ''.join(lines)


def prose_of_patch(text):
    """The header, and what the hook adds"""
    header, mark, body = text.partition('\ndiff --git ')
    lines = [line[1:] if re.match(r'\+(?!\+\+ )', line) else ''
             for line in (mark + body).split('\n')]
    return header + prose_of_c('\n'.join(lines))


def prose(name, text, is_python):
    if name.endswith(('.c', '.h')):
        return prose_of_c(text)
    if name.endswith('.patch'):
        return prose_of_patch(text)
    if is_python:
        return prose_of_python(text)
    return re.sub(r'^#', ' ', text, flags=re.M)


def findings(top, files, is_python):
    """(file, line, words, hint) of each one"""
    for name in files:
        if name in EXEMPT or name.endswith('.svg'):
            continue
        with open(os.path.join(top, name), encoding='utf-8',
                  errors='replace') as f:
            text = prose(name, f.read(), is_python(name))
        for found in PATTERN.finditer(text):
            words = ' '.join(found[0].split())
            yield (name, text.count('\n', 0, found.start()) + 1, words,
                   HINTS[int(found.lastgroup[1:])])

# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the scripts share.  Source it, do not run it.

# Inside a git hook these would send our git calls to the wrong repository.
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE GIT_PREFIX
# Tools' messages are parsed, names are sorted: both must not depend on the user.
export LC_ALL=C.UTF-8

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PROG=$(basename "$0")

say() { printf '  %-8s %s\n' "$PROG" "$*" >&2; }
die() { printf '%s: %s\n' "$PROG" "$*" >&2; exit 1; }

# One directory for what is fetched once and shared by all clones.
cache_dir() {
    [[ -n ${XDG_CACHE_HOME:-} || -n ${HOME:-} ]] || die "HOME is not set: no place for the cache"
    printf '%s/fixed-ram\n' "${XDG_CACHE_HOME:-$HOME/.cache}"
}

# The folders of the repository that lie over the base.
OVERLAY_DIRS=(migration include qapi tests docs)

# The overlay's files, one a line: what git knows or would add, and what is there.
overlay_files() {
    local dirs=() d
    for d in "${OVERLAY_DIRS[@]}"; do
        [[ -d $TOP/$d ]] && dirs+=("$d")
    done
    ((${#dirs[@]})) || return 0
    if [[ -e $TOP/.git ]]; then
        git -C "$TOP" ls-files -co --exclude-standard -- "${dirs[@]}"
    else
        (cd "$TOP" && find "${dirs[@]}" -type f ! -path '*/__pycache__/*' ! -name '.*')
    fi | sort -u | while IFS= read -r d; do
        # Deleted but not yet committed: git still lists it.
        if [[ -f $TOP/$d ]]; then printf '%s\n' "$d"; fi
    done
}

# ---- build/source: a private git repository, the same on every machine ----

# git without the user's configuration, under a neutral name and a fixed date, so
# that equal contents give equal commits.
src_git() {
    GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_CONFIG_NOSYSTEM=1 \
    GIT_AUTHOR_NAME=fixed-ram GIT_AUTHOR_EMAIL=fixed-ram@localhost \
    GIT_COMMITTER_NAME=fixed-ram GIT_COMMITTER_EMAIL=fixed-ram@localhost \
    GIT_AUTHOR_DATE='2000-01-01T00:00:00Z' GIT_COMMITTER_DATE='2000-01-01T00:00:00Z' \
        git -C "$SRC" -c core.hooksPath=/dev/null -c core.quotePath=false \
            -c core.autocrlf=false -c gc.auto=0 -c commit.gpgSign=false "$@"
}

# The names in patches/series, in order.
series_names() {
    [[ -f $TOP/patches/series ]] || return 0
    sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$TOP/patches/series"
}

# One hash over the series and its patches.
patches_id() {
    local n
    {
        series_names
        while IFS= read -r n; do
            [[ -f $TOP/patches/$n ]] || die "patches/series names $n, which is not there"
            cat "$TOP/patches/$n"
        done < <(series_names)
    } | sha256sum | cut -d' ' -f1
}

# The header of a patch: what stands before the diff.
patch_header() { sed -e '/^diff --git /,$d' -e '/^---$/,$d' "$1"; }

# A commit's change as a patch body, the same whatever git's configuration says.
canonical_diff() {
    src_git diff --no-color --no-ext-diff --no-textconv --no-renames -U3 \
        --diff-algorithm=histogram --indent-heuristic --inter-hunk-context=0 \
        --ignore-submodules=all --src-prefix=a/ --dst-prefix=b/ "$@" |
        sed -e '/^index [0-9a-f]*\.\.[0-9a-f]*/d'
}

# State that apply leaves for itself, for refresh and for series.
state_get() { cat "$SRC/.git/fixed-ram-$1" 2>/dev/null || true; }
state_set() { printf '%s\n' "$2" > "$SRC/.git/fixed-ram-$1"; }

# Edits that patches/ does not have: "commits", "files", or nothing.
unsaved() {
    local head
    head=$(src_git rev-parse HEAD)
    # "next": where an apply was going that was interrupted.
    [[ $head == "$(state_get tip)" || $head == "$(state_get next)" ]] || echo commits
    [[ -z $(src_git status --porcelain --untracked-files=no) ]] || echo files
}

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

# ---- what takes a while ----

# duration SECONDS: as exact as an estimate can be.
duration() { if (($1 < 100)); then echo "$1 s"; else echo "$((($1 + 30) / 60)) min"; fi; }

# Where apt-get says how much it has installed, while it does.
APT_STATUS=

# usual_by_apt SPENT USUAL: the seconds that apt-get takes in all, as its percentage says.
usual_by_apt() {
    awk -F: -v spent="$1" -v usual="$2" '
        $1 == "pmstatus" { percent = $3 }
        END { print percent < 5 ? usual : int(spent * 100 / percent) }' "$APT_STATUS"
}

# Says how long it goes on and how long is left of USUAL seconds, until it is killed: on a
# terminal in one line that is rewritten, else each 30 seconds.
tick() {
    local usual=$1 start=$SECONDS spent text
    # Our caller may be killed, and then no longer ends us.
    while sleep 1 > /dev/null 2>&1 && kill -0 $$ 2> /dev/null; do
        spent=$((SECONDS - start))
        [[ ! -s $APT_STATUS ]] || usual=$(usual_by_apt "$spent" "$usual")
        text="... $(duration "$spent")"
        ((spent >= usual)) || text+=", about $(duration $((usual - spent))) left"
        if [[ -t 2 ]]; then
            printf '\r\033[K  %-8s %s' "$PROG" "$text" >&2
        elif ((spent && spent % 30 == 0)); then
            say "$text"
        fi
    done
}

# patiently KEY SECONDS TEXT COMMAND...: says TEXT and runs the command, and meanwhile
# how long is left.  The cache has under KEY how long it took last time; SECONDS is for
# the first time.
patiently() {
    local kept usual=$2 start=$SECONDS status ticker
    kept=$(cache_dir)/times/$1
    [[ ! -s $kept ]] || usual=$(< "$kept")
    say "$3"
    shift 3
    tick "$usual" &
    ticker=$!
    # No "||" here: inside the command a failure shall still end the script.
    "$@"
    status=$?
    kill "$ticker" 2> /dev/null || true
    wait "$ticker" 2> /dev/null || true
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
    if ((!status)); then
        mkdir -p "${kept%/*}"
        echo $((SECONDS - start)) > "$kept"
    fi
    return "$status"
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

# ---- the hooks, and the bases they are made for ----

# The first is the default.
BASES=(10.0 10.2 11)
# The base in $SRC; empty: the default one.
BASE_NAME=

# base_name QEMU-VERSION: prints which base that is, or fails.  11.1.50 is 11.
base_name() {
    local b
    for b in "${BASES[@]}"; do
        if [[ $1 == "$b".* ]]; then echo "$b"; return; fi
    done
    return 1
}

# Where this base's hooks lie: first those that it does not share with an older base.
hook_folders() {
    local b folders=("$TOP/patches")
    for b in "${BASES[@]:1}"; do
        [[ ${folders[0]} != "$TOP/patches/$BASE_NAME" ]] || break
        folders=("$TOP/patches/$b" "${folders[@]}")
    done
    [[ ${BASE_NAME:-${BASES[0]}} != "${BASES[0]}" ]] || folders=("$TOP/patches")
    printf '%s\n' "${folders[@]}"
}

# hook_file NAME [FOLDERS-TO-SKIP]: a hook (or the series) for this base.
hook_file() {
    local folder
    while IFS= read -r folder; do
        if [[ -f $folder/$1 ]]; then echo "$folder/$1"; return; fi
    done < <(hook_folders | tail -n "+$((${2:-0} + 1))")
    echo "$TOP/patches/$1"
}

# The names of the series, in order.
series_names() {
    local series
    series=$(hook_file series)
    [[ -f $series ]] || return 0
    sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$series"
}

# One hash over the series and its patches.
patches_id() {
    local n f
    {
        series_names
        while IFS= read -r n; do
            f=$(hook_file "$n")
            [[ -f $f ]] || die "patches/series names $n, which is not there"
            cat "$f"
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

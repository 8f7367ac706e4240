#!/bin/bash
# The Debian package in a clean Debian system that really starts: installed by apt, linted, used by mail, cron and PHP in a
# sandbox, upgraded, removed and purged; a transcript of all of it.
#
#   packaging/smoke-test.sh [--deb FILE] [--cache DIR]
#
# Without --deb it packs target/release/mailchute. The first run fetches Debian packages into the cache that
# tests/realworld/run has too (default /var/cache/mailchute-realworld); later ones take about a minute.
#
# Nothing is installed on this machine but what packing needs, and no service of it is touched: the system, with its own
# systemd as process 1, lives in namespaces and a control group that end with the run.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
realworld=$here/../tests/realworld

main() {
    local deb='' cache=/var/cache/mailchute-realworld
    while [ $# -gt 0 ]; do
        case $1 in
        --deb) deb=$(realpath "$2"); shift 2 ;;
        --cache) cache=$2; shift 2 ;;
        *) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0"; exit 64 ;;
        esac
    done
    skip_unless_possible
    [ -n "$deb" ] || deb=$(pack)

    local group logs status=0
    group=$(make_group)
    logs=$(mktemp -d "${TMPDIR:-/tmp}/mailchute-smoke.XXXXXX")
    # The shell in between enters the control group, so that it is the root of what the new namespace sees.
    "$realworld/roots" hold "$cache" smoke -- \
        bash -c '[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; shift; exec "$@"' enter "$group" \
        unshare --mount --net --pid --ipc --uts --cgroup --fork --mount-proc --kill-child \
        bash -c '"$@"; exit $?' reaper \
        python3 "$here/smoke/story.py" "$deb" "$cache" "$logs" || status=$?
    [ -z "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || :
    if [ $status -eq 0 ]; then rm -rf "$logs"; else echo "smoke-test: logs in $logs"; fi
    exit $status
}

skip_unless_possible() {
    local why=
    if [ "$(. /etc/os-release 2>/dev/null; echo "${ID-}")" != debian ]; then why="not Debian"
    elif [ "$(id -u)" != 0 ]; then why="not root: a private root and namespaces need it"
    elif ! unshare --mount --net --pid --cgroup --fork true 2>/dev/null; then why="this kernel or container refuses new namespaces"
    fi
    [ -n "$why" ] || return 0
    echo "smoke-test: skipped everything ($why)"
    exit 0
}

pack() {
    local missing=()
    command -v dpkg-shlibdeps >/dev/null || missing+=(dpkg-dev)
    command -v python3 >/dev/null || missing+=(python3)
    if [ ${#missing[@]} -gt 0 ]; then
        apt-get -qq update >&2
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >&2
    fi
    (cd "$here/.." && cargo build --quiet --release --locked --bin mailchute) >&2
    "$here/build" --no-compile --fast deb
}

# A control group for the system inside, where there is the second version of them; else it does without systemd.
make_group() {
    local top
    top=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET) || return 0
    top=$top$(sed -n 's/^0:://p' /proc/self/cgroup)
    mkdir "${top%/}/mailchute-smoke.$$" 2>/dev/null && echo "${top%/}/mailchute-smoke.$$"
}

main "$@"

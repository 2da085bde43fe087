#!/bin/sh
# Makes sure that PostgreSQL's server is there for the tests, which start their own, in directories of
# their own. Installs Debian's package where it may; else says what is missing. Silent when there is
# nothing to do.
set -eu

# Debian keeps the programs of each release in a folder that is not in PATH.
is_there() {
    command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1 && return 0
    for folder in /usr/lib/postgresql/*/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && return 0
    done
    return 1
}

fail() {
    echo "install-postgres: $1" >&2
    echo "install-postgres: the tests need (Debian: apt-get install) postgresql" >&2
    exit 1
}

! is_there || exit 0

command -v apt-get >/dev/null 2>&1 || fail "no apt-get here to install it with"
if [ "$(id -u)" -eq 0 ]; then
    root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    root="sudo -n"
else
    fail "neither root nor password-less sudo, so nothing was installed"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    # RUNLEVEL: the package's own service is not wanted.
    # shellcheck disable=SC2086 # a command with its option, or nothing
    $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends postgresql >"$log" 2>&1
}
if ! install; then
    # The package lists may be missing or old.
    { $root apt-get update >"$log" 2>&1 && install; } || { cat "$log" >&2; fail "apt-get could not install it"; }
fi
is_there || fail "installed, but initdb and postgres are in no known place"

#!/bin/sh
# Makes sure that the servers of the tests are there: redis-server, redis-sentinel
# and redis-cli. Installs Debian's packages where it may; else says what is
# missing. Silent when there is nothing to do.
set -eu

missing() {
    for program in redis-server redis-sentinel redis-cli; do
        command -v "$program" >/dev/null 2>&1 || return 0
    done
    return 1
}

fail() {
    echo "install-servers: $1" >&2
    echo "install-servers: the tests need Redis (Debian: apt-get install redis-server redis-sentinel redis-tools)" >&2
    exit 1
}

missing || exit 0

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
    # The tests start their own servers; the packages' services are not wanted.
    # shellcheck disable=SC2086 # $root is a command with its option, or nothing
    $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends \
        redis-server redis-sentinel redis-tools >"$log" 2>&1
}
if ! install; then
    # The package lists may be missing or old.
    { $root apt-get update >"$log" 2>&1 && install; } || { cat "$log" >&2; fail "apt-get could not install it"; }
fi
! missing || fail "installed, but still not in PATH"

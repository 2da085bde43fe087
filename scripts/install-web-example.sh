#!/bin/sh
# Builds the page of examples/web outside of the checkout, with React as its lock file names it; prints the
# folder that is to be served. Needs Node.js, which it installs where it may; else says what is missing.
set -eu

SOURCE=$(cd "$(dirname "$0")/../examples/web" && pwd)
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/sse-relay"
# another state of the sources is another build
STATE=$(cd "$SOURCE" && cat package.json package-lock.json build.js src/* | cksum | cut -d ' ' -f 1)
BUILT="$CACHE/web-example-$STATE"

fail() {
    echo "install-web-example: $1" >&2
    echo "install-web-example: the tests of examples/web need Node.js and npm (Debian: apt-get install nodejs npm)" >&2
    exit 1
}

if [ ! -d "$BUILT/dist" ]; then
    if ! { command -v node && command -v npm; } >/dev/null 2>&1; then
        command -v apt-get >/dev/null 2>&1 || fail "Node.js is not installed, and there is no apt-get to install it with"
        root=
        [ "$(id -u)" -eq 0 ] || root="sudo -n"
        apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >/dev/null 2>&1; }
        apt install -y --no-install-recommends nodejs npm ||
            { apt update && apt install -y --no-install-recommends nodejs npm; } ||
            fail "Node.js is not installed, and apt-get could not install nodejs and npm"
    fi
    mkdir -p "$CACHE"
    # built aside and moved as a whole, so that half of one is never used
    fresh=$(mktemp -d "$CACHE/fresh.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    log="$fresh/log"
    mkdir "$fresh/web"
    (cd "$SOURCE" && cp -R .npmrc package.json package-lock.json build.js src "$fresh/web/")
    (cd "$fresh/web" && npm ci --ignore-scripts --no-audit --no-fund && npm run build) >"$log" 2>&1 ||
        { cat "$log" >&2; fail "npm could not build it"; }
    # another run may have been faster
    mv -T "$fresh/web" "$BUILT" 2>/dev/null || [ -d "$BUILT/dist" ] || fail "cannot write $BUILT"
fi
echo "$BUILT/dist"

#!/bin/sh
# Makes sure that the Python packages are there that tests work with: httpx-sse and requests, which
# stream, channels_redis, which sends to groups, PyJWT, which signs tokens, sse-relay-server, whose notify()
# publishes, and django-eventstream, which publishes to Redis. They live in a virtual environment outside of
# the checkout; prints the path of its Python.
set -eu

PACKAGES="httpx==0.28.1 httpx-sse==0.4.3 PyJWT[crypto]==2.15.1 requests==2.34.2 channels==4.3.2 channels_redis[cryptography]==4.3.0 sse-relay-server==1.0.14 django-eventstream==5.3.4 redis==8.1.0 psycopg[binary]==3.3.9"
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/sse-relay"
# another list of packages is another environment
HOME_OF_CLIENTS="$CACHE/python-clients-$(printf '%s' "$PACKAGES" | cksum | cut -d ' ' -f 1)"

if [ ! -x "$HOME_OF_CLIENTS/bin/python" ]; then
    fail() {
        echo "install-python-clients: $1" >&2
        echo "install-python-clients: the tests need Python 3 with venv (Debian: apt-get install python3-venv) and $PACKAGES" >&2
        exit 1
    }
    # Debian has venv in a package of its own
    if ! python3 -c 'import ensurepip' >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1; then
        root=
        [ "$(id -u)" -eq 0 ] || root="sudo -n"
        apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >/dev/null 2>&1; }
        apt install -y --no-install-recommends python3-venv ||
            { apt update && apt install -y --no-install-recommends python3-venv; } ||
            fail "apt-get could not install python3-venv"
    fi
    command -v python3 >/dev/null 2>&1 || fail "there is no python3"
    mkdir -p "$CACHE"
    # built aside and moved as a whole, so that half of one is never used
    fresh=$(mktemp -d "$CACHE/fresh.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    log="$fresh/log"
    python3 -m venv "$fresh/env" >"$log" 2>&1 || { cat "$log" >&2; fail "python3 -m venv failed"; }
    # shellcheck disable=SC2086 # a list of packages
    "$fresh/env/bin/pip" install --quiet --disable-pip-version-check $PACKAGES >"$log" 2>&1 ||
        { cat "$log" >&2; fail "pip could not install them"; }
    # another run may have been faster
    mv -T "$fresh/env" "$HOME_OF_CLIENTS" 2>/dev/null || [ -x "$HOME_OF_CLIENTS/bin/python" ] ||
        fail "cannot write $HOME_OF_CLIENTS"
fi
echo "$HOME_OF_CLIENTS/bin/python"

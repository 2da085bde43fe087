#!/bin/sh
# Prints the path of a program that tests need, built from its Go module:
#
#   go-program.sh NAME PACKAGE VERSION
#
# It is built the first time, and kept beside the Kubernetes of kubernetes.sh. Needs Go.
set -eu
name=$1 package=$2 version=$3
cache=${KUBERNETES_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sse-relay/kubernetes}
program=$cache/$name-$version

if [ ! -x "$program" ]; then
  command -v go >/dev/null 2>&1 || {
    echo "Go is missing; it builds $name for the tests. Get it from https://go.dev/dl." >&2
    exit 1
  }
  mkdir -p "$cache"
  # one build at a time, whoever calls
  exec 9>"$cache/lock"
  flock 9
fi
if [ ! -x "$program" ]; then
  echo "Building $name $version from its Go module, once..." >&2
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  # outside of any module, so that only what the program itself asks for is built
  (cd / && GOBIN=$fresh CGO_ENABLED=0 GOFLAGS=-buildvcs=false go install -trimpath -ldflags '-s -w' "$package@$version" >&2)
  mv "$fresh/${package##*/}" "$program"
fi
echo "$program"

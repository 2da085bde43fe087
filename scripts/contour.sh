#!/bin/sh
# Prints the path of Contour, a controller for Ingress and the Gateway API, which the end-to-end tests
# use with Envoy. It is built from its Go module the first time, with the sums that the module itself
# has, and kept beside the Kubernetes of kubernetes.sh. Its definitions are beside it. Needs Go.
set -eu
version=v1.33.0
cache=${KUBERNETES_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sse-relay/kubernetes}
program=$cache/contour-$version
if [ ! -x "$program" ]; then
  command -v go >/dev/null 2>&1 || { echo "Go is missing; it builds Contour. Get it from https://go.dev/dl." >&2; exit 1; }
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
fi
if [ ! -x "$program" ]; then
  echo "Building Contour $version from its Go module: some minutes, once..." >&2
  folder=$(cd / && GOFLAGS=-mod=mod go mod download -json "github.com/projectcontour/contour@$version" |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp "$folder/examples/contour/01-crds.yaml" "$program-crds.yaml"
  chmod u+w "$program-crds.yaml"
  (cd "$folder" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -ldflags '-s -w' -o "$program.new" ./cmd/contour >&2)
  mv "$program.new" "$program"
fi
echo "$program"

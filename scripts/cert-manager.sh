#!/bin/sh
# Prints the path of cert-manager (scripts/cert-manager/main.go), for the end-to-end tests. It is built from
# Go modules the first time, and kept beside the Kubernetes of kubernetes.sh. Its definitions are beside
# it, in the folder of that name and -crds. Needs Go.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${KUBERNETES_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sse-relay/kubernetes}
version=$(sed -n "s/^\tgithub.com\/cert-manager\/cert-manager v//p" "$here/cert-manager/go.mod")
program=$cache/cert-manager-$version-$(cksum <"$here/cert-manager/main.go" | cut -d' ' -f1)
if [ ! -x "$program" ]; then
  command -v go >/dev/null 2>&1 || { echo "Go is missing; it builds cert-manager. Get it from https://go.dev/dl." >&2; exit 1; }
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
fi
if [ ! -x "$program" ]; then
  echo "Building cert-manager $version from its Go module: some minutes, once..." >&2
  cd "$here/cert-manager"
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$program.new" . >&2
  mkdir -p "$program-crds"
  # they are half a template of its chart: labels that only Helm can fill in are left out
  for file in "$(go list -m -f '{{.Dir}}' github.com/cert-manager/cert-manager)"/deploy/crds/crd-*.yaml; do
    sed '/{{/d' "$file" >"$program-crds/${file##*/}"
  done
  mv "$program.new" "$program"
fi
echo "$program"

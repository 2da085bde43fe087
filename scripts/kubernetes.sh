#!/bin/sh
# Prints the path of a program that is a whole Kubernetes (scripts/kubernetes/main.go), for tests.
#
# It is built from Go modules the first time, which takes some minutes, and is kept outside of the
# checkout: in $KUBERNETES_CACHE, else in the user's cache. Needs Go.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${KUBERNETES_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sse-relay/kubernetes}
version=$(sed -n 's/^\tk8s.io\/kubernetes v//p' "$here/kubernetes/go.mod")
program=$cache/kubernetes-$version-$(cksum <"$here/kubernetes/main.go" | cut -d' ' -f1)

if [ ! -x "$program" ]; then
  if ! command -v go >/dev/null 2>&1; then
    echo "Go is missing; it builds the Kubernetes for the operator's tests." >&2
    echo "Get it from https://go.dev/dl, or set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver." >&2
    exit 1
  fi
  mkdir -p "$cache"
  # one build at a time, whoever calls
  exec 9>"$cache/lock"
  flock 9
fi
if [ ! -x "$program" ]; then
  echo "Building Kubernetes $version from its Go modules: some minutes, once..." >&2
  minor=${version#*.}
  stamp=k8s.io/component-base/version
  (
    cd "$here/kubernetes"
    while sleep 30; do echo "  still building Kubernetes ($(du -sh "$(go env GOCACHE)" | cut -f1) compiled)" >&2; done &
    progress=$!
    trap 'kill $progress' EXIT
    CGO_ENABLED=0 go build -trimpath -o "$program.new" -ldflags "-s -w \
      -X $stamp.gitVersion=v$version -X $stamp.gitMajor=${version%%.*} -X $stamp.gitMinor=${minor%%.*}" .
  )
  mv "$program.new" "$program"
fi
echo "$program"

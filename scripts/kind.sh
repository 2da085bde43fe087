#!/bin/bash
# The verbs of cluster.sh for a cluster that kind makes, in docker or podman.
#
#   kind.sh up            start it
#   kind.sh load TAR...   bring image archives into it
#   kind.sh run CMD...    run kubectl or curl in its node, anything else here with KUBECONFIG set
#   kind.sh down          remove it
#
# kind and Helm are those in PATH; otherwise they are built from their Go modules the first time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=sse-relay
node=$name-control-plane
state=${TMPDIR:-/tmp}/sse-relay-kind

if docker info >/dev/null 2>&1; then
  engine=docker
else
  engine=podman
  export KIND_EXPERIMENTAL_PROVIDER=podman
fi

program() { # name, what prints the path of one that was built
  local name=$1
  shift
  command -v "$name" || "$@"
}

by_kind() {
  local kind
  kind=$(program kind sh "$here/go-program.sh" kind sigs.k8s.io/kind v0.30.0)
  "$kind" "$@" --name "$name"
}

up() {
  [ ! -e "$state" ] || { echo "cluster: there is one already; '$0 down' removes it" >&2; exit 1; }
  mkdir -p "$state/bin"
  by_kind create cluster --wait 3m --kubeconfig "$state/kubeconfig"
  ln -s "$(program helm sh "$here/helm.sh" 4)" "$state/bin/helm"
}

in_node() { "$engine" exec -i --env KUBECONFIG=/etc/kubernetes/admin.conf "$node" "$@"; }

case ${1:-} in
up) up ;;
load) shift; for archive in "$@"; do by_kind load image-archive "$archive"; done ;;
run)
  shift
  case $1 in
  kubectl | curl) in_node "$@" ;;
  *) KUBECONFIG=$state/kubeconfig PATH=$state/bin:$PATH "$@" ;;
  esac
  ;;
down)
  [ -e "$state" ] || exit 0
  by_kind delete cluster
  rm -rf "$state"
  ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

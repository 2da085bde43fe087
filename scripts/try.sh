#!/bin/bash
# A cluster to try the operator in, with the chart and a first relay: by kind where a container engine
# answers, otherwise a node of its own on this machine. BY=kind or BY=node says which.
#
#   try.sh up      make it, wait until a relay is ready, and say how to stream
#   try.sh down    remove it
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
say() { echo "cluster: $*" >&2; }

engine_answers() {
  docker info >/dev/null 2>&1 || podman info >/dev/null 2>&1
}

up() {
  if [ "${BY:-kind}" = kind ] && { [ -n "${BY:-}" ] || engine_answers; }; then
    if "$here/kind.sh" up; then
      CLUSTER_BY=$here/kind.sh exec "$here/deploy.sh"
    fi
    "$here/kind.sh" down
    [ -z "${BY:-}" ] || exit 1
    say "kind could not make one (has the engine no access to a registry?); a node of its own instead"
  fi
  "$here/cluster.sh" up
  CLUSTER_BY=$here/cluster.sh exec "$here/deploy.sh"
}

case ${1:-} in
up) up ;;
down)
  "$here/cluster.sh" down
  "$here/kind.sh" down
  ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

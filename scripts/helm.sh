#!/bin/sh
# Prints the path of Helm: helm.sh 3, or helm.sh 4. The chart works with both.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
case ${1:-} in
3) exec sh "$here/go-program.sh" helm helm.sh/helm/v3/cmd/helm v3.19.0 ;;
4) exec sh "$here/go-program.sh" helm helm.sh/helm/v4/cmd/helm v4.1.4 ;;
*) echo "helm.sh: which one, 3 or 4?" >&2; exit 2 ;;
esac

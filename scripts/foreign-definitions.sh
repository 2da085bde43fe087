#!/bin/sh
# Prints the files with the definitions of other projects' kinds that the operator and its chart write, for the
# tests: the API server then checks those objects too. They come from the Go modules of these
# projects, which the module proxy serves and Go checks against its checksum database. Needs Go.
set -eu

command -v go >/dev/null 2>&1 || {
  echo "Go is missing; it fetches the definitions of other projects' kinds for the operator's tests." >&2
  echo "Get it from https://go.dev/dl." >&2
  exit 1
}

# the folder of a module
folder() {
  (cd / && GOFLAGS=-mod=mod go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

gateway=$(folder sigs.k8s.io/gateway-api@v1.5.1)/config/crd/standard
prometheus=$(folder github.com/prometheus-operator/prometheus-operator@v0.85.0)/example/prometheus-operator-crd
keda=$(folder github.com/kedacore/keda/v2@v2.17.2)/config/crd/bases
envoy=$(folder github.com/envoyproxy/gateway@v1.5.0)/charts/gateway-helm/crds/generated
for file in \
  "$gateway/gateway.networking.k8s.io_gatewayclasses.yaml" \
  "$gateway/gateway.networking.k8s.io_gateways.yaml" \
  "$gateway/gateway.networking.k8s.io_httproutes.yaml" \
  "$prometheus/monitoring.coreos.com_podmonitors.yaml" \
  "$prometheus/monitoring.coreos.com_servicemonitors.yaml" \
  "$prometheus/monitoring.coreos.com_prometheusrules.yaml" \
  "$keda/keda.sh_scaledobjects.yaml" \
  "$envoy/gateway.envoyproxy.io_backendtrafficpolicies.yaml"; do
  [ -f "$file" ] || { echo "$file is missing in its module" >&2; exit 1; }
  echo "$file"
done

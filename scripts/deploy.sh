#!/bin/bash
# Brings the operator and a first relay into a cluster: images of the programs in $PROGRAMS, the chart
# by $HELM (helm), examples/minimal.yaml. Waits until the relay is ready, and says how to use it.
# $CLUSTER_BY has the verbs load and run: cluster.sh, or kind.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cluster=${CLUSTER_BY:-$here/cluster.sh}
programs=${PROGRAMS:-$here/../target/release}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../Cargo.toml" | head -1)
images=$(mktemp -d)
trap 'rm -rf "$images"' EXIT

for program in sse-relay sse-relay-operator; do
  python3 "$here/image.py" "localhost/$program:$version" "$programs/$program" "$images/$program.tar"
done
"$cluster" load "$images"/*.tar

"$cluster" run "${HELM:-helm}" upgrade --install sse-relay-operator "$here/../charts/sse-relay-operator" \
  --namespace sse-relay-system --create-namespace --wait --timeout 3m \
  --set image.repository=localhost/sse-relay-operator --set "image.tag=$version" --set image.pullPolicy=Never \
  --set relay.repository=localhost/sse-relay --set "relay.version=$version" >/dev/null
"$cluster" run kubectl apply -f - <"$here/../examples/minimal.yaml" >/dev/null
"$cluster" run kubectl wait --for=condition=Ready sserelay/live --timeout=3m >/dev/null

address=$("$cluster" run kubectl get service live -o 'jsonpath={.spec.clusterIP}')
cat <<END
The relay is ready at http://$address, in the cluster's network. A stream, and an event for it:

  token() { $cluster run kubectl get secret live-tokens -o "jsonpath={.data.\$1}" | base64 -d; }
  $cluster run curl -sN -H "Authorization: Bearer \$(token subscribe)" 'http://$address/v1/events?channel=orders.*' &
  $cluster run curl -s -H "Authorization: Bearer \$(token publish)" -H 'Content-Type: text/plain' -d hello http://$address/v1/channels/orders.eu/events
END

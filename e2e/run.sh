#!/bin/bash
# End to end on a real node: the chart by Helm 3, a relay, a stream through its Service, a change, replicas
# with a Redis of their own, an archive in PostgreSQL, streams through real proxies, the end; then the chart by Helm 4, for one
# namespace. KEEP=1 leaves the node as it is. It needs root.
set -euo pipefail
# not the node of make cluster
export CLUSTER=sse-relay-e2e
here=$(cd "$(dirname "$0")" && pwd)
cluster=$here/../scripts/cluster.sh
work=$(mktemp -d)
subscriber=
. "$here/ways-in.sh"
. "$here/archive.sh"
finish() {
  code=$?
  [ -z "$subscriber" ] || kill "$subscriber" 2>/dev/null || true
  stop_proxies
  stop_postgres
  if [ $code != 0 ]; then
    echo "e2e: failed; what the cluster says:" >&2
    "$cluster" run kubectl get pods,sserelays,events -A -o wide >&2 || true
    "$cluster" run kubectl logs -n sse-relay-system -l app.kubernetes.io/component=operator --tail=30 >&2 || true
    tail -n 5 "$work"/*.log >&2 || true
  fi
  rm -rf "$work"
  [ -n "${KEEP:-}" ] || "$cluster" down
}
trap finish EXIT

step() { echo "e2e: $*"; }
kubectl() { "$cluster" run kubectl "$@"; }
await() { # what, command: tried until it works, for two minutes
  local what=$1 tries=0
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 240 ] || { echo "e2e: waited in vain: $what" >&2; return 1; }
    sleep 0.5
  done
}
token() { kubectl get secret live-tokens -o "jsonpath={.data.$1}" | base64 -d; }
publish() {
  # a new Service's way through the node may still be missing
  await "the relay takes $1" "$cluster" run curl -sf --max-time 10 -H "Authorization: Bearer $(token publish)" \
    -H 'Content-Type: text/plain' -d "$1" "$address/v1/channels/orders.eu/events"
}

# all objects of a namespace but those that Kubernetes puts into each, and Events
left_in() {
  local kinds
  kinds=$(kubectl api-resources --verbs=list --namespaced -o name | grep -v -e '^events' -e '\.metrics\.' | paste -sd,)
  kubectl get "$kinds" -n "$1" -o name | grep -v -x -e configmap/kube-root-ca.crt -e serviceaccount/default \
    -e service/kubernetes -e endpoints/kubernetes -e endpointslice.discovery.k8s.io/kubernetes || true
}

step "a node, the chart by Helm 3 and a relay, where only restricted pods may be"
"$cluster" up
kubectl create namespace sse-relay-system >/dev/null
kubectl label namespace default sse-relay-system pod-security.kubernetes.io/enforce=restricted >/dev/null
HELM=helm3 "$here/../scripts/deploy.sh" >/dev/null
"$cluster" run helm3 test sse-relay-operator --namespace sse-relay-system >/dev/null
address=http://$(kubectl get service live -o 'jsonpath={.spec.clusterIP}')

step "an event goes through the Service to a stream"
publish before
"$cluster" run curl -sN -H "Authorization: Bearer $(token subscribe)" "$address/v1/events?channel=orders.*" >"$work/stream" &
subscriber=$!
await "the stream begins" grep -q '^id:' "$work/stream"
publish first
await "the event arrives" grep -q '^data: first$' "$work/stream"

step "nobody without a token"
for path in 'v1/events?channel=orders.*' v1/channels v1/status; do
  code=$("$cluster" run curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "$address/$path")
  [ "$code" = 401 ] || { echo "e2e: $path answers $code without a token" >&2; exit 1; }
done

step "a change replaces the pod: the stream is sent away, and its successor is told of the gap"
id=$(sed -n 's/^id: *//p' "$work/stream" | tail -1 | tr -d '\r')
pod=$(kubectl get pods -l app.kubernetes.io/instance=live -o 'jsonpath={.items[0].metadata.name}')
kubectl patch sserelay live --type merge -p '{"spec": {"retention": {"events": 77}, "rollout": {"drainWindow": "2s", "propagation": "1s"}}}' >/dev/null
gone() { ! kubectl get pod "$pod"; }
await "the old pod is gone" gone
kubectl wait --for=condition=Ready sserelay/live --timeout=2m >/dev/null
await "the first stream has ended" bash -c "! kill -0 $subscriber 2>/dev/null"
subscriber=
"$cluster" run curl -sN --max-time 3 -H "Authorization: Bearer $(token subscribe)" -H "Last-Event-ID: $id" \
  "$address/v1/events?channel=orders.*" >"$work/resumed" || true
grep -q '^event: gap$' "$work/resumed"

step "two replicas share a Redis of their own: what one is told, the other streams"
python3 "$here/../scripts/image.py" localhost/redis:e2e "$(command -v redis-server)" "$work/redis.tar" /usr/bin/redis-server
"$cluster" load "$work/redis.tar"
mkdir -m 777 "$work/volume"
kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: e2e}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: $work/volume}, persistentVolumeReclaimPolicy: Retain}
END
cat >"$work/shared.yaml" <<END
apiVersion: sserelay.dev/v1alpha1
kind: SseRelay
metadata: {name: shared}
spec:
  replicas: 2
  maxStreams: 100
  image: {pullPolicy: Never}
  redis: {managed: {image: "localhost/redis:e2e", memory: 64Mi, storage: {size: 128Mi}, deletionPolicy: Retain}}
  rollout: {drainWindow: 2s, propagation: 1s}
END
make_shared() {
  kubectl apply -f "$work/shared.yaml" >/dev/null
  kubectl wait --for=condition=Ready sserelay/shared --timeout=3m >/dev/null
  kubectl wait --for=condition=RedisReady sserelay/shared --timeout=2m >/dev/null
}
make_shared
mapfile -t pods < <(kubectl get pods -l app.kubernetes.io/instance=shared,app.kubernetes.io/component=relay -o 'jsonpath={range .items[*]}{.status.podIP}{"\n"}{end}')
secret() { kubectl get secret shared-tokens -o "jsonpath={.data.$1}" | base64 -d; }
"$cluster" run curl -sN -H "Authorization: Bearer $(secret subscribe)" "http://${pods[0]}:8080/v1/events?channel=a" >"$work/shared" &
subscriber=$!
await "the stream begins" grep -q '^id:' "$work/shared"
"$cluster" run curl -sSf --max-time 10 -H "Authorization: Bearer $(secret publish)" -H 'Content-Type: text/plain' \
  -d across "http://${pods[1]}:8080/v1/channels/a/events" >/dev/null
await "the event arrives" grep -q '^data: across$' "$work/shared"
kill "$subscriber" 2>/dev/null || true
subscriber=

step "a relay that is deleted leaves its volume where it was told to, and finds its log there when it comes back"
of_shared() { kubectl get "$1" -l app.kubernetes.io/instance=shared -o name; }
kubectl delete sserelay shared >/dev/null
only_the_claim() { [ -z "$(of_shared statefulsets,pods,secrets)" ] && [ -n "$(of_shared persistentvolumeclaims)" ]; }
await "only the volume's claim is left" only_the_claim
make_shared
shared=http://$(kubectl get service shared -o 'jsonpath={.spec.clusterIP}')
remembers() {
  "$cluster" run curl -sN --max-time 3 -H "Authorization: Bearer $(secret subscribe)" "$shared/v1/events?channel=a&from=earliest" >"$work/remembered"
  grep -q '^data: across$' "$work/remembered"
}
await "the event is there still" remembers
kubectl patch sserelay shared --type merge -p '{"spec": {"redis": {"managed": {"deletionPolicy": "Delete"}}}}' >/dev/null
policy() { [ "$(kubectl get statefulset shared-redis -o 'jsonpath={.spec.persistentVolumeClaimRetentionPolicy.whenDeleted}')" = Delete ]; }
await "the claim goes with the relay from now on" policy
owned() { [ -n "$(kubectl get persistentvolumeclaims -l app.kubernetes.io/instance=shared -o 'jsonpath={.items[*].metadata.ownerReferences}')" ]; }
await "the claim belongs to its Redis" owned
kubectl delete sserelay shared >/dev/null
claims_gone() { [ -z "$(of_shared statefulsets,persistentvolumeclaims,pods,secrets)" ]; }
await "its Redis and its volume's claim are gone" claims_gone

step "what a relay is told stands in its archive in PostgreSQL"
start_postgres
keeps_an_archive
stop_postgres

step "streams pass through Traefik, and through Contour and Envoy, by Ingress and by HTTPRoute, and the operator proves it"
start_proxies
tell_the_operator
ways_in
stop_proxies
kubectl delete sserelays --all -n ways >/dev/null
no_pods() { [ -z "$(kubectl get pods -n ways -o name)" ]; }
await "the pods behind the proxies are gone" no_pods
kubectl delete namespace ways >/dev/null

step "the operator's account could do all of it: nothing was forbidden"
nothing_forbidden() {
  local logs
  logs=$(kubectl logs -n sse-relay-system -l app.kubernetes.io/component=operator --tail=-1)
  if grep -i forbidden <<<"$logs" >&2; then return 1; fi
}
nothing_forbidden

step "a deleted relay and an uninstalled chart leave only the definition"
kubectl delete sserelay live >/dev/null
nothing() { [ -z "$(kubectl get all,configmaps,secrets,serviceaccounts,ingresses,networkpolicies,poddisruptionbudgets -l app.kubernetes.io/instance=live -o name)" ]; }
await "all its objects are gone" nothing
kubectl delete configmap authorities -n sse-relay-system >/dev/null # which this run had made
"$cluster" run helm3 uninstall sse-relay-operator --namespace sse-relay-system --wait >/dev/null
kubectl get crd sserelays.sserelay.dev >/dev/null
nothing_of_the_chart() {
  local left
  left=$(kubectl get all,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings -A \
    -l app.kubernetes.io/part-of=sse-relay -o name)
  left+=$(left_in sse-relay-system)
  [ -z "$left" ] || { echo "e2e: left over: $left" >&2; return 1; }
}
await "nothing of the chart is left" nothing_of_the_chart || { nothing_of_the_chart; exit 1; }
nothing_at_all() { [ -z "$(left_in default)" ]; }
await "nothing is left where the relays were" nothing_at_all || { left_in default >&2; exit 1; }

step "the chart by Helm 4, for one namespace, over the definition that stayed: it serves that one only"
kubectl create namespace shop >/dev/null
kubectl create namespace elsewhere >/dev/null
"$cluster" run helm4 install sse-relay-operator "$here/../charts/sse-relay-operator" --namespace sse-relay-system \
  --wait --timeout 3m --set 'watchNamespaces={shop}' \
  --set image.repository=localhost/sse-relay-operator --set image.pullPolicy=Never --set relay.repository=localhost/sse-relay >/dev/null
"$cluster" run helm4 test sse-relay-operator --namespace sse-relay-system >/dev/null
for namespace in shop elsewhere; do kubectl apply -n $namespace -f "$here/../examples/minimal.yaml" >/dev/null; done
kubectl wait -n shop --for=condition=Ready sserelay/live --timeout=3m >/dev/null
[ -z "$(kubectl get sserelay live -n elsewhere -o 'jsonpath={.status}')" ] || { echo "e2e: it serves another namespace" >&2; exit 1; }
nothing_forbidden
kubectl delete sserelay live -n shop >/dev/null
"$cluster" run helm4 uninstall sse-relay-operator --namespace sse-relay-system --wait >/dev/null
await "nothing of the chart is left" nothing_of_the_chart
step "all went well"

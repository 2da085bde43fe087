# Real proxies in front of relays, sourced by run.sh: Traefik, and Contour with Envoy. Each serves a relay
# by the Ingress and another by the HTTPRoute that the operator writes; the profile of each is found by
# its class. One certificate is made by openssl, the other by cert-manager, as the Ingress asks, with the
# first as its authority. All of them run beside the node, in its network, with an administrator's rights.

proxies=()
streams=()

module() { # the folder of a Go module
  (cd / && GOFLAGS=-mod=mod go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

start_proxies() {
  local programs contour gateway definitions certificates
  programs=$(sh "$here/../scripts/proxies.sh")
  contour=$(sh "$here/../scripts/contour.sh")
  certificates=$(sh "$here/../scripts/cert-manager.sh")
  gateway=$(module sigs.k8s.io/gateway-api@v1.5.1)/config/crd/experimental
  definitions=$(dirname "$contour")/$(basename "$contour")-crds.yaml
  # Contour wants the experimental channel; without the guard against it, and what is for kustomize
  find "$gateway" -name 'gateway.networking.k8s.io_*s.yaml' ! -name '*_vap_*' -printf '--filename=%p\n' |
    xargs "$cluster" run kubectl apply --server-side -f "$definitions" -f "$certificates-crds" >/dev/null
  kubectl wait --for=condition=Established crd --all --timeout=1m >/dev/null
  kubectl apply -f "$here/ways-in.yaml" >/dev/null
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$work/tls.key" -out "$work/tls.crt" \
    -subj /CN=example.com -addext 'subjectAltName=DNS:*.example.com' 2>/dev/null
  kubectl create secret tls -n ways wildcard --cert="$work/tls.crt" --key="$work/tls.key" >/dev/null

  "$cluster" run "$certificates" ways >"$work/cert-manager.log" 2>&1 &
  proxies+=($!)
  "$cluster" run "$programs/traefik" --global.checknewversion=false --global.sendanonymoususage=false \
    --entrypoints.web.address=:80 --entrypoints.websecure.address=:443 \
    --providers.kubernetesingress=true --providers.kubernetesgateway=true >"$work/traefik.log" 2>&1 &
  proxies+=($!)
  printf 'gateway: {gatewayRef: {namespace: ways, name: contour}}\ndisablePermitInsecure: false\n' >"$work/contour.yaml"
  "$cluster" run "$contour" serve --kubeconfig="$("$cluster" run printenv KUBECONFIG)" --insecure \
    --xds-address=127.0.0.1 --xds-port=18001 --http-port=18002 --health-port=18003 --disable-leader-election \
    --config-path="$work/contour.yaml" >"$work/contour.log" 2>&1 &
  proxies+=($!)
  "$contour" bootstrap "$work/envoy.json" --xds-address=127.0.0.1 --xds-port=18001 \
    --admin-address="$work/envoy-admin" >"$work/bootstrap.log" 2>&1
  "$cluster" run "$programs/envoy" --config-path "$work/envoy.json" --service-cluster contour --service-node e2e \
    --concurrency 1 --base-id 77 --log-level warning >"$work/envoy.log" 2>&1 &
  proxies+=($!)
}

# The operator learns where the hosts are and whose certificates to believe, which no world outside tells
# it here, by an upgrade of its chart.
tell_the_operator() {
  kubectl create configmap -n sse-relay-system authorities --from-file="ca.crt=$work/tls.crt" >/dev/null
  "$cluster" run helm3 upgrade sse-relay-operator "$here/../charts/sse-relay-operator" --namespace sse-relay-system \
    --reset-then-reuse-values --wait --timeout 3m --set trust.configMap=authorities \
    --set "hostAliases[0].ip=$("$cluster" run kubectl get node node -o 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}')" \
    --set 'hostAliases[0].hostnames={traefik.example.com,gateway.example.com}' >/dev/null
}

of_way() { kubectl get secret -n ways "$1-tokens" -o "jsonpath={.data.$2}" | base64 -d; }

stream_by() { # relay, address outside: a stream through its proxy
  "$cluster" run curl -sN --cacert "$work/tls.crt" --connect-to "::127.0.0.1:" -H "Authorization: Bearer $(of_way "$1" subscribe)" \
    "$2/v1/events?channel=orders.*" >"$work/way-$1" 2>&1 &
  streams+=($!)
}

begins() { # relay, address outside: asked again until the proxy knows the way, and lets the stream stay
  local known=$1 address=$2
  knows() {
    local code=0
    "$cluster" run curl -sfo /dev/null --max-time 2 --cacert "$work/tls.crt" --connect-to "::127.0.0.1:" \
      -H "Authorization: Bearer $(of_way "$known" subscribe)" "$address/v1/events?channel=orders.*" || code=$?
    [ $code = 28 ] # curl's own time was up
  }
  await "the way to $known is known" knows
  stream_by "$known" "$address"
  await "the stream through the proxy of $known begins" grep -q '^id:' "$work/way-$known"
}

published() { # relay, text: it arrives at the stream
  local service
  service=$(kubectl get service -n ways "$1" -o 'jsonpath={.spec.clusterIP}')
  # a new Service's way through the node may still be missing
  await "$1 takes $2" "$cluster" run curl -sf --max-time 10 -H "Authorization: Bearer $(of_way "$1" publish)" \
    -H 'Content-Type: text/plain' -d "$2" "http://$service/v1/channels/orders.eu/events"
  await "$2 arrives through the proxy of $1" grep -q "^data: $2\$" "$work/way-$1"
}

ways_in() {
  local relay code since
  declare -A ways=(
    [traefik-ingress]=https://traefik.example.com
    [traefik-gateway]=http://gateway.example.com
    [contour-ingress]=https://contour.example.com:8443
    [contour-gateway]=http://route.example.com:8080
  )
  await "cert-manager has got the certificate" kubectl wait -n ways --for=condition=Ready certificate/got --timeout=1s
  for relay in "${!ways[@]}"; do
    kubectl wait -n ways --for=condition=Ready "sserelay/$relay" --timeout=3m >/dev/null
    kubectl wait -n ways --for=condition=RouteReady "sserelay/$relay" --timeout=2m >/dev/null
    begins "$relay" "${ways[$relay]}"
    published "$relay" early
  done
  since=$SECONDS
  for relay in "${!ways[@]}"; do
    # only subscribing is shown outside, and not what was published before
    code=$("$cluster" run curl -sS --max-time 10 -o /dev/null -w '%{http_code}' --cacert "$work/tls.crt" \
      --connect-to "::127.0.0.1:" -H "Authorization: Bearer $(of_way "$relay" subscribe)" "${ways[$relay]}/v1/channels/orders.eu/events")
    [ "$code" = 404 ] || { echo "e2e: the history of a channel, through the proxy of $relay, answers $code" >&2; return 1; }
  done
  code=$("$cluster" run curl -sS --max-time 10 -o /dev/null -w '%{http_code}' --connect-to "::127.0.0.1:" \
    "http://contour.example.com:8080/v1/events?channel=a")
  [ "$code" = 301 ] || { echo "e2e: plain http to an Ingress with a certificate answers $code" >&2; return 1; }
  # older than the 15 s after which Envoy ends a response, unless it is told not to
  while [ $((SECONDS - since)) -lt 20 ]; do sleep 1; done
  for relay in "${!ways[@]}"; do published "$relay" late; done
  # at their very addresses, one of them by https: each is watched for 65 s
  for relay in traefik-ingress traefik-gateway; do
    kubectl wait -n ways --for=condition=StreamingVerified "sserelay/$relay" --timeout=5m >/dev/null
  done
}

stop_proxies() {
  kill "${streams[@]}" "${proxies[@]}" 2>/dev/null || true
  streams=() proxies=()
}

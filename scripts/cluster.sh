#!/bin/bash
# A Kubernetes node of its own on this machine, for trying the operator and for end-to-end tests.
#
#   cluster.sh up            start it, and wait until it takes pods
#   cluster.sh load TAR...   bring image archives into it
#   cluster.sh run CMD...    run a command in its network, with KUBECONFIG set; kubectl, helm (4), helm3
#                            and helm4 are in PATH
#   cluster.sh down          stop it and remove everything
#
# It lives in a network namespace, so that its addresses are nobody else's; nothing of it can be
# reached from outside. It needs root. What it needs besides is installed (Debian's packages) and
# built (Kubernetes, CoreDNS and Helm, from Go modules) the first time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# several may be up at once, by different names
net=${CLUSTER:-sse-relay-cluster}
state=${TMPDIR:-/tmp}/$net
node=192.0.2.10
pods=198.18.128.0/24
services=198.18.0.0/24
dns=198.18.0.10
api=https://127.0.0.1:6443
packages="containerd runc iptables containernetworking-plugins jq openssl iproute2 conntrack gcc libc6-dev"

say() { echo "cluster: $*" >&2; }

install_packages() {
  local missing=() package
  for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}")
  "${install[@]}" >/dev/null 2>&1 || { apt-get -o DPkg::Lock::Timeout=300 update >/dev/null && "${install[@]}" >/dev/null; }
}

prepare() {
  install_packages
  kubernetes=$("$here/kubernetes.sh")
  coredns=$(sh "$here/go-program.sh" coredns github.com/coredns/coredns v1.12.4)
  mkdir -p "$state"/{bin,log,keys,cni,containerd}
  printf '#!/bin/sh\nexec %q kubectl "$@"\n' "$kubernetes" >"$state/bin/kubectl"
  chmod +x "$state/bin/kubectl"
  for major in 3 4; do ln -sf "$(sh "$here/helm.sh" $major)" "$state/bin/helm$major"; done
  ln -sf helm4 "$state/bin/helm"
}

inside() { nsenter --net="/run/netns/$net" -- "$@"; }

begin() { # name, command: in the background, in the node's network
  local name=$1
  shift
  # exec: the number that is kept must be the program's own, or it would outlive a shell that is ended
  (exec nsenter --net="/run/netns/$net" -- "$@") >"$state/log/$name" 2>&1 &
  echo $! >"$state/log/$name.pid"
}

await() { # what, command: tried until it works, for a minute
  local what=$1 tries=0
  shift
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 240 ] || { say "gave up waiting for $what; $state/log may say why"; exit 1; }
    sleep 0.25
  done
}

kubectl() { inside "$state/bin/kubectl" --kubeconfig "$state/kubeconfig" "$@"; }

start_network() {
  ip netns add $net
  ip -n $net link set lo up
  # a bridge carries the address: not every machine has devices of type dummy
  ip -n $net link add node0 type bridge
  ip -n $net addr add $node/24 dev node0
  ip -n $net link set node0 up
  ip -n $net route add default via 192.0.2.1 dev node0
  inside sysctl -qw net.ipv4.ip_forward=1
}

start_control_plane() {
  openssl genrsa -out "$state/keys/account.key" 2048 2>/dev/null
  local token
  token=$(openssl rand -hex 16)
  (umask 077; echo "$token,admin,admin,system:masters" >"$state/keys/tokens.csv")
  (umask 077; cat >"$state/kubeconfig") <<END
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "$api", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: node, context: {cluster: node, user: admin}}]
current-context: node
END
  begin etcd "$kubernetes" etcd --data-dir="$state/etcd" --unsafe-no-fsync
  begin api-server "$kubernetes" kube-apiserver --etcd-servers=http://127.0.0.1:2379 --cert-dir="$state/keys" \
    --advertise-address=$node --service-cluster-ip-range=$services --token-auth-file="$state/keys/tokens.csv" \
    --service-account-key-file="$state/keys/account.key" --service-account-signing-key-file="$state/keys/account.key" \
    --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC --allow-privileged=true \
    --kubelet-preferred-address-types=InternalIP --enable-admission-plugins=OwnerReferencesPermissionEnforcement
  await "the API server" kubectl get --raw /readyz
  begin controllers "$kubernetes" kube-controller-manager --kubeconfig="$state/kubeconfig" --leader-elect=false \
    --service-account-private-key-file="$state/keys/account.key" --root-ca-file="$state/keys/apiserver.crt" \
    --allocate-node-cidrs=true --cluster-cidr=198.18.128.0/18 --node-cidr-mask-size=24
  begin scheduler "$kubernetes" kube-scheduler --kubeconfig="$state/kubeconfig" --leader-elect=false
}

# runc, for machines that may not lower OOM scores: it dies of a negative one.
write_runtime() {
  cat >"$state/bin/runc-here" <<'END'
#!/bin/bash
previous=
for argument in "$@"; do
  if [ "$previous" = --bundle ]; then
    changed=$(jq '.process.oomScoreAdj |= ([., 0] | max)' "$argument/config.json")
    printf '%s' "$changed" >"$argument/config.json"
  fi
  previous=$argument
done
PATH=/usr/sbin:/usr/bin:/sbin:/bin exec runc "$@"
END
  chmod +x "$state/bin/runc-here"
  cat >"$state/containerd.toml" <<END
version = 2
root = "$state/containerd/root"
state = "$state/containerd/run"
[grpc]
  address = "$state/containerd/socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "$state/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = "$state/bin/runc-here"
END
  cat >"$state/cni/pods.conflist" <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$state/addresses", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
}

# What holds a pod's namespaces: it waits, and collects the dead.
write_pause() {
  cc -static -O2 -x c -o "$state/bin/pause" - <<'END'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void leave(int signal) { (void)signal; _exit(0); }
static void collect(int signal) { (void)signal; while (waitpid(-1, NULL, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGTERM, leave);
  signal(SIGINT, leave);
  signal(SIGCHLD, collect);
  for (;;) pause();
}
END
  python3 "$here/image.py" localhost/pause:1 "$state/bin/pause" "$state/pause.tar"
}

containers() { ctr --address "$state/containerd/socket" --namespace k8s.io "$@"; }

start_node() {
  write_runtime
  write_pause
  begin containerd containerd --config "$state/containerd.toml"
  await containerd containers version
  containers image import "$state/pause.tar" >/dev/null
  cat >"$state/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix://$state/containerd/socket
clusterDomain: cluster.local
clusterDNS: ["$dns"]
END
  cat >"$state/proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $state/kubeconfig}
mode: iptables
clusterCIDR: $pods
conntrack: {maxPerCore: 0}
hostnameOverride: node
END
  begin kubelet "$kubernetes" kubelet --kubeconfig="$state/kubeconfig" --config="$state/kubelet.yaml" \
    --root-dir="$state/kubelet" --hostname-override=node --node-ip=$node --cert-dir="$state/keys/kubelet"
  begin proxy "$kubernetes" kube-proxy --config="$state/proxy.yaml"
  start_dns
  await "the node" kubectl wait --for=condition=Ready node/node --timeout=1s
}

# CoreDNS beside the kubelet, behind the Service that pods ask.
start_dns() {
  cat >"$state/Corefile" <<END
cluster.local:53 {
  bind $node
  kubernetes {
    kubeconfig $state/kubeconfig
  }
}
END
  begin dns "$coredns" -conf "$state/Corefile"
  kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: kube-system}
spec: {clusterIP: $dns, ports: [{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dns, namespace: kube-system, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
endpoints: [{addresses: [$node]}]
ports: [{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53}]
END
}

finish() { # a process that was begun: asked, then made to
  local pid
  pid=$(cat "$state/log/$1.pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  timeout "${2:-10}" tail --pid="$pid" -f /dev/null || kill -9 "$pid" 2>/dev/null || true
}

# The network namespaces of pods, which outlive them.
networks_of_pods() {
  local specs=("$state"/containerd/run/io.containerd.runtime.v2.task/k8s.io/*/config.json)
  [ ! -e "${specs[0]}" ] || jq -r '.linux.namespaces[] | select(.type == "network") | .path // empty' "${specs[@]}" |
    sed -n 's|.*/netns/\(cni-.*\)|\1|p' | sort -u
}

down() {
  [ -e "$state" ] || return 0
  local networks network
  for name in kubelet controllers scheduler proxy; do finish $name; done
  networks=$(networks_of_pods || true)
  if [ -S "$state/containerd/socket" ]; then
    containers task ls -q 2>/dev/null | while read -r task; do containers task rm -f "$task" >/dev/null 2>&1 || true; done
  fi
  for name in containerd dns api-server etcd; do finish $name 3; done
  for network in $net $networks; do
    ip netns pids "$network" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
  done
  awk -v under="$state/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r -n1 umount -l || true
  for network in $net $networks; do ip netns del "$network" 2>/dev/null || true; done
  find /sys/fs/cgroup -depth -type d -path '*kubepods*' -exec rmdir {} + 2>/dev/null || true
  rm -rf "$state"
}

if [ "${1:-}" = down ] && [ ! -e "$state" ]; then exit 0; fi
[ "$(id -u)" = 0 ] || { say "needs root, for namespaces and containers"; exit 1; }
case ${1:-} in
up)
  [ ! -e "$state" ] || { say "there is one already in $state; '$0 down' removes it"; exit 1; }
  prepare
  trap '[ $? = 0 ] || { say "it did not come up; the logs are in $state/log"; }' EXIT
  start_network
  start_control_plane
  start_node
  say "up; try: $0 run kubectl get nodes"
  ;;
load) shift; for archive in "$@"; do containers image import "$archive" >/dev/null; done ;;
run)
  shift
  export KUBECONFIG=$state/kubeconfig PATH=$state/bin:$PATH
  exec nsenter --net="/run/netns/$net" -- "$@"
  ;;
down) down ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

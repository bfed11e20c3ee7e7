#!/usr/bin/env bash
# up.sh: from nothing to a Ready HA cluster of version FROM, each time the same. Run build.sh first.
#   CPS="cp1" WORKERS="w1" ./up.sh   makes a smaller one
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -e "$LAB/ctd/.done" ] || "$HERE/build.sh"
if ip netns list | grep -q "^${P}net"; then die "the lab is up already: run down.sh first"; fi
mkdir -p "$LAB"/{run,nodes,op,log}
rm -f "$LAB/repo.fail"
t0=$SECONDS

# 1. host settings that are not per namespace (kubelet would write the same ones); down.sh restores them
: > "$LAB/run/sysctl.saved"
for kv in fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=1048576 vm.overcommit_memory=1 kernel.panic=10 \
  kernel.panic_on_oops=1 kernel.keys.root_maxkeys=1000000 kernel.keys.root_maxbytes=25000000; do
  k=/proc/sys/$(echo "${kv%%=*}" | tr . /)
  echo "$k=$(cat "$k")" >> "$LAB/run/sysctl.saved"; echo "${kv#*=}" > "$k"
done

# 2. names
{ echo "127.0.0.1 localhost"; for n in $NODES; do echo "$(node_ip "$n") $n"; done; echo "$LB api.k8s.lab"; echo "$REPO pkgs.k8s.lab"; echo "$OP op"; } > "$LAB/op/hosts"

# 3. network, load balancer, apt repository
"$HERE/net.sh" up
mkdir -p "$LAB/lb"
{ cat <<E
global
  maxconn 4000
  stats socket /mnt/admin.sock mode 600 level admin
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  option redispatch
  retries 3
frontend api
  bind $LB:6443
  default_backend api
backend api
  option httpchk
  http-check send meth GET uri /readyz hdr Host api.k8s.lab
  http-check expect status 200
  default-server check check-ssl verify none inter 1s fall 2 rise 2 on-marked-down shutdown-sessions
E
  for n in $CPS; do echo "  server $n $(node_ip "$n"):6443"; done
  cat <<E
frontend web
  bind $LB:80
  default_backend web
backend web
  option tcp-check
  default-server check inter 1s fall 2 rise 2
E
  for n in $WORKERS; do echo "  server $n $(node_ip "$n"):$NODEPORT"; done
} > "$LAB/lb/haproxy.cfg"
setsid nohup nsenter --net="/run/netns/${P}lb" unshare -m --propagation private -- sh -c '
  r=$1; mount --bind "$r" "$r"; mount --bind "$2" "$r/mnt"; mount -t tmpfs tmpfs "$r/run"; exec chroot "$r" haproxy -db -f /mnt/haproxy.cfg' \
  sh "$LAB/rootfs.base" "$LAB/lb" > "$LAB/log/haproxy.log" 2>&1 < /dev/null &
echo $! > "$LAB/run/haproxy.pid"
setsid nohup nsenter --net="/run/netns/${P}lb" "$LAB/bin/labsrv" repo -addr "$REPO:80" -dir "$LAB/repo" -fail "$LAB/repo.fail" > "$LAB/log/repo.log" 2>&1 < /dev/null &
echo $! > "$LAB/run/repo.pid"

# 4. machines
for n in $NODES; do rm -rf "${LAB:?}/nodes/$n"; done
for n in $NODES; do "$HERE/node.sh" start "$n"; done
for n in $NODES; do
  for i in $(seq 100); do on "$n" true 2>/dev/null && break; [ "$i" = 100 ] && die "$n: no ssh"; sleep 0.2; done
done
say "machines up: $((SECONDS-t0)) s"

# 5. kubeadm init on the first, join on the others (workers at the same time as the second control plane)
first=${CPS%% *}
TOKEN=abcdef.0123456789abcdef KEY=$(printf 'kup-lab' | sha256sum | cut -c1-64)
conf() { # conf NODE: kubeadm configuration for init (the first) or join (others)
  local n=$1 ip; ip=$(node_ip "$n")
  if [ "$n" = "$first" ]; then cat <<E
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: $TOKEN, ttl: 24h0m0s}]
certificateKey: $KEY
localAPIEndpoint: {advertiseAddress: $ip, bindPort: 6443}
nodeRegistration:
  kubeletExtraArgs: [{name: node-ip, value: $ip}]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: lab
kubernetesVersion: v$FROM
controlPlaneEndpoint: api.k8s.lab:6443
networking: {podSubnet: $POD_CIDR, serviceSubnet: $SVC_CIDR}
apiServer:
  certSANs: [api.k8s.lab, $LB]
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failCgroupV1: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: "5%", nodefs.inodesFree: "5%", imagefs.available: "0%"}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: $POD_CIDR
conntrack: {maxPerCore: 0, min: 0}
E
  else cat <<E
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken: {apiServerEndpoint: "api.k8s.lab:6443", token: $TOKEN, unsafeSkipCAVerification: true}
nodeRegistration:
  kubeletExtraArgs: [{name: node-ip, value: $ip}]
E
    case $n in cp*) printf 'controlPlane:\n  certificateKey: %s\n  localAPIEndpoint: {advertiseAddress: %s, bindPort: 6443}\n' "$KEY" "$ip";; esac
  fi
}
cni() { # a node's pod network: ptp + host-local of its podCIDR, and routes to the others' (done from outside, for all)
  local n c
  op kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name} {.spec.podCIDR}{"\n"}{end}' > "$LAB/run/cidrs"
  while read -r n c; do
    [ -n "$c" ] || continue
    on "$n" "[ -e /etc/cni/net.d/10-lab.conflist ] || cat > /etc/cni/net.d/10-lab.conflist" <<E
{"cniVersion": "0.4.0", "name": "lab", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "$c"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
E
    ip -n "${P}net" route replace "$c" via "$(node_ip "$n")"
    for m in $NODES; do [ "$m" = "$n" ] || ip -n "$P$m" route replace "$c" via "$(node_ip "$n")"; done
  done < "$LAB/run/cidrs"
}
kubeadm() { # kubeadm NODE init|join
  local n=$1 act=$2 s=$SECONDS
  conf "$n" | on "$n" "mkdir -p /etc/kubernetes; cat > /etc/kubernetes/kubeadm-$act.yaml; chmod 600 /etc/kubernetes/kubeadm-$act.yaml"
  on "$n" "kubeadm $act --config /etc/kubernetes/kubeadm-$act.yaml $( [ "$act" = init ] && echo --upload-certs)" > "$LAB/log/kubeadm-$n.log" 2>&1 ||
    { tail -20 "$LAB/log/kubeadm-$n.log" >&2; die "kubeadm $act on $n, see $LAB/log/kubeadm-$n.log"; }
  say "$n: kubeadm $act $((SECONDS-s)) s"
}
kubeadm "$first" init
on "$first" cat /etc/kubernetes/admin.conf > "$LAB/op/admin.conf"; chmod 600 "$LAB/op/admin.conf"
on "$first" 'mkdir -p /root/.kube; cp /etc/kubernetes/admin.conf /root/.kube/config'
cni
pids=()
for n in $WORKERS; do kubeadm "$n" join & pids+=($!); done
for n in $CPS; do [ "$n" = "$first" ] || { kubeadm "$n" join; on "$n" 'mkdir -p /root/.kube; cp /etc/kubernetes/admin.conf /root/.kube/config'; }; done
for p in "${pids[@]}"; do wait "$p"; done
cni
op kubectl wait --for=condition=Ready node --all --timeout=180s >/dev/null
say "all nodes Ready: $((SECONDS-t0)) s"
for n in $WORKERS; do op kubectl label node "$n" node-role.kubernetes.io/worker= --overwrite > /dev/null; done

# 6. the workload whose disruption is measured
if [ -n "$WORKERS" ]; then
  sed "s/NODEPORT/$NODEPORT/" "$HERE/web.yaml" | op kubectl apply -f - > /dev/null
  op kubectl rollout status deploy/web --timeout=180s > /dev/null
fi
op kubectl -n kube-system rollout status deploy/coredns --timeout=180s > /dev/null
if [ -n "$WORKERS" ]; then
  for i in $(seq 100); do op curl -sf -m 1 "http://$LB/" > /dev/null && break; [ "$i" = 100 ] && die "the web Service does not answer"; sleep 0.3; done
fi
op kubectl -n kube-system wait --for=condition=Ready pod --all --timeout=120s > /dev/null
say "up: $((SECONDS-t0)) s"
op kubectl get nodes -o wide

//! What a fresh cluster holds: its nodes, what kubeadm and the CNI put there, and a shop as workload.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api;
use crate::clock::micro_stamp;
use crate::controllers::Controllers;
use crate::helm;
use crate::kubelet;
use crate::node::{Release, image};
use crate::pod;
use crate::shape::{Distribution, Pool, Provider, Shape, System};
use crate::world::World;

/// Fills the store of a world whose machines and static pods are there, up to the last Ready pod.
pub(crate) fn fill(world: &mut World) -> Controllers {
    let mut controllers = Controllers::new(world);
    namespaces(world);
    nodes(world);
    leases(world);
    mirror_pods(world);
    if world.shape.distribution() == Distribution::Kubeadm && world.shape.managed.is_none() {
        config_maps(world);
    }
    api_services(world);
    let windows = world.shape.pools.iter().any(|pool| pool.os == System::Windows);
    let mixed = if windows { for_windows(&world.shape) } else { Vec::new() };
    let services = services(&world.shape);
    for mut object in system(&world.shape).into_iter().chain(services).chain(shop(&world.shape)).chain(mixed)
    {
        if windows && object["spec"]["template"]["spec"].get("nodeSelector").is_none() {
            only_on(&mut object, "linux");
        }
        if object["metadata"]["namespace"] == "kube-flannel" {
            // As its page says: `kubectl apply -f kube-flannel.yml`.
            api::owned_by(&mut object, "kubectl-client-side-apply", &world.clock.stamp());
        }
        let resource = match object["kind"].as_str() {
            Some("DaemonSet") => "daemonsets",
            Some("Deployment") => "deployments",
            Some("StatefulSet") => "statefulsets",
            Some("PodDisruptionBudget") => "poddisruptionbudgets",
            _ => "services",
        };
        world.store.insert(resource, object);
    }
    for release in world.shape.releases.clone() {
        helm::install(world, &release);
    }
    settle(world, &mut controllers);
    controllers
}

/// Lets the controllers work, and pods run at once, until nothing is left to do.
fn settle(world: &mut World, controllers: &mut Controllers) {
    loop {
        let changed = controllers.step(world);
        let now = world.clock.stamp();
        let pending: Vec<(String, String)> = world
            .store
            .list("pods")
            .filter(|p| !pod::node(p).is_empty() && pod::phase(p) == "Pending")
            .map(|p| (pod::namespace(p).to_string(), pod::name(p).to_string()))
            .collect();
        if !changed && pending.is_empty() {
            return;
        }
        for (namespace, name) in pending {
            world.store.update("pods", &namespace, &name, |p| pod::run(p, &now, 0));
        }
    }
}

fn namespaces(world: &mut World) {
    for name in ["default", "kube-flannel", "kube-node-lease", "kube-public", "kube-system", "shop"] {
        world.store.insert(
            "namespaces",
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            }),
        );
    }
}

/// Returns the machines that the API knows: hosts of an external etcd it does not, nor a provider's control plane.
fn shown(world: &World) -> Vec<String> {
    let hidden = world.shape.managed.is_some();
    let nodes = world.nodes.values().filter(|n| !(n.beside || hidden && n.control_plane));
    nodes.map(|n| n.name.clone()).collect()
}

fn nodes(world: &mut World) {
    for name in shown(world) {
        node(world, &name);
    }
}

/// Registers a machine whose kubelet has started for the first time, with its lease. What people had given to a node of that name is
/// not there again.
pub(crate) fn join(world: &mut World, name: &str) {
    node(world, name);
    let keep = [
        "kubernetes.io/",
        "node-role.kubernetes.io/",
        "node.kubernetes.io/exclude",
        "nvidia.com/gpu.present",
    ];
    world.store.update("nodes", "", name, |node| {
        if let Some(labels) = node["metadata"]["labels"].as_object_mut() {
            labels.retain(|key, _| keep.iter().any(|part| key.contains(part)));
            labels.shift_remove("topology.kubernetes.io/zone");
        }
        if let Some(taints) = node["spec"].get_mut("taints").and_then(Value::as_array_mut) {
            taints.retain(|taint| taint["key"] == "node-role.kubernetes.io/control-plane");
        }
    });
    let now = micro_stamp(world.now());
    if world.store.get("leases", "kube-node-lease", name).is_none() {
        world.store.insert("leases", lease("kube-node-lease", name, name.to_string(), 40, &now));
    }
    kubelet::register(world, name);
}

fn node(world: &mut World, name: &str) {
    let alone = world.shape.workers() == 0;
    let rancher = matches!(world.shape.distribution(), Distribution::K3s | Distribution::Rke2);
    let place = world.nodes.values().filter(|n| !n.beside).position(|n| n.name == name);
    let (Some(index), Some(machine)) = (place, world.nodes.get(name).cloned()) else { return };
    let pool = world.shape.pool_of(&machine.name).map(|(pool, place)| (pool.clone(), place));
    let now = world.clock.stamp();
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64", "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": machine.name,
    });
    let system = if machine.windows { "windows" } else { "linux" };
    for key in ["beta.kubernetes.io/os", "kubernetes.io/os"] {
        labels[key] = json!(system);
    }
    let os = if machine.windows { "Windows Server 2022 Datacenter" } else { &world.shape.os };
    let mut taints = Vec::new();
    let mut capacity =
        json!({"cpu": "4", "memory": "16384000Ki", "ephemeral-storage": "103079200Ki", "pods": "110"});
    if machine.control_plane {
        labels["node-role.kubernetes.io/control-plane"] = json!("");
        labels["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
        if rancher {
            for role in ["control-plane", "etcd"].into_iter().filter(|role| *role != "etcd" || machine.etcd) {
                labels[format!("node-role.kubernetes.io/{role}")] = json!("true");
            }
        } else if !alone {
            taints.push(json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}));
        }
    }
    if let Some((pool, place)) = pool {
        dress(&pool, world.shape.managed, place, &mut labels, &mut taints, &mut capacity);
    }
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": machine.name, "labels": labels,
            "annotations": {"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"podCIDR": format!("10.244.{}.0/24", index % 256)},
        "status": {
            "capacity": capacity, "allocatable": capacity,
            "addresses": [
                {"type": "InternalIP", "address": format!("10.77.{}.{}", index / 240, 11 + index % 240)},
                {"type": "Hostname", "address": machine.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": machine.machine_id, "systemUUID": machine.machine_id, "bootID": machine.boot_id,
                "kernelVersion": machine.kernel(), "osImage": os,
                "containerRuntimeVersion": "containerd://1.7.27", "kubeletVersion": machine.kubelet_running,
                "kubeProxyVersion": "", "operatingSystem": system, "architecture": "amd64",
            },
        },
    });
    if !taints.is_empty() {
        node["spec"]["taints"] = json!(taints);
    }
    pod::set_condition(
        &mut node,
        "NetworkUnavailable",
        "False",
        "FlannelIsUp",
        "Flannel is running on this node",
        &now,
    );
    kubelet::healthy(&mut node, &now);
    if rancher && machine.control_plane && machine.etcd {
        let message = "Node is a voting member of the etcd cluster";
        pod::set_condition(&mut node, "EtcdIsVoter", "True", "MemberNotLearner", message, &now);
    }
    world.store.insert("nodes", node);
}

/// Gives a worker what its pool asks for.
fn dress(
    pool: &Pool,
    provider: Option<Provider>,
    place: usize,
    labels: &mut Value,
    taints: &mut Vec<Value>,
    capacity: &mut Value,
) {
    labels[provider.map_or("node.kubernetes.io/pool", Provider::pool_label)] = json!(pool.name);
    if !pool.zones.is_empty() {
        labels["topology.kubernetes.io/zone"] = json!(pool.zones[place % pool.zones.len()]);
    }
    for (key, value) in &pool.labels {
        labels[key.as_str()] = json!(value);
    }
    for text in &pool.taints {
        let Some((key, effect)) = text.rsplit_once(':') else { continue };
        let (key, value) = key.split_once('=').unwrap_or((key, ""));
        taints.push(json!({"key": key, "value": value, "effect": effect}));
    }
    if pool.gpu > 0 {
        capacity["nvidia.com/gpu"] = json!(pool.gpu.to_string());
        labels["nvidia.com/gpu.present"] = json!("true");
    }
}

fn lease(namespace: &str, name: &str, holder: String, seconds: u64, now: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": now},
    })
}

fn leases(world: &mut World) {
    let now = micro_stamp(world.now());
    let names = shown(world);
    for name in &names {
        world.store.insert("leases", lease("kube-node-lease", name, name.clone(), 40, &now));
    }
    if world.shape.managed.is_some() {
        return;
    }
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let id = world.random.uuid();
        let first = names.first().map_or("", String::as_str);
        world.store.insert("leases", lease("kube-system", component, format!("{first}_{id}"), 15, &now));
    }
}

fn mirror_pods(world: &mut World) {
    let hidden = matches!(world.shape.distribution(), Distribution::K3s | Distribution::Units);
    if hidden || world.shape.managed.is_some() {
        return; // its components are no pods
    }
    let now = world.clock.stamp();
    for ((node, component), process) in world.static_pods.clone() {
        let mut mirror = kubelet::mirror_pod(world, &node, &component, &process);
        pod::run(&mut mirror, &now, process.restarts);
        world.store.insert("pods", mirror);
    }
}

fn config_maps(world: &mut World) {
    let version = &world.shape.version;
    let etcd = match world.shape.external_etcd() {
        None => "  local:\n    dataDir: /var/lib/etcd\n".to_string(),
        Some(_) => {
            let line = |m: &crate::etcd::Member| format!("    - https://{}:2379\n", m.address);
            let endpoints: String = world.etcd.members.values().map(line).collect();
            format!(
                "  external:\n    caFile: /etc/kubernetes/pki/etcd/ca.crt\n    certFile: /etc/kubernetes/pki/apiserver-etcd-client.crt\n    \
                 endpoints:\n{endpoints}    keyFile: /etc/kubernetes/pki/apiserver-etcd-client.key\n"
            )
        }
    };
    let cluster = format!(
        "apiServer: {{}}\napiVersion: kubeadm.k8s.io/v1beta4\ncaCertificateValidityPeriod: 87600h0m0s\n\
         certificateValidityPeriod: 8760h0m0s\ncertificatesDir: /etc/kubernetes/pki\nclusterName: kubernetes\n\
         controlPlaneEndpoint: api.sim:6443\ncontrollerManager: {{}}\ndns: {{}}\nencryptionAlgorithm: RSA-2048\n\
         etcd:\n{etcd}imageRepository: registry.k8s.io\nkind: ClusterConfiguration\n\
         kubernetesVersion: {version}\nnetworking:\n  dnsDomain: cluster.local\n  podSubnet: 10.244.0.0/16\n  \
         serviceSubnet: 10.96.0.0/12\nproxy: {{}}\nscheduler: {{}}\n"
    );
    let kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\ncgroupDriver: systemd\nkind: KubeletConfiguration\n\
                   staticPodPath: /etc/kubernetes/manifests\n";
    let map = |name: &str, key: &str, text: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "kube-system"}, "data": {key: text},
        })
    };
    world.store.insert("configmaps", map("kubeadm-config", "ClusterConfiguration", &cluster));
    world.store.insert("configmaps", map("kubelet-config", "kubelet", kubelet));
    let corefile = ".:53 {\n    errors\n    health\n    ready\n    kubernetes cluster.local\n    forward . /etc/resolv.conf\n    cache 30\n}\n";
    world.store.insert("configmaps", map("coredns", "Corefile", corefile));
}

fn api_services(world: &mut World) {
    let now = world.clock.stamp();
    for name in ["v1.", "v1.apps", "v1.batch", "v1.coordination.k8s.io", "v1.policy", "v1.storage.k8s.io"] {
        let (version, group) = name.split_once('.').unwrap_or((name, ""));
        let mut service = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": 17000, "versionPriority": 15},
        });
        let message = "Local APIServices are always available";
        pod::set_condition(&mut service, "Available", "True", "Local", message, &now);
        world.store.insert("apiservices", service);
    }
}

fn system(shape: &Shape) -> Vec<Value> {
    let everywhere = json!([{"operator": "Exists"}]);
    let release = Release::parse(&shape.version).unwrap_or(Release::new(34, 0));
    let coredns = image("coredns", release);
    let proxy = format!("registry.k8s.io/kube-proxy:{}", shape.version);
    if matches!(shape.distribution(), Distribution::K3s | Distribution::Rke2) {
        return rancher_system(shape, &coredns);
    }
    let mut all = vec![
        workload("DaemonSet", "kube-system", "kube-proxy", "k8s-app", &proxy, None),
        workload(
            "DaemonSet",
            "kube-flannel",
            "kube-flannel-ds",
            "app",
            "ghcr.io/flannel-io/flannel:v0.26.7",
            None,
        ),
        workload("Deployment", "kube-system", "coredns", "k8s-app", &coredns, Some(2)),
    ];
    for daemon in &mut all[..2] {
        daemon["spec"]["template"]["spec"]["tolerations"] = everywhere.clone();
        daemon["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        daemon["spec"]["template"]["spec"]["priorityClassName"] = json!("system-node-critical");
    }
    let dns = &mut all[2];
    for place in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        if let Some(labels) = dns.pointer_mut(place) {
            *labels = json!({"k8s-app": "kube-dns"});
        }
    }
    dns["spec"]["template"]["spec"]["tolerations"] = json!([
        {"key": "CriticalAddonsOnly", "operator": "Exists"},
        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
    ]);
    if shape.distribution() == Distribution::Units {
        all.remove(0); // its kube-proxy is a unit
    }
    if shape.pools.iter().any(|p| p.gpu > 0) {
        let image = "nvcr.io/nvidia/k8s-device-plugin:v0.17.1";
        let mut plugin = workload("DaemonSet", "kube-system", "nvidia-device-plugin", "name", image, None);
        plugin["spec"]["template"]["spec"]["tolerations"] = everywhere;
        plugin["spec"]["template"]["spec"]["nodeSelector"] = json!({"nvidia.com/gpu.present": "true"});
        all.push(plugin);
    }
    all
}

/// What k3s and RKE2 bring along: flannel and kube-proxy are part of k3s' own process.
fn rancher_system(shape: &Shape, coredns: &str) -> Vec<Value> {
    match shape.distribution() {
        Distribution::Rke2 => {
            let mut canal = workload(
                "DaemonSet",
                "kube-system",
                "rke2-canal",
                "k8s-app",
                "rancher/hardened-calico:v3.30.2",
                None,
            );
            canal["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
            canal["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
            canal["spec"]["template"]["spec"]["priorityClassName"] = json!("system-node-critical");
            let dns = workload(
                "Deployment",
                "kube-system",
                "rke2-coredns-rke2-coredns",
                "k8s-app",
                coredns,
                Some(2),
            );
            vec![canal, dns]
        }
        Distribution::K3s | Distribution::Kubeadm | Distribution::Units => {
            let metrics = "rancher/mirrored-metrics-server:v0.8.0";
            vec![
                workload("Deployment", "kube-system", "coredns", "k8s-app", coredns, Some(1)),
                workload("Deployment", "kube-system", "metrics-server", "k8s-app", metrics, Some(1)),
            ]
        }
    }
}

/// What runs on Windows workers: kube-proxy as sig-windows-tools deploys it, and a workload.
fn for_windows(shape: &Shape) -> Vec<Value> {
    let image = format!("sigwindowstools/kube-proxy:{}-flannel-hostprocess", shape.version);
    let mut proxy = workload("DaemonSet", "kube-system", "kube-proxy-windows", "k8s-app", &image, None);
    proxy["spec"]["template"]["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    let mut iis = workload("Deployment", "shop", "iis", "app", "shop/iis:1", Some(2));
    only_on(&mut proxy, "windows");
    only_on(&mut iis, "windows");
    vec![proxy, iis]
}

/// Lets the pods of a workload run only where such an operating system is.
fn only_on(object: &mut Value, system: &str) {
    if object["spec"].get("template").is_some() {
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/os": system});
    }
}

/// The Services that every cluster has: its API, and its DNS under the address that kubelets tell to pods.
fn services(shape: &Shape) -> [Value; 2] {
    let (net, dns) = match shape.distribution() {
        Distribution::K3s => ("10.43", "kube-dns"),
        Distribution::Rke2 => ("10.43", "rke2-coredns-rke2-coredns"),
        Distribution::Kubeadm | Distribution::Units => ("10.96", "kube-dns"),
    };
    let service = |namespace: &str, name: &str, labels: Value, address: String, ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports},
            "status": {"loadBalancer": {}},
        })
    };
    let port = |name: &str, protocol: &str, port: u16| json!({"name": name, "protocol": protocol, "port": port, "targetPort": port});
    [
        service(
            "default",
            "kubernetes",
            json!({"component": "apiserver", "provider": "kubernetes"}),
            format!("{net}.0.1"),
            json!([{"name": "https", "protocol": "TCP", "port": 443, "targetPort": 6443}]),
        ),
        service(
            "kube-system",
            dns,
            json!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}),
            format!("{net}.0.10"),
            json!([port("dns", "UDP", 53), port("dns-tcp", "TCP", 53)]),
        ),
    ]
}

/// About two pods a worker, with budgets wherever a drain of one node leaves room for them.
fn shop(shape: &Shape) -> Vec<Value> {
    let workers = shape.workers().max(1);
    let count = |n: usize| Some(n);
    let mut all = vec![
        workload("Deployment", "shop", "web", "app", "shop/web:1", count(workers.max(4))),
        workload("Deployment", "shop", "api", "app", "shop/api:1", count((workers / 2).max(2))),
        workload("Deployment", "shop", "worker", "app", "shop/worker:1", count((workers / 2).max(1))),
        workload("StatefulSet", "shop", "db", "app", "shop/db:1", count(3)),
    ];
    all[3]["spec"]["serviceName"] = json!("db");
    if shape.workers() > 1 {
        all.push(budget("web", json!({"minAvailable": "75%"})));
        all.push(budget("db", json!({"maxUnavailable": 1})));
    }
    all
}

fn budget(name: &str, mut spec: Value) -> Value {
    spec["selector"] = json!({"matchLabels": {"app": name}});
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "shop"}, "spec": spec,
        "status": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
    })
}

fn workload(
    kind: &str,
    namespace: &str,
    name: &str,
    label: &str,
    image: &str,
    replicas: Option<usize>,
) -> Value {
    let labels = json!({label: name});
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{"name": name, "image": image}],
                    "terminationGracePeriodSeconds": Duration::from_secs(30).as_secs(),
                },
            },
        },
        "status": {},
    });
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = json!(replicas);
    }
    object
}

//! The kubelets: they follow the machines and write into the API what happens there, each at its own
//! pace and only while an apiserver answers.
//!
//! ```text
//!   machines (kubelet process, static pods) --observe--> Node status, mirror pods
//!   store (bound pods, deleted pods) --------follow----> Running and Ready, gone
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::ChangeKind;
use crate::api::finish;
use crate::clock::{micro_stamp, stamp};
use crate::faults::{gpu_driver, pod_image};
use crate::pod;
use crate::shape::Distribution;
use crate::world::{Shared, StaticPod, World, lock};

/// How often a kubelet renews its lease.
const RENEWAL: u64 = 10;
/// How often it reports a status that did not change.
const REPORT: u64 = 300;
/// How often a controller manager or scheduler that leads renews its lease.
const LEAD: u64 = 2;
/// How long a silent node stays Ready (`node-monitor-grace-period`, 1.32 and later).
const PATIENCE: Duration = Duration::from_secs(50);
/// How long a kubelet takes from its start to its first status.
const REGISTER: (Duration, Duration) = (Duration::from_millis(900), Duration::from_millis(2400));
/// How long after its kubelet's start a node offers its GPUs again.
const PLUGIN: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(60));
/// How long a pod takes from its binding to Ready.
const BEGIN: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_millis(4500));
/// How long a process takes to end after SIGTERM.
const END: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2500));
/// How long after its start a static pod is asked how it is and found Ready: kubeadm's startup probes
/// begin after 10 seconds and come every 10 (kubernetes:cmd/kubeadm/app/util/staticpod/utils.go, 1.33).
const PROBE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));
/// How long a kubelet takes to show a static pod that changed.
const MIRROR: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(1900));

/// What the API's side has seen of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heart {
    /// Since when its kubelet reports.
    since: Duration,
    /// When it fell silent.
    silent: Option<Duration>,
    version: String,
    boot: String,
    /// When its process began.
    process: Duration,
}

/// Notes the machines as they are at the start.
pub(crate) fn begin(world: &mut World) {
    let now = world.now();
    world.hearts = world
        .nodes
        .values()
        .filter(|n| !n.beside)
        .map(|n| {
            let heart = Heart {
                since: now,
                silent: None,
                version: n.kubelet_running.clone(),
                boot: n.boot_id.clone(),
                process: n.kubelet_since,
            };
            (n.name.clone(), heart)
        })
        .collect();
}

/// Lets the API's side know of a kubelet that was not there before; it is heard of at its next sign of life.
pub(crate) fn register(world: &mut World, name: &str) {
    let now = world.now();
    let Some(node) = world.nodes.get(name) else { return };
    let heart = Heart {
        since: now,
        silent: Some(now),
        version: node.kubelet_running.clone(),
        boot: node.boot_id.clone(),
        process: node.kubelet_since,
    };
    world.hearts.insert(name.to_string(), heart);
    world.machines_changed();
}

/// Returns a node with the heartbeat that its kubelet would have written by now.
pub(crate) fn with_heartbeat(world: &World, node: &Value) -> Value {
    let mut node = node.clone();
    if let Some(heart) = world.hearts.get(pod::name(&node)) {
        let beat = stamp(last(heart, world.now(), REPORT));
        for condition in node["status"]["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastHeartbeatTime"] = json!(beat);
        }
    }
    node
}

/// Returns a lease with the renewal that its holder would have written by now; `None` for leases of others.
pub(crate) fn with_renewal(world: &World, lease: &Value) -> Option<Value> {
    let renewed = match (pod::namespace(lease), pod::name(lease)) {
        ("kube-node-lease", node) => last(world.hearts.get(node)?, world.now(), RENEWAL),
        ("kube-system", component @ ("kube-controller-manager" | "kube-scheduler")) => {
            let holder = lease["spec"]["holderIdentity"].as_str()?.split('_').next()?.to_string();
            let process = world.static_pods.get(&(holder, component.to_string()))?;
            if !process.up {
                return None;
            }
            process.since + whole(world.now().saturating_sub(process.since), LEAD)
        }
        _ => return None,
    };
    let mut lease = lease.clone();
    lease["spec"]["renewTime"] = json!(micro_stamp(renewed));
    Some(lease)
}

fn last(heart: &Heart, now: Duration, every: u64) -> Duration {
    let until = heart.silent.unwrap_or(now);
    heart.since + whole(until.saturating_sub(heart.since), every)
}

fn whole(time: Duration, every: u64) -> Duration {
    Duration::from_secs(time.as_secs() / every * every)
}

/// Follows machines and static pods for as long as the runtime lives.
pub(crate) async fn observe(shared: Shared) {
    let (mut changes, mut seen) = {
        let world = lock(&shared);
        (world.watch_machines(), world.static_pods.clone())
    };
    loop {
        if changes.changed().await.is_err() {
            return;
        }
        let mut world = lock(&shared);
        changes.mark_unchanged();
        hearts(&shared, &mut world);
        mirrors(&shared, &mut world, &mut seen);
        leaders(&mut world);
    }
}

/// Notices kubelets that stopped, started or were restarted.
fn hearts(shared: &Shared, world: &mut World) {
    let now = world.now();
    let mut spawn: Vec<(String, bool)> = Vec::new();
    for node in world.nodes.values() {
        let Some(heart) = world.hearts.get_mut(&node.name) else { continue };
        let alive = node.up && node.kubelet_active;
        let other = heart.process != node.kubelet_since
            || heart.version != node.kubelet_running
            || heart.boot != node.boot_id;
        if !alive && heart.silent.is_none() {
            heart.silent = Some(now);
            spawn.push((node.name.clone(), false));
        } else if alive && (heart.silent.is_some() || other) {
            *heart = Heart {
                since: now,
                silent: None,
                version: node.kubelet_running.clone(),
                boot: node.boot_id.clone(),
                process: node.kubelet_since,
            };
            spawn.push((node.name.clone(), true));
        }
    }
    for (name, alive) in spawn {
        let wait = if alive { world.random.between(REGISTER.0, REGISTER.1) } else { PATIENCE };
        let Some(heart) = world.hearts.get(&name).cloned() else { continue };
        tokio::spawn(report(shared.clone(), name, heart, wait));
    }
}

/// Writes a node's status after a while, if its kubelet is still what it was.
async fn report(shared: Shared, name: String, heart: Heart, wait: Duration) {
    tokio::time::sleep(wait).await;
    api_up(&shared).await;
    let mut world = lock(&shared);
    if world.hearts.get(&name) != Some(&heart) {
        return;
    }
    let now = world.clock.stamp();
    let kernel = world.nodes.get(&name).map(|node| node.kernel()).unwrap_or_default();
    let mut gpus = false;
    world.store.update("nodes", "", &name, |node| {
        if heart.silent.is_some() {
            for kind in ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] {
                let message = "Kubelet stopped posting node status.";
                pod::set_condition(node, kind, "Unknown", "NodeStatusUnknown", message, &now);
            }
        } else {
            node["status"]["nodeInfo"]["kubeletVersion"] = json!(heart.version);
            node["status"]["nodeInfo"]["bootID"] = json!(heart.boot);
            node["status"]["nodeInfo"]["kernelVersion"] = json!(kernel);
            healthy(node, &now);
            gpus = node["status"]["capacity"].get("nvidia.com/gpu").is_some();
            if gpus {
                node["status"]["allocatable"]["nvidia.com/gpu"] = json!("0");
            }
        }
        taint(node, "node.kubernetes.io/unreachable", heart.silent.is_some());
    });
    let driver = !world.nodes.get_mut(&name).is_some_and(gpu_driver::strikes);
    if gpus && driver {
        let wait = world.random.between(PLUGIN.0, PLUGIN.1);
        tokio::spawn(offer_gpus(shared.clone(), name, heart, wait));
    }
}

/// A device plugin has to register anew with a kubelet that has started; until then no device is allocatable.
async fn offer_gpus(shared: Shared, name: String, heart: Heart, wait: Duration) {
    tokio::time::sleep(wait).await;
    api_up(&shared).await;
    let mut world = lock(&shared);
    if world.hearts.get(&name) == Some(&heart) {
        world.store.update("nodes", "", &name, |node| {
            node["status"]["allocatable"]["nvidia.com/gpu"] =
                node["status"]["capacity"]["nvidia.com/gpu"].clone();
        });
    }
}

/// Writes the conditions of a node that is well.
pub(crate) fn healthy(node: &mut Value, now: &str) {
    let well = [
        ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ];
    for (kind, reason, message) in well {
        pod::set_condition(node, kind, "False", reason, message, now);
    }
    pod::set_condition(node, "Ready", "True", "KubeletReady", "kubelet is posting ready status", now);
}

fn taint(node: &mut Value, key: &str, wanted: bool) {
    let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    taints.retain(|t| t["key"] != key);
    if wanted {
        taints.push(json!({"key": key, "effect": "NoSchedule"}));
        taints.push(json!({"key": key, "effect": "NoExecute"}));
    }
    if taints.is_empty() {
        node["spec"].as_object_mut().map(|spec| spec.shift_remove("taints"));
    } else {
        node["spec"]["taints"] = json!(taints);
    }
}

/// Notices static pods that stopped, started or were replaced.
fn mirrors(shared: &Shared, world: &mut World, seen: &mut BTreeMap<(String, String), StaticPod>) {
    // What k3s runs is part of its own process: the API shows no pod of it.
    let hidden = matches!(world.shape.distribution(), Distribution::K3s | Distribution::Units);
    if world.static_pods == *seen || hidden || world.shape.managed.is_some() {
        return;
    }
    for (key, now) in world.static_pods.clone() {
        if seen.get(&key) != Some(&now) {
            let wait = world.random.between(MIRROR.0, MIRROR.1);
            let probe =
                (now.since + world.random.between(PROBE.0, PROBE.1)).saturating_sub(world.now() + wait);
            tokio::spawn(mirror(shared.clone(), key, now, wait, probe));
        }
    }
    *seen = world.static_pods.clone();
}

/// Shows a static pod in the API after a while, and after another that it is Ready, if it is still
/// what it was.
async fn mirror(shared: Shared, key: (String, String), process: StaticPod, wait: Duration, probe: Duration) {
    tokio::time::sleep(wait).await;
    show(&shared, &key, &process, pod::start).await;
    if process.up {
        tokio::time::sleep(probe).await;
        show(&shared, &key, &process, pod::run).await;
    }
}

/// Writes the mirror pod of a static pod; one that is up as `up` says.
async fn show(shared: &Shared, key: &(String, String), process: &StaticPod, up: fn(&mut Value, &str, u32)) {
    kubelet_and_api_up(shared, &key.0).await;
    let mut world = lock(shared);
    if world.static_pods.get(key) != Some(process) {
        return;
    }
    let name = format!("{}-{}", key.1, key.0);
    let old = world.store.get("pods", "kube-system", &name);
    let same = old.is_some_and(|p| p["metadata"]["annotations"]["kubernetes.io/config.hash"] == process.hash);
    if !same {
        world.store.remove("pods", "kube-system", &name);
        let pod = mirror_pod(&world, &key.0, &key.1, process);
        world.store.insert("pods", pod);
    }
    let now = stamp(process.since);
    let stamp = world.clock.stamp();
    world.store.update("pods", "kube-system", &name, |p| {
        if process.up {
            up(p, &now, process.restarts);
        } else {
            pod::stop(p, &stamp);
        }
    });
}

/// Makes the mirror pod of a static pod, not yet running.
pub(crate) fn mirror_pod(world: &World, node: &str, component: &str, process: &StaticPod) -> Value {
    let uid = world.store.get("nodes", "", node).map(|n| n["metadata"]["uid"].clone());
    let seen = stamp(process.since);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{component}-{node}"), "namespace": "kube-system",
            "labels": {"component": component, "tier": "control-plane"},
            "annotations": {
                "kubernetes.io/config.hash": process.hash, "kubernetes.io/config.mirror": process.hash,
                "kubernetes.io/config.seen": seen, "kubernetes.io/config.source": "file",
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": true}],
        },
        "spec": {
            "nodeName": node, "hostNetwork": true, "priorityClassName": "system-node-critical",
            "containers": [{"name": component, "image": process.image, "command": [component]}],
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            "terminationGracePeriodSeconds": 30,
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

/// Hands the leases of the control plane to a node where the process runs.
fn leaders(world: &mut World) {
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let Some(lease) = world.store.get("leases", "kube-system", component) else { continue };
        let holder = lease["spec"]["holderIdentity"].as_str().and_then(|h| h.split('_').next()).unwrap_or("");
        if world.component_up(holder, component) || !world.api_up() {
            continue;
        }
        let Some(next) = world.first_up(component).map(str::to_string) else { continue };
        let (id, now) = (world.random.uuid(), micro_stamp(world.now()));
        world.store.update("leases", "kube-system", component, |lease| {
            let transitions = lease["spec"]["leaseTransitions"].as_u64().unwrap_or(0);
            lease["spec"]["holderIdentity"] = json!(format!("{next}_{id}"));
            lease["spec"]["acquireTime"] = json!(now);
            lease["spec"]["renewTime"] = json!(now);
            lease["spec"]["leaseTransitions"] = json!(transitions + 1);
        });
    }
}

/// Follows the pods for as long as the runtime lives: those bound are run, those deleted are ended.
pub(crate) async fn follow(shared: Shared) {
    let (mut changes, mut revision) = {
        let world = lock(&shared);
        (world.store.watch(), world.store.revision())
    };
    loop {
        if changes.changed().await.is_err() {
            return;
        }
        let mut work: Vec<(std::sync::Arc<Value>, bool)> = Vec::new();
        let mut world = lock(&shared);
        changes.mark_unchanged();
        for change in world.store.changes_after(revision).into_iter().flatten() {
            if change.resource != "pods" || change.kind == ChangeKind::Deleted {
                continue;
            }
            let (object, before) = (&change.object, change.before.as_deref());
            if pod::node(object).is_empty() || is_mirror(object) {
                continue;
            }
            if pod::terminating(object) {
                if before.is_none_or(|b| !pod::terminating(b)) {
                    work.push((object.clone(), false));
                }
            } else if pod::phase(object) == "Pending" && before.is_none_or(|b| pod::node(b).is_empty()) {
                work.push((object.clone(), true));
            }
        }
        revision = world.store.revision();
        for (object, begin) in work {
            if begin {
                let wait = world.random.between(BEGIN.0, BEGIN.1);
                tokio::spawn(run(shared.clone(), object, wait));
            } else {
                let grace = object["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(30);
                let wait = world.random.between(END.0, END.1).min(Duration::from_secs(grace));
                tokio::spawn(end(shared.clone(), object, wait));
            }
        }
    }
}

pub(crate) fn is_mirror(object: &Value) -> bool {
    !object["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null()
}

async fn run(shared: Shared, object: std::sync::Arc<Value>, wait: Duration) {
    tokio::time::sleep(wait).await;
    kubelet_and_api_up(&shared, pod::node(&object)).await;
    let loads = pod::startup(&object);
    let denied = {
        let mut world = lock(&shared);
        let denied = world.nodes.get_mut(pod::node(&object)).is_some_and(pod_image::strikes);
        let begin: fn(&mut Value, &str) = match (denied, loads.is_zero()) {
            (true, _) => pod::lack_image,
            (false, true) => |pod, now| pod::run(pod, now, 0),
            (false, false) => |pod, now| pod::start(pod, now, 0),
        };
        write(&mut world, &object, begin);
        denied
    };
    if denied || loads.is_zero() {
        return;
    }
    tokio::time::sleep(loads).await;
    kubelet_and_api_up(&shared, pod::node(&object)).await;
    write(&mut lock(&shared), &object, |pod, now| pod::run(pod, now, 0));
}

/// Writes the status of a pod that is still the same and was not asked to end.
fn write(world: &mut World, object: &Value, status: fn(&mut Value, &str)) {
    let now = world.clock.stamp();
    world.store.update("pods", pod::namespace(object), pod::name(object), |p| {
        if pod::uid(p) == pod::uid(object) && !pod::terminating(p) {
            status(p, &now);
        }
    });
}

async fn end(shared: Shared, object: std::sync::Arc<Value>, wait: Duration) {
    tokio::time::sleep(wait).await;
    kubelet_and_api_up(&shared, pod::node(&object)).await;
    let mut world = lock(&shared);
    let (namespace, name) = (pod::namespace(&object), pod::name(&object));
    let now = world.clock.stamp();
    let same = world.store.get("pods", namespace, name).is_some_and(|p| pod::uid(p) == pod::uid(&object));
    if same {
        world.store.update("pods", namespace, name, |p| pod::stop(p, &now));
        finish(&mut world, namespace, name);
    }
}

/// Waits until the API answers.
pub(crate) async fn api_up(shared: &Shared) {
    until(shared, World::api_up).await;
}

async fn kubelet_and_api_up(shared: &Shared, node: &str) {
    let alive = |world: &World| world.nodes.get(node).is_some_and(|n| n.up && n.kubelet_active);
    until(shared, |world| alive(world) && world.api_up()).await;
}

async fn until(shared: &Shared, reached: impl Fn(&World) -> bool) {
    let mut changes = lock(shared).watch_machines();
    loop {
        if reached(&lock(shared)) || changes.changed().await.is_err() {
            return;
        }
    }
}

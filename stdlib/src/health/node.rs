//! Whether a node is fit: Ready, under no pressure, heard of lately, and its own pods Ready.

use engine::action::Context;
use engine::event::Failure;
use engine::inventory;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use kube::api::Api;

use super::pod::not_ready;
use super::{Finding, Starts, control_plane, ready, renewed};
use crate::api;

/// The namespace of the leases that kubelets renew every 10 seconds.
pub(crate) const LEASES: &str = "kube-node-lease";

/// How old a sign of life may be: after 40 seconds the control plane itself gives a node up.
const FRESH: i64 = 40;

/// What a kubelet says when something runs short.
const PRESSURES: [&str; 3] = ["MemoryPressure", "DiskPressure", "PIDPressure"];

/// Looks at a node.
pub(crate) async fn look(
    cx: &Context,
    kube: &kube::Client,
    name: &str,
    starts: &mut Starts,
) -> Result<Finding, Failure> {
    let leases = Api::<Lease>::namespaced(kube.clone(), LEASES);
    let what = format!("read the lease of {name}");
    let ((api, now), node, pods, lease) = futures::try_join!(
        ready(cx, kube),
        api::node(kube, name),
        api::pods_of(kube, name),
        api::find(&what, leases.get(name)),
    )?;
    let known = cx.inventory.nodes.get(name);
    let pods: Vec<&Pod> = pods.iter().collect();
    Ok(api
        .or_else(|| alive(&node, lease.as_ref(), now))
        .or_else(|| own_pods(&pods))
        .or_else(|| known.and_then(|known| control_plane::of_node(known, &pods, starts, not_ready))))
}

/// Judges what the kubelet says of itself and how lately it said so.
pub(crate) fn alive(node: &Node, lease: Option<&Lease>, now: Timestamp) -> Finding {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let status = node.status.as_ref();
    let version =
        status.and_then(|status| status.node_info.as_ref()).map(|info| info.kubelet_version.as_str());
    let beat = status
        .and_then(|status| status.conditions.as_deref())
        .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Ready"))
        .and_then(|ready| ready.last_heartbeat_time.as_ref())
        .is_some_and(|time| time.0 + SignedDuration::from_secs(FRESH) >= now);
    // For up to 40 seconds a kubelet that is gone looks Ready.
    let silent = || format!("the kubelet of {name} has not been heard of for {FRESH}s");
    let unnamed = || format!("the kubelet of {name} has not reported its version");
    unfit(node)
        .or_else(|| (!beat && !renewed(lease, now, FRESH)).then(silent))
        .or_else(|| version.is_none_or(str::is_empty).then(unnamed))
}

/// Judges the pods that belong to the node itself: those of DaemonSets that the system cannot do
/// without. An application's own DaemonSet may have been sick for weeks.
fn own_pods(pods: &[&Pod]) -> Finding {
    let own = |pod: &&&Pod| {
        let daemon = api::controller(&pod.metadata).is_some_and(|owner| owner.kind == "DaemonSet");
        let class = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref());
        daemon && !api::is_finished(pod) && is_critical(pod.metadata.namespace.as_deref(), class)
    };
    pods.iter().filter(own).find_map(|pod| not_ready(pod))
}

/// Returns whether the system cannot do without what has such a namespace and priority class.
pub(crate) fn is_critical(namespace: Option<&str>, priority: Option<&str>) -> bool {
    namespace == Some(api::SYSTEM) || priority.is_some_and(|class| class.starts_with("system-"))
}

/// Returns the nodes that run an apiserver as a static pod.
pub(crate) fn control_planes(inventory: &inventory::Inventory) -> impl Iterator<Item = &inventory::Node> {
    inventory.nodes.values().filter(|node| node.control_plane && node.apiserver.is_some())
}

/// Tells why a node is not fit by its conditions, if it is not.
pub(crate) fn unfit(node: &Node) -> Finding {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    let why = |condition: &NodeCondition| match condition.reason.as_deref() {
        None | Some("" | "KubeletNotReady") => condition.message.clone(),
        Some(reason) => Some(reason.to_string()),
    };
    match find("Ready") {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => {
            let why = why(ready).filter(|why| !why.is_empty());
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            return Some(format!("node {name} is not Ready{why}"));
        }
        None => return Some(format!("node {name} has never been Ready")),
    }
    let pressure = PRESSURES.into_iter().find(|kind| find(kind).is_some_and(|c| c.status == "True"));
    pressure.map(|kind| format!("node {name} has {kind}"))
}

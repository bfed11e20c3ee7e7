//! Whether the cluster is whole: what carries it, then every node and every pod of the system. What
//! was sick before the upgrade began is not held against it.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::action::Context;
use engine::event::Failure;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Api, ListParams};

use super::pod::{causes, not_ready, waiting};
use super::{Finding, Starts, control_plane, first_hand, node, ready, renewed, rollout};
use crate::api;

/// What a container waits for that it will not get by itself.
const STUCK: [&str; 5] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "CreateContainerConfigError",
    "CreateContainerError",
];

/// After so long without progress every node is asked for the reason.
const STILL: Duration = Duration::from_secs(30);

/// The longest time between two looks that counts: a kup that was away has not waited.
const BETWEEN: Duration = Duration::from_secs(60);

/// How far the rollouts of the system were at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rollouts {
    /// How often what is rolled out was changed.
    pub(crate) changes: i64,
    /// How many pods were updated since, at most.
    pub(crate) updated: i64,
    /// How long it has been waited for more of them.
    pub(crate) idle: Duration,
    /// When the last look was, since the Unix epoch.
    pub(crate) at: Duration,
}

impl Rollouts {
    fn wait(&mut self, now: Duration) {
        if !self.at.is_zero() {
            self.idle += now.saturating_sub(self.at).min(BETWEEN);
        }
        self.at = now;
    }

    fn note(&mut self, sets: &[DaemonSet]) {
        let (mut changes, mut updated) = (0, 0);
        for set in sets.iter().filter(|set| carries(set)) {
            changes += set.metadata.generation.unwrap_or_default();
            let status = set.status.as_ref().filter(|s| s.observed_generation >= set.metadata.generation);
            updated += status.and_then(|s| s.updated_number_scheduled).map_or(0, i64::from);
        }
        if changes != self.changes || updated > self.updated {
            *self = Rollouts { changes, updated, idle: Duration::ZERO, at: self.at };
        }
    }
}

/// Looks at the cluster. A rollout over a thousand nodes takes hours and is looked at every few
/// seconds: as long as it goes on, nothing is listed that grows with the nodes.
pub(crate) async fn look(
    cx: &Context,
    kube: &kube::Client,
    starts: &mut Starts,
    rollouts: &mut Rollouts,
) -> Result<Finding, Failure> {
    rollouts.wait(cx.ports.clock.wall());
    let (found, pods, now) = carriers(cx, kube, starts, rollouts).await?;
    if found.is_some() && rollouts.idle < STILL {
        return Ok(found);
    }
    let sick = everywhere(cx, kube, &pods, now).await?;
    Ok(sick.or(found))
}

/// Judges what carries the cluster; returns the static pods of the control plane, and the time, too.
async fn carriers(
    cx: &Context,
    kube: &kube::Client,
    starts: &mut Starts,
    rollouts: &mut Rollouts,
) -> Result<(Finding, Vec<Pod>, Timestamp), Failure> {
    let sets = Api::<DaemonSet>::all(kube.clone());
    let deployments = Api::<Deployment>::namespaced(kube.clone(), api::SYSTEM);
    let services = Api::<APIService>::all(kube.clone());
    let leases = Api::<Lease>::namespaced(kube.clone(), api::SYSTEM);
    let unpaged = ListParams::default();
    let etcd = async { Ok(first_hand::beside(cx).await) };
    let ((api, now), pods, sets, dns, services, controller, scheduler, etcd) = futures::try_join!(
        ready(cx, kube),
        api::static_pods(kube),
        api::list("list the DaemonSets", &sets, ListParams::default()),
        api::find("read the Deployment coredns", deployments.get("coredns")),
        api::find("list the API services", services.list(&unpaged)),
        api::find("read the lease kube-controller-manager", leases.get(control_plane::LEADERS[0])),
        api::find("read the lease kube-scheduler", leases.get(control_plane::LEADERS[1])),
        etcd,
    )?;
    let services = services.map(|list| list.items).unwrap_or_default();
    let leaders = [controller.as_ref(), scheduler.as_ref()].map(|lease| renewed(lease, now, 15));
    rollouts.note(&sets);
    let began = began(&pods);
    let found = api
        .or_else(|| control_plane::of_all(cx, &pods, starts, not_ready))
        .or(etcd)
        .or_else(|| control_plane::leaders(cx, leaders))
        .or_else(|| sets.iter().find_map(rolled_out))
        .or_else(|| dns.as_ref().and_then(resolves))
        .or_else(|| services.iter().find_map(|service| served(service, began)));
    Ok((found, pods, now))
}

/// Judges every node and every pod of the system: one list of each, whatever the number of nodes.
async fn everywhere(
    cx: &Context,
    kube: &kube::Client,
    static_pods: &[Pod],
    now: Timestamp,
) -> Result<Finding, Failure> {
    let nodes = Api::<Node>::all(kube.clone());
    let beats = Api::<Lease>::namespaced(kube.clone(), node::LEASES);
    let pods = Api::<Pod>::namespaced(kube.clone(), api::SYSTEM);
    let others = ListParams::default().labels(api::NOT_STATIC);
    let (nodes, beats, pods) = futures::try_join!(
        api::list("list the nodes", &nodes, ListParams::default()),
        api::list("list the nodes' leases", &beats, ListParams::default()),
        api::list("list the pods of kube-system", &pods, others),
    )?;
    let began = began(static_pods);
    let sick = alive(cx, &nodes, &beats, now);
    Ok(sick.or_else(|| static_pods.iter().chain(&pods).find_map(|pod| stuck(pod, began, now))))
}

/// Judges the nodes that the run knows; one that joined meanwhile is not its concern.
fn alive(cx: &Context, nodes: &[Node], beats: &[Lease], now: Timestamp) -> Finding {
    let beats: BTreeMap<&str, &Lease> =
        beats.iter().filter_map(|lease| Some((lease.metadata.name.as_deref()?, lease))).collect();
    nodes.iter().find_map(|node| {
        let name = node.metadata.name.as_deref()?;
        cx.inventory.nodes.get(name)?;
        node::alive(node, beats.get(name).copied(), now)
    })
}

/// Returns about when the upgrade began: when the first of today's apiservers was started.
fn began(pods: &[Pod]) -> Option<Timestamp> {
    let apiservers =
        pods.iter().filter(|pod| api::label(&pod.metadata, "component") == Some("kube-apiserver"));
    let started = apiservers.filter_map(|pod| {
        let status = pod.status.as_ref()?.container_statuses.as_deref()?.first()?;
        status.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(|time| time.0)
    });
    started.min()
}

/// Returns whether the system cannot do without a DaemonSet.
fn carries(set: &DaemonSet) -> bool {
    let template = set.spec.template.spec.as_ref();
    let class = template.and_then(|spec| spec.priority_class_name.as_deref());
    node::is_critical(set.metadata.namespace.as_deref(), class)
}

/// Judges a DaemonSet that the system cannot do without.
fn rolled_out(set: &DaemonSet) -> Finding {
    if carries(set) { rollout::daemon_set(set) } else { None }
}

/// Judges CoreDNS.
fn resolves(dns: &Deployment) -> Finding {
    let status = dns.status.as_ref()?;
    let wanted = dns.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or_default();
    if status.observed_generation < dns.metadata.generation || updated < wanted {
        return Some(format!("CoreDNS: {updated} of {wanted} pods are updated"));
    }
    let available = status.available_replicas.unwrap_or_default();
    (available < wanted).then(|| format!("CoreDNS: {available} of {wanted} pods are available"))
}

/// Judges a pod by what its containers wait for, unless it waited before the upgrade began.
fn stuck(pod: &Pod, began: Option<Timestamp>, now: Timestamp) -> Finding {
    let reason = waiting(pod).filter(|reason| STUCK.contains(reason))?;
    let since = match reason {
        "CrashLoopBackOff" => now.checked_sub(crashing(restarts(pod))).ok()?,
        _ => pod.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
    };
    if began.is_some_and(|began| since < began) {
        return None;
    }
    let found = format!("{} is in {reason}", pod.metadata.name.as_deref().unwrap_or_default());
    Some(api::chain([found].into_iter().chain(causes(pod))))
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    statuses.unwrap_or_default().iter().map(|status| status.restart_count).max().unwrap_or_default()
}

/// Returns how long a container has been crashing at least. The kubelet waits 10 seconds before the
/// second restart in a row, twice as long before each further one, and five minutes at most.
fn crashing(restarts: i32) -> SignedDuration {
    let waits = (0..restarts.saturating_sub(1).clamp(0, 10_000)).map(|n| (10_i64 << n.min(5)).min(300));
    SignedDuration::from_secs(waits.sum())
}

/// Judges an API service, unless it was down before the upgrade began.
fn served(service: &APIService, began: Option<Timestamp>) -> Finding {
    let conditions = service.status.as_ref()?.conditions.as_deref()?;
    let down = conditions.iter().find(|c| c.type_ == "Available" && c.status != "True")?;
    let since = down.last_transition_time.as_ref().map(|time| time.0);
    if since.zip(began).is_some_and(|(since, began)| since < began) {
        return None;
    }
    let reason = down.reason.as_deref().unwrap_or("no reason given");
    Some(format!("API {} is not available ({reason})", service.metadata.name.as_deref().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_is_at_least_as_old_as_its_backoffs() {
        let seconds = |restarts| crashing(restarts).as_secs();
        assert_eq!((seconds(0), seconds(1), seconds(2), seconds(4)), (0, 0, 10, 70));
        assert_eq!(seconds(16), 10 + 20 + 40 + 80 + 160 + 10 * 300);
    }
}

//! Evidence of health, by scope: what is looked at once, judged piece by piece, and told in an
//! operator's words. Ready alone says little: a node is Ready a second after its kubelet restarts,
//! while its static pods are just about to.

use std::collections::BTreeMap;

use engine::action::Context;
use engine::event::Failure;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;

use crate::api;

pub(crate) mod cluster;
pub(crate) mod control_plane;
mod first_hand;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod rollout;

/// What a look has found wrong, in an operator's words; `None` when all is well.
pub(crate) type Finding = Option<String>;

/// How often the containers of a static pod have started, by pod. A change between two looks is a
/// restart, however Ready the pod is by now.
pub(crate) type Starts = BTreeMap<String, String>;

/// Asks whether the API is ready, and what time it is there. Leases are held against the server's
/// time where it tells it: the clock of this machine may be wrong.
async fn ready(cx: &Context, kube: &kube::Client) -> Result<(Finding, Timestamp), Failure> {
    let readiness = api::readyz(kube).await?;
    let finding = (!readiness.ok).then(|| format!("the API is not ready: {}", readiness.text));
    let here = i64::try_from(cx.ports.clock.wall().as_secs()).unwrap_or(i64::MAX);
    let here = Timestamp::from_second(here).unwrap_or(Timestamp::MAX);
    Ok((finding, readiness.date.unwrap_or(here)))
}

/// Returns whether a lease was renewed within so many seconds.
fn renewed(lease: Option<&Lease>, now: Timestamp, within: i64) -> bool {
    let time = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref());
    time.is_some_and(|time| time.0 + SignedDuration::from_secs(within) >= now)
}

/// Tells that a static pod has started anew since the last look, and remembers its starts.
fn restarted(pod: &Pod, starts: &mut Starts) -> Finding {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let restarts: i32 = statuses.unwrap_or_default().iter().map(|status| status.restart_count).sum();
    let mark = format!("{}/{restarts}", pod.metadata.uid.as_deref().unwrap_or_default());
    match starts.insert(name.clone(), mark.clone()) {
        Some(last) if last != mark => Some(format!("{name} has just restarted")),
        _ => None,
    }
}

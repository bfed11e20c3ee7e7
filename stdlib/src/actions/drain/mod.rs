//! `drain`: cordons a node, evicts what `kubectl drain --ignore-daemonsets` may evict, all at once,
//! and waits until the pods and their volumes are gone. One pod that a disruption budget holds does
//! not hold up the others.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::{Class, Failure};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{Api, ListParams};

use super::cordon::{self, By};
use crate::api;
use eviction::{Answer, Target};
use filters::{Allow, Sorted};
use work::{Victim, Work};

mod budget;
mod eviction;
mod filters;
mod work;

/// How often the node is looked at.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the volumes of evicted pods may stay attached. The attach controller detaches by force
/// after six minutes; who waits longer waits for something else.
const DETACH: Duration = Duration::from_secs(7 * 60);

/// How late a pod may be after its grace period before it is called stuck.
const SLACK: Duration = Duration::from_secs(10);

/// How many claims are read at once.
const CLAIMS: usize = 8;

/// The verb.
pub(crate) struct Drain;

#[async_trait]
impl Action for Drain {
    fn name(&self) -> &'static str {
        "drain"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let kube = api::client(&cx.ports)?;
        let name = cordon::node_of(cx)?;
        let (node, sorted) = futures::try_join!(api::node(&kube, name), look(&kube, name, allow(cx)))?;
        let pods = sorted.whole()?.evict.len();
        let cordoned = cordon::by(&node) != By::Nobody;
        Ok(match (cordoned, pods) {
            (true, 0) => Check::Done("cordoned, nothing left to evict".into()),
            (_, pods) => Check::Needs { now: evictions(pods), then: "empty".into(), before: Value::None },
        })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let kube = api::client(&cx.ports)?;
        let name = cordon::node_of(cx)?;
        let ours = cordon::cordon(&kube, name, &cx.run).await?;
        let sorted = look(&kube, name, allow(cx)).await?;
        let sorted = match sorted.whole() {
            Ok(sorted) => sorted,
            Err(refused) => {
                // Nothing was evicted, so the node is given back as it was found.
                if ours {
                    cordon::uncordon(&kube, name).await?;
                }
                return Err(refused);
            }
        };
        if sorted.evict.is_empty() {
            return Ok(Progress::Done(Value::Text("nothing to evict".into())));
        }
        let volumes = volumes(&kube, &sorted).await?;
        let work = Work::new(sorted.evict.iter().map(target).collect(), volumes);
        let reason = evictions(work.total);
        Ok(Progress::Pending { handle: work.to_value(), reason, again: Duration::ZERO })
    }

    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let kube = api::client(&cx.ports)?;
        let name = cordon::node_of(cx)?;
        let mut work = Work::from_value(handle)?;
        match step(cx, &kube, name, &mut work).await {
            Ok(None) => Ok(Progress::Done(Value::Text(work.summary()))),
            Ok(Some(reason)) => Ok(Progress::Pending { handle: work.to_value(), reason, again: AGAIN }),
            // The apiserver of this very node may be the one that goes away.
            Err(failure) if failure.class == Class::Transient => {
                Ok(Progress::Pending { handle: work.to_value(), reason: failure.message, again: 2 * AGAIN })
            }
            Err(failure) => Err(failure),
        }
    }

    async fn undo(&self, cx: &Context, _: &Value) -> Result<(), Failure> {
        cordon::uncordon(&api::client(&cx.ports)?, cordon::node_of(cx)?).await?;
        Ok(())
    }
}

/// Evicts what is due and tells what the drain waits for; `None` when the node is empty.
async fn step(
    cx: &Context,
    kube: &kube::Client,
    node: &str,
    work: &mut Work,
) -> Result<Option<String>, Failure> {
    let now = cx.ports.clock.wall();
    let pods = api::pods_of(kube, node).await?;
    let find = |victim: &Victim| pods.iter().find(|pod| target(pod) == victim.target);
    work.pods.retain(|victim| find(victim).is_some());
    for victim in &mut work.pods {
        victim.evicted |= find(victim).is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    }
    let grace = grace(cx);
    let due = work.pods.iter().enumerate().filter(|(_, victim)| !victim.evicted && victim.retry <= now);
    let answers =
        due.map(|(i, victim)| async move { (i, eviction::evict(kube, &victim.target, grace).await) });
    let answers = futures::future::join_all(answers).await;
    let mut gone = BTreeSet::new();
    let mut refused = None;
    let mut held = None;
    for (i, answer) in answers {
        match answer {
            Answer::Accepted => work.pods[i].evicted = true,
            Answer::Gone => drop(gone.insert(i)),
            Answer::Later(why, wait) => {
                work.pods[i].why = why;
                work.pods[i].retry = now + wait;
            }
            Answer::Held(budget, why, wait) => {
                work.pods[i].why = why;
                work.pods[i].retry = now + wait;
                held = held.or(Some((i, budget)));
            }
            Answer::Refused(failure) => refused = refused.or(Some(failure)),
        }
    }
    if let Some(failure) = refused {
        return Err(failure);
    }
    // Only of the first one it is told why it waits.
    if let Some((i, budget)) = held.filter(|(i, _)| work.pods.iter().position(|pod| !pod.evicted) == Some(*i))
    {
        let pod = &mut work.pods[i];
        let causes = budget::causes(kube, &pod.target.namespace, &budget).await;
        pod.why = api::chain([std::mem::take(&mut pod.why)].into_iter().chain(causes));
    }
    let mut i = 0;
    work.pods.retain(|_| {
        i += 1;
        !gone.contains(&(i - 1))
    });
    if !work.pods.is_empty() {
        return Ok(Some(reason(work, &pods, now)));
    }
    attached(kube, node, work, now).await
}

/// Says which pods hold the node: those that may not go first, then those that do not end.
fn reason(work: &Work, pods: &[Pod], now: Duration) -> String {
    let held: Vec<&Victim> = work.pods.iter().filter(|victim| !victim.evicted).collect();
    if let Some(first) = held.first() {
        let pod = format!("pod {}{}", first.target, more(held.len()));
        let why = Some(first.why.clone()).filter(|why| !why.is_empty());
        return api::chain([Some(pod), why].into_iter().flatten());
    }
    let stuck: Vec<&Pod> = pods
        .iter()
        .filter(|pod| work.pods.iter().any(|victim| victim.target == target(pod)))
        .filter(|pod| pod.metadata.deletion_timestamp.as_ref().is_some_and(|end| overdue(end.0, now)))
        .collect();
    if let Some(first) = stuck.first() {
        let name = api::full_name(&first.metadata);
        let (what, why) = match first.metadata.finalizers.as_deref().unwrap_or_default() {
            [] => {
                ("did not end within its grace period", "does its node's runtime still answer?".to_string())
            }
            finalizers => ("does not end", format!("it waits for its finalizers {}", finalizers.join(", "))),
        };
        return api::chain([format!("pod {name} {what}{}", more(stuck.len())), why]);
    }
    match work.pods.as_slice() {
        [one] => format!("pod {} is ending", one.target),
        many => format!("{} pods are ending", many.len()),
    }
}

/// Counts what stands behind the first one.
fn more(count: usize) -> String {
    if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() }
}

fn overdue(end: jiff::Timestamp, now: Duration) -> bool {
    i128::from(end.as_second()) + i128::from(SLACK.as_secs()) < i128::from(now.as_secs())
}

/// Waits, for a while, until the volumes of the evicted pods are detached: until then no other
/// node can start a pod that needs one of them.
async fn attached(
    kube: &kube::Client,
    node: &str,
    work: &mut Work,
    now: Duration,
) -> Result<Option<String>, Failure> {
    if work.volumes.is_empty() {
        return Ok(None);
    }
    let since = *work.gone.get_or_insert(now);
    if now.saturating_sub(since) > DETACH {
        return Ok(None);
    }
    let mut held = Vec::new();
    let api = Api::<VolumeAttachment>::all(kube.clone());
    api::pages("list the attached volumes", &api, ListParams::default(), |attachment: VolumeAttachment| {
        let volume = attachment.spec.source.persistent_volume_name;
        if attachment.spec.node_name == node
            && let Some(volume) = volume.filter(|volume| work.volumes.contains(volume))
        {
            held.push(volume);
        }
    })
    .await?;
    Ok(match held.as_slice() {
        [] => {
            work.volumes.clear();
            None
        }
        [one] => Some(format!("volume {one} is still attached")),
        many => Some(format!("{} volumes are still attached", many.len())),
    })
}

/// Lists the node's pods and sorts them.
async fn look(kube: &kube::Client, node: &str, allow: Allow) -> Result<Sorted, Failure> {
    let daemon_sets = Api::<DaemonSet>::all(kube.clone());
    let (pods, daemon_sets) = futures::try_join!(
        api::pods_of(kube, node),
        api::list("list the DaemonSets", &daemon_sets, ListParams::default()),
    )?;
    let daemon_sets = daemon_sets.iter().map(|set| api::full_name(&set.metadata)).collect();
    Ok(Sorted::new(pods, &daemon_sets, allow))
}

/// Returns the persistent volumes that only pods to be evicted use. Reading claims needs a right
/// that kubectl's drain does not need: without it the drain does not wait for volumes.
async fn volumes(kube: &kube::Client, sorted: &Sorted) -> Result<Vec<String>, Failure> {
    let stay: BTreeSet<_> = sorted.stay.iter().flat_map(claims).collect();
    let leave: BTreeSet<_> =
        sorted.evict.iter().flat_map(claims).filter(|claim| !stay.contains(claim)).collect();
    let reads = leave.into_iter().map(|(namespace, name)| {
        let api = Api::<PersistentVolumeClaim>::namespaced(kube.clone(), &namespace);
        async move {
            let what = format!("read claim {namespace}/{name}");
            let claim = api::find(&what, api.get(&name)).await?;
            Ok::<_, Failure>(claim.and_then(|claim| claim.spec?.volume_name))
        }
    });
    let mut answers = futures::stream::iter(reads).buffered(CLAIMS);
    let mut volumes = Vec::new();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(volume) => volumes.extend(volume),
            Err(failure) if failure.class == Class::Final => {
                tracing::warn!("{}", failure.message);
                return Ok(Vec::new());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(volumes)
}

/// Returns the claims of a pod as namespace and name; a generic ephemeral volume makes one of the
/// pod's name and its own.
fn claims(pod: &Pod) -> Vec<(String, String)> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let claim = |volume: &k8s_openapi::api::core::v1::Volume| match (
        &volume.persistent_volume_claim,
        &volume.ephemeral,
    ) {
        (Some(claim), _) => Some(claim.claim_name.clone()),
        (None, Some(_)) => Some(format!("{}-{}", pod.metadata.name.as_deref()?, volume.name)),
        (None, None) => None,
    };
    volumes.iter().filter_map(claim).map(|name| (namespace.clone(), name)).collect()
}

fn target(pod: &Pod) -> Target {
    let meta = &pod.metadata;
    Target {
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
    }
}

fn allow(cx: &Context) -> Allow {
    let delete = |parameter: &str| cx.args.get(parameter).and_then(Value::as_text) == Some("delete");
    Allow { emptydir: delete("emptydir"), unmanaged: delete("unmanaged") }
}

/// Returns the grace period in seconds, if the playbook overrides the pods' own.
fn grace(cx: &Context) -> Option<u64> {
    match cx.args.get("grace") {
        Some(Value::Duration(ms)) => Some(ms.div_ceil(1000)),
        _ => None,
    }
}

fn evictions(pods: usize) -> String {
    match pods {
        0 => "no pods to evict".to_string(),
        1 => "1 pod to evict".to_string(),
        pods => format!("{pods} pods to evict"),
    }
}

#[cfg(test)]
mod tests;

//! Deployments, ReplicaSets, StatefulSets and DaemonSets: pods are made until there are as many as
//! wanted, and rolled when the template changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::facts::{Facts, Node, Pod};
use super::scheduler;
use crate::api::{Key, end_pod};
use crate::pod;
use crate::world::World;

/// Returns the resource of a kind that controls pods.
pub(super) fn resource_of(kind: &str) -> Option<&'static str> {
    match kind {
        "ReplicaSet" => Some("replicasets"),
        "StatefulSet" => Some("statefulsets"),
        "DaemonSet" => Some("daemonsets"),
        _ => None,
    }
}

/// How far the rollouts of Deployments are, and since when they are no further.
#[derive(Default)]
pub(super) struct Rollouts(BTreeMap<Key, Rollout>);

struct Rollout {
    counts: [i64; 5],
    since: Duration,
    deadline: Duration,
    late: bool,
}

impl Rollouts {
    /// Returns when the first of them will not have gone on for too long.
    pub(super) fn next(&self) -> Option<Duration> {
        let waiting = self.0.values().filter(|rollout| !rollout.late);
        waiting.map(|rollout| rollout.since + rollout.deadline).min()
    }

    /// Returns those that have not gone on for too long, and of which nobody has said so.
    pub(super) fn overdue(&self, now: Duration) -> Vec<Key> {
        let late = |rollout: &Rollout| !rollout.late && rollout.since + rollout.deadline <= now;
        self.0.iter().filter(|(_, rollout)| late(rollout)).map(|(key, _)| key.clone()).collect()
    }

    /// Notes how far one is; returns whether it has not gone on for too long.
    fn note(&mut self, key: Key, counts: [i64; 5], deadline: Duration, now: Duration) -> bool {
        let rollout = self.0.entry(key).or_insert(Rollout { counts, since: now, deadline, late: false });
        // Another template or number begins anew; else more that are new, ready or gone is progress.
        let [generation, updated, ready, available, old] = rollout.counts;
        let on = generation != counts[0]
            || counts[1] > updated
            || counts[2] > ready
            || counts[3] > available
            || counts[4] < old;
        if on {
            rollout.since = now;
        }
        (rollout.counts, rollout.deadline) = (counts, deadline);
        rollout.late = rollout.since + rollout.deadline <= now;
        rollout.late
    }
}

/// Lets one workload catch up.
pub(super) fn catch_up(
    world: &mut World,
    facts: &Facts,
    rollouts: &mut Rollouts,
    resource: &str,
    namespace: &str,
    name: &str,
) {
    let Some(owner) = world.store.get(resource, namespace, name).cloned() else {
        rollouts.0.remove(&(namespace.to_string(), name.to_string()));
        return orphans(world, facts, resource, namespace, name);
    };
    match resource {
        "deployments" => deployment(world, rollouts, &owner),
        "replicasets" => replica_set(world, facts, &owner),
        "statefulsets" => stateful_set(world, facts, &owner),
        "daemonsets" => daemon_set(world, facts, &owner),
        _ => (),
    }
}

/// Deletes what a workload that is gone has left: the garbage collector.
fn orphans(world: &mut World, facts: &Facts, resource: &str, namespace: &str, name: &str) {
    let of = |object: &Arc<Value>| {
        pod::controller(object).is_some_and(|o| {
            o["name"] == name
                && (resource == "deployments" || o["kind"].as_str().and_then(resource_of) == Some(resource))
        })
    };
    if resource == "deployments" {
        let sets: Vec<String> = world
            .store
            .list_in("replicasets", namespace)
            .filter(|s| of(s))
            .map(|s| pod::name(s).to_string())
            .collect();
        for set in sets {
            world.store.remove("replicasets", namespace, &set);
        }
        return;
    }
    let pods: Vec<Key> = world
        .store
        .list_in("pods", namespace)
        .filter(|p| of(p))
        .map(|p| (namespace.to_string(), pod::name(p).to_string()))
        .filter(|key| facts.pods.get(key).is_none_or(|f| !f.terminating))
        .collect();
    for (namespace, name) in pods {
        end_pod(world, &namespace, &name);
    }
}

/// Returns the revision of a template: eight digits of its digest.
pub(crate) fn revision(template: &Value) -> String {
    let digest = Sha256::digest(template.to_string().as_bytes());
    digest[..5].iter().map(|b| format!("{b:02x}")).collect()
}

fn replicas(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn count(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

fn key(object: &Value) -> (String, String) {
    (pod::namespace(object).to_string(), pod::name(object).to_string())
}

fn deployment(world: &mut World, rollouts: &mut Rollouts, owner: &Value) {
    let (namespace, name) = key(owner);
    let wanted = replicas(owner);
    let hash = revision(&owner["spec"]["template"]);
    let sets: Vec<Arc<Value>> = world
        .store
        .list_in("replicasets", &namespace)
        .filter(|s| pod::controller(s).is_some_and(|o| o["uid"] == owner["metadata"]["uid"]))
        .cloned()
        .collect();
    let is_new = |set: &Value| set["metadata"]["labels"]["pod-template-hash"] == hash;
    let Some(new) = sets.iter().find(|s| is_new(s)) else {
        let first = if sets.is_empty() { wanted } else { 0 };
        world.store.insert("replicasets", replica_set_of(owner, &hash, first));
        return;
    };
    let surge = (wanted + 3) / 4;
    let unavailable = wanted / 4;
    let total: i64 = sets.iter().map(|s| replicas(s)).sum();
    let available: i64 = sets.iter().map(|s| count(s, "availableReplicas")).sum();
    let scale = |world: &mut World, set: &Value, to: i64| {
        world.store.update("replicasets", &namespace, pod::name(set), |s| s["spec"]["replicas"] = json!(to));
    };
    let more = (wanted - replicas(new)).min(wanted + surge - total);
    if sets.len() == 1 && replicas(new) != wanted {
        scale(world, new, wanted);
    } else if more > 0 {
        scale(world, new, replicas(new) + more);
    } else {
        let mut spare = available - (wanted - unavailable);
        for old in sets.iter().filter(|s| !is_new(s) && replicas(s) > 0) {
            let less = replicas(old).min(spare);
            if less > 0 {
                scale(world, old, replicas(old) - less);
                spare -= less;
            }
        }
    }
    let ready: i64 = sets.iter().map(|s| count(s, "readyReplicas")).sum();
    let all: i64 = sets.iter().map(|s| count(s, "replicas")).sum();
    let updated = count(new, "replicas");
    let now = world.clock.stamp();
    let key = (namespace.clone(), name.clone());
    let finished = updated >= wanted && all == updated && available >= wanted;
    let late = if finished {
        rollouts.0.remove(&key);
        false
    } else {
        let seconds = owner["spec"]["progressDeadlineSeconds"].as_u64().unwrap_or(600);
        let generation = owner["metadata"]["generation"].as_i64().unwrap_or(0);
        let counts = [generation, updated, ready, available, all - updated];
        rollouts.note(key, counts, Duration::from_secs(seconds), world.now())
    };
    let new = pod::name(new).to_string();
    world.store.update("deployments", &namespace, &name, |d| {
        d["status"]["observedGeneration"] = d["metadata"]["generation"].clone();
        d["status"]["replicas"] = json!(all);
        d["status"]["updatedReplicas"] = json!(updated);
        d["status"]["readyReplicas"] = json!(ready);
        d["status"]["availableReplicas"] = json!(available);
        unless_zero(&mut d["status"], "unavailableReplicas", (wanted - available).max(0) as u64);
        let minimum = available >= wanted - unavailable;
        let (status, reason) = if minimum {
            ("True", "MinimumReplicasAvailable")
        } else {
            ("False", "MinimumReplicasUnavailable")
        };
        pod::set_condition(d, "Available", status, reason, "", &now);
        if late {
            let message = format!("ReplicaSet \"{new}\" has timed out progressing.");
            pod::set_condition(d, "Progressing", "False", "ProgressDeadlineExceeded", &message, &now);
        } else {
            let reason = if updated >= wanted { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
            pod::set_condition(d, "Progressing", "True", reason, "", &now);
        }
    });
}

fn replica_set_of(owner: &Value, hash: &str, replicas: i64) -> Value {
    let mut template = owner["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let mut selector = owner["spec"]["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = json!(hash);
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", pod::name(owner)), "namespace": pod::namespace(owner),
            "labels": template["metadata"]["labels"], "ownerReferences": [pod::owned_by(owner)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
        "status": {"replicas": 0},
    })
}

fn replica_set(world: &mut World, facts: &Facts, owner: &Value) {
    let (namespace, name) = key(owner);
    let active: Vec<(&Key, &Pod)> = facts.owned(pod::uid(owner)).filter(|(_, p)| p.active()).collect();
    let (have, wanted) = (active.len() as i64, replicas(owner));
    for _ in have..wanted {
        let pod_name = format!("{name}-{}", world.random.suffix(5));
        world.store.insert("pods", pod::of_template(owner, &owner["spec"]["template"], &pod_name));
    }
    if have > wanted {
        let mut spare = active.clone();
        spare.sort_by_key(|(key, p)| (p.ready, !p.node.is_empty(), (*key).clone()));
        for ((namespace, name), _) in spare.into_iter().take((have - wanted) as usize) {
            end_pod(world, namespace, name);
        }
    }
    let ready = active.iter().filter(|(_, p)| p.ready).count();
    world.store.update("replicasets", &namespace, &name, |s| {
        s["status"]["observedGeneration"] = s["metadata"]["generation"].clone();
        s["status"]["replicas"] = json!(have);
        s["status"]["fullyLabeledReplicas"] = json!(have);
        s["status"]["readyReplicas"] = json!(ready);
        s["status"]["availableReplicas"] = json!(ready);
    });
}

fn stateful_set(world: &mut World, facts: &Facts, owner: &Value) {
    let (namespace, name) = key(owner);
    let (wanted, hash) = (replicas(owner), revision(&owner["spec"]["template"]));
    for index in 0..wanted {
        let pod_name = format!("{name}-{index}");
        if world.store.get("pods", &namespace, &pod_name).is_none() {
            let mut new = pod::of_template(owner, &owner["spec"]["template"], &pod_name);
            new["metadata"]["labels"]["controller-revision-hash"] = json!(hash);
            new["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(pod_name);
            world.store.insert("pods", new);
        }
    }
    let pods: Vec<(&Key, &Pod)> = facts.owned(pod::uid(owner)).collect();
    let ready = pods.iter().filter(|(_, p)| p.ready && p.active()).count() as i64;
    // A pod without a revision was made by hand and counts as current.
    let old = |p: &Pod| !p.revision.is_empty() && p.revision != hash;
    let updated = pods.iter().filter(|(_, p)| !old(p) && p.active()).count();
    if ready == wanted
        && let Some(((namespace, name), _)) = pods.iter().rev().find(|(_, p)| old(p))
    {
        end_pod(world, namespace, name);
    }
    world.store.update("statefulsets", &namespace, &name, |s| {
        s["status"]["observedGeneration"] = s["metadata"]["generation"].clone();
        s["status"]["replicas"] = json!(pods.len());
        s["status"]["readyReplicas"] = json!(ready);
        s["status"]["availableReplicas"] = json!(ready);
        s["status"]["currentReplicas"] = json!(updated);
        s["status"]["updatedReplicas"] = json!(updated);
        s["status"]["currentRevision"] = json!(format!("{}-{hash}", pod::name(owner)));
        s["status"]["updateRevision"] = s["status"]["currentRevision"].clone();
    });
}

fn daemon_set(world: &mut World, facts: &Facts, owner: &Value) {
    let (namespace, name) = key(owner);
    let (template, hash) = (&owner["spec"]["template"], revision(&owner["spec"]["template"]));
    let wants = |n: &Node| scheduler::selects(template, n) && scheduler::tolerates(template, n);
    let pods: Vec<(&Key, &Pod)> = facts.owned(pod::uid(owner)).collect();
    // A pod that is being ended still holds its node: its successor waits.
    let taken: std::collections::HashSet<&str> = pods.iter().map(|(_, p)| p.node.as_str()).collect();
    let nodes: Vec<&String> = facts.nodes.iter().filter(|(_, n)| wants(n)).map(|(name, _)| name).collect();
    for node in nodes.iter().filter(|n| !taken.contains(n.as_str())) {
        let pod_name = format!("{name}-{}", world.random.suffix(5));
        let mut new = pod::of_template(owner, template, &pod_name);
        new["metadata"]["labels"]["controller-revision-hash"] = json!(hash);
        new["spec"]["nodeName"] = json!(node);
        world.store.insert("pods", new);
    }
    let desired = nodes.len();
    let current = |p: &Pod| p.active() && p.revision == hash;
    let ready = pods.iter().filter(|(_, p)| p.active() && p.ready).count();
    let updated = pods.iter().filter(|(_, p)| current(p)).count();
    let busy = desired.saturating_sub(ready);
    let allowed = match &owner["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] {
        Value::String(percent) => {
            let percent = percent.trim_end_matches('%').parse().unwrap_or(0);
            (desired * percent).div_ceil(100).max(1)
        }
        Value::Number(number) => number.as_u64().unwrap_or(1) as usize,
        _ => 1,
    };
    let rolls = owner["spec"]["updateStrategy"]["type"] != "OnDelete";
    if rolls && updated < desired && busy < allowed {
        let old: Vec<&Key> =
            pods.iter().filter(|(_, p)| p.active() && p.revision != hash).map(|(k, _)| *k).collect();
        for (namespace, name) in old.into_iter().take(allowed - busy) {
            end_pod(world, namespace, name);
        }
    }
    world.store.update("daemonsets", &namespace, &name, |d| {
        d["status"]["observedGeneration"] = d["metadata"]["generation"].clone();
        d["status"]["desiredNumberScheduled"] = json!(desired);
        d["status"]["currentNumberScheduled"] = json!(pods.len().min(desired));
        d["status"]["updatedNumberScheduled"] = json!(updated);
        d["status"]["numberReady"] = json!(ready);
        d["status"]["numberAvailable"] = json!(ready);
        unless_zero(&mut d["status"], "numberUnavailable", busy as u64);
        d["status"]["numberMisscheduled"] = json!(0);
    });
}

/// Sets a count that the real server leaves out when it is 0.
fn unless_zero(status: &mut serde_json::Value, field: &str, count: u64) {
    if count > 0 {
        status[field] = json!(count);
    } else if let Some(status) = status.as_object_mut() {
        status.remove(field);
    }
}

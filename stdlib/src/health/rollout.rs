//! How far the rollout of a workload is, by the rules of `kubectl rollout status` (kubernetes/kubectl:
//! pkg/polymorphichelpers/rollout_status.go).

use engine::event::Failure;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};

use super::Finding;
use crate::api;

/// Says of a workload whose controller has not seen its newest state that this is to be waited for.
fn unseen(name: &str, kind: &str) -> Finding {
    Some(format!("{kind} {name} has not been looked at since it changed"))
}

/// Tells what is missing at a DaemonSet. With `OnDelete` its pods are updated by hand, and nothing is waited for but that
/// they are available.
pub(crate) fn daemon_set(set: &DaemonSet) -> Finding {
    let name = api::full_name(&set.metadata);
    let Some(status) = &set.status else { return unseen(&name, "DaemonSet") };
    if status.observed_generation < set.metadata.generation {
        return unseen(&name, "DaemonSet");
    }
    let wanted = status.desired_number_scheduled;
    let by_hand = set.spec.update_strategy.as_ref().is_some_and(|s| s.type_.as_deref() == Some("OnDelete"));
    let updated = status.updated_number_scheduled.unwrap_or_default();
    if !by_hand && updated < wanted {
        return Some(format!("DaemonSet {name}: {updated} of {wanted} pods are updated"));
    }
    let available = status.number_available.unwrap_or_default();
    (available < wanted).then(|| format!("DaemonSet {name}: {available} of {wanted} pods are available"))
}

/// Tells what is missing at a Deployment; one that gave up is a failure.
pub(crate) fn deployment(deployment: &Deployment) -> Result<Finding, Failure> {
    let name = api::full_name(&deployment.metadata);
    let Some(status) = &deployment.status else { return Ok(unseen(&name, "Deployment")) };
    if status.observed_generation < deployment.metadata.generation {
        return Ok(unseen(&name, "Deployment"));
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if let Some(gave_up) = conditions.iter().find(|c| {
        c.type_.as_deref() == Some("Progressing") && c.reason.as_deref() == Some("ProgressDeadlineExceeded")
    }) {
        let seconds = deployment.spec.progress_deadline_seconds.unwrap_or(600);
        let message = gave_up.message.as_deref().unwrap_or_default();
        return Err(Failure::last(format!(
            "Deployment {name} did not go on for {seconds}s (ProgressDeadlineExceeded): {message}"
        ))
        .with_hint("mend what holds its pods; with the next change of the Deployment it tries again"));
    }
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let updated = status.updated_replicas.unwrap_or_default();
    if updated < wanted {
        let paused = deployment.spec.paused.unwrap_or_default();
        let why = if paused { ", and it is paused" } else { "" };
        return Ok(Some(format!("Deployment {name}: {updated} of {wanted} pods are updated{why}")));
    }
    let old = status.replicas.unwrap_or_default() - updated;
    if old > 0 {
        return Ok(Some(format!("Deployment {name}: {old} old pods are still there")));
    }
    let available = status.available_replicas.unwrap_or_default();
    Ok((available < updated)
        .then(|| format!("Deployment {name}: {available} of {updated} updated pods are available")))
}

/// Tells what is missing at a StatefulSet. Behind a partition its pods stay as they are.
pub(crate) fn stateful_set(set: &StatefulSet) -> Finding {
    let name = api::full_name(&set.metadata);
    let Some(status) = &set.status else { return unseen(&name, "StatefulSet") };
    if status.observed_generation.is_none() || status.observed_generation < set.metadata.generation {
        return unseen(&name, "StatefulSet");
    }
    let wanted = set.spec.replicas.unwrap_or(1);
    let ready = status.ready_replicas.unwrap_or_default();
    if ready < wanted {
        return Some(format!("StatefulSet {name}: {ready} of {wanted} pods are ready"));
    }
    let strategy = set.spec.update_strategy.as_ref();
    if strategy.is_some_and(|s| s.type_.as_deref() == Some("OnDelete")) {
        return None;
    }
    let updated = status.updated_replicas.unwrap_or_default();
    let partition = strategy.and_then(|s| s.rolling_update.as_ref()?.partition).unwrap_or_default();
    let due = wanted - partition.min(wanted);
    if partition > 0 {
        return (updated < due).then(|| format!("StatefulSet {name}: {updated} of {due} pods are updated"));
    }
    let differs = status.update_revision != status.current_revision;
    differs.then(|| format!("StatefulSet {name}: {updated} of {wanted} pods are updated"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn of<T: serde::de::DeserializeOwned>(spec: Json, status: Json) -> T {
        let meta = json!({ "name": "x", "namespace": "n", "generation": 2 });
        let mut spec = spec;
        spec["selector"] = json!({});
        spec["serviceName"] = json!("x");
        spec["template"] = json!({});
        serde_json::from_value(json!({ "metadata": meta, "spec": spec, "status": status })).unwrap()
    }

    fn told(spec: Json, status: Json) -> String {
        match deployment(&of(spec, status)) {
            Ok(found) => found.unwrap_or("done".into()),
            Err(failure) => format!("fails: {}", failure.message),
        }
    }

    #[test]
    fn a_deployment_is_rolled_out_when_its_updated_pods_are_available_and_the_old_ones_gone() {
        let three = json!({ "replicas": 3 });
        let status = |updated: i32, all: i32, available: i32| json!({ "observedGeneration": 2, "updatedReplicas": updated, "replicas": all, "availableReplicas": available });
        let seen = |status| told(three.clone(), status);
        assert_eq!(
            seen(
                json!({ "observedGeneration": 1, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3 })
            ),
            "Deployment n/x has not been looked at since it changed"
        );
        assert_eq!(seen(status(1, 4, 4)), "Deployment n/x: 1 of 3 pods are updated");
        assert_eq!(seen(status(3, 4, 4)), "Deployment n/x: 1 old pods are still there");
        assert_eq!(seen(status(3, 3, 2)), "Deployment n/x: 2 of 3 updated pods are available");
        assert_eq!(seen(status(3, 3, 3)), "done");
        let mut late = status(1, 4, 3);
        late["conditions"] = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
            "message": "ReplicaSet \"x-1\" has timed out progressing." }]);
        assert_eq!(
            told(json!({ "replicas": 3, "progressDeadlineSeconds": 60 }), late),
            "fails: Deployment n/x did not go on for 60s (ProgressDeadlineExceeded): ReplicaSet \"x-1\" has timed out progressing."
        );
    }

    #[test]
    fn a_daemon_set_is_rolled_out_when_all_its_pods_are_updated_and_available() {
        let seen = |spec: Json, updated: i32, available: i32| {
            let status = json!({ "observedGeneration": 2, "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
                "numberMisscheduled": 0, "numberReady": 0, "updatedNumberScheduled": updated, "numberAvailable": available });
            daemon_set(&of(spec, status)).unwrap_or("done".into())
        };
        assert_eq!(seen(json!({}), 1, 3), "DaemonSet n/x: 1 of 3 pods are updated");
        assert_eq!(seen(json!({}), 3, 2), "DaemonSet n/x: 2 of 3 pods are available");
        assert_eq!(seen(json!({}), 3, 3), "done");
        assert_eq!(seen(json!({ "updateStrategy": { "type": "OnDelete" } }), 0, 3), "done");
    }

    #[test]
    fn a_stateful_set_is_rolled_out_up_to_its_partition() {
        let seen = |spec: Json, ready: i32, updated: i32, revision: &str| {
            let status = json!({ "observedGeneration": 2, "replicas": 3, "readyReplicas": ready, "updatedReplicas": updated,
                "currentRevision": "a", "updateRevision": revision });
            let mut spec = spec;
            spec["replicas"] = json!(3);
            stateful_set(&of(spec, status)).unwrap_or("done".into())
        };
        let partition = json!({ "updateStrategy": { "rollingUpdate": { "partition": 1 } } });
        assert_eq!(seen(json!({}), 2, 3, "a"), "StatefulSet n/x: 2 of 3 pods are ready");
        assert_eq!(seen(json!({}), 3, 1, "b"), "StatefulSet n/x: 1 of 3 pods are updated");
        assert_eq!(seen(partition.clone(), 3, 1, "b"), "StatefulSet n/x: 1 of 2 pods are updated");
        assert_eq!((seen(partition, 3, 2, "b"), seen(json!({}), 3, 3, "a")), ("done".into(), "done".into()));
    }
}

//! F26: a pod on the node is under a disruption budget that never allows its eviction, so a drain waits
//! for ever.

use serde_json::json;

use super::{Entry, Kind};
use crate::world::World;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::Budget,
    code: "F26",
    meaning: "a pod on the node has a disruption budget that never allows its eviction",
    symptom: "Cannot evict pod as it would violate the pod's disruption budget.",
};

/// Puts the pod and its budget into the world.
pub(super) fn strike(world: &mut World, node: &str) {
    if !world.nodes.contains_key(node) {
        return;
    }
    let name = format!("stubborn-{node}");
    let labels = json!({"app": name});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "replicas": 1, "serviceName": name, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "stubborn:1"}]}},
        },
        "status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "currentReplicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    });
    let uid = world.store.insert("statefulsets", set).map(|set| set["metadata"]["uid"].clone());
    let stamp = world.clock.stamp();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": stamp});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{name}-0"), "namespace": "default", "labels": labels,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"nodeName": node, "containers": [{"name": "app", "image": "stubborn:1"}], "terminationGracePeriodSeconds": 30},
        "status": {
            "phase": "Running",
            "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
            "containerStatuses": [{"name": "app", "image": "stubborn:1", "imageID": "", "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": stamp}}, "lastState": {}}],
            "startTime": stamp,
        },
    });
    world.store.insert("pods", pod);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": labels}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    });
    world.store.insert("poddisruptionbudgets", budget);
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn a_pod_of_the_node_is_under_a_budget_that_allows_nothing() {
        tell(&["F26@w1"], |s| async move {
            s.world(|w| {
                let pod = w.store.get("pods", "default", "stubborn-w1-0").unwrap();
                let budget = w.store.get("poddisruptionbudgets", "default", "stubborn-w1").unwrap();
                assert_eq!(pod["spec"]["nodeName"], "w1");
                assert_eq!(pod["metadata"]["labels"], budget["spec"]["selector"]["matchLabels"]);
                assert_eq!(budget["status"]["disruptionsAllowed"], 0);
            });
        });
    }

    #[test]
    fn its_eviction_is_refused_for_ever() {
        tell(&["F26@w1"], |s| async move {
            let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
                kube::Api::default_namespaced(s.cluster.client());
            for _ in 0..3 {
                let refused =
                    pods.evict("stubborn-w1-0", &kube::api::EvictParams::default()).await.unwrap_err();
                let kube::Error::Api(status) = refused else { panic!("{refused}") };
                assert_eq!((status.code, status.message.as_str()), (429, super::ENTRY.symptom));
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            }
            assert!(s.world(|w| w.store.get("pods", "default", "stubborn-w1-0").is_some()));
        });
    }
}

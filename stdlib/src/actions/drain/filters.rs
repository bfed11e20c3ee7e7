//! What of a node's pods a drain evicts, what it leaves, and what stops it: kubectl's filters in
//! kubectl's order and words. The first filter that says "do not delete" ends the chain for a pod.

use std::collections::{BTreeMap, BTreeSet};

use engine::event::Failure;
use k8s_openapi::api::core::v1::Pod;

use crate::api;

/// What the playbook allows beyond what is always allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allow {
    /// Pods whose data in an emptyDir goes with them.
    pub(crate) emptydir: bool,
    /// Pods that no controller brings back.
    pub(crate) unmanaged: bool,
}

/// What becomes of the pods of a node.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// These are evicted.
    pub(crate) evict: Vec<Pod>,
    /// These stay: pods of a DaemonSet, and static pods.
    pub(crate) stay: Vec<Pod>,
    /// These must not be evicted, by the reason.
    refused: BTreeMap<String, Vec<String>>,
}

const LOCAL_STORAGE: &str = "cannot delete Pods with local storage (use --delete-emptydir-data to override)";
const UNMANAGED: &str = "cannot delete Pods that declare no controller (use --force to override)";

enum Verdict {
    Evict,
    Stay,
    Refuse(String),
}

impl Sorted {
    /// Sorts the pods of a node. `daemon_sets` are the `namespace/name` of all that exist.
    pub(crate) fn new(pods: Vec<Pod>, daemon_sets: &BTreeSet<String>, allow: Allow) -> Sorted {
        let mut sorted = Sorted::default();
        for pod in pods {
            match verdict(&pod, daemon_sets, allow) {
                Verdict::Evict => sorted.evict.push(pod),
                Verdict::Stay => sorted.stay.push(pod),
                Verdict::Refuse(why) => {
                    sorted.refused.entry(why).or_default().push(api::full_name(&pod.metadata));
                }
            }
        }
        sorted
    }

    /// Fails if there is one pod that must not be evicted: then nothing on the node is.
    pub(crate) fn whole(self) -> Result<Sorted, Failure> {
        if self.refused.is_empty() {
            return Ok(self);
        }
        let line = |(why, pods): (&String, &Vec<String>)| format!("{why}: {}", pods.join(", "));
        let text = self.refused.iter().map(line).collect::<Vec<_>>().join("; ");
        let mut hints = Vec::new();
        if self.refused.contains_key(LOCAL_STORAGE) {
            hints.push("`emptydir=delete` gives their data up");
        }
        if self.refused.keys().any(|why| why != LOCAL_STORAGE) {
            hints.push("`unmanaged=delete` deletes pods that nothing brings back");
        }
        Err(Failure::last(text).with_hint(hints.join("; ")))
    }
}

fn verdict(pod: &Pod, daemon_sets: &BTreeSet<String>, allow: Allow) -> Verdict {
    let owner = api::controller(&pod.metadata);
    let finished = api::is_finished(pod);
    // Only the DaemonSet of the apps group: other operators have kinds of the same name.
    if let Some(owner) =
        owner.filter(|owner| owner.kind == "DaemonSet" && owner.api_version.starts_with("apps/"))
        && !finished
    {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        if daemon_sets.contains(&format!("{namespace}/{}", owner.name)) {
            return Verdict::Stay;
        }
        if !allow.unmanaged {
            return Verdict::Refuse(format!("daemonsets.apps \"{}\" not found", owner.name));
        }
    }
    if api::is_static(pod) {
        return Verdict::Stay;
    }
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    if !finished && !allow.emptydir && volumes.iter().any(|volume| volume.empty_dir.is_some()) {
        return Verdict::Refuse(LOCAL_STORAGE.to_string());
    }
    if !finished && !allow.unmanaged && owner.is_none() {
        return Verdict::Refuse(UNMANAGED.to_string());
    }
    Verdict::Evict
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    const BOTH: Allow = Allow { emptydir: true, unmanaged: true };

    fn pod(owner: &str, phase: &str, emptydir: bool, mirror: bool) -> Pod {
        let owners = match owner {
            "" => json!([]),
            kind => {
                json!([{ "apiVersion": "apps/v1", "kind": kind, "name": "web", "uid": "u", "controller": true }])
            }
        };
        let volumes = if emptydir { json!([{ "name": "tmp", "emptyDir": {} }]) } else { json!([]) };
        let annotations = if mirror { json!({ "kubernetes.io/config.mirror": "h" }) } else { json!({}) };
        let pod: Json = json!({
            "metadata": { "namespace": "shop", "name": "web-1", "ownerReferences": owners, "annotations": annotations },
            "spec": { "volumes": volumes, "containers": [] },
            "status": { "phase": phase },
        });
        serde_json::from_value(pod).unwrap()
    }

    fn judge(pod: Pod, allow: Allow) -> String {
        let sorted = Sorted::new(vec![pod], &BTreeSet::from(["shop/web".to_string()]), allow);
        match sorted.whole() {
            Ok(sorted) if sorted.evict.len() == 1 => "evict".to_string(),
            Ok(sorted) => format!("{} stays", sorted.stay.len()),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn the_filters_say_what_kubectl_says() {
        let none = Allow::default();
        assert_eq!(judge(pod("ReplicaSet", "Running", false, false), none), "evict");
        assert_eq!(judge(pod("DaemonSet", "Running", true, false), none), "1 stays");
        assert_eq!(judge(pod("DaemonSet", "Failed", true, false), none), "evict");
        assert_eq!(judge(pod("", "Running", true, true), none), "1 stays");
        assert_eq!(judge(pod("", "Running", false, false), none), format!("{UNMANAGED}: shop/web-1"));
        assert_eq!(
            judge(pod("ReplicaSet", "Running", true, false), none),
            format!("{LOCAL_STORAGE}: shop/web-1")
        );
        assert_eq!(judge(pod("", "Succeeded", true, false), none), "evict");
        assert_eq!(judge(pod("", "Running", true, false), BOTH), "evict");
    }

    #[test]
    fn the_pod_of_a_daemon_set_that_is_gone_is_refused_or_evicted() {
        let judge = |allow| {
            Sorted::new(vec![pod("DaemonSet", "Running", false, false)], &BTreeSet::new(), allow).whole()
        };
        assert_eq!(
            judge(Allow::default()).unwrap_err().message,
            "daemonsets.apps \"web\" not found: shop/web-1"
        );
        assert_eq!(judge(BOTH).unwrap().evict.len(), 1);
    }
}

//! Pods and nodes in short: what the controllers count again and again without reading JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::api::{Change, ChangeKind, Key};
use crate::pod;

/// All pods and nodes in short.
#[derive(Default)]
pub(super) struct Facts {
    /// Pods by namespace and name.
    pub(super) pods: BTreeMap<Key, Arc<Pod>>,
    /// The same pods by the uid of the owner that controls them.
    owned: BTreeMap<String, BTreeMap<Key, Arc<Pod>>>,
    /// Nodes by name.
    pub(super) nodes: BTreeMap<String, Node>,
    /// Pods without a node.
    pub(super) unbound: BTreeSet<Key>,
}

/// A pod in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) ready: bool,
    pub(super) terminating: bool,
    pub(super) finished: bool,
    pub(super) node: String,
    pub(super) owner: String,
    /// The revision of the template that it was made of.
    pub(super) revision: String,
    /// The GPUs that it asks for.
    pub(super) gpu: u64,
}

/// A node in short.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) cordoned: bool,
    pub(super) taints: Vec<Value>,
    pub(super) labels: Value,
    pub(super) room: usize,
    pub(super) gpu: u64,
}

impl Facts {
    /// Takes in a change of a pod. Returns whether a budget could care.
    pub(super) fn pod_changed(&mut self, change: &Change) -> bool {
        let object = &change.object;
        let key = (pod::namespace(object).to_string(), pod::name(object).to_string());
        let old = if change.kind == ChangeKind::Deleted {
            self.pods.remove(&key)
        } else {
            self.pods.insert(key.clone(), Arc::new(Pod::of(object)))
        };
        let new = self.pods.get(&key);
        if let Some(old) = &old
            && new.is_none_or(|new| new.owner != old.owner)
            && let Some(pods) = self.owned.get_mut(&old.owner)
        {
            pods.remove(&key);
        }
        let waits = new.is_some_and(|p| p.node.is_empty() && !p.terminating && !p.finished);
        let changed = old.as_ref() != new;
        if let Some(new) = new {
            self.owned.entry(new.owner.clone()).or_default().insert(key.clone(), new.clone());
        }
        if waits {
            self.unbound.insert(key);
        } else {
            self.unbound.remove(&key);
        }
        changed
    }

    /// Takes in a change of a node. Returns whether the scheduler could care.
    pub(super) fn node_changed(&mut self, change: &Change) -> bool {
        let name = pod::name(&change.object).to_string();
        if change.kind == ChangeKind::Deleted {
            return self.nodes.remove(&name).is_some();
        }
        let new = Node::of(&change.object);
        let changed = self.nodes.get(&name) != Some(&new);
        self.nodes.insert(name, new);
        changed
    }

    /// Returns the pods that an owner controls.
    pub(super) fn owned(&self, uid: &str) -> impl Iterator<Item = (&Key, &Pod)> {
        self.owned.get(uid).into_iter().flatten().map(|(key, pod)| (key, &**pod))
    }
}

impl Pod {
    fn of(object: &Value) -> Pod {
        let labels = &object["metadata"]["labels"];
        let revision = labels["controller-revision-hash"].as_str().or(labels["pod-template-hash"].as_str());
        let containers = object["spec"]["containers"].as_array();
        Pod {
            ready: pod::ready(object),
            terminating: pod::terminating(object),
            finished: pod::finished(object),
            node: pod::node(object).to_string(),
            owner: pod::controller(object).and_then(|o| o["uid"].as_str()).unwrap_or("").to_string(),
            revision: revision.unwrap_or("").to_string(),
            gpu: containers.into_iter().flatten().map(|c| gpus(&c["resources"]["limits"])).sum(),
        }
    }

    /// Returns whether it counts as one of its owner's replicas.
    pub(super) fn active(&self) -> bool {
        !self.terminating && !self.finished
    }
}

impl Node {
    fn of(object: &Value) -> Node {
        let allocatable = &object["status"]["allocatable"];
        Node {
            cordoned: object["spec"]["unschedulable"] == true,
            taints: object["spec"]["taints"].as_array().cloned().unwrap_or_default(),
            labels: object["metadata"]["labels"].clone(),
            room: allocatable["pods"].as_str().and_then(|p| p.parse().ok()).unwrap_or(110),
            gpu: gpus(allocatable),
        }
    }
}

fn gpus(quantities: &Value) -> u64 {
    quantities["nvidia.com/gpu"].as_str().and_then(|n| n.parse().ok()).unwrap_or(0)
}

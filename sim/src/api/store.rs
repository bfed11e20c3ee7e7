//! The objects of the API with their versions, and the log of changes that watches read. Objects are
//! JSON values by plural resource, namespace and name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::random::Random;

/// How many changes a watch may lie behind before it is told 410.
const LOG: usize = 20_000;

/// Namespace (empty for cluster-wide objects) and name.
pub type Key = (String, String);

/// What the API has stored.
pub struct Store {
    objects: BTreeMap<String, BTreeMap<Key, Arc<Value>>>,
    /// Pods by `spec.nodeName`; pods without one are under the empty name.
    pods: BTreeMap<String, BTreeSet<Key>>,
    revision: u64,
    log: VecDeque<Change>,
    changed: watch::Sender<u64>,
    random: Random,
    clock: Clock,
}

/// What is stored at some moment.
#[derive(Clone, Default)]
pub struct Image(BTreeMap<String, BTreeMap<Key, Arc<Value>>>);

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The plural resource, such as `pods`.
    pub resource: String,
    /// The object after the change; of a removal its last state, with the new version.
    pub object: Arc<Value>,
    /// The object before it.
    pub before: Option<Arc<Value>>,
    /// The version that the change gave.
    pub revision: u64,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is another.
    Modified,
    /// It is gone.
    Deleted,
}

impl Store {
    /// Makes an empty store.
    pub fn new(clock: Clock, seed: u64) -> Store {
        Store {
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            revision: 1,
            log: VecDeque::new(),
            changed: watch::Sender::new(1),
            random: Random::new(seed ^ 0x75_6964),
            clock,
        }
    }

    /// Returns an object.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(resource)?.get(&key(namespace, name))
    }

    /// Returns all objects of a resource, by namespace and name.
    pub fn list(&self, resource: &str) -> impl Iterator<Item = &Arc<Value>> {
        self.objects.get(resource).into_iter().flat_map(|all| all.values())
    }

    /// Returns the objects of a resource in a namespace, by name.
    pub fn list_in(&self, resource: &str, namespace: &str) -> impl Iterator<Item = &Arc<Value>> {
        let from = key(namespace, "");
        let namespace = namespace.to_string();
        self.objects
            .get(resource)
            .into_iter()
            .flat_map(move |all| all.range(from.clone()..))
            .take_while(move |((ns, _), _)| *ns == namespace)
            .map(|(_, object)| object)
    }

    /// Returns the pods of a node, by namespace and name; those of no node under the empty name.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Arc<Value>> {
        let all = self.objects.get("pods");
        self.pods.get(node).into_iter().flatten().filter_map(move |key| all?.get(key))
    }

    /// Counts the pods of a node.
    pub fn count_on(&self, node: &str) -> usize {
        self.pods.get(node).map_or(0, BTreeSet::len)
    }

    /// Stores a new object, with its uid, version and time of creation; `None` if its name is taken.
    pub fn insert(&mut self, resource: &str, mut object: Value) -> Option<Arc<Value>> {
        let key = key_of(&object);
        if self.objects.get(resource).is_some_and(|all| all.contains_key(&key)) {
            return None;
        }
        let meta = &mut object["metadata"];
        if meta["uid"].is_null() {
            meta["uid"] = json!(self.random.uuid());
        }
        if meta["creationTimestamp"].is_null() {
            meta["creationTimestamp"] = json!(self.clock.stamp());
        }
        if has_generation(resource) {
            meta["generation"] = json!(1);
        }
        Some(self.put(ChangeKind::Added, resource, key, object, None))
    }

    /// Changes an object; `None` if there is none. A change that changes nothing is none, as in the real one.
    pub fn update(
        &mut self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Option<Arc<Value>> {
        let key = key(namespace, name);
        let before = self.objects.get(resource)?.get(&key)?.clone();
        let mut object = (*before).clone();
        change(&mut object);
        if object == *before {
            return Some(before);
        }
        if has_generation(resource) && object["spec"] != before["spec"] {
            let generation = before["metadata"]["generation"].as_u64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        Some(self.put(ChangeKind::Modified, resource, key, object, Some(before)))
    }

    /// Removes an object and returns its last state.
    pub fn remove(&mut self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = key(namespace, name);
        let before = self.objects.get_mut(resource)?.remove(&key)?;
        if resource == "pods"
            && let Some(pods) = self.pods.get_mut(node_of(&before))
        {
            pods.remove(&key);
        }
        let object = (*before).clone();
        Some(self.record(ChangeKind::Deleted, resource, object, Some(before)))
    }

    /// Returns what is stored now.
    pub fn image(&self) -> Image {
        Image(self.objects.clone())
    }

    /// Stores what was stored once: what came since goes, what went comes back. Versions go on, as after a
    /// restore that raises the revision.
    pub fn restore(&mut self, image: &Image) {
        let all = |objects: &BTreeMap<String, BTreeMap<Key, Arc<Value>>>| -> Vec<(String, Key)> {
            let of = |(resource, all): (&String, &BTreeMap<Key, Arc<Value>>)| {
                all.keys().map(|key| (resource.clone(), key.clone())).collect::<Vec<_>>()
            };
            objects.iter().flat_map(of).collect()
        };
        for (resource, key) in all(&self.objects) {
            if image.0.get(&resource).is_none_or(|objects| !objects.contains_key(&key)) {
                self.remove(&resource, &key.0, &key.1);
            }
        }
        for (resource, key) in all(&image.0) {
            let Some(object) = image.0.get(&resource).and_then(|objects| objects.get(&key)) else { continue };
            let now = self.get(&resource, &key.0, &key.1).cloned();
            let kind = match &now {
                Some(now) if now == object => continue,
                Some(_) => ChangeKind::Modified,
                None => ChangeKind::Added,
            };
            self.put(kind, &resource, key, (**object).clone(), now);
        }
    }

    /// Returns the newest version.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the changes after a version, oldest first; `None` if the log no longer reaches so far back.
    pub fn changes_after(&self, revision: u64) -> Option<impl Iterator<Item = &Change>> {
        let skip = usize::try_from(revision.checked_sub(self.oldest())?).ok()?;
        Some(self.log.iter().skip(skip))
    }

    /// Returns the oldest version from which changes can still be told.
    pub fn oldest(&self) -> u64 {
        self.revision - self.log.len() as u64
    }

    /// Returns a channel that carries the newest version.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn put(
        &mut self,
        kind: ChangeKind,
        resource: &str,
        key: Key,
        object: Value,
        before: Option<Arc<Value>>,
    ) -> Arc<Value> {
        if resource == "pods" {
            if let Some(before) = &before
                && node_of(before) != node_of(&object)
                && let Some(pods) = self.pods.get_mut(node_of(before))
            {
                pods.remove(&key);
            }
            self.pods.entry(node_of(&object).to_string()).or_default().insert(key.clone());
        }
        let object = self.record(kind, resource, object, before);
        self.objects.entry(resource.to_string()).or_default().insert(key, object.clone());
        object
    }

    /// Invariant: every change has its own version and its own log entry, so the log is indexed by version.
    fn record(
        &mut self,
        kind: ChangeKind,
        resource: &str,
        mut object: Value,
        before: Option<Arc<Value>>,
    ) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let object = Arc::new(object);
        self.log.push_back(Change {
            kind,
            resource: resource.to_string(),
            object: object.clone(),
            before,
            revision: self.revision,
        });
        if self.log.len() > LOG {
            self.log.pop_front();
        }
        self.changed.send_replace(self.revision);
        object
    }
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_string(), name.to_string())
}

fn key_of(object: &Value) -> Key {
    let meta = &object["metadata"];
    key(meta["namespace"].as_str().unwrap_or(""), meta["name"].as_str().unwrap_or(""))
}

fn node_of(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or("")
}

/// Nodes and namespaces have no generation; that of pods (1.34) nobody here reads.
fn has_generation(resource: &str) -> bool {
    matches!(
        resource,
        "daemonsets" | "deployments" | "replicasets" | "statefulsets" | "poddisruptionbudgets" | "jobs"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"nodeName": node}})
    }

    #[test]
    fn changes_have_versions_and_pods_are_found_by_node() {
        crate::runtime().block_on(async {
            let mut store = Store::new(Clock::start(), 1);
            let start = store.revision();
            assert!(store.insert("pods", pod("a", "w1")).is_some());
            assert!(store.insert("pods", pod("a", "w1")).is_none(), "the name is taken");
            store.update("pods", "shop", "a", |p| p["spec"]["nodeName"] = json!("w2"));
            store.update("pods", "shop", "a", |_| ());
            assert_eq!((store.count_on("w1"), store.count_on("w2")), (0, 1));
            store.remove("pods", "shop", "a");
            assert_eq!(store.pods_on("w2").count(), 0);
            let kinds: Vec<ChangeKind> = store.changes_after(start).unwrap().map(|c| c.kind).collect();
            assert_eq!(kinds, [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]);
        });
    }

    #[test]
    fn what_was_stored_once_is_stored_again_under_new_versions() {
        crate::runtime().block_on(async {
            let mut store = Store::new(Clock::start(), 1);
            store.insert("pods", pod("a", "w1"));
            store.insert("pods", pod("b", "w1"));
            let (image, before) = (store.image(), store.revision());
            store.remove("pods", "shop", "a");
            store.update("pods", "shop", "b", |p| p["spec"]["nodeName"] = json!("w2"));
            store.insert("pods", pod("c", "w2"));
            store.restore(&image);
            let names: Vec<&str> =
                store.pods_on("w1").filter_map(|p| p["metadata"]["name"].as_str()).collect();
            assert_eq!((names, store.count_on("w2")), (vec!["a", "b"], 0));
            assert!(store.revision() > before);
        });
    }

    #[test]
    fn a_spec_that_changes_has_a_new_generation() {
        crate::runtime().block_on(async {
            let mut store = Store::new(Clock::start(), 1);
            store
                .insert("deployments", json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {}}));
            store.update("deployments", "shop", "web", |d| d["status"] = json!({"replicas": 1}));
            let web =
                store.update("deployments", "shop", "web", |d| d["spec"]["replicas"] = json!(2)).unwrap();
            assert_eq!(web["metadata"]["generation"], 2);
        });
    }
}

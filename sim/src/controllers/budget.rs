//! The disruption controller: the status of every PodDisruptionBudget.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Touched;
use super::facts::Facts;
use crate::api::{Change, ChangeKind, Key, selects};
use crate::pod;
use crate::world::World;

/// The pods that each budget selects, counted as they change: a budget may select thousands, and is
/// asked after every one of them.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<Key, Claim>);

/// What one budget selects.
#[derive(Default)]
struct Claim {
    selector: Value,
    pods: BTreeMap<String, Member>,
    healthy: i64,
    /// Pods that no workload controls.
    alone: i64,
    /// How many pods there are of each workload, by resource and name.
    owners: BTreeMap<(String, String), i64>,
}

struct Member {
    healthy: bool,
    owner: Option<(String, String)>,
}

impl Claims {
    /// Takes in a change of a pod, and notes the budgets that select it if it matters to them.
    pub(super) fn pod_changed(&mut self, change: &Change, matters: bool, touched: &mut Touched) {
        let object = &change.object;
        let namespace = pod::namespace(object);
        let from = (namespace.to_string(), String::new());
        for ((_, name), claim) in self.0.range_mut(from..).take_while(|((ns, _), _)| ns == namespace) {
            if claim.take(object, change.kind != ChangeKind::Deleted) && matters {
                touched.insert(("poddisruptionbudgets".to_string(), namespace.to_string(), name.clone()));
            }
        }
    }

    /// Takes in a change of a budget. The pods that there are now may be newer than the change; what
    /// the log tells of them later comes to the same.
    pub(super) fn budget_changed(&mut self, world: &World, change: &Change) {
        let object = &change.object;
        let key = (pod::namespace(object).to_string(), pod::name(object).to_string());
        if change.kind == ChangeKind::Deleted {
            self.0.remove(&key);
            return;
        }
        let selector = &object["spec"]["selector"];
        if self.0.get(&key).is_some_and(|claim| claim.selector == *selector) {
            return;
        }
        let mut claim = Claim { selector: selector.clone(), ..Claim::default() };
        for pod in world.store.list_in("pods", &key.0) {
            claim.take(pod, true);
        }
        self.0.insert(key, claim);
    }
}

impl Claim {
    /// Counts a pod as it is now. Returns whether the budget selects it, or did.
    fn take(&mut self, object: &Value, exists: bool) -> bool {
        let selected = selects(&self.selector, &object["metadata"]["labels"]);
        let old = self.pods.remove(pod::name(object));
        if let Some(old) = &old {
            self.count(old, -1);
        }
        if selected && exists {
            let healthy = pod::ready(object) && !pod::terminating(object) && !pod::finished(object);
            let owner = pod::controller(object).and_then(|o| {
                let resource = super::workload::resource_of(o["kind"].as_str()?)?;
                Some((resource.to_string(), o["name"].as_str()?.to_string()))
            });
            let new = Member { healthy, owner };
            self.count(&new, 1);
            self.pods.insert(pod::name(object).to_string(), new);
        }
        selected || old.is_some()
    }

    fn count(&mut self, member: &Member, by: i64) {
        self.healthy += if member.healthy { by } else { 0 };
        match &member.owner {
            None => self.alone += by,
            Some(owner) => {
                let pods = self.owners.entry(owner.clone()).or_default();
                *pods += by;
                if *pods == 0 {
                    self.owners.remove(owner);
                }
            }
        }
    }

    /// Returns how many pods there should be: the replicas of the owners, as the real controller asks
    /// their scale.
    fn expected(&self, world: &World, namespace: &str) -> i64 {
        let scale = |(resource, name): &(String, String)| {
            let owner = world.store.get(resource, namespace, name);
            owner.map_or(0, |o| o["spec"]["replicas"].as_i64().unwrap_or(1))
        };
        self.alone + self.owners.keys().map(scale).sum::<i64>()
    }
}

/// Writes what a budget allows.
pub(super) fn catch_up(world: &mut World, facts: &Facts, claims: &Claims, namespace: &str, name: &str) {
    let key = (namespace.to_string(), name.to_string());
    let Some(budget) = world.store.get("poddisruptionbudgets", namespace, name).cloned() else { return };
    let Some(claim) = claims.0.get(&key) else { return };
    let expected = claim.expected(world, namespace);
    let healthy = claim.healthy;
    let desired = desired(&budget["spec"], expected);
    let allowed = (healthy - desired).max(0);
    let now = world.clock.stamp();
    let fact = |name: &str| facts.pods.get(&(namespace.to_string(), name.to_string()));
    world.store.update("poddisruptionbudgets", namespace, name, |b| {
        b["status"]["observedGeneration"] = b["metadata"]["generation"].clone();
        b["status"]["currentHealthy"] = json!(healthy);
        b["status"]["desiredHealthy"] = json!(desired);
        b["status"]["expectedPods"] = json!(expected);
        b["status"]["disruptionsAllowed"] = json!(allowed);
        // A pod that is being deleted, or gone, has been counted by now.
        if let Some(disrupted) = b["status"]["disruptedPods"].as_object_mut() {
            disrupted.retain(|pod, _| fact(pod).is_some_and(|f| f.active()));
        }
        let (status, reason) =
            if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        pod::set_condition(b, "DisruptionAllowed", status, reason, "", &now);
    });
}

/// Returns how many pods must be healthy. Percentages are rounded up, as in the real controller.
fn desired(spec: &Value, expected: i64) -> i64 {
    let scaled = |value: &Value| {
        let percent = value.as_str().and_then(|t| t.strip_suffix('%')).and_then(|t| t.parse::<i64>().ok());
        percent.map_or(value.as_i64(), |p| Some((p * expected + 99) / 100))
    };
    if let Some(unavailable) = scaled(&spec["maxUnavailable"]) {
        return (expected - unavailable).max(0);
    }
    scaled(&spec["minAvailable"]).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_up() {
        assert_eq!(desired(&json!({"minAvailable": "75%"}), 5), 4);
        assert_eq!(desired(&json!({"maxUnavailable": "25%"}), 5), 3);
        assert_eq!(desired(&json!({"maxUnavailable": 1}), 3), 2);
        assert_eq!(desired(&json!({"maxUnavailable": 0}), 1), 1);
    }
}

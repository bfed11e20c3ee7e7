//! The disruption controller: the status of every PodDisruptionBudget.

use serde_json::{Value, json};

use super::Touched;
use super::facts::Facts;
use crate::api::selects;
use crate::pod;
use crate::world::World;

/// Notes the budgets that select a pod.
pub(super) fn touched_by(world: &World, object: &Value, touched: &mut Touched) {
    let namespace = pod::namespace(object);
    for budget in world.store.list_in("poddisruptionbudgets", namespace) {
        if selects(&budget["spec"]["selector"], &object["metadata"]["labels"]) {
            let name = pod::name(budget).to_string();
            touched.insert(("poddisruptionbudgets".to_string(), namespace.to_string(), name));
        }
    }
}

/// Counts the pods of a budget and writes what it allows.
pub(super) fn catch_up(world: &mut World, facts: &Facts, namespace: &str, name: &str) {
    let Some(budget) = world.store.get("poddisruptionbudgets", namespace, name).cloned() else { return };
    let selector = &budget["spec"]["selector"];
    let pods: Vec<&str> = world
        .store
        .list_in("pods", namespace)
        .filter(|p| selects(selector, &p["metadata"]["labels"]))
        .map(|p| pod::name(p))
        .collect();
    let fact = |name: &str| facts.pods.get(&(namespace.to_string(), name.to_string()));
    let healthy = pods.iter().filter(|p| fact(p).is_some_and(|f| f.ready && f.active())).count() as i64;
    let expected = expected(world, namespace, &pods);
    let desired = desired(&budget["spec"], expected);
    let allowed = (healthy - desired).max(0);
    let now = world.clock.stamp();
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

/// Returns how many pods there should be: the replicas of the owners, as the real controller asks their scale.
fn expected(world: &World, namespace: &str, pods: &[&str]) -> i64 {
    let mut owners: std::collections::BTreeMap<(String, String), i64> = std::collections::BTreeMap::new();
    let mut alone = 0;
    for name in pods {
        let Some(object) = world.store.get("pods", namespace, name) else { continue };
        let owner = pod::controller(object).and_then(|o| {
            let resource = super::workload::resource_of(o["kind"].as_str()?)?;
            Some((resource.to_string(), o["name"].as_str()?.to_string()))
        });
        match owner {
            None => alone += 1,
            Some(owner) => {
                owners.entry(owner).or_insert_with_key(|(resource, name)| {
                    let owner = world.store.get(resource, namespace, name);
                    owner.map_or(0, |o| o["spec"]["replicas"].as_i64().unwrap_or(1))
                });
            }
        }
    }
    alone + owners.values().sum::<i64>()
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

//! The scheduler: an unbound pod goes to the node that fits, with the fewest pods of its owner, then
//! the fewest pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::facts::{Facts, Node};
use crate::pod;
use crate::world::World;

/// Binds every unbound pod that fits somewhere; tells the others why not.
pub(super) fn bind_all(world: &mut World, facts: &Facts) {
    // Pods bound in this round, which the facts do not know yet.
    let mut bound: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (namespace, name) in &facts.unbound {
        let Some(object) = world.store.get("pods", namespace, name).cloned() else { continue };
        let fact = &facts.pods[&(namespace.clone(), name.clone())];
        let mut siblings: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, sibling) in facts.owned(&fact.owner) {
            *siblings.entry(&sibling.node).or_default() += 1;
        }
        let fits = |node: &str, n: &Node| {
            let room = world.store.count_on(node) < n.room;
            let gpu = fact.gpu == 0 || used_gpu(facts, node) + fact.gpu <= n.gpu;
            !n.cordoned && room && gpu && tolerates(&object, n) && selects(&object, n)
        };
        let best = facts
            .nodes
            .iter()
            .filter(|(node, n)| fits(node, n))
            .map(|(node, _)| {
                let just_now = bound.get(&(fact.owner.clone(), node.clone())).copied().unwrap_or(0);
                let of_owner = siblings.get(node.as_str()).copied().unwrap_or(0) + just_now;
                (of_owner, world.store.count_on(node), node.clone())
            })
            .min();
        let now = world.clock.stamp();
        match best {
            Some((.., node)) => {
                *bound.entry((fact.owner.clone(), node.clone())).or_default() += 1;
                world.store.update("pods", namespace, name, |p| {
                    p["spec"]["nodeName"] = json!(node);
                    pod::set_condition(p, "PodScheduled", "True", "", "", &now);
                });
            }
            None => {
                let nodes = facts.nodes.len();
                let message = format!("0/{nodes} nodes are available: no node fits the pod.");
                world.store.update("pods", namespace, name, |p| {
                    pod::set_condition(p, "PodScheduled", "False", "Unschedulable", &message, &now);
                });
            }
        }
    }
}

fn used_gpu(facts: &Facts, node: &str) -> u64 {
    facts.pods.values().filter(|p| p.node == node && !p.finished).map(|p| p.gpu).sum()
}

/// Returns whether a pod tolerates all taints of a node that keep pods away.
pub(super) fn tolerates(object: &Value, node: &Node) -> bool {
    let tolerations = object["spec"]["tolerations"].as_array();
    node.taints.iter().filter(|t| t["effect"] != "PreferNoSchedule").all(|taint| {
        tolerations.into_iter().flatten().any(|t| {
            let effect = t["effect"].as_str().is_none_or(|e| e.is_empty() || taint["effect"] == e);
            let key = t["key"].as_str().is_none_or(|k| k.is_empty() || taint["key"] == k);
            let value = t["operator"] == "Exists" || t["value"].as_str() == taint["value"].as_str();
            effect && key && value
        })
    })
}

/// Returns whether a pod's `nodeSelector` selects a node.
pub(super) fn selects(object: &Value, node: &Node) -> bool {
    let wanted = object["spec"]["nodeSelector"].as_object();
    wanted.is_none_or(|wanted| wanted.iter().all(|(k, v)| node.labels[k] == *v))
}

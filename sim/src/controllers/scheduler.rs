//! The scheduler: an unbound pod goes to the node that fits, with the fewest pods of its owner, then
//! the fewest pods.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::facts::{Facts, Node};
use crate::pod;
use crate::world::World;

/// Binds every unbound pod that fits somewhere; tells the others why not.
pub(super) fn bind_all(world: &mut World, facts: &Facts) {
    if facts.unbound.is_empty() {
        return;
    }
    // Everything is counted once a round and kept by the place of the node: a round may bind a thousand pods.
    let nodes: Vec<(&String, &Node)> = facts.nodes.iter().collect();
    let place: BTreeMap<&str, usize> =
        nodes.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
    let mut pods: Vec<usize> = nodes.iter().map(|(name, _)| world.store.count_on(name)).collect();
    let mut gpus = vec![0; nodes.len()];
    for pod in facts.pods.values().filter(|p| p.gpu > 0 && !p.finished) {
        if let Some(i) = place.get(pod.node.as_str()) {
            gpus[*i] += pod.gpu;
        }
    }
    let mut siblings: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (namespace, name) in &facts.unbound {
        let Some(object) = world.store.get("pods", namespace, name).cloned() else { continue };
        let fact = &facts.pods[&(namespace.clone(), name.clone())];
        let of_owner = siblings.entry(&fact.owner).or_insert_with(|| {
            let mut counts = vec![0; nodes.len()];
            for (_, sibling) in facts.owned(&fact.owner) {
                if let Some(i) = place.get(sibling.node.as_str()) {
                    counts[*i] += 1;
                }
            }
            counts
        });
        let best = (0..nodes.len())
            .filter(|i| {
                let node = nodes[*i].1;
                let room = pods[*i] < node.room && (fact.gpu == 0 || gpus[*i] + fact.gpu <= node.gpu);
                !node.cordoned && room && tolerates(&object, node) && selects(&object, node)
            })
            .min_by_key(|i| (of_owner[*i], pods[*i]));
        let now = world.clock.stamp();
        let Some(best) = best else {
            let message = format!("0/{} nodes are available: no node fits the pod.", nodes.len());
            world.store.update("pods", namespace, name, |p| {
                pod::set_condition(p, "PodScheduled", "False", "Unschedulable", &message, &now);
            });
            continue;
        };
        of_owner[best] += 1;
        pods[best] += 1;
        gpus[best] += fact.gpu;
        world.store.update("pods", namespace, name, |p| {
            p["spec"]["nodeName"] = json!(nodes[best].0);
            pod::set_condition(p, "PodScheduled", "True", "", "", &now);
        });
    }
}

/// Returns whether a pod tolerates all taints of a node that keep pods away.
pub(super) fn tolerates(object: &Value, node: &Node) -> bool {
    if node.taints.is_empty() {
        return true;
    }
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

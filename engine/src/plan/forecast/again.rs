//! Steps that come again in one plan, as those of several hops do: a probe has seen the world before
//! all of them, and what the later one finds is what the one before it leaves.

use std::collections::HashMap;

use dsl::program::Effect;
use dsl::value::Value;

use super::{Index, Places, stands_alone};
use crate::plan::{Plan, Step, StepId};

/// Returns for each step the one before it that brings the same thing on the same node to another version.
pub(super) fn before(plan: &Plan, places: &Places) -> Vec<Option<StepId>> {
    let mut things: HashMap<String, (u32, Option<StepId>)> = HashMap::new();
    let of: Vec<Option<String>> = plan.steps.iter().map(thing).collect();
    for thing in of.iter().flatten() {
        let next = things.len() as u32;
        things.entry(thing.clone()).or_insert((next, None));
    }
    let mut index = Index::new(plan, places, false);
    let mut before = vec![None; plan.steps.len()];
    for id in places.order.iter().copied() {
        let Some((number, last)) = of[id.0 as usize].as_ref().and_then(|thing| things.get_mut(thing)) else {
            continue;
        };
        let differs = |last: &StepId| plan.step(*last).args != plan.step(id).args;
        if index.holds(id, *number) {
            before[id.0 as usize] = last.filter(differs);
        }
        index.note(id, *number);
        *last = Some(id);
    }
    before
}

/// Names what a step brings to a version, if it does: the verb, the node, and the other arguments.
fn thing(step: &Step) -> Option<String> {
    let is_version = |value: &Value| matches!(value, Value::Version(_) | Value::Minor(_));
    let changes = !matches!(step.effect, Effect::Reads | Effect::Decides);
    (changes && step.args.values().any(is_version)).then(|| {
        let other = step.args.iter().filter(|(_, value)| !is_version(value));
        let other: Vec<String> = other.map(|(name, value)| format!("{name}={value}")).collect();
        format!("{} {:?} {}", step.action, step.node, other.join(" "))
    })
}

/// Wants what is done now and will be undone by a wanted step before it; returns whether there is more.
pub(super) fn undone(
    plan: &Plan,
    places: &Places,
    before: &[Option<StepId>],
    counts: &[bool],
    wanted: &mut [bool],
) -> bool {
    let mut more = false;
    for id in places.order.iter().copied() {
        let i = id.0 as usize;
        if !wanted[i]
            && counts[i]
            && stands_alone(plan.step(id))
            && before[i].is_some_and(|b| wanted[b.0 as usize])
        {
            wanted[i] = true;
            more = true;
        }
    }
    more
}

/// Returns for each step that is judged before the run whether something of the cluster has changed
/// by then.
pub(super) fn behind_changes(plan: &Plan, places: &Places, wanted: &[bool]) -> Vec<bool> {
    let mut index = Index::new(plan, places, false);
    let mut behind = vec![false; plan.steps.len()];
    for id in places.order.iter().copied() {
        let step = plan.step(id);
        behind[id.0 as usize] = step.preflight && index.holds(id, 0);
        let changes = match step.effect {
            Effect::ChangesNode | Effect::DisruptsNode | Effect::ChangesCluster => true,
            Effect::Reads | Effect::ChangesHere | Effect::Decides => false,
        };
        if changes && wanted[id.0 as usize] {
            index.note(id, 0);
        }
    }
    behind
}

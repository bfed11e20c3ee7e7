//! A condition, or the set of a loop, is decided when the plan is made. Where it asks a fact that an
//! earlier step of the same plan changes, the answer would be yesterday's.

use std::collections::{HashMap, HashSet};

use super::build::{Draft, finding};
use super::{ScopeId, StepId, claims};

pub(super) fn pass(draft: &mut Draft<'_>) {
    if draft.asked.is_empty() {
        return;
    }
    let before = stages_before(draft);
    // Who changes a fact of a node, in the order of the plan.
    let mut changes: HashMap<(&str, &str), Vec<StepId>> = HashMap::new();
    for id in draft.plan.ids() {
        for claim in &draft.plan.step(id).ensures {
            let Some((fact, node)) = claim.strip_suffix(')').and_then(|claim| claim.split_once('(')) else {
                continue;
            };
            changes.entry((fact, node)).or_default().push(id);
        }
    }
    let mut findings = Vec::new();
    for asked in &draft.asked {
        let is_earlier = |id: &&StepId| {
            let stage = draft.stage(draft.plan.step(**id).scope);
            match stage == asked.stage {
                true => (id.0 as usize) < asked.steps,
                false => before[&asked.stage].contains(&stage),
            }
        };
        let changed = asked.facts.iter().find_map(|(node, fact)| {
            let steps = [node.as_str(), claims::ANY].into_iter();
            let mut steps = steps.filter_map(|node| changes.get(&(fact.as_str(), node))).flatten();
            Some((node, fact, *steps.find(is_earlier)?))
        });
        if let Some((node, fact, step)) = changed {
            let verb = &draft.plan.step(step).action;
            let text = format!("this asks the `{fact}` of {node}, which `{verb}` changes before");
            let hints = [
                "what is asked here is answered when the plan is made, before any step",
                "ask by what no step changes, or in a playbook of its own that is run afterwards",
            ];
            findings.push(finding("K0605", Some(asked.span), text, "answered before the run", &hints));
        }
    }
    findings.into_iter().for_each(|finding| draft.find(finding));
}

/// Returns for each stage those that must be done before it begins.
fn stages_before(draft: &Draft<'_>) -> HashMap<ScopeId, HashSet<ScopeId>> {
    let stages = &draft.program.stages;
    let mut before: Vec<HashSet<usize>> = vec![HashSet::new(); stages.len()];
    // A stage may wait for one that stands below it: as long as anything is learned, there is more.
    loop {
        let mut more = false;
        for (i, stage) in stages.iter().enumerate() {
            for after in &stage.after {
                let after = after.0 as usize;
                let known: Vec<usize> = before[after].iter().copied().chain([after]).collect();
                for stage in known {
                    more |= before[i].insert(stage);
                }
            }
        }
        if !more {
            break;
        }
    }
    let scope = |i: usize| draft.stages[i];
    before.iter().enumerate().map(|(i, all)| (scope(i), all.iter().map(|i| scope(*i)).collect())).collect()
}

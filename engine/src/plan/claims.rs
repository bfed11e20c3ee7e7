//! Grounds what verbs say of themselves: `drained(node)` in a header becomes `drained(w1)` in the
//! plan.

use dsl::diagnostic::Diagnostic;
use dsl::program::Claim;
use dsl::value::Value;

use super::build::Draft;
use super::expand::changes_node;

/// What a fact is about when it is about no node in particular: any of them.
pub(super) const ANY: &str = "*";

pub(super) fn pass(draft: &mut Draft<'_>) {
    for i in 0..draft.calls.len() {
        let header = &draft.calls[i].task.header;
        let needs = ground(draft, i, &header.needs);
        let follows = ground(draft, i, &header.follows);
        let ends = ground(draft, i, &header.ends);
        let mut ensures = ground(draft, i, &header.ensures);
        let step = &draft.plan.steps[i];
        if let (true, Some(node)) = (changes_node(step.effect), &step.node) {
            let changed = format!("changed({node})");
            if !ensures.contains(&changed) {
                ensures.push(changed);
            }
        }
        let step = &mut draft.plan.steps[i];
        step.needs = needs;
        step.follows = follows;
        step.ends = ends;
        step.ensures = ensures;
    }
}

fn ground(draft: &mut Draft<'_>, call: usize, claims: &[Claim]) -> Vec<String> {
    let mut facts = Vec::with_capacity(claims.len());
    for claim in claims {
        let fact = fact(draft, call, claim);
        facts.extend(draft.keep(fact).flatten());
    }
    facts
}

/// Returns the fact, if the claim holds for these arguments.
fn fact(draft: &Draft<'_>, call: usize, claim: &Claim) -> Result<Option<String>, Diagnostic> {
    let call = &draft.calls[call];
    let here = draft.frames[call.frame].here.as_deref();
    if let Some(when) = &claim.when
        && draft.eval_with(when, &call.args, here)? != Value::Bool(true)
    {
        return Ok(None);
    }
    let mut text = format!("{}(", claim.fact);
    for (i, of) in claim.of.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        match draft.eval_with(of, &call.args, here)? {
            Value::None => text.push_str(ANY),
            Value::Word(word) if word == "any" => text.push_str(ANY),
            value => text.push_str(&value.to_string()),
        }
    }
    text.push(')');
    Ok(Some(text))
}

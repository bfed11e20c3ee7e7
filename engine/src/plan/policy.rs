//! Gives each step its timeout and retries: the nearest policy counts, field by field, and the
//! verb's own header comes last.

use dsl::program::{Policy, Retry};

use super::build::Draft;

/// How long an attempt may take when nobody says.
const TIMEOUT: u64 = 10 * 60 * 1000;

/// How often a step is tried again when nobody says.
const NO_RETRY: Retry = Retry { times: 0, min: 1_000, max: 60_000 };

pub(super) fn pass(draft: &mut Draft<'_>) {
    for i in 0..draft.calls.len() {
        let call = &draft.calls[i];
        let own = &call.task.header.policy;
        let (timeout, retry) = settle(&around(draft, call.policy), own);
        let step = &mut draft.plan.steps[i];
        step.timeout = timeout;
        step.retry = retry;
    }
}

/// Returns the policies from the nearest one outwards.
fn around<'d>(draft: &'d Draft<'_>, nearest: usize) -> Vec<&'d Policy> {
    let mut policies = Vec::new();
    let mut at = Some(nearest);
    while let Some(i) = at {
        policies.push(draft.policies[i].policy);
        at = draft.policies[i].around;
    }
    policies
}

/// Returns the timeout and the retries that count.
pub(super) fn settle(nearest_first: &[&Policy], header: &Policy) -> (u64, Retry) {
    let all = || nearest_first.iter().copied().chain([header]);
    let timeout = all().find_map(|p| p.timeout).unwrap_or(TIMEOUT);
    let retry = all().find_map(|p| p.retry).unwrap_or(NO_RETRY);
    (timeout, retry)
}

//! What the text reporters remember of the events so far: when a step began, what it changes, and
//! what it was last waiting for.

use std::collections::HashMap;

use dsl::value::Value;
use engine::event::{Event, Fired};
use engine::plan::{Plan, ScopeId, ScopeKind, StepId};

use crate::printable::one_line;

/// What is known of the steps under way.
#[derive(Debug, Default)]
pub(super) struct Track {
    began: HashMap<StepId, u64>,
    change: HashMap<StepId, String>,
}

impl Track {
    /// Takes note of an event.
    pub(super) fn note(&mut self, at: u64, event: &Event) {
        match event {
            Event::AttemptStarted(step, _) | Event::UndoStarted { step, .. } => {
                self.began.entry(*step).or_insert(at);
            }
            Event::WorkFound { step, now, then, .. } => {
                self.change.insert(*step, change(now, then));
            }
            Event::RollbackStarted { .. } => self.began.clear(),
            Event::RunStarted
            | Event::RunResumed { .. }
            | Event::ScopeOpened(_)
            | Event::ScopeClosed(_)
            | Event::WhenDecided { .. }
            | Event::StepSkipped(..)
            | Event::WorkBegan { .. }
            | Event::StepWaiting { .. }
            | Event::StepSlow { .. }
            | Event::AttemptFailed { .. }
            | Event::StepDone { .. }
            | Event::StepFailed { .. }
            | Event::UndoRetried { .. }
            | Event::UndoDone(_)
            | Event::UndoFailed(..)
            | Event::StepWaived { .. }
            | Event::RetryAsked { .. }
            | Event::RunAborted { .. }
            | Event::LockTaken { .. }
            | Event::WindowAwaited { .. }
            | Event::ApprovalAsked { .. }
            | Event::ApprovalGiven { .. }
            | Event::ApprovalRefused { .. }
            | Event::HookStarted { .. }
            | Event::HookWaiting { .. }
            | Event::HookEnded { .. }
            | Event::RunPaused(_)
            | Event::Stopping { .. }
            | Event::RunFinished(_) => {}
        }
    }

    /// Returns how long the step has been under way.
    pub(super) fn since(&self, step: StepId, at: u64) -> u64 {
        at.saturating_sub(self.began.get(&step).copied().unwrap_or(at))
    }

    /// Returns what a finished step has done: `v1.33.4 -> v1.34.4`, or what it has seen.
    pub(super) fn outcome(&self, step: StepId, changed: bool, value: &Value) -> String {
        let seen = match value {
            Value::Text(text) => one_line(text),
            Value::None => String::new(),
            other => one_line(&other.to_string()),
        };
        match (changed, self.change.get(&step)) {
            (true, Some(change)) if !change.is_empty() => change.clone(),
            _ => seen,
        }
    }
}

/// Writes a change for people; either side may be empty.
pub(super) fn change(now: &str, then: &str) -> String {
    match (one_line(now), one_line(then)) {
        (now, then) if now.is_empty() => then,
        (now, then) if then.is_empty() => now,
        (now, then) => format!("{now} -> {then}"),
    }
}

/// Returns the stage that a scope is, if it is one.
pub(crate) fn stage(plan: &Plan, scope: ScopeId) -> Option<&str> {
    match &plan.scope(scope).kind {
        ScopeKind::Stage(name) => Some(name),
        ScopeKind::Playbook
        | ScopeKind::Each(_)
        | ScopeKind::Lane { .. }
        | ScopeKind::Task(_)
        | ScopeKind::When(_)
        | ScopeKind::Parallel => None,
    }
}

/// Returns the node of what a hook is about, and the event: `on node done`.
pub(super) fn hook<'p>(plan: &'p Plan, fired: &Fired) -> (Option<&'p str>, String) {
    let node = match (fired.step, &plan.scope(fired.scope).kind) {
        (Some((step, _)), _) => plan.step(step).node.as_deref(),
        (None, ScopeKind::Lane { of, is_node: true }) => Some(of.as_str()),
        (None, _) => None,
    };
    (node, format!("on {}", one_line(&plan.hooks[fired.hook as usize].text)))
}

/// Returns the node whose lane a scope stands in, if it stands in one.
pub(super) fn node(plan: &Plan, scope: ScopeId) -> Option<&str> {
    let around = std::iter::successors(Some(scope), |id| plan.scope(*id).parent);
    let mut lanes = around.filter_map(|id| match &plan.scope(id).kind {
        ScopeKind::Lane { of, is_node: true } => Some(of.as_str()),
        _ => None,
    });
    lanes.next()
}

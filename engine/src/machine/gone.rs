//! A node that leaves the cluster while a run is at work on it, as an autoscaler takes it: what was still to be
//! done there is left out, and counts as no failure. What had been done there has left with it: whoever rolls the run back
//! is told so, and nothing is waited for.

use super::{Machine, Mode};
use crate::event::{Event, Failure};
use crate::plan::StepId;

/// Who leaves out what a node that is gone needs no more.
const BY: &str = "kup";

impl Machine {
    /// Ends an attempt whose node is gone, and leaves out all that was to be done there.
    pub(super) fn node_gone(&mut self, now: u64, step: StepId, attempt: u32, failure: Failure) {
        let plan = self.plan.clone();
        let Some(node) = plan.step(step).node.as_deref() else {
            return self.attempt_failed(now, step, attempt, failure);
        };
        self.clear_limit(step);
        self.emit(now, Event::AttemptFailed { step, attempt, failure, until: now });
        if self.state.mode() != Mode::Going {
            // Whoever goes on with the run finds it gone again.
            return;
        }
        let why = format!("{node} is gone from the cluster");
        let wanted = |id: &StepId| {
            let of = plan.step(*id);
            *id == step || (of.node.as_deref() == Some(node) && of.work.is_wanted())
        };
        for id in plan.ids().filter(wanted) {
            self.waive(now, id, BY.to_string(), why.clone());
        }
    }

    /// Ends the undoing of a step whose node is gone.
    pub(super) fn undone_with_node(&mut self, now: u64, step: StepId) {
        self.clear_limit(step);
        let node = self.plan.step(step).node.clone().unwrap_or_default();
        let why = format!("{node} is gone from the cluster, and what was done there with it");
        self.emit(now, Event::StepWaived { step, by: BY.to_string(), why });
        self.end_undo(now, step, Event::UndoDone(step));
    }
}

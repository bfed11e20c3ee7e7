//! What a step that ran detached has left on its node is removed once its end is on disk, and not before:
//! until then it is the only thing that knows how the work ended.
//!
//! A clean-up is no event, since nothing follows from it. One that was lost with a killed kup is done again
//! by the resumed run, as long as it can have been lost.

use super::{Effect, Machine, StepState};
use crate::event::Event;
use crate::plan::{StepId, Undo};

/// How long a clean-up may take, in milliseconds. What it has not removed by then stays, harmless, until
/// the step's next attempt or the node's next boot.
pub const CLEANING: u64 = 30_000;

impl Machine {
    /// Follows the end of a step, or of its undo, with its clean-up.
    pub(super) fn clean_behind(&mut self, event: &Event) {
        match event {
            Event::StepDone { step, .. } | Event::StepFailed { step, .. } | Event::StepSkipped(step, _) => {
                self.clean(*step, false);
            }
            Event::UndoDone(step) | Event::UndoFailed(step, _) => self.clean(*step, true),
            _ => {}
        }
    }

    /// Repeats the clean-ups that may have been under way when kup ended.
    pub(super) fn clean_again(&mut self, now: u64) {
        for id in self.plan.clone().ids() {
            let record = self.state.step(id);
            let undone = match record.state {
                StepState::Done | StepState::Failed | StepState::Skipped => false,
                StepState::Undone | StepState::UndoFailed => true,
                // What is under way may have to be found.
                StepState::Waiting
                | StepState::Running { .. }
                | StepState::BackingOff { .. }
                | StepState::Undoing { .. } => continue,
            };
            if record.over.is_some_and(|over| now.saturating_sub(over) <= CLEANING) {
                self.clean(id, undone);
            }
        }
    }

    fn clean(&mut self, id: StepId, undone: bool) {
        let (step, record) = (self.plan.step(id), self.state.step(id));
        let attempt = if step.long { record.attempt } else { 0 };
        let undo = match &step.undo {
            Undo::Steps(steps) if undone && steps.iter().any(|undo| undo.long) => record.undo_attempt,
            Undo::Steps(_) | Undo::Nothing | Undo::Itself | Undo::OneWay(_) => 0,
        };
        if attempt > 0 || undo > 0 {
            self.effects.push_back(Effect::Clean { step: id, attempt, undo });
        }
    }
}

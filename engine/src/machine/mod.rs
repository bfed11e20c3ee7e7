//! The machine: pure. Inputs go in, events and effects come out; it has no clock, no runtime and no
//! randomness but its seed.
//!
//! ```text
//! handle(now, input) --decide--> events --apply--> state        now = milliseconds of the run
//!                                  |
//!                                  +--> effects, the shadows of events
//! ```

use dsl::value::Value;

use crate::action::Check;
use crate::event::Failure;
use crate::plan::StepId;

/// What the driver tells the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Begin, or go on after a pause or a crash; `by` is who asked.
    Begin {
        /// Who.
        by: String,
    },
    /// What a probe has shown.
    Probed(StepId, u32, Check),
    /// The action began something that goes on by itself.
    Began(StepId, u32, Value),
    /// The reason for waiting has changed.
    Waiting(StepId, u32, String),
    /// The attempt is done; what it gave back.
    Done(StepId, u32, Value),
    /// The attempt failed.
    Failed(StepId, u32, Failure),
    /// An attempt at undoing is done, or failed.
    Undone(StepId, u32, Result<(), Failure>),
    /// A deadline of `poll_timeout` has passed.
    Tick,
    /// Somebody interrupts; each one is more severe than the last: begin nothing new, end what can
    /// be ended safely, leave at once.
    Interrupt {
        /// Who.
        by: String,
    },
    /// Take back what was done.
    Rollback {
        /// Who.
        by: String,
    },
}

/// What the machine asks the driver to do. An answer names the attempt; answers of older attempts
/// are dropped.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Look whether the step has work: `Action::check`. Answer: `Probed` or `Failed`.
    Probe(StepId, u32),
    /// Begin the work: `Action::start`. Answer: `Began`, `Done` or `Failed`.
    Start {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// What the probe found.
        before: Value,
    },
    /// Follow what was begun: `Action::poll` until it ends. Answers: `Waiting`, then `Done` or `Failed`.
    Follow {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// How to find it.
        handle: Value,
    },
    /// Take the step's change back: `Action::undo`, or the steps of its undo block. Answer: `Undone`.
    Undo {
        /// The step.
        step: StepId,
        /// The attempt at undoing.
        attempt: u32,
        /// What the probe had found.
        before: Value,
    },
    /// Stop waiting for the attempt; its answer will be dropped.
    Cancel(StepId, u32),
}

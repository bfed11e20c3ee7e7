//! Everything that can be told about a run. The journal is a list of these, the machine's state is
//! their fold, and every reader (terminal, JSON, replay) sees the same ones.

use dsl::value::Value;

use crate::plan::{Gate, ScopeId, StepId};

/// Something that happened, or is about to: an event is on disk before its effect begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run began.
    RunStarted,
    /// Somebody continued the run after a pause or a crash.
    RunResumed {
        /// Who.
        by: String,
        /// Why, if they said so.
        why: String,
    },
    /// A scope's first step may begin.
    ScopeOpened(ScopeId),
    /// All of a scope is done.
    ScopeClosed(ScopeId),
    /// One side of a `when` is done or left out; what decided it. It holds for the rest of the run.
    WhenDecided {
        /// The side.
        scope: ScopeId,
        /// Whether its steps are done.
        done: bool,
        /// Why, e.g. `todo.wanted is false`.
        reason: String,
    },
    /// A step will not be performed; why.
    StepSkipped(StepId, String),
    /// An attempt begins: the step is probed first.
    AttemptStarted(StepId, u32),
    /// The probe found work; `before` is what an undo will need. The action is started now.
    WorkFound {
        /// The step.
        step: StepId,
        /// The attempt, from 1.
        attempt: u32,
        /// What is now.
        now: String,
        /// What will be.
        then: String,
        /// What the action must know to take its change back.
        before: Value,
    },
    /// The action has begun something that goes on by itself; the handle finds it again.
    WorkBegan {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// How to find it.
        handle: Value,
    },
    /// The step waits for something; told when the reason changes.
    StepWaiting {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// For what.
        reason: String,
    },
    /// An attempt, or an attempt at undoing, has used half of its time; told once.
    StepSlow {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// When it fails unless it ends before, in milliseconds of the run.
        until: u64,
    },
    /// An attempt failed and another one follows at `until` (milliseconds of the run).
    AttemptFailed {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// When the next one begins.
        until: u64,
    },
    /// The step is done.
    StepDone {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// Whether it changed anything, or found its work done.
        changed: bool,
        /// What it gave back; text for people if the verb only looks.
        value: Value,
    },
    /// The step failed for good.
    StepFailed {
        /// The step.
        step: StepId,
        /// The last attempt.
        attempt: u32,
        /// Why.
        failure: Failure,
    },
    /// The undo of a step begins.
    UndoStarted {
        /// The step whose change is taken back.
        step: StepId,
        /// The attempt at undoing, from 1.
        attempt: u32,
    },
    /// An attempt at undoing failed and another follows at `until`.
    UndoRetried {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// When the next one begins.
        until: u64,
    },
    /// The change was taken back.
    UndoDone(StepId),
    /// The change cannot be taken back.
    UndoFailed(StepId, Failure),
    /// Somebody decided that a step is not to be performed: it is skipped when its turn comes.
    StepWaived {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// Somebody wants a step tried again now, whatever became of it.
    RetryAsked {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// Somebody ended the run for good: it can be taken back, and never goes forward again.
    RunAborted {
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// Somebody took the cluster's lock from whoever had it.
    LockTaken {
        /// Who.
        by: String,
        /// Who had it.
        from: String,
        /// Why.
        why: String,
    },
    /// Something may begin, and waits for its maintenance window. Told again when it opens at another time.
    WindowAwaited {
        /// What waits.
        gate: Gate,
        /// The window, as it was written.
        window: String,
        /// When it opens, as people of its time zone say it.
        opens: String,
    },
    /// Somebody is asked whether a step, a scope or the lanes behind canaries may begin.
    ApprovalAsked {
        /// What waits.
        gate: Gate,
        /// The question.
        question: String,
    },
    /// Somebody said yes.
    ApprovalGiven {
        /// What waited.
        gate: Gate,
        /// Who.
        by: String,
        /// When, as RFC 3339.
        when: String,
        /// Why, if they said so.
        why: String,
    },
    /// Somebody said no: the run holds, and asks again when it is resumed.
    ApprovalRefused {
        /// What waits.
        gate: Gate,
        /// Who.
        by: String,
        /// When, as RFC 3339.
        when: String,
    },
    /// A hook begins. One that was under way when kup died is performed once more.
    HookStarted {
        /// Which hook, and about what.
        fired: Fired,
        /// Why, if the event has a reason.
        reason: String,
        /// What a step gave back, if it is about one that is done.
        output: String,
    },
    /// A hook says wait; told when the reason changes.
    HookWaiting {
        /// Which hook.
        fired: Fired,
        /// For what.
        reason: String,
    },
    /// A hook has come to its end.
    HookEnded {
        /// Which hook.
        fired: Fired,
        /// How.
        end: HookEnd,
    },
    /// The run holds; nothing new begins. What to do is in the text.
    RunPaused(String),
    /// The run takes back what it did, in reverse order.
    RollbackStarted {
        /// Who or what asked.
        by: String,
        /// Why, if they said so.
        why: String,
    },
    /// Nothing new begins, what runs may end.
    Stopping {
        /// Who or what asked.
        by: String,
        /// Why, if they said so.
        why: String,
    },
    /// The run is over.
    RunFinished(Outcome),
}

/// A hook that something has set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Counts what hooks were set off in this run, from 1.
    pub number: u32,
    /// The hook's place in the plan.
    pub hook: u32,
    /// The stage or the lane that it is about; the playbook, if it is about the run.
    pub scope: ScopeId,
    /// The step that it is about, and the attempt.
    pub step: Option<(StepId, u32)>,
}

/// How a hook ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookEnd {
    /// It says go on; what it had to say.
    Went(String),
    /// It says stop; why.
    Stopped(String),
    /// It broke off, which stops nothing; why.
    Broke(String),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is done.
    Done,
    /// It holds, and can be resumed.
    Paused,
    /// It failed, and what it had done was taken back.
    Compensated,
    /// It failed, and something of what it had done is still there.
    Failed,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What may be done about it.
    pub class: Class,
    /// What went wrong: a fragment that can follow "failed:".
    pub message: String,
    /// The end of the output, if a command was run; printable text only.
    pub output: String,
    /// What a person could do next.
    pub hint: String,
}

/// What may be done about a failure. What is not known is never retried blindly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may go away by itself: try again.
    Transient,
    /// Nobody knows whether the change was made: probe, then decide.
    Unknown,
    /// Trying again will not help.
    Final,
}

impl Failure {
    /// Makes a failure that may go away by itself.
    pub fn transient(message: impl Into<String>) -> Failure {
        Failure {
            class: Class::Transient,
            message: message.into(),
            output: String::new(),
            hint: String::new(),
        }
    }

    /// Makes a failure whose effect is not known.
    pub fn unknown(message: impl Into<String>) -> Failure {
        Failure { class: Class::Unknown, ..Failure::transient(message) }
    }

    /// Makes a failure that trying again will not mend.
    pub fn last(message: impl Into<String>) -> Failure {
        Failure { class: Class::Final, ..Failure::transient(message) }
    }

    /// Adds the end of a command's output.
    pub fn with_output(mut self, output: impl Into<String>) -> Failure {
        self.output = output.into();
        self
    }

    /// Adds what a person could do next.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = hint.into();
        self
    }
}

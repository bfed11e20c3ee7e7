//! The machine: pure. Inputs go in, events and effects come out; it has no clock, no runtime and no
//! randomness but its seed.
//!
//! ```text
//! handle(now, input) --decide--> events --apply--> state        now = milliseconds of the run
//!                                  |
//!                                  +--> effects, the shadows of events
//! ```

mod approval;
mod clean;
mod decide;
mod gone;
mod hook;
mod person;
mod results;
mod rollback;
mod state;
mod timers;
mod window;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use dsl::value::Value;

use crate::action::Check;
use crate::event::{Event, Failure, Fired, HookEnd, Outcome};
use crate::plan::{Gate, Plan, ScopeId, StepId, Vertex};

pub use self::clean::CLEANING;
use self::decide::Then;
use self::rollback::{Undoing, Unwind};
pub use self::state::{Mode, OpenHook, Phase, ScopeRecord, State, StepRecord, StepState};
use self::timers::Timers;

/// Runs one plan. The driver's only law: take all events and make them durable before taking the
/// effects.
#[derive(Clone, Debug)]
pub struct Machine {
    plan: Arc<Plan>,
    seed: u64,
    state: State,
    events: VecDeque<Event>,
    effects: VecDeque<Effect>,
    timers: Timers,
    /// What may begin, in the order in which it became free.
    ready: VecDeque<Vertex>,
    /// Whether somebody drives this run: between a `Begin` and the end.
    active: bool,
    /// Steps that run, as far as is known, but whose answers are no longer waited for.
    abandoned: HashSet<StepId>,
    /// How often somebody has interrupted.
    interrupts: u32,
    /// What follows once nothing runs any more.
    then: Then,
    /// The changes that are being taken back: those of failed steps, or the rollback's next one.
    undos: BTreeMap<StepId, Undoing>,
    unwind: Unwind,
    freed: Vec<Vertex>,
    /// What somebody must say yes to, where there is work behind it.
    questions: BTreeMap<Gate, String>,
    /// Those of them that wait for a `when`, by that `when`.
    late: BTreeMap<ScopeId, Vec<Gate>>,
    late_gates: BTreeSet<Gate>,
    /// What has been reached and waits for a late question's answer.
    held: Vec<Vertex>,
    /// Whether somebody is there who can answer while the run goes on.
    attended: bool,
    /// What waits for which maintenance window, where there is work behind it.
    windows: BTreeMap<Gate, String>,
    /// How the windows stand, as the driver has said.
    standings: BTreeMap<String, window::Standing>,
    /// What was reached and waits for a hook.
    parked: Vec<Vertex>,
    /// How the run ends, once its hooks have.
    ending: Option<Outcome>,
    /// Why the run holds or goes back: what hooks are told.
    story: String,
}

impl Machine {
    /// Makes the machine of a run that has not begun.
    pub fn new(plan: Arc<Plan>, seed: u64) -> Machine {
        let late = plan.late_questions();
        Machine {
            state: State::new(&plan),
            questions: plan.questions(),
            late_gates: late.values().flatten().copied().collect(),
            late,
            held: Vec::new(),
            seed,
            events: VecDeque::new(),
            effects: VecDeque::new(),
            timers: Timers::default(),
            ready: VecDeque::new(),
            active: false,
            abandoned: HashSet::new(),
            interrupts: 0,
            then: Then::default(),
            undos: BTreeMap::new(),
            unwind: Unwind::default(),
            freed: Vec::new(),
            attended: false,
            windows: plan.held(),
            standings: BTreeMap::new(),
            parked: Vec::new(),
            ending: None,
            story: String::new(),
            plan,
        }
    }

    /// Says that somebody is there who can answer: a question is waited for then, and no reason to hold.
    pub fn attend(&mut self) {
        self.attended = true;
    }

    /// Makes the machine of a run from its journal: each event with the time it happened at. It
    /// does nothing until it is told to begin, or to roll back.
    pub fn replay(plan: Arc<Plan>, seed: u64, events: impl IntoIterator<Item = (u64, Event)>) -> Machine {
        let mut machine = Machine::new(plan, seed);
        for (now, event) in events {
            machine.apply(now, &event);
        }
        machine
    }

    /// Folds one event of a journal in, as [`Machine::replay`] does.
    pub fn apply(&mut self, now: u64, event: &Event) {
        self.state.apply(&self.plan, now, event, &mut self.freed);
        self.freed.clear();
    }

    /// Takes what happened, at `now` milliseconds of the run.
    pub fn handle(&mut self, now: u64, input: Input) {
        self.decide(now, input);
    }

    /// Returns the next event to make durable.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when to send a [`Input::Tick`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Returns the state: the fold of all events so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

/// What the driver tells the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Begin, or go on after a pause or a crash; `by` is who asked.
    Begin {
        /// Who.
        by: String,
        /// Why, if they said so.
        why: String,
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
    /// The attempt failed, and its node is no longer in the cluster.
    NodeGone(StepId, u32, Failure),
    /// An attempt at undoing is done, or failed.
    Undone(StepId, u32, Result<(), Failure>),
    /// An attempt at undoing failed, and its node is no longer in the cluster.
    UndoneWithNode(StepId, u32),
    /// A hook waits for something.
    HookWaiting(Fired, String),
    /// A hook has come to its end.
    HookEnded(Fired, HookEnd),
    /// A deadline of `poll_timeout` has passed.
    Tick,
    /// Somebody interrupts; each one is more severe than the last: begin nothing new, end what can
    /// be ended safely, leave at once.
    Interrupt {
        /// Who or what.
        by: String,
        /// Why, if they said so.
        why: String,
    },
    /// Take back what was done.
    Rollback {
        /// Who.
        by: String,
        /// Why, if they said so.
        why: String,
    },
    /// Do not perform a step, although the plan wants it.
    Waive {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// Try a step again now. A run that does not go on goes on with this one alone of those that failed.
    Retry {
        /// The step.
        step: StepId,
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// End the run for good; what runs may end, and nothing is taken back.
    Abort {
        /// Who.
        by: String,
        /// Why.
        why: String,
    },
    /// The lock of the cluster was taken from somebody.
    TookLock {
        /// Who took it.
        by: String,
        /// Who had it.
        from: String,
        /// Why.
        why: String,
    },
    /// How a maintenance window stands: told before the run begins, and whenever that changes.
    Window {
        /// The window, as the plan has it.
        window: String,
        /// Whether it is open.
        open: bool,
        /// When it closes, or opens, as people of its time zone say it.
        until: String,
    },
    /// Somebody answers a question that was asked.
    Answer {
        /// What waits for it.
        gate: Gate,
        /// Whether it may begin.
        yes: bool,
        /// Who.
        by: String,
        /// When, as RFC 3339.
        when: String,
        /// Why, if they said so.
        why: String,
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
    /// Remove what the step, and the steps of its undo, have left on their nodes: `Action::clean`, of all
    /// attempts up to these. Nobody waits for it; it makes way for whatever else is wanted of the step.
    Clean {
        /// The step.
        step: StepId,
        /// Its last attempt; 0: it leaves nothing.
        attempt: u32,
        /// The last attempt at undoing; 0: it leaves nothing.
        undo: u32,
    },
    /// Perform a hook. Answers: `HookWaiting`, then `HookEnded`.
    Hook {
        /// Which one.
        fired: Fired,
        /// Why, if the event has a reason.
        reason: String,
        /// What a step gave back.
        output: String,
    },
}

impl Effect {
    /// Returns the step that it is about; a hook is performed beside all steps.
    pub fn step(&self) -> Option<StepId> {
        match self {
            Effect::Probe(step, _) | Effect::Cancel(step, _) | Effect::Clean { step, .. } => Some(*step),
            Effect::Start { step, .. } | Effect::Follow { step, .. } | Effect::Undo { step, .. } => {
                Some(*step)
            }
            Effect::Hook { .. } => None,
        }
    }
}

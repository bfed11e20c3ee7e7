//! All policy of going back: what is taken back, in which order, and what happens when that fails
//! too. A step that failed for good is taken back at once, whatever the run does next; a rollback
//! takes back the rest.
//!
//! A rollback's order is the reverse of the order in which steps came to an end, lane by lane: all of one
//! node is taken back before the next node's turn. One change is taken back at a time.

use std::collections::VecDeque;

use dsl::value::Value;

use super::timers::Timer;
use super::{Effect, Machine, StepState};
use crate::event::{Class, Event, Failure, Outcome};
use crate::plan::{Plan, ScopeId, ScopeKind, StepId, Undo, Vertex};
use crate::retry;

/// A rollback under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwind {
    queue: VecDeque<StepId>,
    failed: Vec<StepId>,
}

/// A change that is being taken back.
#[derive(Clone, Debug)]
pub(super) struct Undoing {
    /// The attempt that its allowance of attempts began with.
    first: u32,
    /// Whether the last attempt ended nobody knows how.
    unknown: bool,
    /// Whether it waits for its next attempt.
    waits: bool,
    /// Whether the step is tried anew afterwards.
    anew: bool,
}

impl Machine {
    /// Begins to take back what was done, unless something of it cannot be.
    pub(super) fn start_unwinding(&mut self, now: u64, by: String, why: String) {
        let plan = self.plan.clone();
        let one_way = plan.ids().find_map(|id| match &plan.step(id).undo {
            Undo::OneWay(why) if self.has_changed(id) => Some((id, why)),
            Undo::OneWay(_) | Undo::Nothing | Undo::Itself | Undo::Steps(_) => None,
        });
        if let Some((id, why)) = one_way {
            let text =
                format!("cannot go back past `{}`: {why}; what was done before is kept", plan.step(id).key);
            self.pause(now, text);
            return;
        }
        // An interrupt before it did not mean the rollback.
        self.interrupts = 0;
        self.emit(now, Event::RollbackStarted { by, why });
        self.plan_unwinding();
        self.unwind(now);
    }

    /// Takes back what a step that failed for good has left half made, if that can be done at all.
    pub(super) fn take_back(&mut self, now: u64, step: StepId) {
        let can = match self.plan.step(step).undo {
            Undo::Itself | Undo::Steps(_) => true,
            Undo::Nothing | Undo::OneWay(_) => false,
        };
        // The first interrupt lets what is in flight come to its end, and this is its end.
        if can && self.has_changed(step) && self.interrupts <= 1 {
            self.start_undo(now, step, false);
        }
    }

    /// Goes on taking back a step that had failed, after a pause or a crash; who resumes a run wants
    /// the step tried anew.
    pub(super) fn go_on_taking_back(&mut self, now: u64, step: StepId) {
        self.start_undo(now, step, true);
    }

    fn start_undo(&mut self, now: u64, step: StepId, anew: bool) {
        let first = self.state.step(step).undo_attempt + 1;
        self.undos.insert(step, Undoing { first, unknown: false, waits: false, anew });
        self.undo(now, step);
    }

    /// Goes on with a rollback after a pause or a crash.
    pub(super) fn resume_unwinding(&mut self) {
        let running = |id: &StepId| matches!(self.state.step(*id).state, StepState::Running { .. });
        self.abandoned = self.plan.ids().filter(running).collect();
        self.plan_unwinding();
    }

    /// Finds what is to be taken back, in order.
    fn plan_unwinding(&mut self) {
        let wanted = self.plan.ids().filter(|id| match self.plan.step(*id).undo {
            Undo::Itself | Undo::Steps(_) => self.has_changed(*id),
            Undo::Nothing | Undo::OneWay(_) => false,
        });
        let ended = wanted.map(|id| {
            let ended = self.state.step(id).ended;
            // What never came to an end is the newest of all.
            (id, if ended == 0 { u32::MAX } else { ended })
        });
        let queue = backwards(&self.plan, ended.collect());
        self.undos.clear();
        self.unwind = Unwind { queue: queue.into(), ..Unwind::default() };
    }

    /// Goes on with the rollback, or ends it.
    pub(super) fn unwind(&mut self, now: u64) {
        if !self.undos.is_empty() {
            return;
        }
        while let Some(id) = self.unwind.queue.pop_front() {
            if self.unwind.failed.iter().any(|failed| stands_behind(&self.plan, id, *failed)) {
                continue;
            }
            self.start_undo(now, id, false);
            return;
        }
        let clean = self.state.undo_failures() == 0;
        self.finish(now, if clean { Outcome::Compensated } else { Outcome::Failed });
    }

    /// Begins the next attempt at taking a step back.
    pub(super) fn undo(&mut self, now: u64, step: StepId) {
        let record = self.state.step(step);
        let (attempt, before) = (record.undo_attempt + 1, record.before.clone());
        if let Some(undoing) = self.undos.get_mut(&step) {
            undoing.waits = false;
        }
        self.abandoned.remove(&step);
        self.emit(now, Event::UndoStarted { step, attempt });
        self.effects.push_back(Effect::Undo { step, attempt, before });
        self.set_limit(now, Timer::UndoTimeout(step), step, undo_limit(&self.plan, step));
    }

    /// Returns whether the answer of this attempt at undoing is waited for.
    pub(super) fn awaits_undo(&self, step: StepId, attempt: u32) -> bool {
        let awaited = self.undos.get(&step).is_some_and(|undoing| !undoing.waits);
        self.active && awaited && self.state.step(step).state == (StepState::Undoing { attempt })
    }

    /// Takes the answer of an attempt at undoing.
    pub(super) fn undone(&mut self, now: u64, step: StepId, attempt: u32, result: Result<(), Failure>) {
        self.clear_limit(step);
        match result {
            Ok(()) => {
                self.end_undo(now, step, Event::UndoDone(step));
            }
            Err(failure) => self.undo_failed(now, step, attempt, failure),
        }
    }

    /// The attempt at undoing has taken too long.
    pub(super) fn undo_timed_out(&mut self, now: u64, step: StepId) {
        let attempt = self.state.step(step).undo_attempt;
        let limit = Value::Duration(undo_limit(&self.plan, step));
        self.effects.push_back(Effect::Cancel(step, attempt));
        self.undo_failed(now, step, attempt, Failure::transient(format!("no end after {limit}")));
    }

    /// Returns whether something is being taken back that is waited for: after an interrupt no next
    /// attempt is.
    pub(super) fn undo_runs(&self) -> bool {
        self.undos.values().any(|undoing| !undoing.waits || self.interrupts == 0)
    }

    fn undo_failed(&mut self, now: u64, step: StepId, attempt: u32, failure: Failure) {
        let policy = &self.plan.step(step).retry;
        let Some(undoing) = self.undos.get_mut(&step) else { return };
        let round = attempt - undoing.first + 1;
        let may = match failure.class {
            Class::Transient => true,
            Class::Unknown => !undoing.unknown,
            Class::Final => false,
        };
        if !may || round > policy.times {
            if self.state.is_unwinding() {
                self.unwind.failed.push(step);
            } else {
                self.then.add(&format!(
                    "`{}` could not be taken back: {}",
                    self.plan.step(step).key,
                    failure.message
                ));
            }
            self.end_undo(now, step, Event::UndoFailed(step, failure));
            return;
        }
        // The high bit keeps the delays of undoing apart from those of doing.
        let wait = retry::delay(policy, self.seed, step, attempt | 1 << 31, round);
        let until = now.saturating_add(wait);
        undoing.unknown = failure.class == Class::Unknown;
        undoing.waits = true;
        self.emit(now, Event::UndoRetried { step, attempt, failure, until });
        if self.interrupts == 0 {
            self.timers.set(Timer::UndoBackoff(step), until);
        }
    }

    pub(super) fn end_undo(&mut self, now: u64, step: StepId, how: Event) {
        let anew = self.undos.remove(&step).is_some_and(|undoing| undoing.anew);
        self.emit(now, how);
        if anew {
            self.ready.push_back(Vertex::Step(step));
        }
    }

    /// Returns whether the world may be different because of this step, and was not taken back.
    fn has_changed(&self, id: StepId) -> bool {
        let record = self.state.step(id);
        match record.state {
            StepState::Done => record.changed,
            StepState::Running { .. } | StepState::BackingOff { .. } | StepState::Failed => {
                record.found && self.plan.step(id).effect != dsl::program::Effect::Reads
            }
            StepState::Undoing { .. } | StepState::UndoFailed => true,
            // Somebody waived it after it had begun.
            StepState::Skipped => record.found && self.plan.step(id).effect != dsl::program::Effect::Reads,
            StepState::Waiting | StepState::Undone => false,
        }
    }
}

/// How long an attempt at undoing may take.
fn undo_limit(plan: &Plan, id: StepId) -> u64 {
    let step = plan.step(id);
    match &step.undo {
        Undo::Steps(steps) => steps.iter().map(|s| s.timeout).fold(0, u64::saturating_add).max(1),
        Undo::Nothing | Undo::Itself | Undo::OneWay(_) => step.timeout,
    }
}

/// Orders steps for undoing: at each scope the element that ended last goes first, as a whole. So
/// lanes are not mixed, and what was built upon is taken back after what was built.
fn backwards(plan: &Plan, steps: Vec<(StepId, u32)>) -> Vec<StepId> {
    // The newest end within each scope; a scope that holds none of the steps is newer than nothing.
    let mut newest = vec![0u32; plan.scopes.len()];
    for (id, ended) in &steps {
        let mut at = Some(plan.step(*id).scope);
        while let Some(scope) = at {
            let slot = &mut newest[scope.0 as usize];
            *slot = (*slot).max(*ended);
            at = plan.scope(scope).parent;
        }
    }
    let mut keyed: Vec<(Vec<(u32, u32)>, StepId)> = steps
        .into_iter()
        .map(|(id, ended)| {
            // From the playbook down to the step: how new each element on the way is, and which.
            let mut path = vec![(ended, id.0)];
            let mut at = Some(plan.step(id).scope);
            while let Some(scope) = at {
                path.push((newest[scope.0 as usize], scope.0));
                at = plan.scope(scope).parent;
            }
            path.reverse();
            (path, id)
        })
        .collect();
    keyed.sort_by(|(a, _), (b, _)| b.cmp(a));
    keyed.into_iter().map(|(_, id)| id).collect()
}

/// Returns whether `earlier` may be what `later` was built upon: they are not in different lanes.
fn stands_behind(plan: &Plan, earlier: StepId, later: StepId) -> bool {
    let path = |id: StepId| {
        let mut path: Vec<ScopeId> = Vec::new();
        let mut at = Some(plan.step(id).scope);
        while let Some(scope) = at {
            path.push(scope);
            at = plan.scope(scope).parent;
        }
        path.reverse();
        path
    };
    let (a, b) = (path(earlier), path(later));
    let common = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    // Both begin with the playbook.
    match plan.scope(a[common - 1]).kind {
        ScopeKind::Each(_) | ScopeKind::Parallel => false,
        ScopeKind::Playbook
        | ScopeKind::Stage(_)
        | ScopeKind::Lane { .. }
        | ScopeKind::Task(_)
        | ScopeKind::When(_) => true,
    }
}

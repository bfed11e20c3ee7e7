//! All policy of a run that goes back: what is taken back, in which order, and what happens when
//! that fails too.
//!
//! The order is the reverse of the order in which steps came to an end, lane by lane: all of one
//! node is taken back before the next node's turn. One change is taken back at a time.

use std::collections::VecDeque;

use dsl::value::Value;

use super::timers::Timer;
use super::{Effect, Machine, StepState};
use crate::event::{Class, Event, Failure, Outcome};
use crate::plan::{Plan, ScopeId, ScopeKind, StepId, Undo};
use crate::retry;

/// A rollback under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwind {
    queue: VecDeque<StepId>,
    current: Option<StepId>,
    /// The attempt that the present step's allowance of attempts began with.
    first: u32,
    /// Whether the last attempt of the present step ended nobody knows how.
    unknown: bool,
    /// Whether the present step waits for its next attempt.
    waits: bool,
    failed: Vec<StepId>,
}

impl Machine {
    /// Begins to take back what was done, unless something of it cannot be.
    pub(super) fn start_unwinding(&mut self, now: u64, by: String) {
        let plan = self.plan.clone();
        let one_way = plan.ids().find_map(|id| match &plan.step(id).undo {
            Undo::OneWay(why) if self.has_changed(id) => Some((id, why)),
            Undo::OneWay(_) | Undo::Nothing | Undo::Itself | Undo::Steps(_) => None,
        });
        if let Some((id, why)) = one_way {
            let text = format!("cannot go back past `{}`: {why}; nothing was taken back", plan.step(id).key);
            self.pause(now, text);
            return;
        }
        self.emit(now, Event::RollbackStarted { by });
        self.plan_unwinding();
        self.unwind(now);
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
        self.unwind = Unwind { queue: queue.into(), ..Unwind::default() };
    }

    /// Goes on with the rollback, or ends it.
    pub(super) fn unwind(&mut self, now: u64) {
        if self.unwind.current.is_some() {
            return;
        }
        while let Some(id) = self.unwind.queue.pop_front() {
            if self.unwind.failed.iter().any(|failed| stands_behind(&self.plan, id, *failed)) {
                continue;
            }
            self.unwind.current = Some(id);
            self.unwind.first = self.state.step(id).undo_attempt + 1;
            self.undo(now, id);
            return;
        }
        let clean = self.state.undo_failures() == 0;
        self.finish(now, if clean { Outcome::Compensated } else { Outcome::Failed });
    }

    /// Begins the next attempt at taking a step back.
    pub(super) fn undo(&mut self, now: u64, step: StepId) {
        let record = self.state.step(step);
        let (attempt, before) = (record.undo_attempt + 1, record.before.clone());
        self.unwind.waits = false;
        self.abandoned.remove(&step);
        self.emit(now, Event::UndoStarted { step, attempt });
        self.effects.push_back(Effect::Undo { step, attempt, before });
        self.timers.set(Timer::UndoTimeout(step), now.saturating_add(undo_limit(&self.plan, step)));
    }

    /// Takes the answer of an attempt at undoing.
    pub(super) fn undone(&mut self, now: u64, step: StepId, attempt: u32, result: Result<(), Failure>) {
        let awaited = self.unwind.current == Some(step) && !self.unwind.waits;
        if !self.active || !awaited || self.state.step(step).state != (StepState::Undoing { attempt }) {
            return;
        }
        self.timers.clear(Timer::UndoTimeout(step));
        match result {
            Ok(()) => {
                self.next_undo();
                self.emit(now, Event::UndoDone(step));
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

    /// Returns whether an answer of an attempt at undoing is waited for.
    pub(super) fn undo_runs(&self) -> bool {
        self.unwind.current.is_some() && !self.unwind.waits
    }

    fn undo_failed(&mut self, now: u64, step: StepId, attempt: u32, failure: Failure) {
        let policy = &self.plan.step(step).retry;
        let round = attempt - self.unwind.first + 1;
        let may = match failure.class {
            Class::Transient => true,
            Class::Unknown => !self.unwind.unknown,
            Class::Final => false,
        };
        if !may || round > policy.times {
            self.next_undo();
            self.unwind.failed.push(step);
            self.emit(now, Event::UndoFailed(step, failure));
            return;
        }
        // The high bit keeps the delays of undoing apart from those of doing.
        let wait = retry::delay(policy, self.seed, step, attempt | 1 << 31, round);
        let until = now.saturating_add(wait);
        self.unwind.unknown = failure.class == Class::Unknown;
        self.unwind.waits = true;
        self.emit(now, Event::UndoRetried { step, attempt, failure, until });
        if self.state.mode() == super::Mode::RollingBack {
            self.timers.set(Timer::UndoBackoff(step), until);
        }
    }

    fn next_undo(&mut self) {
        self.unwind.current = None;
        self.unwind.unknown = false;
        self.unwind.waits = false;
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
            StepState::Waiting | StepState::Skipped | StepState::Undone => false,
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
        ScopeKind::Playbook | ScopeKind::Stage(_) | ScopeKind::Lane { .. } | ScopeKind::Task(_) => true,
    }
}

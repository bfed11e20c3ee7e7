//! What a person may decide against the plan, on a run that goes on and on one that does not: a step is
//! waived or tried again, the run is ended for good, the lock is taken. Each is an event with who and why.

use super::decide::Then;
use super::state::lane_of;
use super::timers::Timer;
use super::{Machine, Mode, StepState};
use crate::event::{Event, Outcome};
use crate::plan::{ScopeId, ScopeKind, StepId, Vertex};

impl Machine {
    /// Returns whether a step's turn may still come, so that somebody can decide about it.
    pub fn is_open(&self, step: StepId) -> bool {
        match self.state.step(step).state {
            StepState::Waiting
            | StepState::BackingOff { .. }
            | StepState::Failed
            | StepState::Undone
            | StepState::UndoFailed => !self.state.is_unwinding(),
            StepState::Running { .. } | StepState::Done | StepState::Skipped | StepState::Undoing { .. } => {
                false
            }
        }
    }

    /// Takes a step out of the run. It keeps its place: what stands behind it still waits for what
    /// stands before it.
    pub(super) fn waive(&mut self, now: u64, step: StepId, by: String, why: String) {
        if !self.is_open(step) || self.state.step(step).waived.is_some() || self.state.is_aborted() {
            return;
        }
        self.decided(now, step, Event::StepWaived { step, by, why });
    }

    /// Tries a step again.
    pub(super) fn retry(&mut self, now: u64, step: StepId, by: String, why: String) {
        let waits = self.state.step(step).state == StepState::Waiting;
        if !self.is_open(step) || waits || self.state.is_aborted() {
            return;
        }
        self.decided(now, step, Event::RetryAsked { step, by: by.clone(), why: why.clone() });
        if !self.active {
            self.begin(now, (by, why), Some(step));
        }
    }

    /// Tells what somebody decided about a step, and lets its turn come at once.
    fn decided(&mut self, now: u64, step: StepId, event: Event) {
        let lane = lane_of(&self.plan, self.plan.step(step).scope);
        let failed = |machine: &Machine| lane.is_some_and(|lane| machine.state.scope(lane).failed);
        let was = failed(self);
        self.emit(now, event);
        if !self.active || self.state.mode() != Mode::Going {
            return;
        }
        if let Some(lane) = lane.filter(|_| was && !failed(self)) {
            self.wake(now, lane);
        }
        // In a lane that stays out of service its own deadline brings it to its end.
        if self.is_out_of_service(self.plan.step(step).scope) {
            return;
        }
        self.timers.clear(Timer::Backoff(step));
        if self.state.is_free(self.plan.step(step).vertex) {
            self.ready.push_back(Vertex::Step(step));
        }
    }

    /// Finds what may begin in a lane that is back in service: while it was not, nobody kept it in mind.
    fn wake(&mut self, now: u64, lane: ScopeId) {
        let plan = self.plan.clone();
        let is_within = |scope: ScopeId| {
            std::iter::successors(Some(scope), |id| plan.scope(*id).parent).any(|id| id == lane)
        };
        for (id, scope) in (0..).map(ScopeId).zip(&plan.scopes).filter(|(id, _)| is_within(*id)) {
            let record = *self.state.scope(id);
            if !record.opened && self.state.is_free(scope.open) {
                self.ready.push_back(Vertex::Open(id));
            } else if record.opened && !record.closed && self.state.is_free(scope.close) {
                self.ready.push_back(Vertex::Close(id));
            }
            if record.opened && matches!(scope.kind, ScopeKind::Each(_)) {
                self.admit(now, id);
            }
        }
        for id in plan.ids().filter(|id| is_within(plan.step(*id).scope)) {
            let step = self.state.step(id);
            if step.state == StepState::Waiting && self.state.is_free(plan.step(id).vertex) {
                self.ready.push_back(Vertex::Step(id));
            }
        }
    }

    /// Ends the run for good.
    pub(super) fn abort(&mut self, now: u64, by: String, why: String) {
        let over = matches!(self.state.mode(), Mode::Finished(Outcome::Done | Outcome::Compensated));
        if over || !self.state.has_begun() || self.state.is_aborted() || self.state.is_unwinding() {
            return;
        }
        self.emit(now, Event::RunAborted { by: by.clone(), why: why.clone() });
        if !self.active {
            // Nothing is begun, and so no hook either.
            self.emit(now, Event::RunFinished(Outcome::Failed));
            return;
        }
        match self.state.mode() {
            Mode::Going => self.stop(now, by, why, Then::Abort),
            Mode::Stopping => self.then = Then::Abort,
            Mode::RollingBack | Mode::Paused | Mode::Finished(_) => {}
        }
    }

    /// Keeps who had the lock before.
    pub(super) fn took_lock(&mut self, now: u64, by: String, from: String, why: String) {
        if self.state.has_begun() {
            self.emit(now, Event::LockTaken { by, from, why });
        }
    }
}

//! All policy of a run that goes forward: what begins, what an answer means, what follows a failure,
//! and how a run comes to its end. Each decision is an event; effects are the shadows of events.

use dsl::program::{Effect as Touches, OnFailure};
use dsl::value::Value;

use super::state::lane_of;
use super::timers::Timer;
use super::{Effect, Input, Machine, Mode, Phase, StepState};
use crate::action::Check;
use crate::event::{Class, Event, Failure, Outcome};
use crate::plan::{Branch, Gate, ScopeId, ScopeKind, StepId, Vertex, Work};
use crate::retry;

/// What follows once nothing runs any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing was asked for.
    #[default]
    Nothing,
    /// The run holds; why.
    Pause(String),
    /// What was done is taken back; who asked, and why.
    Rollback { by: String, why: String },
    /// The run is over.
    Abort,
}

impl Then {
    /// Adds to what is said when the run holds.
    pub(super) fn add(&mut self, more: &str) {
        match self {
            Then::Pause(text) => *text = format!("{text}; {more}"),
            Then::Nothing | Then::Rollback { .. } | Then::Abort => {}
        }
    }
}

impl Machine {
    pub(super) fn decide(&mut self, now: u64, input: Input) {
        match input {
            Input::Begin { by, why } => self.begin(now, (by, why), None),
            Input::Probed(step, attempt, check) => self.probed(now, step, attempt, check),
            Input::Began(step, attempt, handle) => self.began(now, step, attempt, handle),
            Input::Waiting(step, attempt, reason) => self.waiting(now, step, attempt, reason),
            Input::Done(step, attempt, value) => self.done(now, step, attempt, value),
            Input::Failed(step, attempt, failure) => {
                if self.phase(step, attempt).is_some() {
                    self.attempt_failed(now, step, attempt, failure);
                }
            }
            Input::NodeGone(step, attempt, failure) => {
                if self.phase(step, attempt).is_some() {
                    self.node_gone(now, step, attempt, failure);
                }
            }
            Input::Undone(step, attempt, result) => {
                if self.awaits_undo(step, attempt) {
                    self.undone(now, step, attempt, result);
                }
            }
            Input::UndoneWithNode(step, attempt) => {
                if self.awaits_undo(step, attempt) {
                    self.undone_with_node(now, step);
                }
            }
            Input::HookWaiting(fired, reason) => self.hook_waits(now, fired, reason),
            Input::HookEnded(fired, end) => self.hook_ended(now, fired, end),
            Input::Tick => self.tick(now),
            Input::Interrupt { by, why } => self.interrupt(now, by, why),
            Input::Rollback { by, why } => self.roll_back(now, by, why),
            Input::Waive { step, by, why } => self.waive(now, step, by, why),
            Input::Retry { step, by, why } => self.retry(now, step, by, why),
            Input::Abort { by, why } => self.abort(now, by, why),
            Input::TookLock { by, from, why } => self.took_lock(now, by, from, why),
            Input::Window { window, open, until } => self.window(now, window, open, until),
            Input::Answer { gate, yes, by, when, why } => self.answer(now, gate, yes, (by, when, why)),
        }
        self.go_on(now);
    }

    /// Tells an event and folds it in; what it frees waits in line.
    pub(super) fn emit(&mut self, now: u64, event: Event) {
        self.state.apply(&self.plan, now, &event, &mut self.freed);
        self.ready.extend(self.freed.drain(..));
        self.clean_behind(&event);
        let watched = (!self.plan.hooks.is_empty()).then(|| event.clone());
        self.events.push_back(event);
        if let Some(event) = watched {
            self.set_off(now, &event);
        }
    }

    // What the driver says.

    /// Begins or goes on; of the steps that failed with `only` that one is tried again.
    pub(super) fn begin(&mut self, now: u64, (by, why): (String, String), only: Option<StepId>) {
        let over = matches!(self.state.mode(), Mode::Finished(Outcome::Done | Outcome::Compensated));
        if self.active || over {
            return;
        }
        if self.state.is_aborted() && !self.state.is_unwinding() {
            // kup died between the order and the end that it asks for.
            if !matches!(self.state.mode(), Mode::Finished(_)) {
                self.emit(now, Event::RunFinished(Outcome::Failed));
            }
            return;
        }
        self.active = true;
        self.interrupts = 0;
        self.then = Then::Nothing;
        self.abandoned.clear();
        self.ending = None;
        let event = if self.state.has_begun() { Event::RunResumed { by, why } } else { Event::RunStarted };
        let resumed = self.state.has_begun();
        self.emit(now, event);
        if resumed {
            self.clean_again(now);
            self.fire_again(!self.state.is_unwinding());
        }
        if self.state.is_unwinding() {
            self.resume_unwinding();
        } else {
            self.pick_up(now, only);
        }
    }

    /// Finds everything that can go on, after a pause or a crash. The only place that looks at all
    /// steps.
    fn pick_up(&mut self, now: u64, only: Option<StepId>) {
        let plan = self.plan.clone();
        self.ready.clear();
        self.parked.clear();
        self.held.clear();
        for (i, scope) in plan.scopes.iter().enumerate() {
            let id = ScopeId(i as u32);
            let record = *self.state.scope(id);
            if !record.opened && self.state.is_free(scope.open) {
                self.ready.push_back(Vertex::Open(id));
            } else if record.opened && !record.closed && self.state.is_free(scope.close) {
                self.ready.push_back(Vertex::Close(id));
            }
        }
        for id in plan.ids() {
            match self.state.step(id).state {
                StepState::Running { .. } => self.follow_up(now, id),
                StepState::BackingOff { .. } if only == Some(id) || self.state.step(id).waived.is_some() => {
                    self.ready.push_back(Vertex::Step(id));
                }
                StepState::BackingOff { until, .. } => self.timers.set(Timer::Backoff(id), until),
                StepState::Failed | StepState::Undone | StepState::UndoFailed
                    if only.is_some_and(|only| only != id) && self.state.step(id).waived.is_none() => {}
                StepState::Waiting | StepState::Failed | StepState::Undone | StepState::UndoFailed => {
                    if self.state.is_free(plan.step(id).vertex) {
                        self.ready.push_back(Vertex::Step(id));
                    }
                }
                StepState::Undoing { .. } => self.go_on_taking_back(now, id),
                StepState::Done | StepState::Skipped => {}
            }
        }
        for (i, scope) in plan.scopes.iter().enumerate() {
            let id = ScopeId(i as u32);
            if matches!(scope.kind, ScopeKind::Each(_)) && self.state.scope(id).opened {
                self.admit(now, id);
            }
        }
    }

    /// Goes on with a step that was under way: what was begun is followed, anything else is probed.
    fn follow_up(&mut self, now: u64, id: StepId) {
        let record = self.state.step(id);
        let StepState::Running { attempt, phase } = record.state else { return };
        let effect = match (phase, &record.handle) {
            (Phase::Following, Some(handle)) => Effect::Follow { step: id, attempt, handle: handle.clone() },
            (Phase::Probing | Phase::Starting | Phase::Following, _) => Effect::Probe(id, attempt),
        };
        self.effects.push_back(effect);
        self.set_limit(now, Timer::Timeout(id), id, self.plan.step(id).timeout);
    }

    fn probed(&mut self, now: u64, step: StepId, attempt: u32, check: Check) {
        if self.phase(step, attempt) != Some(Phase::Probing) {
            return;
        }
        match check {
            Check::Done(note) => self.step_done(now, step, attempt, Value::Text(note)),
            Check::Needs { .. } if self.state.mode() == Mode::Stopping => {
                // Its work has not begun, and nothing new begins: it stays as it is, and a resumed
                // run probes the same attempt again.
                self.clear_limit(step);
                self.abandoned.insert(step);
            }
            Check::Needs { now: is, then, before } => {
                let found = Event::WorkFound { step, attempt, now: is, then, before: before.clone() };
                self.emit(now, found);
                self.effects.push_back(Effect::Start { step, attempt, before });
            }
        }
    }

    fn began(&mut self, now: u64, step: StepId, attempt: u32, handle: Value) {
        if self.phase(step, attempt) == Some(Phase::Starting) {
            self.emit(now, Event::WorkBegan { step, attempt, handle: handle.clone() });
            self.effects.push_back(Effect::Follow { step, attempt, handle });
        }
    }

    fn waiting(&mut self, now: u64, step: StepId, attempt: u32, reason: String) {
        if self.phase(step, attempt).is_some() && self.state.step(step).reason != reason {
            self.emit(now, Event::StepWaiting { step, attempt, reason });
        }
    }

    fn done(&mut self, now: u64, step: StepId, attempt: u32, value: Value) {
        if matches!(self.phase(step, attempt), Some(Phase::Starting | Phase::Following)) {
            self.step_done(now, step, attempt, value);
        }
    }

    fn step_done(&mut self, now: u64, step: StepId, attempt: u32, value: Value) {
        self.clear_limit(step);
        // A probe that finds the work done after an earlier one found work sees our own change: it
        // counts, or nobody would take it back.
        let changed = self.state.step(step).found && self.plan.step(step).effect != Touches::Reads;
        self.emit(now, Event::StepDone { step, attempt, changed, value });
    }

    pub(super) fn attempt_failed(&mut self, now: u64, step: StepId, attempt: u32, failure: Failure) {
        self.clear_limit(step);
        let record = self.state.step(step);
        let policy = self.plan.step(step);
        let round = attempt - record.first + 1;
        let may = match failure.class {
            Class::Transient => true,
            // Twice in a row: its probe cannot tell, and what is unknown is never repeated blindly.
            Class::Unknown => !record.unknown || policy.effect == Touches::Reads,
            Class::Final => false,
        };
        let again = may && round <= policy.retry.times;
        // Its own attempts are its policy's affair.
        let others = self.state.failed_in_a_row().saturating_sub(round as usize - 1);
        let side_by_side = self.state.running() + self.state.backing_off();
        let spent = failure.class == Class::Transient && others > retry::budget(side_by_side);
        if !again || spent {
            let failure = match again {
                true => {
                    Failure { message: format!("{}; {}", failure.message, retry::spent(others)), ..failure }
                }
                false => failure,
            };
            self.step_failed(now, step, attempt, failure);
            self.take_back(now, step);
            return;
        }
        let at_once = failure.class == Class::Unknown;
        let wait = if at_once { 0 } else { retry::delay(&policy.retry, self.seed, step, attempt, round) };
        let until = now.saturating_add(wait);
        self.emit(now, Event::AttemptFailed { step, attempt, failure, until });
        if self.state.mode() != Mode::Going {
            return;
        }
        if at_once {
            self.attempt(now, step);
        } else {
            self.timers.set(Timer::Backoff(step), until);
        }
    }

    fn step_failed(&mut self, now: u64, step: StepId, attempt: u32, failure: Failure) {
        let plan = self.plan.clone();
        let what = plan.step(step);
        let story = format!("`{}` failed: {}", what.key, failure.message);
        self.story.clone_from(&story);
        self.emit(now, Event::StepFailed { step, attempt, failure });
        if self.state.mode() != Mode::Going {
            return;
        }
        let by = format!("the failure of `{}`", what.key);
        let then = match &plan.on_failure {
            OnFailure::Pause(text) if text.is_empty() => Then::Pause(story),
            OnFailure::Pause(text) => Then::Pause(format!("{story}; {text}")),
            OnFailure::Rollback => Then::Rollback { by: by.clone(), why: String::new() },
            OnFailure::Abort => Then::Abort,
            OnFailure::Continue(budget) => {
                let failed = self.state.failed_lanes();
                if lane_of(&plan, what.scope).is_none() {
                    Then::Pause(story)
                } else if failed > *budget as usize {
                    Then::Pause(format!("{story}; {failed} lanes have failed, the playbook allows {budget}"))
                } else {
                    return;
                }
            }
        };
        self.stop(now, by, String::new(), then);
    }

    fn tick(&mut self, now: u64) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Backoff(step) => match self.state.step(step).waived.clone() {
                    Some(why) => self.emit(now, Event::StepSkipped(step, why)),
                    None => self.attempt(now, step),
                },
                Timer::Soak(each) => self.admit(now, each),
                Timer::Slow(step) => self.slow(now, step),
                Timer::Timeout(step) => self.timed_out(now, step),
                Timer::UndoTimeout(step) => self.undo_timed_out(now, step),
                Timer::UndoBackoff(step) => self.undo(now, step),
            }
        }
    }

    fn timed_out(&mut self, now: u64, step: StepId) {
        let record = self.state.step(step);
        let (attempt, state) = (record.attempt, record.state);
        let limit = Value::Duration(self.plan.step(step).timeout);
        let text = match record.reason.as_str() {
            "" => format!("no end after {limit}"),
            reason => format!("no end after {limit}, waiting for {reason}"),
        };
        self.effects.push_back(Effect::Cancel(step, attempt));
        if !matches!(state, StepState::Running { phase: Phase::Following, .. }) {
            self.attempt_failed(now, step, attempt, Failure::transient(text));
            return;
        }
        // What had its time and took too long would take too long again.
        self.step_failed(now, step, attempt, Failure::last(text));
        // What runs detached still runs: it is not taken back under its own feet.
        if !self.plan.step(step).long {
            self.take_back(now, step);
        }
    }

    fn interrupt(&mut self, now: u64, by: String, why: String) {
        if !self.active {
            return;
        }
        self.interrupts += 1;
        if self.ending.is_some() {
            // All is over but what is told of it: who interrupts does not want to wait for that.
            self.interrupts = 2;
            return;
        }
        self.timers.retain(|timer| !matches!(timer, Timer::UndoBackoff(_)));
        let story = match why.as_str() {
            "" => format!("interrupted by {by}"),
            why => format!("interrupted by {by}: {why}"),
        };
        match self.state.mode() {
            Mode::Stopping => match &self.then {
                Then::Rollback { .. } | Then::Nothing => self.then = Then::Pause(story),
                Then::Pause(_) | Then::Abort => {}
            },
            Mode::Going | Mode::RollingBack => self.stop(now, by, why, Then::Pause(story)),
            Mode::Paused | Mode::Finished(_) => {}
        }
        match self.interrupts {
            0 | 1 => {}
            2 => self.cancel_what_is_safe(),
            _ => {
                let text = match std::mem::take(&mut self.then) {
                    Then::Pause(text) => text,
                    Then::Nothing | Then::Rollback { .. } | Then::Abort => "interrupted".to_string(),
                };
                self.pause(now, text);
            }
        }
    }

    /// Stops waiting for what runs, except for what is `long`: dpkg and kubeadm are never left
    /// halfway while somebody could still watch them.
    fn cancel_what_is_safe(&mut self) {
        let plan = self.plan.clone();
        for id in plan.ids() {
            let StepState::Running { attempt, .. } = self.state.step(id).state else { continue };
            if !plan.step(id).long && self.abandoned.insert(id) {
                self.clear_limit(id);
                self.effects.push_back(Effect::Cancel(id, attempt));
            }
        }
    }

    fn roll_back(&mut self, now: u64, by: String, why: String) {
        let then = Then::Rollback { by: by.clone(), why: why.clone() };
        if self.active {
            match self.state.mode() {
                Mode::Going => self.stop(now, by, why, then),
                // It is told at once what it stops for now.
                Mode::Stopping if !self.state.is_unwinding() => self.stop(now, by, why, then),
                Mode::Stopping | Mode::RollingBack | Mode::Paused | Mode::Finished(_) => {}
            }
            return;
        }
        if !self.state.has_begun() || self.state.mode() == Mode::Finished(Outcome::Compensated) {
            return;
        }
        self.active = true;
        self.interrupts = 0;
        self.ending = None;
        self.abandoned.clear();
        self.emit(now, Event::RunResumed { by: by.clone(), why: why.clone() });
        self.clean_again(now);
        self.fire_again(false);
        if self.state.is_unwinding() {
            self.resume_unwinding();
            return;
        }
        self.stop(now, by, why, then);
        // What goes on by itself is seen to its end first; anything else is taken back as it is.
        let plan = self.plan.clone();
        for id in plan.ids() {
            match self.state.step(id).state {
                StepState::Running { phase: Phase::Following, .. } => self.follow_up(now, id),
                StepState::Running { .. } => {
                    self.abandoned.insert(id);
                }
                StepState::Waiting
                | StepState::BackingOff { .. }
                | StepState::Done
                | StepState::Failed
                | StepState::Skipped
                | StepState::Undoing { .. }
                | StepState::Undone
                | StepState::UndoFailed => {}
            }
        }
    }

    // What the machine does of itself.

    /// Begins all that may begin, and ends the run where there is nothing left.
    fn go_on(&mut self, now: u64) {
        while self.active && self.state.mode() == Mode::Going {
            let Some(vertex) = self.ready.pop_front() else { break };
            self.reach(now, vertex);
        }
        if !self.active {
            return;
        }
        if let Some(outcome) = self.ending {
            self.finish(now, outcome);
            return;
        }
        let running = self.state.running() - self.abandoned.len();
        match self.state.mode() {
            // The end itself may have been lost with the process that saw it.
            Mode::Going if self.state.scope(ScopeId(0)).closed => self.finish(now, Outcome::Done),
            Mode::Going => {
                let waits = self.state.backing_off() > 0
                    || !self.undos.is_empty()
                    || self.awaits_an_answer()
                    || self.awaits_a_window()
                    || self.hooks_run(true);
                if running == 0 && !waits && self.timers.is_empty() {
                    let text = self.why_nothing_is_left();
                    self.pause(now, text);
                }
            }
            Mode::Stopping if running == 0 && !self.undo_runs() => match std::mem::take(&mut self.then) {
                Then::Nothing => self.pause(now, "stopped".to_string()),
                Then::Pause(text) => self.pause(now, text),
                Then::Rollback { by, why } => self.start_unwinding(now, by, why),
                Then::Abort => self.finish(now, Outcome::Failed),
            },
            Mode::RollingBack => self.unwind(now),
            Mode::Stopping | Mode::Paused | Mode::Finished(_) => {}
        }
    }

    /// All that stands before this vertex is done.
    fn reach(&mut self, now: u64, vertex: Vertex) {
        if self.is_parked(vertex) {
            return;
        }
        let plan = self.plan.clone();
        match vertex {
            Vertex::Open(id) => {
                let scope = plan.scope(id);
                // A lane is opened by its `each`, which counts.
                let is_lane = matches!(scope.kind, ScopeKind::Lane { .. });
                if is_lane || self.state.scope(id).opened || self.is_out_of_service(id) {
                    return;
                }
                if let ScopeKind::When(when) = &scope.kind
                    && !self.decide_when(now, id, when)
                {
                    return;
                }
                let is_each = matches!(scope.kind, ScopeKind::Each(_));
                // The question of an `each` stands behind its canaries. Who is asked may answer by day what
                // begins at night.
                let gate = Gate::Scope(id);
                if !is_each && self.left_out(id).is_none() {
                    let waits = self.must_wait_late(now, id);
                    if self.must_wait(now, gate) || waits || self.is_held(now, gate) {
                        return;
                    }
                }
                self.emit(now, Event::ScopeOpened(id));
                if is_each {
                    self.admit(now, id);
                }
            }
            Vertex::Close(id) => {
                if self.state.scope(id).closed {
                    return;
                }
                self.emit(now, Event::ScopeClosed(id));
                if let Some(each) = super::state::each_of(&plan, id) {
                    self.admit(now, each);
                }
            }
            Vertex::Step(id) => {
                let step = plan.step(id);
                let state = self.state.step(id).state;
                let is_to_do = match state {
                    StepState::Waiting | StepState::Failed | StepState::Undone | StepState::UndoFailed => {
                        true
                    }
                    // Only what somebody wants now stands in line between two attempts.
                    StepState::BackingOff { .. } => true,
                    StepState::Running { .. }
                    | StepState::Done
                    | StepState::Skipped
                    | StepState::Undoing { .. } => false,
                };
                if !is_to_do || self.is_out_of_service(step.scope) {
                    return;
                }
                if let Some(why) = self.left_out(step.scope).or_else(|| self.state.step(id).waived.clone()) {
                    self.emit(now, Event::StepSkipped(id, why));
                    return;
                }
                match &step.work {
                    _ if self.must_wait(now, Gate::Step(id)) => {}
                    // What has begun is brought to its end.
                    _ if self.state.step(id).attempt == 0 && self.is_held(now, Gate::Step(id)) => {}
                    Work::Runs | Work::Change { .. } => self.attempt(now, id),
                    // The plan's verdict may be an hour old: somebody was asked in between.
                    Work::Done(_) if step.preflight => self.attempt(now, id),
                    Work::Done(why) | Work::NotNeeded(why) => {
                        self.emit(now, Event::StepSkipped(id, why.clone()));
                    }
                }
            }
        }
    }

    /// Decides one side of a `when`, unless it is decided already, or stands in one that is left out.
    /// Returns whether the run goes on.
    fn decide_when(&mut self, now: u64, id: ScopeId, when: &Branch) -> bool {
        if self.state.scope(id).done.is_some() || self.left_out(id).is_some() {
            return true;
        }
        match self.is_done(when) {
            Ok(done) => {
                self.emit(now, Event::WhenDecided { scope: id, done, reason: when.reason(done) });
                true
            }
            Err(failure) => {
                let text = format!("`when {}` cannot be decided: {}", when.text, failure.message);
                self.stop(now, format!("`when {}`", when.text), String::new(), Then::Pause(text));
                false
            }
        }
    }

    /// Says why a scope's steps are skipped, if they are.
    fn left_out(&self, scope: ScopeId) -> Option<String> {
        if self.state.left_out() == 0 {
            return None;
        }
        let mut whens = self.plan.whens(scope);
        whens.find(|(id, _)| self.state.scope(*id).done == Some(false)).map(|(_, when)| when.reason(false))
    }

    /// Opens as many lanes as the canaries and the window allow. A lane that failed keeps its place:
    /// its node is out of service.
    pub(super) fn admit(&mut self, now: u64, id: ScopeId) {
        let plan = self.plan.clone();
        let ScopeKind::Each(lanes) = &plan.scope(id).kind else { return };
        if self.is_out_of_service(id) {
            return;
        }
        // Lanes whose steps are all skipped wait for nobody.
        let is_left_out = self.left_out(id).is_some();
        while self.state.mode() == Mode::Going {
            let record = *self.state.scope(id);
            let (opened, closed) = (record.lanes_opened as usize, record.lanes_closed as usize);
            let Some(lane) = lanes.lanes.get(opened) else { return };
            if is_left_out {
                self.emit(now, Event::ScopeOpened(*lane));
                continue;
            }
            if lanes.canary > 0 && opened >= lanes.canary {
                if closed < lanes.canary {
                    return;
                }
                let ripe = record.canaries_done.saturating_add(lanes.soak);
                if now < ripe {
                    self.timers.set(Timer::Soak(id), ripe);
                    return;
                }
            }
            if !self.has_place(id) {
                return;
            }
            if opened >= lanes.canary && self.must_wait(now, Gate::Scope(id)) {
                return;
            }
            if self.must_wait(now, Gate::Scope(*lane)) || self.is_held(now, Gate::Scope(*lane)) {
                return;
            }
            self.emit(now, Event::ScopeOpened(*lane));
        }
    }

    /// Returns whether fewer lanes of an `each` are open than may be at once.
    pub(super) fn has_place(&self, id: ScopeId) -> bool {
        let ScopeKind::Each(lanes) = &self.plan.scope(id).kind else { return false };
        let record = self.state.scope(id);
        let window = lanes.windows.get(record.wave as usize).copied().unwrap_or(1).max(1);
        ((record.lanes_opened - record.lanes_closed) as usize) < window
    }

    /// Begins the next attempt of a step with a look.
    fn attempt(&mut self, now: u64, id: StepId) {
        let attempt = self.state.step(id).attempt + 1;
        self.emit(now, Event::AttemptStarted(id, attempt));
        self.effects.push_back(Effect::Probe(id, attempt));
        self.set_limit(now, Timer::Timeout(id), id, self.plan.step(id).timeout);
    }

    /// Gives an attempt its time. When half of it is over the run says so.
    pub(super) fn set_limit(&mut self, now: u64, end: Timer, id: StepId, time: u64) {
        self.timers.set(Timer::Slow(id), now.saturating_add(time / 2));
        self.timers.set(end, now.saturating_add(time));
    }

    /// Takes the time of an attempt away: it has ended, or its answer is no longer waited for.
    pub(super) fn clear_limit(&mut self, id: StepId) {
        self.timers.clear(Timer::Slow(id));
        self.timers.clear(Timer::Timeout(id));
        self.timers.clear(Timer::UndoTimeout(id));
    }

    fn slow(&mut self, now: u64, step: StepId) {
        let record = self.state.step(step);
        let (attempt, end) = match record.state {
            StepState::Running { .. } => (record.attempt, Timer::Timeout(step)),
            StepState::Undoing { .. } => (record.undo_attempt, Timer::UndoTimeout(step)),
            StepState::Waiting
            | StepState::BackingOff { .. }
            | StepState::Done
            | StepState::Failed
            | StepState::Skipped
            | StepState::Undone
            | StepState::UndoFailed => return,
        };
        if let Some(until) = self.timers.at(end) {
            self.emit(now, Event::StepSlow { step, attempt, until });
        }
    }

    /// Begins nothing new; `then` follows when nothing runs any more.
    pub(super) fn stop(&mut self, now: u64, by: String, why: String, then: Then) {
        self.then = then;
        self.timers.retain(|timer| match timer {
            Timer::Slow(_) | Timer::Timeout(_) | Timer::UndoTimeout(_) | Timer::UndoBackoff(_) => true,
            Timer::Backoff(_) | Timer::Soak(_) => false,
        });
        self.emit(now, Event::Stopping { by, why });
    }

    pub(super) fn pause(&mut self, now: u64, text: String) {
        self.story.clone_from(&text);
        self.emit(now, Event::RunPaused(text));
        self.finish(now, Outcome::Paused);
    }

    pub(super) fn finish(&mut self, now: u64, outcome: Outcome) {
        if self.is_held_open(now, outcome) {
            return;
        }
        self.emit(now, Event::RunFinished(outcome));
        self.active = false;
        self.timers.retain(|_| false);
        self.ready.clear();
        self.undos.clear();
        self.unwind = super::Unwind::default();
    }

    /// Returns how far the attempt is, if its answer is still waited for.
    fn phase(&self, step: StepId, attempt: u32) -> Option<Phase> {
        let record = self.plan.steps.get(step.0 as usize).map(|_| self.state.step(step))?;
        match record.state {
            StepState::Running { attempt: now, phase } if now == attempt => {
                (self.active && !self.abandoned.contains(&step)).then_some(phase)
            }
            StepState::Running { .. }
            | StepState::Waiting
            | StepState::BackingOff { .. }
            | StepState::Done
            | StepState::Failed
            | StepState::Skipped
            | StepState::Undoing { .. }
            | StepState::Undone
            | StepState::UndoFailed => None,
        }
    }

    /// Returns whether a lane around this scope has failed.
    pub(super) fn is_out_of_service(&self, scope: ScopeId) -> bool {
        if self.state.failed_lanes() == 0 {
            return false;
        }
        let mut at = Some(scope);
        while let Some(id) = at {
            if self.state.scope(id).failed {
                return true;
            }
            at = self.plan.scope(id).parent;
        }
        false
    }

    /// Says what holds the run, when nothing else is left to do.
    fn why_nothing_is_left(&self) -> String {
        let Some(unanswered) = self.unanswered() else { return self.failed_lanes() };
        match self.state.failed_lanes() {
            0 => unanswered,
            _ => format!("{unanswered}; {}", self.failed_lanes()),
        }
    }

    /// Says which lanes have failed.
    fn failed_lanes(&self) -> String {
        let failed =
            self.plan.scopes.iter().enumerate().filter(|(i, _)| self.state.scope(ScopeId(*i as u32)).failed);
        let names: Vec<&str> = failed.map(|(_, scope)| scope.key.as_str()).collect();
        match names.as_slice() {
            [] => "nothing that is left can begin".to_string(),
            [one] => format!("`{one}` failed, all else that could be done is done"),
            [first, ..] => {
                format!("{} lanes failed, `{first}` first; all else that could be done is done", names.len())
            }
        }
    }
}

//! Hooks: which ones an event sets off, and what their answers mean. A run, a stage or a node begins
//! nothing before the hooks of its start have said go on; every other hook is told beside the run, which only
//! waits for it before it ends.
//!
//! A hook that breaks off stops nothing, except that a gate which breaks off has not said go on: the
//! driver tells the two apart.

use dsl::program::{Thing, When};
use dsl::value::Value;

use super::{Effect, Machine, Mode, Vertex};
use crate::event::{Event, Fired, HookEnd, Outcome};
use crate::plan::{Hook, Plan, ScopeId, ScopeKind, StepId};

/// What an event is to hooks.
struct Moment {
    on: Thing,
    when: When,
    scope: ScopeId,
    step: Option<(StepId, u32)>,
    reason: String,
    output: String,
}

impl Hook {
    /// Returns whether what it is about waits for it.
    pub(super) fn holds(&self) -> bool {
        self.when == When::Started && matches!(self.on, Thing::Run | Thing::Stage | Thing::Node)
    }
}

impl Machine {
    /// Sets off the hooks of an event.
    pub(super) fn set_off(&mut self, now: u64, event: &Event) {
        if !self.active {
            return;
        }
        for moment in moments(&self.plan, event) {
            self.fire(now, &moment);
        }
    }

    fn fire(&mut self, now: u64, moment: &Moment) {
        let plan = self.plan.clone();
        for (i, hook) in plan.hooks.iter().enumerate() {
            let is_meant = hook.on == moment.on
                && hook.when == moment.when
                && hook.scope.is_none_or(|scope| scope == moment.scope);
            if !is_meant {
                continue;
            }
            let fired = Fired {
                number: self.state.last_fired() + 1,
                hook: i as u32,
                scope: moment.scope,
                step: moment.step,
            };
            let (reason, output) = (moment.reason.clone(), moment.output.clone());
            self.emit(now, Event::HookStarted { fired, reason: reason.clone(), output: output.clone() });
            self.effects.push_back(Effect::Hook { fired, reason, output });
        }
    }

    /// Performs again what was under way when a run ended, or when kup died.
    pub(super) fn fire_again(&mut self, also_holding: bool) {
        let plan = self.plan.clone();
        for open in self.state.open_hooks() {
            if also_holding || !plan.hooks[open.fired.hook as usize].holds() {
                self.effects.push_back(Effect::Hook {
                    fired: open.fired,
                    reason: open.reason.clone(),
                    output: open.output.clone(),
                });
            }
        }
    }

    /// Takes a new reason why a hook waits.
    pub(super) fn hook_waits(&mut self, now: u64, fired: Fired, reason: String) {
        if self.active && self.state.open_hook(fired.number).is_some_and(|open| open.waits != reason) {
            self.emit(now, Event::HookWaiting { fired, reason });
        }
    }

    /// Takes what a hook has come to.
    pub(super) fn hook_ended(&mut self, now: u64, fired: Fired, end: HookEnd) {
        if !self.active || self.state.open_hook(fired.number).is_none() {
            return;
        }
        let stopped = match &end {
            HookEnd::Stopped(why) => Some(why.clone()),
            HookEnd::Went(_) | HookEnd::Broke(_) => None,
        };
        self.emit(now, Event::HookEnded { fired, end });
        match stopped {
            Some(why) => self.stopped_by_hook(now, fired, &why),
            None => self.ready.extend(self.parked.drain(..)),
        }
    }

    fn stopped_by_hook(&mut self, now: u64, fired: Fired, why: &str) {
        let name = format!("`on {}`", self.plan.hooks[fired.hook as usize].text);
        let story = format!("{name} says stop: {why}");
        match (self.ending, self.state.mode()) {
            // It was done, and is held instead: a resumed run asks again.
            (Some(Outcome::Done), Mode::Going) => {
                self.ending = None;
                self.pause(now, story);
            }
            (None, Mode::Going) => self.stop(now, name, String::new(), super::Then::Pause(story)),
            (Some(_) | None, _) => {}
        }
    }

    /// Returns whether what stands here must wait for a hook; it is kept for then.
    pub(super) fn is_parked(&mut self, vertex: Vertex) -> bool {
        if self.plan.hooks.is_empty() {
            return false;
        }
        let within = match vertex {
            Vertex::Open(id) => self.plan.scope(id).parent,
            Vertex::Close(id) => Some(id),
            Vertex::Step(id) => Some(self.plan.step(id).scope),
        };
        let held = within.is_some_and(|scope| self.state.scope(scope).held > 0);
        if held {
            self.parked.push(vertex);
        }
        held
    }

    /// Returns whether a hook has not answered that the run waits for before it ends, or goes on after.
    pub(super) fn hooks_run(&self, also_holding: bool) -> bool {
        let hooks = &self.plan.hooks;
        self.state
            .open_hooks()
            .any(|open| !open.stopped && (also_holding || !hooks[open.fired.hook as usize].holds()))
    }

    /// Returns whether the end of the run has to wait: its own hooks are told of it first, and those that
    /// are under way may end.
    pub(super) fn is_held_open(&mut self, now: u64, outcome: Outcome) -> bool {
        if self.plan.hooks.is_empty() || self.interrupts > 1 {
            return false;
        }
        if self.ending.is_none() {
            self.ending = Some(outcome);
            let when = match outcome {
                Outcome::Done => When::Done,
                Outcome::Paused => When::Waiting,
                Outcome::Compensated | Outcome::Failed => When::Failed,
            };
            let reason = std::mem::take(&mut self.story);
            let moment =
                Moment { on: Thing::Run, when, scope: ScopeId(0), step: None, reason, output: String::new() };
            self.fire(now, &moment);
        }
        self.hooks_run(false)
    }
}

/// Returns what an event is to hooks; the run's end is told of before it is an event.
fn moments(plan: &Plan, event: &Event) -> Vec<Moment> {
    let of_scope = |id: ScopeId, when: When| -> Vec<Moment> {
        let on = match plan.scope(id).kind {
            ScopeKind::Stage(_) => Thing::Stage,
            ScopeKind::Lane { is_node: true, .. } => Thing::Node,
            ScopeKind::Playbook
            | ScopeKind::Each(_)
            | ScopeKind::Lane { .. }
            | ScopeKind::Task(_)
            | ScopeKind::When(_)
            | ScopeKind::Parallel => return Vec::new(),
        };
        vec![Moment { on, when, scope: id, step: None, reason: String::new(), output: String::new() }]
    };
    let of_step = |on: Thing, when: When, step: (StepId, u32), reason: &str, output: &str| Moment {
        on,
        when,
        scope: plan.step(step.0).scope,
        step: Some(step),
        reason: reason.to_string(),
        output: output.to_string(),
    };
    // What a step does, its stage and its nodes do.
    let around = |when: When, step: (StepId, u32), reason: &str| {
        let mut found = Vec::new();
        let mut at = Some(plan.step(step.0).scope);
        while let Some(id) = at {
            found.extend(of_scope(id, when).into_iter().map(|moment| Moment {
                step: Some(step),
                reason: reason.to_string(),
                ..moment
            }));
            at = plan.scope(id).parent;
        }
        found
    };
    match event {
        Event::RunStarted => {
            let (on, when) = (Thing::Run, When::Started);
            let (reason, output) = (String::new(), String::new());
            vec![Moment { on, when, scope: ScopeId(0), step: None, reason, output }]
        }
        Event::ScopeOpened(id) => of_scope(*id, When::Started),
        Event::ScopeClosed(id) => of_scope(*id, When::Done),
        Event::AttemptStarted(step, attempt) => {
            let at = (*step, *attempt);
            let mut found = vec![of_step(Thing::Attempt, When::Started, at, "", "")];
            if *attempt == 1 {
                found.push(of_step(Thing::Step, When::Started, at, "", ""));
            }
            found
        }
        Event::StepWaiting { step, attempt, reason } => {
            let at = (*step, *attempt);
            let mut found = vec![
                of_step(Thing::Attempt, When::Waiting, at, reason, ""),
                of_step(Thing::Step, When::Waiting, at, reason, ""),
            ];
            found.extend(around(When::Waiting, at, reason));
            found
        }
        Event::AttemptFailed { step, attempt, failure, until: _ } => {
            vec![of_step(Thing::Attempt, When::Failed, (*step, *attempt), &failure.message, "")]
        }
        Event::StepDone { step, attempt, changed: _, value } => {
            let output = match value {
                Value::None => String::new(),
                value => value.to_string(),
            };
            let at = (*step, *attempt);
            vec![
                of_step(Thing::Attempt, When::Done, at, "", &output),
                of_step(Thing::Step, When::Done, at, "", &output),
            ]
        }
        Event::StepFailed { step, attempt, failure } => {
            let (at, why) = ((*step, *attempt), failure.message.as_str());
            let mut found = vec![
                of_step(Thing::Attempt, When::Failed, at, why, ""),
                of_step(Thing::Step, When::Failed, at, why, ""),
            ];
            found.extend(around(When::Failed, at, why));
            found
        }
        Event::RunResumed { .. }
        | Event::StepSkipped(..)
        | Event::WorkFound { .. }
        | Event::WorkBegan { .. }
        | Event::StepSlow { .. }
        | Event::UndoStarted { .. }
        | Event::UndoRetried { .. }
        | Event::UndoDone(_)
        | Event::UndoFailed(..)
        | Event::WindowAwaited { .. }
        | Event::ApprovalAsked { .. }
        | Event::ApprovalGiven { .. }
        | Event::ApprovalRefused { .. }
        | Event::HookStarted { .. }
        | Event::HookWaiting { .. }
        | Event::HookEnded { .. }
        | Event::StepWaived { .. }
        | Event::RetryAsked { .. }
        | Event::RunAborted { .. }
        | Event::LockTaken { .. }
        | Event::RunPaused(_)
        | Event::RollbackStarted { .. }
        | Event::Stopping { .. }
        | Event::WhenDecided { .. }
        | Event::RunFinished(_) => Vec::new(),
    }
}

//! Why a run, or a node of it, does not go on: what waits or failed, and behind each its own cause, down to
//! the pod, the disruption budget, the image. All of it stands in the journal: what an action saw last is
//! the last reason that it gave.

mod turn;

use std::collections::HashMap;

use engine::action::BECAUSE;
use engine::event::{Event, Failure, Outcome};
use engine::lock;
use engine::machine::{Machine, Mode, OpenHook, StepState};
use engine::plan::{Gate, Plan, StepId};

use crate::record::{Failed, Record, store_of};
use crate::report::{said_by, took};

/// So many things of one kind are told; the rest is counted.
const TOLD: usize = 20;

/// Something that waits or failed, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cause {
    /// What kind of thing it is.
    pub(crate) kind: Kind,
    /// What there is to say; comes from outside in part.
    pub(crate) text: String,
    /// The step, if it is one.
    pub(crate) step: Option<StepId>,
    /// What to do about it; empty if nobody knows.
    pub(crate) hint: String,
    /// What it waits for or failed by.
    pub(crate) causes: Vec<Cause>,
}

/// What kind of thing waits, or is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The run as a whole.
    Run,
    /// A step that is under way.
    Step,
    /// A step that failed, or an attempt of it.
    Failure,
    /// A question that nobody has answered.
    Question,
    /// A hook that has not said go on.
    Hook,
    /// A node whose turn has not come.
    Turn,
    /// A maintenance window that is not open yet.
    Window,
    /// The lock of the cluster.
    Lock,
    /// What an action, a command or the playbook says.
    Reason,
}

impl Kind {
    /// Returns its name on the wire.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Run => "run",
            Kind::Step => "step",
            Kind::Failure => "failure",
            Kind::Question => "question",
            Kind::Hook => "hook",
            Kind::Turn => "turn",
            Kind::Window => "window",
            Kind::Lock => "lock",
            Kind::Reason => "reason",
        }
    }
}

impl Cause {
    fn new(kind: Kind, text: impl Into<String>, causes: Vec<Cause>) -> Cause {
        Cause { kind, text: text.into(), step: None, hint: String::new(), causes }
    }

    /// Splits what an action says it waits for into what stands behind what.
    fn chain(text: &str, behind: Vec<Cause>) -> Vec<Cause> {
        // The machine says so of a step that ran out of time.
        let (first, rest) = match text.split_once(", waiting for ") {
            Some((first, rest)) if first.starts_with("no end after ") => (Some(first), rest),
            Some(_) | None => (None, text),
        };
        let parts: Vec<&str> = first.into_iter().chain(rest.split(BECAUSE)).collect();
        let nest = |causes, part: &&str| vec![Cause::new(Kind::Reason, *part, causes)];
        parts.iter().rev().filter(|part| !part.trim().is_empty()).fold(behind, nest)
    }
}

/// Looks at a run.
pub(crate) struct Why<'a> {
    record: &'a Record,
    machine: Machine,
    alive: bool,
    /// The time in milliseconds of the run.
    now: u64,
    /// Since when a step has been waiting in its present attempt.
    waits: HashMap<StepId, u64>,
    /// Why the last attempt of a step, or of its undo, failed that is followed by another.
    failed: HashMap<StepId, &'a Failure>,
    /// Why the run last held.
    pause: Option<&'a str>,
    /// Who last ended it, or wanted it to stop or to go back.
    by: String,
}

impl<'a> Why<'a> {
    /// Reads the journal of a run.
    pub(crate) fn new(record: &'a Record) -> Why<'a> {
        let alive = record.is_alive();
        let mut why = Why {
            machine: record.machine(),
            alive,
            now: record.now(alive),
            waits: HashMap::new(),
            failed: HashMap::new(),
            pause: None,
            by: String::new(),
            record,
        };
        for (at, event) in &record.recorded.events {
            match event {
                Event::AttemptStarted(step, _) | Event::UndoStarted { step, .. } => {
                    why.waits.remove(step);
                }
                Event::StepWaiting { step, .. } => drop(why.waits.entry(*step).or_insert(*at)),
                Event::AttemptFailed { step, failure, .. } | Event::UndoRetried { step, failure, .. } => {
                    why.failed.insert(*step, failure);
                }
                Event::RunPaused(text) => why.pause = Some(text),
                Event::RunAborted { by, why: said }
                | Event::Stopping { by, why: said }
                | Event::RollbackStarted { by, why: said } => {
                    why.by = said_by(by, said);
                }
                _ => {}
            }
        }
        why
    }

    /// Returns whether a process is at work on the run.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    /// Returns the machine as the journal left it.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    fn plan(&self) -> &'a Plan {
        &self.record.stored.plan
    }

    /// Tells why the run does not go on, or what it waits for.
    pub(crate) fn run(&self) -> Cause {
        let mut causes = self.questions(|_| true);
        causes.extend(self.windows(|_| true));
        causes.extend(self.hooks(|_| true));
        causes.extend(self.failures(|_| true));
        let open = self.plan().ids().filter(|id| self.is_held(*id));
        causes.extend(open.filter_map(|id| self.step(id)));
        let more = causes.len().saturating_sub(TOLD);
        if more > 0 {
            causes.truncate(TOLD);
            causes.push(Cause::new(Kind::Reason, format!("and {more} more"), Vec::new()));
        }
        causes.extend(self.lock());
        let state = self.machine.state();
        let mode = state.mode();
        if let (true, Mode::Paused | Mode::Finished(Outcome::Paused), Some(text)) =
            (causes.is_empty(), mode, self.pause)
        {
            causes = Cause::chain(text, Vec::new());
        }
        let by = if self.by.is_empty() { String::new() } else { format!(", asked by {}", self.by) };
        let how = match mode {
            Mode::Finished(Outcome::Done) => "is done: nothing waits".to_string(),
            Mode::Finished(Outcome::Compensated) => "failed, and what it did was taken back".to_string(),
            Mode::Finished(Outcome::Failed) if state.is_aborted() => format!("was ended for good{by}"),
            Mode::Finished(Outcome::Failed) => "failed, and something of it is still there".to_string(),
            Mode::Paused | Mode::Finished(Outcome::Paused) => "is paused".to_string(),
            Mode::Going | Mode::Stopping | Mode::RollingBack if !self.alive => {
                "was interrupted: the kup that did it is gone".to_string()
            }
            Mode::Going => "is under way".to_string(),
            Mode::Stopping => format!("is stopping{by}"),
            Mode::RollingBack => format!("is being taken back{by}"),
        };
        Cause::new(Kind::Run, format!("run {} {how}", self.record.recorded.header.run), causes)
    }

    /// Tells why a node does not go on. `None`: the run has nothing to do with it.
    pub(crate) fn node(&self, node: &str) -> Option<Vec<Cause>> {
        let steps: Vec<StepId> =
            self.plan().ids().filter(|id| self.plan().step(*id).node.as_deref() == Some(node)).collect();
        let state = |id: &StepId| self.machine.state().step(*id).state;
        if steps.is_empty() {
            return None;
        }
        let is_its = |gate: &Gate| steps.iter().any(|id| self.is_before(*gate, *id));
        let mut causes = self.questions(is_its);
        causes.extend(self.windows(is_its));
        causes.extend(self.failures(|id| steps.contains(&id)));
        causes.extend(steps.iter().filter_map(|id| self.step(*id)));
        if !causes.is_empty() {
            return Some(causes);
        }
        let waits = steps.iter().find(|id| state(id) == StepState::Waiting);
        let Some(first) = waits else {
            let back = steps.iter().any(|id| state(id) == StepState::Undone);
            let how = if back { "was taken back" } else { "is done: nothing waits" };
            return Some(vec![Cause::new(Kind::Turn, format!("{node} {how}"), Vec::new())]);
        };
        let begun = steps.iter().any(|id| state(id) == StepState::Done);
        let step = &self.plan().step(*first).text;
        let text = if begun {
            format!("{node} waits for the turn of `{step}`")
        } else {
            format!("{node} has not begun")
        };
        Some(vec![Cause::new(Kind::Turn, text, self.turn(*first))])
    }

    /// Tells how a step stands that is under way. One that failed for good is a failure.
    fn step(&self, id: StepId) -> Option<Cause> {
        let record = self.machine.state().step(id);
        let age = took(self.now.saturating_sub(self.waits.get(&id).copied().unwrap_or(self.now)));
        let attempt_failed = || {
            let failure = self.failed.get(&id)?;
            Some(Cause::new(
                Kind::Failure,
                format!("attempt {} failed", record.attempt),
                told(failure, Vec::new()),
            ))
        };
        let (what, causes) = match record.state {
            StepState::Running { .. } => {
                let what = match (record.reason.as_str(), self.alive) {
                    ("", true) => "is under way".to_string(),
                    ("", false) => "was under way when kup ended".to_string(),
                    (_, true) => format!("waits {age}"),
                    (_, false) => "waited when kup ended".to_string(),
                };
                (what, Cause::chain(&record.reason, Vec::new()))
            }
            StepState::BackingOff { until, .. } => {
                let what = match self.alive && self.machine.state().mode() == Mode::Going {
                    true => format!("tries again in {}", took(until.saturating_sub(self.now))),
                    false => "is to be tried again".to_string(),
                };
                (what, attempt_failed().into_iter().collect())
            }
            StepState::Undoing { .. } => {
                let failure = self.failed.get(&id).map(|failure| told(failure, Vec::new()));
                ("is being taken back".to_string(), failure.unwrap_or_default())
            }
            StepState::Waiting
            | StepState::Done
            | StepState::Failed
            | StepState::Skipped
            | StepState::Undone
            | StepState::UndoFailed => return None,
        };
        Some(self.named(Kind::Step, id, &what, causes))
    }

    /// Returns whether a step is under way and does not get on.
    fn is_held(&self, id: StepId) -> bool {
        let record = self.machine.state().step(id);
        match record.state {
            StepState::Running { .. } => !self.alive || !record.reason.is_empty(),
            StepState::BackingOff { .. } | StepState::Undoing { .. } => true,
            StepState::Waiting
            | StepState::Done
            | StepState::Failed
            | StepState::Skipped
            | StepState::Undone
            | StepState::UndoFailed => false,
        }
    }

    fn failures(&self, wanted: impl Fn(StepId) -> bool) -> Vec<Cause> {
        let failures = self.record.failures().into_iter().filter(|failed| wanted(failed.step));
        let cause = |Failed { step, failure, undoing }: Failed<'_>| {
            let what = match (undoing, self.machine.state().step(step).state) {
                (true, _) => "cannot be taken back",
                (false, StepState::Undone) => "failed, and was taken back",
                (false, _) => "failed",
            };
            let mut cause = self.named(Kind::Failure, step, what, told(failure, output(failure)));
            cause.hint.clone_from(&failure.hint);
            cause
        };
        failures.map(cause).collect()
    }

    fn questions(&self, wanted: impl Fn(&Gate) -> bool) -> Vec<Cause> {
        let asked = self.machine.state().asked().iter().filter(|gate| wanted(gate));
        let cause = |gate: &Gate| {
            let question = self.plan().approvals.get(gate).map_or("", String::as_str);
            let text = format!("{} waits for an answer", self.plan().gate_key(*gate));
            let mut cause = Cause::new(Kind::Question, text, Cause::chain(question, Vec::new()));
            cause.hint = format!("kup approve {}", self.record.recorded.header.run);
            cause
        };
        asked.map(cause).collect()
    }

    fn windows(&self, wanted: impl Fn(&Gate) -> bool) -> Vec<Cause> {
        let held = self.machine.state().held().iter().filter(|(gate, _)| wanted(gate));
        let cause = |(gate, opens): (&Gate, &String)| {
            let window = self.plan().windows.get(gate).map_or("", String::as_str);
            let text = format!("{} waits for its window", self.plan().gate_key(*gate));
            let opens = Cause::new(Kind::Reason, format!("{window} opens {opens}"), Vec::new());
            Cause::new(Kind::Window, text, vec![opens])
        };
        held.map(cause).collect()
    }

    fn hooks(&self, wanted: impl Fn(&OpenHook) -> bool) -> Vec<Cause> {
        let open = self.machine.state().open_hooks().filter(|open| wanted(open));
        let cause = |open: &OpenHook| {
            let event = &self.plan().hooks[open.fired.hook as usize].text;
            let how = match (open.stopped, self.alive) {
                (true, _) => "says stop",
                (false, true) => "has not said go on",
                (false, false) => "had not said go on when kup ended",
            };
            Cause::new(Kind::Hook, format!("on {event} {how}"), Cause::chain(&open.waits, Vec::new()))
        };
        open.map(cause).collect()
    }

    /// Tells which other run has the lock of the cluster on this machine, where this one would need it.
    fn lock(&self) -> Option<Cause> {
        let over = matches!(
            self.machine.state().mode(),
            Mode::Finished(Outcome::Done | Outcome::Compensated | Outcome::Failed)
        );
        if self.alive || over || self.record.is_simulated() {
            return None;
        }
        let root = store_of(&self.record.folder)?;
        let holder = lock::holder(root, &self.record.stored.inventory.cluster)?;
        let text = format!("run {} has the lock of the cluster since {}", holder.run, holder.since);
        let mut cause = Cause::new(Kind::Lock, text, Vec::new());
        cause.hint = format!("wait for its end: kup status {}", holder.run);
        Some(cause)
    }

    /// Writes a step with its node before it, if it has one.
    fn named(&self, kind: Kind, id: StepId, what: &str, causes: Vec<Cause>) -> Cause {
        let step = self.plan().step(id);
        let mut cause = match &step.node {
            Some(node) => {
                let inner = Cause { step: Some(id), ..Cause::new(kind, step.text.as_str(), causes) };
                Cause::new(kind, format!("{node} {what}"), vec![inner])
            }
            None => Cause::new(kind, format!("{} {what}", step.text), causes),
        };
        cause.step = Some(id);
        cause
    }
}

/// Tells a failure; what stands behind it comes last.
fn told(failure: &Failure, behind: Vec<Cause>) -> Vec<Cause> {
    Cause::chain(&failure.message, behind)
}

/// Returns the last lines that a command said.
fn output(failure: &Failure) -> Vec<Cause> {
    const LINES: usize = 3;
    let lines: Vec<&str> = failure.output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    last.iter().map(|line| Cause::new(Kind::Reason, *line, Vec::new())).collect()
}

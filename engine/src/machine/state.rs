//! The state of a run: nothing but the fold of its events. No policy lives here; whoever folds the
//! same events over the same plan has the same state.
//!
//! ```text
//! step         event            becomes
//! ------------ ---------------- ------------------------------
//! Waiting      AttemptStarted   Running(probing)
//! Waiting      StepSkipped      Skipped
//! Running      WorkFound        Running(starting)
//! Running      WorkBegan        Running(following)
//! Running      AttemptFailed    BackingOff
//! Running      StepDone         Done
//! Running      StepFailed       Failed
//! Running      RunResumed       Running(probing | following)
//! BackingOff   AttemptStarted   Running(probing)
//! Failed       AttemptStarted   Running(probing)
//! BackingOff   StepSkipped      Skipped              (somebody waived it)
//! Failed       StepSkipped      Skipped
//! Undone       StepSkipped      Skipped
//! UndoFailed   StepSkipped      Skipped
//! Done         UndoStarted      Undoing
//! Failed       UndoStarted      Undoing
//! Running      UndoStarted      Undoing
//! BackingOff   UndoStarted      Undoing
//! UndoFailed   UndoStarted      Undoing
//! Skipped      UndoStarted      Undoing              (somebody waived it after it had begun)
//! Undone       AttemptStarted   Running(probing)     (a failed step that was taken back)
//! UndoFailed   AttemptStarted   Running(probing)     (a failed step that was not)
//! Undoing      UndoRetried      Undoing
//! Undoing      UndoDone         Undone
//! Undoing      UndoFailed       UndoFailed
//!
//! gate         event            becomes
//! ------------ ---------------- ------------------------------
//! closed       ApprovalAsked    asked
//! asked        ApprovalGiven    approved                       (for good)
//! asked        ApprovalRefused  closed
//! asked        RunResumed       closed                         (it is asked again)
//!
//! window       event            becomes
//! ------------ ---------------- ------------------------------
//! not reached  WindowAwaited    held
//! held         ScopeOpened      not held                       (or AttemptStarted, StepSkipped)
//! held         RunResumed       not reached
//!
//! mode         event            becomes
//! ------------ ---------------- ------------------------------
//! Going        Stopping         Stopping
//! any          RollbackStarted  RollingBack
//! RollingBack  Stopping         Stopping
//! any          RunPaused        Paused
//! any          RunFinished      Finished
//! any          RunResumed       Going, or RollingBack once a rollback has begun
//! ```

use std::collections::{BTreeMap, BTreeSet};

use dsl::value::Value;
use petgraph::stable_graph::NodeIndex;

use crate::event::{Class, Event, Fired, HookEnd, Outcome};
use crate::plan::{Gate, Plan, ScopeId, ScopeKind, StepId, Vertex};

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    begun: bool,
    unwinding: bool,
    mode: Mode,
    steps: Vec<StepRecord>,
    scopes: Vec<ScopeRecord>,
    /// How many predecessors of each vertex are not done yet.
    pending: Vec<u32>,
    running: u32,
    backing_off: u32,
    /// How many attempts have failed since a step was last done.
    failed_in_a_row: u32,
    failed_lanes: u32,
    undo_failures: u32,
    /// How many sides of `when`s are left out.
    left_out: u32,
    /// How many steps have come to an end; numbers them in that order.
    ended: u32,
    /// What waits for an answer, in the order in which it was asked.
    asked: Vec<Gate>,
    /// What waits for its maintenance window, and when that opens.
    held: BTreeMap<Gate, String>,
    aborted: bool,
    approved: BTreeSet<Gate>,
    /// How many hooks were set off.
    fired: u32,
    /// Hooks that have not said go on, by their numbers.
    hooks: BTreeMap<u32, OpenHook>,
}

/// A hook that was set off and has not said go on.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenHook {
    /// Which one, and about what.
    pub fired: Fired,
    /// Why, if the event has a reason.
    pub reason: String,
    /// What a step gave back.
    pub output: String,
    /// What it waits for; empty if for nothing.
    pub waits: String,
    /// Whether it has said stop; a resumed run asks it again.
    pub stopped: bool,
}

/// What the run as a whole is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It goes on.
    Going,
    /// It holds.
    Paused,
    /// Nothing new begins, what runs may end.
    Stopping,
    /// It takes back what it did.
    RollingBack,
    /// It is over.
    Finished(Outcome),
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Nothing has happened yet.
    Waiting,
    /// An attempt is under way.
    Running {
        /// The attempt, from 1.
        attempt: u32,
        /// How far it is.
        phase: Phase,
    },
    /// An attempt failed, another follows.
    BackingOff {
        /// The attempt that failed.
        attempt: u32,
        /// When the next one begins, in milliseconds of the run.
        until: u64,
    },
    /// It is done.
    Done,
    /// It failed for good.
    Failed,
    /// It was not to be performed.
    Skipped,
    /// Its change is being taken back.
    Undoing {
        /// The attempt at undoing, from 1.
        attempt: u32,
    },
    /// Its change was taken back.
    Undone,
    /// Its change could not be taken back.
    UndoFailed,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is asked whether there is work.
    Probing,
    /// The work is being begun.
    Starting,
    /// The work goes on by itself and is followed.
    Following,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// Where it stands.
    pub state: StepState,
    /// The last attempt; numbers are never used twice, not even after a resume.
    pub attempt: u32,
    /// The attempt that its present allowance of attempts began with.
    pub first: u32,
    /// Whether a probe has ever found work: from then on the world may have changed.
    pub found: bool,
    /// Whether it changed something.
    pub changed: bool,
    /// Whether its last attempt failed for good.
    pub failed: bool,
    /// Why it is not to be performed although the plan wants it, and who said so.
    pub waived: Option<String>,
    /// What the first probe that found work saw; what an undo must know.
    pub before: Value,
    /// What it gave back, if it did its work in this run and somebody may ask.
    pub value: Option<Value>,
    /// How to find what was begun.
    pub handle: Option<Value>,
    /// What it waits for; empty if for nothing.
    pub reason: String,
    /// Whether nobody knows how the last attempt ended.
    pub unknown: bool,
    /// The last attempt at undoing.
    pub undo_attempt: u32,
    /// Its place among the steps that came to an end, from 1; 0: it has not.
    pub ended: u32,
    /// When it last came to an end or was taken back, in milliseconds of the run.
    pub over: Option<u64>,
}

/// What is known of a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeRecord {
    /// Its first step may begin.
    pub opened: bool,
    /// All of it is done.
    pub closed: bool,
    /// One side of a `when`: whether its steps are done, once that is decided.
    pub done: Option<bool>,
    /// A lane: one of its steps has failed for good.
    pub failed: bool,
    /// How many hooks have not said that it may begin.
    pub held: u32,
    /// An `each`: how many lanes were opened.
    pub lanes_opened: u32,
    /// An `each`: how many lanes ended well.
    pub lanes_closed: u32,
    /// An `each`: which of its windows holds.
    pub wave: u32,
    /// An `each`: how many lanes ended well within this window.
    pub in_wave: u32,
    /// An `each`: when its last canary ended well.
    pub canaries_done: u64,
}

impl State {
    /// Makes the state of a run that has not begun.
    pub(super) fn new(plan: &Plan) -> State {
        use petgraph::visit::{EdgeRef, IntoEdgeReferences};
        let size = plan.graph.node_indices().map(|v| v.index() + 1).max().unwrap_or(0);
        let mut pending = vec![0; size];
        for edge in plan.graph.edge_references() {
            pending[edge.target().index()] += 1;
        }
        let step = StepRecord {
            state: StepState::Waiting,
            attempt: 0,
            first: 1,
            found: false,
            changed: false,
            failed: false,
            waived: None,
            before: Value::None,
            value: None,
            handle: None,
            reason: String::new(),
            unknown: false,
            undo_attempt: 0,
            ended: 0,
            over: None,
        };
        State {
            begun: false,
            unwinding: false,
            mode: Mode::Going,
            steps: vec![step; plan.steps.len()],
            scopes: vec![ScopeRecord::default(); plan.scopes.len()],
            pending,
            running: 0,
            backing_off: 0,
            failed_in_a_row: 0,
            failed_lanes: 0,
            undo_failures: 0,
            left_out: 0,
            ended: 0,
            asked: Vec::new(),
            held: BTreeMap::new(),
            aborted: false,
            approved: BTreeSet::new(),
            fired: 0,
            hooks: BTreeMap::new(),
        }
    }

    /// Returns how many hooks were set off.
    pub fn last_fired(&self) -> u32 {
        self.fired
    }

    /// Returns the hooks that have not said go on.
    pub fn open_hooks(&self) -> impl Iterator<Item = &OpenHook> {
        self.hooks.values()
    }

    /// Returns a hook that has not ended, by its number.
    pub(super) fn open_hook(&self, number: u32) -> Option<&OpenHook> {
        self.hooks.get(&number).filter(|open| !open.stopped)
    }

    /// Returns whether the run has begun.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Returns whether the run takes, or has taken, back what it did; it never goes forward again.
    pub fn is_unwinding(&self) -> bool {
        self.unwinding
    }

    /// Returns what the run is about.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Returns what is known of a step.
    pub fn step(&self, id: StepId) -> &StepRecord {
        &self.steps[id.0 as usize]
    }

    /// Returns what is known of a scope.
    pub fn scope(&self, id: ScopeId) -> &ScopeRecord {
        &self.scopes[id.0 as usize]
    }

    /// Returns how many steps run.
    pub fn running(&self) -> usize {
        self.running as usize
    }

    /// Returns how many steps wait for their next attempt.
    pub fn backing_off(&self) -> usize {
        self.backing_off as usize
    }

    /// Returns how many attempts have failed, whatever their steps, since a step was last done or the run was
    /// resumed.
    pub(super) fn failed_in_a_row(&self) -> usize {
        self.failed_in_a_row as usize
    }

    /// Returns how many lanes have failed since the run began or was resumed.
    pub fn failed_lanes(&self) -> usize {
        self.failed_lanes as usize
    }

    /// Returns whether somebody ended the run for good.
    pub fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// Returns what waits for somebody's answer, in the order in which it was asked.
    pub fn asked(&self) -> &[Gate] {
        &self.asked
    }

    /// Returns what waits for its maintenance window, and when that opens.
    pub fn held(&self) -> &BTreeMap<Gate, String> {
        &self.held
    }

    /// Returns whether somebody has said yes to what stands before this.
    pub fn is_approved(&self, gate: Gate) -> bool {
        self.approved.contains(&gate)
    }

    /// Returns how many steps' changes could not be taken back.
    pub(super) fn undo_failures(&self) -> usize {
        self.undo_failures as usize
    }

    /// Returns how many sides of `when`s are left out.
    pub(super) fn left_out(&self) -> usize {
        self.left_out as usize
    }

    /// Returns whether all that stands before a vertex is done.
    pub(super) fn is_free(&self, vertex: NodeIndex) -> bool {
        self.pending[vertex.index()] == 0
    }

    /// Folds one event in; what may begin because of it is added to `freed`.
    pub(super) fn apply(&mut self, plan: &Plan, now: u64, event: &Event, freed: &mut Vec<Vertex>) {
        match event {
            Event::RunStarted => {
                self.begun = true;
                self.mode = Mode::Going;
            }
            Event::RunResumed { by: _, why: _ } => self.resume(),
            Event::ScopeOpened(id) => {
                self.scopes[id.0 as usize].opened = true;
                self.held.remove(&Gate::Scope(*id));
                if let Some(each) = each_of(plan, *id) {
                    self.scopes[each.0 as usize].lanes_opened += 1;
                }
                self.complete(plan, plan.scope(*id).open, freed);
            }
            Event::ScopeClosed(id) => {
                self.scopes[id.0 as usize].closed = true;
                if let Some(each) = each_of(plan, *id) {
                    self.lane_closed(plan, now, each);
                }
                self.complete(plan, plan.scope(*id).close, freed);
            }
            Event::WhenDecided { scope, done, reason: _ } => {
                self.scopes[scope.0 as usize].done = Some(*done);
                self.left_out += u32::from(!done);
            }
            Event::StepSkipped(id, _) => {
                self.held.remove(&Gate::Step(*id));
                if self.step(*id).state == StepState::Undone {
                    // Nothing of it is left that could be taken back.
                    self.steps[id.0 as usize].found = false;
                }
                self.set(*id, StepState::Skipped);
                // What was waived half made is taken back in its turn: others are built upon it from now on.
                self.end(now, *id);
                self.complete(plan, plan.step(*id).vertex, freed);
            }
            Event::AttemptStarted(id, attempt) => {
                self.held.remove(&Gate::Step(*id));
                let was = self.step(*id).state;
                let fresh = !matches!(was, StepState::BackingOff { .. });
                self.set(*id, StepState::Running { attempt: *attempt, phase: Phase::Probing });
                let record = &mut self.steps[id.0 as usize];
                record.attempt = *attempt;
                record.handle = None;
                record.failed = false;
                record.reason.clear();
                if was == StepState::Undone {
                    // Nothing of it is left: the next probe sees what an undo must know.
                    record.found = false;
                    record.before = Value::None;
                }
                if fresh {
                    record.first = *attempt;
                    record.unknown = false;
                }
            }
            Event::WorkFound { step, attempt, before, now: _, then: _ } => {
                self.set(*step, StepState::Running { attempt: *attempt, phase: Phase::Starting });
                let record = &mut self.steps[step.0 as usize];
                if !record.found {
                    record.found = true;
                    record.before = before.clone();
                }
            }
            Event::WorkBegan { step, attempt, handle } => {
                self.set(*step, StepState::Running { attempt: *attempt, phase: Phase::Following });
                self.steps[step.0 as usize].handle = Some(handle.clone());
            }
            Event::StepWaiting { step, attempt: _, reason } => {
                self.steps[step.0 as usize].reason.clone_from(reason);
            }
            Event::StepSlow { step: _, attempt: _, until: _ } => {}
            Event::AttemptFailed { step, attempt, failure, until } => {
                self.failed_in_a_row += 1;
                self.set(*step, StepState::BackingOff { attempt: *attempt, until: *until });
                let record = &mut self.steps[step.0 as usize];
                record.unknown = failure.class == Class::Unknown;
                record.reason.clear();
            }
            Event::StepDone { step, attempt: _, changed, value } => {
                // What a look says to people is no result: the work was done already.
                let was = self.step(*step).state;
                let looked = matches!(was, StepState::Running { phase: Phase::Probing, .. });
                self.failed_in_a_row = 0;
                self.set(*step, StepState::Done);
                self.end(now, *step);
                let record = &mut self.steps[step.0 as usize];
                record.changed = *changed;
                if plan.step(*step).gives.is_some() && !looked {
                    record.value = Some(value.clone());
                }
                self.complete(plan, plan.step(*step).vertex, freed);
            }
            Event::StepFailed { step, attempt: _, failure: _ } => {
                self.set(*step, StepState::Failed);
                self.end(now, *step);
                self.steps[step.0 as usize].failed = true;
                if let Some(lane) = lane_of(plan, plan.step(*step).scope) {
                    let lane = &mut self.scopes[lane.0 as usize];
                    self.failed_lanes += u32::from(!lane.failed);
                    lane.failed = true;
                }
            }
            Event::UndoStarted { step, attempt } => {
                self.set(*step, StepState::Undoing { attempt: *attempt });
                self.steps[step.0 as usize].undo_attempt = *attempt;
            }
            Event::UndoRetried { step, attempt, failure: _, until: _ } => {
                self.set(*step, StepState::Undoing { attempt: *attempt });
            }
            Event::UndoDone(id) => {
                self.set(*id, StepState::Undone);
                self.steps[id.0 as usize].over = Some(now);
            }
            Event::UndoFailed(id, _) => {
                self.set(*id, StepState::UndoFailed);
                self.steps[id.0 as usize].over = Some(now);
            }
            Event::StepWaived { step, by, why } => {
                self.steps[step.0 as usize].waived = Some(format!("skipped by {by}: {why}"));
                self.back_in_service(plan, *step);
            }
            Event::RetryAsked { step, by: _, why: _ } => self.back_in_service(plan, *step),
            Event::RunAborted { by: _, why: _ } => self.aborted = true,
            Event::LockTaken { by: _, from: _, why: _ } => {}
            Event::WindowAwaited { gate, window: _, opens } => {
                self.held.insert(*gate, opens.clone());
            }
            Event::ApprovalAsked { gate, question: _ } => self.asked.push(*gate),
            Event::ApprovalGiven { gate, by: _, when: _, why: _ } => {
                self.asked.retain(|asked| asked != gate);
                self.approved.insert(*gate);
            }
            Event::ApprovalRefused { gate, by: _, when: _ } => self.asked.retain(|asked| asked != gate),
            Event::HookStarted { fired, reason, output } => {
                self.fired = self.fired.max(fired.number);
                if plan.hooks[fired.hook as usize].holds() {
                    self.scopes[fired.scope.0 as usize].held += 1;
                }
                let open = OpenHook {
                    fired: *fired,
                    reason: reason.clone(),
                    output: output.clone(),
                    waits: String::new(),
                    stopped: false,
                };
                self.hooks.insert(fired.number, open);
            }
            Event::HookWaiting { fired, reason } => {
                if let Some(open) = self.hooks.get_mut(&fired.number) {
                    open.waits.clone_from(reason);
                }
            }
            Event::HookEnded { fired, end } => self.hook_ended(plan, *fired, end),
            Event::RunPaused(_) => self.mode = Mode::Paused,
            Event::RollbackStarted { by: _, why: _ } => {
                self.unwinding = true;
                self.mode = Mode::RollingBack;
            }
            Event::Stopping { by: _, why: _ } => self.mode = Mode::Stopping,
            Event::RunFinished(outcome) => self.mode = Mode::Finished(*outcome),
        }
    }

    /// A hook whose stop holds something stays open, and is asked again by a resumed run.
    fn hook_ended(&mut self, plan: &Plan, fired: Fired, end: &HookEnd) {
        let holds = plan.hooks[fired.hook as usize].holds();
        match (end, self.hooks.get_mut(&fired.number)) {
            (HookEnd::Stopped(_), Some(open)) if holds => open.stopped = true,
            (HookEnd::Stopped(_) | HookEnd::Went(_) | HookEnd::Broke(_), Some(_)) => {
                self.hooks.remove(&fired.number);
                if holds {
                    self.scopes[fired.scope.0 as usize].held -= 1;
                }
            }
            (_, None) => {}
        }
    }

    fn resume(&mut self) {
        for open in self.hooks.values_mut() {
            open.stopped = false;
            open.waits.clear();
        }
        self.mode = if self.unwinding { Mode::RollingBack } else { Mode::Going };
        self.failed_lanes = 0;
        self.failed_in_a_row = 0;
        self.asked.clear();
        self.held.clear();
        for scope in &mut self.scopes {
            scope.failed = false;
        }
        for record in &mut self.steps {
            // What was being started when kup ended is not known: it is probed again.
            if let StepState::Running { attempt, phase: Phase::Starting } = record.state {
                record.state = StepState::Running { attempt, phase: Phase::Probing };
            }
        }
    }

    /// Somebody decided about a step that had failed: its lane goes on, unless another of its steps failed.
    fn back_in_service(&mut self, plan: &Plan, id: StepId) {
        self.steps[id.0 as usize].failed = false;
        let Some(lane) = lane_of(plan, plan.step(id).scope) else { return };
        let fails =
            |other: &StepId| self.step(*other).failed && lane_of(plan, plan.step(*other).scope) == Some(lane);
        if self.scope(lane).failed && !plan.ids().any(|other| fails(&other)) {
            self.scopes[lane.0 as usize].failed = false;
            self.failed_lanes -= 1;
        }
    }

    fn set(&mut self, id: StepId, to: StepState) {
        let record = &mut self.steps[id.0 as usize];
        let from = std::mem::replace(&mut record.state, to);
        self.count(from, false);
        self.count(to, true);
    }

    fn count(&mut self, state: StepState, more: bool) {
        let counter = match state {
            StepState::Running { .. } => &mut self.running,
            StepState::BackingOff { .. } => &mut self.backing_off,
            StepState::UndoFailed => &mut self.undo_failures,
            StepState::Waiting
            | StepState::Done
            | StepState::Failed
            | StepState::Skipped
            | StepState::Undoing { .. }
            | StepState::Undone => return,
        };
        *counter = if more { *counter + 1 } else { *counter - 1 };
    }

    fn end(&mut self, now: u64, id: StepId) {
        self.ended += 1;
        let record = &mut self.steps[id.0 as usize];
        record.ended = self.ended;
        record.over = Some(now);
        record.reason.clear();
    }

    fn lane_closed(&mut self, plan: &Plan, now: u64, each: ScopeId) {
        let ScopeKind::Each(lanes) = &plan.scope(each).kind else { return };
        let record = &mut self.scopes[each.0 as usize];
        record.lanes_closed += 1;
        record.in_wave += 1;
        if record.lanes_closed as usize == lanes.canary {
            record.canaries_done = now;
        }
        let wave = record.wave as usize;
        if wave + 1 < lanes.windows.len() && record.in_wave as usize >= lanes.windows[wave] {
            record.wave += 1;
            record.in_wave = 0;
        }
    }

    fn complete(&mut self, plan: &Plan, vertex: NodeIndex, freed: &mut Vec<Vertex>) {
        let before = freed.len();
        for next in plan.graph.neighbors(vertex) {
            let pending = &mut self.pending[next.index()];
            *pending -= 1;
            if *pending == 0 {
                freed.push(plan.graph[next]);
            }
        }
        // petgraph names the newest edge first; what was written first shall begin first.
        freed[before..].reverse();
    }
}

/// Returns the `each` that a scope is a lane of.
pub(super) fn each_of(plan: &Plan, scope: ScopeId) -> Option<ScopeId> {
    match plan.scope(scope).kind {
        ScopeKind::Lane { .. } => plan.scope(scope).parent,
        ScopeKind::Playbook
        | ScopeKind::Stage(_)
        | ScopeKind::Each(_)
        | ScopeKind::Task(_)
        | ScopeKind::When(_)
        | ScopeKind::Parallel => None,
    }
}

/// Returns the innermost lane that a scope is or stands in.
pub(super) fn lane_of(plan: &Plan, scope: ScopeId) -> Option<ScopeId> {
    let mut at = Some(scope);
    while let Some(id) = at {
        if matches!(plan.scope(id).kind, ScopeKind::Lane { .. }) {
            return Some(id);
        }
        at = plan.scope(id).parent;
    }
    None
}

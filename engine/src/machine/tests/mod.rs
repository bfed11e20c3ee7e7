//! The machine under a driver that is made up: plans by hand, answers by script, time by number.

mod approval;
mod clean;
mod hooks;
mod patience;
mod person;
mod simulate;
mod stories;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use dsl::program::{Effect as Touches, Expr, ExprKind, OnFailure, Retry};
use dsl::span::{FileId, Span};
use dsl::value::{Type, Value};
use indexmap::IndexMap;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};

use super::{Effect, Input, Machine};
use crate::action::Check;
use crate::event::{Event, Failure};
use crate::plan::{Branch, Lanes, Plan, Scope, ScopeId, ScopeKind, Step, StepId, Undo, Vertex, Work};

/// An element of a plan made by hand.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// A step with this name, and what is unusual about it.
    Step(&'static str, fn(&mut Step)),
    /// Lanes by name, with their windows, canaries and soak.
    Each(Vec<(String, Vec<Piece>)>, Vec<usize>, usize, u64),
    /// Elements whose order is free.
    Parallel(Vec<Piece>),
    /// One side of a `when` over what the step before gives back.
    When(bool, Vec<Piece>),
}

pub(super) fn step(name: &'static str) -> Piece {
    Piece::Step(name, |_| {})
}

struct Builder {
    plan: Plan,
}

impl Builder {
    fn scope(&mut self, kind: ScopeKind, key: String, parent: Option<ScopeId>) -> ScopeId {
        let id = ScopeId(self.plan.scopes.len() as u32);
        let open = self.plan.graph.add_node(Vertex::Open(id));
        let close = self.plan.graph.add_node(Vertex::Close(id));
        self.plan.scopes.push(Scope { kind, key, parent, open, close });
        id
    }

    fn fill(&mut self, scope: ScopeId, pieces: &[Piece], in_order: bool) {
        let (open, close) = (self.plan.scope(scope).open, self.plan.scope(scope).close);
        let mut last = open;
        let mut before = None;
        for piece in pieces {
            let (first, end) = match piece {
                Piece::When(is, pieces) => self.when(scope, *is, before.filter(|_| in_order), pieces),
                piece => self.piece(scope, piece),
            };
            if let Piece::Step(..) = piece {
                before = self.plan.ids().last();
            }
            self.plan.graph.add_edge(if in_order { last } else { open }, first, ());
            if in_order {
                last = end;
            } else {
                self.plan.graph.add_edge(end, close, ());
            }
        }
        if in_order || pieces.is_empty() {
            self.plan.graph.add_edge(last, close, ());
        }
    }

    /// Makes a side that waits for what a step gives back; without one it is known.
    fn when(
        &mut self,
        scope: ScopeId,
        is: bool,
        waits: Option<StepId>,
        pieces: &[Piece],
    ) -> (NodeIndex, NodeIndex) {
        let kind = match waits {
            Some(step) => {
                self.plan.steps[step.0 as usize].gives = Some(Type::Bool);
                ExprKind::Result(step.0, "r".into())
            }
            None => ExprKind::Literal(Value::Bool(true)),
        };
        let cond = Expr { kind, ty: Type::Bool, span: Span { file: FileId(0), start: 0, end: 0 } };
        let key = self.plan.scope(scope).key.clone();
        let key = if key.is_empty() { "when".to_string() } else { format!("{key}/when") };
        let side =
            self.scope(ScopeKind::When(Box::new(Branch { cond, text: "r".into(), is })), key, Some(scope));
        self.fill(side, pieces, true);
        (self.plan.scope(side).open, self.plan.scope(side).close)
    }

    fn piece(&mut self, scope: ScopeId, piece: &Piece) -> (NodeIndex, NodeIndex) {
        let base = self.plan.scope(scope).key.clone();
        let under = |name: &str| if base.is_empty() { name.to_string() } else { format!("{base}/{name}") };
        match piece {
            Piece::Step(name, change) => {
                let id = StepId(self.plan.steps.len() as u32);
                let vertex = self.plan.graph.add_node(Vertex::Step(id));
                let mut step = blank(under(name), scope, vertex);
                change(&mut step);
                self.plan.steps.push(step);
                (vertex, vertex)
            }
            Piece::Each(lanes, windows, canary, soak) => {
                let none = Lanes { lanes: vec![], windows: windows.clone(), canary: *canary, soak: *soak };
                let each = self.scope(ScopeKind::Each(none), base.clone(), Some(scope));
                let mut ids = Vec::new();
                let (open, close) = (self.plan.scope(each).open, self.plan.scope(each).close);
                for (name, pieces) in lanes {
                    let kind = ScopeKind::Lane { of: name.clone(), is_node: true };
                    let lane = self.scope(kind, under(name), Some(each));
                    self.plan.graph.add_edge(open, self.plan.scope(lane).open, ());
                    self.fill(lane, pieces, true);
                    self.plan.graph.add_edge(self.plan.scope(lane).close, close, ());
                    ids.push(lane);
                }
                if ids.is_empty() {
                    self.plan.graph.add_edge(open, close, ());
                }
                if let ScopeKind::Each(lanes) = &mut self.plan.scopes[each.0 as usize].kind {
                    lanes.lanes = ids;
                }
                (open, close)
            }
            Piece::Parallel(pieces) => {
                let free = self.scope(ScopeKind::Parallel, base.clone(), Some(scope));
                self.fill(free, pieces, false);
                (self.plan.scope(free).open, self.plan.scope(free).close)
            }
            Piece::When(..) => unreachable!("it is filled in by its sequence"),
        }
    }
}

fn blank(key: String, scope: ScopeId, vertex: NodeIndex) -> Step {
    Step {
        key,
        action: "work".into(),
        text: "work".into(),
        node: None,
        args: IndexMap::new(),
        later: IndexMap::new(),
        gives: None,
        effect: Touches::ChangesNode,
        long: false,
        timeout: 60_000,
        retry: Retry { times: 0, min: 100, max: 1_000 },
        undo: Undo::Itself,
        needs: vec![],
        ensures: vec![],
        follows: vec![],
        ends: vec![],
        prepares: false,
        preflight: false,
        work: Work::Runs,
        maybe: false,
        scope,
        vertex,
        span: Span { file: FileId(0), start: 0, end: 0 },
    }
}

/// Makes a plan of one sequence.
pub(super) fn plan(on_failure: OnFailure, pieces: &[Piece]) -> Arc<Plan> {
    let mut builder = Builder {
        plan: Plan {
            title: "made by hand".into(),
            params: IndexMap::new(),
            origins: IndexMap::new(),
            steps: vec![],
            scopes: vec![],
            graph: StableDiGraph::new(),
            on_failure,
            windows: Default::default(),
            approvals: Default::default(),
            scripts: IndexMap::new(),
            hosts: vec![],
            hooks: vec![],
        },
    };
    let root = builder.scope(ScopeKind::Playbook, String::new(), None);
    builder.fill(root, pieces, true);
    Arc::new(builder.plan)
}

/// Drives a machine by hand and keeps what happened.
pub(super) struct Hand {
    pub(super) machine: Machine,
    pub(super) now: u64,
    pub(super) journal: Vec<(u64, Event)>,
    pub(super) effects: VecDeque<Effect>,
}

impl Hand {
    pub(super) fn new(plan: &Arc<Plan>) -> Hand {
        Hand { machine: Machine::new(plan.clone(), 7), now: 0, journal: vec![], effects: VecDeque::new() }
    }

    pub(super) fn begun(plan: &Arc<Plan>) -> Hand {
        let mut hand = Hand::new(plan);
        hand.put(Input::Begin { by: "ana".into(), why: String::new() });
        hand
    }

    /// Reads the journal back, as after a crash.
    pub(super) fn reborn(&self) -> Hand {
        let machine = Machine::replay(self.machine.plan().clone(), 7, self.journal.iter().cloned());
        assert_eq!(machine.state(), self.machine.state());
        assert_eq!(machine.poll_timeout(), None);
        Hand { machine, now: self.now, journal: self.journal.clone(), effects: VecDeque::new() }
    }

    pub(super) fn put(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(event) = self.machine.poll_event() {
            self.journal.push((self.now, event));
        }
        while let Some(effect) = self.machine.poll_effect() {
            self.effects.push_back(effect);
        }
    }

    /// Lets time go on to the next deadline. That something is slow is told on the way.
    pub(super) fn tick(&mut self) {
        loop {
            self.now = self.machine.poll_timeout().expect("a deadline");
            self.put(Input::Tick);
            if !matches!(self.last(), Event::StepSlow { .. }) {
                break;
            }
        }
    }

    pub(super) fn id(&self, key: &str) -> StepId {
        let plan = self.machine.plan();
        plan.ids().find(|id| plan.step(*id).key == key).unwrap_or_else(|| panic!("no step `{key}`"))
    }

    /// Answers the first effect about a step.
    pub(super) fn answer(&mut self, key: &str, answer: impl FnOnce(StepId, u32) -> Input) {
        let id = self.id(key);
        let about = |effect: &Effect| match effect {
            Effect::Probe(step, attempt) | Effect::Cancel(step, attempt) => (*step, *attempt),
            Effect::Start { step, attempt, .. }
            | Effect::Follow { step, attempt, .. }
            | Effect::Undo { step, attempt, .. } => (*step, *attempt),
            Effect::Hook { .. } | Effect::Clean { .. } => (StepId(u32::MAX), 0),
        };
        let at = self.effects.iter().position(|e| about(e).0 == id);
        let at = at.unwrap_or_else(|| panic!("`{key}` is not asked for; asked: {:?}", self.asked()));
        let (step, attempt) = about(&self.effects.remove(at).expect("it was found"));
        self.put(answer(step, attempt));
    }

    /// Lets the step find work and begin it.
    pub(super) fn start(&mut self, key: &str) {
        self.answer(key, |s, a| Input::Probed(s, a, needs()));
    }

    /// Lets the step find work and do it.
    pub(super) fn ok(&mut self, key: &str) {
        self.start(key);
        self.answer(key, |s, a| Input::Done(s, a, Value::None));
    }

    /// Lets the step find work, do it and give something back.
    pub(super) fn give(&mut self, key: &str, value: Value) {
        self.start(key);
        self.answer(key, |s, a| Input::Done(s, a, value));
    }

    /// Lets the step find work and fail.
    pub(super) fn fail(&mut self, key: &str, failure: Failure) {
        self.start(key);
        self.answer(key, |s, a| Input::Failed(s, a, failure));
    }

    /// Lets the change of a step be taken back.
    pub(super) fn back(&mut self, key: &str) {
        self.answer(key, |s, a| Input::Undone(s, a, Ok(())));
    }

    /// Returns what is asked of the driver and not answered: `probe a`.
    pub(super) fn asked(&self) -> Vec<String> {
        let key = |id: &StepId| self.machine.plan().step(*id).key.clone();
        let say = |effect: &Effect| match effect {
            Effect::Probe(s, a) => format!("probe {} {a}", key(s)),
            Effect::Start { step, attempt, .. } => format!("start {} {attempt}", key(step)),
            Effect::Follow { step, attempt, .. } => format!("follow {} {attempt}", key(step)),
            Effect::Undo { step, attempt, .. } => format!("undo {} {attempt}", key(step)),
            Effect::Cancel(s, a) => format!("cancel {} {a}", key(s)),
            Effect::Clean { step, attempt, undo } => format!("clean {} {attempt} {undo}", key(step)),
            Effect::Hook { fired, .. } => {
                format!("hook {} {}", fired.number, self.machine.plan().hooks[fired.hook as usize].text)
            }
        };
        self.effects.iter().map(say).collect()
    }

    /// Returns the last event.
    pub(super) fn last(&self) -> &Event {
        &self.journal.last().expect("something happened").1
    }

    /// Returns what the run said when it paused.
    pub(super) fn paused(&self) -> &str {
        let text = self.journal.iter().rev().find_map(|(_, e)| match e {
            Event::RunPaused(text) => Some(text.as_str()),
            _ => None,
        });
        text.expect("the run has paused")
    }
}

pub(super) fn needs() -> Check {
    Check::Needs { now: "v1.33.4".into(), then: "v1.34.2".into(), before: Value::Text("was".into()) }
}

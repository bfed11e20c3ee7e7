//! The plan on the wire: a mirror of [`Plan`] in which steps, scopes and vertices name each other by
//! their places.

use dsl::program::{Effect, OnFailure, Retry, Thing, When};
use dsl::span::{FileId, Span};
use indexmap::IndexMap;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use serde::{Deserialize, Serialize};

use super::JournalError;
use super::expression::{WireExpr, WireType, read_later, write_later};
use super::value::{WireValue, read_map, write_map};
use crate::plan::{
    Branch, Gate, Hook, Lanes, Plan, Scope, ScopeId, ScopeKind, Step, StepId, Undo, UndoStep, Vertex, Work,
};

#[derive(Serialize, Deserialize)]
pub(super) struct WirePlan {
    title: String,
    params: IndexMap<String, WireValue>,
    #[serde(default)]
    origins: IndexMap<String, String>,
    steps: Vec<WireStep>,
    scopes: Vec<WireScope>,
    /// By index; a hole is a vertex that was taken out.
    vertices: Vec<Option<WireVertex>>,
    edges: Vec<(usize, usize)>,
    on_failure: WireOnFailure,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    approvals: Vec<WireApproval>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    windows: Vec<WireWindow>,
    // Plans of a kup that knew no scripts have neither.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    scripts: IndexMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hooks: Vec<WireHook>,
}

#[derive(Serialize, Deserialize)]
struct WireHook {
    on: WireThing,
    when: WireWhen,
    scope: Option<u32>,
    text: String,
    steps: Vec<WireUndoStep>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireThing {
    Run,
    Stage,
    Node,
    Step,
    Attempt,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireWhen {
    Started,
    Done,
    Failed,
    Waiting,
}

#[derive(Serialize, Deserialize)]
struct WireApproval {
    /// The step or the opening of the scope that it stands before.
    before: WireVertex,
    question: String,
}

#[derive(Serialize, Deserialize)]
struct WireWindow {
    /// The step or the opening of the scope that it stands before.
    before: WireVertex,
    window: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireVertex {
    Step(u32),
    Open(u32),
    Close(u32),
}

#[derive(Serialize, Deserialize)]
struct WireStep {
    key: String,
    action: String,
    text: String,
    node: Option<String>,
    args: IndexMap<String, WireValue>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    later: IndexMap<String, WireExpr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gives: Option<WireType>,
    effect: WireEffect,
    long: bool,
    timeout: u64,
    retry: WireRetry,
    undo: WireUndo,
    needs: Vec<String>,
    ensures: Vec<String>,
    follows: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ends: Vec<String>,
    prepares: bool,
    preflight: bool,
    work: WireWork,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    maybe: bool,
    scope: u32,
    vertex: usize,
    span: (u32, u32, u32),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireEffect {
    Reads,
    ChangesNode,
    DisruptsNode,
    ChangesCluster,
    ChangesHere,
    Decides,
}

#[derive(Serialize, Deserialize)]
struct WireRetry {
    times: u32,
    min: u64,
    max: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireWork {
    Runs,
    Change { now: String, then: String },
    Done(String),
    NotNeeded(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireUndo {
    Nothing,
    Itself,
    Steps(Vec<WireUndoStep>),
    OneWay(String),
}

#[derive(Serialize, Deserialize)]
struct WireUndoStep {
    action: String,
    text: String,
    args: IndexMap<String, WireValue>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    later: IndexMap<String, WireExpr>,
    node: Option<String>,
    long: bool,
    timeout: u64,
    retry: WireRetry,
}

#[derive(Serialize, Deserialize)]
struct WireScope {
    key: String,
    kind: WireScopeKind,
    parent: Option<u32>,
    open: usize,
    close: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireScopeKind {
    Playbook,
    Stage(String),
    Each { lanes: Vec<u32>, windows: Vec<usize>, canary: usize, soak: u64 },
    Lane { of: String, is_node: bool },
    Task(String),
    When { cond: WireExpr, text: String, is: bool },
    Parallel,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireOnFailure {
    Pause(String),
    Rollback,
    Abort,
    Continue(u32),
}

impl WirePlan {
    pub(super) fn write(plan: &Plan) -> WirePlan {
        let bound = plan.graph.node_indices().next_back().map_or(0, |i| i.index() + 1);
        let vertices = (0..bound).map(|i| plan.graph.node_weight(NodeIndex::new(i)).map(WireVertex::from));
        let edges = plan.graph.edge_references().map(|e| (e.source().index(), e.target().index()));
        WirePlan {
            title: plan.title.clone(),
            params: write_map(&plan.params),
            origins: plan.origins.clone(),
            steps: plan.steps.iter().map(WireStep::from).collect(),
            scopes: plan.scopes.iter().map(WireScope::from).collect(),
            vertices: vertices.collect(),
            edges: edges.collect(),
            on_failure: match &plan.on_failure {
                OnFailure::Pause(text) => WireOnFailure::Pause(text.clone()),
                OnFailure::Rollback => WireOnFailure::Rollback,
                OnFailure::Abort => WireOnFailure::Abort,
                OnFailure::Continue(lanes) => WireOnFailure::Continue(*lanes),
            },
            approvals: plan
                .approvals
                .iter()
                .map(|(gate, question)| WireApproval { before: (*gate).into(), question: question.clone() })
                .collect(),
            windows: plan
                .windows
                .iter()
                .map(|(gate, window)| WireWindow { before: (*gate).into(), window: window.clone() })
                .collect(),
            scripts: plan.scripts.clone(),
            hosts: plan.hosts.clone(),
            hooks: plan.hooks.iter().map(WireHook::from).collect(),
        }
    }

    pub(super) fn read(self) -> Result<Plan, JournalError> {
        let missing =
            |what: &str| JournalError::Content(format!("the plan names {what} that it does not have"));
        let (steps, scopes, bound) = (self.steps.len(), self.scopes.len(), self.vertices.len());
        let mut graph = StableDiGraph::new();
        let mut holes = Vec::new();
        for vertex in self.vertices {
            let (weight, hole) = match vertex {
                None => (Vertex::Open(ScopeId(0)), true),
                Some(WireVertex::Step(id)) => (Vertex::Step(StepId(id)), false),
                Some(WireVertex::Open(id)) => (Vertex::Open(ScopeId(id)), false),
                Some(WireVertex::Close(id)) => (Vertex::Close(ScopeId(id)), false),
            };
            let known = match weight {
                Vertex::Step(id) => (id.0 as usize) < steps,
                Vertex::Open(id) | Vertex::Close(id) => (id.0 as usize) < scopes,
            };
            if !known && !hole {
                return Err(missing("a step or a scope"));
            }
            let index = graph.add_node(weight);
            if hole {
                holes.push(index);
            }
        }
        for hole in holes {
            graph.remove_node(hole);
        }
        for (from, to) in self.edges {
            let (from, to) = (NodeIndex::new(from), NodeIndex::new(to));
            if !graph.contains_node(from) || !graph.contains_node(to) {
                return Err(missing("a vertex"));
            }
            graph.add_edge(from, to, ());
        }
        let vertex =
            |index: usize| if index < bound { Ok(NodeIndex::new(index)) } else { Err(missing("a vertex")) };
        let scope = |id: u32| if (id as usize) < scopes { Ok(ScopeId(id)) } else { Err(missing("a scope")) };
        let step = |s: WireStep| -> Result<Step, JournalError> {
            Ok(Step {
                key: s.key,
                action: s.action,
                text: s.text,
                node: s.node,
                args: read_map(s.args)?,
                later: read_later(s.later, steps)?,
                gives: s.gives.map(WireType::read),
                effect: s.effect.into(),
                long: s.long,
                timeout: s.timeout,
                retry: s.retry.into(),
                undo: s.undo.read(steps)?,
                needs: s.needs,
                ensures: s.ensures,
                follows: s.follows,
                ends: s.ends,
                prepares: s.prepares,
                preflight: s.preflight,
                work: s.work.into(),
                maybe: s.maybe,
                scope: scope(s.scope)?,
                vertex: vertex(s.vertex)?,
                span: Span { file: FileId(s.span.0), start: s.span.1, end: s.span.2 },
            })
        };
        let block = |s: WireScope| -> Result<Scope, JournalError> {
            Ok(Scope {
                kind: match s.kind {
                    WireScopeKind::Playbook => ScopeKind::Playbook,
                    WireScopeKind::Stage(name) => ScopeKind::Stage(name),
                    WireScopeKind::Each { lanes, windows, canary, soak } => ScopeKind::Each(Lanes {
                        lanes: lanes.into_iter().map(scope).collect::<Result<_, _>>()?,
                        windows,
                        canary,
                        soak,
                    }),
                    WireScopeKind::Lane { of, is_node } => ScopeKind::Lane { of, is_node },
                    WireScopeKind::Task(name) => ScopeKind::Task(name),
                    WireScopeKind::When { cond, text, is } => {
                        ScopeKind::When(Box::new(Branch { cond: cond.read(steps)?, text, is }))
                    }
                    WireScopeKind::Parallel => ScopeKind::Parallel,
                },
                key: s.key,
                parent: s.parent.map(scope).transpose()?,
                open: vertex(s.open)?,
                close: vertex(s.close)?,
            })
        };
        let gate = |before: WireVertex| match before {
            WireVertex::Step(id) if (id as usize) < steps => Ok(Gate::Step(StepId(id))),
            WireVertex::Open(id) if (id as usize) < scopes => Ok(Gate::Scope(ScopeId(id))),
            WireVertex::Step(_) | WireVertex::Open(_) | WireVertex::Close(_) => {
                Err(missing("a step or a scope"))
            }
        };
        let hook = |h: WireHook| -> Result<Hook, JournalError> {
            Ok(Hook {
                on: h.on.into(),
                when: h.when.into(),
                scope: h.scope.map(scope).transpose()?,
                text: h.text,
                steps: h.steps.into_iter().map(|step| step.read(steps)).collect::<Result<_, _>>()?,
            })
        };
        let hooks = self.hooks.into_iter().map(hook).collect::<Result<_, _>>()?;
        Ok(Plan {
            title: self.title,
            params: read_map(self.params)?,
            origins: self.origins,
            steps: self.steps.into_iter().map(step).collect::<Result<_, _>>()?,
            scopes: self.scopes.into_iter().map(block).collect::<Result<_, _>>()?,
            graph,
            on_failure: match self.on_failure {
                WireOnFailure::Pause(text) => OnFailure::Pause(text),
                WireOnFailure::Rollback => OnFailure::Rollback,
                WireOnFailure::Abort => OnFailure::Abort,
                WireOnFailure::Continue(lanes) => OnFailure::Continue(lanes),
            },
            approvals: self
                .approvals
                .into_iter()
                .map(|approval| Ok((gate(approval.before)?, approval.question)))
                .collect::<Result<_, JournalError>>()?,
            windows: self
                .windows
                .into_iter()
                .map(|held| Ok((gate(held.before)?, held.window)))
                .collect::<Result<_, JournalError>>()?,
            scripts: self.scripts,
            hosts: self.hosts,
            hooks,
        })
    }
}

impl From<Gate> for WireVertex {
    fn from(gate: Gate) -> WireVertex {
        match gate {
            Gate::Step(id) => WireVertex::Step(id.0),
            Gate::Scope(id) => WireVertex::Open(id.0),
        }
    }
}

impl From<&Vertex> for WireVertex {
    fn from(vertex: &Vertex) -> WireVertex {
        match *vertex {
            Vertex::Step(id) => WireVertex::Step(id.0),
            Vertex::Open(id) => WireVertex::Open(id.0),
            Vertex::Close(id) => WireVertex::Close(id.0),
        }
    }
}

impl From<&Step> for WireStep {
    fn from(s: &Step) -> WireStep {
        WireStep {
            key: s.key.clone(),
            action: s.action.clone(),
            text: s.text.clone(),
            node: s.node.clone(),
            args: write_map(&s.args),
            later: write_later(&s.later),
            gives: s.gives.as_ref().map(WireType::from),
            effect: match s.effect {
                Effect::Reads => WireEffect::Reads,
                Effect::ChangesNode => WireEffect::ChangesNode,
                Effect::DisruptsNode => WireEffect::DisruptsNode,
                Effect::ChangesCluster => WireEffect::ChangesCluster,
                Effect::ChangesHere => WireEffect::ChangesHere,
                Effect::Decides => WireEffect::Decides,
            },
            long: s.long,
            timeout: s.timeout,
            retry: s.retry.into(),
            undo: WireUndo::from(&s.undo),
            needs: s.needs.clone(),
            ensures: s.ensures.clone(),
            follows: s.follows.clone(),
            ends: s.ends.clone(),
            prepares: s.prepares,
            preflight: s.preflight,
            work: match s.work.clone() {
                Work::Runs => WireWork::Runs,
                Work::Change { now, then } => WireWork::Change { now, then },
                Work::Done(why) => WireWork::Done(why),
                Work::NotNeeded(why) => WireWork::NotNeeded(why),
            },
            maybe: s.maybe,
            scope: s.scope.0,
            vertex: s.vertex.index(),
            span: (s.span.file.0, s.span.start, s.span.end),
        }
    }
}

impl From<&Scope> for WireScope {
    fn from(s: &Scope) -> WireScope {
        WireScope {
            key: s.key.clone(),
            kind: match s.kind.clone() {
                ScopeKind::Playbook => WireScopeKind::Playbook,
                ScopeKind::Stage(name) => WireScopeKind::Stage(name),
                ScopeKind::Each(Lanes { lanes, windows, canary, soak }) => WireScopeKind::Each {
                    lanes: lanes.into_iter().map(|l| l.0).collect(),
                    windows,
                    canary,
                    soak,
                },
                ScopeKind::Lane { of, is_node } => WireScopeKind::Lane { of, is_node },
                ScopeKind::Task(name) => WireScopeKind::Task(name),
                ScopeKind::When(when) => {
                    let Branch { cond, text, is } = *when;
                    WireScopeKind::When { cond: WireExpr::write(&cond), text, is }
                }
                ScopeKind::Parallel => WireScopeKind::Parallel,
            },
            parent: s.parent.map(|p| p.0),
            open: s.open.index(),
            close: s.close.index(),
        }
    }
}

impl From<&Undo> for WireUndo {
    fn from(undo: &Undo) -> WireUndo {
        match undo {
            Undo::Nothing => WireUndo::Nothing,
            Undo::Itself => WireUndo::Itself,
            Undo::OneWay(why) => WireUndo::OneWay(why.clone()),
            Undo::Steps(steps) => WireUndo::Steps(steps.iter().map(WireUndoStep::from).collect()),
        }
    }
}

impl From<&UndoStep> for WireUndoStep {
    fn from(s: &UndoStep) -> WireUndoStep {
        WireUndoStep {
            action: s.action.clone(),
            text: s.text.clone(),
            args: write_map(&s.args),
            later: write_later(&s.later),
            node: s.node.clone(),
            long: s.long,
            timeout: s.timeout,
            retry: s.retry.into(),
        }
    }
}

impl WireUndoStep {
    fn read(self, steps: usize) -> Result<UndoStep, JournalError> {
        Ok(UndoStep {
            action: self.action,
            text: self.text,
            args: read_map(self.args)?,
            later: read_later(self.later, steps)?,
            node: self.node,
            long: self.long,
            timeout: self.timeout,
            retry: self.retry.into(),
        })
    }
}

impl From<&Hook> for WireHook {
    fn from(hook: &Hook) -> WireHook {
        WireHook {
            on: match hook.on {
                Thing::Run => WireThing::Run,
                Thing::Stage => WireThing::Stage,
                Thing::Node => WireThing::Node,
                Thing::Step => WireThing::Step,
                Thing::Attempt => WireThing::Attempt,
            },
            when: match hook.when {
                When::Started => WireWhen::Started,
                When::Done => WireWhen::Done,
                When::Failed => WireWhen::Failed,
                When::Waiting => WireWhen::Waiting,
            },
            scope: hook.scope.map(|s| s.0),
            text: hook.text.clone(),
            steps: hook.steps.iter().map(WireUndoStep::from).collect(),
        }
    }
}

impl From<WireThing> for Thing {
    fn from(thing: WireThing) -> Thing {
        match thing {
            WireThing::Run => Thing::Run,
            WireThing::Stage => Thing::Stage,
            WireThing::Node => Thing::Node,
            WireThing::Step => Thing::Step,
            WireThing::Attempt => Thing::Attempt,
        }
    }
}

impl From<WireWhen> for When {
    fn from(when: WireWhen) -> When {
        match when {
            WireWhen::Started => When::Started,
            WireWhen::Done => When::Done,
            WireWhen::Failed => When::Failed,
            WireWhen::Waiting => When::Waiting,
        }
    }
}

impl WireUndo {
    fn read(self, plan_steps: usize) -> Result<Undo, JournalError> {
        Ok(match self {
            WireUndo::Nothing => Undo::Nothing,
            WireUndo::Itself => Undo::Itself,
            WireUndo::OneWay(why) => Undo::OneWay(why),
            WireUndo::Steps(steps) => {
                Undo::Steps(steps.into_iter().map(|step| step.read(plan_steps)).collect::<Result<_, _>>()?)
            }
        })
    }
}

impl From<WireEffect> for Effect {
    fn from(effect: WireEffect) -> Effect {
        match effect {
            WireEffect::Reads => Effect::Reads,
            WireEffect::ChangesNode => Effect::ChangesNode,
            WireEffect::DisruptsNode => Effect::DisruptsNode,
            WireEffect::ChangesCluster => Effect::ChangesCluster,
            WireEffect::ChangesHere => Effect::ChangesHere,
            WireEffect::Decides => Effect::Decides,
        }
    }
}

impl From<WireWork> for Work {
    fn from(work: WireWork) -> Work {
        match work {
            WireWork::Runs => Work::Runs,
            WireWork::Change { now, then } => Work::Change { now, then },
            WireWork::Done(why) => Work::Done(why),
            WireWork::NotNeeded(why) => Work::NotNeeded(why),
        }
    }
}

impl From<Retry> for WireRetry {
    fn from(retry: Retry) -> WireRetry {
        WireRetry { times: retry.times, min: retry.min, max: retry.max }
    }
}

impl From<WireRetry> for Retry {
    fn from(retry: WireRetry) -> Retry {
        Retry { times: retry.times, min: retry.min, max: retry.max }
    }
}

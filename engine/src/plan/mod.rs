//! The plan: a program unrolled over an inventory, as a DAG. Every step stands alone, with its
//! values; nothing of the text is needed to run it.
//!
//! The vertices are steps and the two ends of scopes. `a { b }` is `Open(a) -> b -> Close(a)`, so a
//! barrier over 500 lanes costs 500 edges and not 500 x 500.

mod approval;
mod build;
mod claims;
mod digest;
mod expand;
mod forecast;
mod hook;
mod order;
mod policy;
mod show;
mod stale;
mod undo;
mod validate;
mod when;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dsl::program::{Effect, Expr, OnFailure, Retry, Thing, When};
use dsl::span::Span;
use dsl::value::{Type, Value};
use indexmap::IndexMap;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};

pub use self::build::build;
pub use self::digest::digest;
pub use self::forecast::{Probe, forecast};
pub(crate) use self::hook::{fill, fill_line};
pub use self::show::{params, show};
pub use self::when::Branch;

/// Names a step of [`Plan::steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub u32);

/// Names a scope of [`Plan::scopes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub u32);

/// A program unrolled over an inventory.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The playbook's title.
    pub title: String,
    /// The playbook's parameters with their values.
    pub params: IndexMap<String, Value>,
    /// Where the value of each parameter comes from, as people read it; a plan is the same plan
    /// wherever its values come from.
    pub origins: IndexMap<String, String>,
    /// The steps, in the order of the text and the lanes.
    pub steps: Vec<Step>,
    /// The scopes; a parent stands before its children. Scope 0 is the playbook.
    pub scopes: Vec<Scope>,
    /// Who waits for whom.
    pub graph: StableDiGraph<Vertex, ()>,
    /// What to do when a step has failed for good.
    pub on_failure: OnFailure,
    /// In which maintenance window what may begin, where it changes something.
    pub windows: BTreeMap<Gate, String>,
    /// What somebody must say yes to, and before what.
    pub approvals: BTreeMap<Gate, String>,
    /// The scripts, by the names of the actions that they are.
    pub scripts: IndexMap<String, String>,
    /// Whom scripts may talk to: `hooks.slack.com`, `prometheus:9090`.
    pub hosts: Vec<String>,
    /// What is said, asked and decided when something happens.
    pub hooks: Vec<Hook>,
}

/// What is said, asked and decided when something happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// To what it happens.
    pub on: Thing,
    /// What happens.
    pub when: When,
    /// To which one; `None`: to any of its kind.
    pub scope: Option<ScopeId>,
    /// The event as people read it: `stage workers done`.
    pub text: String,
    /// What is done, one after the other.
    pub steps: Vec<UndoStep>,
}

/// What an approval or a maintenance window stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// A step's first attempt.
    Step(StepId),
    /// A scope's first step; of an `each`, the lanes behind its canaries.
    Scope(ScopeId),
}

/// A vertex of [`Plan::graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vertex {
    /// A step.
    Step(StepId),
    /// The beginning of a scope.
    Open(ScopeId),
    /// The end of a scope.
    Close(ScopeId),
}

/// One verb on one node, with all its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// A durable name, unique in the plan: `control_plane/cp1/drain`. Journals and commands use it.
    pub key: String,
    /// The action's name: `kubeadm upgrade apply`.
    pub action: String,
    /// The step as people read it: `kubeadm upgrade apply to=v1.34.2`, or what `name` says.
    pub text: String,
    /// The node it is about, if any.
    pub node: Option<String>,
    /// Its arguments by parameter; those that wait for results are none.
    pub args: IndexMap<String, Value>,
    /// The arguments that wait for results of earlier steps.
    pub later: IndexMap<String, Expr>,
    /// What it gives back, if somebody may ask.
    pub gives: Option<Type>,
    /// What it touches.
    pub effect: Effect,
    /// On a node it runs detached.
    pub long: bool,
    /// How long one attempt may take, in milliseconds.
    pub timeout: u64,
    /// How often and when to try again.
    pub retry: Retry,
    /// How its change is taken back.
    pub undo: Undo,
    /// Facts that must hold before, e.g. `drained(w1)`.
    pub needs: Vec<String>,
    /// Facts that hold afterwards.
    pub ensures: Vec<String>,
    /// It has work where an earlier step that ensures one of these has work (a step that reads: only
    /// there).
    pub follows: Vec<String>,
    /// Facts that no longer hold afterwards: what comes behind it is no reason to prepare before it.
    pub ends: Vec<String>,
    /// It only has work where a later step has work that needs what it ensures, or that changes the node
    /// it prepares.
    pub prepares: bool,
    /// Its verdict counts already when the plan is made.
    pub preflight: bool,
    /// Whether there is work, as far as is known.
    pub work: Work,
    /// Whether that depends on what is known only during the run.
    pub maybe: bool,
    /// The scope it stands in.
    pub scope: ScopeId,
    /// Its vertex.
    pub vertex: NodeIndex,
    /// Where it was written; names a file of the playbook's sources.
    pub span: Span,
}

impl Step {
    /// Returns whether the step is wanted and changes something.
    pub fn changes(&self) -> bool {
        let touches = match self.effect {
            Effect::ChangesNode | Effect::DisruptsNode | Effect::ChangesCluster | Effect::ChangesHere => true,
            Effect::Reads | Effect::Decides => false,
        };
        touches && self.work.is_wanted()
    }
}

/// What probing has shown about a step before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// It only reads, or it could not be asked: it runs.
    Runs,
    /// It has work: what is now, and what will be.
    Change {
        /// What the node or cluster has now; may be empty.
        now: String,
        /// What it will have; may be empty.
        then: String,
    },
    /// Its work is done already; why.
    Done(String),
    /// It would only prepare or follow, and there is nothing to prepare or follow.
    NotNeeded(String),
}

impl Work {
    /// Returns whether the step will be performed.
    pub fn is_wanted(&self) -> bool {
        matches!(self, Work::Runs | Work::Change { .. })
    }
}

/// How a step's change is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum Undo {
    /// Leaving it does no harm.
    Nothing,
    /// The action does it.
    Itself,
    /// Other actions do it, in this order.
    Steps(Vec<UndoStep>),
    /// It cannot be taken back; why.
    OneWay(String),
}

/// A verb with its values, outside of the DAG: of an undo block, or of a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoStep {
    /// The action's name.
    pub action: String,
    /// The step as people read it.
    pub text: String,
    /// Its arguments by parameter; those that wait for results are none.
    pub args: IndexMap<String, Value>,
    /// The arguments that wait for results of earlier steps.
    pub later: IndexMap<String, Expr>,
    /// The node it is about, if any.
    pub node: Option<String>,
    /// On a node it runs detached.
    pub long: bool,
    /// How long one attempt may take, in milliseconds.
    pub timeout: u64,
    /// How often and when to try again.
    pub retry: Retry,
}

/// A block of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// What kind of block.
    pub kind: ScopeKind,
    /// A durable name: `workers/w1`.
    pub key: String,
    /// The scope around it.
    pub parent: Option<ScopeId>,
    /// The vertex of its beginning.
    pub open: NodeIndex,
    /// The vertex of its end.
    pub close: NodeIndex,
}

/// What kind of block a scope is.
#[derive(Clone, Debug, PartialEq)]
pub enum ScopeKind {
    /// The playbook.
    Playbook,
    /// A stage.
    Stage(String),
    /// All lanes of an `each`. The machine opens its lanes in order, never more at once than the
    /// window says.
    Each(Lanes),
    /// One lane of an `each`.
    Lane {
        /// The element: a node's name, or the value as text.
        of: String,
        /// Whether the element is a node.
        is_node: bool,
    },
    /// A task written in kup, where it was called.
    Task(String),
    /// `when cond { }`, or its `else`: decided during the run.
    When(Box<Branch>),
    /// `parallel { }`
    Parallel,
}

/// How the lanes of an `each` go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// The lanes, in order.
    pub lanes: Vec<ScopeId>,
    /// How many may be open at once; a ramp widens after as many lanes as the window holds have
    /// ended well. Never empty, never 0.
    pub windows: Vec<usize>,
    /// So many lanes go first and must end well before any other begins.
    pub canary: usize,
    /// How long to wait after the canaries, in milliseconds.
    pub soak: u64,
}

impl Plan {
    /// Returns the step of an id.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.0 as usize]
    }

    /// Returns the scope of an id.
    pub fn scope(&self, id: ScopeId) -> &Scope {
        &self.scopes[id.0 as usize]
    }

    /// Returns how many steps will change something, whatever is found during the run.
    pub fn changes(&self) -> usize {
        self.steps.iter().filter(|step| step.changes() && !step.maybe).count()
    }

    /// Returns whether any step will change something, or may.
    pub fn has_work(&self) -> bool {
        self.steps.iter().any(Step::changes)
    }

    /// Returns the arguments of all steps, and of those that take them back.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.steps.iter().flat_map(|step| {
            let undo = match &step.undo {
                Undo::Steps(steps) => steps.as_slice(),
                Undo::Nothing | Undo::Itself | Undo::OneWay(_) => &[],
            };
            step.args.values().chain(undo.iter().flat_map(|undo| undo.args.values()))
        })
    }

    /// Returns what stands directly before a vertex.
    pub fn before(&self, vertex: Vertex) -> impl Iterator<Item = Vertex> + '_ {
        let index = match vertex {
            Vertex::Step(id) => self.step(id).vertex,
            Vertex::Open(id) => self.scope(id).open,
            Vertex::Close(id) => self.scope(id).close,
        };
        self.graph.neighbors_directed(index, petgraph::Direction::Incoming).map(|before| self.graph[before])
    }

    /// Returns all step ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = StepId> + use<> {
        (0..self.steps.len() as u32).map(StepId)
    }
}

//! What a native verb does: look, begin, follow, take back. Nothing blocks for long inside an
//! action; what takes time goes on by itself and is polled.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use indexmap::IndexMap;

use crate::event::Failure;
use crate::inventory::{Inventory, Node};
use crate::port::Ports;
use crate::secret::Secrets;

/// A verb done in Rust. Its types, effect and claims stand in its header in kup text, not here.
#[async_trait]
pub trait Action: Send + Sync {
    /// Returns the verb's words, as its header has them.
    fn name(&self) -> &'static str;

    /// Returns the parameters that are lines for a shell: what comes into them from outside of the playbook,
    /// such as what an earlier step gave back, is quoted there.
    fn lines(&self) -> &'static [&'static str] {
        &[]
    }

    /// Looks, without changing anything, whether the work is done already. Called when the plan
    /// is made, before each attempt, and when a run is resumed. A verb that only reads answers
    /// [`Check::Needs`].
    async fn check(&self, cx: &Context) -> Result<Check, Failure>;

    /// Begins the work. What `check` found is in `before`. May be called again after a crash with
    /// the outcome of the last call unknown: it must find what it began, or be idempotent.
    async fn start(&self, cx: &Context, before: &Value) -> Result<Progress, Failure>;

    /// Looks how the work goes on. Called until it is done or failed, also by another process than
    /// the one that began it.
    async fn poll(&self, cx: &Context, handle: &Value) -> Result<Progress, Failure> {
        let _ = (cx, handle);
        Ok(Progress::Done(Value::None))
    }

    /// Takes the change back. Only called for verbs whose header says `undo itself`.
    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let _ = (cx, before);
        Ok(())
    }

    /// Removes what this attempt and earlier ones have left on the node to tell how they ended. Called
    /// once that is on disk, perhaps twice, perhaps never; what still goes on stays. Only called for steps
    /// that are `long`.
    async fn clean(&self, cx: &Context) {
        let _ = cx;
    }
}

/// What a look has shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The work is done; what shows it, e.g. `kubelet is v1.34.2`.
    Done(String),
    /// There is work.
    Needs {
        /// What is now, e.g. `v1.33.4`; may be empty.
        now: String,
        /// What will be, e.g. `v1.34.2`; may be empty.
        then: String,
        /// What an undo must know.
        before: Value,
    },
}

/// Stands between something that is waited for and its own cause.
pub const BECAUSE: &str = " <- ";

/// How far the work is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// It goes on.
    Pending {
        /// How to find it again; journaled when it first appears.
        handle: Value,
        /// What it waits for, and behind each [`BECAUSE`] why, down to the root, e.g.
        /// `pod shop/db-1 <- PDB shop/db needs 2 healthy, has 1 <- pod shop/db-0 on w2 is not Ready`.
        reason: String,
        /// When to look again.
        again: Duration,
    },
    /// It is done; what it gives back.
    Done(Value),
}

/// What an action is given.
#[derive(Clone)]
pub struct Context {
    /// The ports.
    pub ports: Arc<Ports>,
    /// The cluster as it was when the run began.
    pub inventory: Arc<Inventory>,
    /// The run's id; names what the run leaves on nodes.
    pub run: Arc<str>,
    /// The step's durable key.
    pub key: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The node the step is about.
    pub node: Option<Arc<Node>>,
    /// The arguments by parameter.
    pub args: IndexMap<String, Value>,
    /// Reads those of them that are secrets.
    pub secrets: Arc<Secrets>,
    /// Whether it must run detached on its node.
    pub long: bool,
    /// Whether somebody may ask for what it gives back.
    pub gives: bool,
    /// The folder that relative paths of the playbook start from.
    pub folder: Arc<std::path::Path>,
}

/// Tells whether any step of the plan ensures a fact.
pub type Ensured<'p> = dyn Fn(&str) -> bool + Sync + 'p;

/// Knows which nodes are still there. How a node comes and goes is a matter of the vocabulary, as the verbs are.
#[async_trait]
pub trait Census: Send + Sync {
    /// Returns whether a node has left although nobody planned that. Asked after each failure on a node, so it must
    /// have a deadline of its own.
    async fn is_gone(
        &self,
        node: &Node,
        inventory: &Inventory,
        ports: &Ports,
        is_ensured: &Ensured<'_>,
    ) -> bool;
}

/// All native verbs by name, and what is known beside them.
#[derive(Clone, Default)]
pub struct Actions {
    verbs: IndexMap<&'static str, Arc<dyn Action>>,
    census: Option<Arc<dyn Census>>,
}

impl Actions {
    /// Collects actions.
    pub fn new(actions: impl IntoIterator<Item = Arc<dyn Action>>) -> Actions {
        Actions { verbs: actions.into_iter().map(|a| (a.name(), a)).collect(), census: None }
    }

    /// Adds who knows which nodes are still there; without it, all of them are.
    pub fn with_census(self, census: Arc<dyn Census>) -> Actions {
        Actions { census: Some(census), ..self }
    }

    /// Returns who knows which nodes are still there.
    pub(crate) fn census(&self) -> Option<&dyn Census> {
        self.census.as_deref()
    }

    /// Returns the action of a verb.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Action>> {
        self.verbs.get(name)
    }

    /// Returns whether a parameter of a verb is a line for a shell.
    pub fn is_line(&self, name: &str, param: &str) -> bool {
        self.get(name).is_some_and(|action| action.lines().contains(&param))
    }

    /// Returns the names of all verbs.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.verbs.keys().copied()
    }
}

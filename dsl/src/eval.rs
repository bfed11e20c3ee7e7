//! Evaluates expressions against the facts of an inventory. Pure: the same program, values and
//! facts give the same result.

use crate::program::Set;
use crate::value::Value;

/// What an expression may ask about the cluster.
pub trait Facts {
    /// Returns the nodes of a set, by name, in the inventory's stable order.
    fn set(&self, set: Set) -> Vec<String>;
    /// Returns a fact of a node; `None`: the node or the fact is not known.
    fn fact(&self, node: &str, fact: &str) -> Option<Value>;
    /// Returns a label of a node.
    fn label(&self, node: &str, key: &str) -> Option<String>;
}

/// What an expression sees.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The playbook's parameters.
    pub params: &'a [Value],
    /// The frame of the task or stage: parameters and loop variables.
    pub locals: &'a [Value],
    /// The node of the innermost `each`.
    pub here: Option<&'a str>,
    /// The node that `where` looks at.
    pub it: Option<&'a str>,
    /// The cluster.
    pub facts: &'a dyn Facts,
}

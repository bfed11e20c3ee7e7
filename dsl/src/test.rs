//! What a test of a playbook says: what is tested, on which simulated cluster, and what is expected of
//! the plan and of the run. The names are proved; whether it holds is for those to say who can run it.

use std::sync::Arc;

use crate::program::Program;
use crate::span::Span;

/// The cluster of a test that names none.
pub const SHAPE: &str = "3+5@v1.33.4";

/// A test.
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// The place of its name.
    pub span: Span,
    /// What is tested.
    pub program: Arc<Program>,
    /// The file that relative paths of it start beside.
    pub path: String,
    /// The shape of the simulated cluster, as `--sim` has it.
    pub shape: (String, Span),
    /// What its chances are drawn from.
    pub seed: u64,
    /// What goes wrong, as `--fault` has it.
    pub faults: Vec<(String, Span)>,
    /// Parameters and their values, as `--set` has them.
    pub set: Vec<(String, String)>,
    /// What is expected, in the order of the text.
    pub expected: Vec<Expected>,
}

/// Something that is expected.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What.
    pub what: What,
    /// The place of it.
    pub span: Span,
    /// As written, on one line.
    pub text: String,
}

/// What is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The plan reads like this; the place is that of the text with its quotes.
    Plan(String, Span),
    /// So many steps changed something.
    Changes(u64),
    /// An attempt failed, and its message or output has this in it.
    Failure(String),
    /// The run ended so.
    End(End, Said),
    /// The plan has such a step.
    Planned(Steps),
    /// The plan has no such step.
    None(Steps),
    /// All such steps went so, and there is one.
    Went(Steps, Went),
    /// All of the first were done before any of the second began.
    Before(Steps, Steps),
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is done.
    Done,
    /// It holds, and could be resumed.
    Paused,
    /// It failed, and what it had done was taken back.
    Undone,
    /// It failed, and something of what it had done is still there.
    Failed,
    /// It did not begin: a check, a law or a mistake forbids it.
    Refused,
}

/// What is said when a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Anything.
    Anything,
    /// Something with this text in it.
    Text(String),
    /// A finding with this code.
    Code(String),
}

/// Steps of a plan: a verb with some of its arguments, and perhaps their node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The verb.
    pub verb: String,
    /// Arguments, as a plan shows them.
    pub args: Vec<String>,
    /// The node.
    pub node: Option<String>,
}

/// How a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It was performed.
    Ran,
    /// It was not performed: its work was done already, or not needed.
    Skipped,
    /// It failed for good.
    Failed,
    /// Its change was taken back.
    Undone,
}

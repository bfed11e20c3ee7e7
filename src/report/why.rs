//! What `kup why --json` prints.

use serde::{Deserialize, Serialize};

/// Why a run, or a node of it, does not go on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WhyLine {
    /// The version of the page.
    pub(crate) v: u32,
    /// Always `why`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The run.
    pub(crate) run: String,
    /// How it stands.
    pub(crate) state: String,
    /// Whether a process is at work on it.
    pub(crate) alive: bool,
    /// The node that was asked for.
    pub(crate) node: Option<String>,
    /// What waits or failed.
    pub(crate) causes: Vec<CauseLine>,
    /// What to type next.
    pub(crate) next: Vec<String>,
}

/// Something that waits or failed, and why.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CauseLine {
    /// What kind of thing it is.
    pub(crate) kind: String,
    /// What people read.
    pub(crate) text: String,
    /// The key of the step, if it is one.
    pub(crate) step: Option<String>,
    /// Its node.
    pub(crate) node: Option<String>,
    /// What to do about it.
    pub(crate) hint: String,
    /// What it waits for or failed by.
    pub(crate) causes: Vec<CauseLine>,
}

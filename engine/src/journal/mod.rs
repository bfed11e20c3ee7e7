//! The journal: what a run has said, on disk before it is true. One folder a run, one line an event,
//! readable with `less`, `jq` and `sha256sum`.
//!
//! ```text
//! ROOT/runs/20261121-120305-4f2a/     0700
//!     plan.json                       0600  the plan and the inventory, so that any kup can go on
//!     journal.jsonl                   0600  header, then events; each line vouches for the one before
//! ```
//!
//! Packed it is one file ([`Folder::pack`]), which another machine can take over.
//!
//! Invariant: an event is appended and synced before its effect begins, and no write is tried twice:
//! after a failed write or sync nobody knows what is on disk, so the run ends there.

mod again;
mod expression;
mod format;
mod pack;
mod read;
mod store;
mod stored;
mod stored_plan;
mod value;
mod write;

use std::path::PathBuf;

use thiserror::Error;

pub use again::Again;
pub use format::{Header, Keys, VERSION};
pub use read::{Recorded, Torn};
pub use store::{Folder, Store, run_id};
pub(crate) use store::{lock_alone, sync_folder};
pub use stored::Stored;
pub use write::{Journal, Storage};

/// Why a journal cannot be written or read.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The disk said no. The run ends before the effect that was to be recorded.
    #[error(
        "cannot write `{}`: {source}; nothing was begun that is not recorded; \
         make room or mend the disk, then go on with `kup resume`",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An earlier write failed.
    #[error("the journal is closed since a write failed; go on with `kup resume`")]
    Closed,
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process writes it.
    #[error("another kup works on run `{0}`; wait for it, or look at it with `kup status {0}`")]
    Busy(String),
    /// What was written is not what is there.
    #[error(
        "the journal is damaged at byte {offset}: {reason}; do not edit it: restore it from a copy, \
         or look at the nodes and begin a new run"
    )]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A later kup wrote it.
    #[error("the journal has version {0}, this kup reads version {VERSION}; use the kup that wrote it")]
    Version(u64),
    /// It belongs to another plan.
    #[error(
        "a journal of another run: it was written for plan {found}, not {wanted}; \
         put the run's own `plan.json` and `journal.jsonl` back together"
    )]
    OtherRun {
        /// The digest in the journal.
        found: String,
        /// The digest of the plan.
        wanted: String,
    },
    /// A line or a file is whole, but says something that cannot be.
    #[error("{0}")]
    Content(String),
    /// There is no such run.
    #[error("no run `{0}`; `kup runs` lists them")]
    NoRun(String),
    /// There is no run at all.
    #[error("no runs yet; begin one with `kup run FILE`")]
    NoRuns,
    /// A prefix fits more than one run.
    #[error("`{prefix}` fits {}; give more of it", runs.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// What it fits.
        runs: Vec<String>,
    },
}

impl JournalError {
    fn content(error: impl std::fmt::Display) -> JournalError {
        JournalError::Content(error.to_string())
    }

    fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> JournalError {
        let path = path.to_path_buf();
        move |source| JournalError::Write { path, source }
    }

    fn read(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> JournalError {
        let path = path.to_path_buf();
        move |source| JournalError::Read { path, source }
    }
}

#[cfg(test)]
mod tests;

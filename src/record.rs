//! A run that was: its folder, its plan and its journal, for the verbs that look at one or go on
//! with it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use engine::event::{Event, Failure, Outcome};
use engine::journal::{Folder, JournalError, Recorded, Store, Stored};
use engine::lock::LockError;
use engine::machine::{Machine, Mode};
use engine::plan::StepId;

use crate::args::Global;
use crate::config::state_dir;
use crate::error::Error;
use crate::exit::Exit;

/// A run on disk.
pub(crate) struct Record {
    /// Its folder.
    pub(crate) folder: Folder,
    /// Its plan and inventory.
    pub(crate) stored: Stored,
    /// Its journal.
    pub(crate) recorded: Recorded,
}

/// A failure that still counts.
pub(crate) struct Failed<'a> {
    /// The step.
    pub(crate) step: StepId,
    /// Why.
    pub(crate) failure: &'a Failure,
    /// Whether the step failed to be taken back, and not to be done.
    pub(crate) undoing: bool,
}

impl Record {
    /// Opens a run by its id or the beginning of it; without one, the latest.
    pub(crate) fn open(global: &Global, run: Option<&str>) -> Result<Record, Error> {
        let folder = store(global)?.open(run)?;
        let about = |e: JournalError| Error::from(e).about(&folder);
        let stored = folder.load().map_err(about)?;
        let recorded = folder.read(&stored).map_err(about)?;
        Ok(Record { folder, stored, recorded })
    }

    /// Opens the latest run that can go on. One that cannot be read is told, and not passed over: it may be
    /// the one that is meant.
    pub(crate) fn open_unfinished(global: &Global) -> Result<Record, Error> {
        let is_over = |mode| matches!(mode, Mode::Finished(Outcome::Done | Outcome::Compensated));
        Record::open_latest(global, "go on", is_over)
    }

    /// Opens the latest run that can be taken back, also one that is done.
    pub(crate) fn open_standing(global: &Global) -> Result<Record, Error> {
        Record::open_latest(global, "be taken back", |mode| mode == Mode::Finished(Outcome::Compensated))
    }

    fn open_latest(global: &Global, what: &str, is_over: fn(Mode) -> bool) -> Result<Record, Error> {
        let runs = store(global)?.list()?;
        for run in runs.iter().rev() {
            let record = Record::open(global, Some(run))?;
            if !is_over(record.machine().state().mode()) {
                return Ok(record);
            }
        }
        Err(match runs.last() {
            None => JournalError::NoRuns.into(),
            Some(last) => Error::usage(format!("no run is left that could {what}"))
                .hint(format!("the last one is over: look at it with `kup status {last}`")),
        })
    }

    /// Returns the machine as the journal left it.
    pub(crate) fn machine(&self) -> Machine {
        let plan = Arc::new(self.stored.plan.clone());
        Machine::replay(plan, self.recorded.header.seed, self.recorded.events.iter().cloned())
    }

    /// Returns why steps failed for good in their last attempt, and why their changes could not be
    /// taken back.
    pub(crate) fn failures(&self) -> Vec<Failed<'_>> {
        let mut failed: Vec<Failed<'_>> = Vec::new();
        for (_, event) in &self.recorded.events {
            match event {
                Event::StepFailed { step, failure, .. } => {
                    failed.push(Failed { step: *step, failure, undoing: false });
                }
                Event::UndoFailed(step, failure) => {
                    failed.push(Failed { step: *step, failure, undoing: true });
                }
                Event::AttemptStarted(step, _) => failed.retain(|f| f.step != *step),
                Event::UndoStarted { step, .. } => failed.retain(|f| f.step != *step || !f.undoing),
                _ => {}
            }
        }
        failed
    }

    /// Whether a process is at work on it now: it holds the lock of the journal.
    pub(crate) fn is_alive(&self) -> bool {
        let journal = File::open(self.folder.path().join("journal.jsonl"));
        journal.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Returns the time of the run in milliseconds: of one that goes on, what the clock says.
    pub(crate) fn now(&self, alive: bool) -> u64 {
        let last = self.recorded.events.last().map_or(0, |(at, _)| *at);
        // The time of a simulated run is not ours.
        if !alive || self.is_simulated() {
            return last;
        }
        let journal = self.folder.path().join("journal.jsonl");
        let age =
            std::fs::metadata(journal).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        last.saturating_add(age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Whether it ran on a simulated cluster.
    pub(crate) fn is_simulated(&self) -> bool {
        self.recorded.header.host == SIMULATED
    }
}

/// What stands in the place of the host in the journal of a simulated run.
pub(crate) const SIMULATED: &str = "simulated";

/// Returns the folder under which all runs are, and the locks of their clusters.
pub(crate) fn store_of(folder: &Folder) -> Option<&Path> {
    folder.path().parent()?.parent()
}

/// Returns the store of all runs.
pub(crate) fn store(global: &Global) -> Result<Store, Error> {
    Ok(Store::new(state_dir(global)?))
}

impl From<JournalError> for Error {
    fn from(e: JournalError) -> Error {
        let exit = match &e {
            JournalError::NoRun(_) | JournalError::NoRuns | JournalError::Ambiguous { .. } => Exit::Usage,
            JournalError::Busy(_) => Exit::Locked,
            JournalError::Write { .. }
            | JournalError::Closed
            | JournalError::Read { .. }
            | JournalError::Damaged { .. }
            | JournalError::Version(_)
            | JournalError::OtherRun { .. }
            | JournalError::Content(_) => Exit::Environment,
        };
        Error::told_by(exit, &e.to_string())
    }
}

impl From<LockError> for Error {
    fn from(e: LockError) -> Error {
        let exit = match &e {
            LockError::Held { .. } => Exit::Locked,
            LockError::File { .. } | LockError::Forbidden(_) | LockError::Api(_) => Exit::Environment,
        };
        Error::told_by(exit, &e.to_string())
    }
}

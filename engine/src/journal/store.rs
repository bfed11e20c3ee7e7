//! The folders of runs.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::JournalError;
use super::format::{Header, Keys};
use super::read::Recorded;
use super::stored::Stored;
use super::write::Journal;
use crate::plan::Plan;

pub(super) const JOURNAL: &str = "journal.jsonl";
const PLAN: &str = "plan.json";

/// All runs of this user on this machine.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct Folder {
    run: String,
    path: PathBuf,
}

/// Returns the id of a run begun at a time since the epoch: `20261121-120305-4f2a`.
pub fn run_id(wall: Duration, seed: u64) -> String {
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{}-{:04x}", time.strftime("%Y%m%d-%H%M%S"), (seed ^ (seed >> 16) ^ (seed >> 32)) & 0xffff)
}

impl Store {
    /// Names the folder under which everything is kept. It is made when the first run is.
    pub fn new(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// Returns the folder under which everything is kept.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder of a new run.
    pub fn create(&self, run: &str) -> Result<Folder, JournalError> {
        let runs = self.root.join("runs");
        let path = runs.join(run);
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&runs)
            .and_then(|()| DirBuilder::new().mode(0o700).create(&path))
            .and_then(|()| sync_folder(&runs));
        made.map_err(JournalError::write(&path))?;
        Ok(Folder { run: run.to_string(), path })
    }

    /// Finds a run by its id or the beginning of it; without one, the latest.
    pub fn open(&self, run: Option<&str>) -> Result<Folder, JournalError> {
        let mut all = self.list()?;
        let found = match run {
            None => all.pop().ok_or(JournalError::NoRuns)?,
            Some(run) if all.iter().any(|r| r == run) => run.to_string(),
            Some(prefix) => {
                let mut runs: Vec<String> = all.into_iter().filter(|r| r.starts_with(prefix)).collect();
                match (runs.pop(), runs.is_empty()) {
                    (Some(only), true) => only,
                    (None, _) => return Err(JournalError::NoRun(prefix.to_string())),
                    (Some(last), false) => {
                        runs.push(last);
                        return Err(JournalError::Ambiguous { prefix: prefix.to_string(), runs });
                    }
                }
            }
        };
        Ok(Folder { path: self.root.join("runs").join(&found), run: found })
    }

    /// Returns the ids of all runs, the latest last.
    pub fn list(&self) -> Result<Vec<String>, JournalError> {
        let runs = self.root.join("runs");
        let entries = match fs::read_dir(&runs) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(JournalError::read(&runs))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(JournalError::read(&runs))?;
            if entry.path().is_dir() {
                names.extend(entry.file_name().into_string().ok().filter(|n| !n.starts_with('.')));
            }
        }
        names.sort(); // the ids begin with the time
        Ok(names)
    }
}

impl Folder {
    /// Returns the run's id.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves the plan. Comes before [`Folder::begin`].
    pub fn save(&self, stored: &Stored) -> Result<(), JournalError> {
        let path = self.path.join(PLAN);
        let part = self.path.join(format!("{PLAN}.part"));
        let text = stored.to_json()?;
        let written = private(&part, true).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            sync_folder(&self.path)
        });
        written.map_err(JournalError::write(&path))
    }

    /// Returns the saved plan.
    pub fn load(&self) -> Result<Stored, JournalError> {
        let path = self.path.join(PLAN);
        let text = fs::read_to_string(&path).map_err(JournalError::read(&path))?;
        Stored::from_json(&text)
            .map_err(|e| JournalError::Content(format!("cannot read `{}`: {e}", path.display())))
    }

    /// Begins the journal of a new run.
    pub fn begin(&self, header: &Header, plan: &Plan, sync: bool) -> Result<Journal, JournalError> {
        let path = self.path.join(JOURNAL);
        let keys = Keys::new(plan);
        let line = header.write()?;
        let recorded = Recorded::read(line.as_bytes(), &keys, &header.plan)?;
        let begun = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let mut file = begun.map_err(JournalError::write(&path))?;
        self.lock(&file)?;
        let written = file.write_all(line.as_bytes()).and_then(|()| match sync {
            true => file.sync_all().and_then(|()| sync_folder(&self.path)),
            false => Ok(()),
        });
        written.map_err(JournalError::write(&path))?;
        Ok(Journal::new(Box::new(file), path, keys, &recorded, sync))
    }

    /// Reads the journal; another process may be writing it.
    pub fn read(&self, stored: &Stored) -> Result<Recorded, JournalError> {
        let path = self.path.join(JOURNAL);
        let bytes = fs::read(&path).map_err(JournalError::read(&path))?;
        Recorded::read(&bytes, &Keys::new(&stored.plan), &stored.digest)
    }

    /// Opens the journal to go on with it. A torn tail is cut off.
    pub fn resume(&self, stored: &Stored, sync: bool) -> Result<(Journal, Recorded), JournalError> {
        let path = self.path.join(JOURNAL);
        let opened = OpenOptions::new().read(true).append(true).open(&path);
        let file = opened.map_err(JournalError::read(&path))?;
        self.lock(&file)?;
        // Only now, since another writer may have been at its end before.
        let recorded = self.read(stored)?;
        if recorded.torn.is_some() {
            let cut = file.set_len(recorded.end).and_then(|()| file.sync_all());
            cut.map_err(JournalError::write(&path))?;
        }
        let journal = Journal::new(Box::new(file), path, Keys::new(&stored.plan), &recorded, sync);
        Ok((journal, recorded))
    }

    fn lock(&self, file: &File) -> Result<(), JournalError> {
        match lock_alone(file) {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(JournalError::Busy(self.run.clone())),
            Err(TryLockError::Error(source)) => {
                Err(JournalError::Write { path: self.path.join(JOURNAL), source })
            }
        }
    }
}

/// Locks a file for this process alone. Who looks whether it is locked holds it for an instant, and so
/// does a child of a process that gave it back, between its fork and its exec (flock(2)): a lock is
/// somebody's only if it stays.
pub(crate) fn lock_alone(file: &File) -> Result<(), TryLockError> {
    for _ in 0..100 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
    }
    file.try_lock()
}

/// Opens a file that only its owner may read.
pub(crate) fn private(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(truncate).mode(0o600).open(path)
}

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

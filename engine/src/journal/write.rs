//! Appends to a journal: one write and one sync for all events of a round.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::JournalError;
use super::format::{Keys, WireEvent, WireRecord, digest, seal};
use super::read::Recorded;
use crate::event::Event;

/// Where the bytes go; a file, but for tests of what a disk can do to us.
pub trait Storage: Send {
    /// Writes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when everything that was written survives a power cut.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// So many bytes are written at once: a round of a hundred thousand steps has fifty megabytes.
const AT_ONCE: usize = 1 << 20;

/// Keeps nothing.
struct Nowhere;

impl Storage for Nowhere {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An open journal. There is one writer, by a lock on the file.
pub struct Journal {
    storage: Box<dyn Storage>,
    path: PathBuf,
    keys: Keys,
    seq: u64,
    at: u64,
    chain: String,
    sync: bool,
    open: bool,
    /// The lines of the last append: each one would ask for as much memory again.
    lines: Vec<u8>,
}

impl Journal {
    /// Goes on where `recorded` ends. Without `sync` a power cut may lose events: simulated runs only.
    pub fn new(
        storage: Box<dyn Storage>,
        path: PathBuf,
        keys: Keys,
        recorded: &Recorded,
        sync: bool,
    ) -> Journal {
        Journal {
            storage,
            path,
            keys,
            seq: recorded.events.len() as u64,
            at: recorded.events.last().map_or(0, |(at, _)| *at),
            chain: recorded.chain.clone(),
            sync,
            open: true,
            lines: Vec::new(),
        }
    }

    /// Makes a journal that nobody will read: of a run that is played and forgotten.
    pub fn forgotten(keys: Keys) -> Journal {
        Journal {
            storage: Box::new(Nowhere),
            path: PathBuf::new(),
            keys,
            seq: 0,
            at: 0,
            chain: String::new(),
            sync: false,
            open: true,
            lines: Vec::new(),
        }
    }

    /// Returns the time of the last record, in milliseconds of the run.
    pub fn last_at(&self) -> u64 {
        self.at
    }

    /// Returns how many records there are.
    pub fn records(&self) -> u64 {
        self.seq
    }

    /// Appends events. When it returns they are safe; when it fails nothing may be begun, ever again,
    /// by this process.
    pub fn append(&mut self, events: &[(u64, Event)]) -> Result<(), JournalError> {
        if !self.open {
            return Err(JournalError::Closed);
        }
        if events.is_empty() {
            return Ok(());
        }
        // Set back only after everything went well: an fsync that failed once may succeed the next
        // time without the data being there.
        self.open = false;
        self.lines.clear();
        for (at, event) in events {
            self.seq += 1;
            self.at = *at;
            let record = WireRecord { seq: self.seq, at: *at, event: WireEvent::write(event, &self.keys) };
            let begin = self.lines.len();
            serde_json::to_writer(&mut self.lines, &record).map_err(JournalError::content)?;
            self.chain = digest(&self.chain, &self.lines[begin..]);
            seal(&mut self.lines, "chain", &self.chain);
            if self.lines.len() > AT_ONCE {
                self.storage.append(&self.lines).map_err(JournalError::write(&self.path))?;
                self.lines.clear();
            }
        }
        self.storage.append(&self.lines).map_err(JournalError::write(&self.path))?;
        if self.sync {
            self.storage.sync().map_err(JournalError::write(&self.path))?;
        }
        self.open = true;
        Ok(())
    }
}

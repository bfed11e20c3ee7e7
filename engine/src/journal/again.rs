//! A journal that is written once more: what is appended is held against what is on disk, and past its
//! end nothing is accepted. With it a run on a simulated cluster is performed again up to where it died.

use std::fs;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::format::Keys;
use super::read::Recorded;
use super::store::{Folder, JOURNAL};
use super::stored::Stored;
use super::write::{Journal, Storage};
use super::{JournalError, Torn};
use crate::event::Event;

/// A part of a journal that is written once more.
pub struct Again {
    /// The events before the part.
    pub before: Vec<(u64, Event)>,
    /// To be written to; it refuses what goes on behind the part.
    pub journal: Journal,
    held: Arc<Mutex<Held>>,
}

/// What is on disk, and how far it was written once more.
struct Held {
    bytes: Vec<u8>,
    at: usize,
    differs: bool,
}

impl Again {
    /// Returns whether exactly the part was written.
    pub fn is_the_same(&self) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        !held.differs && held.at == held.bytes.len()
    }
}

impl Folder {
    /// Opens the journal to write its records after `from`, and up to `to`, once more. Nothing on disk
    /// is changed.
    pub fn again(&self, stored: &Stored, from: u64, to: u64) -> Result<Again, JournalError> {
        let path = self.path().join(JOURNAL);
        let bytes = fs::read(&path).map_err(JournalError::read(&path))?;
        let keys = Keys::new(&stored.plan);
        // The first line is the header, so the n-th record ends where line n + 1 does.
        let ends: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        let end = |record: u64| {
            let missing = || JournalError::Content(format!("the journal has no record {record}"));
            usize::try_from(record).ok().and_then(|n| ends.get(n)).copied().ok_or_else(missing)
        };
        let (from, to) = (end(from)?, end(to)?.max(end(from)?));
        let before = Recorded::read(&bytes[..from], &keys, &stored.digest)?;
        if let Some(Torn { offset, .. }) = before.torn {
            return Err(JournalError::Damaged { offset, reason: "a record is not whole".to_string() });
        }
        let held = Held { bytes: bytes[from..to].to_vec(), at: 0, differs: false };
        let held = Arc::new(Mutex::new(held));
        let journal = Journal::new(Box::new(Copy(held.clone())), path, keys, &before, false);
        Ok(Again { before: before.events, journal, held })
    }
}

struct Copy(Arc<Mutex<Held>>);

impl Storage for Copy {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = &held.bytes[held.at..];
        // The last write may have been cut in the middle of a round.
        let common = bytes.len().min(rest.len());
        if rest[..common] != bytes[..common] {
            held.differs = true;
            return Err(io::Error::other("this is not what the journal says"));
        }
        held.at += common;
        if common < bytes.len() {
            return Err(io::Error::other("the journal ends here"));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

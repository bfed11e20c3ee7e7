//! The lock on this machine: a locked file that says who locked it. The system frees it with the
//! process, however that ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LockError, Who};
use crate::journal::lock_alone;

/// A locked file.
pub(super) struct FileLock {
    _file: File,
}

#[derive(Serialize, Deserialize)]
struct Content {
    pid: u32,
    host: String,
    user: String,
    run: String,
    since: String,
}

/// Who has the lock of a cluster on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The run.
    pub run: String,
    /// Since when, as RFC 3339.
    pub since: String,
}

/// Returns who has the lock of a cluster on this machine, if anybody has.
pub fn holder(root: &Path, cluster: &str) -> Option<Holder> {
    let mut file = File::open(path(root, cluster)).ok()?;
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let content: Content = serde_json::from_str(&text).ok()?;
    Some(Holder { run: content.run, since: content.since })
}

fn path(root: &Path, cluster: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = if cluster.is_empty() { "hosts" } else { cluster }.chars().map(plain).collect();
    root.join("locks").join(format!("{name}.lock"))
}

impl FileLock {
    /// Locks the file of a cluster; also returns which run locked it the time before.
    pub(super) fn acquire(
        root: &Path,
        cluster: &str,
        run: &str,
        who: &Who,
        wall: Duration,
    ) -> Result<(FileLock, Option<String>), LockError> {
        let folder = root.join("locks");
        let path = path(root, cluster);
        let failed = |source: io::Error| LockError::File { path: path.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        let locked = lock_alone(&file);
        let mut text = String::new();
        let last: Option<Content> = match file.read_to_string(&mut text) {
            Ok(_) => serde_json::from_str(&text).ok(),
            Err(_) => None,
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                // It may be writing its name just now.
                let (holder, since) = last.map_or(("another kup".to_string(), "just now".to_string()), |c| {
                    (format!("{}@{} ({}), process {}", c.run, c.host, c.user, c.pid), c.since)
                });
                return Err(LockError::Held { holder, since, expires_in: None });
            }
        }
        let content = Content {
            pid: std::process::id(),
            host: who.host.clone(),
            user: who.user.clone(),
            run: run.to_string(),
            since: super::lease::stamp(Duration::from_secs(wall.as_secs())).replace(".000000", ""),
        };
        let text = serde_json::to_string(&content).unwrap_or_default() + "\n";
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all());
        written.map_err(failed)?;
        Ok((FileLock { _file: file }, last.map(|c| c.run)))
    }
}

//! A run as one file, which another machine can take over, and the end of runs that nobody needs.
//!
//! ```text
//! {"kup":"run","v":1,"run":"20261121-120305-4f2a","files":[{"name":"plan.json","bytes":8123,"sha256":".."},..]}
//! the bytes of each file, one behind the other
//! ```

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;

use serde::{Deserialize, Serialize};

use super::JournalError;
use super::format::digest_of;
use super::store::{Folder, Store, private, sync_folder};

/// What a run cannot do without, and what a simulated one has besides.
const FILES: [&str; 3] = ["plan.json", "journal.jsonl", "simulation.jsonl"];

#[derive(Serialize, Deserialize)]
struct Head {
    kup: String,
    v: u32,
    run: String,
    files: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct Part {
    name: String,
    bytes: usize,
    sha256: String,
}

impl Folder {
    /// Returns the run as one file.
    pub fn pack(&self) -> Result<Vec<u8>, JournalError> {
        let (mut files, mut body) = (Vec::new(), Vec::new());
        for name in FILES {
            let path = self.path().join(name);
            let bytes = match fs::read(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && name == FILES[2] => continue,
                bytes => bytes.map_err(JournalError::read(&path))?,
            };
            files.push(Part { name: name.to_string(), bytes: bytes.len(), sha256: digest_of(&bytes) });
            body.extend(bytes);
        }
        let head = Head { kup: "run".to_string(), v: 1, run: self.run().to_string(), files };
        let mut packed = serde_json::to_vec(&head).map_err(JournalError::content)?;
        packed.push(b'\n');
        packed.extend(body);
        Ok(packed)
    }
}

impl Store {
    /// Puts a packed run beside the others, as a whole or not at all.
    pub fn unpack(&self, packed: &[u8]) -> Result<Folder, JournalError> {
        let wrong = |why: &str| JournalError::Content(format!("this is no run that kup has packed: {why}"));
        let end = packed.iter().position(|b| *b == b'\n').ok_or_else(|| wrong("it has no first line"))?;
        let head: serde_json::Value =
            serde_json::from_slice(&packed[..end]).map_err(|_| wrong("its first line cannot be read"))?;
        if head["kup"] != "run" {
            return Err(wrong("its first line says otherwise"));
        }
        if head["v"] != 1 {
            return Err(wrong(&format!("it has version {}, this kup reads version 1", head["v"])));
        }
        let head: Head = serde_json::from_value(head).map_err(|e| wrong(&e.to_string()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if head.run.is_empty() || !head.run.chars().all(plain) {
            return Err(wrong("the name of its run is none"));
        }
        if self.list()?.contains(&head.run) {
            return Err(JournalError::Content(format!("run {} is here already", head.run)));
        }
        let mut rest = &packed[end + 1..];
        let mut files = Vec::new();
        for part in &head.files {
            if !FILES.contains(&part.name.as_str()) || files.iter().any(|(name, _)| *name == part.name) {
                return Err(wrong(&format!("it holds `{}`", part.name)));
            }
            let (bytes, more) =
                rest.split_at_checked(part.bytes).ok_or_else(|| wrong("its end is missing"))?;
            if digest_of(bytes) != part.sha256 {
                return Err(wrong(&format!("`{}` does not match its checksum", part.name)));
            }
            files.push((part.name.clone(), bytes));
            rest = more;
        }
        if !rest.is_empty() || FILES[..2].iter().any(|name| !files.iter().any(|(n, _)| n == name)) {
            return Err(wrong("its files are not those of a run"));
        }
        let runs = self.root().join("runs");
        let part = runs.join(format!(".part-{}", head.run));
        let _ = fs::remove_dir_all(&part);
        let written = DirBuilder::new().recursive(true).mode(0o700).create(&part).and_then(|()| {
            for (name, bytes) in &files {
                let mut file = private(&part.join(name), true)?;
                file.write_all(bytes)?;
                file.sync_all()?;
            }
            sync_folder(&part)?;
            fs::rename(&part, runs.join(&head.run))?;
            sync_folder(&runs)
        });
        written.map_err(JournalError::write(&part))?;
        self.open(Some(&head.run))
    }

    /// Removes a run, and what an earlier removal has left.
    pub fn remove(&self, folder: &Folder) -> Result<(), JournalError> {
        let runs = self.root().join("runs");
        // Under this name it is no run any more, also if the rest is interrupted.
        let gone = runs.join(format!(".gone-{}", folder.run()));
        let removed = fs::rename(folder.path(), &gone).and_then(|()| {
            for entry in fs::read_dir(&runs)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(".gone-") {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            sync_folder(&runs)
        });
        removed.map_err(JournalError::write(folder.path()))
    }
}

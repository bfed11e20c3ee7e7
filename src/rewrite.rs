//! Replaces the text of a file as a whole: whoever reads it at the same time sees the old text or the
//! new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a text in the place of another. A link stays, and what it points to is replaced.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = &path.canonicalize()?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let done = fill(&beside, path, text).and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        // What could not take the file's place is of no use.
        let _ = fs::remove_file(&beside);
    }
    done
}

fn fill(beside: &Path, path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create_new(beside)?;
    file.set_permissions(fs::metadata(path)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

//! A playbook from its file to a checked program, or to drawn diagnostics.

use std::path::{Path, PathBuf};

use dsl::diagnostic::{Diagnostic, Severity};
use dsl::source::{BadScript, LoadError, Loader};
use dsl::{Checked, check_any};
use engine::hook;

use crate::diagnostics::draw;
use crate::error::Error;
use crate::loader::{self, Unreadable};
use crate::shipped;

/// Hands in files from disk and the shipped modules from the binary.
struct Files<'l> {
    /// The playbook has been read already, so that a bad file is one error and not a finding.
    root: (PathBuf, String),
    /// Where libraries are.
    libraries: &'l [PathBuf],
}

impl Loader for Files<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if Path::new(path) == self.root.0 {
            return Ok(self.root.1.clone());
        }
        match path.ends_with(".kup") || path.starts_with("std/") {
            true => load(path),
            false => from_library(path, self.libraries),
        }
    }

    fn shipped(&self) -> Vec<&'static str> {
        stdlib::modules().iter().map(|(name, _)| *name).collect()
    }

    fn script(&self, text: &str, names: &[&str]) -> Result<(), BadScript> {
        hook::check(text, names)
    }
}

/// Returns the text of `lib/x`, which is in one of the folders.
fn from_library(path: &str, libraries: &[PathBuf]) -> Result<String, LoadError> {
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(LoadError::NotFound);
    }
    let files: Vec<PathBuf> =
        libraries.iter().map(|dir| dir.join(format!("{path}.kup"))).filter(|file| file.exists()).collect();
    match files.as_slice() {
        [] => Err(LoadError::NotFound),
        [file] => loader::read(file, loader::PLAYBOOK).map_err(|e| LoadError::Io(e.message)),
        [first, second, ..] => {
            let (first, second) = (first.display(), second.display());
            Err(LoadError::Io(format!("it is both `{first}` and `{second}`")))
        }
    }
}

/// Returns the text of a shipped module, or of a file on the disk.
pub(crate) fn load(path: &str) -> Result<String, LoadError> {
    if let Some((_, text)) = stdlib::modules().iter().find(|(name, _)| *name == path) {
        return Ok((*text).to_string());
    }
    if let Some(playbook) = shipped::of_the_binary(path) {
        return Ok(playbook.text.to_string());
    }
    let path = Path::new(path);
    match path.exists() {
        false => Err(LoadError::NotFound),
        true => loader::read(path, loader::PLAYBOOK).map_err(|e| LoadError::Io(e.message)),
    }
}

/// Reads a playbook and everything it uses, and checks it.
pub(crate) fn read(path: &Path, libraries: &[PathBuf]) -> Result<Checked, Error> {
    // A playbook of the binary may be named like a module, so its ending tells the two apart.
    let (name, text) = match shipped::find(path) {
        Some(found) => {
            let playbook = found.map_err(unreadable)?;
            (PathBuf::from(playbook.path()), playbook.text.to_string())
        }
        None => (path.to_path_buf(), text_of(path)?),
    };
    Ok(judge(&name, text, libraries))
}

/// Reads the text of a playbook.
pub(crate) fn text_of(path: &Path) -> Result<String, Error> {
    loader::read(path, loader::PLAYBOOK).map_err(unreadable)
}

fn unreadable(Unreadable { message, hint }: Unreadable) -> Error {
    Error::usage(message).hint(hint)
}

/// Checks a text that is or will be that of a file.
pub(crate) fn judge(path: &Path, text: String, libraries: &[PathBuf]) -> Checked {
    // The path is the file's name in messages; one that is not UTF-8 is shown as well as can be.
    let name = path.to_string_lossy().into_owned();
    let files = Files { root: (PathBuf::from(&name), text), libraries };
    check_any(&name, &files, stdlib::PRELUDE)
}

/// Returns the code to explain first: that of an error, if there is one.
pub(crate) fn first(found: &[Diagnostic]) -> Option<&'static str> {
    let error = found.iter().find(|d| d.severity == Severity::Error);
    error.or(found.first()).map(|d| d.code)
}

/// Returns how many errors and warnings there are, and the drawing of them all; `None`: nothing.
pub(crate) fn findings(checked: &Checked) -> Option<(usize, usize, String)> {
    let errors = checked.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = checked.diagnostics.len() - errors;
    (errors + warnings > 0).then(|| (errors, warnings, draw(&checked.sources, &checked.diagnostics)))
}

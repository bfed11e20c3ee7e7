//! A playbook from its file to a checked program, or to drawn diagnostics.

use std::path::{Path, PathBuf};

use dsl::diagnostic::{Diagnostic, Severity};
use dsl::source::{LoadError, Loader};
use dsl::{Checked, check, module};

use crate::diagnostics::draw;
use crate::error::Error;
use crate::loader::{self, Unreadable};
use crate::shipped;

/// Hands in files from disk and the shipped modules from the binary.
struct Files {
    /// The playbook has been read already, so that a bad file is one error and not a finding.
    root: (PathBuf, String),
}

impl Loader for Files {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if Path::new(path) == self.root.0 {
            return Ok(self.root.1.clone());
        }
        load(path)
    }
}

/// Returns the text of a shipped module, or of a file on the disk.
pub(crate) fn load(path: &str) -> Result<String, LoadError> {
    if let Some((_, text)) = stdlib::modules().iter().find(|(name, _)| *name == path) {
        return Ok((*text).to_string());
    }
    let path = Path::new(path);
    match path.exists() {
        false => Err(LoadError::NotFound),
        true => loader::read(path, loader::PLAYBOOK).map_err(|e| LoadError::Io(e.message)),
    }
}

/// Reads a playbook and everything it uses, and checks it.
pub(crate) fn read(path: &Path) -> Result<Checked, Error> {
    // The path is the file's name in messages; one that is not UTF-8 is shown as well as can be. A
    // playbook of the binary may be named like a module, so its ending tells the two apart.
    let (name, text) = match shipped::find(path) {
        Some(found) => {
            found.map(|playbook| (format!("std/{}.kup", playbook.name), playbook.text.to_string()))
        }
        None => loader::read(path, loader::PLAYBOOK).map(|text| (path.to_string_lossy().into_owned(), text)),
    }
    .map_err(|Unreadable { message, hint }| Error::usage(message).hint(hint))?;
    let files = Files { root: (PathBuf::from(&name), text) };
    let checked = check(&name, &files, stdlib::PRELUDE);
    if checked.diagnostics.iter().any(|d| d.code == NO_PLAYBOOK) {
        let (sources, _, diagnostics) = module(&name, &files, stdlib::PRELUDE);
        return Ok(Checked { sources, program: None, diagnostics });
    }
    Ok(checked)
}

/// A file without a playbook is a module, and is judged as one.
const NO_PLAYBOOK: &str = "K0401";

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

//! What an editor asks of a text, again and again while it is written. Pure like the rest: texts come
//! through a loader, answers leave as plain values in bytes, and the protocol is the binary's work.

use crate::check;
use crate::diagnostic::Diagnostic;
use crate::source::{Loader, Sources};

/// A file without a playbook is a module, and is judged as one.
const NO_PLAYBOOK: &str = "K0401";

/// What is known of a file and of all that it uses.
#[derive(Debug)]
pub struct Reading {
    /// Every text that was read; the file itself is file 0.
    pub sources: Sources,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a file and all that it uses: a playbook, or a module of tasks.
pub fn read(root: &str, loader: &dyn Loader, prelude: &[&str]) -> Reading {
    let checked = check::check(root, loader, prelude);
    if checked.diagnostics.iter().any(|d| d.code == NO_PLAYBOOK) {
        let (sources, _, diagnostics) = check::module(root, loader, prelude);
        return Reading { sources, diagnostics };
    }
    Reading { sources: checked.sources, diagnostics: checked.diagnostics }
}

//! `kup check FILE...`: text only. All mistakes of all files in one go.

use std::path::PathBuf;

use super::explain;
use crate::args::Deny;
use crate::console::{Console, GREEN, RESET, Style};
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::printable;
use crate::report::{count, diagnostics_line};
use crate::text;

/// Checks playbooks and modules.
pub(crate) fn check(console: Console, files: &[PathBuf], deny: Option<Deny>) -> Result<Exit, Error> {
    let denied = match deny {
        Some(Deny::Warnings) => true,
        None => false,
    };
    let mut wrong = false;
    let mut first = None;
    for file in files {
        let name = file.display().to_string();
        let name = printable(&name);
        let checked = match text::read(file) {
            Ok(checked) => checked,
            Err(error) => {
                console.error(&error);
                wrong = true;
                continue;
            }
        };
        let found = text::findings(&checked);
        if console.style == Style::Json {
            console.result(&diagnostics_line(&name, &checked.sources, &checked.diagnostics));
        }
        match found {
            Some((errors, warnings, drawn)) => {
                if console.style != Style::Json {
                    console.alarm(&drawn);
                    console.alarm(&format!("\n{name}: {}", tally(errors, warnings)));
                    first = first.or(text::first(&checked.diagnostics));
                }
                wrong |= errors > 0 || (denied && warnings > 0);
            }
            None if console.style != Style::Json && !console.quiet => {
                console.result(&format!("{name}: {GREEN}ok{RESET}"));
            }
            None => {}
        }
    }
    if let Some(code) = first {
        console.say(&explain::way(code));
    }
    Ok(if wrong { Exit::Usage } else { Exit::Done })
}

/// Writes how much was found.
pub(crate) fn tally(errors: usize, warnings: usize) -> String {
    match (errors, warnings) {
        (0, w) => count(w, "warning"),
        (e, 0) => count(e, "error"),
        (e, w) => format!("{}, {}", count(e, "error"), count(w, "warning")),
    }
}

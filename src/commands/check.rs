//! `kup check FILE...`: text only. All mistakes of all files in one go.

use std::path::{Path, PathBuf};

use dsl::Checked;

use super::explain;
use crate::args::{Deny, Output};
use crate::console::{Console, GREEN, RESET, Style};
use crate::error::Error;
use crate::exit::Exit;
use crate::fix::{Change, fix};
use crate::loader::reason;
use crate::printable::printable;
use crate::report::{annotations, count, diagnostics_line};
use crate::rewrite;
use crate::text;

/// How to check.
#[derive(Clone, Debug)]
pub(crate) struct How {
    /// Where libraries are.
    pub(crate) libraries: Vec<PathBuf>,
    /// What does not pass.
    pub(crate) deny: Option<Deny>,
    /// Whether to put right what is certain.
    pub(crate) fix: bool,
    /// Who else reads the findings.
    pub(crate) output: Option<Output>,
}

/// Checks playbooks and modules.
pub(crate) fn check(console: Console, files: &[PathBuf], how: &How) -> Result<Exit, Error> {
    let denied = match how.deny {
        Some(Deny::Warnings) => true,
        None => false,
    };
    let (mut wrong, mut first) = (false, None);
    for file in files {
        let name = file.display().to_string();
        let name = printable(&name);
        let (checked, changes) = match read(file, how) {
            Ok(read) => read,
            Err(error) if error.exit == Exit::Usage => {
                console.error(&error);
                wrong = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        let found = text::findings(&checked);
        if console.style == Style::Json {
            console.result(&diagnostics_line(&name, &checked.sources, &checked.diagnostics, &changes));
        } else {
            changes.iter().for_each(|change| console.result(&told(change)));
        }
        match how.output {
            Some(Output::Github) => annotations(&name, &checked.sources, &checked.diagnostics)
                .iter()
                .for_each(|line| console.result(line)),
            None => {}
        }
        match found {
            Some((errors, warnings, drawn)) => {
                if console.style != Style::Json {
                    if how.output.is_none() {
                        console.alarm(&format!("{drawn}\n"));
                    }
                    console.alarm(&format!("{name}: {}", tally(errors, warnings)));
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

/// Reads and checks a file, after putting it right if it should be.
fn read(file: &Path, how: &How) -> Result<(Checked, Vec<Change>), Error> {
    if !how.fix {
        return Ok((text::read(file, &how.libraries)?, Vec::new()));
    }
    let fixed = fix(file, text::text_of(file)?, &how.libraries);
    if !fixed.changes.is_empty() {
        rewrite::replace(file, &fixed.text)
            .map_err(|e| Error::environment(format!("cannot write `{}`: {}", file.display(), reason(&e))))?;
    }
    Ok((fixed.checked, fixed.changes))
}

/// Writes one change.
fn told(change: &Change) -> String {
    let Change { code, place, was, is } = change;
    let what = match (was.trim(), is.trim()) {
        ("", "") => "white space is right now".to_string(),
        ("", is) => format!("`{is}` is there now"),
        (was, "") => format!("`{was}` is gone"),
        (was, is) => format!("`{was}` is `{is}` now"),
    };
    let text = format!("{}:{}:{}: fixed {code}: {what}", place.file, place.line, place.column);
    crate::printable::one_line(&text)
}

/// Writes how much was found.
pub(crate) fn tally(errors: usize, warnings: usize) -> String {
    match (errors, warnings) {
        (0, w) => count(w, "warning"),
        (e, 0) => count(e, "error"),
        (e, w) => format!("{}, {}", count(e, "error"), count(w, "warning")),
    }
}

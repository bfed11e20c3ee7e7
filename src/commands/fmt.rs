//! `kup fmt FILE...`: playbooks and modules in the one style. A file is replaced as a whole or not at
//! all; one that cannot be read is left as it is.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use dsl::Refused;

use crate::console::{Console, GREEN, RED, RESET, Style};
use crate::diagnostics::draw;
use crate::diff::diff;
use crate::error::Error;
use crate::exit::Exit;
use crate::loader::{self, Unreadable, playbooks, reason};
use crate::printable::printable;
use crate::report::{count, diagnostics_line, formatted_line};
use crate::rewrite;

/// Stands for stdin.
const STDIN: &str = "-";

/// Formats files and the `.kup` files of folders; with `check`, only says which would change.
pub(crate) fn fmt(console: Console, paths: &[PathBuf], check: bool) -> Result<Exit, Error> {
    let mut wrong = false;
    for path in paths {
        let files = match path.is_dir() {
            true => playbooks(path)?,
            false => vec![path.clone()],
        };
        for file in files {
            match one(console, &file, check) {
                Ok(is_fine) => wrong |= !is_fine,
                Err(error) => {
                    console.error(&error);
                    wrong = true;
                }
            }
        }
    }
    Ok(if wrong { Exit::Usage } else { Exit::Done })
}

/// Formats one file. Returns whether it is well: it can be read, and is not only to be checked.
fn one(console: Console, path: &Path, check: bool) -> Result<bool, Error> {
    let from_stdin = path == Path::new(STDIN);
    let name = if from_stdin { "stdin".to_string() } else { path.display().to_string() };
    let name = printable(&name);
    let text = if from_stdin { stdin()? } else { read(path)? };
    let new = match dsl::format(&name, &text) {
        Ok(new) => new,
        Err(refused) => {
            refuse(console, &name, &refused);
            return Ok(false);
        }
    };
    let changes = new != text;
    if from_stdin && !check {
        // The text itself is the result, whatever the style: an editor takes it from here.
        console.text(&new);
        return Ok(true);
    }
    if changes && !check {
        replace(path, &new)?;
    }
    match console.style {
        Style::Json => console.result(&formatted_line(&name, changes)),
        Style::Human | Style::Plain if changes && check => {
            console.result(&format!("{name}: is not in the one style"));
            console.result(printable(&diff(&text, &new)).trim_end());
        }
        Style::Human | Style::Plain if changes && !console.quiet => {
            console.result(&format!("{name}: {GREEN}formatted{RESET}"));
        }
        Style::Human | Style::Plain => {}
    }
    Ok(!(changes && check))
}

fn refuse(console: Console, name: &str, refused: &Refused) {
    match console.style {
        Style::Json => console.result(&diagnostics_line(name, &refused.sources, &refused.diagnostics, &[])),
        Style::Human | Style::Plain => {
            console.alarm(&draw(&refused.sources, &refused.diagnostics));
            let errors = count(refused.diagnostics.len(), "error");
            console.alarm(&format!("\n{name}: {RED}not formatted{RESET}: {errors}"));
        }
    }
}

fn read(path: &Path) -> Result<String, Error> {
    loader::read(path, loader::PLAYBOOK)
        .map_err(|Unreadable { message, hint }| Error::usage(message).hint(hint))
}

fn stdin() -> Result<String, Error> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Error::usage(format!("cannot read stdin: {}", reason(&e))))?;
    Ok(text)
}

/// Puts a text in the place of a file, unless its owner wants it to stay.
fn replace(path: &Path, text: &str) -> Result<(), Error> {
    let kept = fs::metadata(path).is_ok_and(|file| file.permissions().readonly());
    let written = if kept { Err(ErrorKind::PermissionDenied.into()) } else { rewrite::replace(path, text) };
    written.map_err(|e| {
        Error::usage(format!("cannot write `{}`: {}", path.display(), reason(&e)))
            .hint("the file is as it was")
    })
}

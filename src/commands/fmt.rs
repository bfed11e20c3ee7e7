//! `kup fmt FILE...`: playbooks and modules in the one style. A file is replaced as a whole or not at
//! all; one that cannot be read is left as it is.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use dsl::Refused;

use crate::console::{Console, GREEN, RED, RESET, Style};
use crate::diagnostics::draw;
use crate::error::Error;
use crate::exit::Exit;
use crate::loader::{self, Unreadable, reason};
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

/// Returns the `.kup` files of a folder and of the folders in it, in the order of their names.
fn playbooks(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |e| Error::usage(format!("cannot read `{}`: {}", folder.display(), reason(&e)));
    let mut entries: Vec<_> = fs::read_dir(folder).map_err(fail)?.collect::<Result<_, _>>().map_err(fail)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(fail)?;
        // Hidden folders are other tools' own, and a link to a folder may lead round in a circle.
        if kind.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            found.extend(playbooks(&path)?);
        } else if !kind.is_dir() && path.extension().is_some_and(|e| e == "kup") {
            found.push(path);
        }
    }
    Ok(found)
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

/// How many lines around a change are shown.
const AROUND: usize = 2;

/// Draws what changes between two texts, line by line. Formatting keeps nearly all lines in their
/// order, so that looking a little ahead for the next equal line is enough.
fn diff(old: &str, new: &str) -> String {
    const AHEAD: usize = 50;
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Each line with its mark; removed lines stand before the ones that replace them.
    let mut lines: Vec<(char, usize, &str)> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        let meet = (0..AHEAD * 2).find_map(|far| {
            (0..=far.min(AHEAD)).map(|a| (a, far - a)).find(|(a, b)| {
                let pair = (old.get(i + a), new.get(j + b));
                pair.0.is_some() && pair.0 == pair.1
            })
        });
        let (gone, come) = meet.unwrap_or((AHEAD, AHEAD));
        let (gone, come) = (gone.min(old.len() - i), come.min(new.len() - j));
        lines.extend(old[i..i + gone].iter().map(|l| ('-', j + 1, *l)));
        lines.extend(new[j..j + come].iter().zip(j + 1..).map(|(l, number)| ('+', number, *l)));
        (i, j) = (i + gone, j + come);
        if meet.is_some() {
            lines.push((' ', j + 1, new[j]));
            (i, j) = (i + 1, j + 1);
        }
    }
    let mut out = String::new();
    let mut shown = 0;
    for (at, (mark, number, line)) in lines.iter().enumerate() {
        let around = &lines[at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len())];
        if around.iter().all(|(mark, ..)| *mark == ' ') {
            continue;
        }
        if shown != at || at == 0 {
            out.push_str(&format!("@@ line {number} @@\n"));
        }
        out.push_str(format!("{mark}{line}").trim_end());
        out.push('\n');
        shown = at + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changes_and_what_stands_around_it() {
        let old = "a\nb\nc\nd\ne\nf\ng\nx\n";
        let new = "a\nb\nc\nD\ne\nf\ng\n\nx\n";
        assert_eq!(diff(old, new), "@@ line 2 @@\n b\n c\n-d\n+D\n e\n f\n g\n+\n x\n");
        assert_eq!(diff("a\n", "a\n"), "");
        assert_eq!(diff("", "a\n"), "@@ line 1 @@\n+a\n");
    }
}

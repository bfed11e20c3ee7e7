//! `kup new [FILE]`: a first playbook, with comments that say what is what. It never writes over a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::loader::reason;
use crate::printable::{printable, shell_word};

/// The playbook. `FILE` stands where the name of the file belongs.
const FIRST: &str = include_str!("first.kup");

/// Writes the first playbook.
pub(crate) fn new(console: Console, file: &Path) -> Result<Exit, Error> {
    let name = file.display().to_string();
    let word = shell_word(&name);
    let mut new = OpenOptions::new().write(true).create_new(true).open(file).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            Error::usage(format!("there is a `{name}` already")).hint("give another name: `kup new NAME.kup`")
        }
        _ => Error::usage(format!("cannot write `{name}`: {}", reason(&e))),
    })?;
    // A name with a line's end in it would end the comment that it stands in.
    let shown = printable(&word).replace('\n', "\\n");
    new.write_all(FIRST.replace("FILE", &shown).as_bytes())
        .map_err(|e| Error::usage(format!("cannot write `{name}`: {}", reason(&e))))?;
    console.result(&format!("{}: written", printable(&name)));
    console.say(&format!("next: kup plan {} --sim", printable(&word)));
    Ok(Exit::Done)
}

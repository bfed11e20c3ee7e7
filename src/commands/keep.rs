//! `kup runs prune`, `kup runs pack RUN FILE` and `kup runs unpack FILE`: what is kept, and where.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use engine::event::Outcome;
use engine::machine::Mode;

use crate::args::Global;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::{one_line, printable};
use crate::record::{Record, store};
use crate::report::count;

/// Removes the oldest runs that are over, except for so many.
pub(crate) fn prune(global: &Global, console: Console, keep: usize) -> Result<Exit, Error> {
    let store = store(global)?;
    let mut over = Vec::new();
    for run in store.list()? {
        // One that cannot be read, can go on or can be taken back may still be wanted.
        let Ok(record) = Record::open(global, Some(&run)) else {
            console.say(&format!("{}: cannot be read, so it stays", printable(&run)));
            continue;
        };
        let mode = record.machine().state().mode();
        let is_over = matches!(mode, Mode::Finished(Outcome::Done | Outcome::Compensated));
        if is_over && !record.is_alive() {
            over.push(record);
        }
    }
    let many = over.len().saturating_sub(keep);
    for record in over.into_iter().take(many) {
        store.remove(&record.folder)?;
        let title = one_line(&record.stored.plan.title);
        console.result(&format!("removed {}  {title}", printable(record.folder.run())));
    }
    console.say(&format!("{} removed", count(many, "run")));
    Ok(Exit::Done)
}

/// Writes a run into one file.
pub(crate) fn pack(global: &Global, console: Console, run: &str, file: &Path) -> Result<Exit, Error> {
    let record = Record::open(global, Some(run))?;
    let name = record.folder.run();
    if record.is_alive() {
        return Err(Error::new(Exit::Locked, format!("another kup works on run {name}"))
            .hint("pause it with `kup pause`, and pack it then"));
    }
    let packed = record.folder.pack()?;
    let failed = |e: std::io::Error| {
        let why = crate::loader::reason(&e);
        Error::environment(format!("cannot write `{}`: {why}", file.display()))
    };
    let mut options = std::fs::OpenOptions::new();
    // Never over a file, and for nobody else to read.
    let mut written = options.write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    written.write_all(&packed).and_then(|()| written.sync_all()).map_err(failed)?;
    console.say(&format!("run {} is in `{}`", printable(name), printable(&file.display().to_string())));
    console.say("the scripts beside its playbook are not; go on with it on one machine only");
    Ok(Exit::Done)
}

/// Puts a packed run beside the others.
pub(crate) fn unpack(global: &Global, console: Console, file: &Path) -> Result<Exit, Error> {
    let packed = std::fs::read(file).map_err(|e| {
        let why = crate::loader::reason(&e);
        Error::usage(format!("cannot read `{}`: {why}", file.display()))
    })?;
    let folder = store(global)?.unpack(&packed).map_err(|e| Error::usage(e.to_string()))?;
    let name = printable(folder.run()).to_string();
    // What nobody can read is not kept.
    if let Err(error) = Record::open(global, Some(folder.run())) {
        store(global)?.remove(&folder)?;
        return Err(error);
    }
    console.say(&format!("run {name} is here"));
    console.say(&format!("next: kup status {name}{}", printable(&global.again())));
    console.say(&format!("next: kup takeover {name}{}", printable(&global.again())));
    Ok(Exit::Done)
}

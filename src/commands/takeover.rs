//! `kup takeover [RUN]`: goes on with a run whose lock somebody else has, after the lease has expired, or
//! before it with a reason.

use engine::machine::Input;

use crate::args::Global;
use crate::commands::{approve, resume};
use crate::config::whoami;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

/// Takes the lock over, and goes on.
pub(crate) fn takeover(
    global: &Global,
    console: Console,
    run: Option<&str>,
    force: Option<&str>,
    yes: bool,
) -> Result<Exit, Error> {
    if force.is_some_and(|why| why.trim().is_empty()) {
        return Err(Error::usage("`--force` says nothing").hint("say why, for whoever reads the report"));
    }
    let record = resume::open(global, run)?;
    resume::somebody(console, yes)?;
    approve::tell(console, &record);
    let name = record.folder.run().to_string();
    let question = match force {
        Some(_) => {
            format!("Take the lock of run {name} at once? Whoever has it must not be at work any more.")
        }
        None => format!("Wait until the lock expires, and go on with run {name}?"),
    };
    resume::agree(console, yes, &question)?;
    let begin = vec![Input::Begin { by: whoami(), why: String::new() }];
    resume::go_with(global, console, record, begin, resume::Claim::Over { force: force.map(str::to_string) })
}

//! One verb of the command line a file.

mod approve;
mod check;
mod doc;
pub(crate) mod explain;
mod fmt;
mod keep;
mod lsp;
mod new;
mod person;
mod plan;
mod rbac;
mod report;
mod resume;
mod run;
mod runs;
mod show;
mod status;
mod takeover;
mod test;
mod why;

use crate::args::{Command, Global, Keep};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

/// Does what the command line asks for.
pub(crate) fn perform(global: &Global, console: Console, command: Command) -> Result<Exit, Error> {
    match command {
        Command::Check { files, path, deny, fix, output } => {
            check::check(console, &files, &check::How { libraries: path, deny, fix, output })
        }
        Command::Fmt { paths, check } => fmt::fmt(console, &paths, check),
        Command::New { file } => new::new(console, &file),
        Command::Plan(target) => plan::plan(global, console, target),
        Command::Run { target, yes, plan } => run::run(global, console, target, yes, plan.as_deref()),
        Command::Resume { run, why, yes } => {
            resume::resume(global, console, run.as_deref(), why.as_deref(), yes)
        }
        Command::Rollback { run, why, yes } => {
            resume::rollback(global, console, run.as_deref(), why.as_deref(), yes)
        }
        Command::Pause { run, why } => person::pause(global, console, run.as_deref(), why.as_deref()),
        Command::Abort { run, why, yes } => person::abort(global, console, run.as_deref(), &why, yes),
        Command::Skip { step, run, why } => person::skip(global, console, &step, run.as_deref(), &why),
        Command::Retry { step, run, why } => {
            person::retry(global, console, &step, run.as_deref(), why.as_deref())
        }
        Command::Takeover { run, force, yes } => {
            takeover::takeover(global, console, run.as_deref(), force.as_deref(), yes)
        }
        Command::Approve { run, why } => approve::approve(global, console, run.as_deref(), why.as_deref()),
        Command::Status { run } => status::status(global, console, run.as_deref()),
        Command::Why { words } => why::why(global, console, &words),
        Command::Report { run } => report::report(global, console, run.as_deref()),
        Command::Show { run } => show::show(global, console, &run),
        Command::Runs { keep: None } => runs::runs(global, console),
        Command::Runs { keep: Some(Keep::Prune { keep }) } => keep::prune(global, console, keep),
        Command::Runs { keep: Some(Keep::Pack { run, file }) } => keep::pack(global, console, &run, &file),
        Command::Runs { keep: Some(Keep::Unpack { file }) } => keep::unpack(global, console, &file),
        Command::Test { paths, path, update } => test::test(console, &paths, &path, update),
        Command::Doc { words, source, site } => doc::doc(console, &words, source, site.as_deref()),
        Command::Rbac { file, path, user } => rbac::rbac(console, &file, &path, &user),
        Command::Explain { code } => explain::explain(console, code.as_deref()),
        Command::Lsp { stdio: _ } => lsp::lsp(),
    }
}

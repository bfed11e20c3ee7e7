//! Programs of others that kup sends commands to or writes for, as they are: what they take and what they answer. They come with
//! `tests/run.sh`, and where one is missing its test says so.

mod dnf;
mod editors;
mod eks;
mod etcd;
mod powershell;
mod prometheus;
mod treesitter;

use std::path::{Path, PathBuf};
use std::process::Command;

use dsl::value::Value;
use engine::action::{Check, Context, Progress};
use engine::event::Failure;

/// Returns where `tests/run.sh` keeps what it installs.
fn kept() -> Option<PathBuf> {
    let cache = std::env::var_os("KUP_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/kup"));
    cache.or_else(home).map(|cache| cache.join("tools"))
}

/// Returns a program that answers: the one that is kept at a place, or the one on the PATH.
fn program(place: &str) -> Option<PathBuf> {
    let on_path = Path::new(place).file_name().map(PathBuf::from);
    let mut found = kept().map(|tools| tools.join(place)).into_iter().chain(on_path);
    found.find(|p| Command::new(p).arg("--version").output().is_ok_and(|o| o.status.success()))
}

/// Looks and begins as the driver does; what has no work says why.
async fn begin(cx: &Context, verb: &str) -> Result<Progress, Failure> {
    let actions = stdlib::actions();
    let action = actions.get(verb).expect("a verb");
    match action.check(cx).await? {
        Check::Done(why) => Ok(Progress::Done(Value::Text(why))),
        Check::Needs { before, .. } => action.start(cx, &before).await,
    }
}

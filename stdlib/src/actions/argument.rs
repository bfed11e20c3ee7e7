//! Arguments as Rust types. The checker has typed them already, so a wrong one is kup's own mistake;
//! still it becomes a failure of the step and not of the run.

use std::path::PathBuf;
use std::time::Duration;

use dsl::value::{Minor, Value, Version};
use engine::action::Context;
use engine::event::Failure;

fn wrong(name: &str, wanted: &str) -> Failure {
    Failure::last(format!("the argument `{name}` is not {wanted}"))
}

/// Returns a version.
pub(super) fn version(cx: &Context, name: &str) -> Result<Version, Failure> {
    match cx.args.get(name) {
        Some(Value::Version(version)) => Ok(version.clone()),
        _ => Err(wrong(name, "a version")),
    }
}

/// Returns a minor release; of a version, the one it belongs to.
pub(super) fn minor(cx: &Context, name: &str) -> Result<Minor, Failure> {
    match cx.args.get(name) {
        Some(Value::Minor(minor)) => Ok(*minor),
        Some(Value::Version(version)) => Ok(version.minor()),
        _ => Err(wrong(name, "a minor release")),
    }
}

/// Returns a duration.
pub(super) fn duration(cx: &Context, name: &str) -> Result<Duration, Failure> {
    match cx.args.get(name) {
        Some(Value::Duration(millis)) => Ok(Duration::from_millis(*millis)),
        _ => Err(wrong(name, "a duration")),
    }
}

/// Returns a text or a path.
pub(super) fn text<'a>(cx: &'a Context, name: &str) -> Result<&'a str, Failure> {
    cx.args.get(name).and_then(Value::as_text).ok_or_else(|| wrong(name, "a text"))
}

/// Returns a path on this machine: one that is relative begins at the playbook's folder.
pub(super) fn path(cx: &Context, name: &str) -> Result<PathBuf, Failure> {
    // Put together again from its parts, it has no `/./` within.
    Ok(cx.folder.join(text(cx, name)?).components().collect())
}

/// Returns a text that need not be given.
pub(super) fn optional_text<'a>(cx: &'a Context, name: &str) -> Option<&'a str> {
    cx.args.get(name).and_then(Value::as_text)
}

/// Reads a secret that need not be given. Its content may go to a command's standard input, and nowhere
/// else.
pub(super) async fn secret(cx: &Context, name: &str) -> Result<Option<String>, Failure> {
    match cx.args.get(name) {
        Some(Value::Secret(secret)) => cx.secrets.reveal(secret).await.map(Some),
        None | Some(Value::None) => Ok(None),
        Some(_) => Err(wrong(name, "a secret")),
    }
}

/// Returns a list of words.
pub(super) fn words(cx: &Context, name: &str) -> Result<Vec<String>, Failure> {
    match cx.args.get(name) {
        Some(Value::List(items)) => items
            .iter()
            .map(|item| item.as_text().map(str::to_string).ok_or_else(|| wrong(name, "a list of words")))
            .collect(),
        Some(Value::Word(word)) => Ok(vec![word.clone()]),
        _ => Err(wrong(name, "a list of words")),
    }
}

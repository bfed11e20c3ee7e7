//! Values as the journal writes them: tagged by their type, so that reading gives back exactly
//! what was written. A mirror; the language's own type stays free of wire formats.

use std::str::FromStr;

use dsl::value::{Batch, Minor, Secret, Value, Version, Window};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::JournalError;

/// A [`Value`] on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireValue {
    None,
    Bool(bool),
    Number(i64),
    Text(String),
    Path(String),
    /// Milliseconds.
    Duration(u64),
    Share(u32),
    Size(u64),
    Version(String),
    Minor(String),
    Batch(Vec<WireWindow>),
    Word(String),
    Node(String),
    Nodes(Vec<String>),
    List(Vec<WireValue>),
    Record(IndexMap<String, WireValue>),
    /// Where it is; what it is stands nowhere.
    Secret(WireSecret),
}

/// A [`Secret`] on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireSecret {
    Env(String),
    File(String),
    Command(String),
}

/// A [`Window`] on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireWindow {
    Count(u32),
    Share(u32),
}

impl From<&Value> for WireValue {
    fn from(value: &Value) -> WireValue {
        match value {
            Value::None => WireValue::None,
            Value::Bool(b) => WireValue::Bool(*b),
            Value::Number(n) => WireValue::Number(*n),
            Value::Text(s) => WireValue::Text(s.clone()),
            Value::Path(s) => WireValue::Path(s.clone()),
            Value::Duration(ms) => WireValue::Duration(*ms),
            Value::Share(s) => WireValue::Share(*s),
            Value::Size(bytes) => WireValue::Size(*bytes),
            Value::Version(v) => WireValue::Version(v.to_string()),
            Value::Minor(m) => WireValue::Minor(m.to_string()),
            Value::Batch(Batch(windows)) => WireValue::Batch(windows.iter().map(WireWindow::from).collect()),
            Value::Word(s) => WireValue::Word(s.clone()),
            Value::Node(s) => WireValue::Node(s.clone()),
            Value::Nodes(names) => WireValue::Nodes(names.clone()),
            Value::List(items) => WireValue::List(items.iter().map(WireValue::from).collect()),
            Value::Record(fields) => WireValue::Record(write_map(fields)),
            Value::Secret(secret) => WireValue::Secret(match secret.clone() {
                Secret::Env(name) => WireSecret::Env(name),
                Secret::File(path) => WireSecret::File(path),
                Secret::Command(line) => WireSecret::Command(line),
            }),
        }
    }
}

impl WireValue {
    /// Returns the value that was written.
    pub(super) fn read(self) -> Result<Value, JournalError> {
        Ok(match self {
            WireValue::None => Value::None,
            WireValue::Bool(b) => Value::Bool(b),
            WireValue::Number(n) => Value::Number(n),
            WireValue::Text(s) => Value::Text(s),
            WireValue::Path(s) => Value::Path(s),
            WireValue::Duration(ms) => Value::Duration(ms),
            WireValue::Share(s) => Value::Share(s),
            WireValue::Size(bytes) => Value::Size(bytes),
            WireValue::Version(v) => Value::Version(parse::<Version>(&v)?),
            WireValue::Minor(m) => Value::Minor(parse::<Minor>(&m)?),
            WireValue::Batch(windows) => Value::Batch(Batch(windows.into_iter().map(Window::from).collect())),
            WireValue::Word(s) => Value::Word(s),
            WireValue::Node(s) => Value::Node(s),
            WireValue::Nodes(names) => Value::Nodes(names),
            WireValue::List(items) => {
                Value::List(items.into_iter().map(WireValue::read).collect::<Result<_, _>>()?)
            }
            WireValue::Record(fields) => Value::Record(read_map(fields)?),
            WireValue::Secret(secret) => Value::Secret(match secret {
                WireSecret::Env(name) => Secret::Env(name),
                WireSecret::File(path) => Secret::File(path),
                WireSecret::Command(line) => Secret::Command(line),
            }),
        })
    }
}

impl From<&Window> for WireWindow {
    fn from(window: &Window) -> WireWindow {
        match *window {
            Window::Count(n) => WireWindow::Count(n),
            Window::Share(s) => WireWindow::Share(s),
        }
    }
}

impl From<WireWindow> for Window {
    fn from(window: WireWindow) -> Window {
        match window {
            WireWindow::Count(n) => Window::Count(n),
            WireWindow::Share(s) => Window::Share(s),
        }
    }
}

/// Writes named values.
pub(super) fn write_map(values: &IndexMap<String, Value>) -> IndexMap<String, WireValue> {
    values.iter().map(|(name, value)| (name.clone(), value.into())).collect()
}

/// Reads named values.
pub(super) fn read_map(values: IndexMap<String, WireValue>) -> Result<IndexMap<String, Value>, JournalError> {
    values.into_iter().map(|(name, value)| Ok((name, value.read()?))).collect()
}

/// Reads a version or a minor release.
pub(super) fn parse<T: FromStr>(text: &str) -> Result<T, JournalError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| JournalError::Content(e.to_string()))
}

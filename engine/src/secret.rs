//! Secrets during a run: read from their source when they are handed to a verb, and kept out of all
//! that is told afterwards. A plan and a journal hold the source and never the content.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dsl::value::{Secret, Value};
use indexmap::IndexMap;

use crate::action::Check;
use crate::event::Failure;
use crate::port::{Command, Once, Output, Ports, Seal, Shell, ShellError, Shells};

/// Reads secrets where they are.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Returns the content of a secret; the reason why there is none never holds any of it.
    async fn read(&self, secret: &Secret) -> Result<String, String>;
}

/// The secrets of a run.
pub struct Secrets {
    vault: Arc<dyn Vault>,
    /// What must not be told, the longest first.
    known: Mutex<Vec<String>>,
}

/// What stands where a secret stood.
const MASK: &str = "***";

/// A line of a secret that is shorter is hidden only with the whole of it.
const SHORTEST: usize = 4;

impl Secrets {
    /// Makes the secrets of a run.
    pub fn new(vault: Arc<dyn Vault>) -> Secrets {
        Secrets { vault, known: Mutex::default() }
    }

    /// Makes secrets that nobody can read: while a plan is made, and where there are none.
    pub fn closed() -> Secrets {
        Secrets::new(Arc::new(Closed))
    }

    /// Reads a secret from its source, and hides it from now on.
    pub async fn reveal(&self, secret: &Secret) -> Result<String, Failure> {
        let content = self.vault.read(secret).await.map_err(|why| {
            Failure::last(format!("a secret cannot be read: {why}"))
                .with_hint("put it where the playbook says that it is, then: kup resume")
        })?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = content.lines().map(str::trim).filter(|line| line.len() >= SHORTEST);
        for part in std::iter::once(content.as_str()).chain(lines).filter(|part| !part.is_empty()) {
            // What JSON would make of it stands in what tools print as JSON.
            let escaped = part.escape_default().to_string();
            for form in [part.to_string(), escaped] {
                if !known.contains(&form) {
                    known.push(form);
                }
            }
        }
        known.sort_by_key(|part| std::cmp::Reverse(part.len()));
        drop(known);
        Ok(content)
    }

    /// Reads every secret among some arguments, so that one that is not there is told before anything is
    /// begun.
    pub async fn reveal_all<'v>(&self, values: impl IntoIterator<Item = &'v Value>) -> Result<(), Failure> {
        let mut found = Vec::new();
        values.into_iter().for_each(|value| collect(value, &mut found));
        for secret in found {
            self.reveal(secret).await?;
        }
        Ok(())
    }

    /// Returns a text without secrets.
    pub fn hide(&self, text: String) -> String {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(text, |text, secret| match text.contains(secret.as_str()) {
            true => text.replace(secret.as_str(), MASK),
            false => text,
        })
    }

    /// Returns a value without secrets.
    pub(crate) fn hide_value(&self, value: Value) -> Value {
        match value {
            Value::Text(text) => Value::Text(self.hide(text)),
            Value::Path(text) => Value::Path(self.hide(text)),
            Value::List(items) => Value::List(items.into_iter().map(|item| self.hide_value(item)).collect()),
            Value::Record(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, self.hide_value(value)));
                Value::Record(fields.collect::<IndexMap<_, _>>())
            }
            other => other,
        }
    }

    /// Returns a failure without secrets.
    pub(crate) fn hide_failure(&self, failure: Failure) -> Failure {
        Failure {
            message: self.hide(failure.message),
            output: self.hide(failure.output),
            hint: self.hide(failure.hint),
            ..failure
        }
    }

    /// Returns what a look has shown without secrets.
    pub(crate) fn hide_check(&self, check: Check) -> Check {
        match check {
            Check::Done(note) => Check::Done(self.hide(note)),
            Check::Needs { now, then, before } => {
                Check::Needs { now: self.hide(now), then: self.hide(then), before: self.hide_value(before) }
            }
        }
    }

    /// Returns the same ports with shells in whose answers no secret stands: what is cut short later must
    /// be hidden before.
    pub(crate) fn around(self: &Arc<Secrets>, ports: Ports) -> Ports {
        Ports { shells: Arc::new(Hiding(ports.shells, self.clone())), ..ports }
    }
}

struct Closed;

#[async_trait]
impl Vault for Closed {
    async fn read(&self, _: &Secret) -> Result<String, String> {
        Err("no secret is read here".to_string())
    }
}

fn collect<'v>(value: &'v Value, found: &mut Vec<&'v Secret>) {
    match value {
        Value::Secret(secret) => found.push(secret),
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Record(fields) => fields.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

struct Hiding(Arc<dyn Shells>, Arc<Secrets>);

impl Shells for Hiding {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        Arc::new(HidingIn(self.0.on(ssh), self.1.clone()))
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(HidingIn(self.0.here(), self.1.clone()))
    }
}

struct HidingIn(Arc<dyn Shell>, Arc<Secrets>);

impl HidingIn {
    fn output(&self, Output { code, stdout, stderr }: Output) -> Output {
        Output { code, stdout: self.1.hide(stdout), stderr: self.1.hide(stderr) }
    }

    fn error(&self, error: ShellError) -> ShellError {
        match error {
            ShellError::Unreachable { machine, reason } => {
                ShellError::Unreachable { machine, reason: self.1.hide(reason) }
            }
            ShellError::Lost { machine, reason } => ShellError::Lost { machine, reason: self.1.hide(reason) },
            ShellError::Refused(why) => ShellError::Refused(self.1.hide(why)),
        }
    }
}

#[async_trait]
impl Shell for HidingIn {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        Ok(self.output(self.0.run(command).await.map_err(|e| self.error(e))?))
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        self.0.read(path).await.map_err(|e| self.error(e))
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        self.0.write(path, content, mode).await.map_err(|e| self.error(e))
    }

    async fn fetch(&self, path: &str, into: &std::path::Path) -> Result<u64, ShellError> {
        self.0.fetch(path, into).await.map_err(|e| self.error(e))
    }

    async fn fetch_sealed(
        &self,
        path: &str,
        into: &std::path::Path,
        seal: &dyn Seal,
    ) -> Result<u64, ShellError> {
        self.0.fetch_sealed(path, into, seal).await.map_err(|e| self.error(e))
    }

    async fn once(&self, command: &Command, marker: &str) -> Result<Once, ShellError> {
        Ok(match self.0.once(command, marker).await.map_err(|e| self.error(e))? {
            Once::Ended(output) => Once::Ended(self.output(output)),
            Once::Before(said) => Once::Before(self.1.hide(said)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str);

    #[async_trait]
    impl Vault for Fixed {
        async fn read(&self, _: &Secret) -> Result<String, String> {
            Ok(self.0.to_string())
        }
    }

    #[tokio::test]
    async fn what_was_read_is_hidden_whole_and_line_by_line() {
        let secrets = Secrets::new(Arc::new(Fixed("-----BEGIN-----\nhunter2hunter2\nab\n")));
        assert_eq!(secrets.hide("hunter2hunter2".into()), "hunter2hunter2", "nobody has read it yet");
        secrets.reveal(&Secret::Env("X".into())).await.expect("a secret");
        assert_eq!(secrets.hide("the key hunter2hunter2 is no key".into()), "the key *** is no key");
        assert_eq!(secrets.hide("a tab".into()), "a tab", "a short line is no secret alone");
        let record = Value::Record(IndexMap::from([("out".into(), Value::Text("=hunter2hunter2".into()))]));
        assert_eq!(secrets.hide_value(record).to_string(), "{out: =***}");
        let failure = secrets.hide_failure(Failure::last("no hunter2hunter2").with_output("hunter2hunter2"));
        assert_eq!((failure.message.as_str(), failure.output.as_str()), ("no ***", "***"));
    }
}

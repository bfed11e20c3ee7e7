//! Runs what kup does not understand: an operator's own command line or script, at most once unless
//! it comes with a probe.
//!
//! Without a probe a marker on the machine tells whether the command was begun, and how it ended. It
//! is written before the command runs and survives a reboot: a command that was begun and never
//! seen to end is not run again; a person decides.

use dsl::value::Value;
use engine::action::{Check, Context, Progress};
use engine::event::Failure;
use engine::port::{Command, Output};

use super::argument;
use super::detached::{self, Unit};
use super::failure;
use super::host::{FOLDER, Host};

/// Looks whether the work is done, as far as `unless` can tell.
pub(super) async fn check(cx: &Context) -> Result<Check, Failure> {
    let host = Host::of(cx)?;
    if let Some(unless) = argument::optional_text(cx, "unless") {
        let mut probe = Command::read(["sh", "-c", unless]);
        probe.root = !host.is_local();
        if host.run(probe).await?.ok() {
            return Ok(Check::Done("`unless` says that it is done".to_string()));
        }
    }
    Ok(Check::Needs { now: String::new(), then: String::new(), before: Value::None })
}

/// Runs the command, or begins it where the step is long.
pub(super) async fn start(cx: &Context, host: &Host, argv: Vec<String>) -> Result<Progress, Failure> {
    let mut command = Command::change(argv);
    command.root = !host.is_local();
    let detached = cx.long && !host.is_local();
    if let Some(content) = argument::secret(cx, "stdin").await? {
        if detached {
            return Err(Failure::last("a `long` command is detached and has no standard input")
                .with_hint("take `long` away, or `stdin`"));
        }
        command.stdin = content.into_bytes();
    }
    let probed = argument::optional_text(cx, "unless").is_some();
    if !probed {
        match Marker::read(cx, host).await? {
            Marker::None => Marker::Begun.write(cx, host).await?,
            // Its unit may still be there; then it is known after all.
            Marker::Begun if detached => {
                let handle = detached::find_unseen(cx, host).await?.ok_or_else(|| half_done(host))?;
                return Ok(detached::pending(&handle, host, "the command", &Unit::Runs(String::new())));
            }
            Marker::Begun => return Err(half_done(host)),
            Marker::Done(said) => return Ok(Progress::Done(Value::Text(said))),
        }
    }
    if detached {
        let handle = detached::begin(cx, host, &command).await?;
        return Ok(detached::pending(&handle, host, "the command", &Unit::Runs(String::new())));
    }
    match host.shell.run(&command).await {
        Ok(output) => ended(cx, host, &output).await,
        Err(error) => {
            let failure = failure::shell(&error);
            if matches!(error, engine::port::ShellError::Lost { .. }) {
                return Err(if probed { failure } else { half_done(host) });
            }
            if !probed {
                Marker::None.write(cx, host).await?;
            }
            Err(failure)
        }
    }
}

/// Follows a long command.
pub(super) async fn poll(cx: &Context, handle: &Value) -> Result<Progress, Failure> {
    let host = Host::of(cx)?;
    match detached::look(cx, &host, handle, "the command").await? {
        Unit::Ended(output) => ended(cx, &host, &output).await,
        unit => Ok(detached::pending(handle, &host, "the command", &unit)),
    }
}

async fn ended(cx: &Context, host: &Host, output: &Output) -> Result<Progress, Failure> {
    let probed = argument::optional_text(cx, "unless").is_some();
    if output.ok() {
        let said = last_lines(&output.stdout);
        if !probed {
            Marker::Done(said.clone()).write(cx, host).await?;
        }
        return Ok(Progress::Done(Value::Text(said)));
    }
    if !probed {
        Marker::None.write(cx, host).await?;
    }
    // Whether it may be tried again is the playbook's word: `retry`.
    let failure = Failure::transient(format!("exit code {}", output.code));
    Err(failure.with_output(failure::tail(&failure::said(output))))
}

fn half_done(host: &Host) -> Failure {
    Failure::unknown(format!("it was begun on {} and nobody saw how it ended", host.name)).with_hint(
        "look at what it did; give the step `unless=\"...\"`, a command that exits 0 once the work is done, so that kup can look itself",
    )
}

/// Returns what a command gives back of what it printed.
pub(super) fn last_lines(text: &str) -> String {
    let tail = failure::tail(text);
    let lines: Vec<&str> = tail.lines().collect();
    lines[lines.len().saturating_sub(3)..].join("\n")
}

/// What a machine knows of a command without a probe.
#[derive(Clone, Debug, PartialEq)]
enum Marker {
    /// It was not begun, or it failed and may be run again.
    None,
    /// It was begun.
    Begun,
    /// It ended with exit code 0, and printed these lines.
    Done(String),
}

impl Marker {
    fn path(cx: &Context, host: &Host) -> String {
        let name = format!("{}-{}.once", cx.run, detached::step_hash(cx));
        // On this machine kup need not be root.
        if host.is_local() { format!("/var/tmp/kup-{name}") } else { format!("{FOLDER}/{name}") }
    }

    async fn read(cx: &Context, host: &Host) -> Result<Marker, Failure> {
        let text = host.read(&Marker::path(cx, host)).await?;
        let (word, said) = match text.as_deref() {
            None => return Ok(Marker::None),
            Some(text) => text.split_once('\n').unwrap_or((text, "")),
        };
        Ok(match word.trim() {
            "none" => Marker::None,
            "done" => Marker::Done(said.to_string()),
            _ => Marker::Begun,
        })
    }

    async fn write(self, cx: &Context, host: &Host) -> Result<(), Failure> {
        let text = match &self {
            Marker::None => "none\n".to_string(),
            Marker::Begun => "begun\n".to_string(),
            Marker::Done(said) => format!("done\n{said}"),
        };
        if !host.is_local() && self == Marker::Begun {
            host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
        }
        host.write(&Marker::path(cx, host), &text, 0o600).await
    }
}

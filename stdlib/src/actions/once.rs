//! Runs what kup does not understand: an operator's own command line or script, at most once unless
//! it comes with a probe.
//!
//! Without a probe a marker on the machine tells whether the command was begun, and how it ended. It
//! is written before the command runs and survives a reboot: a command that was begun and never
//! seen to end is not run again; a person decides.

use dsl::value::Value;
use engine::action::{Check, Context, Progress};
use engine::event::Failure;
use engine::port::{BEGUN, Command, ENDED, NEVER, Once, Output, ShellError};

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
    match (detached, probed) {
        (true, _) => {
            let begun = if probed { None } else { begun_before(cx, host).await? };
            let handle = match begun {
                Some(Begun::Ended(progress)) => return Ok(progress),
                Some(Begun::Runs(handle)) => handle,
                None => detached::begin(cx, host, &command).await?,
            };
            Ok(detached::pending(&handle, host, "the command", &Unit::Runs(String::new())))
        }
        (false, true) => ended(cx, host, &host.run(command).await?).await,
        (false, false) => match host.shell.once(&command, &Marker::path(cx, host)).await {
            Ok(Once::Ended(output)) => ended(cx, host, &output).await,
            Ok(Once::Before(text)) => match Marker::of(&text) {
                Marker::Ended(said) => was_done(cx, host, said),
                Marker::None | Marker::Begun => Err(half_done(host)),
            },
            Err(ShellError::Lost { .. }) => Err(half_done(host)),
            Err(error) => Err(failure::shell(&error)),
        },
    }
}

/// How far a long command is that was begun before.
enum Begun {
    /// Its unit is still there.
    Runs(Value),
    /// It ended well.
    Ended(Progress),
}

/// Looks whether a long command was begun before, and notes that it is now.
async fn begun_before(cx: &Context, host: &Host) -> Result<Option<Begun>, Failure> {
    Ok(match Marker::read(cx, host).await? {
        Marker::None => {
            Marker::Begun.write(cx, host).await?;
            None
        }
        // Its unit may still be there; then it is known after all.
        Marker::Begun => {
            let handle = detached::find_unseen(cx, host).await?;
            Some(Begun::Runs(handle.ok_or_else(|| half_done(host))?))
        }
        Marker::Ended(said) => Some(Begun::Ended(was_done(cx, host, said)?)),
    })
}

/// Answers for a command that ended well before anybody heard of it.
fn was_done(cx: &Context, host: &Host, said: Option<String>) -> Result<Progress, Failure> {
    match said {
        None if cx.gives => {
            let text = format!("it ended well on {}, and what it gives back was lost with kup", host.name);
            let hint = format!("if it may be run again, remove {} there and go on", Marker::path(cx, host));
            Err(Failure::unknown(text).with_hint(hint))
        }
        said => Ok(Progress::Done(Value::Text(said.unwrap_or_default()))),
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
    let detached = cx.long && !host.is_local();
    let marked = argument::optional_text(cx, "unless").is_none();
    if output.ok() {
        let said = last_lines(&output.stdout);
        // That it ended is on the machine already; what it said is kept for who may ask.
        if marked && (detached || cx.gives) {
            Marker::Ended(Some(said.clone())).write(cx, host).await?;
        }
        return Ok(Progress::Done(Value::Text(said)));
    }
    if marked && detached {
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
    /// It ended with exit code 0, and printed these lines, if they were kept.
    Ended(Option<String>),
}

impl Marker {
    fn path(cx: &Context, host: &Host) -> String {
        let name = format!("{}-{}.once", cx.run, detached::step_hash(cx));
        // On this machine kup need not be root.
        if host.is_local() { format!("/var/tmp/kup-{name}") } else { format!("{FOLDER}/{name}") }
    }

    async fn read(cx: &Context, host: &Host) -> Result<Marker, Failure> {
        let text = host.read(&Marker::path(cx, host)).await?;
        Ok(text.as_deref().map_or(Marker::None, Marker::of))
    }

    fn of(text: &str) -> Marker {
        let (word, said) = text.split_once('\n').unwrap_or((text, ""));
        match word.trim() {
            NEVER => Marker::None,
            ENDED => Marker::Ended(None),
            "done" => Marker::Ended(Some(said.to_string())),
            _ => Marker::Begun,
        }
    }

    async fn write(self, cx: &Context, host: &Host) -> Result<(), Failure> {
        let text = match &self {
            Marker::None => format!("{NEVER}\n"),
            Marker::Begun => format!("{BEGUN}\n"),
            Marker::Ended(None) => format!("{ENDED}\n"),
            Marker::Ended(Some(said)) => format!("done\n{said}"),
        };
        if !host.is_local() && self == Marker::Begun {
            host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
        }
        host.write(&Marker::path(cx, host), &text, 0o600).await
    }
}

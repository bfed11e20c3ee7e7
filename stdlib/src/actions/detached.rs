//! Commands that go on by themselves on their node, as transient units of systemd: neither a lost
//! connection nor a dead kup can end them or begin them twice.
//!
//! ```text
//! begin: mkdir /run/kup, systemd-run --unit=kup-RUN-STEP-ATTEMPT     (a unit that is there: attach)
//! poll:  systemctl show -> running | ended, read outputs | gone: nobody knows, so: unknown
//! clean: rm, stop, reset-failed                    once the outcome is in the journal
//! ```
//!
//! Invariant: a unit that has ended is only removed when its outcome is on disk, or no longer counts.
//! Whoever asks again before that, because kup died in between, is told the same.
//!
//! The unit's name is made of the step's key and the attempt, so whoever asks again, also another
//! process after a crash, finds the same unit.

use std::time::Duration;

use dsl::value::Value;
use engine::action::{Context, Progress};
use engine::event::Failure;
use engine::port::{Command, Output, ShellError};
use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use super::failure;
use super::host::{Host, is_away};

/// Where the outputs of units are.
pub(super) const FOLDER: &str = "/run/kup";

/// How often a unit is looked at.
const AGAIN: Duration = Duration::from_secs(1);

/// How a unit is.
#[derive(Debug)]
pub(super) enum Unit {
    /// It runs; the last line it has written.
    Runs(String),
    /// It has ended; whoever looks again sees the same, until it is cleaned up.
    Ended(Output),
    /// The node does not answer, so nothing is known of it.
    Away,
}

/// Returns a short name of the step that is the same whoever asks, and in every process.
pub(super) fn step_hash(cx: &Context) -> String {
    hex(&Sha256::digest(cx.key.as_bytes())[..5])
}

/// Writes bytes as lowercase hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the handle of this attempt's unit. The run's id is not part of it, so that the journals of
/// two equal runs are equal.
pub(super) fn handle(cx: &Context) -> Value {
    handle_of(cx, cx.attempt)
}

fn handle_of(cx: &Context, attempt: u32) -> Value {
    let unit = Value::Text(format!("{}-{attempt}", step_hash(cx)));
    Value::Record(IndexMap::from([("unit".to_string(), unit)]))
}

/// Finds what this step has begun: the unit of this attempt, or of an earlier one that still runs
/// because its attempt ran out of time. Returns its handle.
pub(super) async fn find(cx: &Context, host: &Host) -> Result<Option<Value>, Failure> {
    for attempt in (1..=cx.attempt).rev() {
        let handle = handle_of(cx, attempt);
        let unit = unit_name(cx, &handle)?;
        match state(host, &unit).await.map_err(|error| failure::shell(&error))? {
            Some(properties) if attempt == cx.attempt || !properties.ended() => return Ok(Some(handle)),
            // Its attempt has failed, and the probe has looked since: its outcome no longer counts.
            Some(properties) => remove(host, &unit, &properties).await,
            None => {}
        }
    }
    Ok(None)
}

/// Finds the newest unit of this step, whether it runs or has ended; for who knows that nobody has seen it
/// end.
pub(super) async fn find_unseen(cx: &Context, host: &Host) -> Result<Option<Value>, Failure> {
    for attempt in (1..=cx.attempt).rev() {
        let handle = handle_of(cx, attempt);
        let unit = unit_name(cx, &handle)?;
        if state(host, &unit).await.map_err(|error| failure::shell(&error))?.is_some() {
            return Ok(Some(handle));
        }
    }
    Ok(None)
}

/// Removes what this attempt and earlier ones have left, unless it still runs: it ran out of time then, and
/// the step's next attempt follows it. Nothing here can fail the step; what is left behind is in /run and
/// gone with the next boot.
pub(super) async fn clean(cx: &Context) {
    let Ok(host) = Host::of(cx) else { return };
    if host.is_local() {
        return;
    }
    for attempt in (1..=cx.attempt).rev() {
        let Ok(unit) = unit_name(cx, &handle_of(cx, attempt)) else { return };
        match state(&host, &unit).await {
            Ok(Some(properties)) if properties.ended() => remove(&host, &unit, &properties).await,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(host = host.name, %error, "a unit was not cleaned up");
                return;
            }
        }
    }
}

/// Begins a command, or attaches to it if this attempt has begun it before. Returns its handle.
pub(super) async fn begin(cx: &Context, host: &Host, command: &Command) -> Result<Value, Failure> {
    // An earlier attempt may still be at it; two of them at once would be the worst.
    if cx.attempt > 1
        && let Some(handle) = find(cx, host).await?
    {
        return Ok(handle);
    }
    let handle = handle(cx);
    let unit = unit_name(cx, &handle)?;
    host.ask(Command::change(["mkdir", "-p", "-m", "0700", FOLDER])).await?;
    for _ in 0..2 {
        match host.shell.run(&systemd_run(&unit, command)).await {
            Ok(output) if output.ok() => return Ok(handle),
            // Refused: either because the unit is there already, or because systemd cannot.
            Ok(output) => match state(host, &unit).await {
                Ok(Some(_)) => return Ok(handle),
                Ok(None) | Err(_) => return Err(failure::classify("systemd-run", &output)),
            },
            // The answer was lost, not necessarily the command: look before it is sent again.
            Err(ShellError::Lost { .. }) => match state(host, &unit).await {
                Ok(None) => continue,
                // Away: whoever polls will find the unit, or will not and say so.
                Ok(Some(_)) | Err(_) => return Ok(handle),
            },
            Err(error @ (ShellError::Unreachable { .. } | ShellError::Refused(_))) => {
                return Err(failure::shell(&error));
            }
        }
    }
    Err(Failure::transient(format!("lost {} twice while a command was begun", host.name)))
}

/// Looks how the unit of a handle is. A unit that is gone is a failure whose outcome is not known: the
/// node was rebooted, or somebody removed it.
pub(super) async fn look(cx: &Context, host: &Host, handle: &Value, what: &str) -> Result<Unit, Failure> {
    let unit = unit_name(cx, handle)?;
    let properties = match state(host, &unit).await {
        Ok(Some(properties)) => properties,
        Ok(None) => {
            return Err(Failure::unknown(format!("{} no longer knows of `{what}`", host.name))
                .with_hint(format!("see `uptime` on {}: it may have been rebooted", host.name)));
        }
        Err(error) if is_away(&error) => return Ok(Unit::Away),
        Err(error) => return Err(failure::shell(&error)),
    };
    if !properties.ended() {
        let tail = Command::read(["tail", "-c", "4096", &path(&unit, "out")]).as_root();
        return Ok(match host.shell.run(&tail).await {
            Ok(output) => Unit::Runs(last_line(&output.stdout)),
            Err(_) => Unit::Away,
        });
    }
    let mut output = Output { code: properties.code(), ..Output::default() };
    for (stream, name) in [(&mut output.stdout, "out"), (&mut output.stderr, "err")] {
        match host.shell.read(&path(&unit, name)).await {
            Ok(bytes) => *stream = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
            Err(error) if is_away(&error) => return Ok(Unit::Away),
            Err(error) => return Err(failure::shell(&error)),
        }
    }
    Ok(Unit::Ended(output))
}

/// Returns the progress of a command that still runs: what it does, or that its node is silent.
pub(super) fn pending(handle: &Value, host: &Host, what: &str, unit: &Unit) -> Progress {
    let reason = match unit {
        Unit::Away => format!("waiting for {} to answer", host.name),
        Unit::Runs(line) if line.is_empty() => format!("`{what}` runs"),
        Unit::Runs(line) => line.clone(),
        Unit::Ended(_) => format!("`{what}` has ended"),
    };
    Progress::Pending { handle: handle.clone(), reason, again: AGAIN }
}

/// The properties of a unit that tell how it is.
#[derive(Debug, Default)]
struct Properties {
    active: String,
    sub: String,
    result: String,
    how: String,
    status: i32,
}

impl Properties {
    /// Returns whether the command has ended. With RemainAfterExit a unit that ended well stays
    /// `active (exited)`.
    fn ended(&self) -> bool {
        matches!(self.active.as_str(), "failed" | "inactive") || self.sub == "exited"
    }

    /// Returns the exit code; 128 + n after signal n.
    fn code(&self) -> i32 {
        match self.how.as_str() {
            "2" | "3" | "killed" | "dumped" => 128 + self.status,
            _ if self.status == 0 && !matches!(self.result.as_str(), "" | "success") => 1,
            _ => self.status,
        }
    }
}

/// Asks for a unit's properties; `None` if there is no such unit.
async fn state(host: &Host, unit: &str) -> Result<Option<Properties>, ShellError> {
    let wanted = "LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";
    let service = format!("{unit}.service");
    let output = host.shell.run(&Command::read(["systemctl", "show", &service, "-p", wanted])).await?;
    let mut properties = Properties::default();
    let mut loaded = None;
    for (name, value) in output.stdout.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "LoadState" => loaded = Some(value != "not-found"),
            "ActiveState" => properties.active = value.to_string(),
            "SubState" => properties.sub = value.to_string(),
            "Result" => properties.result = value.to_string(),
            "ExecMainCode" => properties.how = value.to_string(),
            "ExecMainStatus" => properties.status = value.parse().unwrap_or(1),
            _ => {}
        }
    }
    match loaded {
        Some(loaded) => Ok(loaded.then_some(properties)),
        // systemd itself does not answer, as while it is re-executed: ask again later.
        None => Err(ShellError::Unreachable {
            machine: host.name.clone(),
            reason: failure::tail(&failure::said(&output)),
        }),
    }
}

/// Removes a unit that has ended and its outputs. The unit goes last: whoever is killed in between finds it again.
async fn remove(host: &Host, unit: &str, properties: &Properties) {
    let service = format!("{unit}.service");
    let mut commands = vec![
        Command::change(["rm", "-f", &path(unit, "out"), &path(unit, "err")]),
        Command::change(["systemctl", "stop", &service]),
    ];
    if properties.active == "failed" {
        commands.push(Command::change(["systemctl", "reset-failed", &service]));
    }
    for command in commands {
        if let Err(error) = host.shell.run(&command).await {
            tracing::debug!(host = host.name, %error, "a unit was not cleaned up");
            return;
        }
    }
}

fn systemd_run(unit: &str, command: &Command) -> Command {
    let mut argv = vec![
        "systemd-run".to_string(),
        format!("--unit={unit}"),
        "-p".to_string(),
        "RemainAfterExit=yes".to_string(),
        "-p".to_string(),
        format!("StandardOutput=file:{}", path(unit, "out")),
        "-p".to_string(),
        format!("StandardError=file:{}", path(unit, "err")),
    ];
    argv.extend(command.env.iter().map(|(name, value)| format!("--setenv={name}={value}")));
    // systemd has its own environment; messages are matched in English.
    argv.push("--setenv=LC_ALL=C".to_string());
    argv.extend(["-q".to_string(), "--".to_string()]);
    argv.extend(command.argv.iter().cloned());
    Command::change(argv)
}

fn unit_name(cx: &Context, handle: &Value) -> Result<String, Failure> {
    match handle.get("unit").and_then(Value::as_text) {
        Some(unit) => Ok(format!("kup-{}-{unit}", cx.run)),
        None => Err(Failure::last("the journal's handle of this step names no unit")),
    }
}

fn path(unit: &str, stream: &str) -> String {
    format!("{FOLDER}/{unit}.{stream}")
}

fn last_line(text: &str) -> String {
    let lines = text.lines().rev().map(failure::printable);
    let mut lines = lines.map(|line| line.trim().chars().take(160).collect::<String>());
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use engine::event::Class;

    use super::super::testing::Bench;
    use super::*;

    const SHOW: &str = "systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus";
    const RUN: &str = "systemd-run --unit=kup-r1-a2906e1d50-1 -p RemainAfterExit=yes -p StandardOutput=file:/run/kup/kup-r1-a2906e1d50-1.out -p StandardError=file:/run/kup/kup-r1-a2906e1d50-1.err --setenv=LC_ALL=C -q -- kubeadm upgrade node";
    const GONE: &str = "LoadState=not-found\nActiveState=inactive\nSubState=dead\n";
    const RUNS: &str = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n";

    fn command() -> Command {
        Command::change(["kubeadm", "upgrade", "node"])
    }

    #[tokio::test]
    async fn a_unit_tells_how_it_ended_until_it_is_cleaned_up() {
        let bench = Bench::default()
            .says(SHOW, RUNS)
            .says(
                SHOW,
                "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=2\n",
            )
            .says("tail -c 4096 /run/kup/kup-r1-a2906e1d50-1.out", "[upgrade] one\n[upgrade] two\n\n")
            .file("/run/kup/kup-r1-a2906e1d50-1.err", "broken");
        let cx = bench.step(&[]);
        let host = Host::of(&cx).unwrap();
        let handle = begin(&cx, &host, &command()).await.unwrap();
        assert!(
            matches!(look(&cx, &host, &handle, "x").await, Ok(Unit::Runs(line)) if line == "[upgrade] two")
        );
        // kup dies before the outcome is on disk: whoever asks again is told the same.
        for _ in 0..2 {
            let Ok(Unit::Ended(output)) = look(&cx, &host, &handle, "x").await else { panic!() };
            assert_eq!((output.code, output.stderr.as_str()), (2, "broken"));
        }
        clean(&cx).await;
        expect_test::expect![[r#"
            mkdir -p -m 0700 /run/kup
            systemd-run --unit=kup-r1-a2906e1d50-1 -p RemainAfterExit=yes -p StandardOutput=file:/run/kup/kup-r1-a2906e1d50-1.out -p StandardError=file:/run/kup/kup-r1-a2906e1d50-1.err --setenv=LC_ALL=C -q -- kubeadm upgrade node
            systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus
            tail -c 4096 /run/kup/kup-r1-a2906e1d50-1.out
            systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus
            systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus
            systemctl show kup-r1-a2906e1d50-1.service -p LoadState,ActiveState,SubState,Result,ExecMainCode,ExecMainStatus
            rm -f /run/kup/kup-r1-a2906e1d50-1.out /run/kup/kup-r1-a2906e1d50-1.err
            systemctl stop kup-r1-a2906e1d50-1.service
            systemctl reset-failed kup-r1-a2906e1d50-1.service
        "#]]
        .assert_eq(&bench.sent());
    }

    #[tokio::test]
    async fn what_earlier_attempts_left_is_cleaned_up_and_what_still_runs_stays() {
        let ended = "LoadState=loaded\nActiveState=active\nSubState=exited\n";
        let show = |attempt: u32| SHOW.replace("50-1", &format!("50-{attempt}"));
        let bench = Bench::default().says(&show(1), ended).says(&show(2), RUNS).says(&show(3), GONE);
        let mut cx = bench.step(&[]);
        cx.attempt = 3;
        clean(&cx).await;
        let sent = bench.sent();
        let changes: Vec<&str> = sent.lines().filter(|line| !line.contains(" show ")).collect();
        assert_eq!(
            changes,
            [
                "rm -f /run/kup/kup-r1-a2906e1d50-1.out /run/kup/kup-r1-a2906e1d50-1.err",
                "systemctl stop kup-r1-a2906e1d50-1.service"
            ]
        );
    }

    async fn begun(bench: &Bench) -> usize {
        let cx = bench.step(&[]);
        let host = Host::of(&cx).unwrap();
        begin(&cx, &host, &command()).await.unwrap();
        bench.sent().lines().filter(|line| line.starts_with("systemd-run")).count()
    }

    #[tokio::test]
    async fn a_connection_lost_while_a_unit_begins_does_not_begin_it_twice() {
        assert_eq!(begun(&Bench::default().loses(RUN).says(SHOW, RUNS)).await, 1);
        assert_eq!(begun(&Bench::default().loses(RUN).misses(SHOW)).await, 1);
        assert_eq!(begun(&Bench::default().loses(RUN).says(RUN, "").says(SHOW, GONE)).await, 2);
    }

    #[tokio::test]
    async fn a_unit_that_is_there_already_is_followed() {
        let refuses =
            Bench::default().ends(RUN, 1, "", "Failed to start transient service unit").says(SHOW, RUNS);
        assert_eq!(begun(&refuses).await, 1);
    }

    #[tokio::test]
    async fn an_attempt_that_ran_out_of_time_is_not_begun_beside_itself() {
        let bench = Bench::default().says(SHOW, RUNS).says(&SHOW.replace("50-1", "50-2"), GONE);
        let mut cx = bench.step(&[]);
        let first = handle(&cx);
        cx.attempt = 2;
        let host = Host::of(&cx).unwrap();
        assert_eq!(begin(&cx, &host, &command()).await, Ok(first));
        assert!(!bench.sent().contains("systemd-run"));
    }

    #[tokio::test]
    async fn a_silent_node_is_waited_for_and_a_unit_that_is_gone_is_unknown() {
        let bench = Bench::default().misses(SHOW).says(SHOW, GONE);
        let cx = bench.step(&[]);
        let host = Host::of(&cx).unwrap();
        let handle = handle(&cx);
        assert!(matches!(look(&cx, &host, &handle, "x").await, Ok(Unit::Away)));
        assert_eq!(look(&cx, &host, &handle, "x").await.unwrap_err().class, Class::Unknown);
    }
}

//! One ssh session: a master connection of the user's own ssh, and commands over it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openssh::{Error, Session, Stdio};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use super::master::Master;
use super::quote::Run;
use super::warm::Warm;
use crate::port::Command;

/// More output than this is no output of a command that kup sends.
pub(super) const MOST: u64 = 64 << 20;

/// How long a command waits for sshd to take another channel.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connected session.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) master: Arc<Master>,
    /// Whether the login is root; else why nobody could tell, as on Windows.
    pub(super) is_root: Result<bool, String>,
    /// The shell that stays, while nobody uses it; `None`: the next one who could use it makes it anew.
    pub(super) warm: Arc<Mutex<Option<Warm>>>,
}

/// Why there is no exit code.
pub(super) enum Broken {
    /// The command was not begun.
    Refused(String),
    /// Nobody knows.
    Lost(String),
    /// The file here, or too much output.
    Sink(String),
}

impl Open {
    /// Returns whether the connection still stands: a shell that waits says so without a round trip.
    pub(super) async fn stands(&self) -> bool {
        if let Ok(mut waiting) = self.warm.try_lock()
            && let Some(warm) = &mut *waiting
        {
            if warm.waits() {
                return true;
            }
            *waiting = None;
        }
        self.is_alive().await
    }

    fn session(&self) -> &Arc<Session> {
        self.master.session()
    }

    async fn is_alive(&self) -> bool {
        self.session().check().await.is_ok()
    }

    /// Returns the number of the user that the login is, and keeps the shell that has said so; else why there is none: where no
    /// shell of POSIX is, it may be Windows.
    pub(super) async fn user(&self) -> Result<Result<String, String>, Broken> {
        if let Ok((warm, id)) = Warm::start(self.session()).await {
            *self.warm.lock().await = Some(warm);
            return Ok(Ok(id));
        }
        let run = Run::of(&Command::read(["id", "-u"]), true);
        let run = run.map_err(|e| Broken::Refused(e.to_string()))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_string();
        Ok(match self.output(run, &[]).await? {
            (0, id, _) => Ok(text(id)),
            (code, _, errors) => Err(format!("`id -u` ended with {code}: {}", text(errors))),
        })
    }

    /// Runs a line; standard output goes to `sink`. Returns the exit code and standard error.
    pub(super) async fn run(
        &self,
        line: &str,
        stdin: &[u8],
        limit: Option<u64>,
        sink: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(i32, Vec<u8>), Broken> {
        let mut command = self.session().raw_command(line);
        command.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(20);
        let mut child = loop {
            match command.spawn().await {
                Ok(child) => break child,
                Err(e) if is_full(&e) && begun.elapsed() < PATIENCE => {
                    // A shell that only waits gives way.
                    if let Ok(mut warm) = self.warm.try_lock() {
                        warm.take();
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                // The master lives, so it was the other side that refused another channel.
                Err(e) if self.is_alive().await => return Err(Broken::Refused(told(&e))),
                Err(e) => return Err(Broken::Lost(told(&e))),
            }
        };
        let (input, output, errors) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
        let feed = async {
            if let Some(mut input) = input {
                // A program may end without having read all; its exit code says whether that was well.
                let _ = input.write_all(stdin).await;
                let _ = input.shutdown().await;
            }
        };
        let drain = async {
            let Some(output) = output else { return Ok(false) };
            let most = limit.unwrap_or(u64::MAX);
            let copied = tokio::io::copy(&mut output.take(most), sink).await?;
            sink.flush().await?;
            Ok::<bool, io::Error>(copied == most)
        };
        let complain = async {
            let mut text = Vec::new();
            if let Some(errors) = errors {
                let _ = errors.take(MOST).read_to_end(&mut text).await;
            }
            text
        };
        let ((), drained, text) = tokio::join!(feed, drain, complain);
        if drained.map_err(|e| Broken::Sink(e.to_string()))? {
            return Err(Broken::Sink("printed more than a command may".to_string()));
        }
        match child.wait().await {
            // Without a code the remote shell was killed: by a signal at our wrapper, or with its host.
            Ok(status) => {
                status.code().map(|code| (code, text)).ok_or(Broken::Lost("no exit code".to_string()))
            }
            // The crate takes 127 for an error of its own.
            Err(Error::Remote(e)) if e.kind() == io::ErrorKind::NotFound => Ok((127, text)),
            Err(e) => Err(Broken::Lost(told(&e))),
        }
    }

    /// Runs a command and returns its exit code, output and errors: by the shell that stays, or by a channel of its
    /// own where that one is in use or where it reads something.
    pub(super) async fn output(&self, run: Run, stdin: &[u8]) -> Result<(i32, Vec<u8>, Vec<u8>), Broken> {
        if stdin.is_empty()
            && let Ok(mut waiting) = self.warm.try_lock()
        {
            // Whoever gives up here leaves no shell in the middle of an answer.
            let warm = match waiting.take() {
                Some(warm) => Ok(warm),
                None => Warm::start(self.session()).await.map(|(warm, _)| warm),
            };
            if let Ok(mut warm) = warm {
                let answer = warm.output(&run).await?;
                *waiting = Some(warm);
                return Ok(answer);
            }
        }
        let line = run.line().map_err(|e| Broken::Refused(e.to_string()))?;
        let mut output = Vec::new();
        let (code, errors) = self.run(&line, stdin, Some(MOST), &mut output).await?;
        Ok((code, output, errors))
    }
}

/// Returns whether sshd has as many channels open as its `MaxSessions` allows (OpenSSH's mux.c says so;
/// the crate has no type for it). Nothing was begun, and a channel that has ended is counted until
/// sshd has seen its end: the next command may come too early even when we have left it room.
fn is_full(error: &Error) -> bool {
    told(error).contains("Session open refused by peer")
}

/// Returns what ssh said, with the causes, on one line.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = e.source();
    }
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
}

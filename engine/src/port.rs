//! What an action may touch: the cluster through `kube::Client`, nodes through [`Shell`], time
//! through [`Clock`]. Each has a live side (`live`) and a simulated one (the crate `sim`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::hook::Answer;

/// All ports of one run.
#[derive(Clone)]
pub struct Ports {
    /// The cluster; `None` when kup runs on plain hosts.
    pub kube: Option<kube::Client>,
    /// The nodes, and this machine.
    pub shells: Arc<dyn Shells>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where scripts send HTTP requests; `None`: nothing is sent, in a simulation and before a run.
    pub web: Option<Arc<dyn Web>>,
}

/// Sends the HTTP requests of scripts.
#[async_trait]
pub trait Web: Send + Sync {
    /// Sends a request and waits for its answer, within a deadline of its own. Redirects are not followed:
    /// they may lead to a host that nobody listed.
    async fn send(&self, post: bool, url: &str, headers: &[(String, String)], body: &str) -> Answer;
}

/// Finds the shell of a node.
pub trait Shells: Send + Sync {
    /// Returns the shell of a node, by the name that ssh knows. Connecting is lazy.
    fn on(&self, ssh: &str) -> Arc<dyn Shell>;
    /// Returns the shell of this machine.
    fn here(&self) -> Arc<dyn Shell>;
}

/// Runs commands on one machine. Each call is one round trip.
#[async_trait]
pub trait Shell: Send + Sync {
    /// Runs a command to its end. A program that ran, whatever its exit code, is `Ok`. What it prints is text: neither bytes of
    /// zero are kept by every shell, nor how many line ends it ends with.
    async fn run(&self, command: &Command) -> Result<Output, ShellError>;

    /// Reads a whole file as root. A missing file is `Ok(None)`.
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError>;

    /// Replaces a file atomically as root, with the mode given as in `chmod`.
    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError>;

    /// Streams a file of this shell's machine, read as root, into a new file of *our* machine
    /// (mode 0600, synced, renamed into place). Returns its size in bytes.
    async fn fetch(&self, path: &str, into: &std::path::Path) -> Result<u64, ShellError>;

    /// Streams a file as `fetch` does, through a seal: nothing of it stands on our machine as it was read.
    async fn fetch_sealed(
        &self,
        path: &str,
        _into: &std::path::Path,
        _seal: &dyn Seal,
    ) -> Result<u64, ShellError> {
        Err(ShellError::Refused(format!("`{path}` cannot be sealed on its way")))
    }

    /// Runs a command at most once: a file on the machine remembers that it was begun ([`BEGUN`]), and that it
    /// ended with exit code 0 ([`ENDED`]). One that failed may be run again.
    async fn once(&self, command: &Command, marker: &str) -> Result<Once, ShellError> {
        match self.read(marker).await? {
            Some(said) if !said.starts_with(NEVER.as_bytes()) => {
                return Ok(Once::Before(String::from_utf8_lossy(&said).into_owned()));
            }
            Some(_) | None => {}
        }
        let note = async |word: &str| self.write(marker, format!("{word}\n").as_bytes(), 0o600).await;
        note(BEGUN).await?;
        let ended = self.run(command).await;
        match &ended {
            Ok(output) => note(if output.ok() { ENDED } else { NEVER }).await?,
            Err(ShellError::Lost { .. }) => {}
            Err(_) => note(NEVER).await?,
        }
        ended.map(Once::Ended)
    }
}

/// Makes of what is fetched what is kept.
pub trait Seal: Send + Sync {
    /// Begins a file: what is written to the answer comes out of it into `out`.
    fn over<'a>(&self, out: Box<dyn std::io::Write + Send + 'a>) -> std::io::Result<Box<dyn Sealing + 'a>>;
}

/// A file that is being sealed.
pub trait Sealing: std::io::Write + Send {
    /// Writes its end: a file without one cannot be opened.
    fn finish(self: Box<Self>) -> std::io::Result<()>;
}

/// Seals what is at hand as a whole.
pub fn sealed(seal: &dyn Seal, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut sealing = seal.over(Box::new(&mut out))?;
    sealing.write_all(content)?;
    sealing.finish()?;
    Ok(out)
}

/// What came of a command that a file remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// It ran now, to its end.
    Ended(Output),
    /// It had been begun before, and was not run; what the file says.
    Before(String),
}

/// The first line of a marker: the command was begun.
pub const BEGUN: &str = "begun";
/// It ended with exit code 0.
pub const ENDED: &str = "ended";
/// It may be run.
pub const NEVER: &str = "none";

/// A command in an operator's words: a program with its arguments, no shell syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments. Quoting is the shell port's work.
    pub argv: Vec<String>,
    /// Environment, set inside sudo.
    pub env: Vec<(String, String)>,
    /// Whether it needs root; the port adds `sudo -n` where the login is not root.
    pub root: bool,
    /// Whether it may change anything. A read-only port refuses those that may.
    pub changes: bool,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
}

impl Command {
    /// Makes a command that only looks.
    pub fn read<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Command {
        Command {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            root: false,
            changes: false,
            stdin: Vec::new(),
        }
    }

    /// Makes a command that changes something, as root.
    pub fn change<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Command {
        Command { root: true, changes: true, ..Command::read(argv) }
    }

    /// Runs it as root.
    pub fn as_root(mut self) -> Command {
        self.root = true;
        self
    }

    /// Sets a variable of its environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Command {
        self.env.push((name.to_string(), value.to_string()));
        self
    }
}

/// What a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + n after signal n.
    pub code: i32,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Output {
    /// Returns whether the exit code is 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }
}

/// Why there is no exit code.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShellError {
    /// The command was not begun.
    #[error("cannot reach {machine}: {reason}")]
    Unreachable {
        /// The machine.
        machine: String,
        /// What ssh said.
        reason: String,
    },
    /// The connection was lost while the command ran: nobody knows how it ended.
    #[error("lost {machine} while a command ran: {reason}")]
    Lost {
        /// The machine.
        machine: String,
        /// What ssh said.
        reason: String,
    },
    /// The port may not be used for this: a change while planning, a file that cannot be written.
    #[error("{0}")]
    Refused(String),
}

/// Time. Live it is the machine's; simulated it leaps to the next deadline when all are idle.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the time since an arbitrary fixed point; never goes back.
    fn now(&self) -> Duration;
    /// Returns seconds and nanoseconds since the Unix epoch.
    fn wall(&self) -> Duration;
    /// Waits.
    async fn sleep(&self, time: Duration);
}

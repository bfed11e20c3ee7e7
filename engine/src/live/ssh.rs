//! Nodes by ssh: the user's own program with its configuration, agent and jump hosts; host keys are
//! always checked. One session a node, made when it is first needed and kept.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWrite;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::local::{Local, Part};
use super::master::{STAYS, Way};
use super::powershell;
use super::quote::{self, Run};
use super::session::{Broken, MOST, Open};
use super::warm::drawn;
use crate::port::{Command, Once, Output, Seal, Shell, ShellError, Shells};

/// sshd lets 10 channels through one connection unless its `MaxSessions` says otherwise; a command that
/// was given up may still hold one.
const CHANNELS: usize = 8;
/// How many connections are made at once. Most of that time they wait: for the other side, and for the acknowledgements that TCP
/// delays.
const CONNECTING: usize = 64;
/// What ssh says where the other side, or one on the way, has closed the connection before a word. So does an sshd that too many
/// are about to log in to (`MaxStartups` in sshd_config(5): from the tenth on it begins to).
const TURNED_AWAY: &str = "kex_exchange_identification: ";
/// How long to wait then at most; the next time twice as long, five times in all.
const CROWDED: Duration = Duration::from_millis(250);
/// ssh appends up to 46 bytes to the folder, and a socket's path may have 104.
const LONGEST: usize = 56;

/// How to reach nodes.
#[derive(Clone, Debug, Default)]
pub struct SshOptions {
    /// A file for `ssh -F` instead of the user's own configuration.
    pub config: Option<PathBuf>,
    /// Where control sockets go, in a folder of their own, if the path is short enough and is there: in memory, as
    /// `$XDG_RUNTIME_DIR` is. Else below /tmp.
    pub sockets: Option<PathBuf>,
}

/// All nodes, and this machine.
pub struct Ssh {
    shared: Arc<Shared>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

struct Shared {
    options: SshOptions,
    folder: Mutex<Option<PathBuf>>,
    connecting: Semaphore,
}

struct Host {
    name: String,
    channels: Semaphore,
    open: tokio::sync::Mutex<Option<Open>>,
    // Behind the session: the last one to leave removes the folder.
    shared: Arc<Shared>,
}

impl Ssh {
    /// Makes the shells; nothing is connected yet.
    pub fn new(options: SshOptions) -> Ssh {
        let connecting = Semaphore::new(CONNECTING);
        let shared = Shared { options, folder: Mutex::new(None), connecting };
        Ssh { shared: Arc::new(shared), hosts: Mutex::new(HashMap::new()) }
    }
}

impl Shells for Ssh {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(ssh.to_string()).or_insert_with(|| {
            Arc::new(Host {
                name: ssh.to_string(),
                channels: Semaphore::new(CHANNELS),
                open: tokio::sync::Mutex::new(None),
                shared: self.shared.clone(),
            })
        });
        host.clone()
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(Local)
    }
}

impl Shared {
    /// Returns the folder of the control sockets; made when first asked for.
    fn folder(&self) -> std::io::Result<PathBuf> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*folder {
            return Ok(folder.clone());
        }
        let memory = self.options.sockets.as_ref().and_then(|below| private_folder(below).ok());
        let made = memory.map_or_else(|| private_folder(Path::new("/tmp")), Ok)?;
        *folder = Some(made.clone());
        Ok(made)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let folder = self.folder.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // The sessions have left it; an ssh that was given up on its way may still be there.
        if let Some(folder) = folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Makes a folder of our own. `TMPDIR` is no place for it: on macOS it is too long for sockets.
fn private_folder(below: &Path) -> std::io::Result<PathBuf> {
    let mut n = 0;
    loop {
        let path = below.join(format!("kup-{}-{n}", std::process::id()));
        // ssh would expand `%` in the path of a socket.
        if !path.is_absolute() || path.as_os_str().len() > LONGEST || path.to_string_lossy().contains('%') {
            return Err(std::io::ErrorKind::InvalidFilename.into());
        }
        match DirBuilder::new().mode(0o700).create(&path) {
            // Whoever made it, it is not ours: never share a folder of control sockets.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && n < 1000 => n += 1,
            made => return made.map(|()| path),
        }
    }
}

impl Drop for Host {
    /// Nobody reaches the connection any more; its end may come behind kup's own.
    fn drop(&mut self) {
        let Some(open) = self.open.get_mut().take() else { return };
        open.master.hide();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(STAYS).await;
                drop(open);
            });
        }
    }
}

impl Host {
    fn unreachable(&self, reason: impl Into<String>) -> ShellError {
        ShellError::Unreachable { machine: self.name.clone(), reason: reason.into() }
    }

    /// Returns a living session.
    async fn session(&self) -> Result<Open, ShellError> {
        let mut open = self.open.lock().await;
        if let Some(found) = &*open {
            if found.stands().await {
                return Ok(found.clone());
            }
            *open = None;
        }
        let made = self.connect().await?;
        *open = Some(made.clone());
        Ok(made)
    }

    async fn connect(&self) -> Result<Open, ShellError> {
        // ssh would take it for an option, `-oProxyCommand=..` among them.
        if self.name.is_empty() || self.name.starts_with('-') || self.name.contains(char::is_whitespace) {
            return Err(ShellError::Refused(format!("`{}` is not a host", self.name.escape_debug())));
        }
        let _turn = self.shared.connecting.acquire().await.map_err(|e| self.unreachable(e.to_string()))?;
        let folder = self.shared.folder();
        let folder = folder.map_err(|e| self.unreachable(format!("no place for a control socket: {e}")))?;
        let way = Way { host: &self.name, config: self.shared.options.config.as_deref(), folder: &folder };
        // The connect timeout is per hop, and a proxy command has none.
        match tokio::time::timeout(Duration::from_secs(60), reach(&way)).await {
            Ok(reached) => reached.map_err(|e| self.unreachable(advised(&e, &self.name))),
            Err(_) => Err(self.unreachable(format!(
                "neither a connection nor an answer of its shell within 60 s: `ssh -o BatchMode=yes {} true` must work",
                self.name
            ))),
        }
    }

    fn broken(&self, broken: Broken) -> ShellError {
        match broken {
            Broken::Refused(reason) => self.unreachable(reason),
            Broken::Lost(reason) => ShellError::Lost { machine: self.name.clone(), reason },
            Broken::Sink(reason) => ShellError::Refused(reason),
        }
    }

    async fn bytes(&self, command: &Command) -> Result<(i32, Vec<u8>, Vec<u8>), ShellError> {
        if powershell::speaks(command) {
            return self.on_windows(&[powershell::line(command)?]).await;
        }
        self.output(&command.stdin, |is_root| Run::of(command, is_root)).await
    }

    async fn output(
        &self,
        stdin: &[u8],
        run: impl FnOnce(bool) -> Result<Run, ShellError>,
    ) -> Result<(i32, Vec<u8>, Vec<u8>), ShellError> {
        let _channel = self.channels.acquire().await.map_err(|e| self.unreachable(e.to_string()))?;
        let open = self.session().await?;
        open.output(run(self.is_root(&open).await?)?, stdin).await.map_err(|b| self.broken(b))
    }

    /// Returns whether the login is root; where nobody could tell, the next command asks anew.
    async fn is_root(&self, open: &Open) -> Result<bool, ShellError> {
        if open.is_root.is_err() {
            *self.open.lock().await = None;
        }
        open.is_root.clone().map_err(|reason| self.unreachable(reason))
    }

    /// Runs a line on Windows.
    async fn windows(&self, open: &Open, line: &str) -> Result<(i32, Vec<u8>, Vec<u8>), ShellError> {
        let mut output = Vec::new();
        let ran = open.run(line, &[], Some(MOST), &mut output).await;
        let (code, errors) = ran.map_err(|broken| self.broken(broken))?;
        match powershell::ended(&output) {
            Some((code, said)) => Ok((code, said, errors)),
            // No PowerShell, or one that was killed.
            None if code != 0 && output.is_empty() => Ok((127, output, errors)),
            None => Err(self.broken(Broken::Lost("no exit code".to_string()))),
        }
    }

    /// Runs lines on Windows until one of them fails; returns what the last one said.
    async fn on_windows(&self, lines: &[String]) -> Result<(i32, Vec<u8>, Vec<u8>), ShellError> {
        let _channel = self.channels.acquire().await.map_err(|e| self.unreachable(e.to_string()))?;
        let open = self.session().await?;
        let mut came = (0, Vec::new(), Vec::new());
        for line in lines {
            came = self.windows(&open, line).await?;
            if came.0 != 0 {
                break;
            }
        }
        Ok(came)
    }

    /// Writes a file of the machine, read as root, to where it shall go.
    async fn stream(&self, path: &str, sink: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<(), ShellError> {
        let _channel = self.channels.acquire().await.map_err(|e| self.unreachable(e.to_string()))?;
        let open = self.session().await?;
        let line = Run::of(&quote::cat(path)?, self.is_root(&open).await?)?.line()?;
        match open.run(&line, &[], None, sink).await {
            Ok((0, _)) => Ok(()),
            Ok((quote::MISSING, _)) => Err(ShellError::Refused(format!("{} has no `{path}`", self.name))),
            Ok((_, errors)) => Err(failed("read", path, &self.name, &errors)),
            Err(broken) => Err(self.broken(broken)),
        }
    }
}

/// Connects, again where too many were about to log in.
async fn reach(way: &Way<'_>) -> Result<Open, String> {
    let mut longest = CROWDED;
    let reached = loop {
        match way.with_a_shell().await {
            // Those that were turned away together do not come back together.
            Err(e) if e.contains(TURNED_AWAY) && longest < CROWDED * 32 => {
                tokio::time::sleep(longest.mul_f64(drawn() as f64 / u64::MAX as f64)).await;
                longest *= 2;
            }
            reached => break reached?,
        }
    };
    if let Some((master, warm, user)) = reached {
        let warm = Arc::new(tokio::sync::Mutex::new(Some(warm)));
        return Ok(Open { master: Arc::new(master), is_root: Ok(user == "0"), warm });
    }
    // No shell of POSIX, so perhaps Windows.
    let mut open = Open { master: Arc::new(way.alone().await?), is_root: Ok(false), warm: Arc::default() };
    open.is_root = match open.user().await {
        Ok(user) => user.map(|id| id == "0"),
        Err(Broken::Refused(e) | Broken::Lost(e) | Broken::Sink(e)) => return Err(e),
    };
    Ok(open)
}

/// Adds what a person could do about a connection that failed.
fn advised(reason: &str, host: &str) -> String {
    if reason.contains("Host key verification failed") || reason.contains("IDENTIFICATION HAS CHANGED") {
        format!("{reason}; connect once by hand with `ssh {host}` and compare the key")
    } else if reason.contains("Permission denied") {
        format!("{reason}; kup cannot type passwords: `ssh -o BatchMode=yes {host} true` must work")
    } else {
        reason.to_string()
    }
}

#[async_trait]
impl Shell for Host {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        Ok(text(self.bytes(command).await?))
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        if powershell::is_path(path) {
            return match self.on_windows(&[powershell::read(path)?]).await? {
                (0, said, _) => match powershell::content(&said) {
                    Some(content) => Ok(Some(content)),
                    None => Err(failed("read", path, &self.name, b"it came in no base64")),
                },
                (powershell::MISSING, _, _) => Ok(None),
                (_, _, errors) => Err(failed("read", path, &self.name, &errors)),
            };
        }
        let cat = quote::cat(path)?;
        match self.output(&[], |is_root| Run::bytes(&cat, is_root)).await? {
            (0, content, _) => Ok(Some(content)),
            (quote::MISSING, _, _) => Ok(None),
            (_, _, errors) => Err(failed("read", path, &self.name, &errors)),
        }
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        let wrote = match powershell::is_path(path) {
            true => self.on_windows(&powershell::write(path, content)?).await?,
            false => self.bytes(&quote::replace(path, content, mode)?).await?,
        };
        match wrote {
            (0, _, _) => Ok(()),
            (_, _, errors) => Err(failed("write", path, &self.name, &errors)),
        }
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        let mut part = Part::create(into).await?;
        self.stream(path, &mut part.file).await?;
        part.place(0o600).await
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        let part = Part::create(into).await?;
        let mut sealed = part.sealed(seal).await?;
        self.stream(path, &mut sealed).await?;
        sealed.finish(into)?;
        part.place(0o600).await
    }

    async fn once(&self, command: &Command, marker: &str) -> Result<Once, ShellError> {
        let output = text(self.output(&command.stdin, |is_root| Run::once(command, marker, is_root)).await?);
        let errors = output.stderr.clone();
        quote::of_once(output).ok_or_else(|| failed("keep", marker, &self.name, errors.as_bytes()))
    }
}

fn text((code, stdout, stderr): (i32, Vec<u8>, Vec<u8>)) -> Output {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { code, stdout: text(stdout), stderr: text(stderr) }
}

fn failed(what: &str, path: &str, host: &str, errors: &[u8]) -> ShellError {
    let errors = String::from_utf8_lossy(errors);
    ShellError::Refused(format!("cannot {what} `{path}` on {host}: {}", errors.trim()))
}

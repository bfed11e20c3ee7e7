//! The shells of the box: one for each node, as ssh would give it, and one for this machine, which
//! keeps in memory what is written; only scripts beside the playbook are read from the real disk. A command that changes something goes on when the one who asked stops listening.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::port::{Command, Output, Seal, Shell, ShellError, Shells};

use super::command::{self, file, sh};
use super::files::Files;
use super::power::power_off;
use super::process::{Ended, Process};
use super::{Node, Ran, windows};
use crate::faults::{lost_connection, silent, vanished};
use crate::helm::helm;
use crate::managed::{az, eks, gcloud};
use crate::shape::Provider;
use crate::world::{Shared, lock};

/// How long ssh tries to connect to a machine that does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time the connection of fault F40 breaks.
const BREAKS_AFTER: Duration = Duration::from_secs(1);

/// All machines of a cluster, and this one.
pub struct Machines {
    shared: Shared,
}

impl Machines {
    /// Makes the shells of a world.
    pub fn new(shared: &Shared) -> Machines {
        Machines { shared: shared.clone() }
    }
}

impl Shells for Machines {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        Arc::new(Remote { shared: self.shared.clone(), node: ssh.to_string() })
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(Here { shared: self.shared.clone() })
    }
}

/// A node by ssh.
struct Remote {
    shared: Shared,
    node: String,
}

impl Remote {
    async fn connect(&self) -> Result<Process, ShellError> {
        let unreachable = |reason: String| ShellError::Unreachable { machine: self.node.clone(), reason };
        if !lock(&self.shared).nodes.contains_key(&self.node) {
            let reason = format!("ssh: Could not resolve hostname {}: Name or service not known", self.node);
            return Err(unreachable(reason));
        }
        let timed_out = || format!("ssh: connect to host {} port 22: Connection timed out", self.node);
        let Some(process) = Process::begin(&self.shared, &self.node) else {
            tokio::time::sleep(CONNECT_TIMEOUT).await;
            return Err(unreachable(timed_out()));
        };
        match process.busy(4, 6).await {
            Ok(()) => Ok(process),
            Err(_) => Err(unreachable(timed_out())),
        }
    }

    /// Faults F56 and F57.
    fn goes_away(&self, process: &Process) -> bool {
        let (is_taken, is_silent) = process.on(|n| (vanished::strikes(n), silent::strikes(n)));
        if is_taken || is_silent {
            process.world(|w| power_off(w, &self.node));
        }
        if is_taken {
            process.world(|w| w.store.remove("nodes", "", &self.node));
        }
        is_taken || is_silent
    }

    fn lost(&self, reason: &str) -> ShellError {
        ShellError::Lost { machine: self.node.clone(), reason: reason.to_string() }
    }
}

#[async_trait]
impl Shell for Remote {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let process = self.connect().await?;
        let closed = || self.lost(&format!("Connection to {} closed by remote host.", self.node));
        if !command.changes {
            return recorded(process, command.clone()).await.map_err(|_| closed());
        }
        if self.goes_away(&process) {
            return Err(self.lost("client_loop: send disconnect: Broken pipe"));
        }
        let mut running = tokio::spawn(recorded(process.clone(), command.clone()));
        if process.on(lost_connection::waits) {
            let begins = command.argv.iter().any(|word| word.contains("systemd-run"));
            match tokio::time::timeout(BREAKS_AFTER, &mut running).await {
                Ok(Ok(ended)) if !begins => return ended.map_err(|_| closed()),
                Ok(Err(_)) => return Err(closed()),
                // What it has begun goes on, though nobody has heard that it did.
                Ok(Ok(_)) | Err(_) => {
                    process.on(lost_connection::struck);
                    return Err(self.lost("client_loop: send disconnect: Broken pipe"));
                }
            }
        }
        match running.await {
            Ok(ended) => ended.map_err(|_| closed()),
            Err(_) => Err(closed()),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        let process = self.connect().await?;
        let path = &process.on(|n| windows::file(n, path));
        Ok(process.on(|n| n.files.read(path).map(<[u8]>::to_vec)))
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        let process = self.connect().await?;
        process.world(|w| {
            let at = w.now();
            if let Some(node) = w.nodes.get_mut(&self.node) {
                node.transcript.push(Ran { at, line: format!("write {path}"), code: Some(0) });
                node.files.write(&windows::file(node, path), content, mode);
            }
        });
        Ok(())
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        let content = self.read(path).await?;
        Here { shared: self.shared.clone() }.keep(path, into, content)
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        let content = sealed_of(self.read(path).await?, seal)?;
        Here { shared: self.shared.clone() }.keep(path, into, content)
    }
}

/// Seals a file, if there is one.
fn sealed_of(content: Option<Vec<u8>>, seal: &dyn Seal) -> Result<Option<Vec<u8>>, ShellError> {
    let sealed = content.map(|content| engine::port::sealed(seal, &content)).transpose();
    sealed.map_err(|error| ShellError::Refused(format!("cannot seal it: {error}")))
}

/// Runs a command on a node and writes it down.
async fn recorded(process: Process, command: Command) -> Ended {
    let line =
        shlex::try_join(command.argv.iter().map(String::as_str)).unwrap_or_else(|_| command.argv.join(" "));
    let index = process.world(|w| {
        let at = w.now();
        let node = w.nodes.get_mut(&process.node)?;
        node.transcript.push(Ran { at, line, code: None });
        Some(node.transcript.len() - 1)
    });
    let ended = command::execute(&process, &command).await;
    if let (Ok(output), Some(index)) = (&ended, index) {
        process.on(|n| n.transcript[index].code = Some(output.code));
    }
    ended
}

/// This machine.
struct Here {
    shared: Shared,
}

impl Here {
    fn files<T>(&self, act: impl FnOnce(&mut Files) -> T) -> T {
        act(&mut lock(&self.shared).here)
    }

    fn has(&self, path: &str) -> bool {
        self.files(|f| f.get(path).is_some()) || (path.contains('/') && Path::new(path).is_file())
    }

    /// The command of the cluster's provider, where it has one; one command takes a while.
    fn provider(&self, argv: &[&str]) -> Option<Output> {
        let mut world = lock(&self.shared);
        let provider = world.shape.managed?;
        match (provider, argv) {
            (Provider::Eks, ["aws", args @ ..]) => Some(eks::aws(&mut world, args)),
            (Provider::Gke, ["gcloud", args @ ..]) => Some(gcloud::gcloud(&mut world, args)),
            (Provider::Aks, ["az", args @ ..]) => Some(az::az(&mut world, args)),
            (Provider::Eks | Provider::Gke | Provider::Aks, _) => None,
        }
    }

    /// A snapshot that somebody saved elsewhere lies on the real disk.
    fn take_in(&self, argv: &[&str]) {
        let ["sha256sum", paths @ ..] = argv else { return };
        for path in paths {
            if self.files(|f| f.get(path).is_none())
                && let Ok(content) = std::fs::read(path)
            {
                self.files(|f| f.write(path, content, 0o600));
            }
        }
    }

    /// A helm that was begun goes on when nobody listens any more.
    async fn helm(&self, args: &[String]) -> Result<Output, ShellError> {
        let (shared, files) = (self.shared.clone(), Here { shared: self.shared.clone() });
        let read = move |path: &str| {
            let kept = files.files(|f| f.text(path));
            kept.or_else(|| std::fs::read_to_string(path).ok())
        };
        let running = tokio::spawn(helm(shared, args.to_vec(), read));
        running.await.map_err(|_| ShellError::Refused("the simulated helm broke off".to_string()))
    }

    fn keep(&self, from: &str, into: &Path, content: Option<Vec<u8>>) -> Result<u64, ShellError> {
        let Some(content) = content else {
            return Err(ShellError::Refused(format!("cat: {from}: No such file or directory")));
        };
        let size = content.len() as u64;
        self.files(|f| f.write(&into.to_string_lossy(), content, 0o600));
        Ok(size)
    }
}

#[async_trait]
impl Shell for Here {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let argv: Vec<&str> = command.argv.iter().map(String::as_str).collect();
        self.take_in(&argv);
        if let Some(output) = self.provider(&argv) {
            return Ok(output);
        }
        if let ["helm", ..] = argv.as_slice() {
            return self.helm(&command.argv[1..]).await;
        }
        if let Some(output) = self.files(|f| file::run(f, &argv)) {
            return Ok(output);
        }
        let line = match argv.as_slice() {
            [shell, "-c", line, ..] if sh::is_shell(shell) => line,
            // The interpreter of a script, or the script itself.
            argv if argv.iter().any(|a| self.has(a)) => return Ok(sh::assumed(command.changes).await),
            argv => return Ok(command::not_found(argv)),
        };
        match sh::simple(line) {
            sh::Line::Exit(code) => Ok(Output { code, ..Output::default() }),
            sh::Line::Argv(argv) if argv == ["cat"] => {
                let stdout = String::from_utf8_lossy(&command.stdin).into_owned();
                Ok(Output { stdout, ..Output::default() })
            }
            sh::Line::Argv(argv) => {
                let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
                let known = self.files(|f| file::run(f, &argv));
                match known {
                    Some(output) => Ok(output),
                    None => Ok(sh::assumed(command.changes).await),
                }
            }
            sh::Line::Many(_) | sh::Line::Other => Ok(sh::assumed(command.changes).await),
        }
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        let kept = self.files(|f| f.read(path).map(<[u8]>::to_vec));
        Ok(kept.or_else(|| std::fs::read(path).ok()))
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        self.files(|f| f.write(path, content, mode));
        Ok(())
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        let content = self.read(path).await?;
        self.keep(path, into, content)
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        let content = sealed_of(self.read(path).await?, seal)?;
        self.keep(path, into, content)
    }
}

impl Node {
    /// Returns what was run here, a line a command: time in seconds, exit code, the command.
    pub fn transcript(&self) -> String {
        let line = |ran: &Ran| {
            let code = ran.code.map_or_else(|| "-".to_string(), |c| c.to_string());
            format!("{:>9.3}  {code:>3}  {}\n", ran.at.as_secs_f64(), ran.line)
        };
        self.transcript.iter().map(line).collect()
    }
}

//! The master of a connection: an ssh in the background, which others reach by its control socket.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use tokio::process::{Child, Command};

use super::session::told;
use super::warm::Warm;

/// How long a connection stays that nobody holds any more. It ends by itself when kup has, however kup ended: nobody waits for
/// the end of fifty of them, and of the fifty sshd behind them.
pub(super) const STAYS: Duration = Duration::from_secs(1);
/// How long ssh tries to connect, for each hop.
const CONNECT: Duration = Duration::from_secs(10);
/// How often ssh asks whether a silent other side still lives.
const ALIVE: Duration = Duration::from_secs(15);
/// What ssh exits with when it has failed itself (ssh(1)).
const ITS_OWN: i32 = 255;

/// How a node is reached.
pub(super) struct Way<'w> {
    pub(super) host: &'w str,
    /// A file for `ssh -F`.
    pub(super) config: Option<&'w Path>,
    /// Where its control socket goes.
    pub(super) folder: &'w Path,
}

/// A master that is held, however long nobody has a command for it.
pub(super) struct Master {
    session: Arc<Session>,
    /// It says nothing. ssh counts it among its channels, and ends when it has none (channel_still_open in OpenSSH's
    /// channels.c).
    _held: UnixStream,
    kept: Kept,
    /// The ssh itself, where kup is its parent.
    _ssh: Option<Child>,
}

/// The folder with what ssh keeps of a connection, removed when nobody wants it any more.
struct Kept(PathBuf);

impl Way<'_> {
    /// Connects with a shell of POSIX as the connection's own session, greeted while ssh is on its way: so it needs neither a
    /// channel of its own nor the time for one. Returns what [`Warm::start`] does beside it, or `None` where no such shell is.
    pub(super) async fn with_a_shell(&self) -> Result<Option<(Master, Warm, String)>, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let failed = |e: io::Error| format!("no ssh here: {e}");
        let kept = Kept(self.folder.join(MADE.fetch_add(1, Ordering::Relaxed).to_string()));
        fs::create_dir(&kept.0).map_err(|e| format!("no place for a control socket: {e}"))?;
        let (socket, log) = (kept.0.join("master"), kept.0.join("log"));
        let mut ssh = Command::new("ssh");
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What a person types at kup's terminal is for kup.
        ssh.process_group(0).kill_on_drop(true);
        ssh.args(["-M", "-T", "-a", "-x", "-S"]).arg(&socket).arg("-E").arg(&log);
        let seconds = |name: &str, of: Duration| format!("{name}={}", of.as_secs());
        let times = [seconds("ConnectTimeout", CONNECT), seconds("ServerAliveInterval", ALIVE)];
        let fixed = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ControlPersist=no", "RemoteCommand=none"];
        for option in fixed.into_iter().chain(times.iter().map(String::as_str)) {
            ssh.args(["-o", option]);
        }
        if let Some(config) = self.config {
            ssh.arg("-F").arg(config);
        }
        ssh.args([self.host, Warm::LINE]);
        // Whoever starts a program waits until it runs: that shall not keep the others from starting theirs.
        let started = tokio::task::spawn_blocking(move || ssh.spawn()).await;
        let mut ssh = started.map_err(|e| e.to_string())?.map_err(failed)?;
        let Ok((warm, user)) = Warm::of(&mut ssh).await else {
            return match ssh.wait().await.map_err(failed)?.code() {
                Some(ITS_OWN) => Err(reason(&log)),
                _ => Ok(None),
            };
        };
        let held = UnixStream::connect(&socket).map_err(|e| format!("no control socket: {e}"))?;
        let session = Session::resume_mux(socket.into_boxed_path(), Some(log.into_boxed_path()));
        Ok(Some((Master { session: Arc::new(session), _held: held, kept, _ssh: Some(ssh) }, warm, user)))
    }

    /// Connects without a session.
    pub(super) async fn alone(&self) -> Result<Master, String> {
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .connect_timeout(CONNECT)
            .server_alive_interval(ALIVE)
            .control_directory(self.folder)
            .control_persist(ControlPersist::IdleFor(NonZeroUsize::MIN));
        if let Some(config) = self.config {
            builder.config_file(config);
        }
        let session = builder.connect_mux(self.host).await.map_err(|e| told(&e))?;
        let held =
            UnixStream::connect(session.control_socket()).map_err(|e| format!("no control socket: {e}"))?;
        let (socket, log) = session.detach();
        let kept = Kept(socket.parent().map(Path::to_path_buf).unwrap_or_default());
        Ok(Master { session: Arc::new(Session::resume_mux(socket, log)), _held: held, kept, _ssh: None })
    }
}

/// What ssh has said of its failure, on one line.
fn reason(log: &Path) -> String {
    let said = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.is_empty() {
        true => format!("ssh ended with {ITS_OWN} and said nothing"),
        false => lines.join("; "),
    }
}

impl Master {
    /// Returns the session.
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Takes away what is on disk: nobody reaches it any more.
    pub(super) fn hide(&self) {
        self.kept.remove();
    }
}

impl Kept {
    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.remove();
    }
}

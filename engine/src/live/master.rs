//! The master of a connection: an ssh in the background, which others reach by its control socket.

use std::io;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssh::Session;

/// How many seconds a master stays that nobody holds any more and that runs no command (`ControlPersist`).
pub(super) const STAYS: NonZeroUsize = NonZeroUsize::new(10).unwrap();

/// A master that is held, however long nobody has a command for it. It ends by itself soon after kup and its last command
/// have, however kup ended; to wait for fifty of them, and for the fifty sshd behind them, would take a quarter of a second.
pub(super) struct Master {
    session: Arc<Session>,
    /// It says nothing. ssh counts it among its clients, and ends when it has none (set_control_persist_exit_time in
    /// OpenSSH's clientloop.c).
    _held: UnixStream,
    /// What ssh keeps of it.
    folder: PathBuf,
}

impl Master {
    /// Takes over a session's master.
    pub(super) fn of(session: Session) -> io::Result<Master> {
        let held = UnixStream::connect(session.control_socket())?;
        let (socket, log) = session.detach();
        let folder = socket.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Master { session: Arc::new(Session::resume_mux(socket, log)), _held: held, folder })
    }

    /// Returns the session.
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Master {
    /// Without its socket nobody reaches it any more.
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

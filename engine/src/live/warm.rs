//! A shell of the node that stays and is fed with one command after the other: what a session of ssh costs
//! for each of them (a channel, a process of sshd, a login shell) is paid once.
//!
//! A command has a pipe of its own for each of its streams and none of the shell's; its answer is there when
//! both have ended, as with a session. So what it left behind cannot speak into the answer of a later one.
//!
//! ```text
//! command ==stdout==> $(...) => OUTPUT \n MARK CODE \n MARK end \n
//!         ==stderr==> $(...) => ERRORS \n MARK errors \n, what was left behind, \n MARK end \n
//! ```
//!
//! What it prints and complains of is text: the shell reads it to its end, without a process for it. Where output may be any
//! bytes, as that of a file, it goes through a `cat`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use futures::FutureExt;
use openssh::{Child, Session, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process;

use super::quote::{self, Run};
use super::session::{Broken, MOST, told};

/// A shell that waits for its next command. Whoever gives up waiting for an answer must drop it.
pub(super) struct Warm {
    stdin: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    stderr: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// Ends an answer. Whoever only prints cannot know it.
    mark: String,
    /// Holds its channel open, where that is not the connection's own session.
    _channel: Option<Child<Arc<Session>>>,
}

impl Warm {
    /// What starts it, whatever the login shell is.
    pub(super) const LINE: &str = "exec sh";

    /// Starts the shell in a channel of a connection that stands. Returns it with what it says that `id -u` is.
    pub(super) async fn start(session: &Arc<Session>) -> Result<(Warm, String), Broken> {
        let mut shell = session.clone().arc_raw_command(Warm::LINE);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = shell.spawn().await.map_err(|e| Broken::Lost(told(&e)))?;
        let (stdin, stdout, stderr) = (shell.stdin().take(), shell.stdout().take(), shell.stderr().take());
        Warm::greeted(stdin, stdout, stderr, Some(shell)).await
    }

    /// The shell that an ssh has as its own session, also when it is not there yet. Returns the same.
    pub(super) async fn of(ssh: &mut process::Child) -> Result<(Warm, String), Broken> {
        Warm::greeted(ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take(), None).await
    }

    async fn greeted(
        stdin: Option<impl AsyncWrite + Send + Sync + Unpin + 'static>,
        stdout: Option<impl AsyncRead + Send + Sync + Unpin + 'static>,
        stderr: Option<impl AsyncRead + Send + Sync + Unpin + 'static>,
        channel: Option<Child<Arc<Session>>>,
    ) -> Result<(Warm, String), Broken> {
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(Broken::Lost("a shell without its streams".to_string()));
        };
        let mark = format!("{:016x}{:016x}", drawn(), drawn());
        let (stdin, stdout, stderr) = (Box::new(stdin), Box::new(stdout), Box::new(stderr));
        let mut warm = Warm { stdin, stdout, stderr, mark, _channel: channel };
        let (said, errors) = warm.ask(&quote::awake(&warm.mark)).await?;
        let said = String::from_utf8_lossy(&said);
        // What a login printed before is nobody's answer.
        match said.split_once(&quote::began(&warm.mark)).map(|(_, user)| user.trim()) {
            Some(user) if !user.is_empty() => Ok((warm, user.to_string())),
            _ => Err(Broken::Lost(String::from_utf8_lossy(&errors).into_owned())),
        }
    }

    /// Returns whether the shell still waits: nothing has ended its output, and nobody speaks unasked.
    pub(super) fn waits(&mut self) -> bool {
        self.stdout.read_u8().now_or_never().is_none()
    }

    /// Runs a command, and returns its exit code, output and errors.
    pub(super) async fn output(&mut self, run: &Run) -> Result<(i32, Vec<u8>, Vec<u8>), Broken> {
        let line = run.fed(&self.mark).map_err(|e| Broken::Refused(e.to_string()))?;
        let (mut output, mut errors) = self.ask(&line).await?;
        let lost = || Broken::Lost("no exit code".to_string());
        let code = self.marked(&mut output).and_then(|code| code.parse().ok()).ok_or_else(lost)?;
        self.marked(&mut errors).ok_or_else(lost)?;
        Ok((code, output, errors))
    }

    /// Takes out the line that stands behind what a command said, and returns the word of it. Who was left behind may go on
    /// to complain: that belongs to this command too.
    fn marked(&self, said: &mut Vec<u8>) -> Option<String> {
        let before = format!("\n{} ", self.mark);
        let at = said.windows(before.len()).position(|part| part == before.as_bytes())?;
        let behind = said.split_off(at).split_off(before.len());
        let end = behind.iter().position(|byte| *byte == b'\n')?;
        said.extend_from_slice(&behind[end + 1..]);
        std::str::from_utf8(&behind[..end]).map(str::to_string).ok()
    }

    /// Feeds a line, and returns what was printed and complained until both streams have their end.
    async fn ask(&mut self, line: &str) -> Result<(Vec<u8>, Vec<u8>), Broken> {
        let end = format!("\n{} end\n", self.mark);
        let feed = async {
            let fed = self.stdin.write_all(line.as_bytes()).await;
            fed.map_err(|e| Broken::Lost(told(&e)))
        };
        let (out, err) = (until(&mut self.stdout, end.as_bytes()), until(&mut self.stderr, end.as_bytes()));
        let ((), output, errors) = tokio::try_join!(feed, out, err)?;
        Ok((output, errors))
    }
}

/// Returns a number that nobody else can tell.
pub(super) fn drawn() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Reads until an end, and returns what stood before it.
async fn until(stream: &mut (dyn AsyncRead + Send + Unpin), end: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        match stream.read_buf(&mut read).await {
            Ok(0) => return Err(Broken::Lost("the shell on the node has ended".to_string())),
            Ok(_) if read.len() as u64 >= MOST => {
                return Err(Broken::Sink("printed more than a command may".to_string()));
            }
            Ok(_) => {}
            Err(e) => return Err(Broken::Lost(told(&e))),
        }
    }
    read.truncate(read.len() - end.len());
    Ok(read)
}

//! A shell of the node that stays and is fed with one command after the other: what a session of ssh costs
//! for each of them (a channel, a process of sshd, a login shell) is paid once.
//!
//! A command has a pipe of its own for each of its streams and none of the shell's; its answer is there when
//! both have ended, as with a session. So what it left behind cannot speak into the answer of a later one.
//!
//! ```text
//! (command) ==stdout==> cat ==> OUTPUT \n MARK end \n
//!           ==stderr==> cat ==> ERRORS \n MARK CODE \n, what was left behind, \n MARK end \n
//! ```

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;

use openssh::{Child, ChildStderr, ChildStdin, ChildStdout, Error, Session, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::quote;
use super::session::{Broken, MOST, told};

/// A shell that waits for its next command. Whoever gives up waiting for an answer must drop it.
pub(super) struct Warm {
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// Ends an answer. Whoever only prints cannot know it.
    mark: String,
    /// Holds the channel open.
    _shell: Child<Arc<Session>>,
}

impl Warm {
    /// Starts the shell.
    pub(super) async fn start(session: &Arc<Session>) -> Result<Warm, Error> {
        let mut shell = session.clone().arc_raw_command("exec sh");
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = shell.spawn().await?;
        let streams = (shell.stdin().take(), shell.stdout().take(), shell.stderr().take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(Error::ChildIo(io::Error::other("a shell without its streams")));
        };
        let random = || RandomState::new().build_hasher().finish();
        let mark = format!("{:016x}{:016x}", random(), random());
        let mut warm = Warm { stdin, stdout, stderr, mark, _shell: shell };
        // What a login printed before is nobody's answer.
        match warm.ask(&quote::awake(&warm.mark)).await {
            Ok(_) => Ok(warm),
            Err(Broken::Refused(e) | Broken::Lost(e) | Broken::Sink(e)) => {
                Err(Error::ChildIo(io::Error::other(e)))
            }
        }
    }

    /// Runs a command, and returns its exit code, output and errors.
    pub(super) async fn output(&mut self, words: &[String]) -> Result<(i32, Vec<u8>, Vec<u8>), Broken> {
        let line = quote::fed(words, &self.mark).map_err(|e| Broken::Refused(e.to_string()))?;
        let (output, mut errors) = self.ask(&line).await?;
        let before = format!("\n{} ", self.mark);
        let lost = || Broken::Lost("no exit code".to_string());
        let find = |text: &[u8], part: &[u8]| text.windows(part.len()).position(|w| w == part);
        let at = find(&errors, before.as_bytes()).ok_or_else(lost)?;
        // Who was left behind may go on to complain: that belongs to this command too.
        let behind = errors.split_off(at).split_off(before.len());
        let end = find(&behind, b"\n").ok_or_else(lost)?;
        let code = std::str::from_utf8(&behind[..end]).ok().and_then(|code| code.parse().ok());
        errors.extend_from_slice(&behind[end + 1..]);
        Ok((code.ok_or_else(lost)?, output, errors))
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

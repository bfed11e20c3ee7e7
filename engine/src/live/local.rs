//! The shell of this machine. Files are read and written as the user who runs kup; only commands that
//! ask for root go through sudo.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{self, Poll};

use async_trait::async_trait;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::quote;
use crate::journal::sync_folder;
use crate::port::{Command, Output, Seal, Sealing, Shell, ShellError};

const HERE: &str = "this machine";

/// Runs commands here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

#[async_trait]
impl Shell for Local {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        let is_root = command.root && is_root().await;
        let words = quote::words(command, is_root)?;
        let unreachable =
            |e: io::Error| ShellError::Unreachable { machine: HERE.to_string(), reason: e.to_string() };
        let lost = |e: io::Error| ShellError::Lost { machine: HERE.to_string(), reason: e.to_string() };
        let mut child = tokio::process::Command::new("env")
            .arg("LC_ALL=C")
            .args(&words)
            .stdin(if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C and a hang-up go to all of the terminal's processes; what runs may end.
            .process_group(0)
            .spawn()
            .map_err(unreachable)?;
        let input = child.stdin.take();
        let feed = async {
            if let Some(mut input) = input {
                // A program may end without having read all; its exit code says whether that was well.
                let _ = input.write_all(&command.stdin).await;
            }
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output.map_err(lost)?;
        let status = output.status;
        let code = status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(-1);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        match fs::read(path).await {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(refused("read", Path::new(path))(e)),
        }
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        let mut part = Part::create(Path::new(path)).await?;
        part.file.write_all(content).await.map_err(refused("write", &part.path))?;
        part.place(mode).await.map(drop)
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        let mut from = File::open(path).await.map_err(refused("read", Path::new(path)))?;
        let mut part = Part::create(into).await?;
        tokio::io::copy(&mut from, &mut part.file).await.map_err(refused("write", into))?;
        part.place(0o600).await
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        let mut from = File::open(path).await.map_err(refused("read", Path::new(path)))?;
        let part = Part::create(into).await?;
        let mut sealed = part.sealed(seal).await?;
        tokio::io::copy(&mut from, &mut sealed).await.map_err(refused("write", into))?;
        sealed.finish(into)?;
        part.place(0o600).await
    }
}

/// A new file beside the place where it will stand: a crash leaves the old one or the new one.
pub(super) struct Part {
    pub(super) file: File,
    path: PathBuf,
    part: PathBuf,
}

impl Part {
    pub(super) async fn create(path: &Path) -> Result<Part, ShellError> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&part).await.map_err(refused("write", path))?;
        Ok(Part { file, path: path.to_path_buf(), part: part.into() })
    }

    /// Lets a seal make what is written to it.
    pub(super) async fn sealed(&self, seal: &dyn Seal) -> Result<Sealed, ShellError> {
        let file = self.file.try_clone().await.map_err(refused("write", &self.path))?.into_std().await;
        seal.over(Box::new(file)).map(Sealed).map_err(refused("write", &self.path))
    }

    /// Puts the file in its place, safe from a power cut; returns its size.
    pub(super) async fn place(mut self, mode: u32) -> Result<u64, ShellError> {
        let placed = async {
            self.file.flush().await?;
            self.file.set_permissions(Permissions::from_mode(mode)).await?;
            self.file.sync_all().await?;
            let size = self.file.metadata().await?.len();
            fs::rename(&self.part, &self.path).await?;
            let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
            sync_folder(folder.unwrap_or(Path::new(".")))?;
            Ok(size)
        };
        placed.await.map_err(refused("write", &self.path))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Whoever gave up waiting leaves no half file behind. After `place` it has another name.
        let _ = std::fs::remove_file(&self.part);
    }
}

/// A file that is being sealed. Each piece is some kilobytes, so it is written at once, and nobody waits for long.
pub(super) struct Sealed(Box<dyn Sealing>);

impl Sealed {
    pub(super) fn finish(self, into: &Path) -> Result<(), ShellError> {
        self.0.finish().map_err(refused("write", into))
    }
}

impl AsyncWrite for Sealed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        piece: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(piece))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn is_root() -> bool {
    let asked = tokio::process::Command::new("id").arg("-u").stdin(Stdio::null()).output().await;
    asked.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn refused(what: &str, path: &Path) -> impl FnOnce(io::Error) -> ShellError {
    let text = format!("cannot {what} `{}`", path.display());
    move |e| ShellError::Refused(format!("{text}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_run_in_english_and_keep_their_words() {
        let hostile = ["a b", "it's", "$(id)", "`id`", "", "\n", "ü", "*", "--", "\\"];
        let mut argv = vec!["printf", "<%s>"];
        argv.extend(hostile);
        let output = Local.run(&Command::read(argv).with_env("X", "1 2")).await.unwrap();
        assert_eq!(output.stdout, hostile.map(|w| format!("<{w}>")).concat());
        let mut cat = Command::read(["sh", "-c", "cat; echo $LC_ALL; kill -9 $$"]);
        cat.stdin = vec![b'x'; 200_000];
        let output = Local.run(&cat).await.unwrap();
        assert_eq!((output.code, output.stdout.len()), (137, 200_000 + 2));
    }

    #[tokio::test]
    async fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b");
        let name = path.to_str().unwrap();
        assert_eq!(Local.read(name).await.unwrap(), None);
        Local.write(name, b"one", 0o640).await.unwrap();
        assert_eq!(Local.read(name).await.unwrap().unwrap(), b"one");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let copy = folder.path().join("copy");
        assert_eq!(Local.fetch(name, &copy).await.unwrap(), 3);
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}

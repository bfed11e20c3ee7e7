//! Where secrets are: in the environment of kup, in files, and in what commands print.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dsl::value::Secret;

use crate::secret::Vault;

/// How long a command may take that prints a secret: somebody may have to touch a key.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads secrets on this machine.
#[derive(Clone, Debug)]
pub struct Here {
    /// The folder that relative paths start from, and that commands run in.
    pub folder: PathBuf,
}

#[async_trait]
impl Vault for Here {
    async fn read(&self, secret: &Secret) -> Result<String, String> {
        let (content, of) = match secret {
            Secret::Env(name) => {
                let content = std::env::var(name).map_err(|e| match e {
                    std::env::VarError::NotPresent => format!("${name} is not set"),
                    std::env::VarError::NotUnicode(_) => format!("${name} is no text"),
                })?;
                (content, format!("${name}"))
            }
            Secret::File(path) => {
                let content = tokio::fs::read_to_string(self.folder.join(path)).await;
                (content.map_err(|e| format!("`{path}`: {e}"))?, format!("`{path}`"))
            }
            Secret::Command(line) => (self.printed(line).await?, format!("what `{line}` prints")),
        };
        let content = content.strip_suffix('\n').unwrap_or(&content);
        let content = content.strip_suffix('\r').unwrap_or(content);
        if content.is_empty() { Err(format!("{of} is empty")) } else { Ok(content.to_string()) }
    }
}

impl Here {
    /// Runs a command line; what it says on stderr may be the secret too, and is not read.
    async fn printed(&self, line: &str) -> Result<String, String> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let of = line.to_string();
        // In a simulated run the clock leaps, and this does not.
        let ended = tokio::task::spawn_blocking(move || output(command, &of)).await;
        ended.map_err(|e| format!("`{line}`: {e}"))?
    }
}

/// Waits for a command in real time, and returns what it has printed.
fn output(mut command: Command, line: &str) -> Result<String, String> {
    let mut child = command.spawn().map_err(|e| format!("`{line}`: {e}"))?;
    let mut stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.as_mut().map(|out| out.read_to_string(&mut text)).transpose().map(|_| text)
    });
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(|e| format!("`{line}`: {e}"))? {
            Some(status) => break status,
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            None => {
                // It is told as late in any case.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("`{line}` did not end within {}s", PATIENCE.as_secs()));
            }
        }
    };
    match reader.join() {
        Ok(Ok(text)) if status.success() => Ok(text),
        _ if !status.success() => Err(format!("`{line}` ended with {status}")),
        _ => Err(format!("`{line}` prints no text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_read_from_its_source_without_the_end_of_its_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hunter2\n").unwrap();
        let here = Here { folder: folder.path().to_path_buf() };
        let read = async |secret: Secret| here.read(&secret).await;
        assert_eq!(read(Secret::File("token".into())).await, Ok("hunter2".into()));
        assert_eq!(read(Secret::Command("cat token".into())).await, Ok("hunter2".into()));
        assert!(read(Secret::Env("PATH".into())).await.is_ok());
        let no = "$KUP_NO_SUCH_SECRET is not set";
        assert_eq!(read(Secret::Env("KUP_NO_SUCH_SECRET".into())).await, Err(no.into()));
        assert_eq!(read(Secret::Command("true".into())).await, Err("what `true` prints is empty".into()));
        let failed = read(Secret::Command("echo hunter2; exit 3".into())).await.unwrap_err();
        assert_eq!(failed, "`echo hunter2; exit 3` ended with exit status: 3");
    }
}

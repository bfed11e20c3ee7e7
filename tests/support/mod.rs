//! Runs the real binary in an environment of its own: an empty home, a temporary state folder, no
//! kubeconfig, no colours, and the working directory of the test.

pub(crate) mod editor;
pub(crate) mod hostile;
pub(crate) mod mortal;
pub(crate) mod sshd;
pub(crate) mod terminal;
pub(crate) mod web;
pub(crate) mod world;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use tempfile::TempDir;

/// No test may hang: a run that takes longer is a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// Returns kup's own path; `KUP` names another build.
pub(crate) fn binary() -> String {
    std::env::var("KUP").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kup").to_string())
}

/// A whole snapshot of some etcd: pages, and their checksum at the end.
pub(crate) fn snapshot() -> Vec<u8> {
    use sha2::Digest;
    let mut bytes = vec![7; 4096];
    bytes.extend(sha2::Sha256::digest(&bytes));
    bytes
}

/// What a hosts file would say of a simulated cluster whose etcd is a service.
pub(crate) fn service_hosts(cluster: &sim::Cluster) -> Option<Vec<stdlib::hosts::Host>> {
    let names = sim::world::lock(&cluster.world).shape.etcd_services();
    let host = |name: String| stdlib::hosts::Host {
        ssh: name.clone(),
        name,
        roles: vec![stdlib::hosts::Role::Etcd],
    };
    (!names.is_empty()).then(|| names.into_iter().map(host).collect())
}

/// Goes through items by as many threads as there are processors, and returns all that was wrong with them.
pub(crate) fn side_by_side<T: Sync>(items: &[T], tell: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = tell(item);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// An environment to run kup in.
pub(crate) struct Kup {
    folder: TempDir,
    env: Vec<(OsString, OsString)>,
}

/// What a run of kup left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Kup {
    /// Makes an environment with nothing in it.
    pub(crate) fn new() -> Kup {
        Kup { folder: TempDir::new().unwrap(), env: Vec::new() }
    }

    /// Puts a file into the working directory.
    pub(crate) fn with(self, path: &str, content: impl AsRef<[u8]>) -> Kup {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Puts the shipped playbook into the working directory, as `up.kup`.
    pub(crate) fn with_main_job(self) -> Kup {
        let text = std::fs::read(repository().join("playbooks/kubeadm-minor.kup")).unwrap();
        self.with("up.kup", text)
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Kup {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Returns a path of the working directory.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Returns the folder of the runs.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Runs kup with a line of arguments, split at spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_args(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs kup with arguments.
    pub(crate) fn run_args(&self, args: &[&str]) -> Ran {
        self.output(Command::new(binary()).args(args))
    }

    /// Runs a command in this environment.
    pub(crate) fn output(&self, command: &mut Command) -> Ran {
        self.ended(self.spawn(command, Stdio::null()))
    }

    /// Begins a run of kup with a line of arguments, split at spaces.
    pub(crate) fn begin(&self, line: &str) -> Child {
        self.spawn(Command::new(binary()).args(line.split_whitespace()), Stdio::null())
    }

    /// Begins a command that is spoken to.
    pub(crate) fn speak(&self, command: &mut Command) -> Child {
        self.spawn(command, Stdio::piped())
    }

    fn spawn(&self, command: &mut Command, stdin: Stdio) -> Child {
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            .env("KUP_STATE_DIR", self.state())
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Waits for the end of what was begun.
    pub(crate) fn ended(&self, child: Child) -> Ran {
        let pid = child.id();
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(child.wait_with_output()));
        let Ok(output) = ended.recv_timeout(LIMIT) else {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            panic!("kup ran longer than {LIMIT:?}");
        };
        let output = output.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("kup ends by itself and not by a signal");
        Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// Demands an exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", tail(&self.stdout), tail(&self.stderr));
        self
    }

    /// Demands a piece of what was said to stderr.
    #[track_caller]
    pub(crate) fn says(self, piece: &str) -> Ran {
        assert!(self.stderr.contains(piece), "`{piece}` is not in stderr:\n{}", tail(&self.stderr));
        self
    }

    /// Demands a piece of the result.
    #[track_caller]
    pub(crate) fn prints(self, piece: &str) -> Ran {
        assert!(self.stdout.contains(piece), "`{piece}` is not in stdout:\n{}", tail(&self.stdout));
        self
    }

    /// Returns the JSON lines of the result.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// Returns the end of a long text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Returns the root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

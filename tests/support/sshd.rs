//! Plain hosts for tests: one sshd on a port of this machine for each, and the files that lead there.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Kup;

/// Hosts that ssh can reach as long as this lives.
pub(crate) struct Hosts {
    daemons: Vec<Child>,
}

const PROGRAM: &str = "/usr/sbin/sshd";

/// The options that lead to the hosts.
pub(crate) const OPTIONS: &str = "--hosts hosts.toml --ssh-config ssh/config";

impl Hosts {
    /// Starts hosts, and puts `hosts.toml` and `ssh/config` into the working directory. Where that is
    /// not possible it says why, and the test passes.
    pub(crate) fn start(kup: &Kup, names: &[&str]) -> Option<Hosts> {
        Hosts::start_with(kup, names, None)
    }

    /// Likewise, with a program in the place of every login shell: it finds the line in `SSH_ORIGINAL_COMMAND`.
    pub(crate) fn start_with(kup: &Kup, names: &[&str], shell: Option<&str>) -> Option<Hosts> {
        if let Some(why) = missing() {
            eprintln!("skipped: {why}");
            return None;
        }
        // Only the privileged sshd needs it.
        let _ = fs::create_dir_all("/run/sshd");
        fs::create_dir_all(kup.path("ssh")).unwrap();
        let at = |name: &str| kup.path("ssh").join(name).display().to_string();
        for key in ["host", "user"] {
            let options = ["-q", "-t", "ed25519", "-N", "", "-f", &at(key)];
            assert!(Command::new("ssh-keygen").args(options).status().unwrap().success());
        }
        let mut hosts = Hosts { daemons: Vec::new() };
        let (mut config, mut known, mut toml) = (String::new(), String::new(), String::new());
        let key = fs::read_to_string(at("host.pub")).unwrap();
        for name in names {
            let (daemon, port) = listening(&at, name, shell);
            hosts.daemons.push(daemon);
            known.push_str(&format!("[127.0.0.1]:{port} {key}"));
            toml.push_str(&format!("[[host]]\nname = \"{name}\"\n"));
            config.push_str(&format!(
                "Host {name}\n HostName 127.0.0.1\n Port {port}\n User root\n IdentityFile {}\n IdentitiesOnly yes\n UserKnownHostsFile {}\n",
                at("user"),
                at("known"),
            ));
        }
        for (path, text) in [("ssh/known", known), ("ssh/config", config), ("hosts.toml", toml)] {
            fs::write(kup.path(path), text).unwrap();
        }
        Some(hosts)
    }
}

impl Hosts {
    /// Takes the hosts away, with the connections that are open.
    pub(crate) fn vanish(self) {
        for daemon in &self.daemons {
            let pid = daemon.id();
            let sessions = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            let _ = Command::new("kill")
                .arg("-9")
                .arg(pid.to_string())
                .args(sessions.split_whitespace())
                .status();
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// Says what this machine lacks.
fn missing() -> Option<&'static str> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    match (Path::new(PROGRAM).exists(), root) {
        (false, _) => Some("there is no sshd on this machine"),
        (true, false) => Some("only root has hosts that let root in"),
        (true, true) => None,
    }
}

/// Returns a port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn daemon(at: &dyn Fn(&str) -> String, name: &str, port: u16, shell: Option<&str>) -> Child {
    Command::new(PROGRAM)
        .args(["-D", "-e", "-f", "/dev/null", "-h", &at("host"), "-p", &port.to_string()])
        .args(["-o", "ListenAddress=127.0.0.1", "-o", "StrictModes=no", "-o", "UsePAM=no"])
        .args(["-o", "PermitRootLogin=yes", "-o", "PasswordAuthentication=no"])
        // A key exchange that costs little: none of the tests is about it.
        .args(["-o", "KexAlgorithms=curve25519-sha256"])
        // A home without dotfiles: what somebody's .bashrc prints is not what a test is about.
        .args(["-o", &format!("SetEnv=HOME={}", at("home"))])
        .args(["-o", &format!("ForceCommand={}", shell.unwrap_or("none"))])
        .args(["-o", &format!("PidFile={}", at(&format!("{name}.pid")))])
        .args(["-o", &format!("AuthorizedKeysFile={}", at("user.pub"))])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(at(&format!("{name}.log"))).unwrap())
        .spawn()
        .unwrap()
}

/// Starts a daemon, and returns it with its port once it says that it listens. A port that was free a moment ago may be
/// another test's by then.
fn listening(at: &dyn Fn(&str) -> String, name: &str, shell: Option<&str>) -> (Child, u16) {
    let log = || fs::read_to_string(at(&format!("{name}.log"))).unwrap_or_default();
    for _ in 0..5 {
        let port = free_port();
        let mut daemon = daemon(at, name, port, shell);
        let begun = Instant::now();
        while daemon.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(10) {
            if log().contains(&format!("Server listening on 127.0.0.1 port {port}")) {
                return (daemon, port);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
    panic!("sshd does not listen: {}", log());
}

//! The lab as the tests see it: up, down, the operator's commands, and kup itself.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A running lab; it goes down when the value is dropped.
pub(crate) struct Lab {
    here: PathBuf,
    /// Where this test keeps kup's state and what it makes.
    pub(crate) folder: tempfile::TempDir,
}

impl Lab {
    /// Brings up a fresh cluster of these nodes, e.g. `cp1 cp2 cp3` and `w1 w2`.
    pub(crate) fn up(control_planes: &str, workers: &str) -> Lab {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
        let lab = Lab { here, folder: tempfile::tempdir().expect("a folder") };
        lab.script("down.sh", &[]);
        let up =
            Command::new(lab.here.join("up.sh")).env("CPS", control_planes).env("WORKERS", workers).status();
        assert!(up.is_ok_and(|s| s.success()), "the lab does not come up; its logs are in $LAB/log");
        lab
    }

    fn script(&self, name: &str, args: &[&str]) {
        let done = Command::new(self.here.join(name)).args(args).status();
        assert!(done.is_ok_and(|s| s.success()), "{name} failed");
    }

    /// Returns a command that runs where the operator stands.
    pub(crate) fn op(&self, program: &str) -> Command {
        let mut command = Command::new(self.here.join("op"));
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Runs kubectl and returns what it prints.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        text(self.op("kubectl").args(args).output())
    }

    /// Runs a command line on a node over ssh and returns what it prints.
    pub(crate) fn on(&self, node: &str, line: &str) -> String {
        text(self.op("ssh").arg("-F").arg(self.ssh_config()).args([node, line]).output())
    }

    /// Runs a command line inside a node without ssh, whatever comes of it.
    pub(crate) fn inside(&self, node: &str, line: &str) {
        let _ = Command::new(self.here.join("node.sh")).args(["shell", node, "sh", "-c", line]).output();
    }

    /// Returns the file that tells ssh of the lab's nodes; a lab elsewhere has one of its own (`env.sh`).
    pub(crate) fn ssh_config(&self) -> PathBuf {
        match std::env::var("LAB") {
            Ok(lab) if lab != "/var/lib/kup-lab" => Path::new(&lab).join("ssh_config"),
            _ => self.here.join("ssh_config"),
        }
    }

    /// Returns kup's own path; `KUP` names another build.
    pub(crate) fn binary() -> String {
        std::env::var("KUP").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kup").to_string())
    }

    /// Returns kup with the lab's configuration and this test's state.
    pub(crate) fn kup(&self, args: &[&str]) -> Command {
        let mut command = self.op(&Lab::binary());
        command.args(args).arg("--ssh-config").arg(self.ssh_config());
        command.arg("--state-dir").arg(self.folder.path().join("state"));
        command
    }

    /// Asks the Service every 50 ms until [`Probe::end`].
    pub(crate) fn probe(&self) -> Probe {
        let out = self.folder.path().join("probe.json");
        let _ = std::fs::remove_file(self.stop_file());
        let child = Command::new(self.here.join("probe.sh"))
            .args(["web", "3000"])
            .arg(&out)
            .stdout(Stdio::null())
            .spawn()
            .expect("the probe starts");
        Probe { child, out, stop: self.stop_file() }
    }

    fn stop_file(&self) -> PathBuf {
        PathBuf::from(std::env::var("LAB").unwrap_or_else(|_| "/var/lib/kup-lab".into())).join("probe.stop")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::env::var_os("KUP_LAB_KEEP").is_none() {
            self.script("down.sh", &[]);
        }
    }
}

/// A prober at work.
pub(crate) struct Probe {
    child: Child,
    out: PathBuf,
    stop: PathBuf,
}

impl Probe {
    /// Stops asking; returns how many requests were sent, how many failed, and the report.
    pub(crate) fn end(mut self) -> (u64, u64, String) {
        std::fs::write(&self.stop, "").expect("the probe is told to stop");
        let _ = self.child.wait();
        let report = std::fs::read_to_string(&self.out).expect("the probe wrote its report");
        let json: serde_json::Value = serde_json::from_str(&report).expect("the report is JSON");
        (json["requests"].as_u64().unwrap_or(0), json["failed"].as_u64().unwrap_or(u64::MAX), report)
    }
}

fn text(output: std::io::Result<Output>) -> String {
    let output = output.expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Lab {
    /// Returns kup's own live ports to this cluster, for a test that runs outside the lab's network.
    pub(crate) async fn ports(&self) -> engine::port::Ports {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = forward().await;
        let home = std::env::var("LAB").unwrap_or_else(|_| "/var/lib/kup-lab".into());
        let config = std::fs::read_to_string(format!("{home}/op/admin.conf")).expect("the lab's kubeconfig");
        let config = config.replace(
            "    server: https://api.k8s.lab:6443",
            &format!("    server: https://127.0.0.1:{port}\n    tls-server-name: api.k8s.lab"),
        );
        let path = self.folder.path().join("kubeconfig");
        std::fs::write(&path, config).expect("a kubeconfig");
        let options = engine::live::Connect { kubeconfig: Some(path), ..Default::default() };
        let cluster = engine::live::connect(&options).await.expect("the lab's API");
        let ssh = engine::live::SshOptions { config: Some(self.ssh_config()), sockets: None };
        engine::live::ports(Some(cluster.client), ssh)
    }
}

/// Listens on loopback and carries each connection into the operator's network.
async fn forward() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let home = std::env::var("LAB").unwrap_or_else(|_| "/var/lib/kup-lab".into());
                let mut pipe = tokio::process::Command::new("nsenter")
                    .args([
                        "--net=/run/netns/kup-op",
                        &format!("{home}/bin/labsrv"),
                        "tcp",
                        "10.77.0.10:6443",
                    ])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn()
                    .expect("the lab's pipe");
                let (mut from, mut to) =
                    (pipe.stdout.take().expect("piped"), pipe.stdin.take().expect("piped"));
                let (mut read, mut write) = socket.split();
                let _ =
                    tokio::join!(tokio::io::copy(&mut read, &mut to), tokio::io::copy(&mut from, &mut write));
            });
        }
    });
    port
}

//! A gate that asks a Prometheus.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::sshd::{Hosts, OPTIONS, free_port};
use crate::support::{Kup, Ran};

/// Runs a playbook for real, on a host of this machine.
fn run(text: &str) -> Option<Ran> {
    let kup = Kup::new().with("p.kup", text);
    let _hosts = Hosts::start(&kup, &["a"])?;
    Some(kup.run(&format!("run p.kup --yes --plain {OPTIONS}")))
}

/// A Prometheus that watches nothing but itself.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Prometheus {
    /// Starts one; `None` where there is none on this machine.
    fn start(kup: &Kup) -> Option<Prometheus> {
        let port = free_port();
        let config = kup.path("prometheus.yml").display().to_string();
        let data = kup.path("data").display().to_string();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={config}"))
            .arg(format!("--storage.tsdb.path={data}"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Prometheus { child, port }),
            Err(e) => {
                eprintln!("skipped: there is no prometheus on this machine: {e}");
                None
            }
        }
    }

    fn wait(&self) {
        let since = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(since.elapsed() < Duration::from_secs(60), "prometheus does not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_is_asked() {
    let kup = Kup::new().with("prometheus.yml", "global: {}\n");
    let Some(prometheus) = Prometheus::start(&kup) else { return };
    prometheus.wait();
    let host = format!("127.0.0.1:{}", prometheus.port);
    let book =
        |gate: &str| format!("use std/gate\nplaybook \"p\" {{ hosts \"{host}\" }}\nstage s {{ {gate} }}\n");
    let url = format!("url=\"http://{host}\"");
    let Some(ran) = run(&book(&format!("gate prometheus \"vector(1) > 3\" {url}"))) else { return };
    assert!(ran.exits(0).stdout.contains("nothing found"));
    let found = format!("gate prometheus \"vector(4) > 3\" {url} found=stop");
    let ran = run(&book(&found)).unwrap().exits(3);
    assert!(ran.stdout.contains("1 found by vector(4) > 3, the first is {} with 4"), "{}", ran.stdout);
    let waits = format!("gate prometheus \"vector(4) > 3\" {url} every=1s {{ timeout 3s }}");
    let ran = run(&book(&waits)).unwrap().exits(3);
    assert!(ran.stdout.contains("no end after 3s, waiting for 1 found"), "{}", ran.stdout);
    let wrong = format!("gate prometheus \"sum(\" {url}");
    let ran = run(&book(&wrong)).unwrap().exits(3);
    assert!(ran.stdout.contains("Prometheus cannot answer this query"), "{}", ran.stdout);
    let scalar = format!("gate prometheus \"1\" {url}");
    let ran = run(&book(&scalar)).unwrap().exits(3);
    assert!(ran.stdout.contains("the query gives a scalar"), "{}", ran.stdout);
}

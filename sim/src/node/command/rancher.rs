//! `k3s` and `rke2`, the `kubectl` that comes with them, and the `curl` that fetches their releases.

use engine::port::Output;

use crate::node::process::{Ended, Process, failed, said};
use crate::node::rancher;

/// Runs one of the binaries, by its name or by its path; `None` if there is none.
pub(super) async fn binary(process: &Process, program: &str, args: &[&str]) -> Option<Ended> {
    let version = process.on(|n| rancher::version_of(n, program))?;
    Some(match args {
        ["--version" | "-v"] => {
            let name = process.on(|n| rancher::names(n.distribution()).map_or("", |names| names.program));
            Ok(said(format!("{name} version {version} (148243c4)\ngo version go1.24.5\n")))
        }
        ["etcd-snapshot", "save", "--name", base] => save(process, base).await,
        ["kubectl", rest @ ..] => kubectl(process, rest).await,
        _ => Ok(super::not_known(program, args)),
    })
}

async fn save(process: &Process, base: &str) -> Ended {
    if process.on(|n| !n.etcd || !n.control_plane) {
        return Ok(failed(1, "time=\"2026-01-01T00:00:00Z\" level=fatal msg=\"etcd datastore disabled\"\n"));
    }
    process.busy(900, 3000).await?;
    Ok(match process.world(|w| rancher::save(w, &process.node, base)) {
        Ok(file) => {
            let line = format!("time=\"2026-01-01T00:00:00Z\" level=info msg=\"Snapshot {file} saved.\"\n");
            Output { code: 0, stdout: String::new(), stderr: line }
        }
        Err(why) => failed(1, format!("time=\"2026-01-01T00:00:00Z\" level=fatal msg=\"{why}\"\n")),
    })
}

/// Runs `kubectl`, which asks the server's own apiserver, as far as somebody asks here.
pub(super) async fn kubectl(process: &Process, args: &[&str]) -> Ended {
    let words: Vec<&str> = match args {
        ["--kubeconfig", _, words @ ..] => words.to_vec(),
        words => words.to_vec(),
    };
    if words != ["get", "--raw", "/readyz"] {
        return Ok(super::not_known("kubectl", args));
    }
    process.busy(80, 200).await?;
    let node = &process.node;
    Ok(
        match process.world(|w| {
            (
                w.component_up(node, "kube-apiserver"),
                w.etcd.answers(node) || !w.etcd.members.contains_key(node),
            )
        }) {
            (true, true) => said("ok"),
            (true, false) => failed(
                1,
                "Error from server (InternalError): an error on the server (\"[-]etcd failed: reason withheld\") has prevented the request from succeeding\n",
            ),
            (false, _) => failed(
                1,
                "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n",
            ),
        },
    )
}

/// Runs `curl`: an address on a page of releases, into a file or to standard output.
pub(super) async fn curl(process: &Process, args: &[&str]) -> Ended {
    let after = |flag: &str| args.iter().position(|a| *a == flag).and_then(|at| args.get(at + 1)).copied();
    let Some(url) = args.iter().find(|a| a.starts_with("https://")) else {
        return Ok(super::not_known("curl", args));
    };
    process.busy(100, 400).await?;
    let Some(content) = process.on(|n| rancher::released(n, url)) else {
        return Ok(failed(22, "curl: (22) The requested URL returned error: 404\n"));
    };
    if args.contains(&"--head") {
        return Ok(said("HTTP/2 200 \r\n\r\n"));
    }
    match after("--output") {
        Some(path) => {
            process.busy(2000, 6000).await?;
            process.on(|n| n.files.write(path, content, 0o644));
            Ok(said(""))
        }
        None => Ok(said(String::from_utf8_lossy(&content))),
    }
}

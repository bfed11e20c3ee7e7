//! `crictl ps` and `crictl exec`, and the tools of the etcd image: `etcdctl`, `etcdutl`.

use std::time::Duration;

use engine::port::Output;
use serde_json::{Value, json};

use crate::etcd::Answer;
use crate::node::COMPONENTS;
use crate::node::kubelet;
use crate::node::process::{Ended, Process, failed, said};
use crate::random::Random;
use crate::world::World;

/// A snapshot ends with its SHA-256, which is no part of the database.
const CHECKSUM: usize = 32;
const PAGES: usize = 20;
const PAGE: usize = 4096;
/// What marks a snapshot of the box.
const MAGIC: &str = "etcd snapshot of a simulated cluster ";

/// Runs `crictl`.
pub(super) async fn crictl(process: &Process, args: &[&str]) -> Ended {
    process.busy(20, 60).await?;
    match args {
        ["ps", rest @ ..] => {
            let name = rest
                .iter()
                .position(|a| *a == "--name")
                .and_then(|at| rest.get(at + 1))
                .copied()
                .unwrap_or("");
            let name = name.trim_start_matches('^').trim_end_matches('$');
            Ok(process.world(|w| {
                let fits = |c: &&str| w.component_up(&process.node, c) && (name.is_empty() || *c == name);
                let ids =
                    COMPONENTS.iter().filter(|c| fits(c)).filter_map(|c| container(w, &process.node, c));
                said(ids.map(|id| format!("{id}\n")).collect::<String>())
            }))
        }
        ["stop", "-t", _, id] => stop(process, id).await,
        ["exec", id, program @ ("etcdctl" | "etcdutl"), rest @ ..] => {
            let there = process.world(|w| {
                w.component_up(&process.node, "etcd")
                    && container(w, &process.node, "etcd").is_some_and(|c| c.starts_with(id))
            });
            if !there {
                return Ok(failed(
                    1,
                    format!(
                        "FATA[0000] execing command in container: rpc error: code = NotFound desc = an error occurred when try to find container \"{id}\": not found\n"
                    ),
                ));
            }
            let words: Vec<&str> = rest
                .iter()
                .copied()
                .filter(|a| !a.starts_with("--endpoints") && !a.starts_with("--c") && !a.starts_with("--key"))
                .collect();
            let mut output = if *program == "etcdctl" {
                etcdctl(process, rest, &words).await?
            } else {
                etcdutl(process, &words)
            };
            if output.code != 0 {
                output.stderr.push_str(&format!(
                    "FATA[0000] execing command in container: command terminated with exit code {}\n",
                    output.code
                ));
                output.code = 1;
            }
            Ok(output)
        }
        _ => Ok(super::not_known("crictl", args)),
    }
}

/// Returns the id of a component's container: another one after each restart.
fn container(world: &World, node: &str, component: &str) -> Option<String> {
    let pod = world.static_pods.get(&(node.to_string(), component.to_string()))?;
    let id = kubelet::hash(&format!("{node} {component} {} {}", pod.hash, pod.restarts));
    Some(format!("{id}{}", kubelet::hash(&id)))
}

/// Stops a container; the kubelet starts another one, etcd's within seconds, an apiserver's in some more.
async fn stop(process: &Process, id: &str) -> Ended {
    let node = &process.node;
    let runs = |w: &World, c: &str| w.component_up(node, c) && container(w, node, c).as_deref() == Some(id);
    let Some(component) = process.world(|w| COMPONENTS.into_iter().find(|c| runs(w, c))) else {
        return Ok(failed(
            1,
            format!(
                "E0101 00:00:00.000000    4711 log.go:32] \"StopContainer from runtime service failed\" err=\"rpc error: code = NotFound desc = an error occurred when try to find container \\\"{id}\\\": not found\" containerID=\"{id}\"\n"
            ),
        ));
    };
    process.busy(300, 900).await?;
    process.world(|w| kubelet::stop_static_pod(w, node, component));
    let (name, back) = (node.clone(), if component == "kube-apiserver" { 8 } else { 4 });
    process.later(Duration::from_secs(back), move |w| kubelet::run_static_pod(w, &name, component));
    Ok(said(format!("{id}\n")))
}

async fn etcdctl(process: &Process, all: &[&str], words: &[&str]) -> Ended {
    let cluster = all.contains(&"--cluster");
    let own = !cluster && words.starts_with(&["endpoint", "health"]);
    let sick = process.world(|w| match own {
        true => !w.etcd.answers(&process.node),
        false => w.etcd.members.values().any(|m| !m.up) || !w.etcd.quorum(),
    });
    if sick && (cluster || own) {
        // A client waits five seconds for an endpoint that does not answer.
        process.busy(5000, 5100).await?;
    }
    let words: Vec<&str> = words.iter().copied().filter(|w| !w.starts_with('-') && *w != "json").collect();
    let size = (PAGES * PAGE) as u64;
    let answer = match words.as_slice() {
        ["endpoint", "health"] if own => process.world(|w| w.etcd.own_health(&process.node)),
        ["endpoint", "health"] => process.world(|w| w.etcd.health()),
        ["endpoint", "status"] => process.world(|w| w.etcd.status(w.store.revision(), size)),
        ["member", "list"] => process.world(|w| w.etcd.member_list()),
        ["alarm", "list"] => process.world(|w| w.etcd.alarm_list(w.store.revision())),
        ["snapshot", "save", path] => return save(process, path).await,
        _ => return Ok(super::not_known("etcdctl", &words)),
    };
    let Answer { code, stdout, stderr } = answer;
    Ok(Output { code, stdout, stderr })
}

async fn save(process: &Process, path: &str) -> Ended {
    if !process.world(|w| w.etcd.quorum()) {
        process.busy(5000, 5100).await?;
        let Answer { code, stdout, stderr } = Answer::no_quorum();
        return Ok(Output { code, stdout, stderr });
    }
    if !path.starts_with("/var/lib/etcd/") {
        // The container sees only its data folder.
        return Ok(failed(
            1,
            format!("Error: could not open {path}.part (open {path}.part: no such file or directory)\n"),
        ));
    }
    process.busy(800, 2500).await?;
    process.world(|w| {
        let revision = w.store.revision();
        let version = w.etcd.members.get(&process.node).map_or_else(String::new, |m| m.version.clone());
        let mut filler = Random::named(revision, "snapshot");
        let facts = json!({
            "hash": filler.bits() >> 32, "revision": revision, "totalKey": 400 + revision / 2,
            "totalSize": PAGES * PAGE, "version": version,
        });
        let mut bytes = format!("{MAGIC}{facts}\n").into_bytes();
        while bytes.len() < PAGES * PAGE + CHECKSUM {
            bytes.extend(filler.bits().to_le_bytes());
        }
        bytes.truncate(PAGES * PAGE + CHECKSUM);
        if let Some(node) = w.nodes.get_mut(&process.node) {
            node.files.write(path, bytes, 0o600);
        }
    });
    Ok(said(format!("Snapshot saved at {path}\n")))
}

fn etcdutl(process: &Process, words: &[&str]) -> Output {
    let ["snapshot", "status", path, ..] = words else { return super::not_known("etcdutl", words) };
    let content = process.on(|n| n.files.read(path).map(<[u8]>::to_vec));
    let Some(content) = content else {
        return failed(1, format!("Error: stat {path}: no such file or directory\n"));
    };
    let head = content.split(|b| *b == b'\n').next().unwrap_or_default();
    let facts = std::str::from_utf8(head).ok().and_then(|h| h.strip_prefix(MAGIC));
    let facts = facts.and_then(|f| serde_json::from_str::<Value>(f).ok());
    match facts.filter(|_| content.len() == PAGES * PAGE + CHECKSUM) {
        Some(mut facts) => {
            // `version` came with etcdutl 3.6.
            let old = facts["version"].as_str().is_some_and(|v| v.starts_with("3.5"));
            if let Some(map) = facts.as_object_mut().filter(|_| old) {
                map.shift_remove("version");
            }
            said(format!("{facts}\n"))
        }
        None => failed(
            1,
            "Error: snapshot file integrity check failed. If you are copying bare data directory, use --skip-hash-check\n",
        ),
    }
}

//! `etcdctl` and `etcdutl`: in the etcd container of a control plane, or on a host of an external etcd.

use engine::port::Output;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::etcd::{Answer, Data};
use crate::node::Node;
use crate::node::process::{Ended, Process, failed, said};
use crate::random::Random;

/// A snapshot ends with its SHA-256, which is no part of the database.
const CHECKSUM: usize = 32;
const PAGES: usize = 20;
const PAGE: usize = 4096;
/// What marks a snapshot of the box.
const MAGIC: &str = "etcd snapshot of a simulated cluster ";

/// Runs one of the tools where a member is.
pub(super) async fn tool(process: &Process, program: &str, args: &[&str]) -> Ended {
    const CLIENT: [&str; 5] = ["--endpoints=", "--cacert=", "--cert=", "--key=", "--command-timeout="];
    let own = |a: &&str| !CLIENT.iter().any(|flag| a.starts_with(flag));
    let words: Vec<&str> = args.iter().copied().filter(own).collect();
    let version =
        process.world(|w| w.etcd.members.get(&process.node).map_or_else(String::new, |m| m.version.clone()));
    match (program, words.as_slice()) {
        (program, ["version"]) => {
            Ok(said(format!("{program} version: {version}\nAPI version: {}\n", minor(&version))))
        }
        // Up to 3.5 both tools know snapshots; 3.6 has taken them from etcdctl.
        ("etcdctl", ["snapshot", "status" | "restore", ..]) if old(&version) => Ok(etcdutl(process, &words)),
        ("etcdctl", _) => etcdctl(process, args, &words).await,
        _ => Ok(etcdutl(process, &words)),
    }
}

/// Returns whether etcdctl still knows how to read snapshots.
fn old(version: &str) -> bool {
    ["3.4", "3.5"].contains(&minor(version))
}

fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

async fn etcdctl(process: &Process, all: &[&str], words: &[&str]) -> Ended {
    let cluster = all.contains(&"--cluster");
    let own = !cluster && words.first() == Some(&"endpoint");
    let endpoint = all.iter().find_map(|a| a.strip_prefix("--endpoints=")).unwrap_or("127.0.0.1:2379");
    let sick = process.world(|w| match own {
        true => !w.etcd.answers(&process.node),
        false => w.etcd.members.values().any(|m| !m.up) || !w.etcd.quorum(),
    });
    if sick && (cluster || own) {
        // A client waits five seconds for an endpoint that does not answer.
        process.busy(5000, 5100).await?;
    }
    let words: Vec<&str> = words.iter().copied().filter(|w| !w.starts_with('-') && *w != "json").collect();
    // Only its own member is asked, so a service that is stopped gives no answer for the others.
    if !own && !process.world(|w| w.etcd.is_up(&process.node)) {
        process.busy(5000, 5100).await?;
        let Answer { code, stdout, stderr } = Answer::no_quorum();
        return Ok(Output { code, stdout, stderr });
    }
    let node = &process.node;
    let answer = match words.as_slice() {
        ["endpoint", "health"] if own => process.world(|w| w.etcd.own_health(node, endpoint)),
        ["endpoint", "health"] => process.world(|w| w.etcd.health()),
        ["endpoint", "status"] if own => {
            process.world(|w| w.etcd.own_status(node, endpoint, w.store.revision()))
        }
        ["endpoint", "status"] => process.world(|w| w.etcd.status(w.store.revision())),
        ["member", "list"] => process.world(|w| w.etcd.member_list()),
        ["alarm", "list"] => process.world(|w| w.etcd.alarm_list(w.store.revision())),
        ["snapshot", "save", path] => return save(process, path).await,
        ["member", "remove", id] => {
            process.busy(50, 200).await?;
            process.world(|w| {
                let answer = w.etcd.remove_member(id);
                // The process of a member that was removed ends by itself.
                let gone = w
                    .static_pods
                    .iter_mut()
                    .filter(|((node, c), _)| c == "etcd" && !w.etcd.members.contains_key(node));
                gone.for_each(|(_, pod)| pod.up = false);
                w.machines_changed();
                answer
            })
        }
        ["move-leader", id] => {
            process.busy(50, 200).await?;
            process.world(|w| w.etcd.move_leader(node, id))
        }
        ["defrag"] => {
            process.busy(400, 1500).await?;
            process.world(|w| w.etcd.defrag(node, endpoint))
        }
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
    if !path.starts_with("/var/lib/etcd/") && !process.on(|n| n.serves_etcd()) {
        // The container sees only its data folder.
        return Ok(failed(
            1,
            format!("Error: could not open {path}.part (open {path}.part: no such file or directory)\n"),
        ));
    }
    process.busy(800, 2500).await?;
    process.world(|w| {
        let revision = w.store.revision();
        w.saved.insert(revision, w.store.image());
        let version = w.etcd.members.get(&process.node).map_or_else(String::new, |m| m.version.clone());
        let mut filler = Random::named(revision, "snapshot");
        let facts = json!({
            "hash": filler.bits() >> 32, "revision": revision, "totalKey": 400 + revision / 2,
            "totalSize": PAGES * PAGE, "version": version,
        });
        let mut bytes = format!("{MAGIC}{facts}\n").into_bytes();
        while bytes.len() < PAGES * PAGE {
            bytes.extend(filler.bits().to_le_bytes());
        }
        bytes.truncate(PAGES * PAGE);
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        if let Some(node) = w.nodes.get_mut(&process.node) {
            node.files.write(path, bytes, 0o600);
        }
    });
    Ok(said(format!("Snapshot saved at {path}\n")))
}

fn etcdutl(process: &Process, words: &[&str]) -> Output {
    match words {
        ["snapshot", "status", path, ..] => match process.on(|n| facts(n, path)) {
            Ok(mut facts) => {
                // `version` came with etcdutl 3.6.
                let old = facts["version"].as_str().is_some_and(old);
                if let Some(map) = facts.as_object_mut().filter(|_| old) {
                    map.shift_remove("version");
                }
                said(format!("{facts}\n"))
            }
            Err(refused) => refused,
        },
        ["snapshot", "restore", path, flags @ ..] => process.on(|n| restore(n, path, flags)),
        _ => super::not_known("etcdutl", words),
    }
}

/// Reads what a snapshot holds. One that is whole but was saved by a real etcd says nothing of itself here.
fn facts(node: &Node, path: &str) -> Result<Value, Output> {
    let Some(content) = node.files.read(path) else {
        return Err(failed(1, format!("Error: stat {path}: no such file or directory\n")));
    };
    // The database of a member that was restored has no checksum behind it.
    if let Some(data) = path.strip_suffix("/member/snap/db").and_then(|f| Data::read(&node.files, f)) {
        let revision = data.revision.unwrap_or(1);
        return Ok(json!({
            "hash": Random::named(revision, "restored").bits() >> 32, "revision": revision,
            "totalKey": 400 + revision / 2, "totalSize": PAGES * PAGE, "version": "3.6.0",
        }));
    }
    // Databases are made of pages, so what is over is the checksum.
    let (database, checksum) = content.split_at(content.len() - content.len() % 512);
    if checksum.len() != CHECKSUM || Sha256::digest(database)[..] != *checksum {
        let text = "Error: snapshot file integrity check failed. If you are copying bare data directory, use --skip-hash-check\n";
        return Err(failed(1, text));
    }
    let head = database.split(|b| *b == b'\n').next().unwrap_or_default();
    let facts = std::str::from_utf8(head).ok().and_then(|h| h.strip_prefix(MAGIC));
    Ok(facts
        .and_then(|f| serde_json::from_str(f).ok())
        .unwrap_or_else(|| json!({"hash": 0, "revision": 1, "totalKey": 1, "totalSize": database.len()})))
}

/// Makes the data folder of a member, if the flags are those that a member needs.
fn restore(node: &mut Node, path: &str, flags: &[&str]) -> Output {
    let flag = |name: &str| {
        let at = flags.iter().position(|f| *f == name)?;
        flags.get(at + 1).copied()
    };
    let facts = match facts(node, path) {
        Ok(facts) => facts,
        Err(refused) => return refused,
    };
    let Some(folder) = flag("--data-dir") else { return super::not_known("etcdutl", flags) };
    // What etcdutl takes where nothing is said: a cluster of one.
    let name = flag("--name").unwrap_or("default");
    let members = flag("--initial-cluster").unwrap_or("default=http://localhost:2380");
    let token = flag("--initial-cluster-token").unwrap_or("etcd-cluster");
    let url = flag("--initial-advertise-peer-urls").unwrap_or("http://localhost:2380");
    if node.files.exists(folder) {
        return failed(1, format!("Error: data-dir \"{folder}\" not empty or could not be read\n"));
    }
    let own = format!("{name}={url}");
    if !members.split(',').any(|member| member == own) {
        return failed(
            1,
            format!("Error: couldn't find local name \"{name}\" in the initial cluster configuration\n"),
        );
    }
    let data = Data::restored(token, members, facts["revision"].as_u64());
    node.files.write(&Data::path(folder), data.to_string(), 0o600);
    Output {
        stderr: format!("info\tsnapshot/v3_snapshot.go:305\trestored snapshot\t{{\"path\": \"{path}\"}}\n"),
        ..Output::default()
    }
}

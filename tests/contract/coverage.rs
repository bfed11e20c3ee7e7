//! The contract leaves nothing out: every road for a kubeadm cluster is driven over the simulated one, there and
//! back, with ports that listen, and every kind of command and request that passes them stands among the
//! questions.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dsl::value::Value;
use engine::port::{Command, Output, Ports, Seal, Shell, ShellError, Shells};
use futures::FutureExt;

use super::{Ask, files, perform, story};

/// What passed the ports.
type Heard = Arc<Mutex<BTreeSet<String>>>;

/// A playbook with its parameters; `HERE` is a folder of the test, `SNAPSHOT` what was saved last.
type Road = (&'static str, &'static [(&'static str, &'static str)]);

/// What is performed, each list on a cluster of its own, and at last taken back.
const ROADS: &[&[Road]] = &[
    &[
        ("preflight", &[("target", "v1.34.4"), ("baseline", "HERE")]),
        ("kubeadm-minor", &[("target", "v1.34.4"), ("snapshots", "HERE")]),
    ],
    &[
        ("kubeadm-minor", &[("target", "v1.34.4"), ("snapshots", "HERE")]),
        ("validate", &[]),
        ("rollback-worker", &[("to", "v1.33.13")]),
        ("workers-only", &[]),
    ],
    &[
        ("os-patch", &[]),
        ("certs-renew", &[("left", "400d")]),
        ("kubeadm-config", &[("from", "HERE/kubeadm.yaml"), ("snapshots", "HERE")]),
        ("node-reboot", &[("always", "true")]),
        ("etcd-move-leader", &[("off", "cp1")]),
        ("etcd-defrag", &[("waste", "1%")]),
        ("node-replace", &[("old", "w1")]),
    ],
    &[("etcd-backup", &[("into", "HERE")]), ("etcd-restore", &[("from", "SNAPSHOT")])],
    &[("rollback-control-plane", &[("to", "v1.33.12"), ("snapshots", "HERE")])],
];

/// Modules for clusters that kubeadm has not set up, and for workers that run Windows: the lab has none of these.
const ELSEWHERE: [&str; 7] =
    ["std/aks", "std/binaries", "std/eks", "std/gke", "std/k3s", "std/rke2", "std/windows"];

/// Helm is a program of the operator's, and the only member of an etcd does not leave it.
const ALONE: [&str; 4] = ["check release", "helm upgrade", "wait release", "etcd remove member"];

#[test]
fn every_command_and_request_of_a_kubeadm_cluster_is_among_the_questions() {
    let (heard, mut verbs) = (Heard::default(), BTreeSet::new());
    for roads in ROADS {
        sim::runtime().block_on(there_and_back(roads, heard.clone(), &mut verbs));
    }
    let (story, through) = (story(), Heard::default());
    sim::runtime().block_on(async {
        let cluster = sim::Cluster::start(sim::Shape::parse("1+1@v1.33.13").expect("a shape"), 1, Vec::new());
        let ports = listening(cluster.ports(), through.clone());
        for ask in &story {
            if let Ask::Perform(text) = ask {
                let all = perform::perform(&ports, files().path(), text, &[]).await;
                verbs.extend(all.into_iter().map(|step| step.verb));
            }
        }
    });
    let left_out: BTreeSet<&str> = stdlib::modules()
        .iter()
        .filter(|(module, _)| ELSEWHERE.contains(module))
        .flat_map(|(_, text)| {
            text.lines().filter_map(|line| line.strip_prefix("native task ")?.split(" (").next())
        })
        .chain(ALONE)
        .collect();
    let all: BTreeSet<&str> = stdlib::actions().names().filter(|verb| !left_out.contains(verb)).collect();
    let never: Vec<&&str> = all.iter().filter(|verb| !verbs.contains(**verb)).collect();
    assert!(never.is_empty(), "no road that is asked goes by these verbs: {never:?}");
    let mut asked: BTreeSet<String> = story.iter().flat_map(kinds).collect();
    asked.extend(through.lock().expect("nobody panicked").clone());
    let heard = heard.lock().expect("nobody panicked").clone();
    let never: Vec<&String> = heard.difference(&asked).collect();
    assert!(never.is_empty(), "stdlib sends these, and the contract never asks them: {never:#?}");
}

/// Performs these playbooks one after the other, and takes back what takes itself back.
async fn there_and_back(roads: &[Road], heard: Heard, verbs: &mut BTreeSet<String>) {
    let cluster = sim::Cluster::start(sim::Shape::parse("3+2@v1.33.13").expect("a shape"), 1, Vec::new());
    let ports = listening(cluster.ports(), heard);
    let folder = files();
    let here = folder.path().display().to_string();
    let (mut done, mut snapshot) = (Vec::new(), String::new());
    for (playbook, given) in roads {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("playbooks/{playbook}.kup"));
        let text = std::fs::read_to_string(path).expect("a playbook");
        let with = |value: &str| value.replace("HERE", &here).replace("SNAPSHOT", &snapshot);
        let given: Vec<_> = given.iter().map(|(name, value)| (*name, with(value))).collect();
        let performed = perform::perform(&ports, folder.path(), &text, &given).await;
        let saved = performed.iter().rfind(|step| step.verb == "etcd backup");
        if let Some(Ok(Some(gave))) = saved.map(|step| &step.came) {
            snapshot = gave.get("path").and_then(Value::as_text).expect("a path").to_string();
        }
        verbs.extend(performed.iter().map(|step| step.verb.clone()));
        done.extend(performed);
    }
    perform::take_back(done).await;
}

/// Returns the same ports with somebody listening.
fn listening(ports: Ports, heard: Heard) -> Ports {
    let client = ports.kube.clone().expect("a cluster");
    let ears = heard.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        ears.lock()
            .expect("nobody panicked")
            .insert(request_kind(request.method().as_str(), request.uri().path()));
        let client = client.clone();
        async move { client.send(request).await }.boxed()
    });
    let kube = Some(kube::Client::new(service, "default"));
    Ports { kube, shells: Arc::new(Listening(ports.shells, heard)), clock: ports.clock, web: ports.web }
}

struct Listening(Arc<dyn Shells>, Heard);

impl Shells for Listening {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        Arc::new(Ear(self.0.on(ssh), self.1.clone()))
    }

    fn here(&self) -> Arc<dyn Shell> {
        self.0.here()
    }
}

struct Ear(Arc<dyn Shell>, Heard);

#[async_trait]
impl Shell for Ear {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        self.1.lock().expect("nobody panicked").extend(command_kinds(&command.argv));
        self.0.run(command).await
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        self.0.read(path).await
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        self.0.write(path, content, mode).await
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        self.0.fetch_sealed(path, into, seal).await
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        self.0.fetch(path, into).await
    }
}

/// Returns what kinds of question this is.
fn kinds(ask: &Ask) -> Vec<String> {
    match ask {
        Ask::Command(case) | Ask::Etcd(case) => command_kinds(&case.argv),
        Ask::Switch(_) | Ask::Settle | Ask::Perform(_) => Vec::new(),
        Ask::Request(request) => {
            vec![request_kind(request.method, request.path.split('?').next().unwrap_or(""))]
        }
    }
}

/// Returns the program with its subcommands, and what it runs in its turn.
fn command_kinds(argv: &[String]) -> Vec<String> {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["env", rest @ ..] => {
            let rest: Vec<String> =
                rest.iter().skip_while(|w| w.contains('=')).map(|w| w.to_string()).collect();
            command_kinds(&rest)
        }
        ["crictl", "exec", _, rest @ ..] => {
            command_kinds(&rest.iter().map(|w| w.to_string()).collect::<Vec<_>>())
        }
        ["systemd-run", rest @ ..] => {
            let inner: Vec<String> =
                rest.iter().skip_while(|w| **w != "--").skip(1).map(|w| w.to_string()).collect();
            let mut kinds = vec!["systemd-run".to_string()];
            kinds.extend(if inner.is_empty() { Vec::new() } else { command_kinds(&inner) });
            kinds
        }
        [program, rest @ ..] => {
            let depth = match *program {
                "kubeadm" | "etcdctl" | "etcdutl" => 2,
                "apt-get" | "apt-mark" | "apt-cache" | "systemctl" | "crictl" | "/usr/lib/apt/apt-helper" => {
                    1
                }
                _ => 0,
            };
            let named = |w: &str| w.starts_with(|c: char| c == '-' || c == '/' || c.is_ascii_digit());
            let sub = rest.iter().filter(|w| !named(w)).take(depth);
            vec![std::iter::once(program).chain(sub).copied().collect::<Vec<_>>().join(" ")]
        }
        [] => Vec::new(),
    }
}

/// Returns the method and the path without the names in it.
fn request_kind(method: &str, path: &str) -> String {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = match parts.first() {
        Some(&"api") => 2,
        Some(&"apis") => 3,
        _ => return format!("{method} {path}"),
    };
    let rest = parts.split_off(group.min(parts.len()));
    let rest = match rest.as_slice() {
        ["namespaces", _, kind, tail @ ..] => [&["*", kind][..], tail].concat(),
        all => [&["*"][..], all].concat(),
    };
    let named = rest.iter().enumerate().map(|(i, w)| if i == 2 { "*" } else { w });
    format!("{method} {}/{}", parts.join("/"), named.collect::<Vec<_>>().join("/"))
}

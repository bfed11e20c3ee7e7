//! The contract leaves nothing out: every road for a kubeadm cluster is driven over the simulated one, there and
//! back, with ports that listen, and every kind of command and request that passes them stands among the
//! questions.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dsl::source::{LoadError, Loader};
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inputs::Given;
use engine::inventory::Inventory;
use engine::plan::{Step, Undo};
use engine::port::{Command, Output, Ports, Shell, ShellError, Shells};
use futures::FutureExt;

use super::{Ask, story};

/// What passed the ports.
type Heard = Arc<Mutex<BTreeSet<String>>>;

struct Repository;

impl Loader for Repository {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if path.starts_with("std/") {
            let module = stdlib::modules().iter().find(|(name, _)| *name == path);
            return module.map(|(_, text)| text.to_string()).ok_or(LoadError::NotFound);
        }
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
            .map_err(|e| LoadError::Io(e.to_string()))
    }
}

/// A playbook with its parameters; `HERE` is a folder of the test, `SNAPSHOT` what was saved last.
type Road = (&'static str, &'static [(&'static str, &'static str)]);

/// What is performed, each list on a cluster of its own, and at last taken back.
const ROADS: &[&[Road]] = &[
    &[
        ("preflight", &[("target", "v1.34.4")]),
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

/// Another setting for each of the components that have one.
const SETTINGS: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 100
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
scheduler:
  extraArgs:
    - name: v
      value: \"3\"
";

#[test]
fn every_command_and_request_of_a_kubeadm_cluster_is_among_the_questions() {
    let heard = Heard::default();
    for roads in ROADS {
        sim::runtime().block_on(there_and_back(roads, heard.clone()));
    }
    let asked: BTreeSet<String> = story().iter().flat_map(kinds).collect();
    let heard = heard.lock().expect("nobody panicked").clone();
    eprintln!("{heard:#?}");
    let never: Vec<&String> = heard.difference(&asked).collect();
    assert!(never.is_empty(), "stdlib sends these, and the contract never asks them: {never:#?}");
}

/// Performs every step of these playbooks, in their order, wanted or not, one after the other, and takes back
/// what takes itself back, the last one first. A verb may refuse, and was heard none the less.
async fn there_and_back(roads: &[Road], heard: Heard) {
    let cluster = sim::Cluster::start(sim::Shape::parse("3+2@v1.33.13").expect("a shape"), 1, Vec::new());
    let ports = listening(cluster.ports(), heard);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("kubeadm.yaml"), SETTINGS).expect("settings");
    let (mut done, mut snapshot) = (Vec::new(), String::new());
    for (playbook, given) in roads {
        let inventory = Arc::new(stdlib::inventory::read(&ports, None).await.expect("an inventory"));
        let checked = dsl::check(&format!("playbooks/{playbook}.kup"), &Repository, stdlib::PRELUDE);
        let program = checked.program.expect("the playbook checks");
        let here = folder.path().display().to_string();
        let given = given.iter().map(|(name, value)| {
            let value = value.replace("HERE", &here).replace("SNAPSHOT", &snapshot);
            (name.to_string(), Given::set(value))
        });
        let params = engine::inputs::resolve(&program, &given.collect(), &*inventory);
        let plan = engine::plan::build(&program, &inventory, &params.expect("the parameters are right"));
        let plan = plan.expect("a plan");
        for step in plan.ids().map(|id| plan.step(id)) {
            let Some(action) = stdlib::actions().get(&step.action).cloned() else { continue };
            let cx = context(step, &ports, &inventory);
            let Ok(Some((before, gave))) = perform(&*action, &cx).await else { continue };
            if step.action == "etcd backup" {
                snapshot = gave.get("path").and_then(Value::as_text).expect("a path").to_string();
            }
            if step.undo == Undo::Itself {
                done.push((action, cx, before));
            }
        }
    }
    for (action, cx, before) in done.into_iter().rev() {
        action.undo(&cx, &before).await.unwrap_or_else(|e| panic!("{} is taken back: {e:?}", cx.key));
    }
}

fn context(step: &Step, ports: &Ports, inventory: &Arc<Inventory>) -> Context {
    Context {
        ports: ports.clone(),
        inventory: inventory.clone(),
        run: "contract".into(),
        key: step.key.clone(),
        attempt: 1,
        node: step.node.as_ref().and_then(|n| inventory.nodes.get(n).cloned()),
        args: step.args.clone(),
        long: step.long,
        gives: true,
        folder: "/contract".into(),
        secrets: Arc::new(engine::secret::Secrets::closed()),
    }
}

/// Returns what an undo must know and what the verb gave, or nothing where there was nothing to do.
async fn perform(action: &dyn Action, cx: &Context) -> Result<Option<(Value, Value)>, Failure> {
    let Check::Needs { before, .. } = action.check(cx).await? else { return Ok(None) };
    let mut progress = action.start(cx, &before).await?;
    loop {
        match progress {
            Progress::Done(gave) => return Ok(Some((before, gave))),
            Progress::Pending { handle, again, .. } => {
                cx.ports.clock.sleep(again).await;
                progress = action.poll(cx, &handle).await?;
            }
        }
    }
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

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        self.0.fetch(path, into).await
    }
}

/// Returns what kinds of question this is.
fn kinds(ask: &Ask) -> Vec<String> {
    match ask {
        Ask::Command(case) | Ask::Etcd(case) => command_kinds(&case.argv),
        Ask::Switch(_) | Ask::Settle => Vec::new(),
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
            let sub = rest.iter().filter(|w| !w.starts_with('-')).take(depth);
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

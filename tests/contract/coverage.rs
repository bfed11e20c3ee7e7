//! The contract leaves nothing out: the main job, and what is done to the operating system, are driven over
//! the simulated cluster with ports that listen, and every kind of command and request that passes them stands
//! among the questions.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dsl::source::{LoadError, Loader};
use engine::action::{Actions, Context, Progress};
use engine::inputs::Given;
use engine::plan::{Plan, StepId};
use engine::port::{Command, Output, Ports, Shell, ShellError, Shells};
use futures::FutureExt;
use indexmap::IndexMap;

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

#[test]
fn every_command_and_request_of_the_main_job_is_among_the_questions() {
    let heard = Heard::default();
    let target = [("target".to_string(), Given::set("v1.34.4"))].into_iter().collect();
    sim::runtime().block_on(perform_all("playbooks/kubeadm-minor.kup", target, "", heard.clone()));
    sim::runtime().block_on(perform_all("playbooks/os-patch.kup", IndexMap::new(), "os ", heard.clone()));
    let asked: BTreeSet<String> = story().iter().flat_map(kinds).collect();
    let heard = heard.lock().expect("nobody panicked").clone();
    assert!(heard.len() > 30, "the main job was heard: {heard:?}");
    let never: Vec<&String> = heard.difference(&asked).collect();
    assert!(never.is_empty(), "stdlib sends these, and the contract never asks them: {never:#?}");
}

/// Performs every step of a plan whose action begins so, in their order, wanted or not, one after the other.
async fn perform_all(playbook: &str, given: IndexMap<String, Given>, only: &str, heard: Heard) {
    let cluster = sim::Cluster::start(sim::Shape::parse("3+2@v1.33.13").expect("a shape"), 1, Vec::new());
    let ports = listening(cluster.ports(), heard);
    let inventory = Arc::new(stdlib::inventory::read(&ports, None).await.expect("an inventory"));
    let checked = dsl::check(playbook, &Repository, stdlib::PRELUDE);
    let program = checked.program.expect("the playbook checks");
    let params = engine::inputs::resolve(&program, &given, &*inventory).expect("the parameters are right");
    let plan = engine::plan::build(&program, &inventory, &params).expect("a plan");
    let actions = stdlib::actions();
    for id in plan.ids().filter(|id| plan.step(*id).action.starts_with(only)) {
        perform(&plan, id, &actions, &ports, &inventory).await;
    }
}

async fn perform(
    plan: &Plan,
    id: StepId,
    actions: &Actions,
    ports: &Ports,
    inventory: &Arc<engine::inventory::Inventory>,
) {
    let step = plan.step(id);
    let action = actions.get(&step.action).expect("every verb has its action");
    let cx = Context {
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
    };
    let engine::action::Check::Needs { before, .. } =
        action.check(&cx).await.unwrap_or_else(|e| panic!("{}: {e:?}", step.key))
    else {
        return;
    };
    let mut progress = action.start(&cx, &before).await.unwrap_or_else(|e| panic!("{}: {e:?}", step.key));
    while let Progress::Pending { handle, again, .. } = progress {
        ports.clock.sleep(again).await;
        progress = action.poll(&cx, &handle).await.unwrap_or_else(|e| panic!("{}: {e:?}", step.key));
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

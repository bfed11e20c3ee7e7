//! `kup rbac` tells the truth: every shipped playbook, performed on a simulated cluster with exactly the rights
//! that it is said to need, comes to its end; and no right is granted that none of them ever uses.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::event::{Event, Outcome};
use engine::inputs;
use engine::journal::{Journal, Keys};
use engine::lock::Lock;
use engine::machine::{Input, Machine};
use engine::plan;
use engine::port::{Command, Output, Ports, Seal, Shell, ShellError, Shells};
use engine::readonly::read_only;
use engine::run::{self, Run};
use engine::secret::Secrets;
use http::{Request, Response, StatusCode};
use indexmap::IndexMap;
use kube::client::Body;
use sim::{Cluster, Shape};
use stdlib::access::{Access, Right, access};
use tokio::sync::mpsc;

use crate::support::world::{agree, ann, shipped};
use crate::support::{repository, service_hosts, snapshot};

/// The shipped playbooks, and what is given to them.
const JOBS: &[(&str, &[(&str, &str)])] = &[
    ("aks", &[("target", "v1.34.2"), ("group", "rg"), ("cluster", "sim")]),
    ("binaries", &[("target", "v1.34.2"), ("hash", "sha512")]),
    ("certs-renew", &[("left", "400d")]),
    ("eks", &[("target", "v1.34"), ("cluster", "sim")]),
    ("etcd-backup", &[]),
    ("etcd-defrag", &[]),
    ("etcd-move-leader", &[("off", "cp1")]),
    ("etcd-restore", &[("from", "s.db")]),
    ("gke", &[("target", "v1.34.2-gke.1036000"), ("cluster", "sim"), ("location", "europe-west3")]),
    ("k3s", &[("target", "v1.34.2+k3s1")]),
    ("kubeadm-config", &[("from", "kubeadm.yaml")]),
    ("kubeadm-hops", &[("target", "v1.34.2")]),
    ("kubeadm-minor", &[("target", "v1.34.2"), ("addons", "[cni.yaml]")]),
    ("kubeadm-patch", &[("target", "v1.33.5")]),
    ("node-reboot", &[("always", "true")]),
    ("node-replace", &[("old", "cp2")]),
    ("os-patch", &[]),
    ("preflight", &[("target", "v1.34.2")]),
    ("rke2", &[("target", "v1.34.2+rke2r1")]),
    ("rollback-control-plane", &[("to", "v1.32.4")]),
    ("rollback-worker", &[("to", "v1.32.4")]),
    ("validate", &[("target", "v1.33.4")]),
    ("windows-workers", &[("target", "v1.33.4")]),
    ("workers-only", &[("target", "v1.33.4")]),
];

/// Workers that run Windows, a minor behind.
const WINDOWS: &str = "[[pool]]\nname = \"win\"\ncount = 1\nos = \"windows\"\nversion = \"v1.32.4\"\n";

/// A cluster on which nearly all of them have work.
const SHAPE: &str = r#"
version = "v1.33.4"
control_plane = 3

[[pool]]
name = "web"
count = 2
updates = ["openssl"]
reboot_wanted = true

[[pool]]
name = "gpu"
count = 1
gpu = 4
packages = "dnf"
version = "v1.32.4"
"#;

/// What `kubeadm-config` is given.
const CONFIGURATION: &str = "kind: ClusterConfiguration\nscheduler: { extraArgs: [{ name: v, value: \"4\" }] }\n\
    ---\nkind: KubeletConfiguration\nmaxPods: 150\n";

/// What is asked for only of pods with volumes, of a kubelet that does not start, after an installation that
/// broke off, and on the hosts of an external etcd: not on this cluster.
const RARE: [&str; 6] = [
    "get persistentvolumeclaims",
    "list volumeattachments.storage.k8s.io",
    "journalctl",
    "dpkg",
    "etcdctl",
    "etcdutl",
];

/// What `check removed apis` lists goes with other minors than v1.34, and the endpoints of a webhook are asked for where there is one.
const OTHERS: [&str; 10] = [
    "list clustertrustbundles.certificates.k8s.io",
    "list flowschemas.flowcontrol.apiserver.k8s.io",
    "list ipaddresses.networking.k8s.io",
    "list leasecandidates.coordination.k8s.io",
    "list mutatingadmissionpolicies.admissionregistration.k8s.io",
    "list prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    "list servicecidrs.networking.k8s.io",
    "list storageversionmigrations.storagemigration.k8s.io",
    "list volumeattributesclasses.storage.k8s.io",
    "list endpointslices.discovery.k8s.io",
];

/// What `kubeadm-minor` is given beside: a workload of each kind.
const ADDON: &str = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: { name: cni, namespace: default }\nspec: { selector: { matchLabels: { app: cni } }, \
    template: { metadata: { labels: { app: cni } }, spec: { containers: [{ name: cni, image: \"cni:2\" }] } } }\n---\n\
    apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: shop }\nspec: { minReadySeconds: 0 }\n---\n\
    apiVersion: apps/v1\nkind: StatefulSet\nmetadata: { name: db, namespace: shop }\nspec: { minReadySeconds: 0 }\n";

/// What was asked of the cluster and of the nodes.
#[derive(Default)]
struct Asked {
    rights: BTreeSet<Right>,
    programs: BTreeSet<String>,
    refused: BTreeSet<String>,
    /// The units that were started and not removed.
    units: BTreeSet<String>,
}

/// A cluster that grants what is granted, and nodes that run as root what may be run.
struct Guarded {
    granted: Access,
    asked: Mutex<Asked>,
}

impl Guarded {
    fn ports(self: &Arc<Guarded>, ports: Ports) -> Ports {
        let client = ports.kube.clone().unwrap();
        let namespace = client.default_namespace().to_string();
        let guard = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (client, guard) = (client.clone(), guard.clone());
            async move {
                match guard.may(&request) {
                    Ok(()) => client.send(request).await,
                    Err(what) => Ok(forbidden(&what)),
                }
            }
        });
        Ports {
            kube: Some(kube::Client::new(service, namespace)),
            shells: Arc::new(Watched(ports.shells, self.clone())),
            ..ports
        }
    }

    fn may(&self, request: &Request<Body>) -> Result<(), String> {
        let Some(right) = Right::of_request(request.method().as_str(), &request.uri().to_string()) else {
            return Ok(());
        };
        let mut asked = self.asked.lock().unwrap();
        let granted = self.granted.api.iter().any(|granted| granted.covers(&right));
        asked.rights.insert(right.clone());
        if !granted {
            asked.refused.insert(right.to_string());
            return Err(right.to_string());
        }
        Ok(())
    }
}

fn forbidden(what: &str) -> Response<Body> {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": format!("not granted: {what}"),
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

struct Watched(Arc<dyn Shells>, Arc<Guarded>);

impl Shells for Watched {
    fn on(&self, ssh: &str) -> Arc<dyn Shell> {
        // On Windows nobody becomes root: ssh leads to an administrator.
        match ssh.starts_with("win") {
            true => self.0.on(ssh),
            false => Arc::new(WatchedShell(self.0.on(ssh), self.1.clone())),
        }
    }

    fn here(&self) -> Arc<dyn Shell> {
        self.0.here()
    }
}

struct WatchedShell(Arc<dyn Shell>, Arc<Guarded>);

impl WatchedShell {
    fn as_root(&self, program: &str) {
        self.1.asked.lock().unwrap().programs.insert(program.to_string());
    }

    /// Follows the units of detached commands.
    fn units(&self, argv: &[String]) {
        let units = &mut self.1.asked.lock().unwrap().units;
        match argv.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["systemd-run", unit, ..] => {
                units.insert(format!("{}.service", unit.trim_start_matches("--unit=")));
            }
            ["systemctl", "stop" | "reset-failed", unit] => drop(units.remove(unit)),
            _ => {}
        }
    }
}

#[async_trait]
impl Shell for WatchedShell {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        if command.root {
            self.as_root(&command.argv[0]);
        }
        self.units(&command.argv);
        self.0.run(command).await
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ShellError> {
        self.as_root("sh");
        self.0.read(path).await
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), ShellError> {
        self.as_root("sh");
        self.0.write(path, content, mode).await
    }

    async fn fetch_sealed(&self, path: &str, into: &Path, seal: &dyn Seal) -> Result<u64, ShellError> {
        self.as_root("sh");
        self.0.fetch_sealed(path, into, seal).await
    }

    async fn fetch(&self, path: &str, into: &Path) -> Result<u64, ShellError> {
        self.as_root("sh");
        self.0.fetch(path, into).await
    }
}

/// Plans and performs a playbook with the rights that it is said to need; returns what it asked for.
async fn perform(name: &str, given: &[(&str, &str)]) -> (Outcome, Arc<Guarded>) {
    let program = shipped(name, "");
    let mut granted = access(program.verbs());
    if given.iter().any(|(name, _)| *name == "addons") {
        // The file says these, and `kup rbac` that they are missing.
        assert!(
            granted.notes.iter().any(|note| note.starts_with("`apply manifest` needs")),
            "{:?}",
            granted.notes
        );
        for resource in ["daemonsets", "deployments", "statefulsets"] {
            let right = Right {
                namespace: None,
                group: "apps".into(),
                resource: resource.into(),
                verb: "patch".into(),
            };
            granted.api.insert(right);
        }
    }
    let guarded = Arc::new(Guarded { granted, asked: Mutex::default() });
    let shape = match name {
        "k3s" | "rke2" => {
            let vendor = given[0].1.trim_start_matches("v1.34.2");
            let of = |version: &str| format!("{version}{vendor}\"");
            SHAPE.replace("v1.33.4\"", &of("v1.33.4")).replace("v1.32.4\"", &of("v1.32.4"))
        }
        // A provider's control plane shows no nodes.
        "aks" | "eks" | "gke" => {
            SHAPE.replace("control_plane = 3", &format!("control_plane = 0\nmanaged = \"{name}\""))
        }
        "windows-workers" => format!("{SHAPE}{WINDOWS}"),
        "binaries" => format!("components = \"systemd\"{SHAPE}"),
        // What kubeadm put aside then is on the nodes.
        "rollback-control-plane" | "rollback-worker" => format!("upgraded_from = \"v1.32.4\"{SHAPE}"),
        _ => SHAPE.to_string(),
    };
    let cluster = Cluster::start(Shape::from_toml(&shape).unwrap(), 7, Vec::new());
    let ports = guarded.ports(cluster.ports());
    let looking = read_only(ports.clone());
    let hosts = service_hosts(&cluster);
    let inventory = Arc::new(stdlib::inventory::read(&looking, hosts.as_deref(), &[]).await.unwrap());
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("kubeadm.yaml"), CONFIGURATION).unwrap();
    std::fs::write(here.path().join("cni.yaml"), ADDON).unwrap();
    let given = given.iter().map(|(name, value)| (name.to_string(), inputs::Given::set(*value)));
    let given: IndexMap<_, _> = given.collect();
    let values = inputs::resolve(&program, &given, &*inventory).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let plan = plan::build(&program, &inventory, &values).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let folder = here.path().to_path_buf();
    std::fs::write(here.path().join("s.db"), snapshot()).unwrap();
    let (plan, _) = run::foresee(plan, &stdlib::actions(), &looking, &inventory, &folder).await;
    let plan = Arc::new(plan);
    let who = ann();
    let lock = Lock::acquire(&ports, here.path(), &inventory.cluster, "run", &who).await.unwrap();
    let (people, wanted) = mpsc::channel(64);
    people.send(Input::Begin { by: who.user.clone(), why: String::new() }).await.unwrap();
    let mut machine = Machine::new(plan.clone(), 7);
    machine.attend();
    let mut sink = |_, event: &Event| agree(event, &people);
    let run = Run {
        machine: &mut machine,
        journal: &mut Journal::forgotten(Keys::new(&plan)),
        actions: stdlib::actions(),
        ports: ports.clone(),
        inventory,
        id: "run".into(),
        folder,
        heard: None,
        secrets: Arc::new(Secrets::closed()),
    };
    let outcome = run::drive(run, wanted, &mut sink).await.unwrap();
    lock.release().await;
    (outcome, guarded)
}

#[tokio::test(start_paused = true)]
async fn every_shipped_playbook_gets_along_with_the_rights_that_it_is_said_to_need() {
    let (mut granted, mut used) = (Access::default(), Asked::default());
    for (name, given) in JOBS {
        let (outcome, guarded) = perform(name, given).await;
        let asked = std::mem::take(&mut *guarded.asked.lock().unwrap());
        assert!(asked.refused.is_empty(), "{name} needs more: {:#?}", asked.refused);
        // It finds the pool that lags behind.
        let expected = if *name == "validate" { Outcome::Paused } else { Outcome::Done };
        assert_eq!(outcome, expected, "{name}");
        let unknown: Vec<_> = asked.programs.iter().filter(|p| !guarded.granted.root.contains(*p)).collect();
        assert!(unknown.is_empty(), "{name} runs as root, and says nothing of it: {unknown:?}");
        assert!(asked.units.is_empty(), "{name} leaves units behind: {:?}", asked.units);
        granted.api.extend(guarded.granted.api.iter().cloned());
        granted.root.extend(guarded.granted.root.iter().cloned());
        used.rights.extend(asked.rights);
        used.programs.extend(asked.programs);
    }
    let is_rare = |what: &str| RARE.contains(&what) || OTHERS.contains(&what);
    let idle = granted.api.iter().filter(|right| !used.rights.iter().any(|used| right.covers(used)));
    let idle: Vec<_> = idle.map(ToString::to_string).filter(|right| !is_rare(right)).collect();
    assert!(idle.is_empty(), "granted, and used by no playbook: {idle:#?}");
    let idle: Vec<_> = granted
        .root
        .iter()
        .filter(|program| !used.programs.contains(*program) && !is_rare(program))
        .collect();
    assert!(idle.is_empty(), "said to run as root, and run by no playbook: {idle:?}");
}

#[test]
fn every_playbook_and_every_verb_is_looked_at() {
    let mut names: Vec<String> = std::fs::read_dir(repository().join("playbooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "kup"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let jobs: Vec<&str> = JOBS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, jobs);
    for (module, text) in stdlib::modules() {
        for header in text.lines().filter_map(|line| line.strip_prefix("native task ")) {
            let verb = header.split('(').next().unwrap_or_default().trim();
            assert!(stdlib::access::is_known(verb), "access.toml says nothing of `{verb}` of {module}");
        }
    }
}

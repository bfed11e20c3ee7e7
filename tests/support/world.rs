//! Shipped playbooks performed in this process, on simulated clusters: to their end, killed at a point, resumed and taken
//! back, and how they left the cluster.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dsl::program::Program;
use dsl::source::{LoadError, Loader};
use engine::event::{Event, Outcome};
use engine::inputs;
use engine::journal::{Header, Journal, Keys, Storage, Store, Stored};
use engine::lock::{Lock, Who};
use engine::machine::{Input, Machine};
use engine::plan;
use engine::port::Ports;
use engine::readonly::read_only;
use engine::run::{self, Run, RunError};
use engine::secret::Secrets;
use indexmap::IndexMap;
use sim::{Cluster, Fault, Shape};
use tokio::sync::mpsc;

use super::mortal::Life;
use super::{repository, service_hosts, snapshot};

/// The run of a cluster, and the one after it.
const FIRST: &str = "20261121-120305-4f2a";
const SECOND: &str = "20261122-120305-4f2b";

/// A playbook with its parameters, and the cluster it is for.
pub(crate) struct Job {
    pub(crate) playbook: &'static str,
    pub(crate) given: &'static [(&'static str, &'static str)],
    pub(crate) shape: &'static str,
}

/// The file `c.yaml` of every job.
const CONFIGURATION: &str = "kind: ClusterConfiguration\nscheduler: { extraArgs: [{ name: v, value: \"4\" }] }\n\
    ---\nkind: KubeletConfiguration\nmaxPods: 150\n";

/// What the repository has: `std/NAME.kup` is a playbook, `std/NAME` a module, and else a path leads to a file. What is
/// in the brackets stands behind the text of each playbook.
pub(crate) struct Repository(pub(crate) &'static str);

impl Loader for Repository {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if let Some((_, text)) = stdlib::modules().iter().find(|(known, _)| *known == path) {
            return Ok(text.to_string());
        }
        let (path, more) = match path.strip_prefix("std/") {
            Some(name) => (repository().join("playbooks").join(name), self.0),
            None => (repository().join(path), ""),
        };
        let text = std::fs::read_to_string(path).map_err(|e| LoadError::Io(e.to_string()))?;
        Ok(text + more)
    }
}

/// Returns a shipped playbook, with something behind its text.
pub(crate) fn shipped(name: &str, more: &'static str) -> Program {
    let checked = dsl::check(&format!("std/{name}.kup"), &Repository(more), stdlib::PRELUDE);
    checked.program.unwrap_or_else(|| panic!("{name}: {:?}", checked.diagnostics))
}

/// Who begins every run.
pub(crate) fn ann() -> Who {
    Who { host: "laptop".into(), user: "ann".into() }
}

/// Says yes to what a run asks.
pub(crate) fn agree(event: &Event, people: &mpsc::Sender<Input>) {
    if let Event::ApprovalAsked { gate, .. } = event {
        let (by, when, why) = ("ann".into(), String::new(), String::new());
        people.try_send(Input::Answer { gate: *gate, yes: true, by, when, why }).unwrap();
    }
}

/// Where kup is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Point {
    /// When so many records are written, before or after what follows them has begun.
    Record { written: usize, before_the_effects: bool },
    /// Behind so many changes that it made, before it hears of the last.
    Change(usize),
}

/// A journal that ends at a point, as it does when its writer is killed.
struct Deadly {
    file: File,
    left: Option<usize>,
    before_the_effects: bool,
}

impl Storage for Deadly {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(left) = &mut self.left else { return self.file.write_all(bytes) };
        let records = bytes.iter().filter(|byte| **byte == b'\n').count();
        if records < *left || (records == *left && !self.before_the_effects) {
            *left -= records;
            return self.file.write_all(bytes);
        }
        let kept: Vec<u8> =
            bytes.split_inclusive(|byte| *byte == b'\n').take(*left).flatten().copied().collect();
        self.file.write_all(&kept)?;
        Err(io::Error::other("killed"))
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a run left: the state of the cluster, what was begun on the nodes, and how many records there are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) state: Vec<String>,
    pub(crate) begun: Vec<String>,
    pub(crate) records: usize,
    pub(crate) changes: usize,
}

/// A simulated cluster, and the plan of a job for it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) ports: Ports,
    pub(crate) stored: Stored,
    /// The id of its run.
    pub(crate) run: &'static str,
    life: Life,
}

impl World {
    /// Makes the cluster and the plan for it, the same each time.
    pub(crate) async fn new(job: &Job, program: &Program) -> World {
        World::with(Vec::new(), job, program).await
    }

    /// The same, with faults that wait for their moment.
    pub(crate) async fn with(faults: Vec<Fault>, job: &Job, program: &Program) -> World {
        let shape = match job.shape.contains('=') {
            true => Shape::from_toml(job.shape).unwrap(),
            false => Shape::parse(job.shape).unwrap(),
        };
        World::planned(Cluster::start(shape, 7, faults), job, program, FIRST).await
    }

    /// Plans a job once more, for the cluster as it is now.
    pub(crate) async fn again(self, job: &Job, program: &Program) -> World {
        World::planned(self.cluster, job, program, SECOND).await
    }

    async fn planned(cluster: Cluster, job: &Job, program: &Program, run: &'static str) -> World {
        let ports = cluster.ports();
        let looking = read_only(ports.clone());
        let hosts = service_hosts(&cluster);
        let inventory = stdlib::inventory::read(&looking, hosts.as_deref(), &[]).await.unwrap();
        let given = job.given.iter().map(|(name, value)| (name.to_string(), inputs::Given::set(*value)));
        let given: IndexMap<_, _> = given.collect();
        let values = inputs::resolve(program, &given, &inventory).unwrap();
        let plan = plan::build(program, &inventory, &values).unwrap();
        let folder = Path::new("/job").to_path_buf();
        ports.shells.here().write("/job/c.yaml", CONFIGURATION.as_bytes(), 0o600).await.unwrap();
        let cni = include_str!("../trials/kube-flannel.yaml");
        ports.shells.here().write("/job/cni.yaml", cni.as_bytes(), 0o600).await.unwrap();
        ports.shells.here().write("/job/s.db", &snapshot(), 0o600).await.unwrap();
        let shared = Arc::new(inventory.clone());
        let (plan, _) = run::foresee(plan, &stdlib::actions(), &looking, &shared, &folder).await;
        let digest = plan::digest(&plan);
        let life = Life::default();
        let ports = life.ports(&ports);
        World { cluster, ports, stored: Stored { digest, folder, plan, inventory }, run, life }
    }

    /// Begins the run, and kills it at a point; without one it goes to its end. Returns nothing if it was killed.
    pub(crate) async fn begin(&self, store: &Store, point: Option<Point>) -> Option<Outcome> {
        let folder = store.create(self.run).unwrap();
        folder.save(&self.stored).unwrap();
        let header = Header {
            run: self.run.into(),
            cluster: self.stored.inventory.cluster.clone(),
            host: "laptop".into(),
            user: "ann".into(),
            started: "2026-11-21T12:03:05Z".into(),
            plan: self.stored.digest.clone(),
            seed: 7,
        };
        drop(folder.begin(&header, &self.stored.plan, false).unwrap());
        let path = folder.path().join("journal.jsonl");
        let (left, before_the_effects) = match point {
            Some(Point::Record { written, before_the_effects }) => (Some(written), before_the_effects),
            Some(Point::Change(_)) | None => (None, false),
        };
        let file = File::options().append(true).open(&path).unwrap();
        let deadly = Deadly { file, left, before_the_effects };
        let recorded = folder.read(&self.stored).unwrap();
        let keys = Keys::new(&self.stored.plan);
        let mut journal = Journal::new(Box::new(deadly), path, keys, &recorded, false);
        let mut machine = Machine::new(Arc::new(self.stored.plan.clone()), 7);
        let on = Input::Begin { by: "ann".into(), why: String::new() };
        if let Some(Point::Change(last)) = point {
            self.life.ends(last);
        }
        let who = ann();
        let ended = tokio::select! {
            ended = self.drive(store, &mut machine, &mut journal, &who, on) => ended,
            () = self.life.over() => {
                self.life.begins();
                return None;
            }
        };
        match ended {
            Ok(outcome) => Some(outcome),
            Err(RunError::Journal(_)) => None,
            Err(error) => panic!("{point:?}: {error}"),
        }
    }

    /// Goes on with the run from its folder, as somebody wants it.
    pub(crate) async fn resume(&self, store: &Store, who: &Who, wanted: Input) -> Outcome {
        let folder = store.open(Some(self.run)).unwrap();
        let stored = folder.load().unwrap();
        let (mut journal, recorded) = folder.resume(&stored, false).unwrap();
        let mut machine = Machine::replay(Arc::new(stored.plan.clone()), 7, recorded.events);
        self.drive(store, &mut machine, &mut journal, who, wanted).await.unwrap()
    }

    async fn drive(
        &self,
        store: &Store,
        machine: &mut Machine,
        journal: &mut Journal,
        who: &Who,
        wanted: Input,
    ) -> Result<Outcome, RunError> {
        let cluster = &self.stored.inventory.cluster;
        let lock = Lock::acquire(&self.ports, store.root(), cluster, self.run, who).await.unwrap();
        let (people, inputs) = mpsc::channel(8);
        people.send(wanted).await.unwrap();
        // Somebody is there, and says yes to everything.
        machine.attend();
        let mut told = |_, event: &Event| agree(event, &people);
        let run = Run {
            machine,
            journal,
            actions: stdlib::actions(),
            ports: self.ports.clone(),
            inventory: Arc::new(self.stored.inventory.clone()),
            id: self.run.into(),
            folder: self.stored.folder.clone(),
            heard: None,
            secrets: Arc::new(Secrets::closed()),
        };
        let outcome = run::drive(run, inputs, &mut told).await;
        match outcome {
            Ok(_) => lock.release().await,
            // Killed: nobody gives it back.
            Err(_) => drop(lock),
        }
        outcome
    }

    /// Tells how the cluster is, without what only depends on when things were done.
    pub(crate) async fn end(&self, store: &Store) -> End {
        // Let everything settle: a kubelet says its version a little later.
        self.ports.clock.sleep(Duration::from_secs(300)).await;
        let (state, begun) = self.state().await;
        End { state, begun, records: self.events(store).len(), changes: self.life.made() }
    }

    /// Returns what the journal has of the run.
    pub(crate) fn events(&self, store: &Store) -> Vec<Event> {
        let recorded = store.open(Some(self.run)).unwrap().read(&self.stored).unwrap();
        recorded.events.into_iter().map(|(_, event)| event).collect()
    }

    /// Returns what changed something, by its keys.
    pub(crate) fn changed(&self, store: &Store) -> Vec<String> {
        let changed = self.events(store).into_iter().filter_map(|event| match event {
            Event::StepDone { step, changed: true, .. } => Some(self.stored.plan.step(step).key.clone()),
            _ => None,
        });
        changed.collect()
    }

    /// Tells how the cluster is, and what was begun on its nodes that must not be begun twice.
    pub(crate) async fn state(&self) -> (Vec<String>, Vec<String>) {
        let hosts = service_hosts(&self.cluster);
        let inventory = stdlib::inventory::read(&self.ports, hosts.as_deref(), &[]).await.unwrap();
        let nodes: kube::Api<k8s_openapi::api::core::v1::Node> =
            kube::Api::all(self.ports.kube.clone().unwrap());
        let objects = nodes.list(&kube::api::ListParams::default()).await.unwrap();
        let world = sim::world::lock(&self.cluster.world);
        let (mut state, mut begun) = (Vec::new(), Vec::new());
        for node in world.nodes.values() {
            // The control plane of a provider is no node of the cluster.
            let Some(api) = inventory.nodes.get(&node.name) else { continue };
            let spec = objects.items.iter().find(|o| o.metadata.name.as_ref() == Some(&node.name));
            // A host beside the cluster, as of an external etcd, has no object.
            let spec = spec.and_then(|object| object.spec.clone()).unwrap_or_default();
            state.push(format!(
                "{} kubelet {:?} apiserver {:?} runs {} active {} installed {:?} held {:?} locked {:?} broken {}",
                node.name,
                api.kubelet,
                api.apiserver,
                node.kubelet_running,
                node.kubelet_active,
                node.packages.installed,
                node.packages.held,
                node.packages.locked,
                node.packages.broken,
            ));
            state.push(format!(
                "{} unschedulable {:?} taints {:?}",
                node.name,
                spec.unschedulable.unwrap_or_default(),
                spec.taints.unwrap_or_default(),
            ));
            state.push(format!(
                "{} {:?}",
                node.name,
                node.files.text("/etc/apt/sources.list.d/kubernetes.list")
            ));
            let configured = [
                "/usr/local/bin/kube-apiserver",
                "/usr/local/bin/kubelet",
                "/usr/local/bin/kubelet.previous",
                "/var/lib/kubelet/config.yaml",
                "/var/lib/kup/reflects-kubelet-config",
                "/k/kubelet.exe",
                "/k/kubelet.previous.exe",
            ];
            state.extend(configured.map(|path| format!("{} {path} {:?}", node.name, node.files.text(path))));
            let paths = node.files.under("/etc/kubernetes/manifests");
            state.extend(paths.map(|path| format!("{} {path} {:?}", node.name, node.files.text(path))));
            let member = world.etcd.members.get(&node.name);
            state.push(format!("{} etcd {:?}", node.name, member.map(|m| (m.up, &m.version, m.data))));
            let pods = world.static_pods.iter().filter(|((on, _), _)| *on == node.name);
            state.extend(pods.map(|((on, what), pod)| format!("{on} {what} {} {}", pod.image, pod.up)));
            // None runs any more, none that has ended is left in systemd's memory, and nothing of them on the disk.
            let left: Vec<&str> = node.files.under("/run/kup").collect();
            state.push(format!("{} has the units {:?} and {left:?}", node.name, node.units.keys()));
            // What kubeadm, etcd and dpkg do must not be begun again once it was.
            let once = |line: &str| {
                let unit = line.contains("systemd-run");
                let what = ["kubeadm upgrade", "kubeadm reset", "kubeadm join", "apt-get", "install"];
                line.contains(" member remove ") || unit && what.iter().any(|what| line.contains(what))
            };
            let ran = node.transcript.iter().filter(|ran| once(&ran.line) && ran.code != Some(1));
            begun.extend(ran.map(|ran| {
                let command = ran.line.split(" -- ").last().unwrap_or(&ran.line);
                let command = command.find("member remove").map_or(command, |at| &command[at..]);
                format!("{} {command}", node.name)
            }));
        }
        begun.extend(world.managed.iter().flat_map(|managed| managed.begun()));
        begun.sort();
        (state, begun)
    }
}

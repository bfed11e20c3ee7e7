//! The main job, killed at every point and resumed: after each record of the journal, before the effects
//! that follow it and after them, by the same machine and by another one with nothing but the run's folder.
//! It must end as it does undisturbed, and nothing unrepeatable may be begun twice. The roads beside it and back are killed
//! here and there, and once they are gone there is nothing left to do.
//!
//! An optimized build, as `tests/run.sh` makes one, tries all points of the main job; others, and the other jobs, one in `SPARSE`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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
use sim::{Cluster, Shape};
use tokio::sync::mpsc;

use crate::support::{repository, service_hosts};

/// Where not all points are tried, one in so many is.
const SPARSE: usize = 37;
const RUN: &str = "20261121-120305-4f2a";

/// A playbook with its parameters, and the cluster it is for.
struct Job {
    playbook: &'static str,
    given: &'static [(&'static str, &'static str)],
    shape: &'static str,
}

const MAIN: Job = Job { playbook: "kubeadm-minor", given: &[("target", "v1.34.2")], shape: "3+3@v1.33.4" };

/// A cluster that kubeadm has upgraded.
const UPGRADED: &str = "version = \"v1.34.2\"\nupgraded_from = \"v1.33.4\"\ncontrol_plane = 3\n[[pool]]\nname = \"w\"\ncount = 2\n";

/// The roads that are killed here and there.
const OTHERS: [Job; 8] = [
    Job { playbook: "kubeadm-config", given: &[("from", "c.yaml")], shape: "3+2@v1.33.4" },
    Job { playbook: "rollback-worker", given: &[("to", "v1.33.4")], shape: UPGRADED },
    Job { playbook: "rollback-control-plane", given: &[("to", "v1.33.4")], shape: UPGRADED },
    Job { playbook: "node-replace", given: &[("old", "w1")], shape: "3+2@v1.33.4" },
    Job { playbook: "node-replace", given: &[("old", "cp2")], shape: "3+2@v1.33.4" },
    Job { playbook: "eks", given: &[("cluster", "sim"), ("target", "v1.34")], shape: "0+2@v1.33.4-eks" },
    Job { playbook: "binaries", given: &[("target", "v1.34.2")], shape: BUILT },
    Job { playbook: "kubeadm-minor", given: ADDONS, shape: CILIUM },
];

/// A cluster that somebody built, with etcd on its control planes.
const BUILT: &str =
    "version = \"v1.33.4\"\ncontrol_plane = 3\ncomponents = \"systemd\"\n[[pool]]\nname = \"w\"\ncount = 2\n";

/// A cluster with a release of helm, and what is upgraded between its control plane and its worker.
const CILIUM: &str = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 1\n\
    [[release]]\nname = \"cilium\"\nnamespace = \"kube-system\"\nchart = \"cilium-1.17.4\"\n";
const ADDONS: &[(&str, &str)] = &[
    ("target", "v1.34.2"),
    ("addons", "[/job/cni.yaml]"),
    ("conflicts", "take"),
    (
        "charts",
        "[{ release: \"cilium\", chart: \"cilium/cilium\", version: \"1.18.2\", namespace: \"kube-system\" }]",
    ),
];

/// What `kubeadm-config` is given.
const CONFIGURATION: &str = "kind: ClusterConfiguration\nscheduler: { extraArgs: [{ name: v, value: \"4\" }] }\n\
    ---\nkind: KubeletConfiguration\nmaxPods: 150\n";

struct Shipped(String);

impl Loader for Shipped {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        if path == "main" {
            return Ok(self.0.clone());
        }
        let text = stdlib::modules().iter().find(|(known, _)| *known == path);
        text.map(|(_, text)| text.to_string()).ok_or(LoadError::NotFound)
    }
}

fn program(job: &Job) -> Program {
    let path = repository().join(format!("playbooks/{}.kup", job.playbook));
    let checked = dsl::check("main", &Shipped(std::fs::read_to_string(path).unwrap()), stdlib::PRELUDE);
    checked.program.expect("a shipped playbook is sound")
}

/// Where kup is killed: when so many records are written, before or after what follows them has begun.
#[derive(Clone, Copy, Debug)]
struct Point {
    records: usize,
    before_the_effects: bool,
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
struct End {
    state: Vec<String>,
    begun: Vec<String>,
    records: usize,
}

struct World {
    cluster: Cluster,
    ports: Ports,
    stored: Stored,
}

impl World {
    /// Makes the cluster and the plan for it, the same each time.
    async fn new(job: &Job, program: &Program) -> World {
        let shape = match job.shape.contains('=') {
            true => Shape::from_toml(job.shape).unwrap(),
            false => Shape::parse(job.shape).unwrap(),
        };
        World::again(Cluster::start(shape, 7, Vec::new()), job, program).await
    }

    /// Plans a job for a cluster that is there.
    async fn again(cluster: Cluster, job: &Job, program: &Program) -> World {
        let ports = cluster.ports();
        let looking = read_only(ports.clone());
        let hosts = service_hosts(&cluster);
        let inventory = stdlib::inventory::read(&looking, hosts.as_deref()).await.unwrap();
        let given = job.given.iter().map(|(name, value)| (name.to_string(), inputs::Given::set(*value)));
        let given: IndexMap<_, _> = given.collect();
        let values = inputs::resolve(program, &given, &inventory).unwrap();
        let plan = plan::build(program, &inventory, &values).unwrap();
        let folder = Path::new("/job").to_path_buf();
        ports.shells.here().write("/job/c.yaml", CONFIGURATION.as_bytes(), 0o600).await.unwrap();
        let cni = include_str!("trials/kube-flannel.yaml");
        ports.shells.here().write("/job/cni.yaml", cni.as_bytes(), 0o600).await.unwrap();
        let shared = Arc::new(inventory.clone());
        let (plan, _) = run::foresee(plan, &stdlib::actions(), &looking, &shared, &folder).await;
        let digest = plan::digest(&plan);
        World { cluster, ports, stored: Stored { digest, folder, plan, inventory } }
    }

    /// Begins the run, and kills it at a point; without one it goes to its end.
    async fn begin(&self, store: &Store, point: Option<Point>) {
        let folder = store.create(RUN).unwrap();
        folder.save(&self.stored).unwrap();
        let header = Header {
            run: RUN.into(),
            cluster: self.stored.inventory.cluster.clone(),
            host: "laptop".into(),
            user: "ann".into(),
            started: "2026-11-21T12:03:05Z".into(),
            plan: self.stored.digest.clone(),
            seed: 7,
        };
        drop(folder.begin(&header, &self.stored.plan, false).unwrap());
        let path = folder.path().join("journal.jsonl");
        let deadly = Deadly {
            file: File::options().append(true).open(&path).unwrap(),
            left: point.map(|p| p.records),
            before_the_effects: point.is_some_and(|p| p.before_the_effects),
        };
        let recorded = folder.read(&self.stored).unwrap();
        let keys = Keys::new(&self.stored.plan);
        let mut journal = Journal::new(Box::new(deadly), path, keys, &recorded, false);
        let mut machine = Machine::new(Arc::new(self.stored.plan.clone()), 7);
        let who = Who { host: "laptop".into(), user: "ann".into() };
        let ended = self.drive(store, &mut machine, &mut journal, &who).await;
        match point {
            None => assert_eq!(ended.unwrap(), Outcome::Done),
            Some(point) => assert!(matches!(ended, Err(RunError::Journal(_))), "{point:?}: {ended:?}"),
        }
    }

    /// Goes on with the run from its folder.
    async fn resume(&self, store: &Store, who: &Who) -> Outcome {
        let folder = store.open(Some(RUN)).unwrap();
        let stored = folder.load().unwrap();
        let (mut journal, recorded) = folder.resume(&stored, false).unwrap();
        let mut machine = Machine::replay(Arc::new(stored.plan.clone()), 7, recorded.events);
        self.drive(store, &mut machine, &mut journal, who).await.unwrap()
    }

    async fn drive(
        &self,
        store: &Store,
        machine: &mut Machine,
        journal: &mut Journal,
        who: &Who,
    ) -> Result<Outcome, RunError> {
        let cluster = &self.stored.inventory.cluster;
        let lock = Lock::acquire(&self.ports, store.root(), cluster, RUN, who).await.unwrap();
        let (people, inputs) = mpsc::channel(8);
        people.send(Input::Begin { by: who.user.clone() }).await.unwrap();
        // Somebody is there, and says yes to everything.
        machine.attend();
        let mut told = |_, event: &Event| {
            if let Event::ApprovalAsked { gate, .. } = event {
                let yes = Input::Answer { gate: *gate, yes: true, by: "ann".into(), when: String::new() };
                people.try_send(yes).unwrap();
            }
        };
        let run = Run {
            machine,
            journal,
            actions: stdlib::actions(),
            ports: self.ports.clone(),
            inventory: Arc::new(self.stored.inventory.clone()),
            id: RUN.into(),
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
    async fn end(&self, store: &Store) -> End {
        // Let everything settle: a kubelet says its version a little later.
        self.ports.clock.sleep(Duration::from_secs(300)).await;
        let (state, begun) = self.state().await;
        let folder = store.open(Some(RUN)).unwrap();
        End { state, begun, records: folder.read(&self.stored).unwrap().events.len() }
    }

    /// Tells how the cluster is, and what was begun on its nodes that must not be begun twice.
    async fn state(&self) -> (Vec<String>, Vec<String>) {
        let hosts = service_hosts(&self.cluster);
        let inventory = stdlib::inventory::read(&self.ports, hosts.as_deref()).await.unwrap();
        let nodes: kube::Api<k8s_openapi::api::core::v1::Node> =
            kube::Api::all(self.ports.kube.clone().unwrap());
        let objects = nodes.list(&kube::api::ListParams::default()).await.unwrap();
        let world = sim::world::lock(&self.cluster.world);
        let (mut state, mut begun) = (Vec::new(), Vec::new());
        for node in world.nodes.values() {
            // The control plane of a provider is no node of the cluster.
            let Some(api) = inventory.nodes.get(&node.name) else { continue };
            let spec = objects.items.iter().find(|o| o.metadata.name.as_ref() == Some(&node.name));
            let spec = spec.and_then(|object| object.spec.clone()).unwrap();
            state.push(format!(
                "{} kubelet {:?} apiserver {:?} runs {} active {} installed {:?} held {:?} broken {}",
                node.name,
                api.kubelet,
                api.apiserver,
                node.kubelet_running,
                node.kubelet_active,
                node.packages.installed,
                node.packages.held,
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
                "/run/kup/join.yaml",
            ];
            state.extend(configured.map(|path| format!("{} {path} {:?}", node.name, node.files.text(path))));
            let paths = node.files.under("/etc/kubernetes/manifests");
            state.extend(paths.map(|path| format!("{} {path} {:?}", node.name, node.files.text(path))));
            let member = world.etcd.members.get(&node.name);
            state.push(format!("{} etcd {:?}", node.name, member.map(|m| (m.up, &m.version, m.data))));
            let pods = world.static_pods.iter().filter(|((on, _), _)| *on == node.name);
            state.extend(pods.map(|((on, what), pod)| format!("{on} {what} {} {}", pod.image, pod.up)));
            // None runs any more, and none that has ended is left in systemd's memory.
            state.push(format!("{} has the units {:?}", node.name, node.units.keys()));
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

fn undisturbed(job: &Job, program: &Program) -> End {
    sim::runtime().block_on(async {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let world = World::new(job, program).await;
        world.begin(&store, None).await;
        world.end(&store).await
    })
}

/// Runs a job twice on one cluster; returns what changed something the second time.
fn twice(job: &Job, program: &Program) -> Vec<String> {
    sim::runtime().block_on(async {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let world = World::new(job, program).await;
        world.begin(&Store::new(first.path()), None).await;
        let world = World::again(world.cluster, job, program).await;
        let store = Store::new(second.path());
        world.begin(&store, None).await;
        let events = store.open(Some(RUN)).unwrap().read(&world.stored).unwrap().events;
        let changed = events.into_iter().filter_map(|(_, event)| match event {
            Event::StepDone { step, changed: true, .. } => Some(world.stored.plan.step(step).key.clone()),
            _ => None,
        });
        changed.collect()
    })
}

fn killed(job: &Job, program: &Program, point: Point) -> End {
    sim::runtime().block_on(async {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let world = World::new(job, program).await;
        world.begin(&store, Some(point)).await;
        // Every other time somebody else takes over, with a copy of the folder and an hour later.
        let other = point.records.is_multiple_of(2);
        let elsewhere = tempfile::tempdir().unwrap();
        let (store, who) = if other {
            let there = elsewhere.path().join("runs").join(RUN);
            std::fs::create_dir_all(&there).unwrap();
            for name in ["plan.json", "journal.jsonl"] {
                std::fs::copy(root.path().join("runs").join(RUN).join(name), there.join(name)).unwrap();
            }
            world.ports.clock.sleep(Duration::from_secs(3600)).await;
            (Store::new(elsewhere.path()), Who { host: "desktop".into(), user: "bea".into() })
        } else {
            (store, Who { host: "laptop".into(), user: "ann".into() })
        };
        assert_eq!(world.resume(&store, &who).await, Outcome::Done, "{point:?}");
        world.end(&store).await
    })
}

/// Kills a job at one point in so many; it must end as it does undisturbed.
#[track_caller]
fn survives(job: &Job, program: &Program, whole: &End, step: usize) {
    // The last record says that it is over: behind it there is nothing to resume.
    let points: Vec<Point> = (1..whole.records)
        .flat_map(|records| [true, false].map(|before_the_effects| Point { records, before_the_effects }))
        .step_by(step)
        .collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended = std::panic::catch_unwind(|| killed(job, program, *point));
                    let told = match ended {
                        Err(_) => format!("{point:?}: it did not end well"),
                        Ok(end) => match difference(whole, &end) {
                            None => continue,
                            Some(difference) => format!("{point:?}: {difference}"),
                        },
                    };
                    wrong.lock().unwrap().push(told);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} {:?}: {} of {} points: {:#?}",
        job.playbook,
        job.given,
        wrong.len(),
        points.len(),
        &wrong[..wrong.len().min(12)]
    );
}

#[test]
fn a_run_that_is_killed_anywhere_ends_as_one_that_is_not() {
    let program = program(&MAIN);
    let whole = undisturbed(&MAIN, &program);
    assert_eq!(undisturbed(&MAIN, &program), whole, "the same each time");
    let kubeadm = whole.begun.iter().filter(|line| line.contains("kubeadm upgrade")).count();
    assert_eq!(kubeadm, 6, "one a node: {:#?}", whole.begun);
    survives(&MAIN, &program, &whole, if cfg!(debug_assertions) { SPARSE } else { 1 });
}

#[test]
fn the_other_roads_are_resumed_as_well_and_are_gone_once() {
    for job in &OTHERS {
        let program = program(job);
        survives(job, &program, &undisturbed(job, &program), SPARSE);
        // A node is replaced as often as somebody asks for it.
        if job.playbook != "node-replace" {
            assert_eq!(twice(job, &program), [""; 0], "{}", job.playbook);
        }
    }
}

#[test]
fn a_control_plane_that_goes_back_keeps_its_etcd() {
    let [_, _, job, ..] = &OTHERS;
    let program = program(job);
    let of_etcd = |state: &[String]| -> Vec<String> {
        state.iter().filter(|line| line.contains(" etcd ") || line.contains("etcd.yaml")).cloned().collect()
    };
    let (before, after) = sim::runtime().block_on(async {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let world = World::new(job, &program).await;
        let (before, _) = world.state().await;
        world.begin(&store, None).await;
        (before, world.end(&store).await.state)
    });
    let back = after.iter().filter(|line| line.ends_with("kube-apiserver:v1.33.4 true")).count();
    assert_eq!(of_etcd(&after), of_etcd(&before));
    assert_eq!((of_etcd(&after).len(), back), (11, 3), "{after:#?}");
}

fn difference(whole: &End, end: &End) -> Option<String> {
    if whole.state != end.state {
        let differs = whole.state.iter().zip(&end.state).find(|(a, b)| a != b);
        return Some(format!("the cluster ends otherwise: {differs:?}"));
    }
    (whole.begun != end.begun).then(|| {
        let more: Vec<&String> =
            end.begun.iter().filter(|line| count(&end.begun, line) != count(&whole.begun, line)).collect();
        format!("what was begun differs: {more:?}")
    })
}

fn count(all: &[String], line: &str) -> usize {
    all.iter().filter(|one| *one == line).count()
}

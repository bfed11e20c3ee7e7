//! The main job, killed at every point and resumed: after each record of the journal, before the effects
//! that follow it and after them, and behind each change of the cluster, before it is heard of; by the same machine and by
//! another one with nothing but the run's folder.
//! It must end as it does undisturbed, and nothing unrepeatable may be begun twice. The roads beside it and back are killed
//! here and there, and once they are gone there is nothing left to do.
//!
//! An optimized build, as `tests/run.sh` makes one, tries all points of the main job; others, and the other jobs, one in `SPARSE`.

use std::time::Duration;

use dsl::program::Program;
use engine::event::Outcome;
use engine::journal::Store;
use engine::lock::Who;
use engine::machine::Input;

use crate::support::world::{End, Job, Point, World, ann, shipped};
use crate::support::{repository, side_by_side};

/// Where not all points are tried, one in so many is.
const SPARSE: usize = 37;

const MAIN: Job = Job { playbook: "kubeadm-minor", given: &[("target", "v1.34.2")], shape: "3+3@v1.33.4" };

/// A cluster that kubeadm has upgraded.
const UPGRADED: &str = "version = \"v1.34.2\"\nupgraded_from = \"v1.33.4\"\ncontrol_plane = 3\n[[pool]]\nname = \"w\"\ncount = 2\n";

/// The roads that are killed here and there.
const OTHERS: [Job; 25] = [
    Job { playbook: "kubeadm-config", given: &[("from", "c.yaml")], shape: "3+2@v1.33.4" },
    Job { playbook: "rollback-worker", given: &[("to", "v1.33.4")], shape: UPGRADED },
    Job { playbook: "rollback-control-plane", given: &[("to", "v1.33.4")], shape: UPGRADED },
    Job { playbook: "node-replace", given: &[("old", "w1")], shape: "3+2@v1.33.4" },
    Job { playbook: "node-replace", given: &[("old", "cp2")], shape: "3+2@v1.33.4" },
    Job { playbook: "eks", given: &[("cluster", "sim"), ("target", "v1.34")], shape: "0+2@v1.33.4-eks" },
    Job { playbook: "binaries", given: &[("target", "v1.34.2")], shape: BUILT },
    Job { playbook: "windows-workers", given: &[], shape: MIXED },
    Job { playbook: "kubeadm-minor", given: ADDONS, shape: CILIUM },
    Job {
        playbook: "aks",
        given: &[("group", "rg"), ("cluster", "sim"), ("target", "v1.34.2")],
        shape: "0+2@v1.33.4-aks",
    },
    Job { playbook: "gke", given: GKE, shape: "0+2@v1.33.4-gke" },
    Job { playbook: "k3s", given: &[("target", "v1.34.2+k3s1")], shape: "1+1@v1.33.4+k3s1" },
    Job { playbook: "rke2", given: &[("target", "v1.34.2+rke2r1")], shape: "1+2@v1.33.4+rke2r1" },
    Job { playbook: "kubeadm-hops", given: &[("target", "v1.34.2")], shape: "1+1@v1.32.4" },
    Job { playbook: "kubeadm-patch", given: &[("target", "v1.33.5")], shape: "1+1@v1.33.4" },
    Job { playbook: "workers-only", given: &[], shape: BEHIND },
    Job { playbook: "node-reboot", given: &[("always", "true")], shape: "1+1@v1.33.4" },
    Job { playbook: "os-patch", given: &[], shape: "1+2@v1.33.4" },
    Job { playbook: "certs-renew", given: &[("left", "320d")], shape: "3+1@v1.33.4" },
    Job { playbook: "etcd-backup", given: &[], shape: "3+1@v1.33.4" },
    Job { playbook: "etcd-defrag", given: &[], shape: "3+1@v1.33.4" },
    Job { playbook: "etcd-move-leader", given: &[("off", "cp1")], shape: "3+1@v1.33.4" },
    Job { playbook: "etcd-restore", given: &[("from", "s.db")], shape: "3+1@v1.33.4" },
    Job { playbook: "preflight", given: &[("target", "v1.34.2")], shape: "3+1@v1.33.4" },
    Job { playbook: "validate", given: &[], shape: "3+1@v1.33.4" },
];

/// What is done anew as often as somebody asks for it.
const ANEW: [&str; 5] = ["etcd-backup", "etcd-restore", "node-reboot", "node-replace", "validate"];

const GKE: &[(&str, &str)] =
    &[("cluster", "sim"), ("location", "europe-west3"), ("target", "v1.34.2-gke.1036000")];

/// Workers that lag behind.
const BEHIND: &str =
    "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4\"\n";

/// A cluster that somebody built, with etcd on its control planes.
const BUILT: &str =
    "version = \"v1.33.4\"\ncontrol_plane = 3\ncomponents = \"systemd\"\n[[pool]]\nname = \"w\"\ncount = 2\n";

/// A cluster whose control plane was upgraded, with workers that run Windows and were not.
const MIXED: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 1\n\
    [[pool]]\nname = \"win\"\ncount = 2\nos = \"windows\"\nversion = \"v1.33.4\"\n";

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

fn undisturbed(job: &Job, program: &Program) -> End {
    sim::runtime().block_on(async {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let world = World::new(job, program).await;
        assert_eq!(world.begin(&store, None).await.unwrap(), Outcome::Done, "{}", job.playbook);
        world.end(&store).await
    })
}

/// Runs a job twice on one cluster; returns what changed something the second time.
fn twice(job: &Job, program: &Program) -> Vec<String> {
    sim::runtime().block_on(async {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let world = World::new(job, program).await;
        world.begin(&store, None).await.unwrap();
        let world = world.again(job, program).await;
        world.begin(&store, None).await.unwrap();
        world.changed(&store)
    })
}

fn killed(job: &Job, program: &Program, point: Point) -> End {
    sim::runtime().block_on(async {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let world = World::new(job, program).await;
        assert_eq!(world.begin(&store, Some(point)).await, None, "{point:?}");
        // Every other time somebody else takes over, with a copy of the folder and an hour later; but only the machine that
        // began knows whose the lock is while the API is away.
        let (Point::Record { written: n, .. } | Point::Change(n)) = point;
        let other = n.is_multiple_of(2) && job.playbook != "etcd-restore";
        let elsewhere = tempfile::tempdir().unwrap();
        let (store, who) = if other {
            let there = elsewhere.path().join("runs").join(world.run);
            std::fs::create_dir_all(&there).unwrap();
            for name in ["plan.json", "journal.jsonl"] {
                std::fs::copy(root.path().join("runs").join(world.run).join(name), there.join(name)).unwrap();
            }
            world.ports.clock.sleep(Duration::from_secs(3600)).await;
            (Store::new(elsewhere.path()), Who { host: "desktop".into(), user: "bea".into() })
        } else {
            (store, ann())
        };
        let on = Input::Begin { by: who.user.clone(), why: String::new() };
        assert_eq!(world.resume(&store, &who, on).await, Outcome::Done, "{point:?}");
        world.end(&store).await
    })
}

/// Kills a job at one point in so many; it must end as it does undisturbed.
#[track_caller]
fn survives(job: &Job, program: &Program, whole: &End, step: usize) {
    // The last record says that it is over: behind it there is nothing to resume.
    let records = (1..whole.records).flat_map(|written| {
        [true, false].map(|before_the_effects| Point::Record { written, before_the_effects })
    });
    let points: Vec<Point> = records.chain((1..=whole.changes).map(Point::Change)).step_by(step).collect();
    let wrong = side_by_side(&points, |point| {
        let difference = match std::panic::catch_unwind(|| killed(job, program, *point)) {
            Err(_) => Some("it did not end well".to_string()),
            Ok(end) => difference(whole, &end),
        };
        difference.into_iter().map(|difference| format!("{point:?}: {difference}")).collect()
    });
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
    let program = shipped(MAIN.playbook, "");
    let whole = undisturbed(&MAIN, &program);
    assert_eq!(undisturbed(&MAIN, &program), whole, "the same each time");
    let kubeadm = whole.begun.iter().filter(|line| line.contains("kubeadm upgrade")).count();
    assert_eq!(kubeadm, 6, "one a node: {:#?}", whole.begun);
    survives(&MAIN, &program, &whole, if cfg!(debug_assertions) { SPARSE } else { 1 });
}

#[test]
fn the_other_roads_are_resumed_as_well_and_are_gone_once() {
    for job in &OTHERS {
        let program = shipped(job.playbook, "");
        survives(job, &program, &undisturbed(job, &program), SPARSE);
        if !ANEW.contains(&job.playbook) {
            assert_eq!(twice(job, &program), [""; 0], "{}", job.playbook);
        }
    }
}

#[test]
fn every_shipped_playbook_is_killed_and_resumed() {
    for entry in std::fs::read_dir(repository().join("playbooks")).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".kup")) else {
            continue;
        };
        assert!(OTHERS.iter().any(|job| job.playbook == name), "{name} is not killed");
    }
}

#[test]
fn a_control_plane_that_goes_back_keeps_its_etcd() {
    let [_, _, job, ..] = &OTHERS;
    let program = shipped(job.playbook, "");
    let of_etcd = |state: &[String]| -> Vec<String> {
        state.iter().filter(|line| line.contains(" etcd ") || line.contains("etcd.yaml")).cloned().collect()
    };
    let (before, after) = sim::runtime().block_on(async {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let world = World::new(job, &program).await;
        let (before, _) = world.state().await;
        assert_eq!(world.begin(&store, None).await.unwrap(), Outcome::Done);
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

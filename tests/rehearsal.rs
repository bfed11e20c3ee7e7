//! The playbooks that have no story of their own in `tests/cli`, each over three shapes of clusters: they come to their end, change
//! what they should, have nothing to do the second time, and leave what their heads say when they are taken back.

use engine::event::Outcome;
use engine::journal::Store;
use engine::machine::Input;

use crate::support::world::{Job, World, ann, shipped};

/// A playbook with its parameters, and what it does.
struct Road {
    playbook: &'static str,
    given: &'static [(&'static str, &'static str)],
    /// Shapes of clusters, and how much is changed there. In the first one only that which can be taken back.
    shapes: [(&'static str, usize); 3],
    /// How much is changed the second time.
    again: usize,
    /// How the names of the nodes begin that are taken back; none: there is nothing to take back.
    back: Option<&'static str>,
}

const ROADS: [Road; 13] = [
    Road {
        playbook: "kubeadm-minor",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND_A_MINOR, 15), (LOCKED, 30), ("5+1@v1.33.4", 44)],
        again: 0,
        back: Some("w"),
    },
    Road {
        playbook: "kubeadm-minor",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND_WITH_DNF, 15), (EXTERNAL_33, 30), (EXTERNAL_BOTH, 30)],
        again: 0,
        back: Some("w"),
    },
    Road {
        playbook: "kubeadm-hops",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND, 15), (DNF, 52), (EXTERNAL, 32)],
        again: 0,
        back: Some("w"),
    },
    Road {
        playbook: "kubeadm-patch",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND_A_PATCH, 13), (DNF_34, 26), (EXTERNAL_34, 26)],
        again: 0,
        back: Some("w"),
    },
    Road {
        playbook: "windows-workers",
        given: &[],
        shapes: [(WINDOWS_BEHIND, 10), (WINDOWS_DNF, 5), (WINDOWS_EXTERNAL, 5)],
        again: 0,
        back: Some("win"),
    },
    Road {
        playbook: "rke2",
        given: &[("target", "v1.34.2+rke2r1"), ("unsaved", "allow")],
        shapes: [(RKE2_BEHIND, 8), (RKE2_DNF, 17), (RKE2_EXTERNAL, 16)],
        again: 0,
        back: Some("w"),
    },
    Road {
        playbook: "certs-renew",
        given: &[("left", "320d")],
        shapes: [("1+1@v1.33.4", 1), ("5+0@v1.34.2", 5), (EXTERNAL_33, 3)],
        again: 0,
        back: None,
    },
    Road {
        playbook: "etcd-backup",
        given: &[],
        shapes: [("1+1@v1.33.4", 1), ("5+0@v1.34.2", 1), (EXTERNAL_33, 1)],
        again: 1,
        back: None,
    },
    Road {
        playbook: "etcd-defrag",
        given: &[],
        shapes: [("1+1@v1.33.4", 1), ("5+0@v1.34.2", 6), (EXTERNAL_33, 4)],
        again: 0,
        back: None,
    },
    Road {
        playbook: "etcd-move-leader",
        given: &[("off", "cp1")],
        shapes: [("3+1@v1.33.4", 1), ("5+0@v1.34.2", 1), ("1+1@v1.33.4", 0)],
        again: 0,
        back: None,
    },
    Road {
        playbook: "validate",
        given: &[],
        shapes: [("1+1@v1.33.4", 1), (DNF_33, 1), (EXTERNAL_33, 1)],
        again: 1,
        back: None,
    },
    Road {
        playbook: "gke",
        given: &[("cluster", "sim"), ("location", "europe-west3"), ("target", "v1.34.2-gke.1036000")],
        shapes: [("0+1@v1.33.4-gke", 2), ("0+4@v1.34.1-gke", 2), (GKE_POOLS, 4)],
        again: 0,
        back: None,
    },
    Road {
        playbook: "aks",
        given: &[("group", "rg"), ("cluster", "sim"), ("target", "v1.34.2")],
        shapes: [("0+1@v1.33.4-aks", 2), ("0+4@v1.34.1-aks", 2), (AKS_POOLS, 4)],
        again: 0,
        back: None,
    },
];

/// Workers that lag behind a control plane that is there already.
const BEHIND: &str =
    "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.32.4\"\n";
const BEHIND_A_MINOR: &str =
    "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4\"\n";
const BEHIND_WITH_DNF: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\nversionlock = true\n\
    [[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4\"\npackages = \"dnf\"\n";
const LOCKED: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\nversionlock = true\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const EXTERNAL_BOTH: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const BEHIND_A_PATCH: &str =
    "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.34.1\"\n";
/// Workers that run Windows and lag behind, beside one that does neither.
const WINDOWS_BEHIND: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 1\n\
    [[pool]]\nname = \"win\"\ncount = 2\nos = \"windows\"\nversion = \"v1.32.4\"\n";
const WINDOWS_DNF: &str = "version = \"v1.34.2\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"win\"\ncount = 1\nos = \"windows\"\nversion = \"v1.33.4\"\n";
const WINDOWS_EXTERNAL: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n[[pool]]\nname = \"win\"\ncount = 1\nos = \"windows\"\nversion = \"v1.33.4\"\n";
const RKE2_BEHIND: &str = "version = \"v1.34.2+rke2r1\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4+rke2r1\"\n";
const DNF_34: &str = "version = \"v1.34.1\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const EXTERNAL_34: &str = "version = \"v1.34.1\"\ncontrol_plane = 3\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const DNF: &str = "version = \"v1.32.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const DNF_33: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const EXTERNAL: &str = "version = \"v1.31.4\"\ncontrol_plane = 1\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const EXTERNAL_33: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const RKE2_DNF: &str = "version = \"v1.33.4+rke2r1\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const RKE2_EXTERNAL: &str = "version = \"v1.33.4+rke2r1\"\ncontrol_plane = 2\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"gpu\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"w\"\ncount = 1\n";
const GKE_POOLS: &str = "version = \"v1.33.4\"\ncontrol_plane = 0\nmanaged = \"gke\"\n\
    [[pool]]\nname = \"ai\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"db\"\ncount = 1\nversion = \"v1.32.4\"\n\
    [[pool]]\nname = \"web\"\ncount = 2\n";
const AKS_POOLS: &str = "version = \"v1.33.4\"\ncontrol_plane = 0\nmanaged = \"aks\"\n\
    [[pool]]\nname = \"ai\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"db\"\ncount = 1\nversion = \"v1.32.4\"\n\
    [[pool]]\nname = \"web\"\ncount = 2\n";

#[test]
fn a_road_comes_to_its_end_in_every_shape_and_a_second_run_has_nothing_to_do() {
    let mut wrong = Vec::new();
    for road in &ROADS {
        let program = shipped(road.playbook, "");
        for (shape, changes) in road.shapes {
            let job = Job { playbook: road.playbook, given: road.given, shape };
            let came = sim::runtime().block_on(async {
                let root = tempfile::tempdir().unwrap();
                let store = Store::new(root.path());
                let world = World::new(&job, &program).await;
                let first = (world.begin(&store, None).await.unwrap(), world.changed(&store).len());
                let world = world.again(&job, &program).await;
                let second = (world.begin(&store, None).await.unwrap(), world.changed(&store).len());
                (first, second)
            });
            let wanted = ((Outcome::Done, changes), (Outcome::Done, road.again));
            if came != wanted {
                wrong.push(format!("{} on {shape:?}: {came:?}, not {wanted:?}", road.playbook));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Of the others, nothing goes back behind a control plane, which the second of their shapes has.
const ALL_BACK: [&str; 1] = ["windows-workers"];

/// A stage behind all others, which fails: everything before it is done.
const FAILS: &str = "\nstage fails { read command \"false\" on=local { retry 0 } }\n";

#[test]
fn a_road_that_is_taken_back_leaves_what_its_head_says() {
    for road in &ROADS {
        let program = shipped(road.playbook, FAILS);
        let far = road.back.filter(|_| ALL_BACK.contains(&road.playbook));
        let whole = road.back.map(|_| (road.shapes[1], far));
        for ((shape, changes), back) in [Some((road.shapes[0], road.back)), whole].into_iter().flatten() {
            let job = Job { playbook: road.playbook, given: road.given, shape };
            let name = format!("{} on {shape:?}", road.playbook);
            let (before, held, after, outcome) = sim::runtime().block_on(async {
                let root = tempfile::tempdir().unwrap();
                let store = Store::new(root.path());
                let world = World::new(&job, &program).await;
                let (before, _) = world.state().await;
                assert_eq!(world.begin(&store, None).await.unwrap(), Outcome::Paused, "{name}");
                assert_eq!(world.changed(&store).len(), changes, "{name}: all of it is done");
                let held = world.end(&store).await.state;
                let outcome = world
                    .resume(&store, &ann(), Input::Rollback { by: "ann".into(), why: String::new() })
                    .await;
                (before, held, world.end(&store).await.state, outcome)
            });
            if back.is_some() {
                assert_eq!(outcome, Outcome::Compensated, "{name}");
                assert_ne!(held, before, "{name}: there was something to take back");
            }
            let is_back = |line: &&String| back.is_some_and(|name| line.starts_with(name));
            let (back, stays): (Vec<&String>, Vec<&String>) = after.iter().partition(is_back);
            assert_eq!(back, before.iter().filter(is_back).collect::<Vec<_>>(), "{name}");
            assert_eq!(stays, held.iter().filter(|line| !is_back(line)).collect::<Vec<_>>(), "{name}");
        }
    }
}

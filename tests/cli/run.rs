//! The main job on a simulated cluster: the order of everything, asserted from the events.

use serde_json::Value;

use crate::support::{Kup, Ran};

const MAIN: &str = "run up.kup --yes --json --set target=v1.34.2";

/// Returns the place of the first event of a type about an action on a node.
#[track_caller]
fn at(events: &[Value], kind: &str, action: &str, node: &str) -> usize {
    let is = |e: &Value| e["type"] == kind && e["action"] == action && (node.is_empty() || e["node"] == node);
    events.iter().position(is).unwrap_or_else(|| panic!("no {kind} of `{action}` on `{node}`"))
}

/// Returns the actions that changed something.
fn changed(events: &[Value]) -> Vec<(&str, &str)> {
    let done = events.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    done.map(|e| (e["action"].as_str().unwrap(), e["node"].as_str().unwrap_or_default())).collect()
}

fn outcome(ran: &Ran) -> String {
    ran.json().last().unwrap()["outcome"].as_str().unwrap().to_string()
}

#[test]
fn the_main_job_upgrades_in_the_right_order() {
    let kup = Kup::new().with_main_job();
    let ran = kup.run(&format!("{MAIN} --sim")).exits(0);
    let events = ran.json();
    assert_eq!(outcome(&ran), "done");

    // The snapshot is there before the first change to a control plane.
    let snapshot = at(&events, "step_done", "etcd snapshot", "");
    assert!(snapshot < at(&events, "attempt_started", "kubeadm upgrade apply", "cp1"));

    // Control planes one at a time: the lanes do not overlap.
    let mut last = snapshot;
    for node in ["cp1", "cp2", "cp3"] {
        let first = at(&events, "attempt_started", "package repository", node);
        assert!(last < first, "{node} begins before the one before it is back");
        last = at(&events, "step_done", "uncordon", node);
    }

    // Workers after all control planes.
    for node in ["w1", "w2", "w3", "w4", "w5"] {
        assert!(last < at(&events, "attempt_started", "install", node), "{node} before the control plane");
    }

    // On every node: kubeadm's own work, then the drain, then the kubelet.
    for node in ["cp1", "cp2", "cp3", "w1", "w2", "w3", "w4", "w5"] {
        let upgrade = if node == "cp1" { "kubeadm upgrade apply" } else { "kubeadm upgrade node" };
        let order = [
            at(&events, "step_done", upgrade, node),
            at(&events, "step_done", "drain", node),
            at(&events, "step_done", "restart kubelet", node),
            at(&events, "step_done", "uncordon", node),
        ];
        assert!(order.is_sorted(), "{node}: {order:?}");
    }
}

#[test]
fn the_same_run_twice_writes_the_same_journal() {
    // The same folder, since the playbook's own paths are part of the journal.
    let kup = Kup::new().with_main_job();
    let chains: Vec<String> = ["one", "two"]
        .iter()
        .map(|state| {
            kup.run(&format!("{MAIN} --sim --seed 7 --state-dir {state}")).exits(0);
            let run = std::fs::read_dir(kup.path(state).join("runs")).unwrap().next().unwrap().unwrap();
            let journal = std::fs::read_to_string(run.path().join("journal.jsonl")).unwrap();
            // The header names the run; everything after it is vouched for by the last chain.
            journal.lines().last().unwrap().to_string()
        })
        .collect();
    assert_eq!(chains[0], chains[1]);
}

#[test]
fn on_an_upgraded_cluster_nothing_is_changed() {
    let kup = Kup::new().with_main_job();
    let ran = kup.run(&format!("{MAIN} --sim 3+5@v1.34.2")).exits(0);
    assert_eq!(changed(&ran.json()), []);
    assert!(!kup.path("snapshots").exists(), "a cluster that needs no work needs no snapshot");
    let ran = ran.says("nothing to change");
    assert_eq!(outcome(&ran), "done");
}

#[test]
fn without_a_terminal_and_without_yes_nothing_begins() {
    let kup = Kup::new().with_main_job();
    kup.run("run up.kup --sim --set target=v1.34.2").exits(2).says("--yes");
    assert!(!kup.state().join("runs").exists());
}

#[test]
fn a_plan_is_run_only_while_it_still_holds() {
    let kup = Kup::new().with_main_job();
    let plan = &kup.run("plan up.kup --sim --set target=v1.34.2 --json").exits(0).json()[0];
    let hash = plan["hash"].as_str().unwrap();
    kup.run(&format!("{MAIN} --sim --plan {hash}")).exits(0);
    let kup = Kup::new().with_main_job();
    kup.run(&format!("{MAIN} --sim 3+4@v1.33.4 --plan {hash}")).exits(4).says("the plan has changed");
    assert!(!kup.state().join("runs").exists());
}

#[test]
fn a_replay_prints_what_the_run_printed() {
    let kup = Kup::new().with_main_job();
    let live = kup.run(&format!("{MAIN} --sim")).exits(0).stdout;
    let run = kup.run("runs").exits(0).prints("done").stdout;
    let run = run.split_whitespace().next().unwrap();
    assert_eq!(kup.run(&format!("show {run} --json")).exits(0).stdout, live);
    kup.run("show").exits(2);
    kup.run("status").exits(0).prints("state: done");
}

#[test]
fn forty_workers_are_upgraded() {
    let kup = Kup::new().with_main_job();
    let ran = kup.run(&format!("{MAIN} --sim 3+40@v1.33.4 --quiet")).exits(0);
    assert_eq!(outcome(&ran), "done");
}

/// What a person with 500 nodes waits for a rehearsal: less than 10 s on the machine of `benches/README.md`.
/// Machines differ, so a hundred workers are the measure (a square would be 25 times). An optimized build is held to it, and `KUP` names
/// one where the tests themselves are not.
#[test]
fn five_hundred_workers_take_less_than_fifteen_times_as_long_as_a_hundred() {
    if cfg!(debug_assertions) && std::env::var_os("KUP").is_none() {
        return eprintln!("skipped: this build is not optimized, and KUP names no other");
    }
    let took = |workers: u32| {
        let kup = Kup::new().with_main_job();
        let begun = std::time::Instant::now();
        kup.run(&format!("{MAIN} --sim 3+{workers}@v1.33.4")).exits(0);
        begun.elapsed()
    };
    // The best of three, in turns: what else the machine does is no part of it.
    let both = (0..3).map(|_| (took(100), took(500))).collect::<Vec<_>>();
    let few = both.iter().map(|(few, _)| *few).min().unwrap_or_default();
    let many = both.iter().map(|(_, many)| *many).min().unwrap_or_default();
    eprintln!("a hundred workers in {few:?}, five hundred in {many:?}");
    assert!(many < few * 15, "{many:?} instead of {few:?}");
}

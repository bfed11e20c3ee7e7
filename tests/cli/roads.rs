//! The shipped playbooks beside the main job, each over several shapes of clusters: what they do, that a
//! second run finds nothing to do, and what taking them back leaves.

use std::path::Path;

use serde_json::Value;

use crate::support::{Kup, Ran};

/// One control plane with apt, three with dnf everywhere, five; each with workers that lag behind.
fn shapes(version: &str, workers: &str) -> [(&'static str, String); 3] {
    let shape = |planes: u32, manager: &str, count: u32| {
        format!(
            "version = \"{version}\"\ncontrol_plane = {planes}\npackages = \"{manager}\"\n\
             [[pool]]\nname = \"w\"\ncount = {count}\npackages = \"{manager}\"\nversion = \"{workers}\"\n"
        )
    };
    [("1+2.toml", shape(1, "apt", 2)), ("3+3.toml", shape(3, "dnf", 3)), ("5+2.toml", shape(5, "apt", 2))]
}

fn with(shapes: &[(&'static str, String)]) -> Kup {
    shapes.iter().fold(Kup::new(), |kup, (name, text)| kup.with(name, text))
}

/// Returns the actions that changed something, with their nodes.
fn changed(ran: &Ran) -> Vec<(String, String)> {
    let events = ran.json();
    let done = events.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    done.map(|e| (text(&e["action"]), text(&e["node"]))).collect()
}

#[test]
fn a_shipped_playbook_is_named_like_a_module_and_its_paths_begin_where_one_is() {
    let kup = Kup::new();
    kup.run("check std/kubeadm-minor").exits(0).prints("std/kubeadm-minor: ok");
    kup.run("plan std/kubeadm-minor --sim --set target=v1.34.2").exits(0).says("kup run std/kubeadm-minor");
    let ran = kup.run("run std/kubeadm-minor --sim 1+1@v1.33.4 --yes --json --set target=v1.34.2").exits(0);
    let snapshot =
        ran.json().into_iter().find(|e| e["type"] == "step_done" && e["action"] == "etcd snapshot");
    let path = snapshot.unwrap()["value"]["path"].as_str().unwrap_or_default().to_string();
    assert!(
        Path::new(&path).starts_with(kup.path("snapshots").canonicalize().unwrap_or(kup.path("snapshots"))),
        "{path}"
    );
    kup.run("plan std/kubeadm-minr --sim").exits(2).says("did you mean `std/kubeadm-minor`?");
    kup.run("plan std/moon --sim").exits(2).says("kup ships no playbook `std/moon`").says("`kup doc`");
}

#[test]
fn doc_lists_the_playbooks_and_prints_one_to_begin_ones_own_with() {
    let kup = Kup::new();
    kup.run("doc").exits(0).prints("std/workers-only").prints("Brings workers that lag behind");
    let text = kup.run("doc std/workers-only").exits(0).stdout;
    let kup = kup.with("mine.kup", text);
    kup.run("check mine.kup").exits(0);
    kup.run("doc std/workers-olny").exits(2).says("did you mean `std/workers-only`?");
}

/// Other batches, a hook before and behind each worker, no canary.
const MINE: &str = r#"use std/preflight, std/etcd, std/kubeadm, std/validate
playbook "Our upgrade"
param target: version
stage preflight { check upgrade to=target }
stage backup { etcd snapshot into="./snapshots" }
stage control_plane { upgrade control planes to=target }
stage workers {
  each node in workers order by gpu last batch=[1, 2] {
    run command "silence-alerts ${node}" on=local
    upgrade worker to=target
    run command "resume-batch-jobs"
  }
}
stage validate { validate cluster to=target }
on failure { rollback }
"#;

#[test]
fn ones_own_variant_of_the_main_job_is_short() {
    assert!(MINE.lines().count() < 20);
    let kup = Kup::new().with("mine.kup", MINE);
    let ran = kup.run("run mine.kup --sim 3+3@v1.33.4 --yes --json --set target=v1.34.2").exits(0);
    let changed = changed(&ran);
    let of_w1: Vec<&str> = changed.iter().filter(|(_, n)| n == "w1").map(|(a, _)| a.as_str()).collect();
    assert_eq!(of_w1.last(), Some(&"run command"), "the hook behind the worker");
    let here = changed.iter().filter(|(action, node)| action == "run command" && node.is_empty()).count();
    assert_eq!(here, 3, "the hook before each worker runs on this machine");
    assert_eq!(of_w1.iter().filter(|a| **a == "restart kubelet").count(), 1);
    assert_eq!(changed.iter().filter(|(a, _)| a == "kubeadm upgrade node").count(), 5);
}

#[test]
fn workers_that_lag_behind_are_brought_to_their_control_plane_and_can_be_taken_back() {
    let shapes = shapes("v1.34.2", "v1.33.4");
    let kup = with(&shapes);
    for (shape, _) in &shapes {
        let ran = kup.run(&format!("run std/workers-only --sim {shape} --yes --json")).exits(0);
        let changed = changed(&ran);
        assert!(changed.iter().all(|(_, node)| node.starts_with('w')), "{shape}: {changed:?}");
        let kubelets = changed.iter().filter(|(action, _)| action == "restart kubelet").count();
        assert_eq!(kubelets, if *shape == "3+3.toml" { 3 } else { 2 }, "{shape}");
    }
    let ran = kup.run("run std/workers-only --sim 3+2@v1.34.2 --yes --json").exits(0);
    assert_eq!(changed(&ran), []);
    ran.says("nothing to change");
    // A worker that fails is taken back by the playbook's word.
    let text = kup.run("doc std/workers-only").stdout.replace("{ pause ", "{ rollback } # ");
    let kup = kup.with("back.kup", text);
    let ran = kup.run("run back.kup --sim 1+2.toml --fault F23@w2 --yes --json").exits(5);
    let undone = ran.json().iter().filter(|e| e["type"] == "undo_done" && e["action"] == "install").count();
    assert_eq!(undone, 4, "kubeadm and the kubelet, on both workers");
}

#[test]
fn a_worker_that_is_left_out_is_told_and_neither_asked_nor_touched() {
    let kup = Kup::new();
    let job = "std/kubeadm-minor --sim 1+3@v1.33.4 --set target=v1.34.2";
    let plan = kup.run(&format!("plan {job} --without w2 --json")).exits(0).json();
    assert_eq!(plan[0]["left_out"], serde_json::json!(["w2"]));
    let ran = kup.run(&format!("run {job} --without w2 --yes --json")).exits(0);
    let events = ran.json();
    assert!(events.iter().all(|e| e["node"] != "w2") && events.iter().any(|e| e["node"] == "w3"));
    assert!(ran.stdout.contains("3 nodes and the control plane are v1.34.2; left out: w2"), "{}", ran.stdout);
    kup.run("status").exits(0).prints("state: done");
    kup.run(&format!("plan {job} --without cp1"))
        .exits(8)
        .says("cannot be left out")
        .says("`--without` is for workers");
}

#[test]
fn preflight_alone_says_yes_or_every_reason_and_changes_nothing() {
    for shape in ["1+2@v1.33.4", "3+3@v1.33.4", "5+2@v1.33.4"] {
        let kup = Kup::new();
        let ran =
            kup.run(&format!("run std/preflight --sim {shape} --yes --json --set target=v1.34.2")).exits(0);
        assert_eq!(changed(&ran), []);
        kup.run(&format!("plan std/preflight --sim {shape} --set target=v1.35.0"))
            .exits(4)
            .says("skips v1.34");
    }
}

#[test]
fn validate_alone_says_whether_all_of_it_is_one_version_and_healthy() {
    for shape in ["1+2@v1.33.4", "3+3@v1.33.4", "5+2@v1.33.4"] {
        let kup = Kup::new();
        let ran = kup.run(&format!("run std/validate --sim {shape} --yes --json")).exits(0);
        assert_eq!(changed(&ran), [("try writes".to_string(), String::new())]);
        let other = format!("run std/validate --sim {shape} --yes --set target=v1.34.2");
        kup.run(&other).exits(3).prints("not v1.34.2");
    }
}

#[test]
fn a_newer_patch_is_brought_and_another_minor_is_refused() {
    for (shape, nodes) in [("1+2@v1.33.4", 3), ("3+3@v1.33.4", 6), ("5+2@v1.33.4", 7)] {
        let kup = Kup::new();
        let ran = kup
            .run(&format!("run std/kubeadm-patch --sim {shape} --yes --json --set target=v1.33.5"))
            .exits(0);
        let changed = changed(&ran);
        assert_eq!(
            changed.iter().filter(|(action, _)| action == "restart kubelet").count(),
            nodes,
            "{shape}"
        );
        assert!(
            !changed.iter().any(|(action, _)| action == "package repository"),
            "{shape}: the minor stays"
        );
        let minor = format!("plan std/kubeadm-patch --sim {shape} --set target=v1.34.2");
        kup.run(&minor).exits(4).says("v1.34.2 is no patch of v1.33");
    }
    let kup = Kup::new();
    let ran = kup.run("run std/kubeadm-patch --sim 3+2@v1.33.5 --yes --json --set target=v1.33.5").exits(0);
    assert_eq!(changed(&ran), []);
}

#[test]
fn etcd_is_saved_for_its_own_sake() {
    let kup = Kup::new();
    for shape in ["1+2@v1.33.4", "3+3@v1.34.2", "5+2@v1.33.4"] {
        let ran =
            kup.run(&format!("run std/etcd-backup --sim {shape} --yes --json --set into=there")).exits(0);
        assert_eq!(changed(&ran).len(), 1, "{shape}");
        let done = ran.json().into_iter().find(|e| e["type"] == "step_done").unwrap();
        let path = done["value"]["path"].as_str().unwrap_or_default().to_string();
        assert!(path.contains("/there/") && done["value"]["sha256"].as_str().is_some(), "{done}");
    }
    let ran = kup.run("run std/etcd-backup --sim 3+1@v1.33.4 --yes --json --set from=cp3").exits(0);
    assert!(ran.stdout.contains("-cp3-backup-etcd-backup.db"));
}

#[test]
fn nodes_are_rebooted_drained_and_in_their_turn_and_only_those_that_ask_for_it() {
    for (shape, nodes) in [("1+2@v1.33.4", 3), ("3+3@v1.33.4", 6), ("5+2@v1.33.4", 7)] {
        let kup = Kup::new();
        let ran =
            kup.run(&format!("run std/node-reboot --sim {shape} --yes --json --set always=true")).exits(0);
        let changed = changed(&ran);
        let reboots: Vec<&str> =
            changed.iter().filter(|(action, _)| action == "reboot").map(|(_, node)| node.as_str()).collect();
        assert_eq!(reboots.len(), nodes, "{shape}");
        assert!(reboots.is_sorted_by_key(|node| node.starts_with('w')), "{shape}: {reboots:?}");
        let ran = kup.run(&format!("run std/node-reboot --sim {shape} --yes --json")).exits(0);
        assert_eq!(self::changed(&ran), [], "{shape}: nobody asks for it");
    }
    for manager in ["apt", "dnf"] {
        let shape = format!(
            "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"old\"\ncount = 2\n\
             packages = \"{manager}\"\nreboot_wanted = true\n[[pool]]\nname = \"new\"\ncount = 2\npackages = \"{manager}\"\n"
        );
        let kup = Kup::new().with("s.toml", shape);
        let ran = kup.run("run std/node-reboot --sim s.toml --yes --json").exits(0);
        let changed = changed(&ran);
        assert!(changed.iter().all(|(_, node)| node.starts_with("old")), "{manager}: {changed:?}");
        assert_eq!(changed.iter().filter(|(action, _)| action == "reboot").count(), 2, "{manager}");
    }
}

#[test]
fn certificates_that_end_soon_are_renewed_and_put_in_use() {
    for (shape, planes) in [("1+2@v1.33.4", 1), ("3+3@v1.34.2", 3), ("5+2@v1.33.4", 5)] {
        let kup = Kup::new();
        let ran =
            kup.run(&format!("run std/certs-renew --sim {shape} --yes --json --set left=320d")).exits(0);
        let renewed: Vec<(String, String)> = changed(&ran);
        assert_eq!(renewed.len(), planes, "{shape}: {renewed:?}");
        assert!(
            ran.stdout.contains("apiserver restarts")
                && ran.stdout.contains("first to end: admin.conf 364 days")
        );
        // Those of the cluster last 300 days.
        let ran = kup.run(&format!("run std/certs-renew --sim {shape} --yes --json")).exits(0);
        assert_eq!(changed(&ran), [], "{shape}");
    }
}

/// Returns the changes of a run as `version of the hop: control plane or worker`, without repetition.
fn way(ran: &Ran) -> Vec<String> {
    let mut way: Vec<String> = Vec::new();
    for event in ran.json() {
        let (action, step) = (event["action"].as_str(), event["step"].as_str().unwrap_or_default());
        if event["type"] == "step_done" && event["changed"] == true && action == Some("restart kubelet") {
            let hop = step.split('/').nth(1).unwrap_or_default();
            let kind = if event["node"].as_str().is_some_and(|n| n.starts_with("cp")) {
                "control plane"
            } else {
                "workers"
            };
            let line = format!("{hop}: {kind}");
            if way.last() != Some(&line) {
                way.push(line);
            }
        }
    }
    way
}

#[test]
fn several_minors_are_gone_hop_by_hop_with_the_control_plane_first_in_each() {
    let kup = Kup::new();
    let plan = kup.run("plan std/kubeadm-hops --sim 3+3@v1.31.4 --set target=v1.34.2").exits(0);
    let plan =
        plan.prints("v1.31.4 -> v1.32.13").prints("v1.32.13 -> v1.33.13").prints("v1.33.13 -> v1.34.2");
    assert!(!plan.stderr.contains("risk"), "{}", plan.stderr);
    let three = "run std/kubeadm-hops --sim 3+3@v1.31.4 --yes --json --set target=v1.34.2";
    let ran = kup.run(three).exits(0);
    assert_eq!(
        way(&ran),
        ["v1.32.13: control plane", "v1.33.13: control plane", "v1.34.2: control plane", "v1.34.2: workers"]
    );
    assert_eq!(changed(&ran).iter().filter(|(action, _)| action == "etcd snapshot").count(), 3, "one a hop");
    let two = "run std/kubeadm-hops --sim 3+3@v1.32.4 --yes --json --set target=v1.34.2";
    let ran = kup.run(two).exits(0);
    assert_eq!(way(&ran), ["v1.33.13: control plane", "v1.34.2: control plane", "v1.34.2: workers"]);
}

#[test]
fn kubelets_come_along_half_way_where_the_skew_policy_asks_for_it() {
    let kup = Kup::new();
    let ran = kup.run("run std/kubeadm-hops --sim 1+2@v1.31.4 --yes --json --set target=v1.35.1").exits(0);
    assert_eq!(
        way(&ran),
        [
            "v1.32.13: control plane",
            "v1.33.13: control plane",
            "v1.34.4: control plane",
            "v1.34.4: workers",
            "v1.35.1: control plane",
            "v1.35.1: workers"
        ]
    );
    let ran = kup.run("run std/kubeadm-hops --sim 1+1@v1.28.9 --yes --json --set target=v1.32.4").exits(0);
    assert_eq!(
        way(&ran),
        [
            "v1.29.14: control plane",
            "v1.30.14: control plane",
            "v1.31.14: control plane",
            "v1.31.14: workers",
            "v1.32.4: control plane",
            "v1.32.4: workers"
        ]
    );
    // One that is left out stays what it is, and the policy counts it.
    kup.run("run std/kubeadm-hops --sim 1+2@v1.31.4 --yes --without w2 --set target=v1.35.1")
        .exits(3)
        .prints("the kubelet of w2 is v1.31.4: too old for v1.35.1");
    let ran = kup.run("run std/kubeadm-hops --sim 1+2@v1.34.2 --yes --json --set target=v1.34.2").exits(0);
    assert_eq!(changed(&ran), [], "a second run has one hop, and nothing to do in it");
    kup.run("plan std/kubeadm-hops --sim 1+2@v1.34.2 --set target=v1.33.4").exits(4).says("goes down");
    kup.run("plan std/kubeadm-hops --sim 1+2@v1.36.1 --set target=v1.39.0")
        .exits(4)
        .says("no good release of v1.38");
}

const POOLS: &str = r#"playbook "Pools"
stage pools {
  each pool in pools(workers) {
    each node in pool.nodes batch=2 { run command "echo ${pool.name}" }
  }
}
"#;

#[test]
fn pools_are_lanes_one_after_the_other_in_the_order_of_their_nodes() {
    let pool = |name: &str, count: u32| {
        format!("[[pool]]\nname = \"{name}\"\ncount = {count}\nlabels = {{ pool = \"{name}\" }}\n")
    };
    let shape = format!("version = \"v1.33.4\"\ncontrol_plane = 1\n{}{}", pool("gpu", 1), pool("web", 2));
    let kup = Kup::new().with("pools.kup", POOLS).with("shape.toml", shape);
    kup.run("plan pools.kup --sim shape.toml")
        .exits(0)
        .prints("2 lanes, one at a time")
        .prints("run command \"echo gpu\"");
    let ran = kup.run("run pools.kup --sim shape.toml --yes --json").exits(0);
    let keys: Vec<String> = ran
        .json()
        .iter()
        .filter(|e| e["type"] == "step_done")
        .map(|e| e["step"].as_str().unwrap_or_default().to_string())
        .collect();
    assert!(keys[0].starts_with("pools/gpu/gpu1/"), "{keys:?}");
    assert_eq!(keys.len(), 3);
}

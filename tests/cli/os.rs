//! `std/os-patch` over several shapes of clusters: what is patched and in which order, what faults do to it,
//! and that a second run finds nothing to do.

use serde_json::Value;

use crate::support::{Kup, Ran};

/// Workers with apt and with dnf: with a new kernel, without one, with nothing to do, and a GPU pool.
const MIXED: &str = r#"version = "v1.33.4"
control_plane = 3
[[pool]]
name = "apt"
count = 2
updates = ["openssl", "linux-image-6.1.0-40-amd64"]
[[pool]]
name = "dnf"
count = 1
packages = "dnf"
updates = ["openssl-libs"]
[[pool]]
name = "new"
count = 2
updates = []
[[pool]]
name = "gpu"
count = 2
gpu = 8
updates = ["kernel-core"]
packages = "dnf"
"#;

/// Everything of the operating system is up to date; one worker was patched and never rebooted.
const PATCHED: &str = r#"version = "v1.33.4"
control_plane = 5
[[pool]]
name = "w"
count = 3
updates = []
[[pool]]
name = "waits"
count = 1
updates = []
reboot_wanted = true
[[pool]]
name = "gpu"
count = 1
gpu = 8
updates = []
"#;

const PATCH: &str = "#!/bin/sh\napt-get upgrade -y --with-new-pkgs\ndnf -y upgrade\nexit 0\n";

fn kup() -> Kup {
    Kup::new().with("mixed.toml", MIXED).with("patched.toml", PATCHED).with("patch.sh", PATCH)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

/// Returns the actions that changed something, with their nodes.
fn changed(ran: &Ran) -> Vec<(String, String)> {
    let events = ran.json();
    let done = events.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    done.map(|e| (text(&e["action"]), text(&e["node"]))).collect()
}

fn of<'c>(changed: &'c [(String, String)], node: &str) -> Vec<&'c str> {
    changed.iter().filter(|(_, n)| n == node).map(|(action, _)| action.as_str()).collect()
}

fn the_run(kup: &Kup) -> String {
    let run = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.file_name().into_string().unwrap()
}

#[test]
fn workers_are_patched_and_rebooted_where_that_is_wanted_and_those_with_a_gpu_after_a_yes() {
    for script in ["", "--set script=patch.sh"] {
        let kup = kup();
        let line = format!("std/os-patch --sim mixed.toml {script}");
        kup.run(&format!("plan {line}"))
            .exits(0)
            .prints("asks before the first work: the other workers are patched")
            .prints("may ask once on the way")
            .prints("0 changes, ");
        let first = kup.run(&format!("run {line} --yes --json")).exits(3);
        let first = first.says("the playbook may ask once on the way, and `--yes` is no answer to that");
        let changed = changed(&first);
        for node in ["apt1", "apt2"] {
            assert_eq!(of(&changed, node), ["drain", "os upgrade", "reboot", "uncordon"], "{node}");
        }
        assert_eq!(of(&changed, "dnf1"), ["drain", "os upgrade", "uncordon"], "there is no new kernel");
        for node in ["new1", "new2", "cp1", "gpu1", "gpu2"] {
            assert_eq!(of(&changed, node), Vec::<&str>::new(), "{node}");
        }
        let todo = first.json().into_iter().find(|e| e["type"] == "step_done" && e["action"] == "os updates");
        assert_eq!(
            todo.unwrap()["value"],
            serde_json::json!({"packages": 2, "kernel": true, "reboot": false, "wanted": true})
        );
        let rest = kup.run(&format!("approve {} --json", the_run(&kup))).exits(0);
        let changed = self::changed(&rest);
        for node in ["gpu1", "gpu2"] {
            assert_eq!(of(&changed, node), ["drain", "os upgrade", "reboot", "uncordon"], "{node}");
        }
        let asked = |ran: &Ran| ran.json().iter().filter(|e| e["type"] == "approval_asked").count();
        assert_eq!((asked(&first), asked(&rest)), (1, 0), "once for the pool");
    }
}

#[test]
fn where_all_is_patched_nothing_is_touched_and_nobody_is_asked() {
    let kup = kup();
    let ran = kup.run("run std/os-patch --sim patched.toml --yes --json").exits(0);
    assert_eq!(
        changed(&ran),
        ["drain", "reboot", "uncordon"].map(|action| (action.to_string(), "waits1".to_string()))
    );
    assert!(!ran.json().iter().any(|e| e["type"] == "approval_asked"));
    let idle = PATCHED.replace("reboot_wanted = true\n", "");
    let kup = kup.with("s.toml", idle);
    let ran = kup.run("run std/os-patch --sim s.toml --yes --json").exits(0);
    assert_eq!(changed(&ran), []);
    ran.says("for nothing had to be changed");
}

#[test]
fn a_locked_package_manager_a_lost_connection_and_a_sudden_reboot_do_no_harm() {
    for (fault, shape, node) in
        [("F02@w1", "3+3@v1.33.4", "w1"), ("F40@w2", "1+3@v1.33.4", "w2"), ("F41@w2", "5+3@v1.33.4", "w2")]
    {
        let kup = Kup::new();
        let ran = kup.run(&format!("run std/os-patch --sim {shape} --fault {fault} --yes --json")).exits(0);
        let changed = changed(&ran);
        let upgrades = changed.iter().filter(|(action, _)| action == "os upgrade").count();
        assert_eq!(upgrades, 3, "{fault}: {changed:?}");
        let of_node = of(&changed, node);
        assert_eq!((of_node.first(), of_node.last()), (Some(&"drain"), Some(&"uncordon")), "{fault}");
    }
}

#[test]
fn a_stage_without_nodes_stands_where_it_was_written() {
    let plan = Kup::new().run("plan std/os-patch --sim 1+1@v1.33.4").exits(0);
    plan.prints("\ngpu\n  0 lanes, one at a time\n\nvalidate\n");
}

#[test]
fn a_budget_that_cannot_be_met_holds_the_run_before_anything_is_patched_there() {
    let kup = Kup::new();
    let ran = kup.run("plan std/os-patch --sim 3+3@v1.33.4 --fault F26@w1").exits(4);
    ran.says("default/stubborn-w1");
}

#[test]
fn a_kubelet_that_nothing_holds_is_not_brought_along() {
    let text = r#"use std/os
playbook "p"
stage s {
  each node in workers {
    run command "apt-mark unhold kubelet" { allow undo-or-say-so "a trial" }
    os upgrade
  }
}
"#;
    let ran = Kup::new().with("os.kup", text).run("run os.kup --sim 1+1@v1.33.4 --yes").exits(3);
    ran.prints("it would bring kubelet to another version too").prints("apt-mark hold kubelet");
}

#[test]
fn kubernetes_stays_as_it_is() {
    let text = r#"use std/os
playbook "p"
stage s {
  each node in workers {
    let before = read command "kubelet --version"
    os upgrade
    let after = read command "kubelet --version"
    let left = os updates
    when before != after or left.packages > 0 { run command "exit 3" }
  }
}
"#;
    let kup = Kup::new().with("os.kup", text).with("mixed.toml", MIXED);
    let ran = kup.run("run os.kup --sim mixed.toml --yes --json").exits(0);
    assert_eq!(changed(&ran).len(), 5, "one for each worker with updates");
}

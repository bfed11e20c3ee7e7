//! Runs into which something of the fault catalogue strikes: each ends as the catalogue wants, with
//! the words that say what to look at.

use serde_json::Value;

use crate::support::{Kup, Ran};

fn struck(fault: &str) -> Ran {
    run(&Kup::new().with_main_job(), fault)
}

fn run(kup: &Kup, fault: &str) -> Ran {
    kup.run(&format!("run up.kup --yes --json --sim --set target=v1.34.2 --fault {fault}"))
}

/// The run ends well; it had to try again where the fault struck.
#[track_caller]
fn gets_through(fault: &str, retried: &str) {
    let ran = struck(fault).exits(0);
    let events = ran.json();
    if !retried.is_empty() {
        let again = |e: &Value| e["type"] == "attempt_failed" && e["action"] == retried;
        assert!(events.iter().any(again), "{fault}: `{retried}` was not tried again");
    }
    assert_eq!(events.last().unwrap()["outcome"], "done");
}

/// The run holds at a step for a reason, and nothing is begun anywhere afterwards.
#[track_caller]
fn pauses(ran: Ran, action: &str, reason: &str) {
    let ran = ran.exits(3);
    let events = ran.json();
    let failed = events.iter().position(|e| e["type"] == "step_failed").expect("a step fails");
    assert_eq!(events[failed]["action"], action);
    let message = events[failed]["failure"].to_string();
    assert!(message.contains(reason), "`{reason}` is not in {message}");
    assert!(!events[failed..].iter().any(|e| e["type"] == "attempt_started"), "something new was begun");
    assert_eq!(events.last().unwrap()["outcome"], "paused");
    assert!(events.iter().any(|e| e["type"] == "run_paused"));
}

#[test]
fn f02_a_held_dpkg_lock_is_waited_for() {
    gets_through("F02@w1", "");
}

#[test]
fn f03_a_mirror_without_the_version_blocks_the_run_before_it_begins() {
    struck("F03@w1").exits(4).says("check packages").says("w1").says("hint");
}

#[test]
fn f10_an_image_that_cannot_be_pulled_is_tried_again() {
    gets_through("F10@cp2", "kubeadm upgrade node");
    gets_through("F10@cp1", "kubeadm upgrade apply");
}

#[test]
fn f11_a_control_plane_that_kubeadm_restored_is_tried_once_more() {
    for (node, action) in [("cp1", "kubeadm upgrade apply"), ("cp2", "kubeadm upgrade node")] {
        let ran = struck(&format!("F11@{node}")).exits(0);
        let events = ran.json();
        let again = |e: &&Value| e["type"] == "attempt_failed" && e["action"] == action && e["node"] == node;
        let failed: Vec<&Value> = events.iter().filter(again).collect();
        assert_eq!(failed.len(), 1, "{node}");
        assert!(failed[0]["failure"].to_string().contains("restored the old manifests"), "{node}");
    }
}

#[test]
fn f16_a_lost_quorum_holds_the_run_before_the_next_control_plane() {
    let ran = struck("F16@cp2");
    let events = ran.json();
    assert!(!events.iter().any(|e| e["node"] == "cp3" && e["type"] == "attempt_started"));
    assert!(!events.iter().any(|e| e["type"] == "attempt_failed"), "it is not tried again");
    let failed = events.iter().find(|e| e["type"] == "step_failed").expect("a step fails");
    let message = failed["failure"]["message"].as_str().unwrap();
    assert!(message.contains("etcd") && !message.contains("exit code"), "{message}");
    pauses(ran, "kubeadm upgrade node", "etcd");
}

#[test]
fn f23_a_kubelet_that_does_not_start_says_which_flag() {
    pauses(struck("F23@w1"), "restart kubelet", "unknown flag");
}

#[test]
fn f26_a_budget_that_can_never_be_met_blocks_the_run_before_it_begins() {
    struck("F26@w1").exits(4).says("stubborn-w1").says("hint");
}

#[test]
fn f26_a_drain_that_no_check_foresaw_says_for_what_it_waits_and_gives_the_node_back() {
    let text =
        std::fs::read_to_string(crate::support::repository().join("playbooks/kubeadm-minor.kup")).unwrap();
    let kup = Kup::new().with("up.kup", text.replace("  check disruption budgets\n", ""));
    let ran = run(&kup, "F26@w1");
    let events = ran.json();
    let of_drain: Vec<(&str, u64)> = events
        .iter()
        .filter(|e| e["action"] == "drain" && e["node"] == "w1" && e["type"] != "step_waiting")
        .map(|e| (e["type"].as_str().unwrap(), e["at"].as_u64().unwrap()))
        .collect();
    let (types, times): (Vec<&str>, Vec<u64>) = of_drain.into_iter().unzip();
    let wanted = [
        "attempt_started",
        "work_found",
        "work_began",
        "step_slow",
        "step_failed",
        "undo_started",
        "undo_done",
    ];
    assert_eq!(types, wanted);
    assert_eq!(times[4] - times[0], 15 * 60 * 1000, "it has its 15 minutes once");
    let waits = |e: &Value| e["type"] == "step_waiting" && e["reason"].to_string().contains("stubborn-w1");
    assert!(events.iter().any(waits), "it says what it waits for");
    kup.run("status").exits(0).prints("w1 drain failed, taken back: no end after 15m, waiting for");
    pauses(ran, "drain", "stubborn-w1");
}

#[test]
fn f37_a_right_that_comes_late_is_waited_for() {
    gets_through("F37@cp2", "kubeadm upgrade node");
}

#[test]
fn f40_a_lost_connection_is_answered_by_asking_the_node() {
    gets_through("F40@w1", "package repository");
}

#[test]
fn f41_a_node_that_reboots_in_its_step_is_upgraded_in_the_end() {
    gets_through("F41@w1", "kubeadm upgrade node");
}

/// A worker with GPUs beside one without.
const GPUS: &str = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"gpu\"\ncount = 2\ngpu = 4\n[[pool]]\nname = \"w\"\ncount = 2\n";

#[test]
fn behind_its_kubelet_a_node_offers_its_gpus_again_before_the_next_one_is_drained() {
    let kup = Kup::new().with("gpu.toml", GPUS);
    for run in
        ["workers-only --set target=v1.33.4", "node-reboot --set always=true --set which=gpu1,gpu2,w1,w2"]
    {
        let kup = Kup::new().with("gpu.toml", GPUS.replace("gpu = 4\n", "gpu = 4\nversion = \"v1.32.4\"\n"));
        let ran = kup.run(&format!("run std/{run} --sim gpu.toml --yes --json")).exits(0);
        let events = ran.json();
        let at = |action: &str, node: &str, kind: &str| {
            let is = |e: &Value| e["action"] == action && e["node"] == node && e["type"] == kind;
            events.iter().position(is).unwrap_or_else(|| panic!("{run}: {action} on {node}"))
        };
        assert!(at("wait gpus", "gpu1", "step_done") < at("uncordon", "gpu1", "step_done"), "{run}");
        assert!(at("uncordon", "gpu1", "step_done") < at("drain", "gpu2", "attempt_started"), "{run}");
        assert!(!events.iter().any(|e| e["action"] == "wait gpus" && e["node"] == "w1"), "{run}");
    }
    // F44: no driver, no GPU: the run holds, and the other node with GPUs is not begun.
    let ran = kup.run("run std/node-reboot --set always=true --sim gpu.toml --fault F44@gpu1 --yes --json");
    assert!(!ran.json().iter().any(|e| e["node"] == "gpu2" && e["type"] == "attempt_started"));
    pauses(ran, "wait gpus", "gpu1 offers 0 of 4 GPUs");
}

#[test]
fn f56_a_machine_that_is_gone_for_good_is_a_state_of_its_node_with_a_policy() {
    // By default nothing more is begun.
    let ran = struck("F56@w1").exits(3);
    let failed = ran.json().into_iter().find(|e| e["type"] == "step_failed").expect("a step fails");
    assert!(failed["node"] == "w1" && failed["failure"].to_string().contains("timed out"), "{failed}");
    // A playbook that allows for it brings all other nodes to their end.
    let book = "playbook \"Touch\"\nstage workers {\n  each node in workers batch=2 {\n    run command \"mkdir /srv/app\" {\n\
                \x20     undo { run command \"rmdir /srv/app\" }\n      retry 2 backoff 1s..5s\n    }\n  }\n}\n\
                on failure { continue failures=1 }\n";
    let kup = Kup::new().with("touch.kup", book);
    let ran = kup.run("run touch.kup --yes --json --sim 1+4@v1.33.4 --fault F56@w2").exits(3);
    let events = ran.json();
    for node in ["w1", "w3", "w4"] {
        assert!(events.iter().any(|e| e["type"] == "step_done" && e["node"] == node), "{node}");
    }
    assert!(!events.iter().any(|e| e["type"] == "step_done" && e["node"] == "w2"));
    kup.run("status").exits(0).prints("`workers/w2` failed, all else that could be done is done");
    kup.run("why w2").exits(0).prints("w2");
}

#[test]
fn f57_a_node_that_an_autoscaler_takes_is_reported_and_left() {
    let ran = struck("F57@w1").exits(0);
    let events = ran.json();
    assert_eq!(events.last().unwrap()["outcome"], "done");
    let left: Vec<&Value> = events.iter().filter(|e| e["type"] == "step_waived").collect();
    assert!(!left.is_empty() && left.iter().all(|e| e["node"] == "w1" && e["by"] == "kup"), "{left:?}");
    assert!(left.iter().all(|e| e["why"] == "w1 is gone from the cluster"), "{left:?}");
    let done = |node: &str| {
        events.iter().any(|e| e["action"] == "uncordon" && e["type"] == "step_done" && e["node"] == node)
    };
    assert!(!done("w1") && done("w2") && done("w5"));
}

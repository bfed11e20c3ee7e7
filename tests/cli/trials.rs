//! Playbooks as somebody writes them with the reference alone, kept in `tests/trials`: those for plain hosts are run for
//! real over ssh, without any cluster, those for clusters on simulated ones.

use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::{Kup, Ran, repository, snapshot};

const HOSTS: &str = include_str!("../trials/hosts.kup");
const BINARIES: &str = include_str!("../trials/binaries.kup");
const HOPS: &str = include_str!("../trials/hops.kup");
const RESTORE: &str = include_str!("../trials/restore.kup");

/// Runs a trial; `dir` is the folder of the test, which all hosts share with kup.
fn trial(kup: &Kup, line: &str) -> Ran {
    let dir = kup.path("").display().to_string();
    kup.run(&format!("run {line} --yes {OPTIONS} --set dir={}", dir.trim_end_matches('/')))
}

fn text(kup: &Kup, path: &str) -> String {
    fs::read_to_string(kup.path(path)).unwrap()
}

#[test]
fn trials_are_well_written() {
    let folder = repository().join("tests/trials");
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().display().to_string()) {
        if file.ends_with(".kup") {
            Kup::new().run_args(&["check", &file, "--deny", "warnings"]).exits(0);
            Kup::new().run_args(&["fmt", "--check", &file]).exits(0);
        }
    }
}

/// Returns the actions that changed something, with their nodes, in their order.
fn changes(ran: &Ran) -> Vec<String> {
    let all = ran.json();
    let done = all.iter().filter(|e| e["type"] == "step_done" && e["changed"] == true);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    done.map(|e| format!("{} on {}", text(&e["action"]), text(&e["node"]))).collect()
}

#[test]
fn a_cluster_that_was_left_behind_is_brought_over_three_minors() {
    let kup = Kup::new().with("hops.kup", HOPS);
    let line = "run hops.kup --yes --json --set target=v1.34.2 --sim";
    let ran = kup.run(&format!("{line} 3+4@v1.31.4 --fault F40@cp2 --fault F41@w3")).exits(0);
    let all = changes(&ran);
    let count = |what: &str| all.iter().filter(|one| *one == what).count();
    assert_eq!((count("etcd snapshot on cp1"), count("restart kubelet on cp3")), (3, 3), "each hop");
    for worker in ["w1", "w2", "w3", "w4"] {
        assert_eq!(count(&format!("restart kubelet on {worker}")), 1, "{worker} goes all the way at once");
    }
    let last = all.iter().rposition(|one| one == "kubeadm upgrade node on cp3");
    assert!(last < all.iter().position(|one| one.ends_with(" on w1")), "{all:?}");
    assert_eq!(changes(&kup.run(&format!("{line} 3+4@v1.34.2")).exits(0)), [""; 0]);
}

#[test]
fn etcd_is_restored_with_a_yes_before_each_step_that_takes_something_away() {
    let kup = Kup::new().with("restore.kup", RESTORE).with("before.db", snapshot());
    let first = kup.run("run restore.kup --yes --json --sim 3+2@v1.33.4 --set snapshot=before.db").exits(3);
    assert_eq!(changes(&first), [""; 0], "nothing before somebody says yes");
    let runs = fs::read_dir(kup.state().join("runs")).unwrap();
    let run = runs.map(|entry| entry.unwrap().file_name().into_string().unwrap()).next().unwrap();
    let yes = |code| changes(&kup.run(&format!("approve {run} --json")).exits(code));
    let on = |verb: &str| ["cp1", "cp2", "cp3"].map(|node| format!("{verb} on {node}"));
    assert_eq!(yes(3), on("stop static pods"));
    assert_eq!(yes(3), on("etcd restore"));
    assert_eq!(yes(0), [on("start static pods"), on("start static pods")].concat());
}

#[test]
fn hosts_are_changed_only_where_what_they_say_asks_for_it_and_get_back_what_they_had() {
    let kup = Kup::new()
        .with("hosts.kup", HOSTS)
        .with("a/threads", "4\n")
        .with("b/threads", "8\n")
        .with("c/threads", "2\n");
    let Some(_hosts) = Hosts::start(&kup, &["a", "b", "c"]) else { return };
    let ran = trial(&kup, "hosts.kup --set threads=8").exits(0);
    ran.prints("a done ‹now› -> 8 threads")
        .prints("b when `now != \"${threads}\"` is false")
        .prints("c done ‹now› -> 8 threads")
        .says("done: 4 changes");
    assert_eq!((text(&kup, "a/threads"), text(&kup, "c/log")), ("8\n".into(), "restarted with 8\n".into()));
    trial(&kup, "hosts.kup --set threads=8").exits(0).says("nothing had to be changed");
    assert!(!kup.path("b/log").exists());
    // No host is well with so many, so the first one that is tried has its own number again.
    trial(&kup, "hosts.kup --set threads=200").exits(5).says("failed, and taken back");
    assert_eq!((text(&kup, "a/threads"), text(&kup, "b/threads")), ("8\n".into(), "8\n".into()));
    assert_eq!(text(&kup, "a/log"), "restarted with 8\nrestarted with 200\nrestarted with 8\n");
}

#[test]
fn binaries_that_do_not_come_up_are_taken_back_on_every_host() {
    let (one, two) = ("#!/bin/sh\necho 1\n", "#!/bin/sh\n# 2\ncase $0 in */b/*) exit 1;; esac\n");
    let three = "#!/bin/sh\necho 3\n";
    let kup = Kup::new().with("binaries.kup", BINARIES).with("builds/2", two).with("builds/3", three);
    let kup = ["a", "b"].iter().fold(kup, |kup, host| kup.with(&format!("{host}/app"), one));
    let Some(_hosts) = Hosts::start(&kup, &["a", "b"]) else { return };
    let rollout = |build: &str, content: &str| {
        let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        let source = kup.path("builds").join(build).display().to_string();
        trial(&kup, &format!("binaries.kup --set source={source} --set sha256={hash}"))
    };
    let apps = || (text(&kup, "a/app"), text(&kup, "b/app"));
    rollout("2", two).exits(5).prints("b failed").says("failed, and taken back");
    assert_eq!(apps(), (one.into(), one.into()));
    rollout("3", two).exits(5).prints("app.new: FAILED");
    assert_eq!(apps(), (one.into(), one.into()), "what is not what was built is never swapped in");
    rollout("3", three).exits(0).says("done: 4 changes");
    assert_eq!(apps(), (three.into(), three.into()));
    assert_eq!(text(&kup, "a/app.prev"), one);
    rollout("3", three).exits(0).says("nothing had to be changed");
}

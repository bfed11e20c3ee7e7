//! Playbooks as somebody writes them with the reference alone, kept in `tests/trials`: run for real on plain
//! hosts over ssh, without any cluster.

use std::fs;

use sha2::{Digest, Sha256};

use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::{Kup, Ran};

const HOSTS: &str = include_str!("../trials/hosts.kup");
const BINARIES: &str = include_str!("../trials/binaries.kup");

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
    let kup = Kup::new().with("hosts.kup", HOSTS).with("binaries.kup", BINARIES);
    for file in ["hosts.kup", "binaries.kup"] {
        kup.run(&format!("check {file} --deny warnings")).exits(0);
        kup.run(&format!("fmt --check {file}")).exits(0);
    }
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

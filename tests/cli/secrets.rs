//! Secrets: handed to commands, on simulated and on real machines, and found nowhere else. A canary is
//! looked for in all that a run leaves.

use std::fs;
use std::path::Path;

use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::{Kup, Ran};

const CANARY: &str = "canary-Xq7 \"9$'";

/// Prints the secret in every way that commands have: to both streams, and as a failure.
const BOOK: &str = r#"playbook "Secrets"
param token: secret = env("TOKEN")
param other: secret = file("./other.txt")
param third: secret = command("cat other.txt")
task hand over (what: secret; on: node) { run command "cat" on=on stdin=what { allow undo-or-say-so "it looks" } }
stage one {
  run command "cat" on=local stdin=token
  each node in nodes {
    hand over other on=node
    run command "cat >&2; exit 3" stdin=third unless="test -e HERE/none" { retry 1 backoff 1s..1s }
  }
}
on failure { pause "look" }
"#;

fn book() -> Kup {
    let kup =
        Kup::new().env("TOKEN", CANARY).env("KUP_LOG", "trace").with("other.txt", format!("{CANARY}\n"));
    let here = kup.path("").display().to_string();
    kup.with("book.kup", BOOK.replace("HERE/", &here))
}

/// Looks for the canary in what was said and in every file of the runs.
fn seen(kup: &Kup, ran: &[&Ran]) {
    let piece = "canary-Xq7";
    for ran in ran {
        assert!(!ran.stdout.contains(piece), "on stdout:\n{}", ran.stdout);
        assert!(!ran.stderr.contains(piece), "on stderr:\n{}", ran.stderr);
    }
    let mut folders = vec![kup.state()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.is_file() {
                files += 1;
                let text = String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned();
                assert!(!text.contains(piece), "in {}:\n{text}", entry.display());
            }
        }
    }
    assert!(files > 1, "the run has left its plan and its journal");
}

#[test]
fn a_secret_is_in_nothing_that_a_simulated_run_says_or_leaves() {
    let kup = book();
    let plan = kup.run("plan book.kup --sim 1+1@v1.33.4").exits(0).prints("token=*** (default)");
    let json = kup.run("plan book.kup --sim 1+1@v1.33.4 --json").exits(0).prints("\"token\":\"***\"");
    let ran = kup.run("run book.kup --yes --json --sim 1+1@v1.33.4").exits(0);
    let done = ran.json();
    let said: Vec<&str> = done.iter().filter_map(|e| e["value"].as_str()).filter(|v| !v.is_empty()).collect();
    assert_eq!(said, ["***", "***", "***"], "it was handed over, and what came back is hidden");
    let shown: Vec<Ran> = ["status", "show RUN"]
        .map(|line| {
            let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
            kup.run(&line.replace("RUN", &run.file_name().into_string().unwrap())).exits(0)
        })
        .into();
    seen(&kup, &[&plan, &json, &ran, &shown[0], &shown[1]]);
}

#[test]
fn a_secret_is_in_nothing_that_a_run_over_ssh_says_or_leaves() {
    let kup = book();
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let ran = kup.run(&format!("run book.kup --yes --json {OPTIONS}")).exits(3);
    let failed = ran.json().into_iter().find(|e| e["type"] == "step_failed").unwrap();
    assert_eq!(failed["failure"]["output"], "***", "{failed}");
    assert_eq!(ran.json().iter().filter(|e| e["value"] == "***").count(), 2);
    // The run is gone on with: the secrets are read again, and one that is gone is told by its place.
    let mended = kup.with("none", "");
    let again = mended.run(&format!("resume --yes --plain {}", "--ssh-config ssh/config")).exits(0);
    let status = mended.run("status").exits(0);
    seen(&mended, &[&ran, &again, &status]);
}

#[test]
fn a_secret_that_is_not_there_is_told_before_anything_is_begun() {
    let kup = book();
    fs::remove_file(kup.path("other.txt")).unwrap();
    let ran = kup.run("run book.kup --yes --sim 1+1@v1.33.4").exits(8);
    ran.says("a secret cannot be read: `").says("nothing was changed");
    assert!(!Path::new(&kup.state()).join("runs").exists());
}

#[test]
fn a_secret_is_given_from_outside_by_its_place() {
    let kup = book();
    let plan = |options: &str| {
        kup.run_args(
            &[
                &["plan", "book.kup", "--sim", "1+1@v1.33.4"],
                options.split(' ').collect::<Vec<_>>().as_slice(),
            ]
            .concat(),
        )
    };
    let ran = plan("--set token=canary-Xq7").exits(2).says("never given itself");
    seen_not(&ran);
    plan("--set token=env(OTHER)").exits(0).prints("token=*** (--set)");
    plan("--set-file token=other.txt").exits(0).prints("token=*** (--set-file other.txt)");
    let kup = kup.env("KUP_PARAM_token", CANARY);
    let ran = kup.run("run book.kup --yes --sim 1+1@v1.33.4").exits(0).says("token=*** ($KUP_PARAM_token)");
    seen(&kup, &[&ran]);
}

fn seen_not(ran: &Ran) {
    assert!(!ran.stdout.contains("canary") && !ran.stderr.contains("canary"), "{ran:?}");
}

//! A disk without room for the run, one that cannot be written and one whose syncs fail: what is not recorded
//! is not begun.

use std::fs;
use std::process::Command;

use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::{Kup, Ran, binary, repository};

const RUN: &str = "run up.kup --yes --sim 1+1@v1.33.4 --set target=v1.34.2";

/// Runs kup where no file may grow beyond so many KiB.
fn with_limit(kup: &Kup, line: &str, kib: u64) -> Ran {
    // Ignored, the signal becomes an error of the write, as a full disk would give.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" {line}", kib * 2);
    kup.output(Command::new("sh").args(["-c", &script, &binary()]))
}

#[test]
fn a_plan_that_cannot_be_saved_stops_the_run_before_it_begins() {
    let kup = Kup::new().with_main_job();
    with_limit(&kup, RUN, 1).exits(8).says("cannot write `").says("plan.json");
    assert!(!kup.path("snapshots").exists(), "nothing was begun");
}

#[test]
fn a_disk_that_fills_up_ends_the_run_with_what_is_recorded() {
    let kup = Kup::new().with_main_job();
    kup.run(RUN).exits(0);
    let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let size = |name: &str| fs::metadata(run.join(name)).unwrap().len();
    let (plan, journal) = (size("plan.json"), size("journal.jsonl"));

    // The journal is filled up by hand to where the plan still fits.
    let kup = Kup::new().with_main_job();
    let limit = plan / 1024 + 4;
    assert!(journal > (limit + 1) * 1024, "the journal fits, and nothing is tested");
    let ran = with_limit(&kup, RUN, limit).exits(6).says("cannot write `").says("kup resume");
    // All that is on disk can be read, and nothing was told that is not there.
    let shown = kup.run(&format!("show {}", the_run(&kup))).exits(0).stdout;
    // One record may have come to the disk with the one that did not fit; it is not told before both are there.
    let more = shown.strip_prefix(&ran.stdout).map(|rest| rest.lines().count());
    assert!(more.is_some_and(|lines| lines <= 1), "{shown}\n{}", ran.stdout);
    assert!(ran.stdout.contains(" done kubeadm upgrade apply"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_recorded_is_not_done_and_the_run_goes_on_when_there_is_room() {
    let text = r#"playbook "Tries"
stage s {
  run command "echo x >> HERE/tries; test $(wc -l < HERE/tries) -ge 60" on=local unless="false" {
    retry 300 backoff 1ms..1ms
  }
}
"#;
    let kup = Kup::new();
    let here = kup.path("").display().to_string();
    let kup = kup.with("tries.kup", text.replace("HERE/", &here));
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let run = format!("run tries.kup --yes {OPTIONS}");
    let ran = with_limit(&kup, &run, 12).exits(6).says("cannot write `").says("kup resume");
    let tries = || fs::read_to_string(kup.path("tries")).unwrap().lines().count();
    // An attempt that is not on disk was not made.
    let told = ran.stdout.matches(" begins ").count();
    assert!(tries() <= told && told <= tries() + 1 && tries() < 60, "{told} told, {} made", tries());
    kup.run("resume --yes --ssh-config ssh/config").exits(0).says("done: 1 change");
    assert_eq!(tries(), 60);
}

#[test]
fn a_sync_that_fails_ends_the_run_before_the_effect_and_the_run_goes_on_when_the_disk_is_mended() {
    a_sync_fails_with(5, "Input/output error");
}

#[test]
fn a_file_system_that_turns_read_only_ends_the_run_before_the_effect() {
    // What a file system answers that has found itself damaged: see `errors=remount-ro` in mount(8).
    a_sync_fails_with(30, "Read-only file system");
}

fn a_sync_fails_with(error: u16, says: &str) {
    let kup = Kup::new();
    let here = kup.path("").display().to_string();
    let stages: Vec<String> = (1..=6)
        .map(|i| {
            let after = if i == 1 { String::new() } else { format!(" after s{}", i - 1) };
            format!("stage s{i}{after} {{ run command \"echo {i} >> {here}/done\" on=local }}\n")
        })
        .collect();
    let kup = kup.with("six.kup", format!("playbook \"Six\"\n\n{}", stages.join("\n")));
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let faulty = kup.path("faulty.so");
    let source = repository().join("tests/support/faulty.rs");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition=2024", "--crate-type=cdylib", "-o"]).arg(&faulty).arg(source);
    assert!(rustc.status().unwrap().success(), "`tests/support/faulty.rs` cannot be built");

    let done = || fs::read_to_string(kup.path("done")).unwrap_or_default().lines().count();
    let preload = format!("LD_PRELOAD={}", faulty.display());
    let mut command = Command::new("env");
    command.args([&preload, "KUP_TEST_SYNCS=4", &format!("KUP_TEST_ERROR={error}"), &binary()]);
    command.args(format!("run six.kup --yes {OPTIONS}").split_whitespace());
    let ran = kup.output(&mut command).exits(6).says("cannot write `").says(says);
    ran.says("kup resume");
    // One sync a step: the first holds the intent of the first step, the fourth would have been that of the
    // fourth.
    assert_eq!(done(), 3);
    kup.run("resume --yes --ssh-config ssh/config").exits(0);
    assert_eq!(fs::read_to_string(kup.path("done")).unwrap(), "1\n2\n3\n4\n5\n6\n");
}

#[test]
fn a_read_only_file_system_stops_the_run_before_it_begins() {
    let kup = Kup::new().with_main_job().with("state/here", "");
    let script = "mount --bind state state && mount -o remount,ro,bind state && exec \"$0\" ";
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, &binary()]);
        command
    };
    // Not every machine lets its users mount something.
    if kup.output(&mut inside(&format!("{script}--version"))).code != 0 {
        return;
    }
    let ran = kup.output(&mut inside(&format!("{script}{RUN}"))).exits(8).says("cannot write `");
    ran.says("Read-only file system");
    assert!(!kup.path("snapshots").exists(), "nothing was begun");
    // A run that stands where nothing can be written can be looked at, and is gone on with elsewhere.
    let fails = "playbook \"Fails\"\nuse std/validate\nstage one { each node in workers { cordon } }\n\
                 stage two { check versions are=v1.99.0 }\n";
    let kup = kup.with("fails.kup", fails);
    kup.run("run fails.kup --yes --sim 1+1@v1.33.4").exits(3);
    kup.output(&mut inside(&format!("{script}status"))).exits(0).prints("state: paused");
    let ran = kup.output(&mut inside(&format!("{script}rollback --yes"))).exits(8);
    ran.says("Read-only file system");
    kup.run("rollback --yes").exits(0).says("taken back");
}

fn the_run(kup: &Kup) -> String {
    let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.file_name().into_string().unwrap()
}

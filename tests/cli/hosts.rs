//! Runs on plain hosts over real ssh, without any cluster: what is done, what a second run finds, and
//! what is left when kup is interrupted, killed or told to go back.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::sshd::{Hosts, OPTIONS, free_port};
use crate::support::{Kup, Ran, binary};

/// A playbook about files in the folder of the test, which all hosts share with kup.
fn playbook(kup: Kup, name: &str, text: &str) -> Kup {
    let here = kup.path("").display().to_string();
    kup.with(name, text.replace("HERE/", &here))
}

fn run(kup: &Kup, file: &str) -> Ran {
    kup.run(&format!("run {file} --yes {OPTIONS}"))
}

fn wait_for(path: &Path) {
    let since = Instant::now();
    while !path.exists() {
        assert!(since.elapsed() < Duration::from_secs(60), "{} does not come", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &std::process::Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

fn the_run(kup: &Kup) -> String {
    let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.file_name().into_string().unwrap()
}

const MARKS: &str = r#"playbook "Marks"

param script: path = "./patch.sh"

stage prepare {
  run command "mkdir HERE/marks" on=local unless="test -d HERE/marks"
}

stage hosts {
  each node in nodes batch=50% {
    run command "touch HERE/marks/${node}" unless="test -f HERE/marks/${node}" {
      name "mark ${node}"
      timeout 1m
      retry 2 backoff 1s..5s
    }
    if node.name == "b" {
      run script file=script unless="test -f HERE/marks/script"
    }
  }
}

stage after {
  parallel {
    run command "touch HERE/marks/one" on=local unless="test -f HERE/marks/one"
    run command "touch HERE/marks/two" on=local unless="test -f HERE/marks/two"
  }
}
"#;

#[test]
fn a_second_run_changes_nothing() {
    let kup = playbook(Kup::new(), "books/marks.kup", MARKS);
    let script = format!("#!/bin/sh\ntouch {}\n", kup.path("marks/script").display());
    let kup = kup.with("books/patch.sh", &script).with("mine.sh", script.replace("script", "mine"));
    let Some(_hosts) = Hosts::start(&kup, &["a", "b"]) else { return };
    let plan = kup.run(&format!("plan books/marks.kup {OPTIONS}")).exits(0).prints("mark a");
    plan.says("next: kup run books/marks.kup --hosts hosts.toml --ssh-config ssh/config --plan ");
    assert!(!kup.path("marks").exists(), "a plan changes nothing");
    run(&kup, "books/marks.kup").exits(0).says("done: 6 changes");
    for mark in ["a", "b", "script", "one", "two"] {
        assert!(kup.path("marks").join(mark).exists(), "{mark}");
    }
    run(&kup, "books/marks.kup").exits(0).says("nothing to change").says("done: 0 changes");
    // A path of the command line starts here, and not beside the playbook.
    fs::remove_file(kup.path("marks/script")).unwrap();
    run(&kup, "books/marks.kup --set script=./mine.sh").exits(0).says("done: 1 change");
    assert!(kup.path("marks/mine").exists());
}

#[test]
fn a_script_runs_on_this_machine_from_beside_the_playbook() {
    let text = "playbook \"Here\"\nstage here {\n  run script \"here.sh\" on=local unless=\"test -e HERE/here\"\n}\n\
                stage bad { run script \"bad.sh\" on=local }\n";
    let kup = playbook(Kup::new(), "books/here.kup", text);
    let script = format!("#!/bin/sh\necho \"$SSH_CONNECTION\" > {}\n", kup.path("here").display());
    let kup = kup.with("books/here.sh", script).with("books/bad.sh", "echo no room >&2\nexit 3\n");
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let ran = run(&kup, "books/here.kup").exits(3);
    ran.prints("failed run script bad.sh").prints("no room");
    assert_eq!(fs::read_to_string(kup.path("here")).unwrap(), "\n", "no ssh carried it");
}

#[test]
fn all_hosts_that_cannot_be_reached_are_named_at_once() {
    let config = format!("Host *\n HostName 127.0.0.1\n Port {}\n", free_port());
    let kup = playbook(Kup::new(), "marks.kup", MARKS)
        .with("ssh/config", config)
        .with("hosts.toml", "[[host]]\nname = \"a\"\n[[host]]\nname = \"b\"\n");
    if Command::new("ssh").arg("-V").output().is_err() {
        return eprintln!("skipped: there is no ssh on this machine");
    }
    let ran = run(&kup, "marks.kup").exits(8);
    let ran = ran.says("cannot reach a: ").says("cannot reach b: ").says("hint: try `ssh a` from here");
    ran.says("`--without a` leaves a worker out");
    assert!(!kup.path("marks").exists() && !kup.state().join("runs").exists());
}

const TOUCH: &str = r#"playbook "Touch"
stage s {
  each node in nodes batch=50% {
    run command "touch HERE/at-${node}" unless="test -f HERE/at-${node}" { allow undo-or-say-so "a file" }
  }
}
"#;

#[test]
fn a_host_that_ssh_does_not_reach_is_left_out_on_purpose() {
    let kup = playbook(Kup::new(), "touch.kup", TOUCH);
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let hosts = fs::read_to_string(kup.path("hosts.toml")).unwrap();
    let kup = kup.with("hosts.toml", hosts + "[[host]]\nname = \"z\"\n");
    let config = fs::read_to_string(kup.path("ssh/config")).unwrap();
    let away = format!("Host z\n HostName 127.0.0.1\n Port {}\n", free_port());
    let kup = kup.with("ssh/config", away + &config);
    run(&kup, "touch.kup").exits(8).says("cannot reach z: ").says("`--without z` leaves a worker out");
    let plan = kup.run(&format!("plan touch.kup {OPTIONS} --without z")).exits(0).prints("left out: z");
    plan.says("next: kup run touch.kup --hosts hosts.toml --without z --ssh-config ssh/config --plan ");
    kup.run(&format!("run touch.kup --yes {OPTIONS} --without z")).exits(0).says("done: 1 change ");
    assert!(kup.path("at-a").exists() && !kup.path("at-z").exists());
}

const SLOW: &str = r#"playbook "Slow"

stage s {
  each node in nodes {
    run command "touch HERE/begun-${node}; until test -f HERE/go || ! test -d HERE/; do sleep 0.2; done; touch HERE/done-${node}" unless="test -f HERE/done-${node}" {
      undo { run command "rm HERE/done-${node}; echo ${node} >> HERE/undone" }
    }
  }
}
"#;

#[test]
fn a_killed_run_is_told_resumed_and_taken_back() {
    let kup = playbook(Kup::new(), "slow.kup", SLOW);
    let Some(_hosts) = Hosts::start(&kup, &["a", "b"]) else { return };
    let mut child = kup.begin(&format!("run slow.kup --yes {OPTIONS}"));
    wait_for(&kup.path("begun-a"));

    // Another one is kept out, and told by whom.
    let ran = run(&kup, "slow.kup").exits(7);
    let ran = ran.says("holds the lock of this cluster since 20").says("hint: look at it with `kup status`");
    ran.says(&the_run(&kup)).says(&format!("process {}", child.id()));
    kup.run("status").exits(0).prints("state: running");
    kup.run("runs").exits(0).prints("running");
    kup.run("resume --yes").exits(7).says("another kup works on run");

    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(kup.path("go"), "").unwrap();
    let status = kup.run("status").exits(0).prints("state: interrupted while running");
    status.prints("was under way; the nodes will be asked").prints(&format!("kup resume {}", the_run(&kup)));
    kup.run("runs").exits(0).prints("interrupted");
    kup.run("resume --ssh-config ssh/config").exits(2).says("look at `kup status` first");
    kup.run("resume --yes --ssh-config ssh/config").exits(0).says("done: 2 changes");
    assert!(kup.path("done-a").exists() && kup.path("done-b").exists());

    kup.run("rollback --yes --ssh-config ssh/config").exits(0).says(" taken back in ");
    assert!(!kup.path("done-a").exists() && !kup.path("done-b").exists());
    assert_eq!(fs::read_to_string(kup.path("undone")).unwrap(), "b\na\n", "in reverse order");
    kup.run("status").exits(0).prints("state: compensated").prints("2 taken back");
}

#[test]
fn one_ctrl_c_waits_for_what_runs() {
    interrupted(&["INT"], |kup, ran| {
        ran.says("stopping: nothing new begins")
            .says("after 1 change ")
            .says("kup resume --ssh-config ssh/config");
        assert!(kup.path("done-a").exists() && !kup.path("begun-b").exists());
    });
}

#[test]
fn sigterm_waits_for_what_runs() {
    interrupted(&["TERM"], |kup, ran| {
        ran.says("stopping: nothing new begins").says("after 1 change ");
        assert!(kup.path("done-a").exists() && !kup.path("begun-b").exists());
    });
}

#[test]
fn a_second_ctrl_c_leaves_what_runs_to_the_node() {
    interrupted(&["INT", "INT"], |_, ran| {
        ran.says("stopping what can be stopped safely").says("after 0 changes");
    });
}

#[test]
fn three_times_ctrl_c_leave_a_run_that_can_be_resumed() {
    interrupted(&["INT", "INT", "INT"], |_, _| {});
}

/// Sends signals while the first of two hosts is at work; the run holds, and is resumed.
fn interrupted(signals: &[&str], then: impl FnOnce(&Kup, Ran)) {
    let kup = playbook(Kup::new(), "slow.kup", SLOW);
    let Some(_hosts) = Hosts::start(&kup, &["a", "b"]) else { return };
    let child = kup.begin(&format!("run slow.kup --yes {OPTIONS}"));
    wait_for(&kup.path("begun-a"));
    for name in signals {
        signal(&child, name);
        std::thread::sleep(Duration::from_millis(30));
    }
    // By then kup has heard the last one, and does not wait for what runs if it was told not to.
    std::thread::sleep(Duration::from_millis(500));
    fs::write(kup.path("go"), "").unwrap();
    let ran = kup.ended(child).exits(3);
    then(&kup, ran);
    kup.run("status").exits(0).prints("state: paused").prints("kup resume");
    kup.run("resume --yes --ssh-config ssh/config").exits(0).says("done: ");
    assert!(kup.path("done-a").exists() && kup.path("done-b").exists());
}

#[test]
fn a_failure_is_tried_again_and_then_taken_back() {
    let text = r#"playbook "Fails"
stage s {
  run command "touch HERE/mark" on=local { undo { run command "rm HERE/mark" on=local } }
  each node in nodes where name == "b" {
    run command "echo x >> HERE/tries; sleep 60" unless="false" {
      timeout 1s
      retry 1 backoff 1s..1s
      undo { run command "echo undone >> HERE/tries" }
    }
  }
}
on failure { rollback }
"#;
    let kup = playbook(Kup::new(), "fails.kup", text);
    let Some(_hosts) = Hosts::start(&kup, &["a", "b"]) else { return };
    run(&kup, "fails.kup").exits(5).prints("b failed").says("failed, and taken back");
    assert_eq!(fs::read_to_string(kup.path("tries")).unwrap(), "x\nx\nundone\n");
    assert!(!kup.path("mark").exists());
    kup.run("status").exits(0).prints("taken back");
}

#[test]
fn a_long_command_without_systemd_says_what_to_do() {
    if Path::new("/run/systemd/system").exists() {
        return eprintln!("skipped: this machine runs systemd");
    }
    let text = "playbook \"Long\"\nstage s { each node in nodes { run command \"true\" unless=\"false\" { long } } }\n";
    let kup = playbook(Kup::new(), "long.kup", text);
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    run(&kup, "long.kup").exits(3).prints("systemd");
    kup.run("status").exits(0).prints("leave out `long`");
}

#[test]
fn a_fleet_has_more_connections_than_a_process_may_have_files_unless_it_asks_for_more() {
    let kup = playbook(
        Kup::new(),
        "up.kup",
        "playbook \"Look\"\nstage s { each node in nodes { read command \"true\" } }\n",
    );
    let names: Vec<String> = (1..=16).map(|n| format!("h{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(_hosts) = Hosts::start(&kup, &names) else { return };
    let line = format!("ulimit -Sn 64 && exec {} run up.kup --yes {OPTIONS}", binary());
    kup.output(Command::new("sh").args(["-c", &line])).exits(0);
}

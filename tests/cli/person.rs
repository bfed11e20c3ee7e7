//! What a person decides against the plan: on a run that holds, and on one that goes on.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::Kup;
use crate::support::sshd::{Hosts, OPTIONS};

/// Fails at one worker until somebody mends it.
const FAILS: &str = r#"
use std/validate
playbook "Touch and fail"
stage one { each node in workers { cordon } }
stage two { check versions are=v1.99.0 }
stage three { each node in workers { uncordon } }
"#;

fn paused() -> Kup {
    let kup = Kup::new().with("app.kup", FAILS);
    kup.run("run app.kup --yes --sim 1+2@v1.33.4").exits(3);
    kup
}

#[test]
fn a_failed_step_is_skipped_with_a_reason_and_the_run_goes_on() {
    let kup = paused();
    kup.run_args(&["skip", "check-versions", "--why", " "]).exits(2).says("says nothing");
    kup.run_args(&["skip", "chek-versions", "--why", "x"]).exits(2).says("has no step `chek-versions`");
    kup.run_args(&["skip", "cordon", "--why", "x"]).exits(2).says("fits 2 steps");
    kup.run_args(&["skip", "one/w1/cordon", "--why", "x"])
        .exits(2)
        .says("the turn of `one/w1/cordon` is over")
        .says("kup status");
    kup.run_args(&["skip", "check-versions", "--why", "looked at by hand"]).exits(0).says("next: kup resume");
    kup.run_args(&["skip", "check-versions", "--why", "again"]).exits(2).says("skipped before");
    let ran = kup.run("resume --yes").exits(0);
    ran.prints("skipped").prints("looked at by hand");
    let name = kup.run("runs").exits(0).stdout.split_whitespace().next().unwrap().to_string();
    let shown = kup.run(&format!("show {name}")).exits(0);
    shown.prints("waived check versions are=v1.99.0: by tester@");
}

#[test]
fn one_step_is_tried_again() {
    let kup = paused();
    kup.run("retry uncordon").exits(2).says("fits 2 steps");
    kup.run("retry three/w1/uncordon").exits(2).says("was not tried yet").says("kup resume");
    let ran = kup.run_args(&["retry", "check-versions", "--why", "mended"]).exits(3);
    ran.prints("retry check versions are=v1.99.0: asked by tester@").prints("mended").prints("attempt 2");
}

#[test]
fn an_aborted_run_is_over_for_good_and_can_be_taken_back() {
    let kup = paused();
    kup.run_args(&["abort", "--why", "another way"]).exits(2).says("no terminal to ask on");
    kup.run_args(&["abort", "--why", "another way", "--yes"]).exits(0).says("next: kup rollback");
    kup.run("status").exits(0).prints("state: failed").prints("next: kup rollback");
    kup.run("resume --yes").exits(2).says("was ended for good").says("kup rollback");
    kup.run_args(&["abort", "--why", "again", "--yes"]).exits(2).says("was not changed");
    kup.run("rollback --yes").exits(0).says("taken back");
    kup.run("status").exits(0).prints("state: compensated");
}

#[test]
fn a_run_that_does_not_go_on_is_not_paused() {
    let kup = paused();
    kup.run("pause").exits(2).says("does not go on");
}

#[test]
fn a_takeover_of_a_lock_that_is_free_goes_on() {
    let kup = paused();
    kup.run_args(&["takeover", "--force", "", "--yes"]).exits(2).says("`--force` says nothing");
    kup.run_args(&["skip", "check-versions", "--why", "by hand"]).exits(0);
    kup.run("takeover --yes").exits(0);
}

#[test]
fn a_run_that_goes_on_is_told_through_its_socket() {
    let kup = Kup::new();
    let here = kup.path("").display().to_string();
    let playbook = "playbook \"Wait here\"\nstage one {\n\
         \x20 run command \"touch HERE/begun; until test -f HERE/go || ! test -d HERE/; do sleep 0.2; done\" on=local\n\
         \x20 run command \"touch HERE/second\" on=local\n  run command \"touch HERE/third\" on=local\n}\n";
    let kup = kup.with("app.kup", playbook.replace("HERE/", &here));
    let Some(_hosts) = Hosts::start(&kup, &["a"]) else { return };
    let mut child = kup.begin(&format!("run app.kup --yes --json {OPTIONS}"));
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("work_found") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "kup ended too early");
    }
    let folder = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let mode = std::fs::metadata(folder.join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may tell it anything");
    kup.run_args(&["skip", "one/run-command#2", "--why", "not today"]).exits(0);
    kup.run_args(&["skip", "one/run-command", "--why", "it runs"])
        .exits(2)
        .says("it changes nothing there now");
    kup.run("pause").exits(0);
    std::fs::write(kup.path("go"), "").unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let ran = kup.ended(child);
    assert_eq!(ran.code, 3, "{rest}\n{}", ran.stderr);
    assert!(rest.contains("step_waived") && rest.contains("stopping"), "{rest}");
    assert!(!folder.join("control.sock").exists());
    kup.run("resume --yes --ssh-config ssh/config").exits(0);
    assert!(!kup.path("second").exists() && kup.path("third").exists());
}

/// Says more than a pipe holds, needs time, asks something and tries something again and again.
const LIVE: &str = r#"playbook "Live"
stage one {
  parallel {
    each node in workers {
      run command "mkdir /srv/app" { undo { run command "rmdir /srv/app" } }
      run command "systemctl restart app" { undo { run command "systemctl restart app" } }
    }
    run command "true" on=local {
      approve "is it well?"
      allow undo-or-say-so "it does nothing"
    }
    run command "false" on=local {
      retry 2 backoff 10h..10h
      allow undo-or-say-so "it does nothing"
    }
  }
}
"#;

/// What one order does to a run that goes on.
struct Told {
    order: &'static [&'static str],
    /// How the order ends, and what it says.
    exits: i32,
    says: &'static str,
    /// How the run ends, and the event that holds the order.
    run: i32,
    event: &'static str,
}

#[test]
fn each_order_reaches_a_run_that_goes_on_and_stands_in_its_journal_with_who_and_why() {
    let table = [
        Told {
            order: &["pause", "--why", "lunch"],
            exits: 0,
            says: "asked to pause",
            run: 3,
            event: r#""type":"stopping","by":"BY","why":"lunch""#,
        },
        Told {
            order: &["rollback", "--yes", "--why", "the wrong cluster"],
            exits: 0,
            says: "asked to take back",
            run: 5,
            event: r#""type":"rollback_started","by":"BY","why":"the wrong cluster""#,
        },
        Told {
            order: &["abort", "--yes", "--why", "another way"],
            exits: 0,
            says: "asked to end",
            run: 6,
            event: r#""type":"run_aborted","by":"BY","why":"another way""#,
        },
        Told {
            order: &["retry", "one/run-command#2", "--why", "mended"],
            exits: 0,
            says: "is tried again",
            run: 3,
            event: r#""by":"BY","why":"mended""#,
        },
        Told {
            order: &["skip", "w200/run-command", "--why", "not this one"],
            exits: 0,
            says: "is skipped when its turn comes",
            run: 3,
            event: r#""by":"BY","why":"not this one""#,
        },
        Told {
            order: &["approve", "RUN", "--why", "it looks well"],
            exits: 0,
            says: "approved",
            run: 3,
            event: r#""type":"approval_given","gate":"one/run-command","by":"BY","#,
        },
        // It goes on already.
        Told {
            order: &["resume", "--yes", "--why", "no reason"],
            exits: 7,
            says: "another kup works on run",
            run: 3,
            event: r#""type":"run_finished","outcome":"paused""#,
        },
    ];
    for told in table {
        let kup = Kup::new().with("live.kup", LIVE);
        let mut child = kup.begin("run live.kup --yes --json --sim 1+200@v1.33.4");
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("step_done") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "kup ended too early");
        }
        let name = kup.run("runs").exits(0).stdout.split_whitespace().next().unwrap().to_string();
        let order: Vec<&str> =
            told.order.iter().map(|word| if *word == "RUN" { name.as_str() } else { word }).collect();
        // The run goes no faster than somebody reads: slowly, until the order has come to its end.
        let sent = kup.speak(std::process::Command::new(crate::support::binary()).args(&order));
        let heard = Arc::new(AtomicBool::new(false));
        let hurry = heard.clone();
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            while said.read_line(&mut rest).unwrap() > 0 {
                if !hurry.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            rest
        });
        let sent = kup.ended(sent);
        heard.store(true, Ordering::Relaxed);
        let rest = rest.join().unwrap();
        let ran = kup.ended(child);
        assert_eq!(sent.code, told.exits, "{order:?}: {sent:?}");
        assert!(format!("{}{}", sent.stdout, sent.stderr).contains(told.says), "{order:?}: {sent:?}");
        assert_eq!(ran.code, told.run, "{order:?}: {}", ran.stderr);
        let (before, after) = told.event.split_once("BY").unwrap_or((told.event, ""));
        let held = rest.lines().find(|line| line.contains(before) && line.contains(after));
        let held = held.unwrap_or_else(|| panic!("{order:?} is not in:\n{rest}"));
        assert!(!told.event.contains("BY") || held.contains("\"by\":\"tester@"), "{held}");
        if let (0, Some(why)) = (told.exits, order.iter().position(|word| *word == "--why")) {
            // Who looks at it later reads why.
            let shown = kup.run(&format!("show {name}")).exits(0);
            assert!(shown.stdout.contains(order[why + 1]), "{order:?} is not in:\n{}", shown.stdout);
            let page = kup.run(&format!("report {name}")).exits(0);
            assert!(page.stdout.contains(order[why + 1]), "{order:?} is not in the report");
        }
    }
}

#[test]
fn who_goes_on_with_a_run_or_takes_it_back_says_why() {
    let kup = paused();
    kup.run_args(&["resume", "--yes", "--why", " "]).exits(2).says("`--why` says nothing");
    let ran = kup.run_args(&["resume", "--yes", "--why", "the mirror is back"]).exits(3);
    ran.prints("resumed by tester@").prints(": the mirror is back");
    kup.run("status").exits(0).prints("state: paused");
    let ran = kup.run_args(&["rollback", "--yes", "--why", "given up"]).exits(0);
    ran.prints("rollback asked by tester@").prints(": given up");
    kup.run("status").exits(0).prints("taken back by tester@").prints(": given up");
}

//! `approve "question"`: a run holds at what a playbook asks until somebody has answered.

use std::process::Command;

use crate::support::{Kup, Ran, binary};

const PLAYBOOK: &str = r#"
playbook "Restart the app on all workers"

stage restart {
  each node in workers batch=2 canary=1 soak=5m {
    approve "has the canary been well? then ${node} is next"
    run command "systemctl restart app" {
      allow undo-or-say-so "a restart is over when it is done"
    }
  }
}

stage note {
  approve "tell everybody?"
  run command "echo done" on=local {
    allow undo-or-say-so "it only says so"
  }
}
"#;

const RUN: &str = "run app.kup --sim 1+3@v1.33.4";

fn kup() -> Kup {
    Kup::new().with("app.kup", PLAYBOOK)
}

/// Runs kup on a terminal, where somebody types.
fn on_a_terminal(kup: &Kup, line: &str, typed: &str) -> Ran {
    let command = format!("{} {line} --color never", binary());
    let script = format!("printf '{typed}' | script -qefc '{command}' /dev/null");
    kup.output(Command::new("sh").args(["-c", &script]))
}

#[test]
fn a_run_without_a_terminal_holds_at_each_question_and_approve_goes_on() {
    let kup = kup();
    let plan = kup.run("plan app.kup --sim 1+3@v1.33.4").exits(0);
    plan.prints("asks behind the canaries: has the canary been well? then w2 is next")
        .prints("asks first: tell everybody?")
        .prints("asks 2 times on the way");
    let ran = kup.run(&format!("{RUN} --yes")).exits(3);
    let ran = ran.says("the playbook asks 2 times on the way, and `--yes` is no answer to that");
    let ran = ran.prints("asks restart/each: has the canary been well?").says("next: kup approve 2");
    assert_eq!(ran.stdout.matches(" done ").count(), 1, "only the canary was touched:\n{}", ran.stdout);
    kup.run("status").exits(0).prints("restart/each asks: has the canary").prints("next: kup approve 2");
    // Going on is no answer either.
    kup.run("resume --yes").exits(3).says("asked: has the canary");
    kup.run("approve").exits(2).says("no run was named");
    let name = kup.run("runs").exits(0).stdout.split_whitespace().next().unwrap().to_string();
    let ran = kup.run(&format!("approve {name}")).exits(3);
    ran.prints("approved restart/each: by tester@").prints("asks note: tell everybody?");
    let ran = kup.run(&format!("approve {name} --json")).exits(0);
    assert!(ran.json().iter().any(|e| e["type"] == "approval_given" && e["gate"] == "note"));
    kup.run(&format!("approve {name}")).exits(2).says("asks nothing");
    kup.run(&format!("show {name}")).exits(0).prints("approved note: by tester@");
    kup.run("approve").exits(2).says("no run is left that could go on");
}

#[test]
fn on_a_terminal_the_question_is_asked_and_answered_there() {
    let kup = kup();
    let ran = on_a_terminal(&kup, &format!("{RUN} --yes"), "y\\ny\\n");
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    assert!(ran.stdout.contains("then w2 is next [y/N]"), "{}", ran.stdout);
    // What was answered on the way is part of what a simulated run is brought back with.
    let folder = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    let kept: Vec<&str> = journal.split_inclusive('\n').collect();
    std::fs::write(folder.join("journal.jsonl"), kept[..kept.len() - 2].concat()).unwrap();
    kup.run("resume --yes").exits(0);
}

#[test]
fn a_no_on_the_terminal_pauses_the_run() {
    let kup = kup();
    let ran = on_a_terminal(&kup, &format!("{RUN} --yes"), "n\\n");
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    assert!(ran.stdout.contains("said no to: has the canary"), "{}", ran.stdout);
    kup.run("resume --yes").exits(3).prints("asks restart/each");
}

//! `kup why`: the tree of causes of what waits or failed, down to the pod, the budget, the image, the node, the
//! person.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::sshd::{Hosts, OPTIONS};
use crate::support::{Kup, Ran, repository};

/// The main job without the checks that would foresee the trouble.
fn unforeseen() -> Kup {
    let text = fs::read_to_string(repository().join("playbooks/kubeadm-minor.kup")).unwrap();
    Kup::new().with("up.kup", text.replace("  check disruption budgets\n", ""))
}

fn run(kup: &Kup, fault: &str) -> Ran {
    kup.run(&format!("run up.kup --yes --sim --set target=v1.34.2 --fault {fault}"))
}

fn journal(kup: &Kup) -> PathBuf {
    let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.path().join("journal.jsonl")
}

fn name(kup: &Kup) -> String {
    journal(kup).parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
}

/// Lets kup have died right behind the last record that has these pieces.
fn died_at(kup: &Kup, pieces: &[&str]) {
    let text = fs::read_to_string(journal(kup)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let last = lines.iter().rposition(|line| pieces.iter().all(|piece| line.contains(piece)));
    fs::write(journal(kup), lines[..=last.expect("there is such a record")].concat()).unwrap();
}

/// Returns the texts from the root to the leaf, always by the first cause.
fn chain(cause: &Value) -> Vec<String> {
    let mut texts = vec![cause["text"].as_str().unwrap().to_string()];
    if let Some(first) = cause["causes"].as_array().unwrap().first() {
        texts.extend(chain(first));
    }
    texts
}

fn asked(kup: &Kup, line: &str) -> Value {
    let ran = kup.run(&format!("{line} --json")).exits(0);
    ran.json().pop().unwrap()
}

#[test]
fn a_drain_that_a_budget_blocks_is_followed_to_the_budget() {
    let kup = unforeseen();
    run(&kup, "F26@w1").exits(3);
    let tree = "\
        w1 failed, and was taken back\n    <- drain\n      <- no end after 15m\n        <- pod default/stubborn-w1-0\n          \
        <- PDB default/stubborn-w1 needs 1 healthy, has 1\n            <- it lets its only pod never go\n";
    let why = kup.run("why").exits(0).prints(&format!(" is paused\n  {tree}"));
    why.prints("next: kup resume 2").prints("next: kup rollback 2");
    kup.run("why w1").exits(0).prints("w1 failed, and was taken back\n  <- drain\n");
    // Another node's turn has not come, and why that is so.
    let w2 = kup.run("why w2").exits(0);
    w2.prints("w2 has not begun\n  <- run 2").prints("<- pod default/stubborn-w1-0");
    let json = asked(&kup, "why w1");
    assert_eq!(
        (&json["type"], &json["state"], &json["alive"]),
        (&"why".into(), &"paused".into(), &false.into())
    );
    assert_eq!(json["causes"][0]["step"], "workers/w1/drain");
    assert_eq!(chain(&json["causes"][0]).len(), 6);
    kup.run("why w9").exits(2).says("does nothing on a node `w9`").says("hint: it has steps on cp1, cp2");
    let named = name(&kup);
    kup.run(&format!("why {named} cp1")).exits(0).prints("cp1 is done: nothing waits");
    kup.run(&format!("why {named}")).exits(0).prints(tree.lines().next().unwrap());
}

#[test]
fn a_run_that_goes_on_tells_what_its_action_last_saw_and_who_goes_first() {
    let kup = unforeseen();
    run(&kup, "F26@w1").exits(3);
    died_at(&kup, &["step_waiting", "stubborn-w1"]);
    // Who works on a run has locked its journal.
    let file = fs::File::open(journal(&kup)).unwrap();
    file.lock().unwrap();
    let why = kup.run("why").exits(0).prints(" is under way\n  w1 waits ");
    why.prints("    <- drain\n      <- pod default/stubborn-w1-0\n        <- PDB default/stubborn-w1 needs");
    let front =
        kup.run("why w2").exits(0).prints("w2 has not begun\n  <- the canaries must end well first: w1\n");
    front.prints("    <- w1 waits ").prints("      <- drain\n");
    drop(file);
    let why = kup
        .run("why")
        .exits(0)
        .prints("was interrupted: the kup that did it is gone\n  w1 waited when kup ended\n");
    why.prints("next: kup resume 2");
}

#[test]
fn a_pod_that_does_not_become_ready_is_followed_to_its_image() {
    let kup = unforeseen();
    run(&kup, "F52@w2").exits(3);
    let all = asked(&kup, "why");
    let chains: Vec<Vec<String>> = all["causes"].as_array().unwrap().iter().map(chain).collect();
    let told = chains.iter().any(|chain| {
        let at = |piece: &str| chain.iter().position(|text| text.contains(piece));
        let order = [at("(ImagePullBackOff)"), at("cannot be pulled"), at("403 Forbidden")];
        order[0].is_some() && order.is_sorted() && order.iter().all(Option::is_some)
    });
    assert!(told, "{chains:#?}");
}

#[test]
fn a_question_that_nobody_has_answered_is_named_with_the_command_that_answers_it() {
    let text = "playbook \"Ask\"\n\nstage s {\n  each node in workers batch=1 canary=1 {\n    approve \"is the canary well?\"\n    uncordon\n  }\n}\n";
    let text = text.replace(
        "uncordon",
        "run command \"systemctl restart app\" { allow undo-or-say-so \"it is over when it is done\" }",
    );
    let kup = Kup::new().with("up.kup", text);
    kup.run("run up.kup --yes --sim 1+3@v1.33.4").exits(3);
    for line in ["why", "why w2"] {
        let why = kup.run(line).exits(0).prints("s/each waits for an answer\n");
        why.prints("<- is the canary well?\n").prints("hint: kup approve 2");
    }
    kup.run("abort --yes --why enough").exits(0);
    kup.run("why").exits(0).prints(" was ended for good, asked by tester@");
}

#[test]
fn a_run_that_is_done_waits_for_nothing() {
    let kup = Kup::new().with_main_job();
    kup.run("run up.kup --yes --sim --set target=v1.34.2").exits(0);
    assert_eq!(kup.run("why").exits(0).stdout.lines().count(), 1);
    kup.run("why").prints(" is done: nothing waits\n");
    assert_eq!(asked(&kup, "why")["causes"], serde_json::json!([]));
    kup.run("why cp1").exits(0).prints("cp1 is done: nothing waits\n");
    Kup::new().run("why w1").exits(2).says("no run");
}

const MARK: &str = r#"playbook "Mark"

stage s {
  run command "touch HERE/begun; until test -f HERE/go || ! test -d HERE/; do sleep 0.2; done" on=local
  each node in nodes {
    run command "true" unless="test -f HERE/marked" { retry 9 backoff 20s..1m }
  }
}
"#;

#[test]
fn a_node_that_cannot_be_reached_is_named_while_it_is_tried_again_and_so_is_who_has_the_lock() {
    let kup = Kup::new();
    let here = kup.path("").display().to_string();
    let kup = kup.with("up.kup", MARK.replace("HERE/", &here));
    let Some(hosts) = Hosts::start(&kup, &["a"]) else { return };
    // It answers while the plan is made, and then not at all.
    let child = kup.begin(&format!("run up.kup --yes {OPTIONS}"));
    wait(|| kup.path("begun").exists().then_some(()));
    let first = kup.run("why").exits(0).prints(" is under way\n");
    assert_eq!(first.stdout.lines().count(), 1, "nothing waits yet: {}", first.stdout);
    kup.run("why a").exits(0).prints("a has not begun\n  <- run command ");
    hosts.vanish();
    fs::write(kup.path("go"), "").unwrap();
    // How long it waits is drawn: by the time of another question it may be under way again.
    let why = wait(|| Some(kup.run("why a")).filter(|why| why.stdout.contains("a tries again in ")));
    why.exits(0).prints(" failed").prints("cannot reach a");
    kup.run("pause").exits(0);
    kup.ended(child).exits(3);
    kup.run("why").exits(0).prints("a is to be tried again");
    // Somebody else works on the same hosts.
    let lock = kup.state().join("locks/hosts.lock");
    let held = fs::File::options().read(true).write(true).open(&lock).unwrap();
    held.lock().unwrap();
    let content = serde_json::json!({"pid": 1, "host": "h", "user": "u", "run": "20261121-120305-4f2a", "since": "2026-11-21T12:03:05Z"});
    fs::write(&lock, content.to_string()).unwrap();
    let why = kup.run("why").exits(0);
    why.prints("run 20261121-120305-4f2a has the lock of the cluster since 2026-11-21T12:03:05Z");
}

fn wait<T>(mut until: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = until() {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

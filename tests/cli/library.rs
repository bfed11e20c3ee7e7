//! `--path DIR`: verbs from a folder that others share, such as a checkout of their repository.

use std::fs;
use std::process::Command;

use crate::support::{Kup, binary};

const PLAYBOOK: &str = "use ours/greet\n\nplaybook \"p\"\n\nstage s { greet }\n";
const GREET: &str = "use ./words\n\n## Greets.\ntask greet () { say line=\"hello\" }\n";
const WORDS: &str = "## Says a line.\ntask say (; line: string) { run command \"echo ${line}\" on=local }\n";

fn library() -> Kup {
    Kup::new()
        .with("my.kup", PLAYBOOK)
        .with("shared/ours/greet.kup", GREET)
        .with("shared/ours/words.kup", WORDS)
}

#[test]
fn a_library_is_found_in_the_folder_that_is_given() {
    let kup = library();
    kup.run("check my.kup --path shared").exits(0).prints("my.kup: ok");
    kup.run("check my.kup --path . --path shared --deny warnings").exits(0);
    kup.run("plan my.kup --path shared --sim").exits(0).prints("echo hello");
    kup.run("check my.kup").exits(2).says("cannot use `ours/greet`").says("`--path`");
}

#[test]
fn a_library_in_two_folders_is_not_chosen_from() {
    let kup = library().with("other/ours/greet.kup", GREET);
    let ran = kup.run("check my.kup --path shared --path other").exits(2);
    ran.says("it is both `shared/ours/greet.kup` and `other/ours/greet.kup`");
}

#[test]
fn a_circle_in_a_library_and_a_use_for_nothing_are_told() {
    let kup = library().with("shared/ours/words.kup", format!("use ./greet\n\n{WORDS}"));
    kup.run("check my.kup --path shared")
        .exits(2)
        .says("error[K0407]")
        .says("ours/greet -> ours/words -> ours/greet");
    let kup = library().with("my.kup", PLAYBOOK.replace("{ greet }", "{ run command \"date\" on=local }"));
    kup.run("check my.kup --path shared").exits(0).says("nothing of `ours/greet` is used");
}

#[test]
fn a_run_of_a_library_goes_on_without_it_and_from_anywhere_since_the_plan_is_kept_with_the_run() {
    let three = "stage s { greet }\n\nstage t after s { greet }\n\nstage u after t { greet }\n";
    let kup = library().with("my.kup", PLAYBOOK.replace("stage s { greet }\n", three)).with("else/where", "");
    kup.run("run my.kup --path shared --yes --sim 1+1@v1.33.4").exits(0);
    // Killed behind the first stage, and the library is gone: its checkout was on another machine.
    let run = fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let first = whole.lines().position(|line| line.contains("\"step_done\"")).unwrap();
    let kept: String = whole.split_inclusive('\n').take(first + 1).collect();
    fs::write(run.join("journal.jsonl"), kept).unwrap();
    fs::remove_dir_all(kup.path("shared")).unwrap();
    fs::remove_file(kup.path("my.kup")).unwrap();
    let elsewhere = |line: &str| {
        let script = format!("cd else && exec \"$0\" {line}");
        kup.output(Command::new("sh").args(["-c", &script, &binary()]))
    };
    let ran = elsewhere("resume --yes --json").exits(0);
    let records = ran.json();
    let done: Vec<&str> = records
        .iter()
        .filter(|record| record["type"] == "step_done")
        .map(|record| record["text"].as_str().unwrap())
        .collect();
    assert_eq!(done.len(), 2, "{done:?}");
    assert!(done.iter().all(|text| text.contains("echo hello")), "{done:?}");
    assert_eq!(records.last().unwrap()["outcome"], "done");
}

#[test]
fn a_shipped_module_can_be_read() {
    let kup = Kup::new();
    let text = kup.run("doc std/kubeadm --source").exits(0).stdout;
    assert_eq!(text.trim_end(), include_str!("../../stdlib/kup/kubeadm.kup").trim_end());
    assert_eq!(kup.run("doc upgrade worker --source").exits(0).stdout, text);
    kup.run("doc std/etcd").exits(0).prints("etcd snapshot");
    kup.run("doc std/etdc --source").exits(2).says("kup ships no playbook `std/etdc`");
}

//! Where the values of parameters come from: each source, which of two counts, and what is told when
//! one is wrong.

use std::io::Write;
use std::process::Command;

use crate::support::{Kup, Ran, binary};

const BOOK: &str = r#"playbook "Values"
param who: string = "nobody"  # whom to greet
param times: number = 1
param folder: path = "./here"
stage one {
  run command "echo ${who} ${times} ${folder}" on=local { allow undo-or-say-so "it says something" }
}
"#;

/// Returns a parameter's value and where it comes from, as a plan tells it.
fn given(kup: &Kup, options: &str, name: &str) -> (String, String) {
    let plan = kup.run(&format!("plan book.kup --sim 1+1@v1.33.4 --json {options}")).exits(0).json();
    let text = |of: &str| match &plan[0][of][name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    (text("params"), text("origins"))
}

fn pair(value: &str, origin: &str) -> (String, String) {
    (value.to_string(), origin.to_string())
}

#[test]
fn the_strongest_source_of_a_value_counts_and_the_plan_says_which() {
    let kup = Kup::new()
        .with("book.kup", BOOK)
        .with("values.toml", "who = \"file\"\ntimes = 3\n")
        .with("who.txt", "text of a file\n");
    assert_eq!(given(&kup, "", "who"), pair("nobody", "default"));
    assert_eq!(given(&kup, "--values values.toml", "who"), pair("file", "values.toml"));
    assert_eq!(given(&kup, "--values values.toml", "times"), pair("3", "values.toml"));
    let kup = kup.env("KUP_PARAM_who", "variable");
    let values = "--values values.toml";
    assert_eq!(given(&kup, values, "who"), pair("variable", "$KUP_PARAM_who"));
    assert_eq!(given(&kup, values, "times"), pair("3", "values.toml"));
    let set_file = "--values values.toml --set-file who=who.txt";
    assert_eq!(given(&kup, set_file, "who"), pair("text of a file", "--set-file who.txt"));
    let set = "--values values.toml --set-file who=who.txt --set who=option";
    assert_eq!(given(&kup, set, "who"), pair("option", "--set"));
    let shown = kup.run(&format!("plan book.kup --sim 1+1@v1.33.4 {set}")).exits(0);
    let shown = shown.prints("who=option (--set)  times=3 (values.toml)").prints("/here (default)");
    shown.says("--set who=option --set-file who=who.txt --values values.toml");
    let ran = kup.run(&format!("run book.kup --yes --sim 1+1@v1.33.4 {values}")).exits(0);
    ran.says("with who=variable ($KUP_PARAM_who)  times=3 (values.toml)");
}

#[test]
fn a_plan_is_the_same_plan_wherever_its_values_come_from() {
    let kup = Kup::new().with("book.kup", BOOK).with("v.toml", "who = \"me\"");
    let hash = |options: &str| {
        let plan = kup.run(&format!("plan book.kup --sim 1+1@v1.33.4 --json {options}")).exits(0).json();
        plan[0]["hash"].clone()
    };
    assert_eq!(hash("--values v.toml"), hash("--set who=me"));
    assert_ne!(hash("--set who=you"), hash("--set who=me"));
}

#[test]
fn a_path_starts_where_it_was_written() {
    let kup = Kup::new().with("book.kup", BOOK).with("etc/values.toml", "folder = \"mine\"\n");
    let at = |path: &str| kup.path(path).display().to_string();
    assert_eq!(given(&kup, "--values etc/values.toml", "folder").0, at("etc/mine"));
    assert_eq!(given(&kup, "--set folder=./mine", "folder").0, at("mine"));
    assert_eq!(given(&kup, "", "folder").0, "./here", "in a playbook, from its folder");
}

#[test]
fn a_values_file_has_types_and_no_unknown_names() {
    let refused = |text: &str, pieces: &[&str]| {
        let kup = Kup::new().with("book.kup", BOOK).with("values.toml", text);
        let ran = kup.run("plan book.kup --sim 1+1@v1.33.4 --values values.toml").exits(2);
        pieces.iter().fold(ran, |ran, piece| ran.says(piece));
    };
    refused("wo = \"me\"", &["values.toml: there is no parameter `wo`", "did you mean `who`?"]);
    refused("times = \"3\"", &["`times` (values.toml): expected a number, found the text \"3\""]);
    refused("who = 3", &["`who` (values.toml): expected text, found the number `3`"]);
    refused("times = 1.5", &["`values.toml`: `times` is a fraction"]);
    refused("times = ", &["`values.toml`", "line 1", "a values file is TOML"]);
    refused("", &["`values.toml` is empty"]);
    let kup = Kup::new().with("book.kup", BOOK).env("KUP_PARAM_times", "many");
    kup.run("plan book.kup --sim").exits(2).says("`times` ($KUP_PARAM_times): expected a number");
    kup.run("plan book.kup --sim --set-file who=none.txt").exits(2).says("there is no file `none.txt`");
    kup.run("plan book.kup --sim --set-file who").exits(2).says("write `--set-file who=FILE`");
}

const ASKS: &str = "playbook \"Asks\"\n\
    param target: version  # the version to reach\n\
    stage one { run command \"echo ${target}\" on=local }\n";

/// Runs kup at a terminal, where somebody types.
fn typed(kup: &Kup, line: &str, answers: &str) -> Ran {
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{} {line}", binary()), "/dev/null"]);
    let mut child = kup.speak(&mut script);
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    kup.ended(child)
}

#[test]
fn what_has_no_value_is_asked_for_on_a_terminal_and_asked_again_when_wrong() {
    let kup = Kup::new().with("asks.kup", ASKS);
    let ran = typed(&kup, "plan asks.kup --sim 1+1@v1.33.4", "newest\n\nv1.34.2\n").exits(0);
    let ran = ran.prints("target, a version the version to reach: ").prints("target=v1.34.2 (asked)");
    assert_eq!(ran.stdout.matches("the version to reach: ").count(), 3, "{}", ran.stdout);
    ran.prints("expected a version, found `newest`");
}

#[test]
fn where_nobody_is_at_a_terminal_nothing_is_asked() {
    let kup = Kup::new().with("asks.kup", ASKS);
    let ran = kup.run("plan asks.kup --sim 1+1@v1.33.4").exits(2);
    assert!(!ran.stderr.contains("the version to reach: "), "{}", ran.stderr);
    ran.says("`target` has no value; it is a version: the version to reach");
}

const LATE: &str = r#"use std/kubeadm
playbook "Late"
param target: version = v1.34.2
stage workers { each node in workers { upgrade worker to=target } }
stage more {
  if first(workers).kubelet < target {
    run command "echo old" on=local
  }
  each node in nodes where kernel == "6.1.0-37-amd64" { run command "echo ${node}" }
}
"#;

#[test]
fn a_choice_by_a_fact_that_an_earlier_step_changes_is_refused() {
    let kup = Kup::new().with("late.kup", LATE);
    let ran = kup.run("plan late.kup --sim 1+1@v1.33.4").exits(4);
    let ran = ran.says("K0605").says("this asks the `kubelet` of w1, which `restart kubelet` changes before");
    assert_eq!(ran.stderr.matches("K0605").count(), 2, "the heading and the way to the page: {}", ran.stderr);
    // Asked before the change it may stand, also in a stage that is written below.
    let none = "stage none { run command \"echo none\" on=local }\nstage workers after more {";
    let text = LATE.replace("stage workers {", none).replace("stage more {", "stage more after none {");
    let kup = kup.with("early.kup", text);
    kup.run("plan early.kup --sim 1+1@v1.33.4").exits(0).prints("echo old");
}

const FACTS: &str = r#"playbook "Facts"
stage one {
  each node in nodes where role == worker and cgroup == v2 and runtime_version >= v1.7.0 {
    if label("size") == "xl" { run command "echo ${node} ${count(node.taints)}" }
  }
  each node in control_plane where stacked and count(taints) == 1 { run command "echo stacked" }
}
"#;

#[test]
fn facts_of_a_simulated_cluster_are_those_of_a_real_one() {
    let shape = "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"big\"\ncount = 1\n\
                 labels = { size = \"xl\" }\ntaints = [\"a=b:NoSchedule\", \"c=d:NoExecute\"]\n";
    let kup = Kup::new().with("facts.kup", FACTS).with("shape.toml", shape);
    let plan = kup.run("plan facts.kup --sim shape.toml").exits(0);
    plan.prints("\"echo big1 2\"").prints("\"echo stacked\"");
}

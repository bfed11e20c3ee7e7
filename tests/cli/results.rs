//! What is known only during the run: results of steps, and choices over them.

use serde_json::Value;

use crate::support::{Kup, Ran};

/// One worker lags behind.
const SHAPE: &str = r#"version = "v1.33.5"
control_plane = 1
[[pool]]
name = "old"
count = 1
version = "v1.33.4"
[[pool]]
name = "new"
count = 1
"#;

const PATCH: &str = r#"playbook "Mend what is old"

stage mend {
  each node in workers {
    let now = read command "kubelet --version"
    when now == "Kubernetes v1.33.4" {
      drain
      run command "mend '${now}'" {
        undo { run command "restore '${now}'" }
      }
      uncordon
    } else {
      run command "logger ${node} is new" { undo { run command "true" } }
    }
  }
}
"#;

fn kup(text: &str) -> Kup {
    Kup::new().with("shape.toml", SHAPE).with("mend.kup", text)
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|e| e["type"] == kind).collect()
}

fn actions(events: &[Value], kind: &str, node: &str) -> Vec<String> {
    let of = of(events, kind).into_iter().filter(|e| e["node"] == node);
    of.map(|e| e["text"].as_str().unwrap_or_default().to_string()).collect()
}

#[test]
fn a_plan_shows_both_sides_and_counts_them_as_maybe() {
    let kup = kup(PATCH);
    let ran = kup.run("plan mend.kup --sim shape.toml").exits(0);
    ran.prints("    when now == \"Kubernetes v1.33.4\"\n      ~ drain")
        .prints("~ run command \"mend '‹now›'\"")
        .prints("    when now == \"Kubernetes v1.33.4\" is false\n      ~ run command")
        .prints("0 changes, 8 maybe,");
    let plan = kup.run("plan mend.kup --sim shape.toml --json").exits(0).json();
    assert_eq!((&plan[0]["maybe"], &plan[0]["wanted"]), (&Value::from(8), &Value::from(10)));
    assert_eq!(plan[0]["steps"][1]["maybe"], true);
}

#[test]
fn a_run_does_one_side_and_skips_the_other_with_its_reason() {
    let kup = kup(PATCH);
    let ran = kup.run("run mend.kup --sim shape.toml --yes --json").exits(0);
    let events = ran.json();
    assert_eq!(
        actions(&events, "step_done", "old1"),
        ["read command \"kubelet --version\"", "drain", "run command \"mend '‹now›'\"", "uncordon"]
    );
    assert_eq!(actions(&events, "step_skipped", "old1"), ["run command \"logger old1 is new\""]);
    assert_eq!(actions(&events, "step_skipped", "new1").len(), 3);
    let decided = of(&events, "when_decided");
    assert_eq!(decided.len(), 4);
    assert_eq!(decided[2]["reason"], "`now == \"Kubernetes v1.33.4\"` is true");
    assert_eq!((&decided[2]["kind"], &decided[2]["done"]), (&Value::from("when"), &Value::from(true)));
    assert_eq!((&decided[3]["scope"], &decided[3]["done"]), (&"mend/old1/else".into(), &Value::from(false)));
    // What was printed is what a replay prints.
    let run = run_of(&kup);
    assert_eq!(kup.run(&format!("show {run} --json")).exits(0).stdout, ran.stdout);
    kup.run(&format!("show {run} --plain"))
        .exits(0)
        .prints("old1 when `now == \"Kubernetes v1.33.4\"` is true\n")
        .prints("new1 skipped drain: `now == \"Kubernetes v1.33.4\"` is false\n");
    kup.run("status").exits(0).prints("4 not needed");
}

fn run_of(kup: &Kup) -> String {
    let run = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    run.file_name().into_string().unwrap()
}

#[test]
fn a_run_in_which_nothing_is_wanted_changes_nothing_and_says_so() {
    let text = r#"playbook "Let nobody go"
stage holds {
  each node in workers {
    let held = read command "apt-mark showhold kubelet" { retry 0 }
    when held == "nobody" {
      drain
      run command "apt-mark unhold kubelet"
    }
  }
  wait healthy cluster
}
"#;
    let kup = Kup::new().with("mend.kup", text);
    kup.run("plan mend.kup --sim 1+3@v1.33.4").exits(0).prints("0 changes, 7 maybe, 3 to look,");
    let ran = kup.run("run mend.kup --sim 1+3@v1.33.4 --yes").exits(0);
    ran.prints("w2 skipped drain: `held == \"nobody\"` is false").says("for nothing had to be changed");
}

#[test]
fn a_resumed_run_decides_the_same_and_a_rollback_takes_back_what_the_side_did() {
    let text = PATCH.replace(
        "      uncordon\n",
        "      run command \"exit 3\" { undo { run command \"true\" } }\n      uncordon\n",
    );
    let kup = kup(&text);
    let first = kup.run("run mend.kup --sim shape.toml --yes --json").exits(3).json();
    assert_eq!(of(&first, "step_failed").len(), 1);
    let again = kup.run("resume --yes --json").exits(3).json();
    assert_eq!(of(&again, "when_decided").len(), 0, "it is decided already");
    assert_eq!(actions(&again, "step_failed", "old1"), ["run command \"exit 3\""]);
    // What an undo needs to know is still known.
    let back = kup.run("rollback --yes --json").exits(0).json();
    assert_eq!(actions(&back, "undo_done", "old1"), ["run command \"mend '‹now›'\"", "drain"]);
    assert_eq!(back.last().unwrap()["outcome"], "compensated");
}

#[test]
fn a_killed_run_goes_on_with_the_side_that_it_had_decided_for() {
    let kup = kup(PATCH);
    kup.run("run mend.kup --sim shape.toml --yes --json").exits(0);
    let folder = kup.state().join("runs").join(run_of(&kup));
    let (journal, simulation) = (folder.join("journal.jsonl"), folder.join("simulation.jsonl"));
    let whole = std::fs::read_to_string(&journal).unwrap();
    let kept = std::fs::read_to_string(&simulation).unwrap();
    let of_old = |line: &str| line.contains("when_decided") && line.contains("mend/old1/when");
    let decided = whole.lines().position(of_old).unwrap();
    // Killed right behind the decision, and once more in the middle of the drain.
    for records in [decided + 1, decided + 4] {
        let cut: String = whole.split_inclusive('\n').take(records).collect();
        std::fs::write(&journal, cut).unwrap();
        std::fs::write(&simulation, &kept).unwrap();
        let events = kup.run("resume --yes --json").exits(0).json();
        let done = actions(&events, "step_done", "old1");
        assert_eq!(done, ["drain", "run command \"mend '‹now›'\"", "uncordon"]);
        assert_eq!(of(&events, "when_decided").len(), 1, "only the one that was not decided yet");
    }
}

#[test]
fn a_drain_before_a_command_is_done_unless_the_command_has_nothing_to_do() {
    let text = |command: &str| {
        format!("playbook \"p\"\nstage s {{ each node in workers {{\n drain\n {command}\n uncordon\n}}\n}}\n")
    };
    let done = |command: &str| -> Ran {
        kup(&text(command)).run("run mend.kup --sim shape.toml --yes --json").exits(0)
    };
    assert_eq!(actions(&done("run command \"reboot-later\"").json(), "step_done", "old1").len(), 3);
    let idle = done("run command \"reboot-later\" unless=\"true\"");
    assert_eq!(actions(&idle.json(), "step_done", "old1"), [""; 0]);
    idle.says("nothing to change");
}

/// A task and a script that give something, and what is done after a lane, which knows it.
const TASKS: &str = r#"playbook "Results of tasks"

stage look {
  each node in workers {
    after { note text="${kubelet.version} on ${kubelet.place}" }
    let kubelet = kubelet of it
    let verdict = judge version=kubelet.version
    when verdict == "old" { run command "mend '${kubelet.version}'" { allow undo-or-say-so "it mends" } }
  }
}

## Reads what a kubelet says of itself.
task kubelet of it (node: node = here) {
  let text = read command "kubelet --version" on=node
  gives { version: text, place: "${node}" }
}

## Says something.
task note (; text: string) script """ text """

## Judges a version.
task judge (; version: string) script """ if version.contains("v1.33.4") { "old" } else { "new" } """
"#;

#[test]
fn a_task_gives_back_what_its_last_line_says_and_a_script_its_last_value() {
    let kup = kup(TASKS);
    let plan = kup.run("plan mend.kup --sim shape.toml").exits(0);
    plan.prints("note text=\"‹text› on new1\"").prints("when verdict == \"old\"");
    let ran = kup.run("run mend.kup --sim shape.toml --yes --json").exits(0);
    let events = ran.json();
    let mended: Vec<&str> =
        of(&events, "when_decided").iter().map(|e| e["reason"].as_str().unwrap()).collect();
    assert_eq!(mended.len(), 2, "{mended:?}");
    assert_eq!(actions(&events, "step_skipped", "new1"), ["run command \"mend '‹text›'\""]);
    assert_eq!(actions(&events, "step_skipped", "old1"), Vec::<String>::new());
    let noted = |events: &[Value]| {
        let notes = of(events, "step_done").into_iter().filter(|e| e["action"] == "note");
        notes.map(|e| e["value"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(noted(&events), ["Kubernetes v1.33.5 on new1", "Kubernetes v1.33.4 on old1"]);
    // A run that was killed knows the results of its journal.
    let folder = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).unwrap();
    let lines: Vec<&str> = journal.split_inclusive('\n').collect();
    let at = lines.iter().position(|line| line.contains("when_decided")).unwrap();
    std::fs::write(folder.join("journal.jsonl"), lines[..=at].concat()).unwrap();
    let resumed = kup.run("resume --yes --json").exits(0).json();
    assert_eq!(noted(&resumed), noted(&events));
}

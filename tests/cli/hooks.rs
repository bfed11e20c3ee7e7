//! What stands in `on EVENT { }`: it is told of the run, and may hold it or stop it.

use crate::support::{Kup, Ran};

const TELL: &str = "## Says it.\ntask tell (text: string) script \"\"\" say(text) \"\"\"\n";

fn playbook(hooks: &str) -> String {
    format!(
        "playbook \"p\"\nstage a {{ each node in workers {{ run command \"true\" {{ allow undo-or-say-so \"it is nothing\" }} }} }}\n\
         stage b {{ run command \"true\" on=local {{ allow undo-or-say-so \"it is nothing\" }} }}\n{hooks}\n{TELL}"
    )
}

fn run(hooks: &str) -> Ran {
    Kup::new().with("p.kup", playbook(hooks)).run("run p.kup --sim 1+2@v1.34.2 --yes --plain")
}

/// Returns the lines about hooks, without their times.
fn told(ran: &Ran) -> Vec<&str> {
    let lines = ran.stdout.lines().filter(|line| line.contains(" hook"));
    lines.map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest)).collect()
}

#[test]
fn hooks_are_told_of_the_run_in_order() {
    let ran = run("on run started { tell text=\"begins\" }\n\
         on stage started { tell text=\"${stage} begins\" }\n\
         on node done { tell text=\"${node} of zone '${node.zone}' is done\" }\n\
         on step done { tell text=\"${step} on ${node}\" }\n\
         on run done { tell text=\"ends\" }")
    .exits(0);
    assert_eq!(
        told(&ran),
        [
            "- hook on run started: begins",
            "- hook on stage started: a begins",
            "w1 hook on step done: run command true on w1",
            "w1 hook on node done: w1 of zone '' is done",
            "w2 hook on step done: run command true on w2",
            "w2 hook on node done: w2 of zone '' is done",
            "- hook on stage started: b begins",
            "- hook on step done: run command true on=local on -",
            "- hook on run done: ends",
        ]
    );
    assert!(ran.stdout.ends_with("- finished done\n"), "{}", ran.stdout);
}

#[test]
fn the_plan_shows_the_hooks() {
    let kup = Kup::new().with(
        "p.kup",
        playbook("on node done { tell text=\"x ${node}\" }\non step failed { tell text=\"${reason}\" }"),
    );
    let ran = kup.run("plan p.kup --sim 1+2@v1.34.2").exits(0);
    assert!(ran.stdout.contains("on node done    tell \"x w1\"  (2 nodes)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("on step failed  tell \"<reason>\""), "{}", ran.stdout);
}

#[test]
fn a_node_begins_nothing_before_its_gate_says_go_on() {
    let gate = "## Waits for w2.\ntask gate () script \"\"\"\n  if node.name == \"w2\" { wait(\"a calm moment\", \"20s\") }\n\"\"\"";
    let ran = run(&format!("on node started {{ gate {{ timeout 1m }} }}\n{gate}")).exits(3);
    assert!(
        ran.stdout.contains("w1 done run command") || ran.stdout.contains("w1 ok run command"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("w2 begins"), "{}", ran.stdout);
    assert!(ran.stdout.contains("w2 hook-waits on node started: a calm moment"), "{}", ran.stdout);
    assert!(ran.stdout.contains("00:01:0"), "{}", ran.stdout);
    let story = "`on node started` says stop: no end after 1m, waiting for a calm moment";
    assert!(ran.stdout.contains(&format!("paused {story}")), "{}", ran.stdout);
}

#[test]
fn a_run_that_a_hook_has_stopped_asks_it_again_when_it_is_resumed() {
    let gate = "## Stops.\ntask gate () script \"\"\" stop(\"it is Friday\") \"\"\"";
    let kup = Kup::new().with("p.kup", playbook(&format!("on stage b started {{ gate }}\n{gate}")));
    let ran = kup.run("run p.kup --sim 1+1@v1.34.2 --yes --plain").exits(3);
    assert!(ran.stdout.contains("- hook-stops on stage b started: it is Friday"), "{}", ran.stdout);
    kup.run("status").exits(0).prints("paused: `on stage b started` says stop: it is Friday");
    let ran = kup.run("resume --yes --plain").exits(3);
    assert!(ran.stdout.contains("- hook-stops on stage b started: it is Friday"), "{}", ran.stdout);
}

#[test]
fn a_notifier_that_breaks_off_stops_nothing_and_a_gate_that_does_has_not_said_go_on() {
    let broken = "## Breaks off.\ntask broken () script \"\"\" let a = []; a[1] \"\"\"";
    let ran = run(&format!("on stage started {{ broken }}\n{broken}")).exits(0);
    assert!(
        ran.stdout.contains("- hook-failed on stage started: broken: its script broke off: Array index 1"),
        "{}",
        ran.stdout
    );
    let gate = "## Breaks off.\ntask gate () script \"\"\" let a = []; if a[1] { wait(\"x\") } \"\"\"";
    let ran = run(&format!("on stage started {{ gate }}\n{gate}")).exits(3);
    assert!(ran.stdout.contains("- hook-stops on stage started: its script broke off"), "{}", ran.stdout);
}

#[test]
fn a_failure_is_told_with_its_reason_on_every_floor() {
    let hooks = "on attempt failed { tell text=\"attempt: ${reason}\" }\n\
         on step failed { tell text=\"step ${step}: ${reason}\" }\n\
         on stage a failed { tell text=\"stage ${stage}: ${step}\" }\n\
         on run waiting { tell text=\"holds: ${reason}\" }";
    let text = playbook(hooks).replace("run command \"true\" {", "look {");
    let text = format!("{text}\n## Stops.\ntask look () script \"\"\" stop(\"no\") \"\"\"\n");
    let ran = Kup::new().with("p.kup", text).run("run p.kup --sim 1+1@v1.34.2 --yes --plain").exits(3);
    assert_eq!(
        told(&ran),
        [
            "w1 hook on attempt failed: attempt: no",
            "w1 hook on step failed: step look: no",
            "w1 hook on stage a failed: stage a: look",
            "- hook on run waiting: holds: `a/w1/look` failed: no",
        ]
    );
}

#[test]
fn a_replay_shows_the_same_and_json_has_what_each_hook_is_about() {
    let kup = Kup::new().with("p.kup", playbook("on node done { tell text=\"${node}\" }"));
    let ran = kup.run("run p.kup --sim 1+1@v1.34.2 --yes --json").exits(0);
    let run = std::fs::read_dir(kup.state().join("runs")).unwrap().next().unwrap().unwrap();
    let shown = kup.run(&format!("show {} --json", run.file_name().display())).exits(0);
    assert_eq!(ran.stdout, shown.stdout);
    let ended: Vec<_> = ran.json().into_iter().filter(|e| e["type"] == "hook_ended").collect();
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0]["node"], &ended[0]["on"]), (&"w1".into(), &"node done".into()));
    assert_eq!((&ended[0]["end"], &ended[0]["text"]), (&"went".into(), &"w1".into()));
}

#[test]
fn what_changes_something_is_refused_in_a_hook() {
    let kup = Kup::new().with("p.kup", playbook("on node done { drain }"));
    kup.run("check p.kup")
        .exits(2)
        .says("error[K0704]")
        .says("what changes is a step: put it into a stage, or into `before { }` or `after { }`");
}

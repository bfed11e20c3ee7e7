//! `before { }` and `after { }`: steps around a scope or a step, in the plan like any other.

use crate::support::{Kup, Ran};

/// What the steps of a run say, in the order in which they are done.
fn done(ran: &Ran) -> Vec<String> {
    let done = ran.json().into_iter().filter(|e| e["type"] == "step_done");
    let said = |e: serde_json::Value| {
        let node = e["node"].as_str().map_or(String::new(), |node| format!("{node} "));
        format!("{node}{}", e["text"].as_str().unwrap_or_default())
    };
    done.map(said).collect()
}

const SAY: &str = "## Says it.\ntask tell (what: string, node: node?) script \"\"\" what \"\"\"\n\
## Stops on one node.\ntask stop on (bad: string) script \"\"\" if node.name == bad { stop(\"no\") } \"\"\"\n";

fn run(text: &str) -> Ran {
    Kup::new().with("p.kup", format!("{text}\n{SAY}")).run("run p.kup --sim 1+2@v1.34.2 --yes --json")
}

#[test]
fn what_stands_around_a_scope_is_done_before_its_first_step_and_after_its_last() {
    let ran = run("playbook \"p\" {\n before { tell \"first\" }\n after { tell \"last\" }\n}\n\
         stage a {\n before { tell \"before a\" }\n after { tell \"after a\" }\n\
          each node in workers {\n before { tell \"before\" }\n after { tell \"after\" }\n tell \"work\" {\n  before { tell \"step\" }\n }\n }\n}\n\
         stage b { tell \"b\" }")
    .exits(0);
    let lane =
        |node: &str| ["before", "step", "work", "after"].map(|what| format!("{node} tell {what}")).to_vec();
    let expected = [
        vec!["tell first".into(), "tell \"before a\"".into()],
        lane("w1"),
        lane("w2"),
        vec!["tell \"after a\"".into(), "tell b".into(), "tell last".into()],
    ];
    assert_eq!(done(&ran), expected.concat());
}

#[test]
fn within_a_parallel_a_step_keeps_what_stands_around_it() {
    let ran = run("playbook \"p\"\nstage s { parallel {\n tell \"a\" {\n before { tell \"before a\" }\n after { tell \"after a\" }\n }\n tell \"b\"\n} }")
        .exits(0);
    let done = done(&ran);
    let at = |what: &str| done.iter().position(|d| d == what).unwrap_or_else(|| panic!("{what}: {done:?}"));
    assert!(at("tell \"before a\"") < at("tell a") && at("tell a") < at("tell \"after a\""), "{done:?}");
}

#[test]
fn after_a_failure_nothing_stands_after_in_that_lane_and_other_lanes_have_theirs() {
    let ran = run("playbook \"p\"\nstage a {\n after { tell \"stage\" }\n each node in workers batch=2 {\n after { tell \"after\" }\n stop on bad=\"w1\"\n}\n}\n\
         on failure { continue failures=1 }")
    .exits(3);
    let done = done(&ran);
    assert!(done.contains(&"w2 tell after".to_string()), "{done:?}");
    assert!(
        !done.contains(&"w1 tell after".to_string()) && !done.contains(&"tell stage".to_string()),
        "{done:?}"
    );
}

#[test]
fn what_stands_before_is_probed_and_taken_back_like_any_step() {
    let text = "playbook \"p\"\nstage a { each node in workers {\n before { run command \"touch /b\" unless=\"test -f /b\" { undo { run command \"rm /b\" } } }\n\
         run command \"touch /a\" unless=\"test -f /a\" { undo { run command \"rm /a\" } }\n stop on bad=\"w1\"\n} }\non failure { rollback }";
    let ran = run(text).exits(5);
    let undone: Vec<_> = ran.json().into_iter().filter(|e| e["type"] == "undo_done").collect();
    let texts: Vec<&str> = undone.iter().map(|e| e["text"].as_str().unwrap_or_default()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("touch /a") && texts[1].contains("touch /b"), "{texts:?}");
}

#[test]
fn the_stages_before_and_after_are_in_the_plan() {
    let text = format!(
        "playbook \"p\" {{\n before {{ tell \"first\" }}\n after {{ tell \"last\" }}\n}}\nstage b {{ tell \"b\" }}\nstage c after b {{ tell \"c\" }}\n{SAY}"
    );
    let ran = Kup::new().with("p.kup", text).run("plan p.kup --sim 1+1@v1.34.2").exits(0);
    let order: Vec<&str> = ran.stdout.lines().filter(|l| ["before", "b", "c", "after"].contains(l)).collect();
    assert_eq!(order, ["before", "b", "c", "after"], "{}", ran.stdout);
}

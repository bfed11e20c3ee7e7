//! Which window holds what: stages, nodes, and steps outside of them.

use super::*;
use crate::plan::{Gate, Work, digest, forecast, show};

fn in_window(text: &str) -> Policy {
    Policy { window: Some(text.into()), ..Policy::default() }
}

/// Returns what waits, by its name.
fn held(plan: &Plan) -> Vec<(String, String)> {
    plan.held().into_iter().map(|(gate, window)| (plan.gate_key(gate).to_string(), window)).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(gate, window)| (gate.to_string(), window.to_string())).collect()
}

fn found(plan: &mut Plan) {
    let probes = probes(plan, |_| true);
    forecast(plan, &probes);
}

fn drained() -> Stmt {
    Stmt::Each(Box::new(each(
        set(Set::Workers),
        vec![call(DRAIN, vec![here()]), call(UNCORDON, vec![here()])],
    )))
}

#[test]
fn the_nearest_window_holds_stages_and_nodes() {
    let mut program = program(vec![
        stage("one", &[], vec![drained()]),
        Stage { policy: in_window("at night"), ..stage("two", &[], vec![drained()]) },
    ]);
    program.policy = in_window("on weekends");
    let mut plan = plan(&program, &inventory(1, 2));
    found(&mut plan);
    // All is done, and so nothing waits.
    assert_eq!(held(&plan), []);
    for step in &mut plan.steps {
        step.work = Work::Runs;
    }
    let wanted = [
        ("one", "on weekends"),
        ("one/w1", "on weekends"),
        ("one/w2", "on weekends"),
        ("two", "at night"),
        ("two/w1", "at night"),
        ("two/w2", "at night"),
    ];
    assert_eq!(held(&plan), pairs(&wanted));
    let shown = show(&plan, &inventory(1, 2));
    assert!(shown.contains("two\n  only in the window at night\n  2 lanes, one at a time\n  each only in the window at night\n"), "{shown}");
    let before = digest(&plan);
    plan.windows.insert(Gate::Step(StepId(0)), "at noon".into());
    assert_ne!(digest(&plan), before);
}

#[test]
fn between_the_nodes_of_a_list_the_window_holds_too_and_within_a_node_it_does_not() {
    let words = lit(Value::List(vec![Value::Text("a".into()), Value::Text("b".into())]));
    let mut outer = each(words, vec![drained()]);
    outer.policy = in_window("at night");
    let plan_of = |stmt: Stmt| {
        let mut plan = plan(&program(vec![stage("s", &[], vec![stmt])]), &inventory(1, 1));
        for step in &mut plan.steps {
            step.work = Work::Runs;
        }
        held(&plan).into_iter().map(|(gate, _)| gate).collect::<Vec<_>>()
    };
    assert_eq!(plan_of(Stmt::Each(Box::new(outer))), ["s/a", "s/a/w1", "s/b", "s/b/w1"]);
    let Stmt::Each(inner) = drained() else { unreachable!() };
    let words = lit(Value::List(vec![Value::Text("a".into())]));
    let mut nodes = each(set(Set::Workers), vec![Stmt::Each(Box::new(each(words, inner.body.0)))]);
    nodes.policy = in_window("at night");
    assert_eq!(plan_of(Stmt::Each(Box::new(nodes))), ["s/w1"]);
}

#[test]
fn a_window_of_a_step_within_a_node_is_refused() {
    let with_window = |stmt: Stmt| match stmt {
        Stmt::Step(step) => Stmt::Step(Step { policy: in_window("at night"), ..step }),
        other => other,
    };
    let outside = vec![with_window(call(COMMAND, vec![text("x"), lit(Value::Node("w1".into()))]))];
    let plan = plan(&program(vec![stage("s", &[], outside)]), &inventory(1, 1));
    assert_eq!(held(&plan), pairs(&[("s/run-command", "at night")]));
    let inside = vec![with_window(call(COMMAND, vec![text("x"), here()]))];
    let each = Stmt::Each(Box::new(each(set(Set::Workers), inside)));
    let program = program(vec![stage("s", &[], vec![each])]);
    let found = crate::plan::build(&program, &inventory(1, 1), &[version("v1.34.2")]).unwrap_err();
    assert_eq!(found[0].code, "K0607");
}

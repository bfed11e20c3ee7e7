//! What is planned without being known: results, and choices that are made during the run.

use dsl::value::Type;
use expect_test::expect;

use super::*;
use crate::plan::{ScopeKind, Undo, Work, digest, forecast, show};

fn lane(body: Vec<Stmt>) -> Program {
    program(vec![stage("s", &[], vec![Stmt::Each(Box::new(each(set(Set::Workers), body)))])])
}

fn wanted() -> Expr {
    of_todo("wanted", Type::Bool)
}

fn command(line: &str) -> Stmt {
    call(COMMAND, vec![text(line), here()])
}

/// Lets each step find work.
fn forecasted(program: &Program) -> Plan {
    let mut plan = plan(program, &inventory(1, 1));
    let probes = probes(&plan, |_| false);
    forecast(&mut plan, &probes);
    plan
}

#[test]
fn both_sides_are_planned_and_counted_as_maybe() {
    let plan = forecasted(&lane(vec![
        todo(),
        when(wanted(), vec![call(DRAIN, vec![here()]), command("patch")], vec![command("say")]),
        call(UNCORDON, vec![here()]),
    ]));
    expect![[r#"
        Upgrade
          target=v1.34.2

        node  role    now -> target  steps
        w1    worker  v1.33.4        1 to 4 of 5

        s
          1 lane, one at a time
          w1
            ? os updates
            when todo.wanted
              ~ drain              v1.33.4 -> v1.34.2
              ~ run command patch  v1.33.4 -> v1.34.2
            when todo.wanted is false
              ~ run command say  v1.33.4 -> v1.34.2
            + uncordon  v1.33.4 -> v1.34.2

        no way back after s/w1/run-command: nobody knows what it changes
        1 change, 3 maybe, 1 to look, 0 done already, 0 not needed
    "#]]
    .assert_eq(&show(&plan, &inventory(1, 1)));
    assert!(plan.has_work());
}

#[test]
fn an_argument_that_waits_is_shown_as_what_it_waits_for() {
    let line = Expr {
        kind: ExprKind::Text(vec![text("patch "), of_todo("count", Type::Number), text(" on "), here()]),
        ..text("")
    };
    let plan = forecasted(&lane(vec![todo(), call(COMMAND, vec![line, here()])]));
    let step = plan.step(id(&plan, "s/w1/run-command"));
    assert_eq!(step.text, "run command \"patch ‹todo.count› on w1\"");
    assert_eq!(step.args["line"], Value::None);
    assert_eq!(step.later.keys().collect::<Vec<_>>(), ["line"]);
}

#[test]
fn a_result_goes_through_the_parameter_of_a_task_and_into_an_undo() {
    let mut program = lane(vec![todo(), call(13, vec![here(), of_todo("count", Type::Number)])]);
    let mut inner = said(COMMAND, vec![local(1), local(0)]);
    inner.policy.undo = Some(Block(vec![call(COMMAND, vec![local(1), local(0)])]));
    let mut task = program.tasks[WORKER as usize].clone();
    task.name = "mine".into();
    let body = Block(vec![Stmt::Step(inner)]);
    task.body = TaskBody::Steps { policy: Policy::default(), body, gives: None, slots: 2 };
    program.tasks.push(task);
    let plan = forecasted(&program);
    let step = plan.step(id(&plan, "s/w1/run-command"));
    assert_eq!(step.text, "run command ‹todo.count›");
    let Undo::Steps(undo) = &step.undo else { panic!("no undo steps") };
    assert_eq!((undo[0].text.as_str(), undo[0].later.len()), ("run command ‹todo.count›", 1));
}

#[test]
fn a_side_that_is_known_to_be_left_out_is_no_maybe() {
    let no_gpu = || binary(Op::And, lit(Value::Bool(false)), wanted());
    let mut never = no_gpu();
    never.ty = Type::Bool;
    let plan = forecasted(&lane(vec![todo(), when(never, vec![command("patch")], vec![command("say")])]));
    let work = |key| &plan.step(id(&plan, key)).work;
    assert_eq!(work("s/w1/run-command"), &Work::NotNeeded("todo.wanted is false".into()));
    assert!(work("s/w1/run-command#2").is_wanted());
    assert!(plan.steps.iter().all(|step| !step.maybe));
}

#[test]
fn what_only_follows_a_maybe_is_a_maybe_too() {
    let plan = forecasted(&lane(vec![
        todo(),
        when(wanted(), vec![command("patch")], vec![]),
        call(HEALTHY, vec![word("node"), here()]),
    ]));
    let healthy = plan.step(id(&plan, "s/w1/wait-healthy"));
    assert!(healthy.maybe && healthy.work.is_wanted());
}

#[test]
fn two_conditions_are_two_plans() {
    let of = |cond: Expr| {
        digest(&plan(&lane(vec![todo(), when(cond, vec![command("patch")], vec![])]), &inventory(1, 1)))
    };
    let more = binary(Op::Gt, of_todo("count", Type::Number), lit(Value::Number(3)));
    assert_ne!(of(wanted()), of(more));
    assert_eq!(of(wanted()), of(wanted()));
}

#[test]
fn in_a_free_order_the_sides_stay_together() {
    let free = Stmt::Parallel(Block(vec![
        when(wanted(), vec![command("a"), command("b")], vec![command("c")]),
        command("d"),
    ]));
    let plan = plan(&lane(vec![todo(), free]), &inventory(1, 1));
    let sides: Vec<&str> = plan
        .scopes
        .iter()
        .filter(|scope| matches!(scope.kind, ScopeKind::When(_)))
        .map(|scope| scope.parent.map_or("", |parent| plan.scope(parent).key.as_str()))
        .collect();
    assert_eq!(sides, ["s/w1/when", "s/w1/when"]);
}

#[test]
fn an_undo_decides_nothing_during_the_run() {
    let mut program = lane(vec![todo(), call(COMMAND, vec![text("a"), here()])]);
    let mut task = program.tasks[WORKER as usize].clone();
    let body = Block(vec![when(lit(Value::Bool(true)), vec![command("b")], vec![])]);
    task.body = TaskBody::Steps { policy: Policy::default(), body, gives: None, slots: 2 };
    program.tasks.push(task);
    if let Stmt::Each(each) = &mut program.stages[0].body.0[0]
        && let Stmt::Step(step) = &mut each.body.0[1]
    {
        step.policy.undo = Some(Block(vec![call(13, vec![here(), target()])]));
    }
    let found = crate::plan::build(&program, &inventory(1, 1), &[version("v1.34.2")]).unwrap_err();
    assert_eq!(found[0].code, "K0606");
}

#[test]
fn a_drain_is_wanted_by_any_change_of_its_node_up_to_the_uncordon() {
    let of = |body: Vec<Stmt>| {
        let mut plan = plan(&lane(body), &inventory(1, 1));
        let probes = probes(&plan, |step| step.action == "restart kubelet");
        forecast(&mut plan, &probes);
        plan.step(id(&plan, "s/w1/drain")).work.is_wanted()
    };
    let (drain, uncordon) = (|| call(DRAIN, vec![here()]), || call(UNCORDON, vec![here()]));
    assert!(of(vec![drain(), command("patch"), uncordon()]));
    // Nothing between them has work; what comes behind the uncordon does not need the drain.
    assert!(!of(vec![drain(), call(RESTART, vec![here()]), uncordon()]));
    assert!(!of(vec![drain(), call(RESTART, vec![here()]), uncordon(), command("tidy")]));
    assert!(of(vec![drain(), call(RESTART, vec![here()]), command("tidy")]));
    // It runs on this machine, and does not touch the node.
    let here = call(COMMAND, vec![text("say"), lit(Value::Node("local".into()))]);
    assert!(!of(vec![drain(), here, uncordon()]));
}

#[test]
fn a_drain_is_wanted_by_what_may_have_work() {
    let uncordon = || call(UNCORDON, vec![here()]);
    let plan = forecasted(&lane(vec![
        todo(),
        call(DRAIN, vec![here()]),
        when(wanted(), vec![command("patch"), uncordon()], vec![]),
        call(RESTART, vec![here()]),
    ]));
    assert!(plan.step(id(&plan, "s/w1/drain")).work.is_wanted());
    assert!(!plan.step(id(&plan, "s/w1/drain")).maybe, "the restart needs it whatever is found");
}

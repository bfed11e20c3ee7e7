//! What somebody must say yes to.

use super::*;
use crate::event::Outcome;
use crate::machine::Mode;
use crate::plan::Gate;

fn pausing() -> OnFailure {
    OnFailure::Pause(String::new())
}

/// `a`, then lanes over w1, w2 and w3 with one canary, and a question before the rest; `b` stands beside
/// all that.
fn after_a_canary() -> Arc<Plan> {
    let lanes = ["w1", "w2", "w3"].map(|n| (n.to_string(), vec![step("s")])).to_vec();
    let each = Piece::Each(lanes, vec![2], 1, 5_000);
    let mut plan = Arc::unwrap_or_clone(plan(pausing(), &[step("a"), each]));
    plan.approvals = [(Gate::Scope(ScopeId(1)), "did w1 do well?".to_string())].into();
    Arc::new(plan)
}

fn yes(gate: Gate) -> Input {
    Input::Answer {
        gate,
        yes: true,
        by: "bea".into(),
        when: "2026-11-21T12:03:05Z".into(),
        why: String::new(),
    }
}

fn no(gate: Gate) -> Input {
    Input::Answer {
        gate,
        yes: false,
        by: "bea".into(),
        when: "2026-11-21T12:03:05Z".into(),
        why: String::new(),
    }
}

fn asked(hand: &Hand) -> usize {
    hand.journal.iter().filter(|(_, e)| matches!(e, Event::ApprovalAsked { .. })).count()
}

/// Asks before the only step.
fn before_a_step() -> (Arc<Plan>, Gate) {
    let gate = Gate::Step(StepId(1));
    let mut plan = Arc::unwrap_or_clone(plan(pausing(), &[step("a"), step("b"), step("c")]));
    plan.approvals = [(gate, "go on with b?".to_string())].into();
    (Arc::new(plan), gate)
}

#[test]
fn where_nobody_is_the_run_holds_at_the_question_and_goes_on_behind_the_answer() {
    let (plan, gate) = before_a_step();
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    assert_eq!(hand.paused(), "somebody must approve: go on with b?");
    // Another kup, maybe on another day: the answer is an event, and then the run goes on.
    let mut hand = hand.reborn();
    hand.put(yes(gate));
    assert!(matches!(hand.last(), Event::ApprovalGiven { by, .. } if by == "bea"));
    assert!(hand.asked().is_empty(), "an answer alone begins nothing");
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("b");
    hand.ok("c");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
    assert_eq!(asked(&hand), 1);
}

#[test]
fn who_goes_on_without_an_answer_is_asked_again() {
    let (plan, _) = before_a_step();
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    assert_eq!(asked(&hand), 2);
}

#[test]
fn where_somebody_is_the_rest_of_the_run_goes_on_meanwhile() {
    let gate = Gate::Step(StepId(0));
    let mut plan =
        Arc::unwrap_or_clone(plan(pausing(), &[Piece::Parallel(vec![step("a"), step("b")]), step("c")]));
    plan.approvals = [(gate, "a too?".to_string())].into();
    let mut hand = Hand::new(&Arc::new(plan));
    hand.machine.attend();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("b");
    assert_eq!(hand.machine.state().mode(), Mode::Going);
    assert_eq!(hand.machine.poll_timeout(), None, "nothing but the answer is waited for");
    hand.put(yes(gate));
    hand.ok("a");
    hand.ok("c");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_no_holds_the_run_and_begins_nothing() {
    let (plan, gate) = before_a_step();
    let mut hand = Hand::new(&plan);
    hand.machine.attend();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("a");
    hand.put(no(gate));
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    assert_eq!(hand.paused(), "bea said no to: go on with b?");
    assert!(hand.asked().is_empty());
    assert!(hand.machine.state().asked().is_empty());
}

#[test]
fn the_canaries_go_first_and_are_watched_before_anybody_is_asked() {
    let plan = after_a_canary();
    let gate = Gate::Scope(ScopeId(1));
    let mut hand = Hand::new(&plan);
    hand.machine.attend();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("a");
    hand.ok("w1/s");
    assert_eq!(asked(&hand), 0, "the soak comes first");
    hand.tick();
    assert_eq!(asked(&hand), 1);
    assert!(hand.asked().is_empty());
    hand.put(yes(gate));
    assert_eq!(hand.asked(), ["probe w2/s 1", "probe w3/s 1"]);
}

#[test]
fn an_answer_to_what_was_not_asked_is_none() {
    let (plan, gate) = before_a_step();
    let mut hand = Hand::begun(&plan);
    hand.put(yes(gate));
    assert!(!hand.machine.state().is_approved(gate));
    hand.ok("a");
    hand.put(yes(gate));
    hand.put(yes(gate));
    let given = hand.journal.iter().filter(|(_, e)| matches!(e, Event::ApprovalGiven { .. })).count();
    assert_eq!(given, 1);
}

#[test]
fn nobody_is_asked_about_work_that_is_done() {
    let (plan, gate) = before_a_step();
    let mut plan = Arc::unwrap_or_clone(plan);
    plan.steps[1].work = Work::Done("it is there".into());
    plan.approvals.insert(Gate::Scope(ScopeId(0)), "begin?".into());
    assert_eq!(plan.questions().keys().collect::<Vec<_>>(), [&Gate::Scope(ScopeId(0))]);
    for step in &mut plan.steps {
        step.work = Work::NotNeeded("nothing to do".into());
    }
    assert!(plan.questions().is_empty());
    let _ = gate;
    let hand = Hand::begun(&Arc::new(plan));
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn an_approval_holds_for_the_next_attempt_too() {
    let (plan, gate) = before_a_step();
    let mut hand = Hand::new(&plan);
    hand.machine.attend();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("a");
    hand.put(yes(gate));
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("b");
    hand.ok("c");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
    assert_eq!(asked(&hand), 1);
}

/// Looks in each of three lanes, two at once, and has work where the look finds some.
fn work_that_only_results_show() -> (Arc<Plan>, Gate) {
    let lanes = ["w1", "w2", "w3"];
    let lanes = lanes.map(|n| (n.to_string(), vec![step("look"), Piece::When(true, vec![step("a")])]));
    let mut plan = Arc::unwrap_or_clone(plan(pausing(), &[Piece::Each(lanes.to_vec(), vec![2], 0, 0)]));
    for look in plan.steps.iter_mut().filter(|step| step.key.ends_with("look")) {
        look.effect = dsl::program::Effect::Reads;
    }
    let gate = Gate::Scope(ScopeId(1));
    plan.approvals = [(gate, "now these?".to_string())].into();
    (Arc::new(plan), gate)
}

#[test]
fn where_only_a_result_shows_whether_there_is_work_nobody_is_asked_before_it() {
    let (plan, gate) = work_that_only_results_show();
    let mut hand = Hand::new(&plan);
    hand.machine.attend();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    assert_eq!(hand.asked(), ["probe w1/look 1", "probe w2/look 1"]);
    hand.give("w1/look", Value::Bool(false));
    assert_eq!(asked(&hand), 0);
    hand.give("w2/look", Value::Bool(true));
    hand.give("w3/look", Value::Bool(true));
    assert_eq!(asked(&hand), 1, "once for all that wait");
    hand.put(yes(gate));
    assert_eq!(hand.asked(), ["probe w2/when/a 1", "probe w3/when/a 1"]);
    hand.ok("w2/when/a");
    hand.ok("w3/when/a");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn where_results_show_no_work_nobody_is_asked_at_all() {
    let (plan, _) = work_that_only_results_show();
    let mut hand = Hand::begun(&plan);
    for look in ["w1/look", "w2/look", "w3/look"] {
        hand.give(look, Value::Bool(false));
    }
    assert_eq!(asked(&hand), 0);
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_run_that_held_at_such_a_question_goes_on_behind_it() {
    let (plan, gate) = work_that_only_results_show();
    let mut hand = Hand::begun(&plan);
    hand.give("w1/look", Value::Bool(true));
    hand.give("w2/look", Value::Bool(true));
    assert_eq!(hand.paused(), "somebody must approve: now these?");
    let mut hand = hand.reborn();
    hand.put(yes(gate));
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("w1/when/a");
    hand.ok("w2/when/a");
    hand.give("w3/look", Value::Bool(true));
    hand.ok("w3/when/a");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
    assert_eq!(asked(&hand), 1);
}

#[test]
fn work_that_is_sure_is_asked_about_where_its_scope_begins() {
    let (plan, _) = work_that_only_results_show();
    let mut plan = Arc::unwrap_or_clone(plan);
    plan.steps[0].effect = dsl::program::Effect::ChangesNode;
    let hand = Hand::begun(&Arc::new(plan));
    assert!(hand.asked().is_empty());
    assert_eq!(asked(&hand), 1);
}

#[test]
fn a_plan_says_how_often_it_asks_and_how_often_it_may() {
    let (plan, gate) = work_that_only_results_show();
    assert_eq!(plan.asks().as_deref(), Some("may ask once"));
    let mut plan = Arc::unwrap_or_clone(plan);
    plan.approvals.insert(Gate::Step(StepId(0)), "look?".into());
    assert_eq!(plan.asks().as_deref(), Some("asks once, maybe once more"));
    plan.approvals.remove(&gate);
    assert_eq!(plan.asks().as_deref(), Some("asks once"));
    plan.approvals.clear();
    assert_eq!(plan.asks(), None);
}

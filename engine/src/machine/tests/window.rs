//! What waits for a maintenance window.

use super::*;
use crate::event::Outcome;
use crate::machine::Mode;
use crate::plan::Gate;

const NIGHT: &str = "daily 00:00-06:00 UTC";

fn says(open: bool, until: &str) -> Input {
    Input::Window { window: NIGHT.into(), open, until: until.into() }
}

fn pausing() -> OnFailure {
    OnFailure::Pause(String::new())
}

fn at_night(plan: &Arc<Plan>, gates: impl IntoIterator<Item = Gate>) -> Arc<Plan> {
    let mut plan = Arc::unwrap_or_clone(plan.clone());
    plan.windows = gates.into_iter().map(|gate| (gate, NIGHT.to_string())).collect();
    Arc::new(plan)
}

/// A step, and then two lanes with two steps each, one at a time, that begin at night only.
fn lanes() -> Arc<Plan> {
    let lanes = ["w1", "w2"].map(|n| (n.to_string(), vec![step("s"), step("t")])).to_vec();
    let plan = plan(pausing(), &[step("a"), Piece::Each(lanes, vec![1], 0, 0)]);
    let is_lane = |id: &ScopeId| matches!(plan.scope(*id).kind, ScopeKind::Lane { .. });
    let lanes = (0..plan.scopes.len() as u32).map(ScopeId).filter(is_lane);
    at_night(&plan, lanes.map(Gate::Scope))
}

fn waited(hand: &Hand) -> usize {
    hand.journal.iter().filter(|(_, e)| matches!(e, Event::WindowAwaited { .. })).count()
}

/// Begins while it is day.
fn by_day(plan: &Arc<Plan>) -> Hand {
    let mut hand = Hand::new(plan);
    hand.put(says(false, "tonight"));
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand
}

#[test]
fn a_node_begins_when_its_window_opens_and_is_brought_to_its_end() {
    let mut hand = by_day(&lanes());
    hand.ok("a");
    assert!(hand.asked().is_empty());
    assert!(matches!(hand.last(), Event::WindowAwaited { opens, .. } if opens == "tonight"));
    assert!(hand.machine.awaits_a_window() && hand.machine.poll_timeout().is_none());
    hand.put(says(true, "in the morning"));
    assert!(!hand.machine.awaits_a_window());
    hand.ok("w1/s");
    // It closes while the node is at work.
    hand.put(says(false, "tomorrow night"));
    hand.ok("w1/t");
    assert_eq!(waited(&hand), 2);
    assert!(hand.asked().is_empty());
    hand.put(says(true, "in the morning"));
    hand.ok("w2/s");
    hand.ok("w2/t");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn what_waits_is_told_once_and_again_when_the_time_is_another() {
    let mut hand = by_day(&lanes());
    hand.ok("a");
    hand.put(says(false, "tonight"));
    hand.put(Input::Tick);
    assert_eq!(waited(&hand), 1);
    hand.put(says(false, "tomorrow night"));
    assert_eq!(waited(&hand), 2);
}

#[test]
fn a_run_that_waits_for_its_window_can_be_held_and_waits_again_when_it_is_resumed() {
    let mut hand = by_day(&lanes());
    hand.ok("a");
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    assert!(!hand.machine.awaits_a_window());
    let mut hand = hand.reborn();
    hand.put(says(false, "tonight"));
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    assert_eq!(waited(&hand), 2);
    assert_eq!(hand.machine.state().held().len(), 1);
    hand.put(says(true, "in the morning"));
    assert_eq!(hand.asked(), ["probe w1/s 1"]);
}

#[test]
fn a_node_that_was_under_way_when_kup_died_is_brought_to_its_end_by_day() {
    let mut hand = by_day(&lanes());
    hand.ok("a");
    hand.put(says(true, "in the morning"));
    hand.ok("w1/s");
    let mut hand = hand.reborn();
    hand.put(says(false, "tonight"));
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("w1/t");
    assert!(hand.asked().is_empty());
    assert_eq!(hand.machine.state().held().len(), 1, "the next one waits");
}

#[test]
fn what_is_taken_back_waits_for_no_window() {
    let mut hand = by_day(&lanes());
    hand.ok("a");
    hand.put(Input::Rollback { by: "ana".into(), why: String::new() });
    assert_eq!(hand.asked(), ["undo a 1"]);
}

#[test]
fn nobody_waits_for_the_window_of_a_node_whose_place_a_failed_one_has() {
    let names = ["w1", "w2", "w3", "w4", "w5"];
    let lanes = names.map(|n| (n.to_string(), vec![step("s")])).to_vec();
    let plan = plan(OnFailure::Continue(2), &[Piece::Each(lanes, vec![3, 1], 0, 0)]);
    let is_lane = |id: &ScopeId| matches!(plan.scope(*id).kind, ScopeKind::Lane { .. });
    let lanes = (0..plan.scopes.len() as u32).map(ScopeId).filter(is_lane);
    let mut hand = Hand::new(&at_night(&plan, lanes.map(Gate::Scope)));
    hand.put(says(true, "in the morning"));
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("w1/s");
    hand.put(says(false, "tonight"));
    hand.ok("w2/s");
    assert!(hand.machine.awaits_a_window(), "there is a place for w5");
    hand.fail("w3/s", Failure::last("broken"));
    hand.back("w3/s");
    assert!(hand.machine.awaits_a_window());
    // With three nodes done, one at a time may be out of service, and that is w3.
    hand.ok("w4/s");
    assert!(!hand.machine.awaits_a_window());
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Paused));
}

#[test]
fn who_is_asked_may_answer_by_day_what_begins_at_night() {
    let gate = Gate::Step(StepId(1));
    let plan = at_night(&plan(pausing(), &[step("a"), step("b")]), [gate]);
    let mut plan = Arc::unwrap_or_clone(plan);
    plan.approvals = [(gate, "go on with b?".to_string())].into();
    let mut hand = Hand::new(&Arc::new(plan));
    hand.machine.attend();
    hand.put(says(false, "tonight"));
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("a");
    assert_eq!((hand.machine.state().asked().len(), waited(&hand)), (1, 0));
    hand.put(Input::Answer { gate, yes: true, by: "bea".into(), when: "noon".into(), why: String::new() });
    assert_eq!(waited(&hand), 1);
    hand.put(says(true, "in the morning"));
    // A second attempt is no beginning.
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    let mut hand = hand.reborn();
    hand.put(says(false, "tonight"));
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.ok("b");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn nothing_waits_for_a_window_that_has_no_work_behind_it() {
    let mut plan = Arc::unwrap_or_clone(lanes());
    for step in &mut plan.steps {
        step.work = Work::Done("it is there".into());
    }
    assert!(plan.held().is_empty());
    let hand = by_day(&Arc::new(plan));
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_step_that_is_skipped_by_somebody_waits_no_longer() {
    let gate = Gate::Step(StepId(0));
    let mut hand = by_day(&at_night(&plan(pausing(), &[step("a"), step("b")]), [gate]));
    assert!(hand.machine.awaits_a_window());
    hand.put(Input::Waive { step: StepId(0), by: "ana".into(), why: "not this time".into() });
    assert!(!hand.machine.awaits_a_window());
    assert_eq!(hand.asked(), ["probe b 1"]);
}

//! What a person decides against the plan.

use super::*;
use crate::event::Outcome;
use crate::machine::{Mode, StepState};

fn pausing() -> OnFailure {
    OnFailure::Pause(String::new())
}

fn waive(step: u32) -> Input {
    Input::Waive { step: StepId(step), by: "ana".into(), why: "by hand".into() }
}

fn retry(step: u32) -> Input {
    Input::Retry { step: StepId(step), by: "ana".into(), why: String::new() }
}

fn abort() -> Input {
    Input::Abort { by: "ana".into(), why: "another way".into() }
}

fn begin() -> Input {
    Input::Begin { by: "ana".into(), why: String::new() }
}

#[test]
fn a_failed_step_that_is_waived_is_skipped_with_who_and_why_and_the_rest_goes_on() {
    let plan = plan(pausing(), &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::last("broken"));
    hand.back("a");
    let mut hand = hand.reborn();
    hand.put(waive(0));
    assert!(hand.asked().is_empty(), "a decision alone begins nothing");
    let mut hand = hand.reborn();
    hand.put(begin());
    assert!(
        hand.journal
            .iter()
            .any(|(_, e)| *e == Event::StepSkipped(StepId(0), "skipped by ana: by hand".into()))
    );
    hand.ok("b");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn what_stands_behind_a_waived_step_still_waits_for_what_stands_before_it() {
    let plan = plan(pausing(), &[step("a"), step("b"), step("c")]);
    let mut hand = Hand::begun(&plan);
    hand.put(waive(1));
    assert_eq!(hand.asked(), ["probe a 1"]);
    hand.ok("a");
    assert_eq!(hand.asked(), ["probe c 1"]);
}

#[test]
fn what_runs_or_is_done_cannot_be_waived() {
    let plan = plan(pausing(), &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.put(waive(0));
    hand.ok("a");
    hand.put(waive(0));
    assert!(!hand.journal.iter().any(|(_, e)| matches!(e, Event::StepWaived { .. })));
}

#[test]
fn what_was_waived_between_two_attempts_is_taken_back_after_what_was_built_upon_it() {
    let plan = plan(OnFailure::Rollback, &[Piece::Step("a", |s| s.retry.times = 1), step("b"), step("c")]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::transient("busy"));
    hand.put(waive(0));
    hand.ok("b");
    hand.fail("c", Failure::last("broken"));
    for step in ["c", "b", "a"] {
        hand.back(step);
    }
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Compensated));
}

#[test]
fn a_change_that_was_left_half_made_and_waived_is_taken_back_by_a_rollback() {
    let mut plan = Arc::unwrap_or_clone(plan(pausing(), &[step("a"), step("b")]));
    plan.steps[0].retry.times = 0;
    let mut hand = Hand::begun(&Arc::new(plan));
    hand.fail("a", Failure::last("broken"));
    hand.answer("a", |s, a| Input::Undone(s, a, Err(Failure::last("stuck"))));
    hand.put(waive(0));
    hand.put(begin());
    assert_eq!(hand.machine.state().step(StepId(0)).state, StepState::Skipped);
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    hand.put(Input::Rollback { by: "ana".into(), why: String::new() });
    assert_eq!(hand.asked(), ["undo a 2"]);
    hand.back("a");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Compensated));
}

#[test]
fn the_next_attempt_can_be_made_at_once() {
    let plan =
        plan(pausing(), &[Piece::Step("a", |s| s.retry = Retry { times: 2, min: 60_000, max: 60_000 })]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::transient("busy"));
    assert!(hand.asked().is_empty());
    hand.put(retry(0));
    assert_eq!(hand.asked(), ["probe a 2"]);
    hand.ok("a");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn one_failed_lane_is_tried_again_and_the_others_stay_as_they_are() {
    let lanes = ["w1", "w2"].map(|n| (n.to_string(), vec![step("s"), step("t")])).to_vec();
    let plan = plan(OnFailure::Continue(5), &[Piece::Each(lanes, vec![2], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    for lane in ["w1/s", "w2/s"] {
        hand.fail(lane, Failure::last("broken"));
        hand.back(lane);
    }
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    let mut hand = hand.reborn();
    let second = hand.id("w2/s");
    hand.put(Input::Retry { step: second, by: "ana".into(), why: "mended".into() });
    assert_eq!(hand.asked(), ["probe w2/s 2"]);
    hand.ok("w2/s");
    hand.ok("w2/t");
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    hand.put(begin());
    assert_eq!(hand.asked(), ["probe w1/s 2"]);
}

#[test]
fn a_lane_that_failed_comes_back_into_service_while_the_others_go_on() {
    let lanes = ["w1", "w2"].map(|n| (n.to_string(), vec![step("s"), step("t")])).to_vec();
    let plan = plan(OnFailure::Continue(5), &[Piece::Each(lanes, vec![2], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("w1/s", Failure::last("broken"));
    hand.back("w1/s");
    hand.put(waive(0));
    assert!(hand.asked().contains(&"probe w1/t 1".to_string()), "{:?}", hand.asked());
    assert_eq!(hand.machine.state().failed_lanes(), 0);
}

#[test]
fn an_aborted_run_lets_what_runs_end_and_never_goes_forward_again() {
    let plan = plan(pausing(), &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.put(abort());
    assert_eq!(hand.machine.state().mode(), Mode::Stopping);
    hand.answer("a", |s, a| Input::Done(s, a, Value::None));
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Failed));
    let mut hand = hand.reborn();
    let told = hand.journal.len();
    hand.put(begin());
    hand.put(waive(1));
    hand.put(retry(1));
    assert_eq!(hand.journal.len(), told);
    hand.put(Input::Rollback { by: "ana".into(), why: String::new() });
    hand.back("a");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Compensated));
}

#[test]
fn a_run_that_holds_is_aborted_without_beginning_anything() {
    let plan = plan(pausing(), &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::last("broken"));
    hand.back("a");
    let mut hand = hand.reborn();
    hand.put(abort());
    assert!(hand.asked().is_empty());
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Failed));
    assert!(hand.machine.state().is_aborted());
}

#[test]
fn what_became_free_while_its_lane_was_out_of_service_is_not_forgotten() {
    let both = Piece::Parallel(vec![step("p"), step("q")]);
    let lanes = vec![("w1".to_string(), vec![both, step("t")]), ("w2".to_string(), vec![step("u")])];
    let plan = plan(OnFailure::Continue(5), &[Piece::Each(lanes, vec![2], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("w1/p", Failure::last("broken"));
    hand.back("w1/p");
    hand.ok("w1/q");
    hand.put(waive(0));
    assert!(hand.asked().contains(&"probe w1/t 1".to_string()), "{:?}", hand.asked());
}

#[test]
fn what_waits_for_its_next_attempt_in_a_failed_lane_and_is_waived_comes_to_its_end() {
    let slow = Piece::Step("q", |s| s.retry = Retry { times: 2, min: 60_000, max: 60_000 });
    let both = Piece::Parallel(vec![step("p"), slow]);
    let lanes = vec![("w1".to_string(), vec![both])];
    let plan = plan(OnFailure::Continue(5), &[Piece::Each(lanes, vec![1], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("w1/q", Failure::transient("busy"));
    hand.fail("w1/p", Failure::last("broken"));
    hand.back("w1/p");
    hand.put(waive(1));
    hand.tick();
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    assert_eq!(hand.machine.state().step(StepId(1)).state, StepState::Skipped);
}

#[test]
fn what_was_to_be_done_on_a_node_that_is_gone_is_left_out_and_the_rest_goes_on() {
    let lanes = ["w1", "w2"].map(|n| (n.to_string(), vec![step("s"), step("t")])).to_vec();
    let mut plan = Arc::unwrap_or_clone(plan(pausing(), &[Piece::Each(lanes, vec![1], 0, 0), step("end")]));
    for step in &mut plan.steps {
        step.node = step.key.split_once('/').map(|(node, _)| node.to_string());
    }
    let mut hand = Hand::begun(&Arc::new(plan));
    hand.start("w1/s");
    hand.answer("w1/s", |s, a| Input::NodeGone(s, a, Failure::unknown("the connection broke")));
    // And kup dies.
    let mut hand = hand.reborn();
    hand.put(begin());
    assert_eq!(hand.asked(), ["probe w2/s 1"], "its place is free, and nothing is asked of it any more");
    for step in ["w2/s", "w2/t", "end"] {
        hand.ok(step);
    }
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
    let skipped = |e: &Event| matches!(e, Event::StepSkipped(_, why) if why == "skipped by kup: w1 is gone from the cluster");
    assert_eq!(hand.journal.iter().filter(|(_, e)| skipped(e)).count(), 2);
}

#[test]
fn what_was_done_on_a_node_that_is_gone_has_gone_with_it_when_the_run_is_rolled_back() {
    let lanes = ["w1", "w2"].map(|n| (n.to_string(), vec![step("s")])).to_vec();
    let mut plan = Arc::unwrap_or_clone(plan(pausing(), &[Piece::Each(lanes, vec![1], 0, 0), step("end")]));
    for step in &mut plan.steps {
        step.node = step.key.split_once('/').map(|(node, _)| node.to_string());
    }
    let mut hand = Hand::begun(&Arc::new(plan));
    hand.ok("w1/s");
    hand.ok("w2/s");
    hand.fail("end", Failure::last("broken"));
    hand.back("end");
    hand.put(Input::Rollback { by: "ben".into(), why: String::new() });
    hand.answer("w2/s", Input::UndoneWithNode);
    hand.back("w1/s");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Compensated));
    let told = |e: &Event| matches!(e, Event::StepWaived { by, why, .. } if by == "kup" && why.starts_with("w2 is gone from the cluster"));
    assert_eq!(hand.journal.iter().filter(|(_, e)| told(e)).count(), 1);
}

//! One story for each rule of the machine.

use dsl::program::{Effect as Touches, OnFailure, Retry};
use dsl::value::Value;

use super::*;
use crate::event::Outcome;
use crate::machine::{Mode, Phase, StepState};

fn pausing() -> OnFailure {
    OnFailure::Pause("look at it".into())
}

fn lanes(names: &[&str], pieces: &[Piece]) -> Vec<(String, Vec<Piece>)> {
    names.iter().map(|n| (n.to_string(), pieces.to_vec())).collect()
}

fn finished(outcome: Outcome) -> Event {
    Event::RunFinished(outcome)
}

#[test]
fn steps_run_in_the_order_of_the_text_and_the_run_is_done() {
    let plan = plan(pausing(), &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    assert_eq!(hand.asked(), ["probe a 1"]);
    hand.ok("a");
    assert_eq!(hand.asked(), ["probe b 1"]);
    hand.ok("b");
    assert_eq!(hand.last(), &finished(Outcome::Done));
    assert_eq!(hand.machine.poll_timeout(), None);
}

#[test]
fn a_step_whose_work_is_done_already_changes_nothing() {
    let plan = plan(pausing(), &[step("a")]);
    let mut hand = Hand::begun(&plan);
    hand.answer("a", |s, a| Input::Probed(s, a, Check::Done("kubelet is v1.34.2".into())));
    let done = Event::StepDone {
        step: StepId(0),
        attempt: 1,
        changed: false,
        value: Value::Text("kubelet is v1.34.2".into()),
    };
    assert!(hand.journal.iter().any(|(_, e)| *e == done));
}

#[test]
fn a_step_without_work_is_skipped_with_its_reason() {
    let plan = plan(
        pausing(),
        &[Piece::Step("a", |s| s.work = Work::NotNeeded("nothing to prepare".into())), step("b")],
    );
    let hand = Hand::begun(&plan);
    assert!(
        hand.journal.iter().any(|(_, e)| *e == Event::StepSkipped(StepId(0), "nothing to prepare".into()))
    );
    assert_eq!(hand.asked(), ["probe b 1"]);
}

#[test]
fn work_that_goes_on_by_itself_is_followed_and_its_reasons_are_told_when_they_change() {
    let plan = plan(pausing(), &[step("a")]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.answer("a", |s, a| Input::Began(s, a, Value::Number(42)));
    assert_eq!(hand.asked(), ["follow a 1"]);
    for reason in ["pod db", "pod db", "pod web"] {
        hand.put(Input::Waiting(StepId(0), 1, reason.into()));
    }
    let told = hand.journal.iter().filter(|(_, e)| matches!(e, Event::StepWaiting { .. })).count();
    assert_eq!(told, 2);
    hand.answer("a", |s, a| Input::Done(s, a, Value::None));
    assert_eq!(hand.last(), &finished(Outcome::Done));
}

#[test]
fn a_transient_failure_is_tried_again_after_its_delay_and_probes_first() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry = Retry { times: 2, min: 100, max: 1_000 })]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::transient("no route"));
    assert!(matches!(hand.last(), Event::AttemptFailed { attempt: 1, until: 1..=100, .. }));
    assert_eq!(hand.asked(), [""; 0]);
    hand.tick();
    assert_eq!(hand.asked(), ["probe a 2"]);
    hand.fail("a", Failure::transient("no route"));
    hand.tick();
    hand.fail("a", Failure::transient("no route"));
    hand.back("a");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    assert_eq!(hand.paused(), "`a` failed: no route; look at it");
}

#[test]
fn a_final_failure_is_never_tried_again() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 9)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::last("bare pod"));
    assert_eq!(hand.asked(), ["undo a 1"]);
    hand.back("a");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
}

#[test]
fn an_unknown_failure_is_probed_at_once_and_a_second_one_in_a_row_is_final() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 9)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::unknown("lost cp1"));
    assert_eq!(hand.asked(), ["probe a 2"]);
    hand.fail("a", Failure::unknown("lost cp1"));
    hand.back("a");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
}

#[test]
fn a_step_that_only_reads_may_be_lost_as_often_as_it_may_be_tried() {
    let plan = plan(
        pausing(),
        &[Piece::Step("a", |s| {
            s.retry.times = 3;
            s.effect = Touches::Reads;
        })],
    );
    let mut hand = Hand::begun(&plan);
    for _ in 0..3 {
        hand.answer("a", |s, a| Input::Failed(s, a, Failure::unknown("lost cp1")));
    }
    assert_eq!(hand.asked(), ["probe a 4"]);
}

#[test]
fn work_found_done_after_it_was_begun_counts_as_a_change() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 1)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::unknown("lost cp1"));
    hand.answer("a", |s, a| Input::Probed(s, a, Check::Done("is cordoned".into())));
    assert!(hand.machine.state().step(StepId(0)).changed);
    assert_eq!(hand.machine.state().step(StepId(0)).before, Value::Text("was".into()));
}

#[test]
fn an_attempt_without_an_end_is_cancelled_and_its_late_answer_is_dropped() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 1)]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.effects.clear();
    hand.tick();
    assert_eq!(hand.now, 60_000);
    assert_eq!(hand.asked(), ["cancel a 1"]);
    hand.effects.clear();
    hand.put(Input::Done(StepId(0), 1, Value::None));
    assert!(
        matches!(hand.last(), Event::AttemptFailed { failure, .. } if failure.message == "no end after 1m")
    );
    hand.tick();
    assert_eq!(hand.asked(), ["probe a 2"]);
    hand.put(Input::Done(StepId(0), 1, Value::None));
    hand.put(Input::Failed(StepId(0), 1, Failure::last("late")));
    assert!(matches!(hand.machine.state().step(StepId(0)).state, StepState::Running { attempt: 2, .. }));
}

#[test]
fn work_that_was_followed_to_its_deadline_is_not_begun_once_more() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 2)]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.answer("a", |s, a| Input::Began(s, a, Value::Number(1)));
    hand.put(Input::Waiting(StepId(0), 1, "pod db".into()));
    hand.effects.clear();
    hand.tick();
    assert_eq!(hand.asked(), ["cancel a 1", "undo a 1"]);
    hand.effects.pop_front();
    hand.back("a");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    assert_eq!(hand.paused(), "`a` failed: no end after 1m, waiting for pod db; look at it");
}

#[test]
fn what_still_runs_detached_is_not_taken_back_beside_itself() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.long = true)]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.answer("a", |s, a| Input::Began(s, a, Value::Number(1)));
    hand.effects.clear();
    hand.tick();
    assert_eq!(hand.asked(), ["cancel a 1", "clean a 1 0"]);
    assert_eq!(hand.last(), &finished(Outcome::Paused));
}

#[test]
fn only_a_change_that_can_be_taken_back_is_taken_back_when_its_step_fails() {
    let one_way = Piece::Step("a", |s| s.undo = Undo::OneWay("no way down".into()));
    let harmless = Piece::Step("a", |s| s.undo = Undo::Nothing);
    let reads = Piece::Step("a", |s| s.effect = Touches::Reads);
    for piece in [one_way, harmless, reads] {
        let mut hand = Hand::begun(&plan(pausing(), &[piece]));
        hand.fail("a", Failure::last("broken"));
        assert_eq!(hand.last(), &finished(Outcome::Paused));
        assert_eq!(hand.machine.state().step(StepId(0)).state, StepState::Failed);
    }
}

#[test]
fn a_failed_step_is_taken_back_before_the_pause_and_tried_anew_by_a_resume() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 1), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::last("broken"));
    hand.answer("a", |s, a| Input::Undone(s, a, Err(Failure::transient("no route"))));
    hand.tick();
    assert_eq!(hand.asked(), ["undo a 2"]);
    hand.back("a");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    let record = hand.machine.state().step(StepId(0));
    assert_eq!((record.state, record.failed), (StepState::Undone, true));
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["probe a 2"]);
    hand.answer("a", |s, a| Input::Probed(s, a, Check::Done("there".into())));
    assert!(!hand.machine.state().step(StepId(0)).changed, "nothing of the first attempt is left");
    hand.ok("b");
    assert_eq!(hand.last(), &finished(Outcome::Done));
}

#[test]
fn a_failed_step_that_cannot_be_taken_back_is_told_and_tried_anew_by_a_resume() {
    let plan = plan(pausing(), &[step("a")]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::last("broken"));
    hand.answer("a", |s, a| Input::Undone(s, a, Err(Failure::last("no way"))));
    assert_eq!(hand.paused(), "`a` failed: broken; look at it; `a` could not be taken back: no way");
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    hand.ok("a");
    assert_eq!(hand.last(), &finished(Outcome::Done));
}

#[test]
fn after_a_crash_a_failed_step_is_taken_back_to_the_end_and_then_tried_anew() {
    let plan = plan(pausing(), &[step("a")]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::last("broken"));
    assert_eq!(hand.asked(), ["undo a 1"]);
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["undo a 2"]);
    hand.back("a");
    hand.ok("a");
    assert_eq!(hand.last(), &finished(Outcome::Done));
}

#[test]
fn an_interrupt_waits_for_a_change_to_be_taken_back_but_for_no_second_attempt() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 1)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::last("broken"));
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.machine.state().mode(), Mode::Stopping);
    hand.answer("a", |s, a| Input::Undone(s, a, Err(Failure::transient("no route"))));
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    let mut hand = hand.reborn();
    hand.put(Input::Rollback { by: "ana".into(), why: String::new() });
    assert_eq!(hand.asked(), ["undo a 2"]);
}

#[test]
fn a_pause_lets_running_steps_end_and_begins_nothing_new() {
    let plan = plan(pausing(), &[Piece::Parallel(vec![step("a"), step("b")]), step("c")]);
    let mut hand = Hand::begun(&plan);
    hand.start("b");
    hand.fail("a", Failure::last("broken"));
    assert_eq!(hand.machine.state().mode(), Mode::Stopping);
    hand.back("a");
    hand.answer("b", |s, a| Input::Done(s, a, Value::None));
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    assert_eq!(hand.machine.state().step(hand.id("c")).state, StepState::Waiting);
}

#[test]
fn a_resumed_run_tries_failed_steps_again_with_a_new_allowance_and_new_numbers() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 1), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::transient("no route"));
    hand.tick();
    hand.fail("a", Failure::transient("no route"));
    hand.back("a");
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["probe a 3"]);
    hand.fail("a", Failure::transient("no route"));
    hand.tick();
    hand.ok("a");
    hand.ok("b");
    assert_eq!(hand.last(), &finished(Outcome::Done));
}

#[test]
fn after_a_crash_begun_work_is_followed_and_anything_else_is_probed_again() {
    let plan = plan(pausing(), &[Piece::Parallel(vec![step("a"), step("b"), step("c")])]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.answer("a", |s, a| Input::Began(s, a, Value::Number(1)));
    hand.start("b");
    let mut hand = hand.reborn();
    hand.now = 500_000;
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["follow a 1", "probe b 1", "probe c 1"]);
    assert_eq!(hand.machine.poll_timeout(), Some(530_000), "half of their minute");
    hand.answer("b", |s, a| Input::Probed(s, a, Check::Done("there".into())));
    assert!(hand.machine.state().step(hand.id("b")).changed, "it had begun: it is our change");
}

#[test]
fn the_window_is_never_exceeded_and_slides() {
    let lanes = lanes(&["w1", "w2", "w3", "w4"], &[step("x")]);
    let plan = plan(pausing(), &[Piece::Each(lanes, vec![2], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    assert_eq!(hand.asked(), ["probe w1/x 1", "probe w2/x 1"]);
    hand.ok("w2/x");
    assert_eq!(hand.asked(), ["probe w1/x 1", "probe w3/x 1"]);
}

#[test]
fn a_ramp_widens_after_each_window_that_ended_well() {
    let lanes = lanes(&["w1", "w2", "w3", "w4", "w5", "w6"], &[step("x")]);
    let plan = plan(pausing(), &[Piece::Each(lanes, vec![1, 3], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    assert_eq!(hand.asked(), ["probe w1/x 1"]);
    hand.ok("w1/x");
    assert_eq!(hand.asked(), ["probe w2/x 1", "probe w3/x 1", "probe w4/x 1"]);
}

#[test]
fn canaries_go_first_and_are_watched_before_the_rest() {
    let lanes = lanes(&["w1", "w2", "w3", "w4"], &[step("x")]);
    let plan = plan(pausing(), &[Piece::Each(lanes, vec![3], 1, 600_000)]);
    let mut hand = Hand::begun(&plan);
    assert_eq!(hand.asked(), ["probe w1/x 1"]);
    hand.now = 1_000;
    hand.ok("w1/x");
    assert_eq!(hand.asked(), [""; 0]);
    hand.tick();
    assert_eq!(hand.now, 601_000);
    assert_eq!(hand.asked(), ["probe w2/x 1", "probe w3/x 1", "probe w4/x 1"]);
}

#[test]
fn lanes_go_on_within_the_failure_budget_and_a_failed_one_keeps_its_place() {
    let lanes = lanes(&["w1", "w2", "w3"], &[step("x"), step("y")]);
    let plan = plan(OnFailure::Continue(1), &[Piece::Each(lanes, vec![2], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("w1/x", Failure::last("broken"));
    assert_eq!(hand.asked(), ["probe w2/x 1", "undo w1/x 1"]);
    hand.ok("w2/x");
    hand.ok("w2/y");
    assert_eq!(hand.asked(), ["undo w1/x 1", "probe w3/x 1"]);
    hand.ok("w3/x");
    hand.ok("w3/y");
    assert_eq!(hand.asked(), ["undo w1/x 1"]);
    hand.back("w1/x");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    assert_eq!(hand.paused(), "`w1` failed, all else that could be done is done");
}

#[test]
fn a_failure_above_the_budget_pauses() {
    let lanes = lanes(&["w1", "w2", "w3"], &[step("x")]);
    let plan = plan(OnFailure::Continue(1), &[Piece::Each(lanes, vec![3], 0, 0)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("w1/x", Failure::last("broken"));
    hand.fail("w2/x", Failure::last("broken"));
    assert_eq!(hand.machine.state().mode(), Mode::Stopping);
    hand.start("w3/x");
    hand.back("w1/x");
    hand.back("w2/x");
    assert_eq!(hand.paused(), "`w2/x` failed: broken; 2 lanes have failed, the playbook allows 1");
}

#[test]
fn an_abort_takes_back_the_failed_step_and_nothing_else() {
    let plan = plan(OnFailure::Abort, &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    assert_eq!(hand.asked(), [""; 0]);
    assert_eq!(hand.last(), &finished(Outcome::Failed));
    assert_eq!(hand.machine.state().step(StepId(0)).state, StepState::Done);
}

#[test]
fn a_rollback_takes_back_the_failed_step_and_then_the_rest_in_reverse_order_node_by_node() {
    let lanes = lanes(&["w1", "w2"], &[step("x"), step("y")]);
    let plan = plan(OnFailure::Rollback, &[step("a"), Piece::Each(lanes, vec![2], 0, 0), step("z")]);
    let mut hand = Hand::begun(&plan);
    for key in ["a", "w1/x", "w2/x", "w1/y", "w2/y"] {
        hand.ok(key);
    }
    hand.fail("z", Failure::last("broken"));
    let mut order = Vec::new();
    while let Some(next) = hand.asked().first().cloned() {
        let key = next.split(' ').nth(1).expect("a key").to_string();
        hand.answer(&key, |s, a| Input::Undone(s, a, Ok(())));
        order.push(key);
    }
    assert_eq!(order, ["z", "w2/y", "w2/x", "w1/y", "w1/x", "a"]);
    assert_eq!(hand.last(), &finished(Outcome::Compensated));
}

#[test]
fn a_step_that_failed_before_it_found_work_is_not_taken_back() {
    let plan = plan(OnFailure::Rollback, &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    hand.answer("b", |s, a| Input::Failed(s, a, Failure::last("no such package")));
    assert_eq!(hand.asked(), ["undo a 1"]);
}

#[test]
fn past_a_one_way_step_a_rollback_pauses_instead() {
    let plan = plan(
        OnFailure::Rollback,
        &[Piece::Step("a", |s| s.undo = Undo::OneWay("no way down".into())), step("b")],
    );
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    assert_eq!(hand.paused(), "cannot go back past `a`: no way down; what was done before is kept");
}

#[test]
fn an_undo_is_tried_again_and_its_failure_spares_other_lanes() {
    let steps = [Piece::Step("x", |s| s.retry.times = 1), step("y")];
    let plan = plan(
        OnFailure::Rollback,
        &[step("a"), Piece::Each(lanes(&["w1", "w2"], &steps), vec![2], 0, 0), step("z")],
    );
    let mut hand = Hand::begun(&plan);
    for key in ["a", "w1/x", "w2/x", "w1/y", "w2/y"] {
        hand.ok(key);
    }
    hand.answer("z", |s, a| Input::Failed(s, a, Failure::last("broken")));
    hand.answer("w2/y", |s, a| Input::Undone(s, a, Err(Failure::last("cannot"))));
    hand.answer("w1/y", |s, a| Input::Undone(s, a, Ok(())));
    hand.answer("w1/x", |s, a| Input::Undone(s, a, Err(Failure::transient("no route"))));
    hand.tick();
    hand.answer("w1/x", |s, a| Input::Undone(s, a, Ok(())));
    assert_eq!(hand.last(), &finished(Outcome::Failed));
    assert_eq!(hand.machine.state().step(hand.id("a")).state, StepState::Done, "w2 still stands upon it");
}

#[test]
fn a_rollback_survives_a_crash() {
    let plan = plan(OnFailure::Rollback, &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["undo a 2"], "`b` is not taken back twice");
    hand.back("a");
    assert_eq!(hand.last(), &finished(Outcome::Compensated));
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.last(), &finished(Outcome::Compensated));
}

#[test]
fn a_paused_run_can_be_rolled_back() {
    let plan = plan(pausing(), &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    let mut hand = hand.reborn();
    hand.put(Input::Rollback { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["undo a 1"], "`b` is not taken back twice");
    hand.back("a");
    assert_eq!(hand.last(), &finished(Outcome::Compensated));
}

#[test]
fn a_rollback_after_a_crash_sees_begun_work_to_its_end_first() {
    let plan = plan(pausing(), &[step("a")]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.answer("a", |s, a| Input::Began(s, a, Value::Number(1)));
    let mut hand = hand.reborn();
    hand.put(Input::Rollback { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["follow a 1"]);
    hand.answer("a", |s, a| Input::Done(s, a, Value::None));
    assert_eq!(hand.asked(), ["undo a 1"]);
}

#[test]
fn the_first_interrupt_lets_running_steps_end() {
    let plan = plan(pausing(), &[step("a"), step("b")]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.machine.state().mode(), Mode::Stopping);
    hand.answer("a", |s, a| Input::Done(s, a, Value::None));
    assert_eq!(hand.paused(), "interrupted by ana");
    assert_eq!(hand.last(), &finished(Outcome::Paused));
}

#[test]
fn work_found_after_an_interrupt_is_not_begun() {
    let plan = plan(pausing(), &[step("a")]);
    let mut hand = Hand::begun(&plan);
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    hand.start("a");
    assert_eq!(hand.asked(), [""; 0]);
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    assert_eq!(hand.asked(), ["probe a 1"]);
}

#[test]
fn the_second_interrupt_cancels_what_is_not_long_and_the_third_leaves() {
    let plan = plan(pausing(), &[Piece::Parallel(vec![step("a"), Piece::Step("b", |s| s.long = true)])]);
    let mut hand = Hand::begun(&plan);
    hand.start("a");
    hand.start("b");
    hand.effects.clear();
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.asked(), ["cancel a 1"]);
    assert_eq!(hand.machine.state().mode(), Mode::Stopping);
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    assert_eq!(hand.machine.poll_timeout(), None);
    let phase = hand.machine.state().step(hand.id("b")).state;
    assert_eq!(phase, StepState::Running { attempt: 1, phase: Phase::Starting });
}

#[test]
fn a_delay_that_is_waited_for_does_not_hold_up_an_interrupt() {
    let plan = plan(pausing(), &[Piece::Step("a", |s| s.retry.times = 1)]);
    let mut hand = Hand::begun(&plan);
    hand.fail("a", Failure::transient("no route"));
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.last(), &finished(Outcome::Paused));
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ana".into(), why: String::new() });
    hand.tick();
    assert_eq!(hand.asked(), ["probe a 2"]);
}

#[test]
fn an_each_over_nothing_is_passed() {
    let plan = plan(pausing(), &[Piece::Each(vec![], vec![1], 1, 0)]);
    assert_eq!(Hand::begun(&plan).last(), &finished(Outcome::Done));
}

#[test]
fn a_when_is_decided_by_the_result_and_its_steps_are_done_or_skipped() {
    let sides =
        [step("look"), Piece::When(true, vec![step("a")]), Piece::When(false, vec![step("b")]), step("c")];
    let plan = plan(pausing(), &sides);
    for (found, done, skipped, why) in
        [(true, "when/a", "when/b", "r is true"), (false, "when/b", "when/a", "r is false")]
    {
        let mut hand = Hand::begun(&plan);
        hand.give("look", Value::Bool(found));
        assert_eq!(hand.asked(), [format!("probe {done} 1")]);
        hand.ok(done);
        hand.ok("c");
        let out = Event::StepSkipped(hand.id(skipped), why.into());
        assert!(hand.journal.iter().any(|(_, e)| *e == out), "{:?}", hand.journal);
        assert_eq!(hand.last(), &finished(Outcome::Done));
    }
}

#[test]
fn a_decision_is_on_disk_before_its_side_begins_and_a_resumed_run_keeps_it() {
    let plan = plan(pausing(), &[step("look"), Piece::When(true, vec![step("a"), step("b")])]);
    let mut hand = Hand::begun(&plan);
    hand.give("look", Value::Bool(true));
    let at = |hand: &Hand, wanted: fn(&Event) -> bool| hand.journal.iter().position(|(_, e)| wanted(e));
    let decided = at(&hand, |e| matches!(e, Event::WhenDecided { done: true, .. })).expect("it is decided");
    let opened = at(&hand, |e| matches!(e, Event::ScopeOpened(ScopeId(1)))).expect("it is opened");
    assert!(decided < opened);
    // Killed between the decision and the beginning of the side, and then in the middle of it.
    for cut in [decided + 1, opened + 1, hand.journal.len()] {
        let mut cut = Hand { journal: hand.journal[..cut].to_vec(), ..Hand::new(&plan) };
        cut = Hand { machine: Machine::replay(plan.clone(), 7, cut.journal.iter().cloned()), ..cut };
        cut.put(Input::Begin { by: "ben".into(), why: String::new() });
        assert_eq!(cut.asked(), ["probe when/a 1"]);
        let decisions = cut.journal.iter().filter(|(_, e)| matches!(e, Event::WhenDecided { .. })).count();
        assert_eq!(decisions, 1);
    }
}

#[test]
fn lanes_of_a_side_that_is_left_out_wait_for_nobody() {
    let inner = Piece::Each(lanes(&["w1", "w2", "w3"], &[step("a")]), vec![1], 1, 3_600_000);
    let plan = plan(pausing(), &[step("look"), Piece::When(true, vec![inner])]);
    let mut hand = Hand::begun(&plan);
    hand.give("look", Value::Bool(false));
    assert_eq!(hand.last(), &finished(Outcome::Done));
    assert_eq!(hand.now, 0, "no soak for lanes in which nothing was done");
}

#[test]
fn a_step_whose_work_was_done_already_gives_nothing_back() {
    let plan = plan(pausing(), &[step("look"), Piece::When(true, vec![step("a")])]);
    let mut hand = Hand::begun(&plan);
    hand.answer("look", |s, a| Input::Probed(s, a, Check::Done("it is there".into())));
    assert!(hand.journal.iter().any(|(_, e)| matches!(e, Event::WhenDecided { done: false, .. })));
    assert_eq!(hand.last(), &finished(Outcome::Done));
}

#[test]
fn arguments_are_filled_in_with_what_earlier_steps_gave_back() {
    let mut made = Arc::unwrap_or_clone(plan(OnFailure::Rollback, &[step("look"), step("a"), step("b")]));
    made.steps[0].gives = Some(Type::Text);
    let kind = ExprKind::Result(0, "old".into());
    let later = Expr { kind, ty: Type::Text, span: made.steps[0].span };
    made.steps[1].args = [("line".to_string(), Value::None)].into();
    made.steps[1].later = [("line".to_string(), later.clone())].into();
    let undo = crate::plan::UndoStep {
        action: "work".into(),
        text: "back".into(),
        args: [("line".to_string(), Value::None), ("n".to_string(), Value::Number(1))].into(),
        later: [("line".to_string(), later)].into(),
        node: None,
        long: false,
        timeout: 1_000,
        retry: Retry { times: 0, min: 1, max: 1 },
    };
    made.steps[1].undo = Undo::Steps(vec![undo]);
    let mut hand = Hand::begun(&Arc::new(made));
    let line = |hand: &Hand| {
        let effect = hand.effects.back().expect("something is asked for");
        hand.machine.arguments(effect, &|_, name| name == "line").expect("it is known")[0]
            .get("line")
            .cloned()
    };
    hand.give("look", Value::Text("v1".into()));
    assert_eq!(line(&hand), Some(Value::Text("v1".into())));
    // A resumed run knows it from the journal.
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(line(&hand), Some(Value::Text("v1".into())));
    hand.ok("a");
    hand.fail("b", Failure::last("broken"));
    hand.back("b");
    assert_eq!(hand.asked(), ["undo a 1"]);
    assert_eq!(line(&hand), Some(Value::Text("v1".into())));
}

#[test]
fn a_when_that_cannot_be_decided_holds_the_run() {
    let mut made = Arc::unwrap_or_clone(plan(pausing(), &[step("look"), Piece::When(true, vec![step("a")])]));
    made.steps[0].gives = None;
    let mut hand = Hand::begun(&Arc::new(made));
    hand.ok("look");
    assert!(hand.paused().starts_with("`when r` cannot be decided"), "{}", hand.paused());
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.last(), &finished(Outcome::Paused));
}

use super::*;

use crate::event::Outcome;
use crate::machine::{Mode, StepState};

fn slow(hand: &mut Hand) {
    hand.now = hand.machine.poll_timeout().expect("a deadline");
    hand.put(Input::Tick);
}

#[test]
fn an_attempt_that_has_used_half_of_its_time_says_so_once_and_one_that_ended_never() {
    let plan = plan(OnFailure::Rollback, &[step("a"), step("b"), Piece::Step("c", |s| s.retry.times = 1)]);
    let mut hand = Hand::begun(&plan);
    hand.ok("a");
    hand.now = 1_000;
    hand.start("b");
    hand.answer("b", |s, a| Input::Began(s, a, Value::Number(1)));
    slow(&mut hand);
    assert_eq!(hand.last(), &Event::StepSlow { step: hand.id("b"), attempt: 1, until: 60_000 });
    assert_eq!((hand.now, hand.machine.poll_timeout()), (30_000, Some(60_000)));
    hand.now = 40_000;
    hand.answer("b", |s, a| Input::Done(s, a, Value::None));
    // The next attempt has a time of its own.
    slow(&mut hand);
    assert_eq!(hand.last(), &Event::StepSlow { step: hand.id("c"), attempt: 1, until: 100_000 });
    hand.fail("c", Failure::transient("busy"));
    slow(&mut hand);
    slow(&mut hand);
    assert!(matches!(hand.last(), Event::StepSlow { attempt: 2, until, .. } if *until == hand.now + 30_000));
    // Nor is going back without an end.
    hand.fail("c", Failure::last("no"));
    slow(&mut hand);
    let until = hand.now + 30_000;
    assert_eq!(hand.last(), &Event::StepSlow { step: hand.id("c"), attempt: 1, until });
    for step in ["c", "b", "a"] {
        hand.back(step);
    }
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Compensated));
    assert_eq!(hand.machine.poll_timeout(), None);
}

/// Fifteen steps side by side, each of which may be tried ten times.
fn many() -> Arc<Plan> {
    const NAMES: [&str; 15] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"];
    let pieces = NAMES.map(|name| Piece::Step(name, |step| step.retry.times = 9)).into();
    plan(OnFailure::Pause(String::new()), &[Piece::Parallel(pieces)])
}

/// Answers all that is asked for, until nothing is.
fn answer_all(hand: &mut Hand, answer: impl Fn(StepId, u32) -> Input) {
    while let Some(effect) = hand.effects.pop_front() {
        match effect {
            Effect::Probe(step, attempt) => hand.put(answer(step, attempt)),
            Effect::Start { step, attempt, .. } => hand.put(Input::Done(step, attempt, Value::None)),
            other => panic!("{other:?} was not expected"),
        }
    }
}

#[test]
fn what_fails_everywhere_and_ends_well_nowhere_is_not_tried_again_for_each_node() {
    let mut hand = Hand::begun(&many());
    while hand.machine.state().mode() == Mode::Going {
        answer_all(&mut hand, |step, attempt| Input::Failed(step, attempt, Failure::transient("no route")));
        if hand.machine.state().mode() == Mode::Going {
            hand.tick();
        }
    }
    assert_eq!(hand.machine.state().mode(), Mode::Finished(Outcome::Paused));
    let attempts = hand.journal.iter().filter(|(_, e)| matches!(e, Event::AttemptStarted(..))).count();
    // Two for each at most, and those that were under way; ten for each were allowed.
    assert!((31..=48).contains(&attempts), "{attempts}");
    let why = hand.paused();
    assert!(
        why.contains("no route; not tried again: 31 attempts of other steps have failed in a row"),
        "{why}"
    );
    // Who resumes it has looked at it.
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    while hand.machine.state().mode() == Mode::Going {
        answer_all(&mut hand, |step, attempt| Input::Probed(step, attempt, needs()));
        if hand.machine.state().mode() == Mode::Going {
            hand.tick();
        }
    }
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_short_trouble_that_every_node_meets_is_survived() {
    let mut hand = Hand::begun(&many());
    let settled = |hand: &Hand| {
        hand.machine.plan().ids().all(|id| matches!(hand.machine.state().step(id).state, StepState::Done))
    };
    while !settled(&hand) {
        answer_all(&mut hand, |step, attempt| match attempt {
            1 | 2 => Input::Failed(step, attempt, Failure::transient("no route")),
            _ => Input::Probed(step, attempt, needs()),
        });
        if !settled(&hand) {
            hand.tick();
        }
    }
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn one_step_alone_is_tried_as_often_as_its_policy_says() {
    let plan = plan(OnFailure::Pause(String::new()), &[Piece::Step("a", |step| step.retry.times = 300)]);
    let mut hand = Hand::begun(&plan);
    for _ in 0..300 {
        answer_all(&mut hand, |step, attempt| Input::Failed(step, attempt, Failure::transient("busy")));
        hand.tick();
    }
    answer_all(&mut hand, |step, attempt| Input::Probed(step, attempt, needs()));
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

//! What a step leaves on its node is removed when its end is on disk, and by a resumed run once more.

use super::*;
use crate::machine::CLEANING;

fn long(step: &mut Step) {
    step.long = true;
    step.retry = Retry { times: 1, min: 1, max: 1 };
}

/// A step that runs detached, and another behind it; stopped where something of the first is asked for.
fn begun() -> Hand {
    let plan = plan(OnFailure::Pause("look".into()), &[Piece::Step("a", long), step("b")]);
    Hand::begun(&plan)
}

#[test]
fn a_detached_step_is_cleaned_up_behind_its_end_and_others_never_are() {
    let mut hand = begun();
    hand.start("a");
    hand.answer("a", |s, a| Input::Began(s, a, Value::Number(1)));
    assert_eq!(hand.asked(), ["follow a 1"]);
    hand.answer("a", |s, a| Input::Done(s, a, Value::None));
    assert_eq!(hand.asked(), ["clean a 1 0", "probe b 1"]);
    hand.effects.clear();
    hand.put(Input::Probed(hand.id("b"), 1, Check::Done("there".into())));
    assert_eq!(hand.asked(), [""; 0]);
}

#[test]
fn what_failed_is_cleaned_up_only_once_no_attempt_follows() {
    let mut hand = begun();
    hand.fail("a", Failure::unknown("lost"));
    assert_eq!(hand.asked(), ["probe a 2"]);
    hand.fail("a", Failure::last("broken"));
    assert_eq!(hand.asked(), ["clean a 2 0", "undo a 1"]);
    hand.back("a");
    assert_eq!(hand.asked()[1..], ["clean a 2 0"]);
}

#[test]
fn a_resumed_run_repeats_the_clean_ups_that_may_have_been_lost() {
    let mut hand = begun();
    hand.ok("a");
    // kup dies before it has done anything of what is asked.
    let mut again = hand.reborn();
    again.now += CLEANING;
    again.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(again.asked(), ["clean a 1 0", "probe b 1"]);
    // A later one need not: it would have had its time.
    let mut again = hand.reborn();
    again.now += CLEANING + 1;
    again.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(again.asked(), ["probe b 1"]);
}

#[test]
fn what_is_tried_anew_is_not_cleaned_up_under_its_own_feet() {
    let mut hand = begun();
    hand.start("a");
    let mut again = hand.reborn();
    again.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(again.asked(), ["probe a 1"]);
}

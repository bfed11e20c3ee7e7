use dsl::program::{Thing, When};

use super::*;
use crate::event::{Fired, HookEnd, Outcome};
use crate::machine::Mode;
use crate::plan::Hook;

fn with(hooks: &[(Thing, When)], pieces: &[Piece]) -> Arc<Plan> {
    let mut plan = Arc::unwrap_or_clone(plan(OnFailure::Pause(String::new()), pieces));
    for (on, when) in hooks {
        let text = format!("{on:?} {when:?}").to_lowercase();
        plan.hooks.push(Hook { on: *on, when: *when, scope: None, text, steps: vec![] });
    }
    Arc::new(plan)
}

fn lanes() -> Vec<Piece> {
    let lane = |name: &str| (name.to_string(), vec![step("s")]);
    vec![Piece::Each(vec![lane("n1"), lane("n2")], vec![2], 0, 0)]
}

impl Hand {
    /// Answers a hook by its number.
    fn hook(&mut self, number: u32, end: HookEnd) {
        let is_it = |effect: &Effect| matches!(effect, Effect::Hook { fired, .. } if fired.number == number);
        let at = self.effects.iter().position(is_it).unwrap_or_else(|| panic!("asked: {:?}", self.asked()));
        let Some(Effect::Hook { fired, .. }) = self.effects.remove(at) else { unreachable!("it was found") };
        self.put(Input::HookEnded(fired, end));
    }

    fn goes(&mut self, number: u32) {
        self.hook(number, HookEnd::Went(String::new()));
    }
}

#[test]
fn a_run_begins_nothing_before_the_hook_of_its_start_says_go_on() {
    let mut hand = Hand::begun(&with(&[(Thing::Run, When::Started)], &[step("a")]));
    assert_eq!(hand.asked(), ["hook 1 run started"]);
    hand.goes(1);
    assert_eq!(hand.asked(), ["probe a 1"]);
    hand.ok("a");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_node_is_held_and_the_others_are_not() {
    let mut hand = Hand::begun(&with(&[(Thing::Node, When::Started)], &lanes()));
    assert_eq!(hand.asked(), ["hook 1 node started", "hook 2 node started"]);
    hand.goes(2);
    assert_eq!(hand.asked(), ["hook 1 node started", "probe n2/s 1"]);
    hand.ok("n2/s");
    assert_eq!(hand.asked(), ["hook 1 node started"]);
    hand.hook(1, HookEnd::Broke("odd".into()));
    hand.ok("n1/s");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_hook_that_says_stop_holds_the_run_and_is_asked_again_by_a_resumed_one() {
    let mut hand = Hand::begun(&with(&[(Thing::Node, When::Started)], &lanes()));
    hand.goes(2);
    hand.start("n2/s");
    hand.hook(1, HookEnd::Stopped("not now".into()));
    assert_eq!(hand.asked(), ["start n2/s 1"]);
    hand.answer("n2/s", |s, a| Input::Done(s, a, Value::None));
    assert_eq!(hand.paused(), "`on node started` says stop: not now");
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["hook 1 node started"]);
    hand.goes(1);
    hand.ok("n1/s");
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_hook_that_was_under_way_when_kup_died_is_performed_again() {
    let mut hand = Hand::begun(&with(&[(Thing::Step, When::Done)], &[step("a"), step("b")]));
    hand.ok("a");
    assert_eq!(hand.asked(), ["hook 1 step done", "probe b 1"]);
    let mut hand = hand.reborn();
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    assert_eq!(hand.asked(), ["hook 1 step done", "probe b 1"]);
    hand.goes(1);
    hand.ok("b");
    hand.goes(2);
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn the_end_of_a_run_waits_for_what_is_told_of_it() {
    let mut hand = Hand::begun(&with(&[(Thing::Run, When::Done)], &[step("a")]));
    hand.ok("a");
    assert_eq!(hand.asked(), ["hook 1 run done"]);
    assert_eq!(hand.machine.state().mode(), Mode::Going);
    hand.goes(1);
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_run_that_is_done_is_held_by_a_stop_at_its_end() {
    let mut hand = Hand::begun(&with(&[(Thing::Run, When::Done)], &[step("a")]));
    hand.ok("a");
    hand.hook(1, HookEnd::Stopped("look first".into()));
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Paused));
    hand.put(Input::Begin { by: "ben".into(), why: String::new() });
    hand.goes(2);
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn who_interrupts_waits_for_no_hook() {
    let mut hand = Hand::begun(&with(&[(Thing::Run, When::Started)], &[step("a")]));
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Paused));
    let mut hand = Hand::begun(&with(&[(Thing::Run, When::Done)], &[step("a")]));
    hand.ok("a");
    hand.put(Input::Interrupt { by: "ana".into(), why: String::new() });
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Done));
}

#[test]
fn a_failure_is_told_of_its_attempt_its_step_its_node_and_the_run() {
    let failed = [Thing::Attempt, Thing::Step, Thing::Node].map(|on| (on, When::Failed));
    let hooks = [failed.as_slice(), &[(Thing::Run, When::Waiting)]].concat();
    let mut hand = Hand::begun(&with(&hooks, &lanes()));
    hand.start("n2/s");
    hand.fail("n1/s", Failure::last("no"));
    let told: Vec<String> = hand.asked().into_iter().filter(|asked| asked.starts_with("hook")).collect();
    assert_eq!(told, ["hook 1 attempt failed", "hook 2 step failed", "hook 3 node failed"]);
    (1..=3).for_each(|n| hand.goes(n));
    hand.answer("n2/s", |s, a| Input::Done(s, a, Value::None));
    hand.back("n1/s");
    let Some(Effect::Hook { reason, .. }) = hand.effects.front() else { panic!("{:?}", hand.asked()) };
    assert_eq!(reason, "`n1/s` failed: no");
    hand.goes(4);
    assert_eq!(hand.last(), &Event::RunFinished(Outcome::Paused));
}

#[test]
fn an_answer_of_a_hook_that_has_ended_is_dropped() {
    let mut hand = Hand::begun(&with(&[(Thing::Run, When::Started)], &[step("a")]));
    hand.goes(1);
    let before = hand.journal.len();
    let fired = Fired { number: 1, hook: 0, scope: ScopeId(0), step: None };
    hand.put(Input::HookEnded(fired, HookEnd::Stopped("late".into())));
    hand.put(Input::HookWaiting(fired, "late".into()));
    assert_eq!(hand.journal.len(), before);
}

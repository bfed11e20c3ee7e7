//! For a person at a terminal: a header a stage, a line a finished step, a line for each thing that
//! waits or fails, with its reason.

use engine::event::{Event, Failure, Fired, HookEnd};
use engine::plan::{Plan, StepId};

use super::track::{Track, hook, node, stage};
use super::{Report, said_by, took};
use crate::console::{BOLD, CYAN, DIM, GREEN, RED, RESET, YELLOW};
use crate::printable::{one_line, printable};

/// The reporter for a terminal.
#[derive(Debug, Default)]
pub(super) struct Human {
    track: Track,
}

impl Report for Human {
    fn event(&mut self, plan: &Plan, at: u64, event: &Event) -> String {
        self.track.note(at, event);
        let row = |step: &StepId, mark: &str, more: &str| {
            let s = plan.step(*step);
            let node = one_line(s.node.as_deref().unwrap_or("-"));
            let more = if more.is_empty() { String::new() } else { format!("  {more}") };
            format!("  {mark} {node:<12} {}{more}", one_line(&s.text))
        };
        let banner = |color: &str, text: &str| format!("{color}{}{RESET}", printable(text));
        match event {
            Event::RunStarted => banner(BOLD, &plan.title),
            Event::RunResumed { by, why } => {
                banner(BOLD, &format!("{} (resumed by {})", plan.title, said_by(by, why)))
            }
            Event::ScopeOpened(scope) => {
                stage(plan, *scope).map_or(String::new(), |name| format!("\n{}", banner(BOLD, name)))
            }
            Event::WhenDecided { scope, reason, .. } => {
                let node = one_line(node(plan, *scope).unwrap_or("-"));
                format!("  {DIM}?{RESET} {node:<12} {DIM}when: {}{RESET}", one_line(reason))
            }
            Event::ScopeClosed(_)
            | Event::WorkBegan { .. }
            | Event::AttemptStarted(..)
            | Event::WorkFound { .. } => String::new(),
            Event::StepSkipped(step, why) => {
                row(step, &format!("{DIM}-{RESET}"), &format!("{DIM}{}{RESET}", one_line(why)))
            }
            Event::StepWaiting { step, reason, .. } => row(
                step,
                &format!("{YELLOW}…{RESET}"),
                &format!("{YELLOW}waits {}: {}{RESET}", took(self.track.since(*step, at)), one_line(reason)),
            ),
            Event::StepSlow { step, until, .. } => {
                let left = took(until.saturating_sub(at));
                row(
                    step,
                    &format!("{YELLOW}…{RESET}"),
                    &format!("{YELLOW}slow: fails in {left}, unless it ends before{RESET}"),
                )
            }
            Event::AttemptFailed { step, attempt, failure, until } => row(
                step,
                &format!("{YELLOW}!{RESET}"),
                &format!(
                    "{YELLOW}attempt {attempt} failed: {}; again in {}{RESET}",
                    one_line(&failure.message),
                    took(until.saturating_sub(at))
                ),
            ),
            Event::StepDone { step, changed, value, .. } => {
                let seen = self.track.outcome(*step, *changed, value);
                let seen = if seen.is_empty() { seen } else { format!("{seen}  ") };
                let time = took(self.track.since(*step, at));
                row(step, &format!("{GREEN}✓{RESET}"), &format!("{seen}{DIM}{time}{RESET}"))
            }
            Event::StepFailed { step, failure, .. } => {
                row(step, &format!("{RED}✗{RESET}"), &details(failure))
            }
            Event::UndoStarted { step, .. } => row(step, &format!("{YELLOW}↩{RESET}"), "taking it back"),
            Event::UndoRetried { step, failure, .. } => {
                row(step, &format!("{YELLOW}!{RESET}"), &format!("undo: {}", one_line(&failure.message)))
            }
            Event::UndoDone(step) => row(step, &format!("{GREEN}↩{RESET}"), "taken back"),
            Event::UndoFailed(step, failure) => {
                row(step, &format!("{RED}↩{RESET}"), &format!("cannot be taken back: {}", details(failure)))
            }
            Event::StepWaived { step, by, why } => row(
                step,
                &format!("{YELLOW}-{RESET}"),
                &format!("to be skipped, says {}: {}", one_line(by), one_line(why)),
            ),
            Event::RetryAsked { step, by, why } => {
                row(step, &format!("{YELLOW}!{RESET}"), &asked_by("tried again", by, why))
            }
            Event::RunAborted { by, why } => {
                format!("\n{}", banner(RED, &format!("ended for good by {by}: {why}")))
            }
            Event::LockTaken { by, from, why } => {
                banner(YELLOW, &format!("the lock of {from} was taken by {by}: {why}"))
            }
            Event::WindowAwaited { gate, window, opens } => format!(
                "  {YELLOW}…{RESET} {}  {YELLOW}waits for the window {}, which opens {}{RESET}",
                one_line(plan.gate_key(*gate)),
                one_line(window),
                one_line(opens)
            ),
            Event::ApprovalAsked { gate, question } => format!(
                "  {YELLOW}?{RESET} {}  {YELLOW}asks: {}{RESET}",
                one_line(plan.gate_key(*gate)),
                one_line(question)
            ),
            Event::ApprovalGiven { gate, by, when, why } => format!(
                "  {GREEN}✓{RESET} {}  {DIM}approved by {}{RESET}",
                one_line(plan.gate_key(*gate)),
                one_line(&said_by(&format!("{by} at {when}"), why))
            ),
            Event::ApprovalRefused { gate, by, when } => format!(
                "  {RED}✗{RESET} {}  refused by {} at {}",
                one_line(plan.gate_key(*gate)),
                one_line(by),
                one_line(when)
            ),
            Event::HookStarted { .. } => String::new(),
            Event::HookWaiting { fired, reason } => beside(
                plan,
                fired,
                &format!("{YELLOW}…{RESET}"),
                &format!("{YELLOW}waits: {}{RESET}", one_line(reason)),
            ),
            Event::HookEnded { fired, end } => match end {
                HookEnd::Went(text) => beside(plan, fired, &format!("{DIM}»{RESET}"), &one_line(text)),
                HookEnd::Stopped(text) => beside(
                    plan,
                    fired,
                    &format!("{RED}✗{RESET}"),
                    &format!("{RED}says stop: {}{RESET}", one_line(text)),
                ),
                HookEnd::Broke(text) => beside(
                    plan,
                    fired,
                    &format!("{YELLOW}!{RESET}"),
                    &format!("{YELLOW}{}{RESET}", one_line(text)),
                ),
            },
            Event::RunPaused(why) => format!("\n{}", banner(YELLOW, &format!("paused: {why}"))),
            Event::RollbackStarted { by, why } => {
                format!("\n{}", banner(YELLOW, &asked_by("taking back what was done", by, why)))
            }
            Event::Stopping { by, why } => {
                banner(YELLOW, &asked_by("stopping: nothing new begins, what runs may end", by, why))
            }
            // The closing lines of the command say how it ended.
            Event::RunFinished(_) => String::new(),
        }
    }
}

/// Writes what a hook says, in the columns of a step.
fn beside(plan: &Plan, fired: &Fired, mark: &str, text: &str) -> String {
    let (node, event) = hook(plan, fired);
    let text = if text.is_empty() { String::new() } else { format!("  {text}") };
    format!("  {mark} {:<12} {DIM}{event}{RESET}{text}", one_line(node.unwrap_or("-")))
}

/// Writes who wanted something, and why if it was said.
fn asked_by(what: &str, by: &str, why: &str) -> String {
    format!("{what}, asked by {}", one_line(&said_by(by, why)))
}

/// Writes a failure with the end of the output and what to do, on lines of their own.
fn details(failure: &Failure) -> String {
    let mut text = format!("{RED}{}{RESET}", printable(&failure.message));
    for line in failure.output.lines() {
        text.push_str(&format!("\n      {DIM}{}{RESET}", printable(line)));
    }
    if !failure.hint.is_empty() {
        text.push_str(&format!("\n      {CYAN}hint{RESET}: {}", printable(&failure.hint)));
    }
    text
}

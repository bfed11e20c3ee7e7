//! One line an event, for pipes and CI: time of the run, node, what happened, the step.

use dsl::program::Effect;
use engine::event::{Event, Failure, HookEnd, Outcome};
use engine::plan::{Gate, Plan, StepId};

use super::track::{Track, change, hook, node, stage};
use super::{Report, clock, said_by, took};
use crate::printable::{one_line, printable};

/// The reporter for pipes and CI.
#[derive(Debug, Default)]
pub(super) struct Plain {
    track: Track,
}

impl Report for Plain {
    fn event(&mut self, plan: &Plan, at: u64, event: &Event) -> String {
        self.track.note(at, event);
        let line = |node: &str, word: &str, rest: &str| {
            let rest = if rest.is_empty() { String::new() } else { format!(" {rest}") };
            format!("{} {} {word}{rest}", clock(at), printable(if node.is_empty() { "-" } else { node }))
        };
        let of = |step: &StepId, word: &str, more: String| {
            let s = plan.step(*step);
            let more = if more.is_empty() { more } else { format!(": {more}") };
            line(s.node.as_deref().unwrap_or_default(), word, &format!("{}{more}", one_line(&s.text)))
        };
        let gated = |gate: &Gate, word: &str, more: String| {
            line("", word, &format!("{}: {more}", one_line(plan.gate_key(*gate))))
        };
        match event {
            Event::RunStarted => line("", "started", &one_line(&plan.title)),
            Event::RunResumed { by, why } => {
                line("", "resumed", &format!("by {}", one_line(&said_by(by, why))))
            }
            Event::ScopeOpened(scope) => {
                stage(plan, *scope).map_or(String::new(), |s| line("", "stage", &one_line(s)))
            }
            Event::ScopeClosed(_) | Event::WorkBegan { .. } => String::new(),
            Event::WhenDecided { scope, reason, .. } => {
                line(node(plan, *scope).unwrap_or_default(), "when", &one_line(reason))
            }
            Event::StepSkipped(step, why) => of(step, "skipped", one_line(why)),
            Event::AttemptStarted(step, 1) => of(step, "begins", String::new()),
            Event::AttemptStarted(step, attempt) => of(step, "begins", format!("attempt {attempt}")),
            Event::WorkFound { step, now, then, .. } => match change(now, then) {
                // What only looks waits for something, and changes nothing.
                _ if plan.step(*step).effect == Effect::Reads => String::new(),
                change if change.is_empty() => String::new(),
                change => of(step, "changes", change),
            },
            Event::StepWaiting { step, reason, .. } => of(step, "waits", one_line(reason)),
            Event::StepSlow { step, until, .. } => of(
                step,
                "slow",
                format!("fails in {}, unless it ends before", took(until.saturating_sub(at))),
            ),
            Event::AttemptFailed { step, attempt, failure, until } => {
                let next = format!("attempt {attempt}, again in {}", took(until.saturating_sub(at)));
                of(step, "retries", format!("{} ({next})", reason(failure)))
            }
            Event::StepDone { step, changed, value, .. } => {
                let seen = self.track.outcome(*step, *changed, value);
                let time = took(self.track.since(*step, at));
                let seen = if seen.is_empty() { time } else { format!("{seen} ({time})") };
                of(step, if *changed { "done" } else { "ok" }, seen)
            }
            Event::StepFailed { step, failure, .. } => of(step, "failed", reason(failure)),
            Event::UndoStarted { step, .. } => of(step, "undo", String::new()),
            Event::UndoRetried { step, failure, .. } => of(step, "undo-retries", reason(failure)),
            Event::UndoDone(step) => of(step, "undone", String::new()),
            Event::UndoFailed(step, failure) => of(step, "undo-failed", reason(failure)),
            Event::StepWaived { step, by, why } => {
                of(step, "waived", format!("by {}: {}", one_line(by), one_line(why)))
            }
            Event::RetryAsked { step, by, why } => {
                of(step, "retry", format!("asked by {}", one_line(&said_by(by, why))))
            }
            Event::RunAborted { by, why } => {
                line("", "aborted", &format!("by {}: {}", one_line(by), one_line(why)))
            }
            Event::LockTaken { by, from, why } => line(
                "",
                "takeover",
                &format!("by {} from {}: {}", one_line(by), one_line(from), one_line(why)),
            ),
            Event::WindowAwaited { gate, window, opens } => gated(
                gate,
                "waits",
                format!("for the window {}, which opens {}", one_line(window), one_line(opens)),
            ),
            Event::ApprovalAsked { gate, question } => gated(gate, "asks", one_line(question)),
            Event::ApprovalGiven { gate, by, when, why } => {
                let said = said_by(&format!("{by} at {when}"), why);
                gated(gate, "approved", format!("by {}", one_line(&said)))
            }
            Event::ApprovalRefused { gate, by, when } => {
                gated(gate, "refused", format!("by {} at {}", one_line(by), one_line(when)))
            }
            Event::HookStarted { .. } => String::new(),
            Event::HookWaiting { fired, reason } => {
                let (node, event) = hook(plan, fired);
                line(node.unwrap_or_default(), "hook-waits", &format!("{event}: {}", one_line(reason)))
            }
            Event::HookEnded { fired, end } => {
                let (node, event) = hook(plan, fired);
                let (word, text) = match end {
                    HookEnd::Went(text) => ("hook", text),
                    HookEnd::Stopped(text) => ("hook-stops", text),
                    HookEnd::Broke(text) => ("hook-failed", text),
                };
                let text = if text.is_empty() { String::new() } else { format!(": {}", one_line(text)) };
                line(node.unwrap_or_default(), word, &format!("{event}{text}"))
            }
            Event::RunPaused(why) => line("", "paused", &one_line(why)),
            Event::RollbackStarted { by, why } => {
                line("", "rollback", &format!("asked by {}", one_line(&said_by(by, why))))
            }
            Event::Stopping { by, why } => {
                line("", "stopping", &format!("asked by {}", one_line(&said_by(by, why))))
            }
            Event::RunFinished(outcome) => line("", "finished", outcome_word(*outcome)),
        }
    }
}

/// Writes a failure on one line: why, the last that the command said, what to do. `kup status` and
/// `--json` have all of the output.
fn reason(failure: &Failure) -> String {
    let lines: Vec<&str> = failure.output.lines().filter(|l| !l.trim().is_empty()).collect();
    let said = lines[lines.len().saturating_sub(2)..].join("\n");
    let parts = [failure.message.as_str(), said.as_str(), failure.hint.as_str()];
    parts.iter().filter(|p| !p.is_empty()).map(|p| one_line(p)).collect::<Vec<_>>().join("; ")
}

/// Returns the word for an outcome.
pub(super) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Paused => "paused",
        Outcome::Compensated => "compensated",
        Outcome::Failed => "failed",
    }
}

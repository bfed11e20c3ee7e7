//! What a page tells of a run: of each step when it was under way, what it waited for, how often it failed
//! and how it ended.

use engine::event::{Event, Failure};
use engine::plan::{Plan, StepId};

use crate::printable::one_line;
use crate::report::track::Track;

/// A run, as a page tells it.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The steps that were reached, in the order in which they were.
    pub(super) steps: Vec<Told>,
    /// When somebody went on with the run.
    pub(super) resumed: Vec<u64>,
    /// The time of the last event.
    pub(super) end: u64,
}

/// A step that was reached.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: StepId,
    pub(super) spans: Vec<Span>,
    pub(super) failures: Vec<Failed>,
    pub(super) attempts: u32,
    pub(super) how: How,
    /// Whether its last attempt failed for good, whatever became of it then.
    pub(super) failed: bool,
    /// What it changed or saw, why it was skipped, or how it failed.
    pub(super) outcome: String,
}

/// A time in which a step was under way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) what: What,
    pub(super) from: u64,
    /// `None`: it goes on.
    pub(super) to: Option<u64>,
    /// What was waited for.
    pub(super) reason: String,
}

/// What a step did in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Works,
    Waits,
    BacksOff,
    TakesBack,
}

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) at: u64,
    pub(super) what: String,
    pub(super) message: String,
}

/// How a step stands at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    UnderWay,
    Changed,
    Looked,
    Skipped,
    Failed,
    Undone,
    NotUndone,
}

impl Story {
    /// Folds the events of a run.
    pub(super) fn of(events: &[(u64, Event)], plan: &Plan) -> Story {
        let (mut story, mut track) = (Story::default(), Track::default());
        let mut place = vec![None; plan.steps.len()];
        for (at, event) in events {
            track.note(*at, event);
            story.end = *at;
            let Some(id) = step_of(event) else {
                match event {
                    Event::RunResumed { .. } => story.resumed.push(*at),
                    // What is under way when a run ends is under way no longer.
                    Event::RunFinished(_) => story.steps.iter_mut().for_each(|step| step.close(*at)),
                    _ => {}
                }
                continue;
            };
            let at_place = *place[id.0 as usize].get_or_insert_with(|| {
                story.steps.push(Told::new(id));
                story.steps.len() - 1
            });
            story.steps[at_place].tell(*at, event, &track);
        }
        story
    }
}

impl Told {
    fn new(id: StepId) -> Told {
        let (how, outcome) = (How::UnderWay, String::new());
        Told { id, spans: Vec::new(), failures: Vec::new(), attempts: 0, how, failed: false, outcome }
    }

    /// Returns how long it was under way in all.
    pub(super) fn took(&self, what: What, end: u64) -> u64 {
        let spans = self.spans.iter().filter(|span| span.what == what);
        spans.map(|span| span.to.unwrap_or(end).saturating_sub(span.from)).sum()
    }

    fn open(&mut self, what: What, from: u64, reason: &str) {
        self.spans.push(Span { what, from, to: None, reason: reason.to_string() });
    }

    fn close(&mut self, at: u64) {
        self.close_if(at, |_| true);
    }

    fn close_if(&mut self, at: u64, which: impl Fn(What) -> bool) {
        for span in self.spans.iter_mut().filter(|span| span.to.is_none() && which(span.what)) {
            span.to = Some(at);
        }
    }

    fn fails(&mut self, at: u64, what: String, failure: &Failure) {
        self.failures.push(Failed { at, what, message: one_line(&failure.message) });
    }

    fn tell(&mut self, at: u64, event: &Event, track: &Track) {
        match event {
            Event::AttemptStarted(_, attempt) => {
                self.close(at);
                self.attempts = *attempt;
                self.how = How::UnderWay;
                self.failed = false;
                self.open(What::Works, at, "");
            }
            Event::StepWaiting { reason, .. } => {
                self.close_if(at, |what| what == What::Waits);
                if !reason.is_empty() {
                    self.open(What::Waits, at, reason);
                }
            }
            Event::AttemptFailed { attempt, failure, .. } => {
                self.close(at);
                self.fails(at, format!("attempt {attempt}"), failure);
                self.open(What::BacksOff, at, &failure.message);
            }
            Event::StepDone { step, changed, value, .. } => {
                self.close(at);
                self.how = if *changed { How::Changed } else { How::Looked };
                self.outcome = track.outcome(*step, *changed, value);
            }
            Event::StepFailed { attempt, failure, .. } => {
                self.close(at);
                self.fails(at, format!("attempt {attempt}, the last"), failure);
                self.how = How::Failed;
                self.failed = true;
                self.outcome = one_line(&failure.message);
            }
            Event::StepSkipped(_, why) => {
                self.close(at);
                self.how = How::Skipped;
                self.outcome = one_line(why);
            }
            Event::UndoStarted { .. } => {
                self.close(at);
                self.open(What::TakesBack, at, "");
            }
            Event::UndoRetried { attempt, failure, .. } => {
                self.fails(at, format!("attempt {attempt} to take it back"), failure);
            }
            Event::UndoDone(_) => {
                self.close(at);
                self.how = How::Undone;
            }
            Event::UndoFailed(_, failure) => {
                self.close(at);
                self.fails(at, "taking it back".to_string(), failure);
                self.how = How::NotUndone;
            }
            _ => {}
        }
    }
}

/// Returns the step whose doing an event is about.
fn step_of(event: &Event) -> Option<StepId> {
    match event {
        Event::AttemptStarted(step, _)
        | Event::StepSkipped(step, _)
        | Event::StepWaiting { step, .. }
        | Event::AttemptFailed { step, .. }
        | Event::StepDone { step, .. }
        | Event::StepFailed { step, .. }
        | Event::UndoStarted { step, .. }
        | Event::UndoRetried { step, .. }
        | Event::UndoDone(step)
        | Event::UndoFailed(step, _) => Some(*step),
        _ => None,
    }
}

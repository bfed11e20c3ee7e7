//! Readers of a run's events: for a person, for a log, for a program. A live run and a replay of its
//! journal go through the same ones.

mod annotation;
mod human;
mod json;
mod page;
mod plain;
mod track;
mod why;

use engine::event::Event;
use engine::plan::Plan;

use crate::console::{Console, Style};

pub(crate) use annotation::annotations;
pub(crate) use json::{
    Miss, PlanLine, VERSION, diagnostics as diagnostics_line, formatted as formatted_line, line,
    tested as tested_line,
};
pub(crate) use page::page;
pub(crate) use track::stage;
pub(crate) use why::{CauseLine, WhyLine};

/// Turns events into lines of text for stdout.
pub(crate) trait Report {
    /// Returns the lines to print for an event at `at` milliseconds of the run; empty: none.
    fn event(&mut self, plan: &Plan, at: u64, event: &Event) -> String;
}

/// Returns the reporter of a style.
pub(crate) fn reporter(console: Console) -> Box<dyn Report + Send> {
    match console.style {
        Style::Human => Box::new(human::Human::default()),
        Style::Plain => Box::new(plain::Plain::default()),
        Style::Json => Box::new(json::Json),
    }
}

/// Writes a count with its noun: `1 step`, `3 steps`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Writes who wanted something, and why if that was said; to be escaped still.
pub(crate) fn said_by(by: &str, why: &str) -> String {
    if why.is_empty() { by.to_string() } else { format!("{by}: {why}") }
}

/// Writes milliseconds for people: at most two units, tenths below ten seconds.
pub(crate) fn took(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..10 if ms % 1000 >= 100 => format!("{s}.{}s", ms % 1000 / 100),
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s / 60 % 60),
    }
}

/// Writes the time of a run as a clock: `00:12:07`.
pub(crate) fn clock(ms: u64) -> String {
    let s = ms / 1000;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([took(0), took(1_250), took(61_000), took(3_720_000)], ["0s", "1.2s", "1m01s", "1h02m"]);
        assert_eq!(clock(3_727_000), "01:02:07");
    }
}

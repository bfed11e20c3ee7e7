//! `kup status [RUN]`: how far a run is, what it waits for or failed at, and the next command.

use engine::event::{Event, Outcome};
use engine::machine::{Machine, Mode, StepState};
use engine::plan::StepId;

use crate::args::Global;
use crate::console::{BOLD, CYAN, Console, RED, RESET, YELLOW};
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::{one_line, printable};
use crate::record::{Failed, Record};
use crate::report::{count, said_by, took};

/// Says how a run stands.
pub(crate) fn status(global: &Global, console: Console, run: Option<&str>) -> Result<Exit, Error> {
    let record = Record::open(global, run)?;
    let machine = record.machine();
    let mode = machine.state().mode();
    let alive = record.is_alive();
    let header = &record.recorded.header;
    let say = |text: &str| console.result(text);
    say(&format!("{BOLD}{}{RESET}", one_line(&record.stored.plan.title)));
    say(&format!("run {}", printable(&header.run)));
    say(&one_line(&format!("begun {} by {} on {}", header.started, header.user, header.host)));
    let last = record.recorded.events.last().map_or(0, |(at, _)| *at);
    say(&format!("state: {}", describe(mode, alive, &took(last))));
    if let Some(order) = order(&record) {
        say(&one_line(&order));
    }
    say(&format!("steps: {}", tally(&machine)));
    if let (Mode::Paused | Mode::Finished(Outcome::Paused), Some(why)) = (mode, pause(&record)) {
        say(&format!("{YELLOW}paused{RESET}: {}", one_line(why)));
    }
    for (gate, opens) in machine.state().held().iter().filter(|_| alive) {
        let key = one_line(record.stored.plan.gate_key(*gate));
        say(&format!("  {YELLOW}…{RESET} {key} waits for its window, which opens {}", one_line(opens)));
    }
    for gate in machine.state().asked() {
        let question = record.stored.plan.approvals.get(gate).map_or("", String::as_str);
        let key = one_line(record.stored.plan.gate_key(*gate));
        say(&format!("  {YELLOW}?{RESET} {key} asks: {}", one_line(question)));
    }
    for open in machine.state().open_hooks().filter(|open| alive && !open.stopped) {
        let event = one_line(&record.stored.plan.hooks[open.fired.hook as usize].text);
        let how = if open.waits.is_empty() {
            "under way".to_string()
        } else {
            format!("waits: {}", one_line(&open.waits))
        };
        say(&format!("  {YELLOW}…{RESET} on {event}: {how}"));
    }
    for id in record.stored.plan.ids() {
        let at = machine.state().step(id);
        let under_way = matches!(
            at.state,
            StepState::Running { .. } | StepState::BackingOff { .. } | StepState::Undoing { .. }
        );
        if under_way {
            let reason = match at.reason.as_str() {
                _ if matches!(at.state, StepState::Undoing { .. }) => "is being taken back".to_string(),
                "" if alive => "under way".to_string(),
                "" => "was under way; the nodes will be asked how it ended".to_string(),
                reason => format!("waits: {}", one_line(reason)),
            };
            say(&format!("  {YELLOW}…{RESET} {}: {reason}", name(&record, id)));
        }
    }
    for Failed { step, failure, undoing } in record.failures() {
        let how = match (undoing, machine.state().step(step).state) {
            (true, _) => "cannot be taken back",
            (false, StepState::Undone) => "failed, taken back",
            (false, StepState::UndoFailed) => "failed, not taken back",
            (false, _) => "failed",
        };
        say(&format!("  {RED}✗{RESET} {} {how}: {}", name(&record, step), one_line(&failure.message)));
        for line in failure.output.lines() {
            say(&format!("      {}", printable(line)));
        }
        if !failure.hint.is_empty() {
            say(&format!("      {CYAN}hint{RESET}: {}", one_line(&failure.hint)));
        }
    }
    say(&format!("journal: {}", printable(&record.folder.path().display().to_string())));
    for command in next(&record, &machine, alive) {
        say(&format!("next: {command}{}", printable(&global.again())));
    }
    Ok(Exit::Done)
}

/// Returns the commands that make sense now.
pub(crate) fn next(record: &Record, machine: &Machine, alive: bool) -> Vec<String> {
    let run = &record.recorded.header.run;
    if alive {
        return Vec::new();
    }
    match machine.state().mode() {
        Mode::Finished(Outcome::Done | Outcome::Compensated) => Vec::new(),
        // A failed undo is tried again by another rollback.
        Mode::Finished(Outcome::Failed) => vec![format!("kup rollback {run}")],
        Mode::RollingBack => vec![format!("kup resume {run}")],
        Mode::Going | Mode::Paused | Mode::Stopping | Mode::Finished(Outcome::Paused)
            if !machine.state().asked().is_empty() =>
        {
            vec![format!("kup approve {run}"), format!("kup rollback {run}")]
        }
        Mode::Going | Mode::Paused | Mode::Stopping | Mode::Finished(Outcome::Paused) => {
            vec![format!("kup resume {run}"), format!("kup rollback {run}")]
        }
    }
}

/// Returns the word for how a run stands.
pub(crate) fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Going => "running",
        Mode::Stopping => "stopping",
        Mode::RollingBack => "rolling back",
        Mode::Paused | Mode::Finished(Outcome::Paused) => "paused",
        Mode::Finished(Outcome::Done) => "done",
        Mode::Finished(Outcome::Compensated) => "compensated",
        Mode::Finished(Outcome::Failed) => "failed",
    }
}

fn describe(mode: Mode, alive: bool, took: &str) -> String {
    match mode {
        Mode::Finished(_) | Mode::Paused => format!("{} after {took}", word(mode)),
        Mode::Going | Mode::Stopping | Mode::RollingBack if alive => format!("{} since {took}", word(mode)),
        Mode::Going | Mode::Stopping | Mode::RollingBack => {
            format!("interrupted while {} after {took}: the kup that did it is gone", word(mode))
        }
    }
}

/// Returns the last reason the run was paused for.
fn pause(record: &Record) -> Option<&str> {
    record.recorded.events.iter().rev().find_map(|(_, event)| match event {
        Event::RunPaused(why) => Some(why.as_str()),
        _ => None,
    })
}

/// Returns what somebody wanted last of the whole run, if they said why.
fn order(record: &Record) -> Option<String> {
    let (what, by, why) = record.recorded.events.iter().rev().find_map(|(_, event)| match event {
        Event::RunResumed { by, why } => Some(("resumed", by, why)),
        Event::RollbackStarted { by, why } => Some(("taken back", by, why)),
        Event::RunAborted { by, why } => Some(("ended for good", by, why)),
        Event::Stopping { by, why } => Some(("stopped", by, why)),
        _ => None,
    })?;
    (!why.is_empty()).then(|| format!("{what} by {}", said_by(by, why)))
}

fn name(record: &Record, id: StepId) -> String {
    let step = record.stored.plan.step(id);
    match &step.node {
        Some(node) => one_line(&format!("{node} {}", step.text)),
        None => one_line(&step.text),
    }
}

/// Counts the steps by where they stand.
fn tally(machine: &Machine) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for id in machine.plan().ids() {
        let record = machine.state().step(id);
        let word = match record.state {
            StepState::Waiting => "to do",
            StepState::Running { .. } | StepState::BackingOff { .. } => "under way",
            StepState::Done => "done",
            StepState::Failed => "failed",
            StepState::Skipped => "not needed",
            StepState::Undoing { .. } => "being taken back",
            StepState::Undone if record.failed => "failed and taken back",
            StepState::Undone => "taken back",
            StepState::UndoFailed if record.failed => "failed and not taken back",
            StepState::UndoFailed => "not taken back",
        };
        match counts.iter_mut().find(|(w, _)| *w == word) {
            Some((_, n)) => *n += 1,
            None => counts.push((word, 1)),
        }
    }
    let parts: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    format!("{} ({})", count(machine.plan().steps.len(), "step"), parts.join(", "))
}

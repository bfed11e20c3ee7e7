//! What stands below the lines that scroll by: how the run goes, its open stages with the steps under way,
//! equal ones folded, and what waits, with its reason and age. A pure reader of events, as the others are.

use std::collections::HashMap;

use engine::event::Event;
use engine::machine::{Machine, Mode, StepState};
use engine::plan::{Gate, Plan, ScopeId, ScopeKind, Step, StepId};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::printable::one_line;
use crate::report::{self, clock, took};

/// A run that only waits, and for longer than this, is not said to go well.
const PATIENCE: u64 = 60_000;

/// No estimate is given while more of what is to come than one part of so many was never seen.
const UNSEEN: usize = 5;

/// All that the live view knows.
pub(super) struct View {
    /// The fold of the events so far.
    machine: Machine,
    /// When the steps under way began.
    began: HashMap<StepId, u64>,
    /// Why steps wait, and since when.
    waits: HashMap<StepId, (String, u64)>,
    /// Since when somebody is asked.
    asked: HashMap<Gate, u64>,
    /// Since when something waits for its maintenance window.
    held: HashMap<Gate, u64>,
    /// How often steps of the same text, but for their nodes, came to an end, and how long they took in all.
    seen: HashMap<String, (u64, u64)>,
    /// When this view began, and how long steps took since then, added up.
    from: u64,
    busy: u64,
}

impl View {
    /// Makes the view of a run as it stands, at `at` milliseconds.
    pub(super) fn new(machine: Machine, at: u64) -> View {
        View {
            machine,
            began: HashMap::new(),
            waits: HashMap::new(),
            asked: HashMap::new(),
            held: HashMap::new(),
            seen: HashMap::new(),
            from: at,
            busy: 0,
        }
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, at: u64, event: &Event) {
        self.machine.apply(at, event);
        match event {
            Event::AttemptStarted(step, _) | Event::UndoStarted { step, .. } => {
                self.began.entry(*step).or_insert(at);
                self.waits.remove(step);
            }
            Event::StepWaiting { step, reason, .. } => self.waits_for(*step, reason, at),
            Event::AttemptFailed { step, failure, .. } | Event::UndoRetried { step, failure, .. } => {
                self.waits_for(*step, &failure.message, at);
            }
            Event::StepDone { step, .. } => {
                let took = at.saturating_sub(self.ended(*step).unwrap_or(at));
                self.busy += took;
                let plan = self.machine.plan().clone();
                let (count, all) = self.seen.entry(of_any_node(plan.step(*step))).or_default();
                (*count, *all) = (*count + 1, *all + took);
            }
            Event::StepFailed { step, .. } | Event::UndoDone(step) | Event::UndoFailed(step, _) => {
                self.ended(*step);
            }
            Event::StepSkipped(step, _) => {
                self.ended(*step);
            }
            Event::ApprovalAsked { gate, .. } => {
                self.asked.insert(*gate, at);
            }
            Event::WindowAwaited { gate, .. } => {
                self.held.entry(*gate).or_insert(at);
            }
            Event::RunStarted
            | Event::RunResumed { .. }
            | Event::ScopeOpened(_)
            | Event::ScopeClosed(_)
            | Event::WhenDecided { .. }
            | Event::WorkFound { .. }
            | Event::WorkBegan { .. }
            // Its row has its age, which says as much.
            | Event::StepSlow { .. }
            | Event::StepWaived { .. }
            | Event::RetryAsked { .. }
            | Event::RunAborted { .. }
            | Event::LockTaken { .. }
            | Event::ApprovalGiven { .. }
            | Event::ApprovalRefused { .. }
            | Event::HookStarted { .. }
            | Event::HookWaiting { .. }
            | Event::HookEnded { .. }
            | Event::RunPaused(_)
            | Event::RollbackStarted { .. }
            | Event::Stopping { .. }
            | Event::RunFinished(_) => {}
        }
    }

    fn waits_for(&mut self, step: StepId, reason: &str, at: u64) {
        let (was, since) = self.waits.entry(step).or_insert((String::new(), at));
        if was != reason {
            (*was, *since) = (reason.to_string(), at);
        }
    }

    /// Forgets a step that came to its end; returns when it began.
    fn ended(&mut self, step: StepId) -> Option<u64> {
        self.waits.remove(&step);
        self.began.remove(&step)
    }

    /// Returns the lines at `now`, at most `height`.
    pub(super) fn lines(&self, now: u64, height: usize) -> Vec<Line<'static>> {
        let mut lines = vec![self.header(now)];
        let body = self.body(now);
        let room = height.saturating_sub(1);
        let cut = if body.len() > room { room.saturating_sub(1) } else { body.len() };
        let more = body.len() - cut;
        lines.extend(body.into_iter().take(cut));
        if more > 0 && room > 0 {
            lines.push(Line::styled(format!("  and {more} more"), dim()));
        }
        lines
    }

    /// How it goes, how far it is, how long it took and may take.
    fn header(&self, now: u64) -> Line<'static> {
        let state = self.machine.state();
        let plan = self.machine.plan();
        let settled = plan.ids().filter(|id| is_settled(state.step(*id).state)).count();
        let percent = settled * 100 / plan.steps.len().max(1);
        let (word, color) = self.assessment(now);
        let mut text = format!("  {percent}%  {}", clock(now));
        if !state.is_unwinding()
            && let Some(left) = self.estimate(now)
        {
            text.push_str(&format!("  about {} left", took(left)));
        }
        Line::from(vec![
            Span::styled(word, Style::new().fg(color).add_modifier(Modifier::BOLD)),
            Span::raw(text),
            Span::styled(format!("  {}", one_line(&plan.title)), dim()),
        ])
    }

    fn assessment(&self, now: u64) -> (&'static str, Color) {
        let state = self.machine.state();
        match state.mode() {
            Mode::Going => {}
            Mode::Stopping => return ("stopping", Color::Yellow),
            Mode::RollingBack => return ("takes back", Color::Yellow),
            Mode::Paused => return ("paused", Color::Yellow),
            Mode::Finished(_) => return ("over", Color::Reset),
        }
        let failed = self.machine.plan().ids().any(|id| state.step(id).state == StepState::Failed);
        let waits = state.running() > 0
            && self.under_way().all(|id| self.waits.get(&id).is_some_and(|(_, at)| now > at + PATIENCE));
        match () {
            () if failed => ("something failed", Color::Red),
            () if !state.asked().is_empty() => ("asks you", Color::Yellow),
            () if state.backing_off() > 0 => ("tries again", Color::Yellow),
            () if state.running() == 0 && !state.held().is_empty() => ("waits for its window", Color::Yellow),
            () if waits => ("waits", Color::Yellow),
            () => ("goes well", Color::Green),
        }
    }

    fn under_way(&self) -> impl Iterator<Item = StepId> {
        let state = self.machine.state();
        self.machine.plan().ids().filter(move |id| matches!(state.step(*id).state, StepState::Running { .. }))
    }

    /// Returns how long the rest may take, by what the same steps took on other nodes in this run, as much side by side as up
    /// to now; `None` while too little of it was seen.
    fn estimate(&self, now: u64) -> Option<u64> {
        let (plan, state) = (self.machine.plan(), self.machine.state());
        let (mut left, mut all, mut unseen) = (0, 0, 0);
        let mut busy = self.busy;
        for id in plan.ids().filter(|id| !is_settled(state.step(*id).state)) {
            let step = plan.step(id);
            if !step.work.is_wanted() && !step.maybe {
                continue;
            }
            all += 1;
            let gone = self.began.get(&id).map_or(0, |began| now.saturating_sub(*began));
            busy += gone;
            match self.seen.get(&of_any_node(step)) {
                Some((count, sum)) => left += (sum / count).saturating_sub(gone),
                None => unseen += 1,
            }
        }
        let beside = (busy as f64 / now.saturating_sub(self.from).max(1) as f64).max(1.0);
        (all > 0 && unseen * UNSEEN <= all).then_some((left as f64 / beside) as u64)
    }

    /// The open stages; in each of them what waits, then what is under way.
    fn body(&self, now: u64) -> Vec<Line<'static>> {
        let (plan, state) = (self.machine.plan(), self.machine.state());
        let mut stages: Vec<Open> = Vec::new();
        let scope_of = |gate: &Gate| match *gate {
            Gate::Step(step) => plan.step(step).scope,
            Gate::Scope(scope) => scope,
        };
        for (gate, opens) in state.held() {
            let row = Row {
                mark: '…',
                text: plan.gate_key(*gate).to_string(),
                why: format!("waits for its window, which opens {opens}"),
                nodes: Vec::new(),
                since: self.held.get(gate).copied().unwrap_or(now),
            };
            Open::of(&mut stages, plan, scope_of(gate)).waiting.push(row);
        }
        for gate in state.asked() {
            let scope = scope_of(gate);
            let question = plan.approvals.get(gate).map_or("may it go on?", String::as_str);
            let row = Row {
                mark: '?',
                text: plan.gate_key(*gate).to_string(),
                why: format!("asks: {question}"),
                nodes: Vec::new(),
                since: self.asked.get(gate).copied().unwrap_or(now),
            };
            Open::of(&mut stages, plan, scope).waiting.push(row);
        }
        for hook in state.open_hooks().filter(|hook| !hook.waits.is_empty()) {
            let row = Row {
                mark: '…',
                text: plan.hooks[hook.fired.hook as usize].text.clone(),
                why: hook.waits.clone(),
                nodes: Vec::new(),
                since: now,
            };
            Open::of(&mut stages, plan, hook.fired.scope).waiting.push(row);
        }
        for id in plan.ids() {
            let (step, record) = (plan.step(id), state.step(id));
            let mark = match record.state {
                StepState::Running { .. } => '▸',
                StepState::BackingOff { .. } => '!',
                StepState::Undoing { .. } => '↩',
                _ => continue,
            };
            let began = self.began.get(&id).copied().unwrap_or(now);
            let (why, since) = self.waits.get(&id).cloned().unwrap_or((String::new(), began));
            let why = match record.state {
                StepState::BackingOff { until, .. } => {
                    format!("again in {}: {why}", took(until.saturating_sub(now)))
                }
                _ => why,
            };
            let node = step.node.clone().unwrap_or_default();
            let folded = (of_any_node(step), without(&why, &node));
            let open = Open::of(&mut stages, plan, step.scope);
            let rows = if why.is_empty() { &mut open.running } else { &mut open.waiting };
            let text = step.text.clone();
            let same = |row: &&mut Row| {
                let first = row.nodes.first().filter(|first| !first.is_empty());
                row.mark == mark
                    && !node.is_empty()
                    && first
                        .is_some_and(|first| (without(&row.text, first), without(&row.why, first)) == folded)
            };
            match rows.iter_mut().find(same) {
                Some(row) => {
                    row.nodes.push(node);
                    row.since = row.since.min(since);
                }
                None => rows.push(Row { mark, text, why, nodes: vec![node], since }),
            }
        }
        let mut lines = Vec::new();
        for open in stages {
            if let Some(id) = open.stage {
                lines.push(self.stage(id));
            }
            lines.extend(open.waiting.iter().chain(&open.running).map(|row| row.line(now)));
        }
        lines
    }

    /// A stage's name, and how many of its nodes are done.
    fn stage(&self, stage: ScopeId) -> Line<'static> {
        let (plan, state) = (self.machine.plan(), self.machine.state());
        let (mut all, mut done) = (0, 0);
        for (at, scope) in plan.scopes.iter().enumerate() {
            let id = ScopeId(at as u32);
            let is_lane = matches!(scope.kind, ScopeKind::Lane { is_node: true, .. });
            if is_lane && stage_of(plan, id) == Some(stage) {
                all += 1;
                done += usize::from(state.scope(id).closed);
            }
        }
        let name = report::stage(plan, stage).map(one_line).unwrap_or_default();
        let count = if all > 1 { format!("  {done} of {all} nodes done") } else { String::new() };
        Line::from(vec![
            Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(count, dim()),
        ])
    }
}

/// Steps that are the same but for their nodes.
struct Row {
    mark: char,
    text: String,
    why: String,
    nodes: Vec<String>,
    since: u64,
}

impl Row {
    fn line(&self, now: u64) -> Line<'static> {
        let nodes = match self.nodes.as_slice() {
            [] => String::new(),
            [one] => one_line(one),
            [one, two] => format!("{}, {}", one_line(one), one_line(two)),
            [one, .., last] => format!("{} .. {} ({})", one_line(one), one_line(last), self.nodes.len()),
        };
        let text = match self.nodes.as_slice() {
            [] | [_] => one_line(&self.text),
            [first, ..] => one_line(&without(&self.text, first)),
        };
        let age = took(now.saturating_sub(self.since) / 1000 * 1000);
        let color = if self.why.is_empty() { Color::Reset } else { Color::Yellow };
        let mut spans = vec![
            Span::styled(format!("  {} ", self.mark), Style::new().fg(color)),
            Span::raw(format!("{nodes:<12} ")),
            Span::styled(format!("{age:>6}"), dim()),
            Span::raw(format!("  {text}")),
        ];
        if !self.why.is_empty() {
            spans.push(Span::styled(format!("  {}", one_line(&self.why)), Style::new().fg(color)));
        }
        Line::from(spans)
    }
}

/// A stage with something under way; `None` is what stands in no stage.
struct Open {
    stage: Option<ScopeId>,
    waiting: Vec<Row>,
    running: Vec<Row>,
}

impl Open {
    /// Returns the rows of the stage that a scope stands in.
    fn of<'s>(stages: &'s mut Vec<Open>, plan: &Plan, scope: ScopeId) -> &'s mut Open {
        let stage = stage_of(plan, scope);
        let at = stages.iter().position(|open| open.stage == stage).unwrap_or_else(|| {
            stages.push(Open { stage, waiting: Vec::new(), running: Vec::new() });
            stages.len() - 1
        });
        &mut stages[at]
    }
}

fn stage_of(plan: &Plan, scope: ScopeId) -> Option<ScopeId> {
    let mut around = std::iter::successors(Some(scope), |id| plan.scope(*id).parent);
    around.find(|id| report::stage(plan, *id).is_some())
}

/// Returns the text of a step without its node.
fn of_any_node(step: &Step) -> String {
    without(&step.text, step.node.as_deref().unwrap_or_default())
}

/// Writes `*` where a node's name stands as a word of its own.
fn without(text: &str, node: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !is_word(c)) {
        let word = part.trim_end_matches(|c: char| !is_word(c));
        match !node.is_empty() && word == node {
            true => {
                out.push('*');
                out.push_str(&part[word.len()..]);
            }
            false => out.push_str(part),
        }
    }
    out
}

fn is_settled(state: StepState) -> bool {
    match state {
        StepState::Done
        | StepState::Failed
        | StepState::Skipped
        | StepState::Undone
        | StepState::UndoFailed => true,
        StepState::Waiting
        | StepState::Running { .. }
        | StepState::BackingOff { .. }
        | StepState::Undoing { .. } => false,
    }
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

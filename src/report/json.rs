//! One JSON object a line, for programs. These are wire types of their own, mirrors of what the
//! engine says: `docs/json.md` documents them, and a test holds the page to the types.

use dsl::diagnostic::{Diagnostic, Patch, Severity};
use dsl::program::Effect;
use dsl::source::Sources;
use dsl::span::Span;
use dsl::value::Value;
use engine::event::{Class, Event, Failure, Fired, HookEnd};
use engine::plan::{Plan, ScopeId, ScopeKind, Step, StepId, Undo, Work};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::plain::outcome_word;
use super::{Report, track};
use crate::diagnostics::place;
use crate::fix::Change;

/// The version on every line. It grows when a field changes its meaning or goes away; new fields and
/// types may come without.
pub(crate) const VERSION: u32 = 1;

/// The reporter for programs.
#[derive(Debug)]
pub(super) struct Json;

impl Report for Json {
    fn event(&mut self, plan: &Plan, at: u64, event: &Event) -> String {
        line(&EventLine { v: VERSION, at, record: record(plan, event) })
    }
}

/// An event of a run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EventLine {
    v: u32,
    /// Milliseconds of the run.
    at: u64,
    #[serde(flatten)]
    record: Record,
}

/// What happened.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record {
    RunStarted {
        title: String,
        steps: usize,
    },
    RunResumed {
        by: String,
        why: String,
    },
    ScopeOpened(ScopeOf),
    ScopeClosed(ScopeOf),
    WhenDecided {
        #[serde(flatten)]
        scope: ScopeOf,
        done: bool,
        reason: String,
    },
    StepSkipped {
        #[serde(flatten)]
        step: StepOf,
        reason: String,
    },
    AttemptStarted {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
    },
    WorkFound {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
        now: String,
        then: String,
    },
    WorkBegan {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
    },
    StepWaiting {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
        reason: String,
    },
    StepSlow {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
        until: u64,
    },
    AttemptFailed {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
        failure: Why,
        until: u64,
    },
    StepDone {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
        changed: bool,
        value: serde_json::Value,
    },
    StepFailed {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
        failure: Why,
    },
    UndoStarted {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
    },
    UndoRetried {
        #[serde(flatten)]
        step: StepOf,
        attempt: u32,
        failure: Why,
        until: u64,
    },
    UndoDone {
        #[serde(flatten)]
        step: StepOf,
    },
    UndoFailed {
        #[serde(flatten)]
        step: StepOf,
        failure: Why,
    },
    StepWaived {
        #[serde(flatten)]
        step: StepOf,
        by: String,
        why: String,
    },
    RetryAsked {
        #[serde(flatten)]
        step: StepOf,
        by: String,
        why: String,
    },
    RunAborted {
        by: String,
        why: String,
    },
    LockTaken {
        by: String,
        from: String,
        why: String,
    },
    WindowAwaited {
        gate: String,
        window: String,
        opens: String,
    },
    ApprovalAsked {
        gate: String,
        question: String,
    },
    ApprovalGiven {
        gate: String,
        by: String,
        when: String,
        why: String,
    },
    ApprovalRefused {
        gate: String,
        by: String,
        when: String,
    },
    HookStarted {
        #[serde(flatten)]
        hook: HookOf,
        reason: String,
        output: String,
    },
    HookWaiting {
        #[serde(flatten)]
        hook: HookOf,
        reason: String,
    },
    HookEnded {
        #[serde(flatten)]
        hook: HookOf,
        end: String,
        text: String,
    },
    RunPaused {
        reason: String,
    },
    RollbackStarted {
        by: String,
        why: String,
    },
    Stopping {
        by: String,
        why: String,
    },
    RunFinished {
        outcome: String,
    },
}

/// Which step.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct StepOf {
    step: String,
    action: String,
    text: String,
    node: Option<String>,
}

/// Which hook, and about what.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct HookOf {
    number: u32,
    on: String,
    scope: String,
    node: Option<String>,
    step: Option<String>,
    attempt: Option<u32>,
}

/// Which scope.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ScopeOf {
    scope: String,
    kind: String,
    name: String,
}

/// Why something failed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Why {
    class: String,
    message: String,
    output: String,
    hint: String,
}

fn record(plan: &Plan, event: &Event) -> Record {
    let of = |id: &StepId| {
        let Step { key, action, text, node, .. } = plan.step(*id);
        StepOf { step: key.clone(), action: action.clone(), text: text.clone(), node: node.clone() }
    };
    let key = |gate| plan.gate_key(gate).to_string();
    match event.clone() {
        Event::RunStarted => Record::RunStarted { title: plan.title.clone(), steps: plan.steps.len() },
        Event::RunResumed { by, why } => Record::RunResumed { by, why },
        Event::ScopeOpened(scope) => Record::ScopeOpened(scope_of(plan, scope)),
        Event::ScopeClosed(scope) => Record::ScopeClosed(scope_of(plan, scope)),
        Event::WhenDecided { scope, done, reason } => {
            Record::WhenDecided { scope: scope_of(plan, scope), done, reason }
        }
        Event::StepSkipped(step, reason) => Record::StepSkipped { step: of(&step), reason },
        Event::AttemptStarted(step, attempt) => Record::AttemptStarted { step: of(&step), attempt },
        Event::WorkFound { step, attempt, now, then, before: _ } => {
            Record::WorkFound { step: of(&step), attempt, now, then }
        }
        Event::WorkBegan { step, attempt, handle: _ } => Record::WorkBegan { step: of(&step), attempt },
        Event::StepWaiting { step, attempt, reason } => {
            Record::StepWaiting { step: of(&step), attempt, reason }
        }
        Event::StepSlow { step, attempt, until } => Record::StepSlow { step: of(&step), attempt, until },
        Event::AttemptFailed { step, attempt, failure, until } => {
            Record::AttemptFailed { step: of(&step), attempt, failure: why(failure), until }
        }
        Event::StepDone { step, attempt, changed, value: v } => {
            Record::StepDone { step: of(&step), attempt, changed, value: value(&v) }
        }
        Event::StepFailed { step, attempt, failure } => {
            Record::StepFailed { step: of(&step), attempt, failure: why(failure) }
        }
        Event::UndoStarted { step, attempt } => Record::UndoStarted { step: of(&step), attempt },
        Event::UndoRetried { step, attempt, failure, until } => {
            Record::UndoRetried { step: of(&step), attempt, failure: why(failure), until }
        }
        Event::UndoDone(step) => Record::UndoDone { step: of(&step) },
        Event::UndoFailed(step, failure) => Record::UndoFailed { step: of(&step), failure: why(failure) },
        Event::StepWaived { step, by, why } => Record::StepWaived { step: of(&step), by, why },
        Event::RetryAsked { step, by, why } => Record::RetryAsked { step: of(&step), by, why },
        Event::RunAborted { by, why } => Record::RunAborted { by, why },
        Event::LockTaken { by, from, why } => Record::LockTaken { by, from, why },
        Event::WindowAwaited { gate, window, opens } => {
            Record::WindowAwaited { gate: key(gate), window, opens }
        }
        Event::ApprovalAsked { gate, question } => Record::ApprovalAsked { gate: key(gate), question },
        Event::ApprovalGiven { gate, by, when, why } => {
            Record::ApprovalGiven { gate: key(gate), by, when, why }
        }
        Event::ApprovalRefused { gate, by, when } => Record::ApprovalRefused { gate: key(gate), by, when },
        Event::HookStarted { fired, reason, output } => {
            Record::HookStarted { hook: hook_of(plan, &fired), reason, output }
        }
        Event::HookWaiting { fired, reason } => Record::HookWaiting { hook: hook_of(plan, &fired), reason },
        Event::HookEnded { fired, end } => {
            let (end, text) = match end {
                HookEnd::Went(text) => ("went", text),
                HookEnd::Stopped(text) => ("stopped", text),
                HookEnd::Broke(text) => ("failed", text),
            };
            Record::HookEnded { hook: hook_of(plan, &fired), end: end.to_string(), text }
        }
        Event::RunPaused(reason) => Record::RunPaused { reason },
        Event::RollbackStarted { by, why } => Record::RollbackStarted { by, why },
        Event::Stopping { by, why } => Record::Stopping { by, why },
        Event::RunFinished(outcome) => Record::RunFinished { outcome: outcome_word(outcome).to_string() },
    }
}

fn why(failure: Failure) -> Why {
    let class = match failure.class {
        Class::Transient => "transient",
        Class::Unknown => "unknown",
        Class::Final => "final",
    };
    Why { class: class.to_string(), message: failure.message, output: failure.output, hint: failure.hint }
}

fn hook_of(plan: &Plan, fired: &Fired) -> HookOf {
    let (node, _) = track::hook(plan, fired);
    HookOf {
        number: fired.number,
        on: plan.hooks[fired.hook as usize].text.clone(),
        scope: plan.scope(fired.scope).key.clone(),
        node: node.map(str::to_string),
        step: fired.step.map(|(step, _)| plan.step(step).key.clone()),
        attempt: fired.step.map(|(_, attempt)| attempt),
    }
}

fn scope_of(plan: &Plan, scope: ScopeId) -> ScopeOf {
    let s = plan.scope(scope);
    let (kind, name) = match &s.kind {
        ScopeKind::Playbook => ("playbook", plan.title.as_str()),
        ScopeKind::Stage(name) => ("stage", name.as_str()),
        ScopeKind::Each(_) => ("each", ""),
        ScopeKind::Lane { of, .. } => ("lane", of.as_str()),
        ScopeKind::Task(name) => ("task", name.as_str()),
        ScopeKind::When(when) => ("when", when.text.as_str()),
        ScopeKind::Parallel => ("parallel", ""),
    };
    ScopeOf { scope: s.key.clone(), kind: kind.to_string(), name: name.to_string() }
}

/// Writes a value of the language: what JSON has stays, the rest is text as `.kup` has it.
fn value(value: &Value) -> serde_json::Value {
    match value {
        // What it is, is known to nobody here.
        Value::Secret(_) => value.to_string().into(),
        Value::None => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => (*n).into(),
        Value::Nodes(names) => names.clone().into(),
        Value::List(items) => items.iter().map(self::value).collect(),
        Value::Record(fields) => fields.iter().map(|(k, v)| (k.clone(), self::value(v))).collect(),
        Value::Text(_)
        | Value::Path(_)
        | Value::Duration(_)
        | Value::Share(_)
        | Value::Size(_)
        | Value::Version(_)
        | Value::Minor(_)
        | Value::Batch(_)
        | Value::Word(_)
        | Value::Node(_) => value.to_string().into(),
    }
}

/// A plan, as `kup plan --json` prints it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlanLine {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    title: String,
    hash: String,
    params: IndexMap<String, serde_json::Value>,
    /// Where the value of each parameter comes from.
    origins: IndexMap<String, String>,
    wanted: usize,
    /// How many of them depend on what is known only during the run.
    maybe: usize,
    blockers: Vec<Blocker>,
    /// Nodes that nobody asks or touches.
    left_out: Vec<String>,
    /// What is asked on the way.
    questions: Vec<Question>,
    /// What waits for a maintenance window.
    windows: Vec<Waits>,
    steps: Vec<StepLine>,
}

/// What somebody must say yes to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Question {
    gate: String,
    question: String,
}

/// What may only begin in a maintenance window.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Waits {
    gate: String,
    window: String,
}

/// Something that forbids the run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Blocker {
    step: String,
    text: String,
    message: String,
    hint: String,
}

/// A step of a plan.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct StepLine {
    step: String,
    action: String,
    text: String,
    node: Option<String>,
    effect: String,
    work: String,
    maybe: bool,
    now: String,
    then: String,
    undo: String,
    timeout_ms: u64,
    retries: u32,
}

impl PlanLine {
    /// Mirrors a plan with the preflight checks that failed.
    pub(crate) fn new(
        plan: &Plan,
        hash: &str,
        failed: &[(StepId, Failure)],
        left_out: &[String],
    ) -> PlanLine {
        let steps = plan.steps.iter().map(step_line).collect();
        let blockers = failed.iter().map(|(id, failure)| Blocker {
            step: plan.step(*id).key.clone(),
            text: plan.step(*id).text.clone(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        });
        let questions = plan.questions().into_iter();
        let questions =
            questions.map(|(gate, question)| Question { gate: plan.gate_key(gate).to_string(), question });
        let windows = plan.held().into_iter();
        let windows = windows.map(|(gate, window)| Waits { gate: plan.gate_key(gate).to_string(), window });
        PlanLine {
            v: VERSION,
            kind: "plan".to_string(),
            title: plan.title.clone(),
            hash: hash.to_string(),
            params: plan.params.iter().map(|(k, v)| (k.clone(), value(v))).collect(),
            origins: plan.origins.clone(),
            wanted: plan.steps.iter().filter(|s| s.work.is_wanted()).count(),
            maybe: plan.steps.iter().filter(|s| s.maybe).count(),
            blockers: blockers.collect(),
            left_out: left_out.to_vec(),
            questions: questions.collect(),
            windows: windows.collect(),
            steps,
        }
    }

    /// Returns the line to print.
    pub(crate) fn line(&self) -> String {
        line(self)
    }
}

fn step_line(step: &Step) -> StepLine {
    let effect = match step.effect {
        Effect::Reads => "reads",
        Effect::ChangesNode => "changes_node",
        Effect::DisruptsNode => "disrupts_node",
        Effect::ChangesCluster => "changes_cluster",
        Effect::ChangesHere => "changes_here",
        Effect::Decides => "decides",
    };
    let (work, now, then) = match &step.work {
        Work::Runs => ("runs", "", ""),
        Work::Change { now, then } => ("change", now.as_str(), then.as_str()),
        Work::Done(why) => ("done", why.as_str(), ""),
        Work::NotNeeded(why) => ("not_needed", why.as_str(), ""),
    };
    let undo = match &step.undo {
        Undo::Nothing => "nothing",
        Undo::Itself | Undo::Steps(_) => "reversible",
        Undo::OneWay(_) => "one_way",
    };
    StepLine {
        step: step.key.clone(),
        action: step.action.clone(),
        text: step.text.clone(),
        node: step.node.clone(),
        effect: effect.to_string(),
        work: work.to_string(),
        maybe: step.maybe,
        now: now.to_string(),
        then: then.to_string(),
        undo: undo.to_string(),
        timeout_ms: step.timeout,
        retries: step.retry.times,
    }
}

/// What `kup check --json` prints.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct CheckedLine {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    file: String,
    ok: bool,
    diagnostics: Vec<Finding>,
    /// What `--fix` has changed.
    fixed: Vec<FixedPlace>,
}

/// A change that was made. Its place is that in the text in which the mistake was found.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FixedPlace {
    code: String,
    line: usize,
    column: usize,
    was: String,
    is: String,
}

/// What to write in place of what; the end is the first place that stays.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PatchPlace {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    with: String,
}

/// A finding about a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Finding {
    code: String,
    severity: String,
    message: String,
    label: String,
    hints: Vec<String>,
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    patch: Option<PatchPlace>,
}

/// Returns the line about a checked file.
pub(crate) fn diagnostics(file: &str, sources: &Sources, found: &[Diagnostic], fixed: &[Change]) -> String {
    let patched = |patch: &Patch| {
        let span = patch.span;
        let (from, to) = (place(sources, span), place(sources, Span { start: span.end, ..span }));
        let (line, column, end_line, end_column) = (from.line, from.column, to.line, to.column);
        PatchPlace { line, column, end_line, end_column, with: patch.with.clone() }
    };
    let changed = |change: &Change| FixedPlace {
        code: change.code.to_string(),
        line: change.place.line,
        column: change.place.column,
        was: change.was.clone(),
        is: change.is.clone(),
    };
    let finding = |d: &Diagnostic| {
        let at = d.span.map(|span| place(sources, span));
        Finding {
            code: d.code.to_string(),
            severity: match d.severity {
                Severity::Warning => "warning".to_string(),
                Severity::Error => "error".to_string(),
            },
            message: d.message.clone(),
            label: d.label.clone(),
            hints: d.hints.clone(),
            file: at.as_ref().map(|p| p.file.clone()),
            line: at.as_ref().map(|p| p.line),
            column: at.as_ref().map(|p| p.column),
            patch: d.patch.as_deref().map(patched),
        }
    };
    line(&CheckedLine {
        v: VERSION,
        kind: "checked".to_string(),
        file: file.to_string(),
        ok: found.iter().all(|d| d.severity != Severity::Error),
        diagnostics: found.iter().map(finding).collect(),
        fixed: fixed.iter().map(changed).collect(),
    })
}

/// A file that `kup fmt` has looked at.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FormattedLine {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    file: String,
    changes: bool,
}

/// Returns the line about a formatted file.
pub(crate) fn formatted(file: &str, changes: bool) -> String {
    line(&FormattedLine { v: VERSION, kind: "formatted".to_string(), file: file.to_string(), changes })
}

/// A test that `kup test` has run.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TestedLine {
    v: u32,
    #[serde(rename = "type")]
    kind: String,
    file: String,
    line: usize,
    test: String,
    ok: bool,
    failed: Vec<Miss>,
}

/// What did not come as it was expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Miss {
    /// The line of the expectation.
    pub(crate) line: usize,
    /// Its column.
    pub(crate) column: usize,
    /// What was expected, as written.
    pub(crate) expected: String,
    /// What came instead.
    pub(crate) came: String,
}

/// Returns the line about a test.
pub(crate) fn tested(file: &str, at: usize, test: &str, failed: &[Miss]) -> String {
    line(&TestedLine {
        v: VERSION,
        kind: "tested".to_string(),
        file: file.to_string(),
        line: at,
        test: test.to_string(),
        ok: failed.is_empty(),
        failed: failed.to_vec(),
    })
}

/// Serializes one line. JSON escapes every control character by itself; the marks that reorder text
/// are escaped here.
pub(crate) fn line<T: Serialize>(object: &T) -> String {
    let text = serde_json::to_string(object).expect("mirrors hold nothing that JSON cannot say");
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if crate::printable::steers(c) {
            out.push_str(&format!("\\u{:04x}", c as u32));
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doc::json::{PlaybookLine, VerbLine, WordLine};
    use crate::report::WhyLine;

    /// Every example of the page must be read by the types and written again as it stands.
    #[test]
    fn the_page_shows_what_the_types_write() {
        let page = include_str!("../../docs/json.md");
        let mut seen = Vec::new();
        for example in page.lines().filter(|l| l.starts_with('{')) {
            let json: serde_json::Value = serde_json::from_str(example).unwrap();
            let kind = json["type"].as_str().unwrap().to_string();
            let written = match kind.as_str() {
                "plan" => line(&serde_json::from_str::<PlanLine>(example).unwrap()),
                "checked" => line(&serde_json::from_str::<CheckedLine>(example).unwrap()),
                "tested" => line(&serde_json::from_str::<TestedLine>(example).unwrap()),
                "verb" => line(&serde_json::from_str::<VerbLine>(example).unwrap()),
                "playbook" => line(&serde_json::from_str::<PlaybookLine>(example).unwrap()),
                "word" => line(&serde_json::from_str::<WordLine>(example).unwrap()),
                "why" => line(&serde_json::from_str::<WhyLine>(example).unwrap()),
                "formatted" => line(&serde_json::from_str::<FormattedLine>(example).unwrap()),
                _ => line(&serde_json::from_str::<EventLine>(example).unwrap()),
            };
            assert_eq!(written, example);
            seen.push(kind);
        }
        for kind in KINDS {
            assert!(seen.iter().any(|k| k == kind), "docs/json.md has no example of `{kind}`");
        }
    }

    /// Every `type` there is. A new one is added here and to the page.
    const KINDS: &[&str] = &[
        "verb",
        "playbook",
        "word",
        "tested",
        "plan",
        "checked",
        "formatted",
        "why",
        "run_started",
        "run_resumed",
        "scope_opened",
        "scope_closed",
        "step_skipped",
        "attempt_started",
        "work_found",
        "work_began",
        "step_waiting",
        "step_slow",
        "attempt_failed",
        "step_done",
        "step_failed",
        "undo_started",
        "undo_retried",
        "undo_done",
        "undo_failed",
        "step_waived",
        "retry_asked",
        "run_aborted",
        "lock_taken",
        "window_awaited",
        "approval_asked",
        "approval_given",
        "approval_refused",
        "hook_started",
        "hook_waiting",
        "hook_ended",
        "run_paused",
        "rollback_started",
        "stopping",
        "run_finished",
    ];
}

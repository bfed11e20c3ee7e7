//! What a line of the journal looks like. The types here mirror [`Event`] and are the wire format,
//! version 1: a change to an event must not change what old journals say.
//!
//! ```text
//! {"kup":"journal","v":1,"run":..,"plan":..,"seed":..,"check":"<sha256 of the line without this>"}
//! {"seq":1,"at":0,"event":{"type":"run_started"},"chain":"<sha256 of chain 0 + the line without this>"}
//! {"seq":2,"at":0,"event":{..},"chain":"<sha256 of chain 1 + ..>"}       chain 0 = "kup journal 1 " + plan
//! ```
//!
//! "The line without this" is the line up to the last `,"chain":` and the closing brace, so that
//! `printf %s%s CHAIN LINE | sha256sum` checks it by hand.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::JournalError;
use super::value::WireValue;
use crate::event::{Class, Event, Failure, Fired, HookEnd, Outcome};
use crate::plan::{Gate, Plan, ScopeId, StepId};

/// The version of the format that this kup writes.
pub const VERSION: u32 = 1;

/// The first line: whose journal this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The run's id.
    pub run: String,
    /// The cluster's UID; empty for plain hosts.
    pub cluster: String,
    /// The machine that began the run.
    pub host: String,
    /// Who began it.
    pub user: String,
    /// When, as RFC 3339.
    pub started: String,
    /// The plan's digest.
    pub plan: String,
    /// The machine's seed.
    pub seed: u64,
}

#[derive(Serialize, Deserialize)]
struct WireHeader {
    kup: String,
    v: u32,
    #[serde(flatten)]
    header: Header,
}

/// The durable key of a step or a scope: borrowed where it is written, which each record does.
type Key<'k> = Cow<'k, str>;

/// A line after the first, without its chain.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireRecord<'k> {
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) event: WireEvent<'k>,
}

/// An [`Event`] on the wire: steps and scopes by their durable keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum WireEvent<'k> {
    RunStarted,
    RunResumed {
        by: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    ScopeOpened {
        scope: Key<'k>,
    },
    ScopeClosed {
        scope: Key<'k>,
    },
    WhenDecided {
        scope: Key<'k>,
        done: bool,
        reason: String,
    },
    StepSkipped {
        step: Key<'k>,
        reason: String,
    },
    AttemptStarted {
        step: Key<'k>,
        attempt: u32,
    },
    WorkFound {
        step: Key<'k>,
        attempt: u32,
        now: String,
        then: String,
        before: WireValue,
    },
    WorkBegan {
        step: Key<'k>,
        attempt: u32,
        handle: WireValue,
    },
    StepWaiting {
        step: Key<'k>,
        attempt: u32,
        reason: String,
    },
    StepSlow {
        step: Key<'k>,
        attempt: u32,
        until: u64,
    },
    AttemptFailed {
        step: Key<'k>,
        attempt: u32,
        failure: WireFailure,
        until: u64,
    },
    StepDone {
        step: Key<'k>,
        attempt: u32,
        changed: bool,
        value: WireValue,
    },
    StepFailed {
        step: Key<'k>,
        attempt: u32,
        failure: WireFailure,
    },
    UndoStarted {
        step: Key<'k>,
        attempt: u32,
    },
    UndoRetried {
        step: Key<'k>,
        attempt: u32,
        failure: WireFailure,
        until: u64,
    },
    UndoDone {
        step: Key<'k>,
    },
    UndoFailed {
        step: Key<'k>,
        failure: WireFailure,
    },
    HookStarted {
        #[serde(flatten)]
        fired: WireFired<'k>,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        output: String,
    },
    HookWaiting {
        #[serde(flatten)]
        fired: WireFired<'k>,
        reason: String,
    },
    HookEnded {
        #[serde(flatten)]
        fired: WireFired<'k>,
        end: WireHookEnd,
        text: String,
    },
    StepWaived {
        step: Key<'k>,
        by: String,
        why: String,
    },
    RetryAsked {
        step: Key<'k>,
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
        gate: WireGate<'k>,
        window: String,
        opens: String,
    },
    ApprovalAsked {
        gate: WireGate<'k>,
        question: String,
    },
    ApprovalGiven {
        gate: WireGate<'k>,
        by: String,
        when: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    ApprovalRefused {
        gate: WireGate<'k>,
        by: String,
        when: String,
    },
    RunPaused {
        reason: String,
    },
    RollbackStarted {
        by: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    Stopping {
        by: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    RunFinished {
        outcome: WireOutcome,
    },
}

/// A [`Gate`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireGate<'k> {
    Step(Key<'k>),
    Scope(Key<'k>),
}

impl<'k> WireGate<'k> {
    fn write(gate: Gate, keys: &'k Keys) -> WireGate<'k> {
        match gate {
            Gate::Step(id) => WireGate::Step(keys.step_name(id)),
            Gate::Scope(id) => WireGate::Scope(keys.scope_name(id)),
        }
    }

    fn read(&self, keys: &Keys) -> Result<Gate, JournalError> {
        Ok(match self {
            WireGate::Step(key) => Gate::Step(keys.step(key)?),
            WireGate::Scope(key) => Gate::Scope(keys.scope(key)?),
        })
    }
}

/// A [`Failure`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireFailure {
    class: WireClass,
    message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    output: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    hint: String,
}

/// A [`Fired`] on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireFired<'k> {
    number: u32,
    hook: u32,
    scope: Key<'k>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<Key<'k>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    attempt: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireHookEnd {
    Went,
    Stopped,
    Broke,
}

impl<'k> WireFired<'k> {
    fn write(fired: &Fired, keys: &'k Keys) -> WireFired<'k> {
        WireFired {
            number: fired.number,
            hook: fired.hook,
            scope: keys.scope_name(fired.scope),
            step: fired.step.map(|(step, _)| keys.step_name(step)),
            attempt: fired.step.map_or(0, |(_, attempt)| attempt),
        }
    }

    fn read(self, keys: &Keys) -> Result<Fired, JournalError> {
        if self.hook >= keys.hooks {
            return Err(JournalError::Content(format!("the plan has no hook {}", self.hook)));
        }
        let step = self.step.map(|key| keys.step(&key)).transpose()?;
        Ok(Fired {
            number: self.number,
            hook: self.hook,
            scope: keys.scope(&self.scope)?,
            step: step.map(|step| (step, self.attempt)),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireClass {
    Transient,
    Unknown,
    Final,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireOutcome {
    Done,
    Paused,
    Compensated,
    Failed,
}

impl Header {
    /// Returns the first line, with its newline.
    pub(super) fn write(&self) -> Result<String, JournalError> {
        let wire = WireHeader { kup: "journal".to_string(), v: VERSION, header: self.clone() };
        checked(&wire)
    }

    /// Reads the first line.
    pub(super) fn read(line: &str) -> Result<Header, JournalError> {
        let not_ours = || JournalError::Damaged {
            offset: 0,
            reason: "the first line is not the header of a journal".to_string(),
        };
        // The version first: a later one may have another shape.
        let any: serde_json::Value = serde_json::from_str(line).map_err(|_| not_ours())?;
        if any.get("kup").and_then(|k| k.as_str()) != Some("journal") {
            return Err(not_ours());
        }
        let version = any.get("v").and_then(serde_json::Value::as_u64).ok_or_else(not_ours)?;
        if version != u64::from(VERSION) {
            return Err(JournalError::Version(version));
        }
        let (body, check) = unseal(line, "check").ok_or_else(not_ours)?;
        if digest("", &body) != check {
            let reason = "the header does not match its checksum".to_string();
            return Err(JournalError::Damaged { offset: 0, reason });
        }
        let wire: WireHeader = serde_json::from_str(&body).map_err(|_| not_ours())?;
        Ok(wire.header)
    }

    /// Returns what the first record's chain starts from.
    pub(super) fn chain(&self) -> String {
        format!("kup journal {VERSION} {}", self.plan)
    }
}

/// Returns the hex sha256 of bytes.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Returns the hex sha256 of the previous chain and a body.
pub(super) fn digest(previous: &str, body: impl AsRef<[u8]>) -> String {
    let mut hash = Sha256::new();
    hash.update(previous.as_bytes());
    hash.update(body);
    hex(&hash.finalize())
}

/// Each record has one of these: a string for each byte would be half of what a record costs.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = vec![0; 2 * bytes.len()];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    // Digits are text.
    String::from_utf8(text).unwrap_or_default()
}

/// Returns a line that vouches for itself alone, with its newline.
pub(super) fn checked(wire: &impl Serialize) -> Result<String, JournalError> {
    let mut line = serde_json::to_vec(wire).map_err(JournalError::content)?;
    let check = digest("", &line);
    seal(&mut line, "check", &check);
    String::from_utf8(line).map_err(JournalError::content)
}

/// Ends a line whose body is written, with one more field.
pub(super) fn seal(line: &mut Vec<u8>, field: &str, hash: &str) {
    line.pop(); // its closing brace
    for part in [",\"", field, "\":\"", hash, "\"}\n"] {
        line.extend_from_slice(part.as_bytes());
    }
}

/// Takes the last field off a line; `None` if it does not look like it.
pub(super) fn unseal<'a>(line: &'a str, field: &str) -> Option<(String, &'a str)> {
    let rest = line.strip_suffix("\"}")?;
    let (open, hash) = rest.rsplit_once(&format!(",\"{field}\":\""))?;
    let hex = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    hex.then(|| (format!("{open}}}"), hash))
}

/// The durable names of a plan's steps and scopes, both ways.
#[derive(Clone, Debug)]
pub struct Keys {
    steps: IndexMap<String, StepId>,
    scopes: IndexMap<String, ScopeId>,
    hooks: u32,
}

impl Keys {
    /// Collects the names of a plan. Of scopes with equal keys the second is `key#2`, and so on.
    pub fn new(plan: &Plan) -> Keys {
        let steps = plan.ids().map(|id| (plan.step(id).key.clone(), id)).collect();
        let mut scopes = IndexMap::new();
        for (id, scope) in (0..).map(ScopeId).zip(&plan.scopes) {
            let mut name = scope.key.clone();
            let mut n = 1;
            while scopes.contains_key(&name) {
                n += 1;
                name = format!("{}#{n}", scope.key);
            }
            scopes.insert(name, id);
        }
        Keys { steps, scopes, hooks: plan.hooks.len() as u32 }
    }

    /// Finds a step by its key.
    pub fn find_step(&self, key: &str) -> Option<StepId> {
        self.steps.get(key).copied()
    }

    /// Returns an event as JSON, as the journal has it.
    pub fn json(&self, event: &Event) -> serde_json::Value {
        // Only maps with keys that are not text fail to serialize, and there are none.
        serde_json::to_value(WireEvent::write(event, self)).unwrap_or_default()
    }

    // Both maps are dense and in the order of the ids, so the id is the index.
    fn step_name(&self, id: StepId) -> Key<'_> {
        let found = self.steps.get_index(id.0 as usize);
        found.map_or_else(|| format!("#{}", id.0).into(), |(key, _)| key.into())
    }

    fn scope_name(&self, id: ScopeId) -> Key<'_> {
        let found = self.scopes.get_index(id.0 as usize);
        found.map_or_else(|| format!("#{}", id.0).into(), |(key, _)| key.into())
    }

    fn step(&self, key: &str) -> Result<StepId, JournalError> {
        let missing = || JournalError::Content(format!("the plan has no step `{key}`"));
        self.steps.get(key).copied().ok_or_else(missing)
    }

    fn scope(&self, key: &str) -> Result<ScopeId, JournalError> {
        let missing = || JournalError::Content(format!("the plan has no scope `{key}`"));
        self.scopes.get(key).copied().ok_or_else(missing)
    }
}

impl<'k> WireEvent<'k> {
    /// Writes an event.
    pub(super) fn write(event: &Event, keys: &'k Keys) -> WireEvent<'k> {
        let key = |id: &StepId| keys.step_name(*id);
        let scope = |id: &ScopeId| keys.scope_name(*id);
        match event {
            Event::RunStarted => WireEvent::RunStarted,
            Event::RunResumed { by, why } => WireEvent::RunResumed { by: by.clone(), why: why.clone() },
            Event::ScopeOpened(id) => WireEvent::ScopeOpened { scope: scope(id) },
            Event::ScopeClosed(id) => WireEvent::ScopeClosed { scope: scope(id) },
            Event::WhenDecided { scope: id, done, reason } => {
                WireEvent::WhenDecided { scope: scope(id), done: *done, reason: reason.clone() }
            }
            Event::StepSkipped(id, reason) => {
                WireEvent::StepSkipped { step: key(id), reason: reason.clone() }
            }
            Event::AttemptStarted(id, attempt) => {
                WireEvent::AttemptStarted { step: key(id), attempt: *attempt }
            }
            Event::WorkFound { step, attempt, now, then, before } => WireEvent::WorkFound {
                step: key(step),
                attempt: *attempt,
                now: now.clone(),
                then: then.clone(),
                before: before.into(),
            },
            Event::WorkBegan { step, attempt, handle } => {
                WireEvent::WorkBegan { step: key(step), attempt: *attempt, handle: handle.into() }
            }
            Event::StepWaiting { step, attempt, reason } => {
                WireEvent::StepWaiting { step: key(step), attempt: *attempt, reason: reason.clone() }
            }
            Event::StepSlow { step, attempt, until } => {
                WireEvent::StepSlow { step: key(step), attempt: *attempt, until: *until }
            }
            Event::AttemptFailed { step, attempt, failure, until } => WireEvent::AttemptFailed {
                step: key(step),
                attempt: *attempt,
                failure: failure.into(),
                until: *until,
            },
            Event::StepDone { step, attempt, changed, value } => WireEvent::StepDone {
                step: key(step),
                attempt: *attempt,
                changed: *changed,
                value: value.into(),
            },
            Event::StepFailed { step, attempt, failure } => {
                WireEvent::StepFailed { step: key(step), attempt: *attempt, failure: failure.into() }
            }
            Event::UndoStarted { step, attempt } => {
                WireEvent::UndoStarted { step: key(step), attempt: *attempt }
            }
            Event::UndoRetried { step, attempt, failure, until } => WireEvent::UndoRetried {
                step: key(step),
                attempt: *attempt,
                failure: failure.into(),
                until: *until,
            },
            Event::UndoDone(id) => WireEvent::UndoDone { step: key(id) },
            Event::UndoFailed(id, failure) => {
                WireEvent::UndoFailed { step: key(id), failure: failure.into() }
            }
            Event::StepWaived { step, by, why } => {
                WireEvent::StepWaived { step: key(step), by: by.clone(), why: why.clone() }
            }
            Event::RetryAsked { step, by, why } => {
                WireEvent::RetryAsked { step: key(step), by: by.clone(), why: why.clone() }
            }
            Event::RunAborted { by, why } => WireEvent::RunAborted { by: by.clone(), why: why.clone() },
            Event::LockTaken { by, from, why } => {
                WireEvent::LockTaken { by: by.clone(), from: from.clone(), why: why.clone() }
            }
            Event::WindowAwaited { gate, window, opens } => WireEvent::WindowAwaited {
                gate: WireGate::write(*gate, keys),
                window: window.clone(),
                opens: opens.clone(),
            },
            Event::ApprovalAsked { gate, question } => {
                WireEvent::ApprovalAsked { gate: WireGate::write(*gate, keys), question: question.clone() }
            }
            Event::ApprovalGiven { gate, by, when, why } => WireEvent::ApprovalGiven {
                gate: WireGate::write(*gate, keys),
                by: by.clone(),
                when: when.clone(),
                why: why.clone(),
            },
            Event::ApprovalRefused { gate, by, when } => WireEvent::ApprovalRefused {
                gate: WireGate::write(*gate, keys),
                by: by.clone(),
                when: when.clone(),
            },
            Event::HookStarted { fired, reason, output } => WireEvent::HookStarted {
                fired: WireFired::write(fired, keys),
                reason: reason.clone(),
                output: output.clone(),
            },
            Event::HookWaiting { fired, reason } => {
                WireEvent::HookWaiting { fired: WireFired::write(fired, keys), reason: reason.clone() }
            }
            Event::HookEnded { fired, end } => {
                let (end, text) = match end {
                    HookEnd::Went(text) => (WireHookEnd::Went, text),
                    HookEnd::Stopped(text) => (WireHookEnd::Stopped, text),
                    HookEnd::Broke(text) => (WireHookEnd::Broke, text),
                };
                WireEvent::HookEnded { fired: WireFired::write(fired, keys), end, text: text.clone() }
            }
            Event::RunPaused(reason) => WireEvent::RunPaused { reason: reason.clone() },
            Event::RollbackStarted { by, why } => {
                WireEvent::RollbackStarted { by: by.clone(), why: why.clone() }
            }
            Event::Stopping { by, why } => WireEvent::Stopping { by: by.clone(), why: why.clone() },
            Event::RunFinished(outcome) => WireEvent::RunFinished {
                outcome: match outcome {
                    Outcome::Done => WireOutcome::Done,
                    Outcome::Paused => WireOutcome::Paused,
                    Outcome::Compensated => WireOutcome::Compensated,
                    Outcome::Failed => WireOutcome::Failed,
                },
            },
        }
    }

    /// Reads an event; keys that the plan does not have are an error.
    pub(super) fn read(self, keys: &Keys) -> Result<Event, JournalError> {
        let id = |key: &str| keys.step(key);
        let scope = |key: &str| keys.scope(key);
        Ok(match self {
            WireEvent::RunStarted => Event::RunStarted,
            WireEvent::RunResumed { by, why } => Event::RunResumed { by, why },
            WireEvent::ScopeOpened { scope: key } => Event::ScopeOpened(scope(&key)?),
            WireEvent::ScopeClosed { scope: key } => Event::ScopeClosed(scope(&key)?),
            WireEvent::WhenDecided { scope: key, done, reason } => {
                Event::WhenDecided { scope: scope(&key)?, done, reason }
            }
            WireEvent::StepSkipped { step, reason } => Event::StepSkipped(id(&step)?, reason),
            WireEvent::AttemptStarted { step, attempt } => Event::AttemptStarted(id(&step)?, attempt),
            WireEvent::WorkFound { step, attempt, now, then, before } => {
                Event::WorkFound { step: id(&step)?, attempt, now, then, before: before.read()? }
            }
            WireEvent::WorkBegan { step, attempt, handle } => {
                Event::WorkBegan { step: id(&step)?, attempt, handle: handle.read()? }
            }
            WireEvent::StepWaiting { step, attempt, reason } => {
                Event::StepWaiting { step: id(&step)?, attempt, reason }
            }
            WireEvent::StepSlow { step, attempt, until } => {
                Event::StepSlow { step: id(&step)?, attempt, until }
            }
            WireEvent::AttemptFailed { step, attempt, failure, until } => {
                Event::AttemptFailed { step: id(&step)?, attempt, failure: failure.into(), until }
            }
            WireEvent::StepDone { step, attempt, changed, value } => {
                Event::StepDone { step: id(&step)?, attempt, changed, value: value.read()? }
            }
            WireEvent::StepFailed { step, attempt, failure } => {
                Event::StepFailed { step: id(&step)?, attempt, failure: failure.into() }
            }
            WireEvent::UndoStarted { step, attempt } => Event::UndoStarted { step: id(&step)?, attempt },
            WireEvent::UndoRetried { step, attempt, failure, until } => {
                Event::UndoRetried { step: id(&step)?, attempt, failure: failure.into(), until }
            }
            WireEvent::UndoDone { step } => Event::UndoDone(id(&step)?),
            WireEvent::UndoFailed { step, failure } => Event::UndoFailed(id(&step)?, failure.into()),
            WireEvent::StepWaived { step, by, why } => Event::StepWaived { step: id(&step)?, by, why },
            WireEvent::RetryAsked { step, by, why } => Event::RetryAsked { step: id(&step)?, by, why },
            WireEvent::RunAborted { by, why } => Event::RunAborted { by, why },
            WireEvent::LockTaken { by, from, why } => Event::LockTaken { by, from, why },
            WireEvent::WindowAwaited { gate, window, opens } => {
                Event::WindowAwaited { gate: gate.read(keys)?, window, opens }
            }
            WireEvent::ApprovalAsked { gate, question } => {
                Event::ApprovalAsked { gate: gate.read(keys)?, question }
            }
            WireEvent::ApprovalGiven { gate, by, when, why } => {
                Event::ApprovalGiven { gate: gate.read(keys)?, by, when, why }
            }
            WireEvent::ApprovalRefused { gate, by, when } => {
                Event::ApprovalRefused { gate: gate.read(keys)?, by, when }
            }
            WireEvent::HookStarted { fired, reason, output } => {
                Event::HookStarted { fired: fired.read(keys)?, reason, output }
            }
            WireEvent::HookWaiting { fired, reason } => {
                Event::HookWaiting { fired: fired.read(keys)?, reason }
            }
            WireEvent::HookEnded { fired, end, text } => Event::HookEnded {
                fired: fired.read(keys)?,
                end: match end {
                    WireHookEnd::Went => HookEnd::Went(text),
                    WireHookEnd::Stopped => HookEnd::Stopped(text),
                    WireHookEnd::Broke => HookEnd::Broke(text),
                },
            },
            WireEvent::RunPaused { reason } => Event::RunPaused(reason),
            WireEvent::RollbackStarted { by, why } => Event::RollbackStarted { by, why },
            WireEvent::Stopping { by, why } => Event::Stopping { by, why },
            WireEvent::RunFinished { outcome } => Event::RunFinished(match outcome {
                WireOutcome::Done => Outcome::Done,
                WireOutcome::Paused => Outcome::Paused,
                WireOutcome::Compensated => Outcome::Compensated,
                WireOutcome::Failed => Outcome::Failed,
            }),
        })
    }
}

impl From<&Failure> for WireFailure {
    fn from(failure: &Failure) -> WireFailure {
        WireFailure {
            class: match failure.class {
                Class::Transient => WireClass::Transient,
                Class::Unknown => WireClass::Unknown,
                Class::Final => WireClass::Final,
            },
            message: failure.message.clone(),
            output: failure.output.clone(),
            hint: failure.hint.clone(),
        }
    }
}

impl From<WireFailure> for Failure {
    fn from(wire: WireFailure) -> Failure {
        Failure {
            class: match wire.class {
                WireClass::Transient => Class::Transient,
                WireClass::Unknown => Class::Unknown,
                WireClass::Final => Class::Final,
            },
            message: wire.message,
            output: wire.output,
            hint: wire.hint,
        }
    }
}

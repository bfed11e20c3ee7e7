//! Verbs that only look, and can tell at once: their probe is all of their work.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;

/// Looks at the world and says yes, with what shows it, or no.
#[async_trait]
pub(super) trait Verdict: Send + Sync {
    /// Returns the verb's words.
    fn name(&self) -> &'static str;

    /// Returns what was seen, or why it is not good enough.
    async fn judge(&self, cx: &Context) -> Result<String, Failure>;
}

/// What a look has found: what forbids the change, and what is only worth knowing.
#[derive(Default)]
pub(super) struct Findings {
    /// What forbids it.
    pub(super) against: Vec<String>,
    /// What an operator should know although it stops nothing.
    pub(super) notes: Vec<String>,
}

impl Findings {
    /// Puts a finding where its weight belongs.
    pub(super) fn add(&mut self, forbids: bool, text: String) {
        if forbids { self.against.push(text) } else { self.notes.push(text) }
    }

    /// Returns what was seen with the notes, or all that forbids the change, which does not go away by waiting.
    pub(super) fn conclude(self, well: String, hint: &str) -> Result<String, Failure> {
        let notes = self.notes.iter().map(|note| format!("note: {note}"));
        if self.against.is_empty() {
            return Ok(std::iter::once(well).chain(notes).collect::<Vec<_>>().join("; "));
        }
        let failure = Failure::last(self.against.join("; ")).with_hint(hint);
        let notes = notes.collect::<Vec<_>>().join("\n");
        Err(if notes.is_empty() { failure } else { failure.with_output(notes) })
    }
}

/// The action of a verdict.
pub(super) struct Looks<V>(pub(super) V);

/// The probe of a verb that changes something, as a verb of its own: whether that one will find its way is known before the first step.
pub(super) struct Foreseen<A>(pub(super) A, pub(super) &'static str);

#[async_trait]
impl<A: Action> Verdict for Foreseen<A> {
    fn name(&self) -> &'static str {
        self.1
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        Ok(match self.0.check(cx).await? {
            Check::Done(text) => text,
            Check::Needs { now, then, .. } if now.is_empty() => format!("can be applied: {then}"),
            Check::Needs { now, then, .. } => format!("can go from {now} to {then}"),
        })
    }
}

#[async_trait]
impl<V: Verdict> Action for Looks<V> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        self.0.judge(cx).await.map(Check::Done)
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        self.0.judge(cx).await.map(|text| Progress::Done(Value::Text(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_forbid_nothing_and_stay_beside_what_does() {
        let mut findings = Findings::default();
        findings.add(false, "one CoreDNS".into());
        assert_eq!(findings.conclude("all well".into(), "").unwrap(), "all well; note: one CoreDNS");
        let mut findings = Findings::default();
        findings.add(false, "one CoreDNS".into());
        findings.add(true, "swap is on".into());
        findings.add(true, "the disk is full".into());
        let failure = findings.conclude("all well".into(), "mend it").unwrap_err();
        assert_eq!(
            (failure.message.as_str(), failure.output.as_str()),
            ("swap is on; the disk is full", "note: one CoreDNS")
        );
        assert_eq!(failure.class, engine::event::Class::Final);
    }
}

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

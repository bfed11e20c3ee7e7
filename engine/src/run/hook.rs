//! Performs a hook: its verbs one after the other, until one of them says stop. A wait is looked at again
//! until the verb's timeout.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dsl::program::Thing;
use dsl::value::Value;

use super::script::Told;
use super::sight::{Sight, stage};
use super::task::Performer;
use crate::event::{Failure, Fired, HookEnd};
use crate::hook::{Verdict, is_gate};
use crate::plan::{ScopeKind, UndoStep, fill, fill_line};

impl Performer {
    /// Performs a hook to its end; tells each new reason for waiting.
    pub(super) async fn hook(
        &self,
        fired: Fired,
        reason: &str,
        output: &str,
        waiting: impl Fn(String) + Sync,
    ) -> HookEnd {
        let hook = &self.plan.hooks[fired.hook as usize];
        let step = fired.step.map(|(id, attempt)| (self.plan.step(id), attempt));
        let node = match (&self.plan.scope(fired.scope).kind, step) {
            (ScopeKind::Lane { of, is_node: true }, _) if hook.on == Thing::Node => Some(of.as_str()),
            (_, Some((step, _))) => step.node.as_deref(),
            (_, None) => None,
        };
        let sight = Sight {
            scope: Some(fired.scope),
            step: fired.step.map(|(id, _)| id),
            attempt: fired.step.map_or(0, |(_, attempt)| attempt),
            node,
            event: &hook.text,
            reason,
            output,
            ..Sight::default()
        };
        let known = [
            ("node", node.unwrap_or("-")),
            ("reason", reason),
            ("stage", stage(&self.plan, fired.scope).unwrap_or_default()),
            ("step", step.map_or("", |(step, _)| step.text.as_str())),
        ];
        let (mut said, mut broke) = (Vec::new(), Vec::new());
        for (i, step) in hook.steps.iter().enumerate() {
            let args = step.args.iter().map(|(name, value)| {
                let filled = match self.actions.is_line(&step.action, name) {
                    true => fill_line(value, &known),
                    false => Ok(fill(value, &known)),
                };
                filled.map(|value| (name.clone(), value))
            });
            let step = match args.collect() {
                Ok(args) => UndoStep { args, ..step.clone() },
                Err(why) => {
                    let text = format!("`{}` cannot be put together: {why}", step.text);
                    return HookEnd::Broke(text);
                }
            };
            let key = format!("hook/{}/{}", fired.number, i + 1);
            let limit = Duration::from_millis(step.timeout);
            let last = Mutex::new(String::new());
            let mut waits = |why: String| {
                last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&why);
                waiting(why);
            };
            let end = tokio::select! {
                biased;
                end = self.beside(&step, key, sight.clone(), &mut waits) => end,
                () = self.ports.clock.sleep(limit) => {
                    let limit = Value::Duration(step.timeout);
                    let gate = self.plan.scripts.get(&step.action).is_none_or(|text| is_gate(text));
                    let text = format!("no end after {limit}");
                    if gate { HookEnd::Stopped(text) } else { HookEnd::Broke(text) }
                }
            };
            let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
            let told = |text: String| match last.as_str() {
                "" => text,
                why if text.starts_with("no end after") => format!("{text}, waiting for {why}"),
                _ => text,
            };
            match end {
                HookEnd::Went(text) => said.push(text),
                HookEnd::Stopped(text) => return HookEnd::Stopped(told(text)),
                // The verbs behind it have nothing to do with it.
                HookEnd::Broke(text) => broke.push(format!("{}: {}", step.action, told(text))),
            }
        }
        said.retain(|text| !text.is_empty());
        match broke.is_empty() {
            true => HookEnd::Went(said.join("; ")),
            false => HookEnd::Broke(broke.join("; ")),
        }
    }

    /// Performs one verb of a hook.
    async fn beside(
        &self,
        step: &UndoStep,
        key: String,
        sight: Sight<'_>,
        waiting: &mut (dyn FnMut(String) + Send),
    ) -> HookEnd {
        let Some(script) = self.script(&step.action, &step.args, sight.clone()) else {
            return match self.look_beside(step, key, sight).await {
                Ok(()) => HookEnd::Went(String::new()),
                Err(failure) => HookEnd::Stopped(failure.message),
            };
        };
        let mut last = String::new();
        loop {
            let Told { verdict, said } = script.decide(&self.ports).await;
            let spoken = |last: String| {
                let all = said.iter().cloned().chain(Some(last));
                all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
            };
            match verdict {
                Ok(Verdict::Go(saw)) => return HookEnd::Went(spoken(saw)),
                Ok(Verdict::Stop(why)) => return HookEnd::Stopped(spoken(why)),
                Ok(Verdict::Wait { reason, again }) => {
                    let reason = spoken(reason);
                    if reason != last {
                        waiting(reason.clone());
                        last = reason;
                    }
                    self.ports.clock.sleep(Duration::from_millis(again)).await;
                }
                // A gate that breaks off has not said go on.
                Err(why) if is_gate(&script.text) => {
                    return HookEnd::Stopped(format!("its script broke off: {why}"));
                }
                Err(why) => return HookEnd::Broke(format!("its script broke off: {why}")),
            }
        }
    }

    /// Performs a verb done in Rust, which only reads; what it finds wrong stops.
    async fn look_beside(&self, step: &UndoStep, key: String, sight: Sight<'_>) -> Result<(), Failure> {
        let action = self.action(&step.action, &step.args, sight)?;
        let cx = self.context(key, 1, step.node.as_deref(), step.args.clone(), step.long);
        self.whole(&*action, &cx).await
    }
}

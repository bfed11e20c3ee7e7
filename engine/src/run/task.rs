//! Performs one effect: asks the action, and turns what it says into inputs of the machine.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dsl::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;
use indexmap::IndexMap;
use tokio::sync::mpsc::UnboundedSender;

use crate::action::{Action, Actions, Check, Context, Progress};
use crate::event::{Failure, HookEnd};
use crate::hook::Marks;
use crate::inventory::{Inventory, Node};
use crate::machine::{CLEANING, Effect, Input};
use crate::plan::{Plan, StepId, Undo};
use crate::port::Ports;
use crate::secret::Secrets;

use super::script::Script;
use super::sight::Sight;

/// The arguments of a step, by parameter.
pub(super) type Arguments = IndexMap<String, Value>;

/// What all tasks of a run share.
pub(super) struct Performer {
    pub(super) plan: Arc<Plan>,
    pub(super) actions: Actions,
    pub(super) ports: Arc<Ports>,
    pub(super) inventory: Arc<Inventory>,
    /// Its nodes, each once for all steps that are about it.
    pub(super) nodes: HashMap<String, Arc<Node>>,
    pub(super) run: Arc<str>,
    pub(super) folder: Arc<Path>,
    pub(super) secrets: Arc<Secrets>,
}

/// Returns the nodes of an inventory, to be shared.
pub(super) fn shared(inventory: &Inventory) -> HashMap<String, Arc<Node>> {
    inventory.nodes.iter().map(|(name, node)| (name.clone(), Arc::new(node.clone()))).collect()
}

/// Where the answers go; no secret goes there.
#[derive(Clone)]
pub(super) struct Answers {
    to: UnboundedSender<Input>,
    secrets: Arc<Secrets>,
}

impl Answers {
    pub(super) fn new(to: UnboundedSender<Input>, secrets: Arc<Secrets>) -> Answers {
        Answers { to, secrets }
    }

    /// Answers. A receiver that is gone wants no answers.
    fn tell(&self, input: Input) {
        let secrets = &self.secrets;
        let told = match input {
            Input::Probed(step, attempt, check) => Input::Probed(step, attempt, secrets.hide_check(check)),
            Input::Began(step, attempt, handle) => Input::Began(step, attempt, secrets.hide_value(handle)),
            Input::Waiting(step, attempt, why) => Input::Waiting(step, attempt, secrets.hide(why)),
            Input::Done(step, attempt, value) => Input::Done(step, attempt, secrets.hide_value(value)),
            Input::Failed(step, attempt, why) => Input::Failed(step, attempt, secrets.hide_failure(why)),
            Input::NodeGone(step, attempt, why) => Input::NodeGone(step, attempt, secrets.hide_failure(why)),
            Input::Undone(step, attempt, how) => {
                Input::Undone(step, attempt, how.map_err(|why| secrets.hide_failure(why)))
            }
            Input::HookWaiting(fired, why) => Input::HookWaiting(fired, secrets.hide(why)),
            Input::HookEnded(fired, end) => {
                let end = match end {
                    HookEnd::Went(said) => HookEnd::Went(secrets.hide(said)),
                    HookEnd::Stopped(why) => HookEnd::Stopped(secrets.hide(why)),
                    HookEnd::Broke(why) => HookEnd::Broke(secrets.hide(why)),
                };
                Input::HookEnded(fired, end)
            }
            input @ (Input::UndoneWithNode(..)
            | Input::Begin { .. }
            | Input::Tick
            | Input::Interrupt { .. }
            | Input::Rollback { .. }
            | Input::Waive { .. }
            | Input::Retry { .. }
            | Input::Abort { .. }
            | Input::TookLock { .. }
            | Input::Window { .. }
            | Input::Answer { .. }) => input,
        };
        drop(self.to.send(told));
    }
}

impl Performer {
    /// Performs an effect to its answer, with the arguments of the step, or of the steps that take it back.
    ///
    /// Each kind is a future of its own, and no larger than what it does: a hundred thousand steps may wait at once.
    pub(super) fn perform(
        self: Arc<Self>,
        effect: Effect,
        args: Result<Vec<Arguments>, Failure>,
        answers: Answers,
    ) -> BoxFuture<'static, ()> {
        let found = |step, attempt, args: Result<Vec<Arguments>, Failure>| {
            let found = args.and_then(|args| self.step(step, attempt, args));
            found.map_err(|failure| answers.tell(Input::Failed(step, attempt, failure))).ok()
        };
        match effect {
            Effect::Probe(step, attempt) => {
                let Some((action, cx)) = found(step, attempt, args) else { return nothing() };
                Box::pin(async move {
                    let input = match guarded(action.check(&cx)).await {
                        Ok(check) => Input::Probed(step, attempt, check),
                        Err(failure) => self.failed(step, attempt, failure).await,
                    };
                    answers.tell(input);
                })
            }
            Effect::Start { step, attempt, before } => {
                let Some((action, cx)) = found(step, attempt, args) else { return nothing() };
                Box::pin(async move {
                    let input = match guarded(action.start(&cx, &before)).await {
                        Ok(Progress::Done(value)) => self.done(step, attempt, value),
                        // The machine answers with `Follow`, once the handle is on disk.
                        Ok(Progress::Pending { handle, reason, .. }) => {
                            answers.tell(Input::Began(step, attempt, handle));
                            Input::Waiting(step, attempt, reason)
                        }
                        Err(failure) => self.failed(step, attempt, failure).await,
                    };
                    answers.tell(input);
                })
            }
            Effect::Follow { step, attempt, handle } => {
                let Some((action, cx)) = found(step, attempt, args) else { return nothing() };
                Box::pin(async move {
                    let waiting = |reason: String| answers.tell(Input::Waiting(step, attempt, reason));
                    let input = match follow(&*action, &cx, handle, waiting).await {
                        Ok(value) => self.done(step, attempt, value),
                        Err(failure) => self.failed(step, attempt, failure).await,
                    };
                    answers.tell(input);
                })
            }
            Effect::Undo { step, attempt, before } => Box::pin(async move {
                let undone = self.undo(step, attempt, args, &before).await;
                answers.tell(match undone.is_err() && self.is_gone(step).await {
                    true => Input::UndoneWithNode(step, attempt),
                    false => Input::Undone(step, attempt, undone),
                });
            }),
            Effect::Hook { fired, reason, output } => Box::pin(async move {
                let waiting = |why: String| answers.tell(Input::HookWaiting(fired, why));
                let end = self.hook(fired, &reason, &output, waiting).await;
                answers.tell(Input::HookEnded(fired, end));
            }),
            Effect::Clean { step, attempt, undo } => match args {
                Ok(args) => Box::pin(async move { self.clean(step, attempt, undo, args).await }),
                Err(_) => nothing(),
            },
            // Whoever spawns tasks aborts them.
            Effect::Cancel(..) => nothing(),
        }
    }

    /// Answers that an attempt failed; whether its node is still there is asked first.
    async fn failed(&self, step: StepId, attempt: u32, failure: Failure) -> Input {
        match self.is_gone(step).await {
            true => Input::NodeGone(step, attempt, failure),
            false => Input::Failed(step, attempt, failure),
        }
    }

    /// Returns whether the node of a step has left although nobody planned that.
    async fn is_gone(&self, step: StepId) -> bool {
        let node = self.plan.step(step).node.as_deref().and_then(|name| self.inventory.nodes.get(name));
        let (Some(node), Some(census)) = (node, self.actions.census()) else { return false };
        let is_ensured = |fact: &str| self.plan.steps.iter().flat_map(|s| &s.ensures).any(|f| f == fact);
        census.is_gone(node, &self.inventory, &self.ports, &is_ensured).await
    }

    /// Answers that an attempt is done. What others wait for must be of the type that the verb declares.
    fn done(&self, step: StepId, attempt: u32, value: Value) -> Input {
        let what = self.plan.step(step);
        match &what.gives {
            Some(ty) if !ty.holds(&value) => {
                let text = format!("a bug in kup: `{}` gave back `{value}`, which is no `{ty}`", what.action);
                Input::Failed(step, attempt, Failure::last(text))
            }
            Some(_) | None => Input::Done(step, attempt, value),
        }
    }

    async fn undo(
        &self,
        step: StepId,
        attempt: u32,
        args: Result<Vec<Arguments>, Failure>,
        before: &Value,
    ) -> Result<(), Failure> {
        let args = args?;
        let what = self.plan.step(step);
        match &what.undo {
            Undo::Nothing => Ok(()),
            Undo::OneWay(why) => Err(Failure::last(format!("it cannot be taken back: {why}"))),
            Undo::Itself => {
                let (action, cx) = self.step(step, attempt, args)?;
                guarded(action.undo(&cx, before)).await
            }
            Undo::Steps(steps) => {
                for (i, (undo, args)) in steps.iter().zip(args).enumerate() {
                    let key = undo_key(&what.key, i);
                    let sight = Sight { step: Some(step), node: undo.node.as_deref(), ..Sight::default() };
                    let action = self.action(&undo.action, &args, sight)?;
                    let cx = self.context(key, attempt, undo.node.as_deref(), args, undo.long);
                    self.whole(&*action, &cx).await?;
                }
                Ok(())
            }
        }
    }

    /// Removes what a step and the steps of its undo have left, as far as that is possible in time.
    async fn clean(&self, step: StepId, attempt: u32, undo: u32, args: Vec<Arguments>) {
        let what = self.plan.step(step);
        let mut args = args.into_iter();
        let mut left = Vec::new();
        let own = args.next().unwrap_or_default();
        if attempt > 0 {
            left.push((
                &what.action,
                self.context(what.key.clone(), attempt, what.node.as_deref(), own, true),
            ));
        }
        if let (Undo::Steps(steps), 1..) = (&what.undo, undo) {
            for (i, (step, args)) in steps.iter().zip(args).enumerate().filter(|(_, (step, _))| step.long) {
                let key = undo_key(&what.key, i);
                left.push((&step.action, self.context(key, undo, step.node.as_deref(), args, true)));
            }
        }
        let all = async {
            for (name, cx) in left {
                // A script leaves nothing, and a verb that this kup lacks was never begun by it.
                if let Some(action) = self.actions.get(name) {
                    action.clean(&cx).await;
                }
            }
        };
        let limit = self.ports.clock.sleep(Duration::from_millis(CLEANING));
        tokio::select! { () = all => {}, () = limit => {} }
    }

    /// Performs an action from its look to its end.
    pub(super) async fn whole(&self, action: &dyn Action, cx: &Context) -> Result<(), Failure> {
        let before = match guarded(action.check(cx)).await? {
            Check::Done(_) => return Ok(()),
            Check::Needs { before, .. } => before,
        };
        match guarded(action.start(cx, &before)).await? {
            Progress::Done(_) => Ok(()),
            Progress::Pending { handle, again, .. } => {
                cx.ports.clock.sleep(again).await;
                follow(action, cx, handle, drop).await.map(drop)
            }
        }
    }

    fn step(
        &self,
        id: StepId,
        attempt: u32,
        args: Vec<Arguments>,
    ) -> Result<(Arc<dyn Action>, Context), Failure> {
        let step = self.plan.step(id);
        let args = args.into_iter().next().unwrap_or_default();
        let sight = Sight { step: Some(id), attempt, ..Sight::default() };
        let action = self.action(&step.action, &args, sight)?;
        let cx = self.context(step.key.clone(), attempt, step.node.as_deref(), args, step.long);
        Ok((action, Context { gives: step.gives.is_some(), ..cx }))
    }

    /// Returns an action by its name: a script with what it sees, or a verb done in Rust.
    pub(super) fn action(
        &self,
        name: &str,
        args: &IndexMap<String, Value>,
        sight: Sight<'_>,
    ) -> Result<Arc<dyn Action>, Failure> {
        if let Some(script) = self.script(name, args, sight) {
            return Ok(Arc::new(script));
        }
        self.actions.get(name).cloned().ok_or_else(|| {
            Failure::last(format!("this kup has no verb `{name}`"))
                .with_hint("go on with the kup that began the run")
        })
    }

    pub(super) fn script(
        &self,
        name: &str,
        args: &IndexMap<String, Value>,
        sight: Sight<'_>,
    ) -> Option<Script> {
        let text = self.plan.scripts.get(name)?;
        let sight = Sight { run: &self.run, simulated: self.ports.web.is_none(), ..sight };
        let mut marks = Marks::default();
        let sees = sight.values(&self.plan, &self.inventory, args);
        Some(Script {
            text: text.as_str().into(),
            sees: sees.into_iter().map(|(name, value)| (name, marks.put(value))).collect(),
            hosts: self.plan.hosts.as_slice().into(),
            marks,
            secrets: self.secrets.clone(),
        })
    }

    pub(super) fn context(
        &self,
        key: String,
        attempt: u32,
        node: Option<&str>,
        args: Arguments,
        long: bool,
    ) -> Context {
        Context {
            ports: self.ports.clone(),
            inventory: self.inventory.clone(),
            run: self.run.clone(),
            key,
            attempt,
            node: node.and_then(|name| self.nodes.get(name)).cloned(),
            args,
            long,
            gives: false,
            folder: self.folder.clone(),
            secrets: self.secrets.clone(),
        }
    }

    /// Looks whether a step has work, before a run.
    pub(super) async fn look(&self, id: StepId) -> Result<Check, Failure> {
        let (action, cx) = self.step(id, 1, vec![self.plan.step(id).args.clone()])?;
        guarded(action.check(&cx)).await
    }
}

fn nothing() -> BoxFuture<'static, ()> {
    Box::pin(std::future::ready(()))
}

/// A key of its own: what an undo leaves on nodes must not be taken for the step's work.
fn undo_key(key: &str, i: usize) -> String {
    format!("{key}/undo/{}", i + 1)
}

/// Polls until the end; tells each new reason for waiting.
async fn follow(
    action: &dyn Action,
    cx: &Context,
    mut handle: Value,
    waiting: impl Fn(String),
) -> Result<Value, Failure> {
    let mut last = String::new();
    loop {
        match guarded(action.poll(cx, &handle)).await? {
            Progress::Done(value) => return Ok(value),
            Progress::Pending { handle: next, reason, again } => {
                if reason != last {
                    waiting(reason.clone());
                    last = reason;
                }
                handle = next;
                cx.ports.clock.sleep(again).await;
            }
        }
    }
}

/// Awaits an action; a panic in it is the failure of its step and not the end of the run.
async fn guarded<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(Failure::last(format!("a bug in kup: {}", said(&*panic)))
            .with_hint("report it with the journal of this run; other steps go on")),
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

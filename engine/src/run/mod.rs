//! The driver: stands between the machine and the world. All events of a round are appended to the
//! journal, with one sync, before the first effect of the round is performed. Only looks begin before it.
//!
//! ```text
//!            inputs                      events
//!   people ---------> .-----------.  -----------> journal (synced) ---> sink
//!   tasks  ---------> |  machine  |                     |
//!   clock  --Tick---> '-----------'  ------------------ v -------> tasks: one an effect
//!                           |          effects                       |
//!                           '------------------------------------> tasks: looks
//! ```
//!
//! A step has one sync on its critical path: its end, and the intent of what follows it, go to disk together;
//! what looks before it begins does so meanwhile.

mod hook;
mod probe;
mod script;
mod sight;
mod task;
mod window;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::action::Actions;
use crate::event::{Event, Failure, Outcome};
use crate::inventory::Inventory;
use crate::journal::{Journal, JournalError};
use crate::machine::{Effect, Input, Machine};
use crate::plan::StepId;
use crate::port::Ports;
use crate::secret::Secrets;

pub use self::probe::{foresee, probe};
use self::task::{Answers, Arguments, Performer};
use self::window::Windows;

/// So many inputs, and so many effects, at most share one sync, so that a flood of either cannot hold back their events.
const ROUND: usize = 256;

/// So many events are recorded before the others are even fetched: more would only be held in memory twice.
const FLOOD: usize = 4096;

/// A run that is ready to go.
pub struct Run<'a> {
    /// The machine: new, or replayed from the journal.
    pub machine: &'a mut Machine,
    /// The journal, at its end.
    pub journal: &'a mut Journal,
    /// The verbs.
    pub actions: Actions,
    /// What they may touch.
    pub ports: Ports,
    /// The cluster as it was when the plan was made.
    pub inventory: Arc<Inventory>,
    /// The run's id.
    pub id: String,
    /// The folder that relative paths of the playbook start from.
    pub folder: PathBuf,
    /// The secrets of the playbook.
    pub secrets: Arc<Secrets>,
    /// Who wants to know what people want before the machine does.
    pub heard: Option<&'a mut Heard<'a>>,
}

/// Is told what people want: after how many records of the journal, when, in milliseconds of the run,
/// and what. A run whose world is simulated can be performed again with these.
pub type Heard<'a> = dyn FnMut(u64, u64, &Input) -> Result<(), JournalError> + Send + 'a;

/// Why a run ended without an outcome. What is recorded holds; `kup resume` goes on from there.
#[derive(Debug, Error)]
pub enum RunError {
    /// The journal cannot be written: the run ended before the next effect.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nobody is left who could say anything to the machine.
    #[error("a bug in kup: the run waits for nothing; go on with `kup resume`")]
    Stuck,
}

/// Drives a run to its end. `inputs` carries what people want, [`Input::Begin`] first; `sink` is told
/// each event, with its time in milliseconds of the run, once it is safe.
pub async fn drive(
    run: Run<'_>,
    mut inputs: mpsc::Receiver<Input>,
    sink: &mut (dyn FnMut(u64, &Event) + Send),
) -> Result<Outcome, RunError> {
    let Run { machine, journal, actions, ports, inventory, id, folder, secrets, mut heard } = run;
    let ports = Arc::new(secrets.around(ports));
    let clock = ports.clock.clone();
    // A resumed run goes on where the journal ends; the time in between does not count.
    let (base, start) = (Duration::from_millis(journal.last_at()), clock.now());
    let elapsed = || base + clock.now().saturating_sub(start);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let plan = machine.plan().clone();
    let answers = Answers::new(answers, secrets.clone());
    let (nodes, run, folder) = (task::shared(&inventory), id.into(), folder.into());
    let performer = Arc::new(Performer { plan, actions, ports, inventory, nodes, run, folder, secrets });
    let arguments = |machine: &Machine, effect: &Effect| {
        machine.arguments(effect, &|action, name| performer.actions.is_line(action, name))
    };
    let mut tasks = Tasks::default();
    let mut people = true;
    let mut windows = Windows::of(machine.plan());
    windows.tell(machine, millis(elapsed()), clock.wall());
    let mut now = millis(elapsed());
    let (mut events, mut effects, mut waits) = (Vec::new(), Vec::new(), HashSet::new());
    loop {
        // A look changes nothing, so it need not wait for the disk: one that asks nobody has its answer at
        // once, and what follows is on disk with what came before. All other effects wait for the sync.
        let (mut room, mut outcome) = (ROUND, None);
        let flood = loop {
            while let Some(event) = machine.poll_event() {
                events.push((now, event));
                if events.len() >= FLOOD {
                    outcome = record(journal, &mut events, sink)?.or(outcome);
                }
            }
            if room == 0 {
                break true;
            }
            room -= 1;
            let Some(effect) = machine.poll_effect() else { break false };
            match effect {
                Effect::Probe(step, _) if !waits.contains(&step) && !tasks.is_busy(step) => {
                    let args = arguments(machine, &effect);
                    tasks.begin(Some(step), performer.clone().perform(effect, args, answers.clone()));
                    while let Ok(more) = answered.try_recv() {
                        machine.handle(now, more);
                    }
                }
                effect => {
                    waits.extend(effect.step());
                    effects.push(effect);
                }
            }
        };
        outcome = record(journal, &mut events, sink)?.or(outcome);
        for effect in effects.drain(..) {
            let args = arguments(machine, &effect);
            tasks.perform(effect, args, &performer, &answers);
        }
        waits.clear();
        if let Some(outcome) = outcome {
            tasks.set.shutdown().await;
            // Each has its deadline; who still wants something does not want to wait for them.
            tokio::select! {
                biased;
                () = async { while tasks.cleaning.join_next().await.is_some() {} } => {}
                Some(_) = inputs.recv(), if people => {}
            }
            return Ok(outcome);
        }
        let timeout = machine.poll_timeout().map(|at| Duration::from_millis(at).saturating_sub(elapsed()));
        let look = machine.awaits_a_window().then(|| windows.rest(clock.wall()));
        let timeout = timeout.into_iter().chain(look).min();
        if !flood && !people && timeout.is_none() && tasks.set.is_empty() && answered.is_empty() {
            return Err(RunError::Stuck);
        }
        let due = async {
            match timeout {
                Some(rest) => clock.sleep(rest).await,
                None => std::future::pending().await,
            }
        };
        // Biased, so that a simulated run is the same each time; people first, so that nobody has to
        // shout.
        let mut wanted = false;
        let first = tokio::select! {
            biased;
            input = inputs.recv(), if people => {
                people = input.is_some();
                wanted = people;
                input
            }
            Some(input) = answered.recv() => Some(input),
            Some(_) = tasks.set.join_next() => None,
            () = std::future::ready(()), if flood => None,
            () = due => Some(Input::Tick),
        };
        let Some(first) = first else { continue };
        // One time for the round: an event's deadline and the journal's stamp must agree.
        now = millis(elapsed());
        if let Some(heard) = heard.as_deref_mut().filter(|_| wanted) {
            heard(journal.records(), now, &first)?;
        }
        windows.tell(machine, now, clock.wall());
        machine.handle(now, first);
        for _ in 1..ROUND {
            let Ok(more) = answered.try_recv() else { break };
            machine.handle(now, more);
        }
    }
}

/// Makes events safe, tells them, and takes them away; returns how the run ended, if they say so.
fn record(
    journal: &mut Journal,
    events: &mut Vec<(u64, Event)>,
    sink: &mut (dyn FnMut(u64, &Event) + Send),
) -> Result<Option<Outcome>, JournalError> {
    journal.append(events)?;
    let mut outcome = None;
    for (at, event) in events.drain(..) {
        sink(at, &event);
        if let Event::RunFinished(end) = event {
            outcome = Some(end);
        }
    }
    Ok(outcome)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is being done: one task a step.
#[derive(Default)]
struct Tasks {
    set: JoinSet<()>,
    /// Clean-ups, which only the end of the run waits for.
    cleaning: JoinSet<()>,
    of: HashMap<StepId, AbortHandle>,
}

impl Tasks {
    /// Returns whether something is still done with a step.
    fn is_busy(&self, step: StepId) -> bool {
        self.of.get(&step).is_some_and(|task| !task.is_finished())
    }

    /// Begins something here and now, and leaves what must be waited for to a task.
    fn begin(&mut self, step: Option<StepId>, mut begun: BoxFuture<'static, ()>) {
        if (&mut begun).now_or_never().is_none() {
            let task = self.set.spawn(begun);
            if let Some(step) = step {
                self.of.insert(step, task);
            }
        }
    }

    fn perform(
        &mut self,
        effect: Effect,
        args: Result<Vec<Arguments>, Failure>,
        performer: &Arc<Performer>,
        answers: &Answers,
    ) {
        // What is said beside the run is nobody's turn.
        let step = effect.step();
        // A task that has answered is at its end; one that has not is no longer waited for. A clean-up that
        // is still at it would remove what the step's next attempt may have to find.
        if let Some(running) = step.and_then(|step| self.of.remove(&step)) {
            running.abort();
        }
        match (&effect, step) {
            (Effect::Cancel(..), _) => {}
            (Effect::Clean { .. }, Some(step)) => {
                while self.cleaning.try_join_next().is_some() {}
                let task = performer.clone().perform(effect, args, answers.clone());
                self.of.insert(step, self.cleaning.spawn(task));
            }
            _ => self.begin(step, performer.clone().perform(effect, args, answers.clone())),
        }
    }
}

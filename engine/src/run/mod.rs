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
use self::task::{Arguments, Performer};
use self::window::Windows;

/// So many inputs at most share one sync, so that a flood of answers cannot hold back their events.
const ROUND: usize = 256;

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
    let ports = secrets.around(ports);
    let clock = ports.clock.clone();
    // A resumed run goes on where the journal ends; the time in between does not count.
    let (base, start) = (Duration::from_millis(journal.last_at()), clock.now());
    let elapsed = || base + clock.now().saturating_sub(start);
    let (answers, mut answered) = mpsc::unbounded_channel();
    let plan = machine.plan().clone();
    let shared = Performer { plan, actions, ports: ports.clone(), inventory, run: id, folder, secrets };
    let performer = Arc::new(shared);
    let mut tasks = Tasks::default();
    let mut people = true;
    let mut windows = Windows::of(machine.plan());
    windows.tell(machine, millis(elapsed()), clock.wall());
    let mut now = millis(elapsed());
    loop {
        let (mut events, mut effects) = (Vec::new(), Vec::new());
        // A look changes nothing, so it need not wait for the disk: one that asks nobody has its answer at
        // once, and what follows is on disk with what came before. All other effects wait for the sync.
        let (mut room, mut waits) = (ROUND, HashSet::new());
        loop {
            events.extend(std::iter::from_fn(|| machine.poll_event()).map(|event| (now, event)));
            let Some(effect) = machine.poll_effect() else { break };
            let args = machine.arguments(&effect, &|action, name| performer.actions.is_line(action, name));
            match effect {
                Effect::Probe(step, _) if room > 0 && !waits.contains(&step) && !tasks.is_busy(step) => {
                    room -= 1;
                    tasks.look(step, performer.clone().perform(effect, args, answers.clone()));
                    while let Ok(more) = answered.try_recv() {
                        machine.handle(now, more);
                    }
                }
                effect => {
                    waits.extend(effect.step());
                    effects.push((effect, args));
                }
            }
        }
        journal.append(&events)?;
        let mut outcome = None;
        for (at, event) in &events {
            sink(*at, event);
            if let Event::RunFinished(end) = event {
                outcome = Some(*end);
            }
        }
        for (effect, args) in effects {
            tasks.perform(effect, args, &performer, &answers);
        }
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
        if !people && timeout.is_none() && tasks.set.is_empty() && answered.is_empty() {
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

    /// Begins a look here and now, and leaves what must be waited for to a task.
    fn look(&mut self, step: StepId, look: impl Future<Output = ()> + Send + 'static) {
        let mut look = Box::pin(look);
        if (&mut look).now_or_never().is_none() {
            self.of.insert(step, self.set.spawn(look));
        }
    }

    fn perform(
        &mut self,
        effect: Effect,
        args: Result<Vec<Arguments>, Failure>,
        performer: &Arc<Performer>,
        answers: &mpsc::UnboundedSender<Input>,
    ) {
        // What is said beside the run is nobody's turn.
        let Some(step) = effect.step() else {
            self.set.spawn(performer.clone().perform(effect, args, answers.clone()));
            return;
        };
        // A task that has answered is at its end; one that has not is no longer waited for. A clean-up that
        // is still at it would remove what the step's next attempt may have to find.
        if let Some(running) = self.of.remove(&step) {
            running.abort();
        }
        let set = match &effect {
            Effect::Cancel(..) => return,
            Effect::Clean { .. } => {
                while self.cleaning.try_join_next().is_some() {}
                &mut self.cleaning
            }
            _ => &mut self.set,
        };
        let task = performer.clone().perform(effect, args, answers.clone());
        self.of.insert(step, set.spawn(task));
    }
}

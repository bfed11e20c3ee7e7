//! From a run that may begin to its exit code: signals in, events to the reporter, closing lines.

use std::path::PathBuf;
use std::sync::Arc;

use engine::event::{Event, Outcome};
use engine::inventory::Inventory;
use engine::journal::{Folder, Journal};
use engine::lock::Lock;
use engine::machine::{Input, Machine};
use engine::port::Ports;
use engine::run::{self, Run, RunError};
use engine::secret::Secrets;
use tokio::sync::mpsc;

use crate::approval::Asker;
use crate::args::Global;
use crate::console::{BOLD, CYAN, Console, GREEN, RED, RESET, Style, YELLOW};
use crate::control;
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::{one_line, printable};
use crate::record::SIMULATED;
use crate::report::{Report, count, reporter, took};
use crate::screen;
use crate::signal::Interrupts;
use crate::simulation::Simulation;

/// A run that may begin or go on.
pub(crate) struct Drive<'a> {
    /// Its folder.
    pub(crate) folder: &'a Folder,
    /// The machine: new, or replayed from the journal.
    pub(crate) machine: Machine,
    /// The journal, at its end.
    pub(crate) journal: Journal,
    /// The lock of the cluster, held.
    pub(crate) lock: Lock,
    /// What it may touch.
    pub(crate) ports: Ports,
    /// The cluster as it was when the plan was made.
    pub(crate) inventory: Inventory,
    /// The secrets of the playbook.
    pub(crate) secrets: Arc<Secrets>,
    /// The folder of the playbook.
    pub(crate) beside: PathBuf,
    /// What to do: begin, or take back, and what is answered before.
    pub(crate) inputs: Vec<Input>,
    /// What is kept of its cluster, if that is simulated.
    pub(crate) simulation: Option<Simulation>,
}

impl Drive<'_> {
    /// Drives the run to its end, and says how it ended.
    pub(crate) async fn go(self, global: &Global, console: Console) -> Result<Exit, Error> {
        let Drive { folder, mut machine, mut journal, lock, ports, inventory, beside, .. } = self;
        let (wanted, mut simulation, secrets) = (self.inputs, self.simulation, self.secrets);
        // Who asks for a rollback gets what he asked for when all is taken back.
        let asked = wanted.iter().any(|input| matches!(input, Input::Rollback { .. }));
        let (inputs, receiver) = mpsc::channel(wanted.len() + 64);
        for input in wanted {
            // There is room for it: the channel is new.
            let _ = inputs.try_send(input);
        }
        let interrupts = Interrupts::new(console, inputs.clone(), simulation.is_some());
        interrupts.listen();
        let _control = control::listen(folder, machine.plan(), inputs.clone(), simulation.is_some())
            .inspect_err(|why| {
                console.say(&format!("this run cannot be told anything while it goes on: {why}"))
            })
            .ok();
        let asker = Asker::new(console, simulation.is_some(), inputs.clone(), interrupts);
        if asker.is_somebody() {
            machine.attend();
        }
        if let Some(simulation) = &mut simulation {
            simulation.attended = asker.is_somebody();
        }
        let plan = machine.plan().clone();
        let began = journal.last_at();
        let mut tally = Tally { reporter: reporter(console), changed: 0, began: false, at: began };
        let simulated = simulation.is_some();
        let live = console.style == Style::Human && !console.quiet;
        let opened = if live { screen::open(&machine, began, simulated) } else { None };
        let mut sink = |at: u64, event: &Event| {
            let lines = tally.event(&plan, at, event);
            if !lines.is_empty() {
                console.result(&lines);
            }
            screen::note(at, event);
            asker.hear(event);
        };
        let mut heard = simulation
            .as_mut()
            .map(|simulation| |after: u64, at: u64, input: &Input| simulation.hear(after, at, input));
        let (known, closing) = (Arc::new(inventory), ports.clone());
        let run = Run {
            machine: &mut machine,
            journal: &mut journal,
            actions: stdlib::actions(),
            ports,
            inventory: known.clone(),
            // What a simulated run leaves on its nodes has the same name each time, so that the same
            // seed writes the same journal.
            id: if simulated { SIMULATED.to_string() } else { folder.run().to_string() },
            folder: beside,
            secrets,
            heard: heard.as_mut().map(|heard| heard as _),
        };
        let guard = async {
            let by = lock.taken().await;
            console.alarm(&format!("the lock of this cluster was taken by {}", printable(&by)));
            // Nothing new is begun: two runs must not change one cluster.
            let _ = inputs.send(Input::Interrupt { by, why: String::new() }).await;
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = run::drive(run, receiver, &mut sink) => outcome,
            // It never ends; it only waits beside the run.
            () = guard => Err(RunError::Stuck),
        };
        drop(opened);
        if matches!(outcome, Ok(Outcome::Done)) {
            tell_joined(console, &closing, &known).await;
        }
        lock.release().await;
        let began_something = tally.began;
        let facts = (tally.changed, tally.at.saturating_sub(began));
        match outcome {
            Ok(outcome) => {
                let waits = !machine.state().asked().is_empty();
                close(global, console, folder, outcome, facts, (asked, waits));
                Ok(match outcome {
                    Outcome::Done => Exit::Done,
                    Outcome::Paused => Exit::Paused,
                    Outcome::Compensated if asked => Exit::Done,
                    Outcome::Compensated => Exit::Compensated,
                    Outcome::Failed => Exit::Failed,
                })
            }
            Err(RunError::Journal(e)) => {
                // Something may have been done before the disk failed: this is not exit 8.
                let exit = if began_something { Exit::Failed } else { Exit::Environment };
                Err(Error { exit, ..Error::from(e) }.about(folder))
            }
            Err(e @ RunError::Stuck) => Err(Error::new(Exit::Bug, e.to_string()).about(folder)),
        }
    }
}

/// Feeds the reporter, and counts for the closing lines.
struct Tally {
    reporter: Box<dyn Report + Send>,
    changed: usize,
    /// Whether any work was found, and so begun.
    began: bool,
    at: u64,
}

impl Tally {
    fn event(&mut self, plan: &engine::plan::Plan, at: u64, event: &Event) -> String {
        self.at = at;
        self.began |= matches!(event, Event::WorkFound { .. } | Event::UndoStarted { .. });
        if let Event::StepDone { changed: true, .. } = event {
            self.changed += 1;
        }
        self.reporter.event(plan, at, event)
    }
}

/// Says who has joined the cluster since the plan was made.
async fn tell_joined(console: Console, ports: &Ports, known: &Inventory) {
    let joined = stdlib::inventory::joined(ports, known).await;
    if let Some(first) = joined.first() {
        let more = if joined.len() > 1 { format!(" and {} more", joined.len() - 1) } else { String::new() };
        console.say(&format!(
            "{YELLOW}note{RESET}: {}{more} joined since the plan was made: the next run plans it",
            one_line(first)
        ));
    }
}

/// Says what happened, how long it took, where the journal is, and what to do next.
fn close(
    global: &Global,
    console: Console,
    folder: &Folder,
    outcome: Outcome,
    (changed, time): (usize, u64),
    (asked, waits): (bool, bool),
) {
    let time = took(time);
    let changes = count(changed, "change");
    let text = match outcome {
        Outcome::Done if changed == 0 => {
            format!("{GREEN}done{RESET}: {changes} in {time}, for nothing had to be changed")
        }
        Outcome::Done => format!("{GREEN}done{RESET}: {changes} in {time}"),
        Outcome::Paused => format!("{YELLOW}paused{RESET} after {changes} and {time}"),
        Outcome::Compensated if asked => format!("{GREEN}taken back{RESET} in {time}"),
        Outcome::Compensated => format!("{YELLOW}failed, and taken back{RESET} in {time}"),
        Outcome::Failed => {
            format!("{RED}failed{RESET} after {time}: something of what was done is still there")
        }
    };
    console.say(&format!("\n{BOLD}run {}{RESET} {text}", printable(folder.run())));
    console.say(&format!("journal: {}", printable(&folder.path().display().to_string())));
    let next = match outcome {
        Outcome::Done | Outcome::Compensated => Vec::new(),
        Outcome::Paused if waits => {
            vec![format!("kup approve {}", folder.run()), "kup rollback".to_string()]
        }
        Outcome::Paused => {
            vec!["kup status".to_string(), "kup resume".to_string(), "kup rollback".to_string()]
        }
        Outcome::Failed => vec!["kup status".to_string(), "kup rollback".to_string()],
    };
    for command in next {
        console.say(&format!("{CYAN}next{RESET}: {command}{}", printable(&global.again())));
    }
}

//! The simulated cluster of a run outlives the kup that is killed. Nothing in it happens by itself, so
//! what it was made of and what people wanted is kept beside the journal, and the run is performed
//! again up to where the journal ends.
//!
//! ```text
//! run     start, look, lock, drive ----> killed            journal.jsonl      n records
//! resume  start, look, lock, drive -X    at record n + 1   simulation.jsonl   shape, seed, faults; who wanted what
//!                                    `-> lock, drive ...
//! ```
//!
//! The record that was being written when kup died is refused the second time, but what was begun since the
//! last one has happened: as on a real cluster, the journal need not know all of it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::event::{Event, Outcome};
use engine::journal::{Folder, JournalError};
use engine::lock::Lock;
use engine::machine::{Input, Machine};
use engine::plan::{Gate, ScopeId, StepId};
use engine::port::Ports;
use engine::readonly::read_only;
use engine::run::{self, Run, RunError};
use serde::{Deserialize, Serialize};
use stdlib::hosts::Host;
use tokio::sync::{mpsc, watch};

use crate::config::who;
use crate::error::Error;
use crate::record::{Record, SIMULATED};
use crate::target::{Place, simulated_hosts};

const FILE: &str = "simulation.jsonl";
const VERSION: u32 = 1;
/// So often other tasks may go first, so that what people want arrives when all is quiet, as it did.
const QUIET: usize = 1000;

/// Lets everything go first that can: a simulated run is told something only between two things that it
/// does, and hears it there again when it is brought back.
pub(crate) async fn quiet() {
    for _ in 0..QUIET {
        tokio::task::yield_now().await;
    }
}

/// What is kept of a simulated cluster.
pub(crate) struct Simulation {
    file: File,
    path: PathBuf,
    /// The length of what counts, until something is added.
    counts: Option<u64>,
    /// Whether nothing was wanted yet in this life of kup.
    fresh: bool,
    /// Whether somebody is there to answer in this life.
    pub(crate) attended: bool,
}

/// The first line: what the cluster was made of.
#[derive(Serialize, Deserialize)]
struct Made {
    kup: String,
    v: u32,
    by: String,
    shape: sim::Shape,
    seed: u64,
    faults: Vec<String>,
}

/// Every other line: what somebody wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wanted {
    /// How many records there were.
    after: u64,
    /// The time in milliseconds of the run.
    at: u64,
    what: What,
    by: String,
    /// With it a life of kup begins: whether somebody was there to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life: Option<bool>,
    /// What else was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    more: Option<More>,
}

/// What else was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct More {
    /// The step or the scope that it is about, by its place in the plan.
    step: Option<u32>,
    scope: Option<u32>,
    yes: bool,
    when: String,
    why: String,
    from: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Begin,
    Rollback,
    Interrupt,
    Answer,
    Waive,
    Retry,
    Abort,
    TookLock,
}

impl What {
    /// Whether it only changes the journal of a run that stands still, and begins nothing.
    fn is_amendment(self) -> bool {
        match self {
            What::Answer | What::Waive | What::Abort | What::TookLock => true,
            What::Begin | What::Rollback | What::Interrupt | What::Retry => false,
        }
    }
}

impl Simulation {
    /// Begins the file in the folder of a new run.
    pub(crate) fn begin(folder: &Folder, place: &Place) -> Result<Option<Simulation>, Error> {
        let Place::Sim { shape, seed, faults } = place else { return Ok(None) };
        let made = Made {
            kup: "simulation".to_string(),
            v: VERSION,
            by: env!("CARGO_PKG_VERSION").to_string(),
            shape: shape.clone(),
            seed: *seed,
            faults: faults.iter().map(ToString::to_string).collect(),
        };
        let path = folder.path().join(FILE);
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(written(&path))?;
        let mut simulation = Simulation { file, path, counts: None, fresh: true, attended: false };
        simulation.line(&made)?;
        Ok(Some(simulation))
    }

    /// Notes what somebody wants, if it is something that only a person can want.
    pub(crate) fn hear(&mut self, after: u64, at: u64, input: &Input) -> Result<(), JournalError> {
        let Some(mut wanted) = Wanted::of(after, at, input) else { return Ok(()) };
        wanted.life = std::mem::take(&mut self.fresh).then_some(self.attended);
        self.line(&wanted)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), JournalError> {
        let text = serde_json::to_string(line).map_err(|e| JournalError::Content(e.to_string()))?;
        // Only now: who goes on with the run has locked its journal.
        if let Some(length) = self.counts.take() {
            self.file.set_len(length).map_err(written(&self.path))?;
        }
        self.file.write_all(format!("{text}\n").as_bytes()).map_err(written(&self.path))
    }

    /// Notes what somebody decided about a run that stands still: `after` is how many records there are.
    pub(crate) fn amend(record: &Record, after: u64, at: u64, input: &Input) -> Result<(), Error> {
        let path = record.folder.path().join(FILE);
        let Kept { length, .. } = read(&path, record.recorded.events.len() as u64)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(written(&path))?;
        let mut simulation = Simulation { file, path, counts: Some(length), fresh: true, attended: false };
        Ok(simulation.hear(after, at, input)?)
    }

    /// Brings the cluster of a run back to where its journal ends. To be called inside of the runtime
    /// of a simulation.
    pub(crate) async fn bring_back(record: &Record) -> Result<(Simulation, Ports), Error> {
        let folder = &record.folder;
        let path = folder.path().join(FILE);
        let end = record.recorded.events.len() as u64;
        let Kept { made, wanted, length } = read(&path, end).map_err(|e| e.about(folder))?;
        let faults = made.faults.iter().map(|f| sim::Fault::parse(f));
        let faults = faults.collect::<Result<Vec<_>, _>>().map_err(|e| unreadable(&path, &e))?;
        let hosts = simulated_hosts(&made.shape);
        let ports = sim::Cluster::start(made.shape, made.seed, faults).ports();
        look(record, &ports, &hosts).await?;
        // What was wanted within one life of kup is one piece: it begins, or goes back, and may be
        // interrupted or answered.
        let mut pieces: Vec<Vec<Wanted>> = Vec::new();
        // A kup that did not tell its lives apart had one a beginning.
        let untold = wanted.iter().all(|one| one.life.is_none());
        for one in wanted {
            let begins = one.life.is_some() || (untold && matches!(one.what, What::Begin | What::Rollback));
            match pieces.last_mut() {
                Some(piece) if !begins => piece.push(one),
                Some(_) | None => pieces.push(vec![one]),
            }
        }
        for (i, piece) in pieces.iter().enumerate() {
            if piece.iter().all(|one| one.what.is_amendment()) {
                continue;
            }
            let until = pieces.get(i + 1).map_or(end, |next| next[0].after);
            if !perform(record, &ports, piece, until).await? {
                return Err(Error::environment(
                    "the simulated cluster cannot be brought back: this kup acts otherwise",
                )
                .about(folder)
                .hint(format!("go on with the kup that began the run, version {}", made.by))
                .hint("or run the playbook again"));
            }
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(written(&path))?;
        Ok((Simulation { file, path, counts: Some(length), fresh: true, attended: false }, ports))
    }
}

impl Wanted {
    fn of(after: u64, at: u64, input: &Input) -> Option<Wanted> {
        let about = |step: &StepId, why: &String| {
            Some(More { step: Some(step.0), why: why.clone(), ..More::default() })
        };
        let because = |why: &String| (!why.is_empty()).then(|| More { why: why.clone(), ..More::default() });
        let (what, by, more) = match input {
            Input::Begin { by, why } => (What::Begin, by, because(why)),
            Input::Rollback { by, why } => (What::Rollback, by, because(why)),
            Input::Interrupt { by, why } => (What::Interrupt, by, because(why)),
            Input::Waive { step, by, why } => (What::Waive, by, about(step, why)),
            Input::Retry { step, by, why } => (What::Retry, by, about(step, why)),
            Input::Abort { by, why } => (What::Abort, by, because(why)),
            Input::TookLock { by, from, why } => {
                let more = More { why: why.clone(), from: from.clone(), ..More::default() };
                (What::TookLock, by, Some(more))
            }
            Input::Answer { gate, yes, by, when, why } => {
                let (step, scope) = match gate {
                    Gate::Step(id) => (Some(id.0), None),
                    Gate::Scope(id) => (None, Some(id.0)),
                };
                let (when, why) = (when.clone(), why.clone());
                (What::Answer, by, Some(More { step, scope, yes: *yes, when, why, ..More::default() }))
            }
            Input::Probed(..)
            | Input::Began(..)
            | Input::Waiting(..)
            | Input::Done(..)
            | Input::Failed(..)
            | Input::NodeGone(..)
            | Input::Undone(..)
            | Input::UndoneWithNode(..)
            | Input::HookWaiting(..)
            | Input::HookEnded(..)
            | Input::Window { .. }
            | Input::Tick => return None,
        };
        Some(Wanted { after, at, what, by: by.clone(), life: None, more })
    }

    fn input(&self) -> Option<Input> {
        let (by, more) = (self.by.clone(), self.more.clone().unwrap_or_default());
        Some(match self.what {
            What::Begin => Input::Begin { by, why: more.why },
            What::Rollback => Input::Rollback { by, why: more.why },
            What::Interrupt => Input::Interrupt { by, why: more.why },
            What::Answer => {
                let gate = match (more.step, more.scope) {
                    (Some(id), _) => Gate::Step(StepId(id)),
                    (None, Some(id)) => Gate::Scope(ScopeId(id)),
                    (None, None) => return None,
                };
                Input::Answer { gate, yes: more.yes, by, when: more.when, why: more.why }
            }
            What::Waive => Input::Waive { step: StepId(more.step?), by, why: more.why },
            What::Retry => Input::Retry { step: StepId(more.step?), by, why: more.why },
            What::Abort => Input::Abort { by, why: more.why },
            What::TookLock => Input::TookLock { by, from: more.from, why: more.why },
        })
    }
}

/// Looks at the cluster as the planning did: it took its time too.
async fn look(record: &Record, ports: &Ports, hosts: &[Host]) -> Result<(), Error> {
    let looking = read_only(ports.clone());
    let left_out = &record.stored.inventory.left_out;
    let told = |e: stdlib::inventory::InventoryError| Error::environment(e.to_string());
    let inventory = Arc::new(stdlib::inventory::read(&looking, Some(hosts), left_out).await.map_err(told)?);
    let (plan, beside) = (Arc::new(record.stored.plan.clone()), &record.stored.folder);
    run::probe(&plan, &stdlib::actions(), &looking, &inventory, beside).await;
    Ok(())
}

/// Performs one piece again; returns whether it went as it had.
async fn perform(record: &Record, ports: &Ports, piece: &[Wanted], until: u64) -> Result<bool, Error> {
    let Record { folder, stored, recorded } = record;
    let mut again = folder.again(stored, piece[0].after, until)?;
    let lock = Lock::acquire(ports, folder.path(), &stored.inventory.cluster, folder.run(), &who()).await?;
    let mut machine =
        Machine::replay(Arc::new(stored.plan.clone()), recorded.header.seed, again.before.iter().cloned());
    if piece[0].life == Some(true) {
        machine.attend();
    }
    let (inputs, receiver) = mpsc::channel(piece.len().max(1));
    let (count, counted) = watch::channel(again.journal.records());
    let since = (Duration::from_millis(again.journal.last_at()), ports.clock.now());
    let run = Run {
        machine: &mut machine,
        journal: &mut again.journal,
        actions: stdlib::actions(),
        ports: ports.clone(),
        inventory: Arc::new(stored.inventory.clone()),
        id: SIMULATED.to_string(),
        folder: stored.folder.clone(),
        secrets: crate::world::secrets(&stored.folder),
        heard: None,
    };
    let mut sink = |_: u64, _: &Event| count.send_modify(|n| *n += 1);
    let people = async {
        want(piece, ports, since, counted, inputs).await;
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        biased;
        ended = run::drive(run, receiver, &mut sink) => ended,
        () = people => Err(RunError::Stuck),
    };
    match ended {
        Ok(outcome) => {
            // As the run did at its end.
            if outcome == Outcome::Done {
                stdlib::inventory::joined(ports, &stored.inventory).await;
            }
            lock.release().await;
        }
        // Killed: nobody gives the lock back.
        Err(RunError::Journal(_) | RunError::Stuck) => drop(lock),
    }
    Ok(again.is_the_same())
}

/// Says what people said, when they said it.
async fn want(
    piece: &[Wanted],
    ports: &Ports,
    (base, start): (Duration, Duration),
    mut counted: watch::Receiver<u64>,
    inputs: mpsc::Sender<Input>,
) {
    for (i, wanted) in piece.iter().enumerate() {
        if counted.wait_for(|n| *n >= wanted.after).await.is_err() {
            return;
        }
        let elapsed = base + ports.clock.now().saturating_sub(start);
        let rest = Duration::from_millis(wanted.at).saturating_sub(elapsed);
        if !rest.is_zero() {
            ports.clock.sleep(rest).await;
        }
        // Orders come when all is quiet; everything stands still while somebody is asked at the terminal.
        let asked = wanted.what == What::Answer && piece[0].life == Some(true);
        if i > 0 && !asked {
            quiet().await;
        }
        let Some(input) = wanted.input() else { continue };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
    // The channel stays open: somebody might have said more.
    counted.wait_for(|_| false).await.ok();
}

/// What is in the file.
struct Kept {
    made: Made,
    wanted: Vec<Wanted>,
    /// The length of what counts. A kup that died may have left half a line, or, with a power cut, one that
    /// is ahead of the journal.
    length: u64,
}

fn read(path: &Path, end: u64) -> Result<Kept, Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::environment("nothing is kept of its simulated cluster")
                .hint("look at the run with `kup show`, or run the playbook again"));
        }
        Err(e) => return Err(unreadable(path, &crate::loader::reason(&e))),
    };
    let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let first = lines.next().unwrap_or_default();
    let made: serde_json::Value =
        serde_json::from_str(first).map_err(|_| unreadable(path, "its first line is damaged"))?;
    if made["v"] != VERSION {
        let what = format!("it has version {}, this kup reads version {VERSION}", made["v"]);
        return Err(unreadable(path, &what));
    }
    let made = serde_json::from_value(made).map_err(|e| unreadable(path, &e.to_string()))?;
    let mut kept = Kept { made, wanted: Vec::new(), length: first.len() as u64 };
    for line in lines {
        let wanted: Wanted = serde_json::from_str(line).map_err(|e| unreadable(path, &e.to_string()))?;
        if wanted.after > end {
            break;
        }
        kept.wanted.push(wanted);
        kept.length += line.len() as u64;
    }
    Ok(kept)
}

fn unreadable(path: &Path, why: &str) -> Error {
    Error::environment(format!("cannot read `{}`: {why}", path.display())).hint("run the playbook again")
}

fn written(path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| JournalError::Write { path, source }
}

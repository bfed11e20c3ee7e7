//! `kup resume [RUN]` and `kup rollback [RUN]`: go on with a run from its journal, forward or back.

use engine::event::Outcome;
use engine::lock::Lock;
use engine::machine::{Input, Mode};

use crate::args::Global;
use crate::commands::{approve, person};
use crate::config::{who, whoami};
use crate::console::Console;
use crate::control::{self, Order};
use crate::drive::Drive;
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::one_line;
use crate::record::{Record, store};
use crate::simulation::Simulation;
use crate::world::{self, Need};

/// Goes on with a run.
pub(crate) fn resume(
    global: &Global,
    console: Console,
    run: Option<&str>,
    why: Option<&str>,
    yes: bool,
) -> Result<Exit, Error> {
    let why = person::reason(why)?;
    let record = open(global, run)?;
    somebody(console, yes)?;
    let name = record.folder.run().to_string();
    let state = record.machine().state().clone();
    if state.is_aborted() && !state.is_unwinding() && matches!(state.mode(), Mode::Finished(_)) {
        return Err(Error::usage(format!("run {name} was ended for good"))
            .hint(format!("take it back with `kup rollback {name}`, or begin a new one")));
    }
    match record.machine().state().mode() {
        Mode::Finished(outcome @ (Outcome::Done | Outcome::Compensated)) => {
            let how = if outcome == Outcome::Done { "done" } else { "over, and taken back" };
            console.say(&format!("run {name} is {how}: there is nothing to go on with"));
            return Ok(Exit::Done);
        }
        Mode::Finished(Outcome::Failed | Outcome::Paused)
        | Mode::Going
        | Mode::Paused
        | Mode::Stopping
        | Mode::RollingBack => {}
    }
    approve::tell(console, &record);
    agree(console, yes, &format!("Go on with run {name}?"))?;
    go(global, console, record, vec![Input::Begin { by: whoami(), why }])
}

/// Takes back what a run did.
pub(crate) fn rollback(
    global: &Global,
    console: Console,
    run: Option<&str>,
    why: Option<&str>,
    yes: bool,
) -> Result<Exit, Error> {
    let why = person::reason(why)?;
    let record = match run {
        Some(run) => Record::open(global, Some(run))?,
        None => Record::open_standing(global)?,
    };
    somebody(console, yes)?;
    let name = record.folder.run().to_string();
    agree(console, yes, &format!("Take back what run {name} did, in reverse order?"))?;
    if record.is_alive() {
        control::tell(&record, &Order::Rollback { by: whoami(), why })?;
        console.say("asked to take back: nothing new begins, what runs may end, then it is taken back");
        return Ok(Exit::Done);
    }
    go(global, console, record, vec![Input::Rollback { by: whoami(), why }])
}

/// Finds a run; without a name the last one that is not over.
pub(crate) fn find(global: &Global, run: Option<&str>) -> Result<Record, Error> {
    match run {
        Some(run) => Record::open(global, Some(run)),
        None => Record::open_unfinished(global),
    }
}

/// Opens a run that nobody works on.
pub(crate) fn open(global: &Global, run: Option<&str>) -> Result<Record, Error> {
    let record = find(global, run)?;
    if record.is_alive() {
        let message = format!("another kup works on run {}", record.folder.run());
        return Err(Error::new(Exit::Locked, message).hint("wait for it, or look at it with `kup status`"));
    }
    Ok(record)
}

pub(crate) fn somebody(console: Console, yes: bool) -> Result<(), Error> {
    if yes { Ok(()) } else { console.must_have_somebody("kup status") }
}

pub(crate) fn agree(console: Console, yes: bool, question: &str) -> Result<(), Error> {
    if yes || console.ask(question) == Some(true) {
        return Ok(());
    }
    console.say("nothing was changed");
    Err(Error::told(Exit::Usage))
}

/// Tells the machine of a run what somebody wants, one thing after the other, and drives it.
pub(crate) fn go(
    global: &Global,
    console: Console,
    record: Record,
    inputs: Vec<Input>,
) -> Result<Exit, Error> {
    go_with(global, console, record, inputs, Claim::Own)
}

/// By what right a run takes the lock of its cluster.
pub(crate) enum Claim {
    /// It is free, or this run's own on this machine.
    Own,
    /// It was somebody else's, and has expired; before that only with a reason.
    Over {
        /// The reason.
        force: Option<String>,
    },
}

/// Goes on with a run as [`go`] does.
pub(crate) fn go_with(
    global: &Global,
    console: Console,
    record: Record,
    mut inputs: Vec<Input>,
    claim: Claim,
) -> Result<Exit, Error> {
    let simulated = record.is_simulated();
    world::within(simulated, async {
        let (simulation, ports, root) = if simulated {
            let (simulation, ports) = Simulation::bring_back(&record).await?;
            (Some(simulation), ports, record.folder.path().to_path_buf())
        } else {
            // A run on bare hosts has no cluster to connect to; of another one the run may have stopped the API.
            let bare = record.stored.inventory.cluster.is_empty();
            let need = if bare { Need::Nothing } else { Need::Known };
            let ports = world::live(global, need).await?;
            (None, ports, store(global)?.root().to_path_buf())
        };
        let Record { folder, stored, .. } = record;
        let mut tell = |why: &str| console.say(&one_line(why));
        let cluster = stored.inventory.cluster.clone();
        let (run, me) = (folder.run(), who());
        let lock = match &claim {
            Claim::Own => Lock::acquire_telling(&ports, &root, &cluster, run, &me, &mut tell).await?,
            Claim::Over { force } => {
                Lock::take_over(&ports, &root, &cluster, run, &me, force.is_some(), &mut tell).await?
            }
        };
        if let Some(from) = lock.taken_from() {
            let why = match claim {
                Claim::Over { force: Some(why) } => why,
                Claim::Own | Claim::Over { force: None } => "its lease had expired".to_string(),
            };
            inputs.insert(0, Input::TookLock { by: whoami(), from: from.to_string(), why });
        }
        // Read again, now that nobody else can write it.
        let (journal, recorded) = folder.resume(&stored, !simulated)?;
        let record = Record { folder, stored, recorded };
        let secrets = world::secrets(&record.stored.folder);
        // The steps that need one that is gone will say so; what others print must not show any.
        let _ = secrets.reveal_all(record.stored.plan.values()).await;
        let drive = Drive {
            secrets,
            machine: record.machine(),
            folder: &record.folder,
            journal,
            lock,
            ports,
            inventory: record.stored.inventory.clone(),
            beside: record.stored.folder.clone(),
            inputs,
            simulation,
        };
        drive.go(global, console).await
    })
}

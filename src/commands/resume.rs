//! `kup resume [RUN]` and `kup rollback [RUN]`: go on with a run from its journal, forward or back.

use engine::event::Outcome;
use engine::lock::Lock;
use engine::machine::{Input, Mode};

use crate::args::Global;
use crate::commands::approve;
use crate::config::{who, whoami};
use crate::console::Console;
use crate::drive::Drive;
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::one_line;
use crate::record::{Record, store};
use crate::simulation::Simulation;
use crate::world;

/// Goes on with a run.
pub(crate) fn resume(global: &Global, console: Console, run: Option<&str>, yes: bool) -> Result<Exit, Error> {
    let record = open(global, run)?;
    somebody(console, yes)?;
    let name = record.folder.run().to_string();
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
    go(global, console, record, vec![Input::Begin { by: whoami() }])
}

/// Takes back what a run did.
pub(crate) fn rollback(
    global: &Global,
    console: Console,
    run: Option<&str>,
    yes: bool,
) -> Result<Exit, Error> {
    let record = open(global, run)?;
    somebody(console, yes)?;
    let name = record.folder.run().to_string();
    agree(console, yes, &format!("Take back what run {name} did, in reverse order?"))?;
    go(global, console, record, vec![Input::Rollback { by: whoami() }])
}

/// Opens a run that nobody works on; without a name the last one that is not over.
pub(crate) fn open(global: &Global, run: Option<&str>) -> Result<Record, Error> {
    let record = match run {
        Some(run) => Record::open(global, Some(run))?,
        None => Record::open_unfinished(global)?,
    };
    if record.is_alive() {
        let message = format!("another kup works on run {}", record.folder.run());
        return Err(Error::new(Exit::Locked, message).hint("wait for it, or look at it with `kup status`"));
    }
    Ok(record)
}

fn somebody(console: Console, yes: bool) -> Result<(), Error> {
    if yes { Ok(()) } else { console.must_have_somebody("kup status") }
}

fn agree(console: Console, yes: bool, question: &str) -> Result<(), Error> {
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
    let simulated = record.is_simulated();
    world::runtime(simulated)?.block_on(async {
        let (simulation, ports, root) = if simulated {
            let (simulation, ports) = Simulation::bring_back(&record).await?;
            (Some(simulation), ports, record.folder.path().to_path_buf())
        } else {
            // A run on bare hosts has no cluster to connect to.
            let bare = record.stored.inventory.cluster.is_empty();
            let ports = world::live(global, bare, Some(record.folder.path().to_path_buf())).await?;
            (None, ports, store(global)?.root().to_path_buf())
        };
        let Record { folder, stored, .. } = record;
        let mut tell = |why: &str| console.say(&one_line(why));
        let cluster = stored.inventory.cluster.clone();
        let lock = Lock::acquire_telling(&ports, &root, &cluster, folder.run(), &who(), &mut tell).await?;
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

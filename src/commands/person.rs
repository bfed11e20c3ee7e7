//! `kup pause`, `abort`, `skip` and `retry`: what somebody decides against the plan. A run that goes on is
//! told through its control socket; of one that does not, the journal is told. Each is an event.

use std::sync::Arc;

use engine::journal::Keys;
use engine::machine::{Input, Machine, Mode};
use engine::plan::StepId;

use crate::args::Global;
use crate::commands::resume;
use crate::config::whoami;
use crate::console::{Console, RESET, YELLOW};
use crate::control::{self, Order};
use crate::error::Error;
use crate::exit::Exit;
use crate::printable::one_line;
use crate::record::Record;
use crate::simulation::Simulation;

/// Begins nothing new in a run that goes on, as a first Ctrl-C does.
pub(crate) fn pause(
    global: &Global,
    console: Console,
    run: Option<&str>,
    why: Option<&str>,
) -> Result<Exit, Error> {
    let why = reason(why)?;
    let record = resume::find(global, run)?;
    if !record.is_alive() {
        let name = record.folder.run();
        return Err(Error::usage(format!("run {name} does not go on, so there is nothing to pause"))
            .hint(format!("look at it with `kup status {name}`")));
    }
    // Said twice it would be an interrupt of the second degree.
    if record.machine().state().mode() == Mode::Stopping {
        let name = record.folder.run();
        return Err(Error::usage(format!("run {name} is stopping already: what runs may end"))
            .hint(format!("look at it with `kup status {name}`")));
    }
    control::tell(&record, &Order::Pause { by: whoami(), why })?;
    console.say("asked to pause: nothing new begins, what runs may end");
    Ok(Exit::Done)
}

/// Ends a run for good.
pub(crate) fn abort(
    global: &Global,
    console: Console,
    run: Option<&str>,
    why: &str,
    yes: bool,
) -> Result<Exit, Error> {
    let why = reason(Some(why))?;
    let record = resume::find(global, run)?;
    let name = record.folder.run().to_string();
    resume::somebody(console, yes)?;
    resume::agree(console, yes, &format!("End run {name} for good? Nothing is taken back."))?;
    let (by, next) = (whoami(), format!("next: kup rollback {name}"));
    if record.is_alive() {
        control::tell(&record, &Order::Abort { by, why })?;
        console.say("asked to end: nothing new begins, what runs may end");
    } else {
        amend(record, Input::Abort { by, why }, "it is over already, or is being taken back")?;
        console.say(&format!("run {name} is over for good: it never goes forward again"));
        console.say(&format!("{next}{}", one_line(&global.again())));
    }
    Ok(Exit::Done)
}

/// Takes one step out of a run.
pub(crate) fn skip(
    global: &Global,
    console: Console,
    step: &str,
    run: Option<&str>,
    why: &str,
) -> Result<Exit, Error> {
    let why = reason(Some(why))?;
    let record = resume::find(global, run)?;
    let id = step_of(&record, step)?;
    let key = record.stored.plan.step(id).key.clone();
    tell_who_needs(console, &record, id);
    let by = whoami();
    if record.is_alive() {
        control::tell(&record, &Order::Skip { step: key.clone(), by, why })?;
    } else {
        let name = record.folder.run().to_string();
        may_be_decided(&record, id)?;
        amend(record, Input::Waive { step: id, by, why }, "its turn is over, or it was skipped before")?;
        console.say(&format!("next: kup resume {name}{}", one_line(&global.again())));
    }
    console.say(&format!("`{}` is skipped when its turn comes", one_line(&key)));
    Ok(Exit::Done)
}

/// Tries one step again, and goes on with what stands behind it.
pub(crate) fn retry(
    global: &Global,
    console: Console,
    step: &str,
    run: Option<&str>,
    why: Option<&str>,
) -> Result<Exit, Error> {
    let record = resume::find(global, run)?;
    let id = step_of(&record, step)?;
    let key = record.stored.plan.step(id).key.clone();
    let (by, why) = (whoami(), reason(why)?);
    if record.is_alive() {
        control::tell(&record, &Order::Retry { step: key.clone(), by, why })?;
        console.say(&format!("`{}` is tried again", one_line(&key)));
        return Ok(Exit::Done);
    }
    may_be_decided(&record, id)?;
    if record.machine().state().step(id).attempt == 0 {
        return Err(Error::usage(format!("`{key}` was not tried yet"))
            .hint(format!("go on with `kup resume {}`", record.folder.run())));
    }
    resume::go(global, console, record, vec![Input::Retry { step: id, by, why }])
}

/// Reads the reason for a decision; what was given must say something.
pub(super) fn reason(why: Option<&str>) -> Result<String, Error> {
    let Some(why) = why else { return Ok(String::new()) };
    match why.trim() {
        "" => Err(Error::usage("`--why` says nothing").hint("say why, for whoever reads the report")),
        why => Ok(why.to_string()),
    }
}

/// Finds a step by its key, or by an end of it that fits one step alone.
fn step_of(record: &Record, wanted: &str) -> Result<StepId, Error> {
    let plan = &record.stored.plan;
    if let Some(id) = Keys::new(plan).find_step(wanted) {
        return Ok(id);
    }
    let end = format!("/{wanted}");
    let fits: Vec<StepId> = plan.ids().filter(|id| plan.step(*id).key.ends_with(&end)).collect();
    match fits.as_slice() {
        [one] => Ok(*one),
        [] => {
            let near = dsl::nearest(wanted, plan.steps.iter().map(|s| s.key.as_str()));
            let error = Error::usage(format!("the run has no step `{wanted}`"));
            Err(match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => {
                    error.hint(format!("`kup show {} --json` has the keys of its steps", record.folder.run()))
                }
            })
        }
        many => {
            let names = many.iter().take(3).map(|id| format!("`{}`", plan.step(*id).key));
            let names = names.collect::<Vec<_>>().join(", ");
            Err(Error::usage(format!("`{wanted}` fits {} steps: {names}", many.len()))
                .hint("give the whole key"))
        }
    }
}

fn may_be_decided(record: &Record, id: StepId) -> Result<(), Error> {
    let machine = record.machine();
    if machine.is_open(id) {
        return Ok(());
    }
    let (name, key) = (record.folder.run(), &record.stored.plan.step(id).key);
    let running = matches!(machine.state().step(id).state, engine::machine::StepState::Running { .. });
    Err(match running {
        true => Error::usage(format!("`{key}` was under way when the run ended: nobody knows how it ended"))
            .hint(format!("`kup resume {name}` asks its node first")),
        false => Error::usage(format!("the turn of `{key}` is over, or the run is being taken back"))
            .hint(format!("look at it with `kup status {name}`")),
    })
}

/// Warns where later steps rely on what the step ensures.
fn tell_who_needs(console: Console, record: &Record, id: StepId) {
    let plan = &record.stored.plan;
    let ensures = &plan.step(id).ensures;
    let relies = |other: &StepId| {
        let other = plan.step(*other);
        other.work.is_wanted() && other.needs.iter().any(|need| ensures.contains(need))
    };
    for other in plan.ids().filter(relies) {
        let key = one_line(&plan.step(other).key);
        console.alarm(&format!(
            "{YELLOW}warning{RESET}: `{key}` relies on it: see that it holds by other means"
        ));
    }
}

/// Tells the journal of a run that does not go on.
fn amend(record: Record, input: Input, otherwise: &str) -> Result<(), Error> {
    let simulated = record.is_simulated();
    let Record { folder, stored, .. } = record;
    let (mut journal, recorded) = folder.resume(&stored, !simulated)?;
    let at = journal.last_at();
    let plan = Arc::new(stored.plan.clone());
    let seed = recorded.header.seed;
    let mut machine = Machine::replay(plan, seed, recorded.events.iter().cloned());
    machine.handle(at, input.clone());
    let events: Vec<_> = std::iter::from_fn(|| machine.poll_event()).map(|event| (at, event)).collect();
    if events.is_empty() {
        let name = folder.run();
        return Err(Error::usage(format!("run {name} was not changed: {otherwise}"))
            .hint(format!("look at it with `kup status {name}`")));
    }
    if simulated {
        Simulation::amend(
            &Record { folder: folder.clone(), stored, recorded },
            journal.records(),
            at,
            &input,
        )?;
    }
    journal.append(&events)?;
    Ok(())
}

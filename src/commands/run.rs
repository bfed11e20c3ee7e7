//! `kup run FILE`: plans, asks, locks, runs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::journal::{Header, Stored, run_id};
use engine::lock::Lock;
use engine::machine::{Input, Machine};

use crate::args::{self, Global};
use crate::config::{who, whoami};
use crate::console::{Console, Style};
use crate::drive::Drive;
use crate::error::Error;
use crate::exit::Exit;
use crate::inputs;
use crate::prepare::{Prepared, prepare, read};
use crate::printable::{one_line, printable};
use crate::record::{SIMULATED, store};
use crate::simulation::Simulation;
use crate::target::{Place, Target};
use crate::world;

/// Runs a playbook.
pub(crate) fn run(
    global: &Global,
    console: Console,
    target: args::Target,
    yes: bool,
    wanted: Option<&str>,
) -> Result<Exit, Error> {
    let target = Target::parse(target)?;
    let text = read(console, &target)?;
    if !yes {
        console.must_have_somebody("kup plan")?;
    }
    world::within(target.is_simulated(), async {
        let prepared = prepare(global, console, &target, &text).await?;
        prepared.tell_risks(console);
        if prepared.tell_blockers(console) {
            console.say("nothing was changed");
            return Ok(Exit::Blocked);
        }
        if let Some(wanted) = wanted.filter(|w| !prepared.hash.starts_with(*w) || w.len() < 8) {
            let message = match prepared.hash.starts_with(wanted) {
                true => format!("`--plan {wanted}` is too short to mean one plan; give 8 digits or more"),
                false => format!("the plan has changed: it is {} and not `{wanted}`", prepared.hash),
            };
            return Err(Error::new(Exit::Blocked, message).hint("look at it again with `kup plan`"));
        }
        prepared.tell_windows(console);
        if yes {
            text.tell_questions(console, &prepared.plan);
        }
        if !prepared.plan.has_work() {
            console.say("nothing to change: every step's work is already done; the checks still run");
        } else if !yes && !agreed(console, &prepared) {
            console.say("nothing was changed");
            return Err(Error::told(Exit::Usage));
        }
        if yes {
            inputs::tell(console, &prepared.plan);
        }
        begin(global, console, &target, prepared).await
    })
}

/// Shows the plan and asks.
fn agreed(console: Console, prepared: &Prepared) -> bool {
    let shown = engine::plan::show(&prepared.plan, &prepared.inventory);
    if console.style != Style::Json {
        console.result(printable(&shown).trim_end());
    }
    console.ask("Run this plan?") == Some(true)
}

/// Takes the lock, saves the plan, and drives the run.
async fn begin(
    global: &Global,
    console: Console,
    target: &Target,
    prepared: Prepared,
) -> Result<Exit, Error> {
    let Prepared { plan, hash, inventory, ports, beside, .. } = prepared;
    let secrets = world::secrets(&beside);
    // What is not there is told while nothing has begun.
    if let Err(failure) = secrets.reveal_all(plan.values()).await {
        return Err(Error::environment(failure.message).hint("nothing was changed"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seed, simulated) = match &target.place {
        Place::Sim { seed, .. } => (*seed, true),
        Place::Live { .. } => (chance(now), false),
    };
    let id = run_id(now, chance(now));
    let who = who();
    let header = Header {
        run: id.clone(),
        cluster: inventory.cluster.clone(),
        host: if simulated { SIMULATED.to_string() } else { who.host.clone() },
        user: who.user.clone(),
        started: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
        plan: hash.clone(),
        seed,
    };
    let store = store(global)?;
    let mut tell = |why: &str| console.say(&one_line(why));
    // A simulated cluster belongs to its run alone: its lock file may be in the run's own folder,
    // so that two rehearsals do not get in each other's way.
    let (folder, lock) = if simulated {
        let folder = store.create(&id)?;
        let lock =
            Lock::acquire_telling(&ports, folder.path(), &inventory.cluster, &id, &who, &mut tell).await?;
        (folder, lock)
    } else {
        let lock =
            Lock::acquire_telling(&ports, store.root(), &inventory.cluster, &id, &who, &mut tell).await?;
        (store.create(&id)?, lock)
    };
    let stored =
        Stored { digest: hash, folder: beside.clone(), plan: plan.clone(), inventory: inventory.clone() };
    folder.save(&stored)?;
    let simulation = Simulation::begin(&folder, &target.place)?;
    let journal = folder.begin(&header, &plan, !simulated)?;
    let drive = Drive {
        folder: &folder,
        machine: Machine::new(Arc::new(plan), seed),
        journal,
        lock,
        ports,
        inventory,
        beside,
        secrets,
        inputs: vec![Input::Begin { by: whoami(), why: String::new() }],
        simulation,
    };
    drive.go(global, console).await
}

/// Returns a number that nobody can know before; only ids and jitter are made of it.
fn chance(now: Duration) -> u64 {
    let mix = now.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32);
    mix.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

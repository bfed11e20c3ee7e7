//! From a playbook and a target to a plan that knows what is to be done: the road that `plan` and
//! `run` share. It changes nothing: its ports refuse.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dsl::program::{Effect, Program};
use dsl::source::Sources;
use dsl::window::Window;
use engine::event::Failure;
use engine::inputs as values;
use engine::inventory::Inventory;
use engine::plan::{self, Plan, Probe, Step, StepId};
use engine::port::Ports;
use engine::readonly::read_only;
use engine::run;
use stdlib::inventory;

use crate::args::Global;
use crate::commands::explain;
use crate::console::{CYAN, Console, RED, RESET, YELLOW};
use crate::diagnostics::draw;
use crate::error::Error;
use crate::exit::Exit;
use crate::inputs;
use crate::printable::{one_line, printable};
use crate::shipped;
use crate::target::{Place, Target, simulated_hosts};
use crate::text;
use crate::world;

/// A plan with all that was learned on the way to it.
pub(crate) struct Prepared {
    /// The plan, with its forecast.
    pub(crate) plan: Plan,
    /// Its hash.
    pub(crate) hash: String,
    /// The cluster as it is now.
    pub(crate) inventory: Inventory,
    /// The ports, with their write verbs.
    pub(crate) ports: Ports,
    /// The folder of the playbook.
    pub(crate) beside: PathBuf,
    /// The preflight checks that failed.
    pub(crate) blockers: Vec<(StepId, Failure)>,
    /// Other steps that could not be asked, and why.
    pub(crate) unasked: Vec<(StepId, Failure)>,
}

/// A checked playbook.
pub(crate) struct Text {
    program: Program,
    sources: Sources,
}

impl Text {
    /// Warns that `--yes` does not answer what the playbook asks on the way.
    pub(crate) fn tell_questions(&self, console: Console, plan: &Plan) {
        if let Some(warning) = plan.asks().and_then(|asks| dsl::unattended(&self.program, &asks)) {
            console.say(&format!("{}\n", draw(&self.sources, std::slice::from_ref(&warning))));
        }
    }
}

/// Reads and checks the playbook of a target; what is wrong with it has been printed.
pub(crate) fn read(console: Console, target: &Target) -> Result<Text, Error> {
    let checked = text::read(&target.file, &target.libraries)?;
    if let Some((_, _, drawn)) = text::findings(&checked) {
        console.alarm(&drawn);
        text::first(&checked.diagnostics).inspect(|code| console.say(&explain::way(code)));
    }
    match checked.program {
        Some(program) => Ok(Text { program, sources: checked.sources }),
        None if checked.diagnostics.is_empty() => {
            Err(Error::usage(format!("`{}` has no `playbook`: it is a module", target.file.display()))
                .hint("name the playbook that uses it"))
        }
        None => Err(Error::told(Exit::Usage)),
    }
}

/// Makes the plan.
pub(crate) async fn prepare(
    global: &Global,
    console: Console,
    target: &Target,
    text: &Text,
) -> Result<Prepared, Error> {
    let mut given = target.inputs.of(&text.program)?;
    inputs::ask(console, &text.program, &mut given)?;
    let ports = world::open(global, &target.place).await?;
    let looking = read_only(ports.clone());
    let hosts = match &target.place {
        Place::Live { hosts, .. } => hosts.clone(),
        Place::Sim { shape, .. } => Some(simulated_hosts(shape)),
    };
    let inventory = inventory::read(&looking, hosts.as_deref(), &target.without)
        .await
        .map_err(|e| Error::told_by(Exit::Environment, &e.to_string()))?;
    let values = values::resolve(&text.program, &given, &inventory).map_err(|wrong| {
        for error in &wrong {
            console.error(&inputs::explained(error));
        }
        Error::told(Exit::Usage)
    })?;
    let mut plan = plan::build(&text.program, &inventory, &values).map_err(|found| {
        console.alarm(&draw(&text.sources, &found));
        text::first(&found).inspect(|code| console.say(&explain::way(code)));
        Error::told(Exit::Blocked)
    })?;
    let origins = values::origins(&text.program, &given).into_iter();
    plan.origins = origins.map(|(name, origin)| (name, origin.to_string())).collect();
    let beside = folder_of(&target.file)?;
    let shared = Arc::new(inventory.clone());
    let (plan, probes) = run::foresee(plan, &stdlib::actions(), &looking, &shared, &beside).await;
    let (blockers, unasked) = failed(&plan, &probes);
    let hash = plan::digest(&plan);
    Ok(Prepared { plan, hash, inventory, ports, beside, blockers, unasked })
}

type Failed = Vec<(StepId, Failure)>;

/// Returns the probes that failed: those of preflight checks, and the others.
fn failed(plan: &Plan, probes: &HashMap<StepId, Probe>) -> (Failed, Failed) {
    // What will not be performed is no risk, nor is a check that is judged behind a change.
    let counts = |step: &Step| step.preflight || (step.work.is_wanted() && step.effect != Effect::Reads);
    let failed = plan.ids().filter_map(|id| match probes.get(&id) {
        Some(Probe::Failed(failure)) if counts(plan.step(id)) => Some((id, failure.clone())),
        Some(Probe::Failed(_)) => None,
        Some(Probe::Check(_)) | None => None,
    });
    // Where nobody knows yet whether a check is asked at all, it forbids nothing.
    failed.partition(|(id, _)| plan.step(*id).preflight && !plan.step(*id).maybe)
}

/// Returns the folder that relative paths of a playbook start from: that of its file, or where one is for
/// a playbook of the binary.
fn folder_of(file: &Path) -> Result<PathBuf, Error> {
    if shipped::is_named(file) {
        return crate::config::absolute(Path::new("."));
    }
    let path = crate::config::absolute(file)?;
    Ok(path.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf))
}

impl Prepared {
    /// Says what forbids the run, and returns whether anything does.
    pub(crate) fn tell_blockers(&self, console: Console) -> bool {
        for (id, failure) in &self.blockers {
            console.alarm(&format!("{RED}blocked{RESET}: {}", self.sentence(*id, failure)));
            tell_more(console, failure);
        }
        !self.blockers.is_empty()
    }

    /// Says which steps could not be asked whether there is work for them: they run, and may fail.
    pub(crate) fn tell_risks(&self, console: Console) {
        for (id, failure) in &self.unasked {
            console.say(&format!("{YELLOW}risk{RESET}: {}", self.sentence(*id, failure)));
            if !console.quiet {
                tell_more(console, failure);
            }
        }
    }

    /// Says which maintenance windows are closed now, and that what changes something waits for them.
    pub(crate) fn tell_windows(&self, console: Console) {
        let wall = i64::try_from(self.ports.clock.wall().as_secs()).unwrap_or(i64::MAX);
        let held = self.plan.held();
        let texts: BTreeSet<&String> = held.values().collect();
        for text in texts {
            let Ok(window) = Window::parse(text) else { continue };
            let standing = window.at(wall);
            if standing.until == i64::MAX {
                continue; // it is always open
            }
            let (word, what) = match standing.open {
                true => ("closes", "what has not begun then waits until it opens again"),
                false => {
                    ("opens", "what changes something waits until then; to begin now, take the `window` out")
                }
            };
            let told = format!("the window {} {word} {}", one_line(text), window.tell(standing.until));
            console.say(&format!("{YELLOW}note{RESET}: {told}: {what}"));
        }
    }

    fn sentence(&self, id: StepId, failure: &Failure) -> String {
        let step = self.plan.step(id);
        let node = step.node.as_deref().map_or(String::new(), |n| format!("{n} "));
        format!("{}: {}", one_line(&format!("{node}{}", step.text)), printable(&failure.message))
    }
}

fn tell_more(console: Console, failure: &Failure) {
    for line in failure.output.lines() {
        console.alarm(&format!("  {}", printable(line)));
    }
    if !failure.hint.is_empty() {
        console.alarm(&format!("{CYAN}hint{RESET}: {}", printable(&failure.hint)));
    }
}

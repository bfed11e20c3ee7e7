//! Plays a test: its playbook on its simulated cluster, without a trace on the disk, and what came of it
//! held against what was expected.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dsl::diagnostic::Diagnostic;
use dsl::test::{End, Expected, Said, Steps, Test, Went, What};
use engine::event::{Event, Failure, Outcome};
use engine::inputs::{self, Given};
use engine::inventory::Inventory;
use engine::journal::{Journal, Keys};
use engine::machine::{Input, Machine};
use engine::plan::{self, Plan, Probe, StepId};
use engine::port::Ports;
use engine::readonly::read_only;
use engine::run::{self, Run};
use stdlib::hosts::Host;
use tokio::sync::mpsc;

use crate::diff::diff;
use crate::error::Error;
use crate::record::SIMULATED;
use crate::report::count;
use crate::target::{read_fault, read_shape, simulated_hosts};

/// What came of a test.
pub(crate) struct Played {
    /// How it ended; `None`: only the plan was asked for.
    end: Option<End>,
    /// What was said on the way to the end: reasons, messages.
    said: Vec<String>,
    /// Codes of what the plan found.
    codes: Vec<&'static str>,
    /// What failed, attempt by attempt.
    failures: Vec<String>,
    /// The plan, if there is one, and the cluster as it was.
    plan: Option<(Arc<Plan>, Inventory)>,
    events: Vec<Event>,
}

/// Plays a test of a file; an error is about its cluster or its faults.
pub(crate) fn play(file: &Path, test: &Test) -> Result<Played, Error> {
    let shape = read_shape(&shape_of(file, test))?;
    let faults = test.faults.iter().map(|(fault, _)| read_fault(fault, &shape)).collect::<Result<_, _>>()?;
    let wants_run =
        test.expected.iter().any(|e| !matches!(e.what, What::Plan(..) | What::Planned(_) | What::None(_)));
    sim::runtime().block_on(async {
        let hosts = simulated_hosts(&shape);
        let ports = sim::Cluster::start(shape, test.seed, faults).ports();
        let mut played = Played::new();
        match prepared(test, &ports, &hosts).await {
            Err(Refusal { said, codes }) => {
                (played.end, played.said, played.codes) = (Some(End::Refused), said, codes);
            }
            Ok(Prepared { plan, inventory, blockers }) => {
                let plan = Arc::new(plan);
                if !blockers.is_empty() {
                    played.end = Some(End::Refused);
                    played.said = blockers;
                } else if wants_run {
                    played.run(test, &plan, &inventory, ports).await;
                }
                played.plan = Some((plan, inventory));
            }
        }
        Ok(played)
    })
}

struct Prepared {
    plan: Plan,
    inventory: Inventory,
    /// What preflight checks have against the run.
    blockers: Vec<String>,
}

/// Why there is no plan.
struct Refusal {
    said: Vec<String>,
    codes: Vec<&'static str>,
}

/// Makes the plan as `kup plan` does.
async fn prepared(test: &Test, ports: &Ports, hosts: &[Host]) -> Result<Prepared, Refusal> {
    let refused = |said: Vec<String>| Refusal { said, codes: Vec::new() };
    let looking = read_only(ports.clone());
    let inventory = stdlib::inventory::read(&looking, Some(hosts), &[])
        .await
        .map_err(|e| refused(vec![e.to_string()]))?;
    let given = test.set.iter().map(|(name, text)| (name.clone(), Given::set(text))).collect();
    let values = inputs::resolve(&test.program, &given, &inventory)
        .map_err(|wrong| refused(wrong.iter().map(ToString::to_string).collect()))?;
    let plan = plan::build(&test.program, &inventory, &values).map_err(|found: Vec<Diagnostic>| Refusal {
        said: found.iter().map(|d| d.message.clone()).collect(),
        codes: found.iter().map(|d| d.code).collect(),
    })?;
    let shared = Arc::new(inventory.clone());
    let (plan, probes) = run::foresee(plan, &stdlib::actions(), &looking, &shared, beside(test)).await;
    let blockers = blockers(&plan, &probes);
    Ok(Prepared { plan, inventory, blockers })
}

fn blockers(plan: &Plan, probes: &HashMap<StepId, Probe>) -> Vec<String> {
    let blocker = |id: StepId| match probes.get(&id) {
        Some(Probe::Failed(failure)) if plan.step(id).preflight => Some(told(plan, id, failure)),
        Some(Probe::Failed(_) | Probe::Check(_)) | None => None,
    };
    plan.ids().filter_map(blocker).collect()
}

/// Returns the shape as it is read: its file stands beside that of the test, wherever one is.
fn shape_of(file: &Path, test: &Test) -> String {
    let (shape, _) = &test.shape;
    match file.parent() {
        Some(folder) if shape.ends_with(".toml") => folder.join(shape).display().to_string(),
        Some(_) | None => shape.clone(),
    }
}

fn beside(test: &Test) -> &Path {
    Path::new(&test.path).parent().unwrap_or(Path::new(""))
}

/// Returns a failure with its step, on one line.
fn told(plan: &Plan, id: StepId, failure: &Failure) -> String {
    let parts = [failure.message.as_str(), failure.output.trim(), failure.hint.as_str()];
    let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    format!("{}: {}", named(plan, id), parts.join("; "))
}

fn named(plan: &Plan, id: StepId) -> String {
    let step = plan.step(id);
    let node = step.node.as_deref().map_or(String::new(), |node| format!(" on {node}"));
    format!("{}{node}", step.text)
}

impl Played {
    fn new() -> Played {
        Played {
            end: None,
            said: Vec::new(),
            codes: Vec::new(),
            failures: Vec::new(),
            plan: None,
            events: Vec::new(),
        }
    }

    async fn run(&mut self, test: &Test, plan: &Arc<Plan>, inventory: &Inventory, ports: Ports) {
        let (people, inputs) = mpsc::channel(1);
        // There is room for it: the channel is new.
        let _ = people.try_send(Input::Begin { by: "test".to_string(), why: String::new() });
        let run = Run {
            machine: &mut Machine::new(plan.clone(), test.seed),
            journal: &mut Journal::forgotten(Keys::new(plan)),
            actions: stdlib::actions(),
            ports,
            inventory: Arc::new(inventory.clone()),
            id: SIMULATED.to_string(),
            folder: beside(test).to_path_buf(),
            secrets: crate::world::secrets(beside(test)),
            heard: None,
        };
        let mut events = Vec::new();
        let ended = run::drive(run, inputs, &mut |_: u64, event: &Event| events.push(event.clone())).await;
        drop(people);
        for event in &events {
            match event {
                Event::AttemptFailed { step, failure, .. }
                | Event::StepFailed { step, failure, .. }
                | Event::UndoRetried { step, failure, .. }
                | Event::UndoFailed(step, failure) => self.failures.push(told(plan, *step, failure)),
                Event::RunPaused(reason) => self.said.push(reason.clone()),
                _ => {}
            }
        }
        self.said.extend(self.failures.iter().cloned());
        self.events = events;
        self.end = Some(match ended {
            Ok(Outcome::Done) => End::Done,
            Ok(Outcome::Paused) => End::Paused,
            Ok(Outcome::Compensated) => End::Undone,
            Ok(Outcome::Failed) => End::Failed,
            Err(e) => {
                self.said.push(e.to_string());
                End::Failed
            }
        });
    }

    /// Returns the plan as people read it.
    pub(crate) fn shown(&self) -> Option<String> {
        self.plan.as_ref().map(|(plan, inventory)| plan::show(plan, inventory))
    }

    /// Returns what came instead of what was expected; `None`: it came.
    pub(crate) fn instead(&self, expected: &Expected) -> Option<String> {
        match &expected.what {
            What::Plan(text, _) => match self.shown() {
                Some(shown) if shown.trim_end() == text.trim_end() => None,
                Some(shown) => Some(format!("another plan:\n{}", diff(text.trim_end(), shown.trim_end()))),
                None => Some(self.ending()),
            },
            What::Changes(wanted) => {
                let changed = |e: &&Event| matches!(e, Event::StepDone { changed: true, .. });
                let changes = self.events.iter().filter(changed).count();
                (changes as u64 != *wanted)
                    .then(|| format!("{}; {}", count(changes, "change"), self.ending()))
            }
            What::Failure(text) => {
                let none = match self.failures.as_slice() {
                    [] => format!("nothing failed; {}", self.ending()),
                    failures => failures.join("\n"),
                };
                (!self.failures.iter().any(|f| f.contains(text))).then_some(none)
            }
            What::End(end, said) => {
                let is_said = match said {
                    Said::Anything => true,
                    Said::Text(text) => self.said.iter().any(|s| s.contains(text)),
                    Said::Code(code) => self.codes.contains(&code.as_str()),
                };
                (self.end != Some(*end) || !is_said).then(|| self.ending())
            }
            What::Planned(steps) => self.some(steps).err(),
            What::None(steps) => {
                let (plan, _) = self.plan.as_ref()?;
                let found = self.matching(steps);
                (!found.is_empty()).then(|| listed(plan, &found))
            }
            What::Went(steps, went) => match self.some(steps) {
                Err(none) => Some(none),
                Ok(found) => {
                    let (plan, _) = self.plan.as_ref()?;
                    let other = found.iter().find(|id| !self.went(**id, *went))?;
                    Some(format!("{} {}; {}", named(plan, *other), self.way(*other), self.ending()))
                }
            },
            What::Before(first, second) => self.not_before(first, second),
        }
    }

    /// Says how it ended.
    fn ending(&self) -> String {
        let word = match self.end {
            None => return "only a plan".to_string(),
            Some(End::Done) => "done",
            Some(End::Paused) => "paused",
            Some(End::Undone) => "undone",
            Some(End::Failed) => "failed",
            Some(End::Refused) => "refused",
        };
        let coded = self.codes.first().map_or(String::new(), |code| format!(" {code}"));
        match self.said.iter().find(|said| !said.is_empty()) {
            Some(said) => format!("{word}{coded}: {said}"),
            None => format!("{word}{coded}"),
        }
    }

    fn matching(&self, steps: &Steps) -> Vec<StepId> {
        let Some((plan, _)) = &self.plan else { return Vec::new() };
        plan.ids().filter(|id| is_one(plan, *id, steps)).collect()
    }

    /// Returns the steps that are meant; there must be one.
    fn some(&self, steps: &Steps) -> Result<Vec<StepId>, String> {
        let Some((plan, _)) = &self.plan else { return Err(self.ending()) };
        let found = self.matching(steps);
        if !found.is_empty() {
            return Ok(found);
        }
        let alike = Steps { args: Vec::new(), node: None, ..steps.clone() };
        Err(match self.matching(&alike).as_slice() {
            [] => format!("the plan has no step `{}`", steps.verb),
            alike => format!("the plan has other ones: {}", listed(plan, alike)),
        })
    }

    fn went(&self, id: StepId, went: Went) -> bool {
        self.events.iter().any(|event| match (event, went) {
            (Event::WorkFound { step, .. }, Went::Ran) => *step == id,
            // Who only looks has no work to find.
            (Event::StepDone { step, changed, .. }, Went::Ran) => *step == id && (*changed || self.looks(id)),
            (Event::StepDone { step, changed, .. }, Went::Skipped) => {
                *step == id && !changed && !self.looks(id)
            }
            (Event::StepSkipped(step, _), Went::Skipped) => *step == id,
            (Event::StepFailed { step, .. }, Went::Failed) => *step == id,
            (Event::UndoDone(step), Went::Undone) => *step == id,
            _ => false,
        })
    }

    fn looks(&self, id: StepId) -> bool {
        self.plan.as_ref().is_some_and(|(plan, _)| plan.step(id).effect == dsl::program::Effect::Reads)
    }

    /// Says how a step went.
    fn way(&self, id: StepId) -> &'static str {
        [(Went::Undone, "undone"), (Went::Failed, "failed"), (Went::Ran, "ran"), (Went::Skipped, "skipped")]
            .into_iter()
            .find(|(went, _)| self.went(id, *went))
            .map_or("did not begin", |(_, word)| word)
    }

    /// Returns which step of the second began too early, or that there is nothing to compare.
    fn not_before(&self, first: &Steps, second: &Steps) -> Option<String> {
        let (first, second) = match (self.some(first), self.some(second)) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(none), _) | (_, Err(none)) => return Some(none),
        };
        let (plan, _) = self.plan.as_ref()?;
        let at = |id: StepId, is: fn(&Event) -> Option<StepId>| {
            self.events.iter().position(|event| is(event) == Some(id))
        };
        let begin = |event: &Event| match event {
            Event::AttemptStarted(step, 1) => Some(*step),
            _ => None,
        };
        let done = |event: &Event| match event {
            Event::StepDone { step, .. } => Some(*step),
            _ => None,
        };
        // What was left out is neither early nor late.
        let performed =
            |ids: Vec<StepId>| ids.into_iter().filter(|id| at(*id, begin).is_some()).collect::<Vec<_>>();
        let (first, second) = (performed(first), performed(second));
        if first.is_empty() || second.is_empty() {
            return Some(format!("they did not run; {}", self.ending()));
        }
        let pairs = first.iter().flat_map(|a| second.iter().map(move |b| (*a, *b)));
        let mut early = pairs.filter(|(a, b)| at(*a, done).is_none_or(|done| Some(done) > at(*b, begin)));
        let (a, b) = early.next()?;
        Some(format!("{} began before {} was done", named(plan, b), named(plan, a)))
    }
}

/// Whether a step is one of those that are meant: its verb, the given arguments and the node are the same.
fn is_one(plan: &Plan, id: StepId, steps: &Steps) -> bool {
    let step = plan.step(id);
    if steps.node.as_ref().is_some_and(|node| step.node.as_ref() != Some(node)) {
        return false;
    }
    if step.action == steps.verb {
        let has = |arg: &String| {
            step.text.match_indices(arg.as_str()).any(|(at, _)| {
                let end = at + arg.len();
                step.text[..at].ends_with([' ', ','])
                    && (end == step.text.len() || step.text[end..].starts_with([' ', ',']))
            })
        };
        return steps.args.iter().all(has);
    }
    // The steps of a task are the task's.
    let mut scope = Some(step.scope);
    while let Some(id) = scope {
        let around = plan.scope(id);
        if let plan::ScopeKind::Task(name) = &around.kind
            && *name == steps.verb
        {
            return steps.args.is_empty();
        }
        scope = around.parent;
    }
    false
}

fn listed(plan: &Plan, ids: &[StepId]) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<String> = ids.iter().take(SHOWN).map(|id| named(plan, *id)).collect();
    if ids.len() > SHOWN {
        names.push(format!("{} more", ids.len() - SHOWN));
    }
    names.join(", ")
}

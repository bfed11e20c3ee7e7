//! Performs a playbook step by step, without a run around it: on whatever ports, and whatever comes of a step.

use std::path::Path;
use std::sync::Arc;

use dsl::source::{LoadError, Loader};
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use engine::inputs::Given;
use engine::inventory::Inventory;
use engine::plan::{Step, Undo};
use engine::port::Ports;

/// What came of a step.
pub(super) struct Performed {
    /// Its key, e.g. `workers/w1/cordon`.
    pub(super) key: String,
    /// Its verb.
    pub(super) verb: String,
    /// What the verb gave; nothing where there was nothing to do.
    pub(super) came: Result<Option<Value>, Failure>,
    back: Option<(Arc<dyn Action>, Context, Value)>,
}

/// A text with the standard library around it.
struct Playbook<'a>(&'a str);

impl Loader for Playbook<'_> {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        let module = stdlib::modules().iter().find(|(name, _)| *name == path);
        match (module, path) {
            (Some((_, text)), _) => Ok(text.to_string()),
            (None, "contract.kup") => Ok(self.0.to_string()),
            (None, _) => Err(LoadError::NotFound),
        }
    }
}

/// Performs every step of a playbook in their order, wanted or not, one after the other. A verb may refuse, and
/// the next one is performed none the less.
pub(super) async fn perform(
    ports: &Ports,
    folder: &Path,
    text: &str,
    given: &[(&str, String)],
) -> Vec<Performed> {
    let inventory = Arc::new(stdlib::inventory::read(ports, None, &[]).await.expect("an inventory"));
    let checked = dsl::check("contract.kup", &Playbook(text), stdlib::PRELUDE);
    let program = checked.program.unwrap_or_else(|| panic!("{text}\n{:?}", checked.diagnostics));
    let given = given.iter().map(|(name, value)| (name.to_string(), Given::set(value))).collect();
    let params = engine::inputs::resolve(&program, &given, &*inventory).expect("the parameters are right");
    let plan = engine::plan::build(&program, &inventory, &params).expect("a plan");
    let actions = stdlib::actions();
    let mut all = Vec::new();
    for step in plan.ids().map(|id| plan.step(id)) {
        // What asks somebody has no action.
        let Some(action) = actions.get(&step.action) else { continue };
        let cx = context(step, ports, &inventory, folder);
        let (came, back) = match once(&**action, &cx).await {
            Ok(Some((before, gave))) => (Ok(Some(gave)), Some((action.clone(), cx, before))),
            Ok(None) => (Ok(None), None),
            Err(failure) => (Err(failure), None),
        };
        let back = back.filter(|_| step.undo == Undo::Itself);
        all.push(Performed { key: step.key.clone(), verb: step.action.clone(), came, back });
    }
    all
}

/// Takes back what takes itself back, the last one first.
pub(super) async fn take_back(performed: Vec<Performed>) {
    for (action, cx, before) in performed.into_iter().rev().filter_map(|step| step.back) {
        action.undo(&cx, &before).await.unwrap_or_else(|e| panic!("{} is taken back: {e:?}", cx.key));
    }
}

fn context(step: &Step, ports: &Ports, inventory: &Arc<Inventory>, folder: &Path) -> Context {
    Context {
        ports: ports.clone().into(),
        inventory: inventory.clone(),
        run: "contract".into(),
        key: step.key.clone(),
        attempt: 1,
        node: step.node.as_ref().and_then(|n| inventory.nodes.get(n).cloned()).map(Arc::new),
        args: step.args.clone(),
        long: step.long,
        gives: true,
        folder: folder.into(),
        secrets: Arc::new(engine::secret::Secrets::closed()),
    }
}

/// Returns what an undo must know and what the verb gave, or nothing where there was nothing to do.
async fn once(action: &dyn Action, cx: &Context) -> Result<Option<(Value, Value)>, Failure> {
    let Check::Needs { before, .. } = action.check(cx).await? else { return Ok(None) };
    let mut progress = action.start(cx, &before).await?;
    loop {
        match progress {
            Progress::Done(gave) => return Ok(Some((before, gave))),
            Progress::Pending { handle, again, .. } => {
                cx.ports.clock.sleep(again).await;
                progress = action.poll(cx, &handle).await?;
            }
        }
    }
}

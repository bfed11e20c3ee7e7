//! Asks the world before a run: every step that would change something, and every check that counts
//! beforehand, is asked whether there is work.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dsl::program::Effect;
use dsl::value::Value;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::Semaphore;

use super::task::{self, Performer};
use crate::action::Actions;
use crate::event::Failure;
use crate::inventory::Inventory;
use crate::plan::{Plan, Probe, Step, StepId, forecast};
use crate::port::Ports;
use crate::secret::Secrets;

/// How many questions are asked at once.
const OVERALL: usize = 64;
/// How many questions one node is asked at once: it has work of its own.
const PER_NODE: usize = 8;

/// Asks all steps of a plan that can be asked beforehand. The ports should be read-only ones. A step
/// that gives no answer within its own timeout has failed to say.
pub async fn probe(
    plan: &Arc<Plan>,
    actions: &Actions,
    ports: &Ports,
    inventory: &Arc<Inventory>,
    folder: &Path,
) -> HashMap<StepId, Probe> {
    let performer = Performer {
        plan: plan.clone(),
        actions: actions.clone(),
        ports: Arc::new(ports.clone()),
        inventory: inventory.clone(),
        nodes: task::shared(inventory),
        run: "plan".into(),
        folder: folder.into(),
        // A look needs no secret, and reads none.
        secrets: Arc::new(Secrets::closed()),
    };
    let overall = Semaphore::new(OVERALL);
    let asked: Vec<StepId> = plan.ids().filter(|id| can_be_asked(plan.step(*id))).collect();
    let mut nodes: HashMap<&str, Semaphore> = HashMap::new();
    for id in &asked {
        if let Some(node) = &plan.step(*id).node {
            nodes.entry(node).or_insert_with(|| Semaphore::new(PER_NODE));
        }
    }
    let ask = async |id: StepId| {
        let step = plan.step(id);
        // The node's place first: who waits for a busy node must not keep others from theirs. The
        // semaphores are never closed, so there is always a place in the end.
        let _node = match step.node.as_deref().and_then(|name| nodes.get(name)) {
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        let _place = overall.acquire().await.ok();
        let answer = tokio::select! {
            biased;
            answer = performer.look(id) => answer,
            () = ports.clock.sleep(std::time::Duration::from_millis(step.timeout)) => {
                Err(Failure::transient(format!("no answer within {}", Value::Duration(step.timeout))))
            }
        };
        (id, answer.map_or_else(Probe::Failed, Probe::Check))
    };
    let (mut answers, waiting) = (HashMap::with_capacity(asked.len()), FuturesUnordered::new());
    for id in asked {
        // Most looks have nothing to wait for, and ten thousand futures at once would have their price. Unconstrained: they
        // would be held back for others, of which there are none.
        let mut asking = Box::pin(tokio::task::unconstrained(ask(id)));
        match asking.as_mut().now_or_never() {
            Some((id, answer)) => drop(answers.insert(id, answer)),
            None => waiting.push(asking),
        }
    }
    answers.extend(waiting.collect::<Vec<_>>().await);
    answers
}

/// Asks all that can be asked, and writes into each step of the plan whether it has work.
pub async fn foresee(
    plan: Plan,
    actions: &Actions,
    ports: &Ports,
    inventory: &Arc<Inventory>,
    folder: &Path,
) -> (Plan, HashMap<StepId, Probe>) {
    let asked = Arc::new(plan);
    let probes = probe(&asked, actions, ports, inventory, folder).await;
    let mut plan = Arc::unwrap_or_clone(asked);
    forecast(&mut plan, &probes);
    (plan, probes)
}

/// Returns whether a step's look says something before the run. What only reads is asked in its turn,
/// unless it is declared to count before; what waits for results cannot be asked yet.
fn can_be_asked(step: &Step) -> bool {
    match step.effect {
        _ if !step.later.is_empty() => false,
        Effect::Reads => step.preflight,
        Effect::ChangesNode | Effect::DisruptsNode | Effect::ChangesCluster | Effect::ChangesHere => true,
        Effect::Decides => false,
    }
}

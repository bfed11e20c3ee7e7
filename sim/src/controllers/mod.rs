//! The controller manager and the scheduler: one loop that reads the store's log, keeps short facts of
//! pods and nodes, and lets each workload, budget and unbound pod that was touched catch up.
//!
//! ```text
//!   log -> facts -> touched workloads -> pods made or deleted
//!                -> unbound pods ------> bound
//!                -> touched budgets ---> status
//! ```

mod budget;
mod facts;
mod scheduler;
mod workload;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::ChangeKind;
use crate::kubelet;
use crate::pod;
use crate::world::{Shared, World, lock};
use budget::Claims;
use facts::Facts;
use workload::Rollouts;
pub(crate) use workload::revision as digest;

/// How long the loop gathers changes before it acts, as informers and work queues do.
const GATHER: Duration = Duration::from_millis(50);

/// Resource, namespace and name of an object that must catch up.
type Touched = BTreeSet<(String, String, String)>;

/// What the controllers remember between two rounds.
pub(crate) struct Controllers {
    revision: u64,
    facts: Facts,
    claims: Claims,
    workloads: Touched,
    rollouts: Rollouts,
    budgets: Touched,
    schedule: bool,
    /// Nodes that were deleted, and whose pods are still there.
    gone: Vec<String>,
}

impl Controllers {
    /// Makes controllers that read the log from its beginning.
    pub(crate) fn new(world: &World) -> Controllers {
        Controllers {
            revision: world.store.oldest(),
            facts: Facts::default(),
            claims: Claims::default(),
            workloads: Touched::new(),
            rollouts: Rollouts::default(),
            budgets: Touched::new(),
            schedule: false,
            gone: Vec::new(),
        }
    }

    /// Reads the log and acts on it once. Returns whether anything was changed.
    pub(crate) fn step(&mut self, world: &mut World) -> bool {
        self.read(world);
        let late = self.rollouts.overdue(world.now());
        let late = late.into_iter().map(|(namespace, name)| ("deployments".to_string(), namespace, name));
        self.workloads.extend(late);
        let before = world.store.revision();
        if world.first_up("kube-controller-manager").is_some() {
            for node in std::mem::take(&mut self.gone) {
                forget_pods(world, &node);
            }
            for (resource, namespace, name) in std::mem::take(&mut self.workloads) {
                workload::catch_up(world, &self.facts, &mut self.rollouts, &resource, &namespace, &name);
            }
            for (_, namespace, name) in std::mem::take(&mut self.budgets) {
                budget::catch_up(world, &self.facts, &self.claims, &namespace, &name);
            }
        }
        if world.first_up("kube-scheduler").is_some() && std::mem::take(&mut self.schedule) {
            scheduler::bind_all(world, &self.facts);
        }
        world.store.revision() != before
    }

    fn read(&mut self, world: &mut World) {
        let Some(changes) = world.store.changes_after(self.revision) else { return };
        for change in changes {
            let (object, resource) = (&change.object, change.resource.as_str());
            let key =
                (resource.to_string(), pod::namespace(object).to_string(), pod::name(object).to_string());
            match resource {
                "pods" => {
                    if let Some(owner) = pod::controller(object) {
                        let kind = owner["kind"].as_str().unwrap_or("");
                        if let Some(resource) = workload::resource_of(kind) {
                            let name = owner["name"].as_str().unwrap_or("").to_string();
                            self.workloads.insert((resource.to_string(), key.1.clone(), name));
                        }
                    }
                    let matters = self.facts.pod_changed(change);
                    self.claims.pod_changed(change, matters, &mut self.budgets);
                    self.schedule = true;
                }
                "nodes" if self.facts.node_changed(change) => {
                    if change.kind == ChangeKind::Deleted {
                        self.gone.push(key.2);
                    }
                    self.schedule = true;
                    let daemons = world.store.list("daemonsets");
                    self.workloads.extend(daemons.map(|d| {
                        ("daemonsets".to_string(), pod::namespace(d).to_string(), pod::name(d).to_string())
                    }));
                }
                "replicasets" => {
                    if let Some(owner) = pod::controller(object) {
                        let name = owner["name"].as_str().unwrap_or("").to_string();
                        self.workloads.insert(("deployments".to_string(), key.1.clone(), name));
                    }
                    self.workloads.insert(key);
                }
                "deployments" | "daemonsets" | "statefulsets" => {
                    self.workloads.insert(key);
                }
                "poddisruptionbudgets" => {
                    self.claims.budget_changed(world, change);
                    self.budgets.insert(key);
                }
                _ => (),
            }
        }
        self.revision = world.store.revision();
    }
}

/// The pods of a node that is no more are deleted by force (kubernetes: pkg/controller/podgc).
fn forget_pods(world: &mut World, node: &str) {
    if world.store.get("nodes", "", node).is_some() {
        return;
    }
    let pods: Vec<(String, String)> = world
        .store
        .pods_on(node)
        .map(|p| (pod::namespace(p).to_string(), pod::name(p).to_string()))
        .collect();
    for (namespace, name) in pods {
        world.store.remove("pods", &namespace, &name);
    }
}

/// Runs the controllers for as long as the runtime lives.
pub(crate) async fn run(shared: Shared, mut controllers: Controllers) {
    let (mut changes, mut machines) = {
        let world = lock(&shared);
        (world.store.watch(), world.watch_machines())
    };
    // What happened between the first round and this task is not announced any more.
    changes.mark_changed();
    loop {
        let late = lock(&shared).clock.until(controllers.rollouts.next());
        tokio::select! {
            biased;
            changed = changes.changed() => if changed.is_err() { return },
            changed = machines.changed() => if changed.is_err() { return },
            () = late => {}
        }
        tokio::time::sleep(GATHER).await;
        kubelet::api_up(&shared).await;
        let mut world = lock(&shared);
        changes.mark_unchanged();
        machines.mark_unchanged();
        // What this round writes is read in the next.
        if controllers.step(&mut world) {
            changes.mark_changed();
        }
    }
}

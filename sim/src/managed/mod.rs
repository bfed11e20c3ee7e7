//! A managed control plane: the provider has it, the API shows no node and no pod of it, and it is upgraded by operations that take
//! minutes and have an id. [`eks`] answers over HTTP as the real service does and as `aws` prints it, [`gcloud`] and [`az`] as those
//! two commands do.
//!
//! ```text
//! aws, gcloud, az (on this machine) --.
//!                                      >-- Managed: parts (control plane, pools, add-ons) and operations, by the clock
//! HTTP (the real aws) ---- eks -------'             `--> kubelets of the pools' nodes, version of the API
//! ```

pub mod az;
pub mod eks;
pub mod gcloud;

use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value;

use crate::api::selects;
use crate::node::{Release, image};
use crate::shape::Provider;
use crate::world::World;

/// What a provider keeps of a cluster.
#[derive(Clone, Debug)]
pub struct Managed {
    /// Whose it is.
    pub provider: Provider,
    /// How long a minute of the provider's takes.
    pub minute: Duration,
    /// The control plane under the empty name, pools and add-ons by theirs.
    pub(crate) parts: IndexMap<String, Part>,
    /// What was begun, the oldest first.
    pub(crate) operations: Vec<Operation>,
}

/// What is upgraded by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    /// A release of Kubernetes as `1.33.4`; of an add-on its own.
    pub(crate) version: String,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    ControlPlane,
    Pool,
    Addon,
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) part: String,
    pub(crate) to: String,
    /// When it was begun, since the start of the cluster.
    pub(crate) began: Duration,
    /// What the client named it, so that a second request is the same.
    pub(crate) token: String,
    /// Whether pods that may not be evicted are ended all the same.
    pub(crate) force: bool,
    pub(crate) state: State,
}

/// How an operation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Done,
    /// What the provider calls it, what it says, and what it is about.
    Failed(&'static str, String, Vec<String>),
}

/// The name of every managed cluster of the box.
pub const CLUSTER: &str = "sim";

/// How long a control plane takes, a node of a pool, an add-on, and a drain that does not end, in the provider's minutes.
const CONTROL_PLANE: u32 = 9;
const NODE: u32 = 4;
const ADDON: u32 = 2;
const EVICTION: u32 = 15;

impl Managed {
    /// Makes what a provider would keep of a fresh cluster.
    pub(crate) fn new(world: &World, provider: Provider) -> Managed {
        let release = Release::parse(&world.shape.version).unwrap_or(Release::new(34, 0));
        let mut parts = IndexMap::new();
        parts.insert(String::new(), Part { kind: PartKind::ControlPlane, version: release.to_string() });
        for pool in &world.shape.pools {
            let of_pool = pool.version.as_deref().and_then(Release::parse).unwrap_or(release);
            parts.insert(pool.name.clone(), Part { kind: PartKind::Pool, version: of_pool.to_string() });
        }
        if provider == Provider::Eks {
            for name in eks::ADDONS {
                let version = eks::addon_version(name, u32::from(release.minor));
                parts.insert(name.to_string(), Part { kind: PartKind::Addon, version });
            }
        }
        Managed { provider, minute: Duration::from_secs(60), parts, operations: Vec::new() }
    }

    /// Returns what was begun, a line an operation, the oldest first: what it was for, and the version.
    pub fn begun(&self) -> Vec<String> {
        let line = |op: &Operation| format!("provider upgrades `{}` to {}", op.part, op.to);
        self.operations.iter().map(line).collect()
    }

    /// Returns the operation that goes on, if any, of a part.
    pub(crate) fn running(&self, part: &str) -> Option<&Operation> {
        self.operations.iter().rev().find(|op| op.part == part && op.state == State::Running)
    }

    /// Returns the control plane's version.
    pub(crate) fn version(&self) -> &str {
        self.parts.get("").map_or("", |part| part.version.as_str())
    }
}

/// Begins an operation; one with the same token is the same.
pub(crate) fn begin(world: &mut World, part: &str, to: &str, token: &str, force: bool) -> Option<Operation> {
    let (id, began) = (world.random.uuid(), world.now());
    let managed = world.managed.as_mut()?;
    if let Some(same) = managed.operations.iter().find(|op| !token.is_empty() && op.token == token) {
        return Some(same.clone());
    }
    let operation = Operation {
        id,
        part: part.to_string(),
        to: to.to_string(),
        began,
        token: token.to_string(),
        force,
        state: State::Running,
    };
    managed.operations.push(operation.clone());
    Some(operation)
}

/// Lets everything have happened that has by now.
pub(crate) fn settle(world: &mut World) {
    let Some(managed) = world.managed.clone() else { return };
    let now = world.now();
    for (index, operation) in managed.operations.iter().enumerate() {
        if operation.state != State::Running {
            continue;
        }
        let Some(part) = managed.parts.get(&operation.part) else { continue };
        let passed = now.saturating_sub(operation.began);
        let state = match part.kind {
            PartKind::ControlPlane if passed >= managed.minute * CONTROL_PLANE => {
                move_control_plane(world, &operation.to);
                State::Done
            }
            PartKind::Addon if passed >= managed.minute * ADDON => State::Done,
            PartKind::ControlPlane | PartKind::Addon => State::Running,
            PartKind::Pool => move_pool(world, &managed, operation, passed),
        };
        let done = state == State::Done;
        if let Some(managed) = &mut world.managed {
            managed.operations[index].state = state;
            if done && let Some(part) = managed.parts.get_mut(&operation.part) {
                part.version.clone_from(&operation.to);
            }
        }
    }
}

/// The control plane is moved at once, when its time is over; nobody sees how the provider does it.
fn move_control_plane(world: &mut World, to: &str) {
    let Some(release) = Release::parse(to) else { return };
    for ((_, component), pod) in &mut world.static_pods {
        pod.image = image(component, release);
    }
    world.machines_changed();
}

/// The nodes of a pool are replaced one by one. Here they keep their names.
fn move_pool(world: &mut World, managed: &Managed, operation: &Operation, passed: Duration) -> State {
    let Some(release) = Release::parse(&operation.to) else { return State::Running };
    let Some(pool) = world.shape.pools.iter().find(|pool| pool.name == operation.part).cloned() else {
        return State::Done;
    };
    let names: Vec<String> = (1..=pool.count).map(|index| format!("{}{index}", pool.name)).collect();
    for (index, name) in names.iter().enumerate() {
        let begins = managed.minute * NODE * u32::try_from(index).unwrap_or(0);
        let held = if operation.force { None } else { held(world, name) };
        if let Some(pod) = held {
            if passed >= begins + managed.minute * EVICTION {
                let text = format!(
                    "Reached max retries while trying to evict pods from nodes in node group {}",
                    pool.name
                );
                return State::Failed("PodEvictionFailure", text, vec![name.clone(), pod]);
            }
            return State::Running;
        }
        if passed < begins + managed.minute * NODE {
            return State::Running;
        }
        let version = managed.provider.version(&release.to_string());
        let now = world.now();
        if let Some(node) = world.nodes.get_mut(name)
            && node.kubelet_running != version
        {
            node.kubelet_running = version;
            node.kubelet_since = now;
            world.machines_changed();
        }
    }
    State::Done
}

/// Returns a pod of a node that a budget never lets go.
fn held(world: &World, node: &str) -> Option<String> {
    let budgets: Vec<&Value> = world
        .store
        .list("poddisruptionbudgets")
        .map(|budget| &**budget)
        .filter(|budget| budget["spec"]["maxUnavailable"] == 0)
        .collect();
    world.store.pods_on(node).find_map(|pod| {
        let under = |budget: &&&Value| {
            budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
                && selects(&budget["spec"]["selector"], &pod["metadata"]["labels"])
        };
        let name = |key: &str| pod["metadata"][key].as_str().unwrap_or("").to_string();
        budgets.iter().find(under).map(|_| format!("{}/{}", name("namespace"), name("name")))
    })
}

/// Reads `--name value`, `--name=value` and `-n value` of a command line; a flag without a value is `true`.
pub(crate) fn flags(args: &[&str]) -> IndexMap<String, String> {
    let mut flags = IndexMap::new();
    let mut rest = args.iter().peekable();
    while let Some(arg) = rest.next() {
        let Some(name) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else { continue };
        if let Some((name, value)) = name.split_once('=') {
            flags.insert(name.to_string(), value.to_string());
            continue;
        }
        let value = rest.next_if(|next| !next.starts_with('-')).map_or("true", |value| value);
        flags.insert(name.to_string(), value.to_string());
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::shape::Shape;
    use crate::world::lock;

    #[test]
    fn an_operation_moves_its_part_when_its_time_is_over() {
        crate::runtime().block_on(async {
            let cluster = Cluster::start(Shape::parse("0+2@v1.33.4-eks").unwrap(), 7, Vec::new());
            begin(&mut lock(&cluster.world), "", "1.34.2", "t", false).unwrap();
            let again = begin(&mut lock(&cluster.world), "", "1.34.2", "t", false).unwrap();
            tokio::time::sleep(Duration::from_secs(8 * 60)).await;
            settle(&mut lock(&cluster.world));
            assert_eq!(lock(&cluster.world).managed.as_ref().unwrap().running("").unwrap().id, again.id);
            tokio::time::sleep(Duration::from_secs(60)).await;
            settle(&mut lock(&cluster.world));
            assert_eq!(lock(&cluster.world).managed.as_ref().unwrap().version(), "1.34.2");
            let version = cluster.client().apiserver_version().await.unwrap();
            assert_eq!(version.git_version, "v1.34.2-eks-3025e55");
        });
    }

    #[test]
    fn the_api_shows_the_workers_only() {
        crate::runtime().block_on(async {
            let cluster = Cluster::start(Shape::parse("0+2@v1.33.4-gke").unwrap(), 7, Vec::new());
            let world = lock(&cluster.world);
            let nodes: Vec<&str> =
                world.store.list("nodes").filter_map(|n| n["metadata"]["name"].as_str()).collect();
            assert_eq!(nodes, ["w1", "w2"]);
            assert!(
                !world.store.list("pods").any(|pod| pod["metadata"]["labels"]["tier"] == "control-plane")
            );
        });
    }

    #[test]
    fn flags_are_read_in_all_spellings() {
        let flags = flags(&["upgrade", "--name", "c", "-g", "rg", "--yes", "--format=json", "--async"]);
        let all: Vec<(&str, &str)> = flags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(all, [("name", "c"), ("g", "rg"), ("yes", "true"), ("format", "json"), ("async", "true")]);
    }
}

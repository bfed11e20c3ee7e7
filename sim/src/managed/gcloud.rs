//! `gcloud container` for a GKE cluster. The answers are written from the reference of the API, whose JSON the command prints:
//! clusters: <https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters>,
//! operations: <https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.operations>,
//! the commands: <https://cloud.google.com/sdk/gcloud/reference/container/clusters/upgrade>. No real one was ever asked.

use engine::port::Output;
use serde_json::{Value, json};

use super::{CLUSTER, Managed, Operation, PartKind, State, begin, flags, settle};
use crate::world::World;

const PLACE: &str = "https://container.googleapis.com/v1/projects/p/locations/europe-west3/clusters/sim";

/// Runs `gcloud`.
pub(crate) fn gcloud(world: &mut World, args: &[&str]) -> Output {
    settle(world);
    let given = flags(args);
    match args {
        ["container", "clusters", "describe", name, ..] => {
            missing(name).unwrap_or_else(|| print(&cluster(world)))
        }
        ["container", "clusters", "upgrade", name, ..] => {
            missing(name).unwrap_or_else(|| upgrade(world, &given))
        }
        ["container", "operations", "list", ..] => {
            let operations =
                world.managed.as_ref().map(|managed| managed.operations.clone()).unwrap_or_default();
            let shown: Vec<Value> = operations.iter().map(|operation| show(world, operation)).collect();
            print(&json!(shown))
        }
        ["container", "operations", "describe", id, ..] => {
            let found = world
                .managed
                .as_ref()
                .and_then(|managed| managed.operations.iter().find(|op| op.id == *id))
                .cloned();
            match found {
                Some(operation) => print(&show(world, &operation)),
                None => {
                    failed("container.operations.describe", &format!("code=404, message=Not found: {id}."))
                }
            }
        }
        _ => Output {
            code: 2,
            stdout: String::new(),
            stderr: format!("gcloud: the simulation does not know `{}`\n", args.join(" ")),
        },
    }
}

/// Says of a cluster that it is not there, if it is not.
fn missing(name: &str) -> Option<Output> {
    let text = format!(
        "ResponseError: code=404, message=Not found: projects/p/locations/europe-west3/clusters/{name}."
    );
    (name != CLUSTER).then(|| failed("container.clusters.describe", &text))
}

fn failed(command: &str, text: &str) -> Output {
    Output { code: 1, stdout: String::new(), stderr: format!("ERROR: (gcloud.{command}) {text}\n") }
}

fn print(value: &Value) -> Output {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    Output { code: 0, stdout: format!("{text}\n"), stderr: String::new() }
}

/// With `--async` nothing is printed but what it does: the operation is found in the list.
fn upgrade(world: &mut World, given: &indexmap::IndexMap<String, String>) -> Output {
    let of = |name: &str| given.get(name).cloned().unwrap_or_default();
    let (pool, to) = (of("node-pool"), of("cluster-version"));
    let Some(managed) = world.managed.as_ref() else {
        return failed("container.clusters.upgrade", "no cluster");
    };
    if managed.operations.iter().any(|op| op.state == State::Running) {
        let text = "ResponseError: code=400, message=Cluster is running incompatible operation.";
        return failed("container.clusters.upgrade", text);
    }
    let plain = |version: &str| version.split('-').next().unwrap_or("").to_string();
    let to = if to.is_empty() { managed.version().to_string() } else { plain(&to) };
    let minor = |version: &str| version.split('.').nth(1).and_then(|m| m.parse::<u32>().ok()).unwrap_or(0);
    if pool.is_empty() && minor(&to) > minor(managed.version()) + 1 {
        let text = format!(
            "ResponseError: code=400, message=Master cannot be upgraded to \"{to}\": cannot skip a minor version."
        );
        return failed("container.clusters.upgrade", &text);
    }
    if !pool.is_empty() && minor(&to) > minor(managed.version()) {
        let text =
            "ResponseError: code=400, message=Node version must not be greater than the master version.";
        return failed("container.clusters.upgrade", text);
    }
    begin(world, &pool, &to, "", false);
    Output { code: 0, stdout: String::new(), stderr: format!("Upgrading {CLUSTER}...\n") }
}

fn cluster(world: &World) -> Value {
    let Some(managed) = world.managed.as_ref() else { return Value::Null };
    let version = |plain: &str| managed.provider.version(plain).trim_start_matches('v').to_string();
    let status = |part: &str| if managed.running(part).is_some() { "RECONCILING" } else { "RUNNING" };
    let pools = managed.parts.iter().filter(|(_, part)| part.kind == PartKind::Pool);
    let pools: Vec<Value> = pools
        .map(|(name, part)| {
            json!({
                "name": name, "version": version(&part.version), "status": status(name),
                "upgradeSettings": { "maxSurge": 1, "strategy": "SURGE" }, "management": { "autoRepair": true, "autoUpgrade": true },
            })
        })
        .collect();
    json!({
        "name": CLUSTER, "location": "europe-west3", "selfLink": PLACE, "status": status(""),
        "currentMasterVersion": version(managed.version()), "nodePools": pools, "releaseChannel": { "channel": "REGULAR" },
    })
}

fn show(world: &World, operation: &Operation) -> Value {
    let pool = is_pool(world.managed.as_ref(), operation);
    let target = if pool { format!("{PLACE}/nodePools/{}", operation.part) } else { PLACE.to_string() };
    let mut shown = json!({
        "name": operation.id, "operationType": if pool { "UPGRADE_NODES" } else { "UPGRADE_MASTER" },
        "status": if operation.state == State::Running { "RUNNING" } else { "DONE" }, "targetLink": target,
        "startTime": crate::clock::stamp(operation.began), "zone": "europe-west3",
    });
    if let State::Failed(_, text, _) = &operation.state {
        shown["error"] = json!({ "code": 13, "message": text });
    }
    shown
}

fn is_pool(managed: Option<&Managed>, operation: &Operation) -> bool {
    managed
        .and_then(|managed| managed.parts.get(&operation.part))
        .is_some_and(|part| part.kind == PartKind::Pool)
}

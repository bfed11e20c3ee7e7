//! `az aks` for an AKS cluster. The answers are written from the reference of the API, whose properties the command prints without
//! their wrapping: <https://learn.microsoft.com/en-us/rest/api/aks/managed-clusters/get>,
//! <https://learn.microsoft.com/en-us/rest/api/aks/agent-pools/get>, and the commands:
//! <https://learn.microsoft.com/en-us/cli/azure/aks#az-aks-upgrade>, <https://learn.microsoft.com/en-us/cli/azure/aks/nodepool>.
//! No real one was ever asked.

use engine::port::Output;
use serde_json::{Value, json};

use super::{CLUSTER, Managed, PartKind, State, begin, flags, settle};
use crate::world::World;

/// Runs `az`.
pub(crate) fn az(world: &mut World, args: &[&str]) -> Output {
    settle(world);
    let given = flags(args);
    let of =
        |long: &str, short: &str| given.get(long).or_else(|| given.get(short)).cloned().unwrap_or_default();
    let nodepool = matches!(args, ["aks", "nodepool", ..]);
    let cluster = if nodepool { of("cluster-name", "") } else { of("name", "n") };
    if cluster != CLUSTER {
        let text = format!(
            "(ResourceNotFound) The Resource 'Microsoft.ContainerService/managedClusters/{cluster}' under resource group '{}' was not found.",
            of("resource-group", "g")
        );
        return failed(&text);
    }
    match args {
        ["aks", "show", ..] => print(world.managed.as_ref().map(show).unwrap_or_default()),
        ["aks", "nodepool", "show", ..] => {
            let name = of("name", "n");
            let pools = world.managed.as_ref().map(pools).unwrap_or_default();
            match pools.into_iter().find(|pool| pool["name"] == name) {
                Some(pool) => print(pool),
                None => failed(&format!("(NotFound) Could not find agent pool '{name}'.")),
            }
        }
        ["aks", "upgrade", ..] if given.contains_key("control-plane-only") => {
            upgrade(world, "", &of("kubernetes-version", "k"))
        }
        ["aks", "nodepool", "upgrade", ..] => {
            upgrade(world, &of("name", "n"), &of("kubernetes-version", "k"))
        }
        _ => Output {
            code: 2,
            stdout: String::new(),
            stderr: format!("az: the simulation does not know `{}`\n", args.join(" ")),
        },
    }
}

fn failed(text: &str) -> Output {
    Output { code: 1, stdout: String::new(), stderr: format!("ERROR: {text}\n") }
}

fn print(value: Value) -> Output {
    let text = serde_json::to_string_pretty(&value).unwrap_or_default();
    Output { code: 0, stdout: format!("{text}\n"), stderr: String::new() }
}

fn upgrade(world: &mut World, pool: &str, to: &str) -> Output {
    let Some(managed) = world.managed.as_ref() else { return failed("no cluster") };
    if managed.operations.iter().any(|op| op.state == State::Running) {
        let text = "(OperationNotAllowed) Operation is not allowed because there's an in progress upgrade managed cluster operation on the managed cluster.";
        return failed(text);
    }
    let minor = |version: &str| version.split('.').nth(1).and_then(|m| m.parse::<u32>().ok()).unwrap_or(0);
    let (now, wanted) = (minor(managed.version()), minor(to));
    if pool.is_empty() && wanted > now + 1 {
        let text = format!(
            "(OperationNotAllowed) Upgrading Kubernetes version {} to {to} is not allowed: it skips a minor version.",
            managed.version()
        );
        return failed(&text);
    }
    if !pool.is_empty() && wanted > now {
        let text = format!(
            "(NodePoolMcVersionIncompatible) Node pool version {to} and control plane version {} are incompatible.",
            managed.version()
        );
        return failed(&text);
    }
    begin(world, pool, to, "", false);
    Output::default()
}

/// Of an upgrade that failed only the state is left.
fn state(managed: &Managed, part: &str) -> &'static str {
    match managed.operations.iter().rev().find(|op| op.part == part).map(|op| &op.state) {
        Some(State::Running) => "Upgrading",
        Some(State::Failed(..)) => "Failed",
        Some(State::Done) | None => "Succeeded",
    }
}

fn pools(managed: &Managed) -> Vec<Value> {
    let pools = managed.parts.iter().filter(|(_, part)| part.kind == PartKind::Pool);
    let first =
        managed.parts.iter().find(|(_, part)| part.kind == PartKind::Pool).map(|(name, _)| name.clone());
    pools
        .map(|(name, part)| {
            json!({
                "name": name, "orchestratorVersion": part.version, "currentOrchestratorVersion": part.version,
                "provisioningState": state(managed, name), "powerState": { "code": "Running" },
                "mode": if first.as_ref() == Some(name) { "System" } else { "User" }, "upgradeSettings": { "maxSurge": "10%" },
            })
        })
        .collect()
}

fn show(managed: &Managed) -> Value {
    json!({
        "name": CLUSTER, "location": "germanywestcentral", "kubernetesVersion": managed.version(),
        "currentKubernetesVersion": managed.version(), "provisioningState": state(managed, ""),
        "powerState": { "code": "Running" }, "agentPoolProfiles": pools(managed),
    })
}

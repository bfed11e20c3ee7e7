//! Eviction with the real server's rules and words (`pkg/registry/core/pod/storage/eviction.go`, 1.33).

use serde_json::{Value, json};

use super::answer::{end, find, preconditions};
use super::kind::{Kind, Target};
use super::select::selects;
use super::status::Refusal;
use crate::pod;
use crate::world::World;

/// The most pods that a budget remembers as being disrupted.
const DISRUPTED: usize = 2000;

/// Evicts a pod, or says why not. Returns the `Status` of success.
pub(super) fn evict(
    world: &mut World,
    target: &Target,
    eviction: &Value,
    dry: bool,
) -> Result<Value, Refusal> {
    let object = find(world, target)?;
    let named = eviction["metadata"]["name"].as_str().unwrap_or("");
    if !named.is_empty() && named != target.name {
        return Err(Refusal::bad_request(
            "name in URL does not match name in Eviction object: metadata.name should match the name of the pod",
        ));
    }
    let options = &eviction["deleteOptions"];
    let dry = dry || options["dryRun"].as_array().is_some_and(|d| d.iter().any(|v| v == "All"));
    preconditions(target.kind, &object, options)?;
    let free = pod::finished(&object) || pod::phase(&object) == "Pending" || pod::terminating(&object);
    if !free && let Some(budget) = budget_of(world, &object)? {
        check(&budget, &object).and_then(|spend| if spend { spendable(&budget) } else { Ok(false) }).map(
            |spend| {
                if spend && !dry {
                    spend_one(world, &budget, &target.name);
                }
            },
        )?;
    }
    if !dry {
        let now = world.clock.stamp();
        if !free {
            world.store.update("pods", &target.namespace, &target.name, |p| {
                let message = "Eviction API: evicting";
                pod::set_condition(p, "DisruptionTarget", "True", "EvictionByEvictionAPI", message, &now);
            });
        }
        if let Ok(object) = find(world, target) {
            end(world, target.kind, &object, options);
        }
    }
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

/// Returns the only budget of the pod.
fn budget_of(world: &World, object: &Value) -> Result<Option<Value>, Refusal> {
    let labels = &object["metadata"]["labels"];
    let mut budgets = world
        .store
        .list_in("poddisruptionbudgets", pod::namespace(object))
        .filter(|b| selects(&b["spec"]["selector"], labels));
    let first = budgets.next().map(|b| (**b).clone());
    if budgets.next().is_some() {
        let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        // Without a reason, and without details.
        return Err(Refusal::new(500, "", message));
    }
    Ok(first)
}

/// Returns whether the budget is asked at all: a sick pod may go where the healthy ones suffice.
fn check(budget: &Value, object: &Value) -> Result<bool, Refusal> {
    if pod::ready(object) {
        return Ok(true);
    }
    if budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow" {
        return Ok(false);
    }
    let count = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    Ok(!(count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0))
}

fn spendable(budget: &Value) -> Result<bool, Refusal> {
    let name = pod::name(budget);
    let status = &budget["status"];
    if status["observedGeneration"].as_u64().unwrap_or(0)
        < budget["metadata"]["generation"].as_u64().unwrap_or(0)
    {
        let cause = json!({"reason": "DisruptionBudget", "message": format!("The disruption budget {name} is still being processed by the server.")});
        return Err(too_many(json!({"causes": [cause], "retryAfterSeconds": 10})));
    }
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if allowed < 0 {
        return Err(forbidden(name, "pdb disruptions allowed is negative"));
    }
    if status["disruptedPods"].as_object().is_some_and(|d| d.len() > DISRUPTED) {
        return Err(forbidden(
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        let count = |field: &str| status[field].as_i64().unwrap_or(0);
        let message = format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            count("desiredHealthy"),
            count("currentHealthy")
        );
        return Err(too_many(json!({"causes": [{"reason": "DisruptionBudget", "message": message}]})));
    }
    Ok(true)
}

fn too_many(details: Value) -> Refusal {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Refusal::new(429, "TooManyRequests", message).with(details)
}

fn forbidden(budget: &str, why: &str) -> Refusal {
    let message = format!("poddisruptionbudgets.policy \"{budget}\" is forbidden: {why}");
    Refusal::new(403, "Forbidden", message)
        .with(json!({"name": budget, "group": "policy", "kind": "poddisruptionbudgets"}))
}

fn spend_one(world: &mut World, budget: &Value, name: &str) {
    let now = world.clock.stamp();
    world.store.update("poddisruptionbudgets", pod::namespace(budget), pod::name(budget), |b| {
        let allowed = b["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
        b["status"]["disruptionsAllowed"] = json!(allowed - 1);
        b["status"]["disruptedPods"][name] = json!(now);
        if allowed == 1 {
            pod::set_condition(b, "DisruptionAllowed", "False", "InsufficientPods", "", &now);
        }
    });
}

/// Asks for the end of a pod, as a controller does: budgets are not asked.
pub(crate) fn end_pod(world: &mut World, namespace: &str, name: &str) {
    if let (Some(object), Some(kind)) = (world.store.get("pods", namespace, name).cloned(), Kind::of("pods"))
    {
        end(world, kind, &object, &Value::Null);
    }
}

/// Removes a pod for good once its kubelet has ended it.
pub(crate) fn finish(world: &mut World, namespace: &str, name: &str) {
    let ended = world.store.update("pods", namespace, name, |p| {
        p["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    });
    if let (Some(ended), Some(kind)) = (ended, Kind::of("pods")) {
        super::answer::remove_if_free(world, kind, &ended);
    }
}

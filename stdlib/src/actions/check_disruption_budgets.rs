//! `check disruption budgets`: no pod that a drain would evict is held by a budget that can never be
//! met, or by two. What is merely short of pods now is told.

use std::collections::BTreeMap;

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams};

use super::verdict::Verdict;
use crate::api;

/// The verb.
pub(super) struct CheckDisruptionBudgets;

/// How many namespaces are read at once.
const AT_ONCE: usize = 4;

/// How many pods are named before the rest is counted.
const NAMED: usize = 5;

#[async_trait]
impl Verdict for CheckDisruptionBudgets {
    fn name(&self) -> &'static str {
        "check disruption budgets"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let kube = api::client(&cx.ports)?;
        let api = Api::<PodDisruptionBudget>::all(kube.clone());
        let mut spaces: BTreeMap<String, Vec<PodDisruptionBudget>> = BTreeMap::new();
        for budget in api::list("list the disruption budgets", &api, ListParams::default()).await? {
            spaces.entry(budget.metadata.namespace.clone().unwrap_or_default()).or_default().push(budget);
        }
        let total: usize = spaces.values().map(Vec::len).sum();
        let reads = spaces.into_iter().map(|(namespace, budgets)| look(kube.clone(), namespace, budgets));
        let mut looks = futures::stream::iter(reads).buffered(AT_ONCE);
        let mut found = Found::default();
        while let Some(look) = looks.next().await {
            let look = look?;
            found.never.extend(look.never);
            found.twice.extend(look.twice);
            found.short.extend(look.short);
        }
        verdict(total, &found)
    }
}

/// What was found in the namespaces.
#[derive(Default)]
struct Found {
    /// Budgets that can never be met, with the reason.
    never: Vec<String>,
    /// Pods that more than one budget claims.
    twice: Vec<String>,
    /// Budgets that allow no disruption right now.
    short: Vec<String>,
}

fn verdict(total: usize, found: &Found) -> Result<String, Failure> {
    let mut texts = found.never.clone();
    let mut hints = Vec::new();
    if !found.never.is_empty() {
        hints.push("raise the replicas or loosen these budgets");
    }
    if !found.twice.is_empty() {
        let rest = found.twice.len().saturating_sub(NAMED);
        let named = found.twice.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        texts.push(format!("more than one disruption budget claims {named}{more}: no eviction can pass"));
        hints.push("let one budget select a pod, not two");
    }
    if !texts.is_empty() {
        return Err(Failure::last(texts.join("; ")).with_hint(hints.join("; ")));
    }
    let met = match total {
        0 => return Ok("no disruption budgets".to_string()),
        1 => "1 budget can be met".to_string(),
        total => format!("{total} budgets can be met"),
    };
    if found.short.is_empty() { Ok(met) } else { Ok(format!("{met}; now: {}", found.short.join(", "))) }
}

/// Holds the pods of a namespace against its budgets, page by page.
async fn look(
    kube: kube::Client,
    namespace: String,
    budgets: Vec<PodDisruptionBudget>,
) -> Result<Found, Failure> {
    let mut found = Found::default();
    let mut pods = vec![0_i32; budgets.len()];
    let api = Api::<Pod>::namespaced(kube, &namespace);
    api::pages(&format!("list the pods of {namespace}"), &api, ListParams::default(), |pod: Pod| {
        if !evictable(&pod) {
            return;
        }
        let claims = budgets.iter().enumerate().filter(|(_, budget)| {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector.is_some_and(|selector| selects(selector, pod.metadata.labels.as_ref()))
        });
        let claims: Vec<usize> = claims.map(|(i, _)| i).collect();
        claims.iter().for_each(|i| pods[*i] += 1);
        if claims.len() > 1 {
            let names: Vec<&str> =
                claims.iter().filter_map(|i| budgets[*i].metadata.name.as_deref()).collect();
            found.twice.push(format!("pod {} ({})", api::full_name(&pod.metadata), names.join(", ")));
        }
    })
    .await?;
    for (budget, pods) in budgets.iter().zip(pods) {
        // A budget without pods holds nothing up.
        if pods == 0 {
            continue;
        }
        match never(budget) {
            Some(why) => found.never.push(format!("budget {} {why}", api::full_name(&budget.metadata))),
            None => found.short.extend(short(budget)),
        }
    }
    Ok(found)
}

/// Pods of DaemonSets and static pods stay in a drain, and finished ones are evicted in any case.
fn evictable(pod: &Pod) -> bool {
    let daemon = api::controller(&pod.metadata).is_some_and(|owner| owner.kind == "DaemonSet");
    !daemon && !api::is_static(pod) && !api::is_finished(pod)
}

/// Tells why a budget can never be met, if that is so.
fn never(budget: &PodDisruptionBudget) -> Option<String> {
    let spec = budget.spec.as_ref()?;
    let status = budget.status.as_ref();
    let expected = status.and_then(|status| status.expected_pods).unwrap_or_default();
    let stuck = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    if let Some(failed) = stuck.iter().find(|c| c.type_ == "DisruptionAllowed" && c.reason == "SyncFailed") {
        return Some(format!("cannot be counted: {}", failed.message));
    }
    if let Some(most) = &spec.max_unavailable {
        return (count(most, expected) == Some(0))
            .then(|| format!("allows {} pods to be unavailable", text(most)));
    }
    let least = spec.min_available.as_ref()?;
    match count(least, expected) {
        Some(count) if expected > 0 && count >= expected => {
            Some(format!("wants {} of {expected} pods", text(least)))
        }
        // Before its pods are counted a share says enough by itself.
        _ if text(least) == "100%" => Some("wants 100% of its pods".to_string()),
        _ => None,
    }
}

/// Returns a number of pods; of a share, rounded up as the API does.
fn count(value: &IntOrString, of: i32) -> Option<i32> {
    match value {
        IntOrString::Int(count) => Some(*count),
        IntOrString::String(share) => {
            let share: i64 = share.strip_suffix('%')?.parse().ok()?;
            if of == 0 && share > 0 {
                return None;
            }
            i32::try_from((share * i64::from(of) + 99) / 100).ok()
        }
    }
}

fn text(value: &IntOrString) -> String {
    match value {
        IntOrString::Int(count) => count.to_string(),
        IntOrString::String(share) => share.clone(),
    }
}

/// Tells that a budget allows nothing right now.
fn short(budget: &PodDisruptionBudget) -> Option<String> {
    let status = budget.status.as_ref()?;
    let none = status.disruptions_allowed.unwrap_or_default() <= 0;
    (none && status.expected_pods.is_some_and(|pods| pods > 0)).then(|| {
        let name = api::full_name(&budget.metadata);
        let (needs, has) =
            (status.desired_healthy.unwrap_or_default(), status.current_healthy.unwrap_or_default());
        format!("{name} needs {needs} healthy, has {has}")
    })
}

/// Returns whether a selector of policy/v1 selects these labels; an empty one selects all.
pub(super) fn selects(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let label = |key: &str| labels.and_then(|labels| labels.get(key));
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| label(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|expression| {
            let found = label(&expression.key);
            let values = expression.values.as_deref().unwrap_or_default();
            match expression.operator.as_str() {
                "In" => found.is_some_and(|value| values.contains(value)),
                "NotIn" => !found.is_some_and(|value| values.contains(value)),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                // The API accepts no other; a selector that cannot be read is taken to select.
                _ => true,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, context, named};
    use serde_json::{Value as Json, json};

    fn budget(cluster: &Cluster, name: &str, spec: Json, expected: i32, allowed: i32) {
        let mut spec = spec;
        if spec["selector"].is_null() {
            spec["selector"] = json!({ "matchLabels": { "app": "web" } });
        }
        let status = json!({ "expectedPods": expected, "disruptionsAllowed": allowed, "desiredHealthy": 2, "currentHealthy": 1 });
        let object = json!({ "metadata": named("shop", name), "spec": spec, "status": status });
        cluster.put(&format!("/apis/policy/v1/namespaces/shop/poddisruptionbudgets/{name}"), object);
    }

    async fn judge(budgets: impl FnOnce(&Cluster)) -> String {
        let cluster = Cluster::new();
        for name in ["web-1", "web-2", "web-3"] {
            cluster.pod("shop", name, "w1", |_| {});
        }
        cluster.pod("shop", "log-1", "w1", |pod| {
            pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
            pod["metadata"]["labels"] = json!({ "app": "log" });
        });
        budgets(&cluster);
        let cx = context(&cluster, "", &[]).await;
        match CheckDisruptionBudgets.judge(&cx).await {
            Ok(text) => text,
            Err(failure) => format!("no: {}", failure.message),
        }
    }

    #[tokio::test]
    async fn budgets_that_can_be_met_pass_and_those_that_are_short_now_are_told() {
        assert_eq!(judge(|_| {}).await, "no disruption budgets");
        let text = judge(|c| budget(c, "web", json!({ "minAvailable": 2 }), 3, 1)).await;
        assert_eq!(text, "1 budget can be met");
        let text = judge(|c| budget(c, "web", json!({ "maxUnavailable": "10%" }), 3, 0)).await;
        assert_eq!(text, "1 budget can be met; now: shop/web needs 2 healthy, has 1");
    }

    #[tokio::test]
    async fn budgets_that_can_never_be_met_are_named() {
        for (spec, why) in [
            (json!({ "maxUnavailable": 0 }), "allows 0 pods to be unavailable"),
            (json!({ "maxUnavailable": "0%" }), "allows 0% pods to be unavailable"),
            (json!({ "minAvailable": "100%" }), "wants 100% of 3 pods"),
            (json!({ "minAvailable": "90%" }), "wants 90% of 3 pods"),
            (json!({ "minAvailable": 3 }), "wants 3 of 3 pods"),
        ] {
            let text = judge(|c| budget(c, "web", spec, 3, 0)).await;
            assert_eq!(text, format!("no: budget shop/web {why}"));
        }
    }

    #[tokio::test]
    async fn two_budgets_on_a_pod_are_named_with_it() {
        let text = judge(|c| {
            budget(c, "all", json!({ "minAvailable": 1, "selector": {} }), 4, 1);
            budget(c, "web", json!({ "minAvailable": 1 }), 3, 1);
        })
        .await;
        let pods = "pod shop/web-1 (all, web), pod shop/web-2 (all, web), pod shop/web-3 (all, web)";
        assert_eq!(text, format!("no: more than one disruption budget claims {pods}: no eviction can pass"));
    }

    #[tokio::test]
    async fn what_a_drain_leaves_counts_for_no_budget() {
        let log = json!({ "maxUnavailable": 0, "selector": { "matchLabels": { "app": "log" } } });
        assert_eq!(judge(|c| budget(c, "log", log, 1, 0)).await, "1 budget can be met");
    }

    #[test]
    fn selectors_select_as_the_api_does() {
        let labels: BTreeMap<String, String> = [("app".to_string(), "web".to_string())].into();
        let selects = |selector: Json| selects(&serde_json::from_value(selector).unwrap(), Some(&labels));
        let expression = |key: &str, operator: &str, values: Json| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        assert!(selects(json!({})));
        assert!(selects(expression("app", "In", json!(["web", "api"]))));
        assert!(!selects(expression("app", "NotIn", json!(["web"]))));
        assert!(selects(expression("tier", "NotIn", json!(["web"]))));
        assert!(selects(expression("app", "Exists", json!([]))));
        assert!(!selects(expression("app", "DoesNotExist", json!([]))));
    }
}

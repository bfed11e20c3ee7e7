//! What stands behind a disruption budget that lets no pod go: the pod of it that is not well, or a budget
//! that never lets one go.

use engine::event::Failure;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, ListParams};
use kube::core::Selector;

use crate::{api, health};

/// Returns the causes, the nearest first. It is only told, so what cannot be read is left out.
pub(super) async fn causes(kube: &kube::Client, namespace: &str, name: &str) -> Vec<String> {
    look(kube, namespace, name).await.unwrap_or_default()
}

async fn look(kube: &kube::Client, namespace: &str, name: &str) -> Result<Vec<String>, Failure> {
    let budgets = Api::<PodDisruptionBudget>::namespaced(kube.clone(), namespace);
    let budgets = api::list("list the disruption budgets", &budgets, ListParams::default()).await?;
    let named = |budget: &&PodDisruptionBudget| budget.metadata.name.as_deref() == Some(name);
    let Some(budget) = budgets.iter().find(named) else { return Ok(Vec::new()) };
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
    let Some(Ok(selector)) = selector.map(Selector::try_from) else { return Ok(Vec::new()) };
    let pods = Api::<Pod>::namespaced(kube.clone(), namespace);
    let params = ListParams::default().labels_from(&selector);
    let pods = api::list("list the pods of a disruption budget", &pods, params).await?;
    Ok(judge(budget, &pods))
}

fn judge(budget: &PodDisruptionBudget, pods: &[Pod]) -> Vec<String> {
    let sick: Vec<String> = pods
        .iter()
        .filter(|pod| !api::is_finished(pod))
        .filter_map(health::pod::not_ready_anywhere)
        .collect();
    if let Some(first) = sick.first() {
        // The number stands behind the pod and before its own causes.
        let (pod, causes) = match first.split_once(engine::action::BECAUSE) {
            Some((pod, causes)) => (pod, Some(causes)),
            None => (first.as_str(), None),
        };
        let pod = format!("{pod}{}", super::more(sick.len()));
        return [Some(pod), causes.map(str::to_string)].into_iter().flatten().collect();
    }
    let status = budget.status.as_ref();
    let expected = status.and_then(|status| status.expected_pods).unwrap_or_default();
    let needed = status.and_then(|status| status.desired_healthy).unwrap_or_default();
    match usize::try_from(expected) {
        Ok(expected) if pods.len() < expected => vec![format!("{} of its {expected} pods exist", pods.len())],
        Ok(1) if needed >= 1 => vec!["it lets its only pod never go".to_string()],
        Ok(_) if expected > 0 && needed >= expected => {
            vec![format!("it lets none of its {expected} pods go")]
        }
        _ => Vec::new(),
    }
}

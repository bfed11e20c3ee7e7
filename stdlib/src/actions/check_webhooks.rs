//! `check webhooks`: every admission webhook that the API cannot do without has somebody who answers. One that has nobody, and may not
//! be left out, refuses pods, nodes and leases in the middle of an upgrade.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::{Class, Failure};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, RuleWithOperations, ServiceReference, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, ListParams};

use super::check_disruption_budgets::selects;
use super::verdict::{Findings, Verdict};
use crate::api;

/// The verb.
pub(super) struct CheckWebhooks;

/// A webhook of either kind.
struct Webhook {
    name: String,
    service: Option<ServiceReference>,
    must_answer: bool,
    of_system_pods: bool,
}

#[async_trait]
impl Verdict for CheckWebhooks {
    fn name(&self) -> &'static str {
        "check webhooks"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let kube = api::client(&cx.ports)?;
        let webhooks = all(&kube).await?;
        let count = webhooks.len();
        let mut findings = Findings::default();
        for webhook in webhooks.into_iter().filter(|webhook| webhook.must_answer) {
            let Some(service) = &webhook.service else { continue };
            let at = format!("{}/{}", service.namespace, service.name);
            if !answers(&kube, service).await? {
                let text = format!(
                    "webhook {} must be asked (failurePolicy Fail), and nobody answers at {at}",
                    webhook.name
                );
                findings.add(true, text);
            } else if webhook.of_system_pods {
                let text = format!(
                    "webhook {} is asked for pods of kube-system, too: if {at} is on a drained node, they wait for it",
                    webhook.name
                );
                findings.add(false, text);
            }
        }
        let well = match count {
            0 => "there are no admission webhooks".to_string(),
            _ => "every admission webhook that must be asked has somebody who answers".to_string(),
        };
        let hint = "bring its pods back, or let it fail open (failurePolicy: Ignore) or leave kube-system out (namespaceSelector) meanwhile";
        // Its pods may be on their way.
        findings.conclude(well, hint).map_err(|failure| Failure { class: Class::Transient, ..failure })
    }
}

async fn all(kube: &kube::Client) -> Result<Vec<Webhook>, Failure> {
    let (validating, mutating) = (
        Api::<ValidatingWebhookConfiguration>::all(kube.clone()),
        Api::<MutatingWebhookConfiguration>::all(kube.clone()),
    );
    let mut webhooks = Vec::new();
    let first = ListParams::default;
    for configuration in api::list("list the validating webhooks", &validating, first()).await? {
        webhooks.extend(configuration.webhooks.unwrap_or_default().into_iter().map(|w| Webhook {
            must_answer: must_answer(w.failure_policy.as_deref()),
            of_system_pods: of_system_pods(w.namespace_selector.as_ref(), w.rules.as_deref()),
            service: w.client_config.service,
            name: w.name,
        }));
    }
    for configuration in api::list("list the mutating webhooks", &mutating, first()).await? {
        webhooks.extend(configuration.webhooks.unwrap_or_default().into_iter().map(|w| Webhook {
            must_answer: must_answer(w.failure_policy.as_deref()),
            of_system_pods: of_system_pods(w.namespace_selector.as_ref(), w.rules.as_deref()),
            service: w.client_config.service,
            name: w.name,
        }));
    }
    Ok(webhooks)
}

/// `Fail` is what v1 means when nothing is said.
fn must_answer(policy: Option<&str>) -> bool {
    policy != Some("Ignore")
}

fn of_system_pods(selector: Option<&LabelSelector>, rules: Option<&[RuleWithOperations]>) -> bool {
    let labels = [("kubernetes.io/metadata.name".to_string(), api::SYSTEM.to_string())].into();
    let selected = selector.is_none_or(|selector| selects(selector, Some(&labels)));
    let of_pods = |rule: &RuleWithOperations| {
        let resources = rule.resources.as_deref().unwrap_or_default();
        resources.iter().any(|resource| matches!(resource.as_str(), "pods" | "*" | "*/*"))
    };
    selected && rules.unwrap_or_default().iter().any(of_pods)
}

/// Returns whether a Service has an endpoint that is ready.
async fn answers(kube: &kube::Client, service: &ServiceReference) -> Result<bool, Failure> {
    let slices = Api::<EndpointSlice>::namespaced(kube.clone(), &service.namespace);
    let of_it = ListParams::default().labels(&format!("kubernetes.io/service-name={}", service.name));
    let slices = api::list(&format!("list the endpoints of {}", service.name), &slices, of_it).await?;
    // A condition that is not there means that it is ready.
    let ready = |slice: &EndpointSlice| {
        slice.endpoints.iter().flatten().any(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true))
    };
    Ok(slices.iter().any(ready))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::testing::named;
    use serde_json::{Value as Json, json};

    async fn check(change: impl FnOnce(&mut Json), ready: Option<bool>) -> Result<String, String> {
        let bench = Bench::default();
        let mut webhook = json!({
            "name": "policy.shop.io", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
            "clientConfig": { "service": { "namespace": "shop", "name": "policy" } },
            "namespaceSelector": { "matchExpressions": [{ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"] }] },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
        });
        change(&mut webhook);
        let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/policy";
        bench.cluster.put(path, json!({ "metadata": named("", "policy"), "webhooks": [webhook] }));
        if let Some(ready) = ready {
            let mut metadata = named("shop", "policy-1");
            metadata["labels"] = json!({ "kubernetes.io/service-name": "policy" });
            let slice = json!({ "metadata": metadata, "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.9"], "conditions": { "ready": ready } }] });
            bench.cluster.put("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/policy-1", slice);
        }
        CheckWebhooks.judge(&bench.step(&[])).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn one_that_answers_passes() {
        let text = check(|_| (), Some(true)).await.unwrap();
        assert_eq!(text, "every admission webhook that must be asked has somebody who answers");
    }

    #[tokio::test]
    async fn one_that_must_be_asked_and_does_not_answer_is_told() {
        let nobody =
            "webhook policy.shop.io must be asked (failurePolicy Fail), and nobody answers at shop/policy";
        assert_eq!(check(|_| (), Some(false)).await.unwrap_err(), nobody);
        assert_eq!(check(|_| (), None).await.unwrap_err(), nobody);
        let silent = |webhook: &mut Json| webhook["failurePolicy"] = Json::Null;
        assert_eq!(check(silent, None).await.unwrap_err(), nobody);
        assert!(check(|webhook| webhook["failurePolicy"] = json!("Ignore"), None).await.is_ok());
    }

    #[tokio::test]
    async fn one_that_is_asked_for_the_systems_pods_is_a_note() {
        let text = check(|webhook| webhook["namespaceSelector"] = json!({}), Some(true)).await.unwrap();
        assert!(text.contains("note: webhook policy.shop.io is asked for pods of kube-system"), "{text}");
        let other = |webhook: &mut Json| {
            webhook["namespaceSelector"] = json!({});
            webhook["rules"][0]["resources"] = json!(["deployments"]);
        };
        assert!(!check(other, Some(true)).await.unwrap().contains("note"));
    }
}

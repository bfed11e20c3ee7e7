//! `check removed apis`: nobody uses an API that the target serves no more. Each apiserver counts by itself, and since it was started;
//! objects say by whom they were written, and what was applied to them; a CRD says in which versions its objects are stored.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dsl::value::{Minor, Value};
use engine::action::Context;
use engine::event::Failure;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};

use super::argument;
use super::facts::{self, Facts, Look};
use super::removed::{self, Removed};
use super::verdict::{Findings, Verdict};
use crate::api;

/// The verb.
pub(super) struct CheckRemovedApis;

/// Asks the apiserver of this very node, whatever the load balancer in admin.conf is. It has been up long enough for its answer to mean
/// something when its process is old.
const METRICS: Look = (
    "metrics",
    "kubectl --kubeconfig=/etc/kubernetes/admin.conf --server=https://127.0.0.1:6443 --tls-server-name=kubernetes get --raw=/metrics | grep \
     '^apiserver_requested_deprecated_apis{\\|^process_start_time_seconds'",
);

/// What an apiserver has not heard within a day it may yet hear: jobs of the night, operators that look rarely.
const LONG: f64 = 24.0 * 3600.0;

/// Where `kubectl apply` keeps what was applied.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[async_trait]
impl Verdict for CheckRemovedApis {
    fn name(&self) -> &'static str {
        "check removed apis"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let to = argument::minor(cx, "to")?;
        let refuse = cx.args.get("used").and_then(Value::as_text) != Some("allow");
        let kube = api::client(&cx.ports)?;
        let mut findings = Findings::default();
        let control_planes = facts::control_planes(cx);
        let apiservers = facts::gather(cx, control_planes, &[METRICS]).await?;
        for facts in &apiservers {
            asked_for(facts, to, cx.ports.clock.wall().as_secs_f64(), refuse, &mut findings);
        }
        let from = cx.inventory.version.as_ref().map(|version| version.minor());
        let going = |api: &&Removed| api.removed <= to && from.is_none_or(|from| api.removed > from);
        for api in removed::table().api.iter().filter(going) {
            written(&kube, api, refuse, &mut findings).await?;
        }
        stored(&kube, &mut findings).await?;
        findings.notes.extend(removed::table().dated.note("removed APIs", to));
        let well = format!(
            "nobody was seen to use an API that {to} does not serve, by {} apiservers",
            apiservers.len()
        );
        findings.conclude(well, "change these clients and manifests first; `used=allow` goes on without them")
    }
}

/// Reads what an apiserver was asked for since it was started.
fn asked_for(facts: &Facts, to: Minor, now: f64, refuse: bool, findings: &mut Findings) {
    let node = &facts.node.name;
    let mut started: Option<f64> = None;
    for line in facts.of("metrics").lines() {
        if let Some(value) = line.strip_prefix("process_start_time_seconds") {
            started = value.trim().parse().ok();
        } else if let Some(used) = deprecated(line).filter(|used| used.removed <= to) {
            let text = format!(
                "{}/{} {} was asked for at {node}, and is gone since {}",
                used.group, used.version, used.resource, used.removed
            );
            findings.add(refuse, text);
        }
    }
    match started {
        None => findings.add(
            refuse,
            format!(
                "the apiserver of {node} does not show its metrics (kubectl with admin.conf, from there)"
            ),
        ),
        Some(started) if now - started < LONG => {
            let hours = ((now - started) / 3600.0).max(0.0);
            findings.add(false, format!("the apiserver of {node} has counted for {hours:.0} hours only"));
        }
        Some(_) => {}
    }
}

/// What a line of the metric says.
struct Used {
    group: String,
    version: String,
    resource: String,
    removed: Minor,
}

/// Reads `apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",...} 1`.
fn deprecated(line: &str) -> Option<Used> {
    let (labels, value) = line.split_once('{')?.1.rsplit_once('}')?;
    let labels: BTreeMap<&str, &str> = labels
        .split(',')
        .filter_map(|label| label.split_once('='))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    let of = |name: &str| labels.get(name).map(|text| text.to_string()).unwrap_or_default();
    let removed = format!("v{}", labels.get("removed_release")?).parse().ok()?;
    (value.trim() != "0").then(|| Used {
        group: of("group"),
        version: of("version"),
        resource: of("resource"),
        removed,
    })
}

/// Reads by which version the objects of a kind were written and applied, in the version that stays.
async fn written(
    kube: &kube::Client,
    gone: &Removed,
    refuse: bool,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let Some(instead) = &gone.instead else { return Ok(()) };
    let (group, version) = instead.split_once('/').unwrap_or(("", instead));
    for kind in &gone.kinds {
        let gvk = GroupVersionKind::gvk(group, version, &kind.kind);
        let objects = Api::<DynamicObject>::all_with(
            kube.clone(),
            &ApiResource::from_gvk_with_plural(&gvk, &kind.resource),
        );
        let what = format!("list the {}", kind.resource);
        // The version that stays may not be served yet.
        let first = api::raw(objects.list(&ListParams::default().limit(1))).await;
        match first {
            None => return Err(api::silent(&what)),
            Some(Err(kube::Error::Api(status))) if status.code == 404 => continue,
            // `kup rbac` grants what goes with a minor that kup knows the packages of.
            Some(Err(kube::Error::Api(status))) if status.code == 403 => {
                findings.add(false, format!("may not {what}"));
                continue;
            }
            Some(Err(error)) => return Err(api::failure(&what, &error)),
            Some(Ok(_)) => {}
        }
        api::pages(&what, &objects, ListParams::default(), |object: DynamicObject| {
            let name = format!("{} {}", kind.kind, api::full_name(&object.metadata));
            if applied(&object).is_some_and(|version| version == gone.version) {
                let text = format!("{name} was applied as {}, {}", gone.version, gone.advice());
                findings.add(refuse, text);
            }
            let writers = object.metadata.managed_fields.iter().flatten();
            let writers = writers.filter(|entry| entry.api_version.as_deref() == Some(&gone.version));
            let writers: Vec<&str> = writers.filter_map(|entry| entry.manager.as_deref()).collect();
            if !writers.is_empty() {
                // That may have been long ago.
                findings
                    .add(false, format!("{name} was written as {} by {}", gone.version, writers.join(", ")));
            }
        })
        .await?;
    }
    Ok(())
}

fn applied(object: &DynamicObject) -> Option<String> {
    let text = api::annotation(&object.metadata, APPLIED)?;
    let applied: serde_json::Value = serde_json::from_str(text).ok()?;
    applied["apiVersion"].as_str().map(str::to_string)
}

/// A version in which objects are stored must not go from a CRD before they are stored anew.
/// <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#upgrade-existing-objects-to-a-new-stored-version>
async fn stored(kube: &kube::Client, findings: &mut Findings) -> Result<(), Failure> {
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let crds = Api::<DynamicObject>::all_with(
        kube.clone(),
        &ApiResource::from_gvk_with_plural(&gvk, "customresourcedefinitions"),
    );
    api::pages("list the CRDs", &crds, ListParams::default(), |crd: DynamicObject| {
        let listed = |pointer: &str| {
            crd.data.pointer(pointer).and_then(|list| list.as_array()).cloned().unwrap_or_default()
        };
        let served: Vec<String> = listed("/spec/versions")
            .iter()
            .filter_map(|version| Some(version["name"].as_str()?.to_string()))
            .collect();
        let lost = listed("/status/storedVersions");
        let lost = lost
            .iter()
            .filter_map(|version| version.as_str())
            .filter(|version| !served.iter().any(|known| known == version));
        for version in lost {
            let name = api::full_name(&crd.metadata);
            findings
                .add(true, format!("objects of CRD {name} are stored as {version}, which it has no more"));
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::testing::named;
    use serde_json::json;

    const USED: &str = "apiserver_requested_deprecated_apis{group=\"resource.k8s.io\",removed_release=\"1.34\",resource=\"resourceclaims\",subresource=\"\",version=\"v1alpha3\"} 1\n";
    const STARTED: &str = "process_start_time_seconds 1.7e+09\n";

    fn bench(metrics: &str) -> Bench {
        let (name, line) = METRICS;
        Bench::default()
            .says(&format!("sh -c echo '== {name}'; {line}; true"), &format!("== metrics\n{metrics}"))
    }

    async fn check(bench: &Bench, to: &str, used: &str) -> Result<String, String> {
        let mut cx =
            bench.step(&[("to", Value::Minor(to.parse().unwrap())), ("used", Value::Text(used.into()))]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].control_plane = true;
        inventory.version = "v1.33.4".parse().ok();
        cx.inventory = inventory.into();
        CheckRemovedApis.judge(&cx).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn what_an_apiserver_was_asked_for_is_held_against_the_target() {
        let used = bench(&format!("{STARTED}{USED}"));
        let text = check(&used, "v1.34", "refuse").await.unwrap_err();
        assert_eq!(
            text,
            "resource.k8s.io/v1alpha3 resourceclaims was asked for at n1, and is gone since v1.34"
        );
        assert!(check(&used, "v1.34", "allow").await.unwrap().contains("note: resource.k8s.io/v1alpha3"));
        let text = check(&used, "v1.33", "refuse").await.unwrap();
        assert_eq!(text, "nobody was seen to use an API that v1.33 does not serve, by 1 apiservers");
    }

    #[tokio::test]
    async fn an_apiserver_that_shows_nothing_is_no_proof_and_a_young_one_a_weak_one() {
        let text = check(&bench(""), "v1.34", "refuse").await.unwrap_err();
        assert!(text.starts_with("the apiserver of n1 does not show its metrics"), "{text}");
        // The clock of a bench stands at 1.8e9.
        let text =
            check(&bench("process_start_time_seconds 1.799989e+09\n"), "v1.34", "refuse").await.unwrap();
        assert!(text.contains("note: the apiserver of n1 has counted for 3 hours only"), "{text}");
    }

    #[tokio::test]
    async fn objects_tell_by_which_version_they_were_written_and_applied() {
        let bench = bench(STARTED);
        let mut metadata = named("", "deny");
        metadata["annotations"] = json!({ APPLIED: "{\"apiVersion\":\"admissionregistration.k8s.io/v1beta1\",\"kind\":\"ValidatingAdmissionPolicy\"}" });
        metadata["managedFields"] = json!([{ "manager": "argocd", "operation": "Apply", "apiVersion": "admissionregistration.k8s.io/v1beta1" }]);
        let object = json!({ "metadata": metadata });
        bench.cluster.put("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/deny", object);
        let text = check(&bench, "v1.34", "refuse").await.unwrap_err();
        assert_eq!(
            text,
            "ValidatingAdmissionPolicy deny was applied as admissionregistration.k8s.io/v1beta1, gone since v1.34, use \
             admissionregistration.k8s.io/v1"
        );
        let text = check(&bench, "v1.34", "allow").await.unwrap();
        assert!(
            text.contains("deny was written as admissionregistration.k8s.io/v1beta1 by argocd"),
            "{text}"
        );
        assert!(!check(&bench, "v1.33", "refuse").await.unwrap().contains("deny"));
    }

    #[tokio::test]
    async fn a_crd_must_have_the_versions_in_which_its_objects_are_stored() {
        let bench = bench(STARTED);
        let crd = json!({ "metadata": named("", "widgets.shop.io"), "spec": { "versions": [{ "name": "v1" }] }, "status": { "storedVersions": ["v1beta1", "v1"] } });
        bench.cluster.put("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.shop.io", crd);
        let text = check(&bench, "v1.34", "allow").await.unwrap_err();
        assert_eq!(text, "objects of CRD widgets.shop.io are stored as v1beta1, which it has no more");
    }

    #[test]
    fn a_line_of_the_metric_is_read() {
        let used = deprecated(USED.trim()).unwrap();
        assert_eq!(
            (used.group.as_str(), used.version.as_str(), used.removed),
            ("resource.k8s.io", "v1alpha3", "v1.34".parse().unwrap())
        );
        assert!(deprecated("apiserver_requested_deprecated_apis{removed_release=\"\"} 1").is_none());
        assert!(deprecated(&USED.trim().replace("} 1", "} 0")).is_none());
    }
}

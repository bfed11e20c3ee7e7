//! `wait rollout`, `wait manifest`, `wait release`: waits until workloads are rolled out, named one by one, by a file, or
//! by a release of helm. Where nothing goes on for a while, the pod that holds it is told with its own cause.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use indexmap::IndexMap;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, ListParams};
use kube::core::Selector;

use super::manifest::{Name, WORKLOADS, objects, of_file};
use super::{argument, helm};
use crate::api;
use crate::health::pod::not_ready;
use crate::health::{Finding, rollout};

/// How often to look.
const AGAIN: Duration = Duration::from_secs(3);

/// After so long without progress the pods are asked for the reason.
const STILL: Duration = Duration::from_secs(20);

/// Where the names of the workloads come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitRollout {
    /// The step names one.
    One,
    /// A file has them.
    Manifest,
    /// A release of helm has them.
    Release,
}

#[async_trait]
impl Action for WaitRollout {
    fn name(&self) -> &'static str {
        match self {
            WaitRollout::One => "wait rollout",
            WaitRollout::Manifest => "wait manifest",
            WaitRollout::Release => "wait release",
        }
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let then = match self {
            WaitRollout::One => "rolled out".to_string(),
            // The file is read when the plan is made: a mistake in it is told then.
            WaitRollout::Manifest => format!("{} workloads rolled out", self.names(cx).await?.len()),
            WaitRollout::Release => format!("{} rolled out", argument::text(cx, "release")?),
        };
        api::client(&cx.ports)?;
        Ok(Check::Needs { now: String::new(), then, before: Value::None })
    }

    async fn start(&self, _: &Context, _: &Value) -> Result<Progress, Failure> {
        let handle = handle("", 0);
        Ok(Progress::Pending { handle, reason: "a first look".to_string(), again: Duration::ZERO })
    }

    async fn poll(&self, cx: &Context, last: &Value) -> Result<Progress, Failure> {
        let kube = api::client(&cx.ports)?;
        let names = self.names(cx).await?;
        let now = i64::try_from(cx.ports.clock.wall().as_secs()).unwrap_or_default();
        let mut found = None;
        for name in &names {
            match look(&kube, name).await {
                Ok(None) => {}
                Ok(Some(finding)) => {
                    found = Some(finding);
                    break;
                }
                // An API that does not answer for a moment is no verdict.
                Err(Stop::Silent(failure)) => {
                    return Ok(Progress::Pending {
                        handle: last.clone(),
                        reason: failure.message,
                        again: AGAIN,
                    });
                }
                Err(Stop::Failed(failure, selector)) => {
                    return Err(why(&kube, name, failure, &selector).await);
                }
            }
        }
        let Some((finding, selector)) = found else {
            let done = match names.as_slice() {
                [one] => format!("{} is rolled out", one.title()),
                many => format!("{} workloads are rolled out", many.len()),
            };
            return Ok(Progress::Done(Value::Text(done)));
        };
        let (text, since) = read(last);
        let since = if text == finding { since } else { now };
        let handle = handle(&finding, since);
        let still = u64::try_from(now - since).unwrap_or_default() >= STILL.as_secs();
        let namespace = names.first().map_or("", |name| &name.namespace);
        let cause = if still { cause(&kube, namespace, &selector).await } else { None };
        let reason = api::chain([Some(finding), cause].into_iter().flatten());
        Ok(Progress::Pending { handle, reason, again: AGAIN })
    }
}

impl WaitRollout {
    /// Returns the workloads that are waited for.
    async fn names(self, cx: &Context) -> Result<Vec<Name>, Failure> {
        let all = match self {
            WaitRollout::One => {
                let kind = argument::text(cx, "kind")?;
                let kind = WORKLOADS.iter().find(|known| known.eq_ignore_ascii_case(kind));
                return Ok(vec![Name {
                    version: "apps/v1".to_string(),
                    kind: kind.copied().unwrap_or_default().to_string(),
                    namespace: argument::text(cx, "namespace")?.to_string(),
                    name: argument::text(cx, "name")?.to_string(),
                }]);
            }
            WaitRollout::Manifest => of_file(cx).await?,
            WaitRollout::Release => {
                let text = helm::manifest(cx).await?;
                objects(&text, argument::text(cx, "namespace")?)?
            }
        };
        let is_workload = |name: &Name| name.version == "apps/v1" && WORKLOADS.contains(&name.kind.as_str());
        Ok(all.into_iter().map(|object| object.name).filter(is_workload).collect())
    }
}

/// Why a look has no finding.
enum Stop {
    /// The API did not answer.
    Silent(Failure),
    /// It will not go on; what chooses its pods.
    Failed(Failure, Option<LabelSelector>),
}

/// Looks at one workload; a finding comes with what chooses its pods.
async fn look(kube: &kube::Client, name: &Name) -> Result<Option<(String, Option<LabelSelector>)>, Stop> {
    let what = format!("read {}", name.title());
    let silent = Stop::Silent;
    let (finding, selector): (Result<Finding, Failure>, _) = match name.kind.as_str() {
        "Deployment" => {
            let door = Api::<Deployment>::namespaced(kube.clone(), &name.namespace);
            match api::find(&what, door.get(&name.name)).await.map_err(silent)? {
                Some(found) => (rollout::deployment(&found), Some(found.spec.selector)),
                None => (Err(missing(name)), None),
            }
        }
        "DaemonSet" => {
            let door = Api::<DaemonSet>::namespaced(kube.clone(), &name.namespace);
            match api::find(&what, door.get(&name.name)).await.map_err(silent)? {
                Some(found) => (Ok(rollout::daemon_set(&found)), Some(found.spec.selector)),
                None => (Err(missing(name)), None),
            }
        }
        _ => {
            let door = Api::<StatefulSet>::namespaced(kube.clone(), &name.namespace);
            match api::find(&what, door.get(&name.name)).await.map_err(silent)? {
                Some(found) => (Ok(rollout::stateful_set(&found)), Some(found.spec.selector)),
                None => (Err(missing(name)), None),
            }
        }
    };
    match finding {
        Ok(finding) => Ok(finding.map(|finding| (finding, selector))),
        Err(failure) => Err(Stop::Failed(failure, selector)),
    }
}

fn missing(name: &Name) -> Failure {
    Failure::last(format!("there is no {}", name.title())).with_hint(format!(
        "see `kubectl -n {} get {}`",
        name.namespace,
        name.kind.to_lowercase()
    ))
}

/// Adds to a failure what holds the pods.
async fn why(
    kube: &kube::Client,
    name: &Name,
    failure: Failure,
    selector: &Option<LabelSelector>,
) -> Failure {
    match cause(kube, &name.namespace, selector).await {
        Some(cause) => Failure { message: api::chain([failure.message, cause]), ..failure },
        None => failure,
    }
}

/// Finds a pod that is not Ready, with its own cause. Pods that merely begin say little: one that is stuck is told first.
async fn cause(kube: &kube::Client, namespace: &str, selector: &Option<LabelSelector>) -> Finding {
    let selector = Selector::try_from(selector.clone()?).ok()?;
    let door = Api::<Pod>::namespaced(kube.clone(), namespace);
    let pods = api::list("list the pods", &door, ListParams::default().labels_from(&selector)).await.ok()?;
    let mut sick: Vec<String> =
        pods.iter().filter(|pod| !api::is_finished(pod)).filter_map(not_ready).collect();
    // The longest chain is the one that ends at a cause.
    sick.sort_by_key(|text| std::cmp::Reverse(text.matches(engine::action::BECAUSE).count()));
    sick.into_iter().next()
}

fn handle(text: &str, since: i64) -> Value {
    Value::Record(IndexMap::from([
        ("found".to_string(), Value::Text(text.to_string())),
        ("since".to_string(), Value::Number(since)),
    ]))
}

fn read(handle: &Value) -> (&str, i64) {
    let since = match handle.get("since") {
        Some(Value::Number(since)) => *since,
        _ => 0,
    };
    (handle.get("found").and_then(Value::as_text).unwrap_or_default(), since)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Bench, perform};
    use super::*;

    const PATH: &str = "/apis/apps/v1/namespaces/net/deployments/cni";

    fn bench(updated: i32, conditions: serde_json::Value) -> Bench {
        let bench = Bench::default();
        bench.cluster.put(
            PATH,
            json!({
                "metadata": { "name": "cni", "namespace": "net", "generation": 1 },
                "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } }, "template": {} },
                "status": { "observedGeneration": 1, "replicas": 2, "updatedReplicas": updated, "availableReplicas": updated,
                    "conditions": conditions },
            }),
        );
        bench.cluster.pod("net", "cni-1", "n1", |pod| {
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
            pod["status"]["containerStatuses"] = json!([{ "name": "main", "image": "cni:2", "imageID": "", "ready": false,
                "restartCount": 0, "state": { "waiting": { "reason": "ImagePullBackOff" } } }]);
        });
        bench
    }

    fn step(bench: &Bench) -> Context {
        bench.step(&[
            ("kind", Value::Word("deployment".into())),
            ("name", Value::Text("cni".into())),
            ("namespace", Value::Text("net".into())),
        ])
    }

    async fn told(bench: &Bench, last: &Value) -> String {
        match WaitRollout::One.poll(&step(bench), last).await {
            Ok(Progress::Pending { reason, .. }) => reason,
            Ok(Progress::Done(value)) => value.to_string(),
            Err(failure) => failure.message,
        }
    }

    #[tokio::test]
    async fn what_does_not_go_on_is_told_down_to_its_image() {
        let bench = bench(1, json!([]));
        let finding = "Deployment net/cni: 1 of 2 pods are updated";
        assert_eq!(told(&bench, &handle("", 0)).await, finding);
        assert_eq!(
            told(&bench, &handle(finding, 0)).await,
            format!("{finding} <- cni-1 is not Ready (ImagePullBackOff) <- image cni:2 cannot be pulled")
        );
    }

    #[tokio::test]
    async fn a_rollout_that_gave_up_fails_and_says_why() {
        let gave_up = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out" }]);
        let said = told(&bench(1, gave_up), &handle("", 0)).await;
        assert!(
            said.contains("did not go on for 600s") && said.ends_with("image cni:2 cannot be pulled"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn it_ends_when_all_is_there_and_misses_what_is_not() {
        let bench = bench(2, json!([]));
        let done = perform(&WaitRollout::One, &step(&bench)).await.unwrap();
        assert_eq!(done.to_string(), "Deployment net/cni is rolled out");
        bench.cluster.remove(PATH);
        assert_eq!(told(&bench, &handle("", 0)).await, "there is no Deployment net/cni");
    }

    #[tokio::test]
    async fn an_api_that_is_away_is_waited_for() {
        let bench = bench(2, json!([]));
        bench.cluster.down(true);
        assert!(told(&bench, &handle("", 0)).await.contains("cannot be reached"));
    }
}

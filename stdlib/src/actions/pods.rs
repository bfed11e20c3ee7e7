//! `note pods` and `wait pods`: what the pods of a node belong to, before it is drained, and that the pods of these are
//! Ready again, wherever they went. A server that loads a model is not Ready for many minutes behind its start, and the next node must
//! not be drained while it does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use indexmap::IndexMap;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use super::{argument, cordon};
use crate::api;
use crate::health::pod::not_ready_anywhere;

/// How often to look.
const AGAIN: Duration = Duration::from_secs(10);

/// How many looks in a row must be good: between two pods of a controller there is a moment with neither.
const LOOKS: i64 = 2;

/// Notes them.
pub(super) struct NotePods;

/// Waits for them.
pub(super) struct WaitPods;

/// A controller: its namespace, kind and name.
type Owner = (String, String, String);

#[async_trait]
impl Action for NotePods {
    fn name(&self) -> &'static str {
        "note pods"
    }

    async fn check(&self, _: &Context) -> Result<Check, Failure> {
        Ok(Check::Needs { now: String::new(), then: String::new(), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let kube = api::client(&cx.ports)?;
        let here = api::pods_of(&kube, cordon::node_of(cx)?).await?;
        let there: BTreeSet<Owner> = here.iter().filter_map(comes_back).collect();
        let all = of_namespaces(&kube, &there).await?;
        // Who was not well before cannot be waited for: it may never be.
        let well = |owner: &&Owner| unready(&all, owner).next().is_none();
        let owners: Vec<Value> = there.iter().filter(well).map(|owner| Value::Text(written(owner))).collect();
        let pods = here.iter().filter_map(comes_back).count();
        Ok(Progress::Done(Value::Record(IndexMap::from([
            ("owners".to_string(), Value::List(owners)),
            ("pods".to_string(), Value::Number(i64::try_from(pods).unwrap_or(i64::MAX))),
        ]))))
    }
}

#[async_trait]
impl Action for WaitPods {
    fn name(&self) -> &'static str {
        "wait pods"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let owners = owners(cx)?;
        if owners.is_empty() {
            return Ok(Check::Done("nothing was there that comes back".to_string()));
        }
        Ok(Check::Needs { now: String::new(), then: ready(owners.len()), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let reason = format!("a first look at {}", counted(owners(cx)?.len()));
        Ok(Progress::Pending { handle: Value::Number(0), reason, again: Duration::ZERO })
    }

    async fn poll(&self, cx: &Context, passes: &Value) -> Result<Progress, Failure> {
        let owners = owners(cx)?;
        let passes = match passes {
            Value::Number(passes) => *passes,
            _ => 0,
        };
        let kube = api::client(&cx.ports)?;
        let (passes, reason) = match of_namespaces(&kube, &owners).await {
            Ok(all) => match reason(&all, &owners) {
                None if passes + 1 >= LOOKS => return Ok(Progress::Done(Value::Text(ready(owners.len())))),
                None => (passes + 1, format!("{}; is it stable?", ready(owners.len()))),
                Some(reason) => (0, reason),
            },
            // An API that does not answer for a moment is no verdict.
            Err(failure) => (0, failure.message),
        };
        Ok(Progress::Pending { handle: Value::Number(passes), reason, again: AGAIN })
    }
}

fn counted(workloads: usize) -> String {
    if workloads == 1 { "1 workload".to_string() } else { format!("{workloads} workloads") }
}

fn ready(workloads: usize) -> String {
    if workloads == 1 {
        "1 workload is Ready".to_string()
    } else {
        format!("{workloads} workloads are Ready")
    }
}

/// Returns who a pod belongs to, if that brings it back as a pod that serves: a DaemonSet's stays where it is, a Job's ends.
fn comes_back(pod: &Pod) -> Option<Owner> {
    let owner = owner(pod).filter(|(_, kind, _)| !matches!(kind.as_str(), "DaemonSet" | "Node" | "Job"))?;
    (!api::is_finished(pod) && pod.metadata.deletion_timestamp.is_none()).then_some(owner)
}

fn owner(pod: &Pod) -> Option<Owner> {
    let owner = api::controller(&pod.metadata)?;
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    Some((namespace, owner.kind.clone(), owner.name.clone()))
}

fn written((namespace, kind, name): &Owner) -> String {
    format!("{namespace}/{kind}/{name}")
}

fn owners(cx: &Context) -> Result<BTreeSet<Owner>, Failure> {
    let read = |text: &String| {
        let mut parts = text.splitn(3, '/').map(str::to_string);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(kind), Some(name)) => Ok((namespace, kind, name)),
            _ => Err(Failure::last(format!("`{text}` is not written NAMESPACE/KIND/NAME"))
                .with_hint("`note pods` gives them as `owners`")),
        }
    };
    argument::words(cx, "owners")?.iter().map(read).collect()
}

/// Reads the pods of the namespaces that owners are in.
async fn of_namespaces(
    kube: &kube::Client,
    owners: &BTreeSet<Owner>,
) -> Result<BTreeMap<String, Vec<Pod>>, Failure> {
    let namespaces: BTreeSet<&String> = owners.iter().map(|(namespace, ..)| namespace).collect();
    let mut all = BTreeMap::new();
    for namespace in namespaces {
        let pods = Api::<Pod>::namespaced(kube.clone(), namespace);
        let pods = api::list(&format!("list the pods of {namespace}"), &pods, ListParams::default()).await?;
        all.insert(namespace.clone(), pods);
    }
    Ok(all)
}

/// Returns the pods of an owner that do not serve yet.
fn unready<'a>(all: &'a BTreeMap<String, Vec<Pod>>, of: &Owner) -> impl Iterator<Item = &'a Pod> {
    let of = of.clone();
    let pods = all.get(&of.0).map(Vec::as_slice).unwrap_or_default().iter();
    pods.filter(move |pod| owner(pod).as_ref() == Some(&of) && !api::is_finished(pod) && !api::is_ready(pod))
}

/// Tells who is waited for, the first one by name.
fn reason(all: &BTreeMap<String, Vec<Pod>>, owners: &BTreeSet<Owner>) -> Option<String> {
    let pods: Vec<&Pod> = owners.iter().flat_map(|owner| unready(all, owner)).collect();
    let first = pods.first()?;
    let why = not_ready_anywhere(first)?;
    let more = if pods.len() > 1 { format!(" (and {} more)", pods.len() - 1) } else { String::new() };
    let loads = loads(first).then(|| "its startup probe has not passed yet".to_string());
    Some(api::chain([Some(format!("{why}{more}")), loads].into_iter().flatten()))
}

/// Returns whether a container runs, and its startup probe has not said yet that it has started.
fn loads(pod: &Pod) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    statuses.unwrap_or_default().iter().any(|container| {
        let runs = container.state.as_ref().is_some_and(|state| state.running.is_some());
        runs && container.started == Some(false)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Bench, perform};
    use super::*;

    /// Puts a pod of a ReplicaSet on `n1`.
    fn pod(bench: &Bench, name: &str, set: &str, kind: &str, ready: bool) {
        bench.cluster.pod("ml", name, "n1", |pod| {
            pod["metadata"]["ownerReferences"][0]["kind"] = json!(kind);
            pod["metadata"]["ownerReferences"][0]["name"] = json!(set);
            pod["status"]["conditions"] =
                json!([{ "type": "Ready", "status": if ready { "True" } else { "False" } }]);
            pod["status"]["containerStatuses"] = json!([{
                "name": "a", "image": "a", "imageID": "", "restartCount": 0, "ready": ready, "started": ready,
                "state": { "running": { "startedAt": "2026-11-29T10:00:00Z" } },
            }]);
        });
    }

    fn of(owners: &[&str]) -> (&'static str, Value) {
        ("owners", Value::List(owners.iter().map(|owner| Value::Text(owner.to_string())).collect()))
    }

    #[tokio::test]
    async fn who_was_well_and_comes_back_is_noted() {
        let bench = Bench::default();
        bench.cluster.node("n1", "v1.34.2", false);
        pod(&bench, "llm-1", "llm", "ReplicaSet", true);
        pod(&bench, "llm-2", "llm", "ReplicaSet", true);
        pod(&bench, "sick-1", "sick", "ReplicaSet", false);
        pod(&bench, "train-1", "train", "Job", true);
        pod(&bench, "exporter-1", "exporter", "DaemonSet", true);
        let given = perform(&NotePods, &bench.step(&[])).await.unwrap();
        assert_eq!(given.to_string(), "{owners: ml/ReplicaSet/llm, pods: 3}");
    }

    #[tokio::test]
    async fn a_model_that_loads_is_waited_for_and_told() {
        let bench = Bench::default();
        pod(&bench, "llm-1", "llm", "ReplicaSet", true);
        pod(&bench, "llm-3", "llm", "ReplicaSet", false);
        let cx = bench.step(&[of(&["ml/ReplicaSet/llm"])]);
        let Ok(Progress::Pending { handle, reason, .. }) = WaitPods.poll(&cx, &Value::Number(1)).await else {
            panic!()
        };
        assert_eq!(handle, Value::Number(0));
        assert!(
            reason.contains("ml/llm-3") && reason.contains("its startup probe has not passed yet"),
            "{reason}"
        );
        pod(&bench, "llm-3", "llm", "ReplicaSet", true);
        assert_eq!(perform(&WaitPods, &cx).await.unwrap().as_text(), Some("1 workload is Ready"));
    }

    #[tokio::test]
    async fn where_nothing_was_nothing_is_waited_for() {
        let bench = Bench::default();
        assert!(matches!(WaitPods.check(&bench.step(&[of(&[])])).await, Ok(Check::Done(_))));
        let wrong = WaitPods.check(&bench.step(&[of(&["llm"])])).await.unwrap_err();
        assert!(wrong.message.contains("NAMESPACE/KIND/NAME"));
    }
}

//! `wait gpus`: behind a restart of the kubelet, waits until a node offers its GPUs again. That `Ready` is there after a second says nothing
//! of it: the device plugin has to register anew, and behind a reboot the driver is built and loaded first, for minutes.

use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use k8s_openapi::api::core::v1::{Node, Pod};

use super::cordon;
use crate::health::pod::not_ready;
use crate::{api, inventory};

/// How often to look.
const AGAIN: Duration = Duration::from_secs(5);

/// How many looks in a row must be good.
const LOOKS: i64 = 2;

/// Where NVIDIA's operator says how far it is with a driver
/// (NVIDIA/k8s-operator-libs: pkg/upgrade/consts.go).
const UPGRADE: &str = "nvidia.com/gpu-driver-upgrade-state";

/// The namespace of its pods, unless somebody chose another one.
const OPERATOR: &str = "gpu-operator";

/// What a vendor's own pods choose their nodes by.
const VENDORS: [&str; 3] = ["nvidia.com/", "amd.com/", "gpu.intel.com/"];

/// The verb.
pub(super) struct WaitGpus;

#[async_trait]
impl Action for WaitGpus {
    fn name(&self) -> &'static str {
        "wait gpus"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let wanted = wanted(cx)?;
        if wanted == 0 {
            return Ok(Check::Done("it had no GPU".to_string()));
        }
        Ok(Check::Needs { now: String::new(), then: count(wanted), before: Value::None })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let reason = format!("a first look at the GPUs of {}", cordon::node_of(cx)?);
        Ok(Progress::Pending { handle: Value::Number(0), reason, again: Duration::ZERO })
    }

    async fn poll(&self, cx: &Context, passes: &Value) -> Result<Progress, Failure> {
        let wanted = wanted(cx)?;
        let passes = match passes {
            Value::Number(passes) => *passes,
            _ => 0,
        };
        let (passes, reason) = match look(cx, wanted).await? {
            None if passes + 1 >= LOOKS => return Ok(Progress::Done(Value::Text(count(wanted)))),
            None => (passes + 1, format!("{} are there; is it stable?", count(wanted))),
            Some(reason) => (0, reason),
        };
        Ok(Progress::Pending { handle: Value::Number(passes), reason, again: AGAIN })
    }
}

/// Returns how many the node offered when the plan was made.
fn wanted(cx: &Context) -> Result<u64, Failure> {
    Ok(cx.inventory.nodes.get(cordon::node_of(cx)?).map_or(0, |node| node.gpu))
}

pub(super) fn count(gpus: u64) -> String {
    if gpus == 1 { "1 GPU".to_string() } else { format!("{gpus} GPUs") }
}

/// Returns what is still missing.
async fn look(cx: &Context, wanted: u64) -> Result<Option<String>, Failure> {
    let kube = api::client(&cx.ports)?;
    let name = cordon::node_of(cx)?;
    let (node, pods) = match futures::try_join!(api::node(&kube, name), api::pods_of(&kube, name)) {
        Ok(seen) => seen,
        // An API that does not answer for a moment is no verdict.
        Err(failure) => return Ok(Some(failure.message)),
    };
    if let Some(why) = driver(&node)? {
        return Ok(Some(why));
    }
    let sick = pods.iter().filter(|pod| is_vendors(pod) && !api::is_finished(pod)).find_map(not_ready);
    let offered = node.status.as_ref().map_or(0, inventory::gpus);
    let missing = (offered < wanted).then(|| format!("{name} offers {offered} of {}", count(wanted)));
    Ok(match (missing, sick) {
        (Some(missing), Some(sick)) => Some(api::chain([missing, sick])),
        (missing, sick) => missing.or(sick),
    })
}

/// Judges how far the operator is with the driver.
pub(super) fn driver(node: &Node) -> Result<Option<String>, Failure> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    match api::label(&node.metadata, UPGRADE) {
        None | Some("" | "upgrade-done") => Ok(None),
        Some("upgrade-failed") => {
            Err(Failure::last(format!("the GPU operator could not upgrade the driver of {name}"))
                .with_hint("look at its pods on that node: kubectl -n gpu-operator get pods -o wide"))
        }
        Some(state) => Ok(Some(format!("the GPU operator is at `{state}` with the driver of {name}"))),
    }
}

/// Returns whether a pod is of those that make a node's GPUs usable.
pub(super) fn is_vendors(pod: &Pod) -> bool {
    let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    let chosen =
        selector.is_some_and(|s| s.keys().any(|key| VENDORS.iter().any(|vendor| key.starts_with(vendor))));
    let daemon = api::controller(&pod.metadata).is_some_and(|owner| owner.kind == "DaemonSet");
    daemon && (chosen || pod.metadata.namespace.as_deref() == Some(OPERATOR))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::testing::Bench;
    use super::*;

    fn node(gpus: &str, state: Option<&str>) -> Bench {
        let bench = Bench::default();
        bench.cluster.node("n1", "v1.34.2", false);
        let mut node = bench.cluster.get("/api/v1/nodes/n1");
        node["status"]["allocatable"]["nvidia.com/gpu"] = json!(gpus);
        node["metadata"]["labels"] = state.map_or(json!({}), |state| json!({ UPGRADE: state }));
        bench.cluster.put("/api/v1/nodes/n1", node);
        bench
    }

    fn step(bench: &Bench, gpu: u64) -> Context {
        let mut cx = bench.step(&[]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].gpu = gpu;
        cx.inventory = Arc::new(inventory);
        cx
    }

    async fn reason(bench: &Bench) -> String {
        match WaitGpus.poll(&step(bench, 4), &Value::Number(0)).await {
            Ok(Progress::Pending { reason, .. }) => reason,
            Ok(Progress::Done(value)) => format!("done: {value}"),
            Err(failure) => failure.message,
        }
    }

    #[tokio::test]
    async fn as_many_as_before_are_waited_for_and_seen_twice() {
        assert_eq!(reason(&node("0", None)).await, "n1 offers 0 of 4 GPUs");
        let bench = node("4", Some("upgrade-done"));
        assert_eq!(reason(&bench).await, "4 GPUs are there; is it stable?");
        let last = WaitGpus.poll(&step(&bench, 4), &Value::Number(1)).await.unwrap();
        assert!(matches!(last, Progress::Done(Value::Text(said)) if said == "4 GPUs"));
        assert!(matches!(WaitGpus.check(&step(&bench, 0)).await, Ok(Check::Done(_))));
    }

    #[tokio::test]
    async fn the_operators_driver_and_its_pods_are_looked_at() {
        assert!(reason(&node("4", Some("pod-restart-required"))).await.contains("`pod-restart-required`"));
        assert!(
            reason(&node("4", Some("upgrade-failed"))).await.contains("could not upgrade the driver of n1")
        );
        let bench = node("4", None);
        bench.cluster.pod("gpu-operator", "nvidia-driver-x", "n1", |pod| {
            pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
        });
        assert_eq!(reason(&bench).await, "nvidia-driver-x is not Ready");
    }
}

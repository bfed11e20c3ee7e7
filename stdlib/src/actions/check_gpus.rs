//! `check gpus`: every node with GPUs offers all of them, and the pods that make them usable are well. A node whose device plugin or
//! driver did not come back is Ready and takes no work.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::{Class, Failure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};

use super::verdict::{Findings, Verdict};
use super::wait_gpus::{count, driver, is_vendors};
use crate::health::pod::not_ready_anywhere;
use crate::{api, inventory};

/// The verb.
pub(super) struct CheckGpus;

/// What NVIDIA's feature discovery says of a node with a GPU in it (NVIDIA/k8s-device-plugin: docs/gpu-feature-discovery).
const PRESENT: &str = "nvidia.com/gpu.present";

#[async_trait]
impl Verdict for CheckGpus {
    fn name(&self) -> &'static str {
        "check gpus"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let kube = api::client(&cx.ports)?;
        let nodes =
            api::list("list the nodes", &Api::<Node>::all(kube.clone()), ListParams::default()).await?;
        let (mut findings, mut offered) = (Findings::default(), 0);
        for node in &nodes {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let now = node.status.as_ref().map_or(0, inventory::gpus);
            let all = node.status.as_ref().map_or(0, inventory::all_gpus);
            let before = cx.inventory.nodes.get(name).map_or(0, |node| node.gpu);
            let wanted = all.max(before);
            let present = api::label(&node.metadata, PRESENT) == Some("true");
            offered += now;
            match driver(node) {
                Ok(Some(why)) => findings.add(true, why),
                Err(failure) => findings.add(true, failure.message),
                Ok(None) if now < wanted => {
                    findings.add(true, format!("{name} offers {now} of {}", count(wanted)))
                }
                Ok(None) if present && now == 0 => {
                    findings.add(true, format!("{name} has GPUs in it and offers none"))
                }
                Ok(None) => {}
            }
        }
        if offered == 0 && findings.against.is_empty() {
            return Ok("no node has a GPU".to_string());
        }
        let pods = api::list("list the pods", &Api::<Pod>::all(kube), ListParams::default()).await?;
        let sick = pods.iter().filter(|pod| is_vendors(pod) && !api::is_finished(pod));
        sick.filter_map(not_ready_anywhere).for_each(|why| findings.add(true, why));
        let hint = "look at the device plugin or the GPU operator on that node, and at `nvidia-smi` there";
        // A device plugin has to register anew with a kubelet that was started.
        let concluded = findings.conclude(format!("nodes offer {}", count(offered)), hint);
        concluded.map_err(|failure| Failure { class: Class::Transient, ..failure })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::testing::Bench;
    use super::*;

    fn node(capacity: &str, allocatable: &str, present: bool) -> Bench {
        let bench = Bench::default();
        bench.cluster.node("n1", "v1.34.2", false);
        let mut node = bench.cluster.get("/api/v1/nodes/n1");
        node["status"]["capacity"] = json!({ "cpu": "8", "nvidia.com/gpu": capacity });
        node["status"]["allocatable"] = json!({ "cpu": "8", "nvidia.com/gpu": allocatable });
        if present {
            node["metadata"]["labels"] = json!({ PRESENT: "true" });
        }
        bench.cluster.put("/api/v1/nodes/n1", node);
        bench
    }

    async fn check(bench: &Bench, before: u64) -> String {
        let mut cx = bench.step(&[]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].gpu = before;
        cx.inventory = Arc::new(inventory);
        CheckGpus.judge(&cx).await.unwrap_or_else(|failure| format!("no: {}", failure.message))
    }

    #[tokio::test]
    async fn all_that_a_node_has_or_had_must_be_offered() {
        assert_eq!(check(&node("4", "4", true), 4).await, "nodes offer 4 GPUs");
        assert_eq!(check(&node("4", "3", true), 3).await, "no: n1 offers 3 of 4 GPUs");
        assert_eq!(check(&node("0", "0", false), 4).await, "no: n1 offers 0 of 4 GPUs");
        assert_eq!(check(&node("0", "0", true), 0).await, "no: n1 has GPUs in it and offers none");
        assert_eq!(check(&node("0", "0", false), 0).await, "no node has a GPU");
    }

    #[tokio::test]
    async fn a_vendors_pod_that_is_not_well_is_told() {
        let bench = node("4", "4", true);
        bench.cluster.pod("gpu-operator", "nvidia-driver-x", "n1", |pod| {
            pod["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
            pod["status"]["conditions"] = json!([{ "type": "Ready", "status": "False" }]);
        });
        let said = check(&bench, 4).await;
        assert!(said.starts_with("no: pod gpu-operator/nvidia-driver-x on n1 is not Ready"), "{said}");
    }
}

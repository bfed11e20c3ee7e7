//! `check nodes ready`: every node is Ready and under no pressure.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::verdict::Verdict;
use crate::{api, health};

/// The verb.
pub(super) struct CheckNodesReady;

#[async_trait]
impl Verdict for CheckNodesReady {
    fn name(&self) -> &'static str {
        "check nodes ready"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let kube = api::client(&cx.ports)?;
        let mut nodes = 0;
        let mut unfit = Vec::new();
        let mut cordoned = Vec::new();
        api::pages("list the nodes", &Api::<Node>::all(kube), ListParams::default(), |node: Node| {
            nodes += 1;
            unfit.extend(health::node::unfit(&node));
            if node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default() {
                cordoned.extend(node.metadata.name);
            }
        })
        .await?;
        if !unfit.is_empty() {
            // A node that is not Ready may be a moment later.
            return Err(Failure::transient(unfit.join("; ")).with_hint("mend these nodes before you upgrade"));
        }
        let ready = if nodes == 1 { "1 node ready".to_string() } else { format!("{nodes} nodes ready") };
        Ok(match cordoned.as_slice() {
            [] => ready,
            names => format!("{ready}; cordoned already: {}", names.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, context};
    use serde_json::json;

    #[tokio::test]
    async fn nodes_are_counted_and_cordoned_ones_told() {
        let cluster = Cluster::new();
        for name in ["cp1", "w1", "w2"] {
            cluster.node(name, "v1.33.4", name == "cp1");
        }
        let cx = context(&cluster, "", &[]).await;
        assert_eq!(CheckNodesReady.judge(&cx).await.unwrap(), "3 nodes ready");
        let mut w2 = cluster.get("/api/v1/nodes/w2");
        w2["spec"]["unschedulable"] = json!(true);
        cluster.put("/api/v1/nodes/w2", w2);
        assert_eq!(CheckNodesReady.judge(&cx).await.unwrap(), "3 nodes ready; cordoned already: w2");
    }

    #[tokio::test]
    async fn all_unfit_nodes_are_named() {
        let cluster = Cluster::new();
        for (name, condition) in [("w1", "DiskPressure"), ("w2", "Ready")] {
            cluster.node(name, "v1.33.4", false);
            let mut node = cluster.get(&format!("/api/v1/nodes/{name}"));
            let status = if condition == "Ready" { "Unknown" } else { "True" };
            node["status"]["conditions"] = json!([
                { "type": condition, "status": status, "reason": "NodeStatusUnknown" },
                { "type": if condition == "Ready" { "PIDPressure" } else { "Ready" }, "status": if condition == "Ready" { "False" } else { "True" } },
            ]);
            cluster.put(&format!("/api/v1/nodes/{name}"), node);
        }
        let cx = context(&cluster, "", &[]).await;
        let failure = CheckNodesReady.judge(&cx).await.unwrap_err();
        assert_eq!(failure.message, "node w1 has DiskPressure; node w2 is not Ready (NodeStatusUnknown)");
    }
}

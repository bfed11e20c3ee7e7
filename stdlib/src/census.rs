//! Which nodes are still there: an autoscaler, or somebody, may take one while a run is at work on it.

use async_trait::async_trait;
use engine::action::{Census, Ensured};
use engine::inventory::{Inventory, Node};
use engine::port::Ports;
use k8s_openapi::api::core::v1::Node as Object;
use kube::api::Api;

use crate::api;

/// The fact that a step ensures which takes a node out of the cluster.
pub(crate) const DELETED: &str = "deleted";

/// The nodes that the API lists.
pub(crate) struct Listed;

#[async_trait]
impl Census for Listed {
    async fn is_gone(
        &self,
        node: &Node,
        inventory: &Inventory,
        ports: &Ports,
        is_ensured: &Ensured<'_>,
    ) -> bool {
        // Without a control plane, or a member of etcd, nothing goes on of itself.
        let may_leave = !node.control_plane && !node.etcd && !node.beside && !inventory.cluster.is_empty();
        let name = node.name.as_str();
        if !may_leave || is_ensured(&format!("{DELETED}({name})")) {
            return false;
        }
        let Some(kube) = ports.kube.clone() else { return false };
        // An API that does not answer has not said that the node is gone.
        let nodes = Api::<Object>::all(kube);
        matches!(api::find(&format!("read node {name}"), nodes.get(name)).await, Ok(None))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::testing::{Cluster, Scripted, named, ports};

    /// Asks for a node that the API lists, or does not.
    async fn is_gone(node: Node, cluster: &Cluster, ensured: &str) -> bool {
        let inventory = Inventory { cluster: "c0ffee".into(), ..Inventory::default() };
        let ports = ports(Some(cluster), &Scripted::default(), &Arc::default());
        Listed.is_gone(&node, &inventory, &ports, &|fact| fact == ensured).await
    }

    fn worker(name: &str) -> Node {
        Node { name: name.into(), ..Node::default() }
    }

    #[tokio::test]
    async fn only_a_worker_that_the_api_does_not_know_and_no_step_deletes_is_gone() {
        let cluster = Cluster::new();
        cluster.put("/api/v1/nodes/w1", json!({ "metadata": named("", "w1") }));
        assert!(!is_gone(worker("w1"), &cluster, "").await);
        assert!(is_gone(worker("w2"), &cluster, "deleted(w1)").await);
        assert!(!is_gone(worker("w2"), &cluster, "deleted(w2)").await);
        for role in ["control_plane", "etcd", "beside"] {
            let mut node = worker("w2");
            match role {
                "control_plane" => node.control_plane = true,
                "etcd" => node.etcd = true,
                _ => node.beside = true,
            }
            assert!(!is_gone(node, &cluster, "").await, "{role}");
        }
        cluster.down(true);
        assert!(!is_gone(worker("w2"), &cluster, "").await, "an API that is down says nothing of nodes");
    }
}

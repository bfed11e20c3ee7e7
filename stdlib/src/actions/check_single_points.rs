//! `check single points`: what there is only one of, and that is away while its node is upgraded.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::Context;
use engine::event::Failure;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};

use super::verdict::{Findings, Verdict};
use crate::api;

/// The verb.
pub(super) struct CheckSinglePoints;

/// How many workloads are named.
const NAMED: usize = 5;

#[async_trait]
impl Verdict for CheckSinglePoints {
    fn name(&self) -> &'static str {
        "check single points"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let refuse = cx.args.get("single").and_then(Value::as_text) == Some("refuse");
        let kube = api::client(&cx.ports)?;
        let mut findings = Findings::default();
        let apiservers: Vec<&str> = cx
            .inventory
            .nodes
            .values()
            .filter(|node| node.apiserver.is_some())
            .map(|node| node.name.as_str())
            .collect();
        if let [only] = apiservers.as_slice() {
            findings
                .add(refuse, format!("the only apiserver is on {only}: there is no API while it restarts"));
        }
        let mut alone: Vec<String> = Vec::new();
        let mut note = |kind: &str, metadata: &ObjectMeta, replicas: Option<i32>| {
            if replicas.unwrap_or(1) == 1 {
                alone.push(format!("{kind} {}", api::full_name(metadata)));
            }
        };
        let deployments = Api::<Deployment>::all(kube.clone());
        api::pages("list the Deployments", &deployments, ListParams::default(), |deployment: Deployment| {
            note("Deployment", &deployment.metadata, deployment.spec.replicas);
        })
        .await?;
        let sets = Api::<StatefulSet>::all(kube);
        api::pages("list the StatefulSets", &sets, ListParams::default(), |set: StatefulSet| {
            note("StatefulSet", &set.metadata, set.spec.replicas);
        })
        .await?;
        let dns = |name: &String| name.starts_with("Deployment kube-system/") && name.contains("coredns");
        if let Some(dns) = alone.iter().find(|name| dns(name)) {
            findings.add(
                refuse,
                format!("{dns} has one replica: names are not resolved while its node is drained"),
            );
        }
        alone.retain(|name| !dns(name));
        if !alone.is_empty() {
            let more = alone.len().saturating_sub(NAMED);
            let named = alone.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            findings.add(refuse, format!("with one replica, away while it moves: {named}{more}"));
        }
        findings.conclude(
            "looked for what there is only one of".to_string(),
            "give these a second replica, or go on with `single=note`",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, context, named};
    use serde_json::json;

    fn workload(cluster: &Cluster, kind: &str, namespace: &str, name: &str, replicas: i32) {
        let spec = json!({ "replicas": replicas, "selector": {}, "serviceName": name, "template": {} });
        let object = json!({ "metadata": named(namespace, name), "spec": spec });
        cluster.put(&format!("/apis/apps/v1/namespaces/{namespace}/{kind}/{name}"), object);
    }

    #[tokio::test]
    async fn what_is_alone_is_named_and_what_is_not_is_not() {
        let cluster = Cluster::new();
        cluster.node("cp1", "v1.33.4", true);
        cluster.control_plane("cp1", "v1.33.4");
        workload(&cluster, "deployments", "kube-system", "coredns", 1);
        workload(&cluster, "deployments", "shop", "web", 2);
        workload(&cluster, "statefulsets", "shop", "db", 1);
        let cx = context(&cluster, "", &[("single", Value::Text("note".into()))]).await;
        let text = CheckSinglePoints.judge(&cx).await.unwrap();
        assert_eq!(
            text,
            "looked for what there is only one of; note: the only apiserver is on cp1: there is no API while it restarts; note: Deployment \
             kube-system/coredns has one replica: names are not resolved while its node is drained; note: with one replica, away while it \
             moves: StatefulSet shop/db"
        );
        let cx = context(&cluster, "", &[("single", Value::Text("refuse".into()))]).await;
        assert!(
            CheckSinglePoints
                .judge(&cx)
                .await
                .unwrap_err()
                .message
                .starts_with("the only apiserver is on cp1")
        );
    }

    #[tokio::test]
    async fn a_cluster_with_two_of_everything_passes() {
        let cluster = Cluster::new();
        for name in ["cp1", "cp2"] {
            cluster.node(name, "v1.33.4", true);
            cluster.control_plane(name, "v1.33.4");
        }
        workload(&cluster, "deployments", "kube-system", "coredns", 2);
        let cx = context(&cluster, "", &[("single", Value::Text("refuse".into()))]).await;
        assert_eq!(CheckSinglePoints.judge(&cx).await.unwrap(), "looked for what there is only one of");
    }
}

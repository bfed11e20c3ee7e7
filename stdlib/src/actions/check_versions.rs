//! `check versions`: every kubelet, every control plane component and kube-proxy run the version.

use async_trait::async_trait;
use dsl::value::Version;
use engine::action::Context;
use engine::event::Failure;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};

use super::argument;
use super::verdict::Verdict;
use crate::api;

/// The verb.
pub(super) struct CheckVersions;

/// The components whose image carries the version of Kubernetes.
const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

#[async_trait]
impl Verdict for CheckVersions {
    fn name(&self) -> &'static str {
        "check versions"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let target = argument::version(cx, "are")?;
        let kube = api::client(&cx.ports)?;
        let nodes = Api::<Node>::all(kube.clone());
        let proxies = Api::<DaemonSet>::namespaced(kube.clone(), api::SYSTEM);
        let (nodes, pods, proxy) = futures::try_join!(
            api::list("list the nodes", &nodes, ListParams::default()),
            api::static_pods(&kube),
            // A network plugin may do the work of kube-proxy.
            api::find("read the DaemonSet kube-proxy", proxies.get("kube-proxy")),
        )?;
        let left_out = &cx.inventory.left_out;
        let name = |node: &Node| node.metadata.name.clone().unwrap_or_default();
        let nodes: Vec<_> = nodes.into_iter().filter(|node| !left_out.contains(&name(node))).collect();
        let mut others = Vec::new();
        for node in &nodes {
            let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
            let version = info.map(|info| info.kubelet_version.as_str()).unwrap_or_default();
            others.extend(other(&format!("kubelet of {}", name(node)), version, &target));
        }
        others.extend(pods.iter().filter_map(|pod| component(pod, &target)));
        if let Some(proxy) = proxy {
            let spec = proxy.spec.template.spec;
            let image = spec.and_then(|spec| spec.containers.into_iter().next()?.image).unwrap_or_default();
            others.extend(other("kube-proxy", api::tag(&image).unwrap_or_default(), &target));
        }
        if !others.is_empty() {
            return Err(Failure::last(format!("not {target}: {}", others.join(", ")))
                .with_hint("`kup plan` shows what is left to do"));
        }
        let nodes = match nodes.len() {
            1 => "1 node".to_string(),
            some => format!("{some} nodes"),
        };
        let beside = match left_out.as_slice() {
            [] => String::new(),
            some => format!("; left out: {}", some.join(", ")),
        };
        Ok(format!("{nodes} and the control plane are {target}{beside}"))
    }
}

fn component(pod: &Pod, target: &Version) -> Option<String> {
    let component = api::label(&pod.metadata, "component").filter(|name| COMPONENTS.contains(name))?;
    let image = pod.spec.as_ref()?.containers.iter().find(|c| c.name == component)?.image.as_deref()?;
    let name = pod.metadata.name.as_deref().unwrap_or(component);
    other(name, api::tag(image).unwrap_or_default(), target)
}

/// Tells what is not the target, whatever a vendor added to either.
fn other(what: &str, version: &str, target: &Version) -> Option<String> {
    match version.parse::<Version>() {
        Ok(version) if version.release() == target.release() => None,
        _ if version.is_empty() => Some(format!("{what} (unknown)")),
        _ => Some(format!("{what} ({version})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Cluster, context, named};
    use dsl::value::Value;
    use serde_json::json;

    #[tokio::test]
    async fn everything_that_is_not_at_the_version_is_named() {
        let cluster = Cluster::new();
        cluster.node("cp1", "v1.34.4", true);
        cluster.node("w1", "v1.33.4", false);
        cluster.control_plane("cp1", "v1.34.4");
        let proxy = |tag: &str| {
            let image = format!("registry.k8s.io/kube-proxy:{tag}");
            let template = json!({ "spec": { "containers": [{ "name": "kube-proxy", "image": image }] } });
            let spec = json!({ "selector": {}, "template": template });
            let set = json!({ "metadata": named("kube-system", "kube-proxy"), "spec": spec });
            cluster.put("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy", set);
        };
        proxy("v1.33.4");
        let cx = context(&cluster, "", &[("are", Value::Version("v1.34.4".parse().unwrap()))]).await;
        let failure = CheckVersions.judge(&cx).await.unwrap_err();
        assert_eq!(failure.message, "not v1.34.4: kubelet of w1 (v1.33.4), kube-proxy (v1.33.4)");
        proxy("v1.34.4");
        cluster.node("w1", "v1.34.4", false);
        assert_eq!(CheckVersions.judge(&cx).await.unwrap(), "2 nodes and the control plane are v1.34.4");
    }
}

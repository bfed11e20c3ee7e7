//! `set kube-proxy version` and `set cluster version`: what names a version once for the whole cluster, where kubeadm has
//! no command that would lower it.

use async_trait::async_trait;
use dsl::value::{Value, Version};
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::configuration::CLUSTER;
use super::{argument, kubeadm};
use crate::api;

const PROXY: &str = "kube-proxy";

/// Sets the version of kube-proxy.
pub(super) struct SetProxyVersion;

/// Sets the version in kubeadm's configuration.
pub(super) struct SetClusterVersion;

#[async_trait]
impl Action for SetProxyVersion {
    fn name(&self) -> &'static str {
        "set kube-proxy version"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let to = argument::version(cx, "to")?.release();
        let Some(image) = image(&api::client(&cx.ports)?).await? else {
            return Ok(Check::Done("there is no kube-proxy: a network plugin does its work".to_string()));
        };
        let now = api::tag(&image).unwrap_or_default().to_string();
        if now.parse::<Version>().is_ok_and(|version| version.release() == to) {
            return Ok(Check::Done(format!("kube-proxy is {to}")));
        }
        Ok(Check::Needs { now, then: to.to_string(), before: Value::Text(image) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let to = argument::version(cx, "to")?.release();
        let kube = api::client(&cx.ports)?;
        if let Some(image) = image(&kube).await? {
            let name = image.split('@').next().unwrap_or(&image);
            let name = match api::tag(name) {
                Some(tag) => &name[..name.len() - tag.len() - 1],
                None => name,
            };
            write(&kube, &format!("{name}:{to}")).await?;
        }
        Ok(Progress::Done(Value::None))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        match before.as_text() {
            Some(image) => write(&api::client(&cx.ports)?, image).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Action for SetClusterVersion {
    fn name(&self) -> &'static str {
        "set cluster version"
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let to = argument::version(cx, "to")?.release();
        let now = kubeadm::configured(&api::client(&cx.ports)?).await?;
        if now == to {
            return Ok(Check::Done(format!("the cluster's configuration names {to}")));
        }
        Ok(Check::Needs { now: now.to_string(), then: to.to_string(), before: Value::Version(now) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        name(cx, &argument::version(cx, "to")?.release()).await.map(|()| Progress::Done(Value::None))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        match before {
            Value::Version(version) => name(cx, version).await,
            _ => Ok(()),
        }
    }
}

/// Lets the cluster's configuration name a version; not a word else of it changes.
async fn name(cx: &Context, version: &Version) -> Result<(), Failure> {
    let kube = api::client(&cx.ports)?;
    let kept = CLUSTER.read(&kube).await?;
    let line = |line: &str| match line.starts_with("kubernetesVersion:") {
        true => format!("kubernetesVersion: {version}\n"),
        false => format!("{line}\n"),
    };
    let text: String = kept.text.lines().map(line).collect();
    CLUSTER.write(&kube, &text, kept.annotation.as_deref()).await
}

async fn image(kube: &kube::Client) -> Result<Option<String>, Failure> {
    let sets = Api::<DaemonSet>::namespaced(kube.clone(), api::SYSTEM);
    let set = api::find("read kube-proxy", sets.get(PROXY)).await?;
    let containers = set.and_then(|set| set.spec.template.spec).map(|pod| pod.containers).unwrap_or_default();
    Ok(containers.into_iter().find(|container| container.name == PROXY).and_then(|container| container.image))
}

async fn write(kube: &kube::Client, image: &str) -> Result<(), Failure> {
    let sets = Api::<DaemonSet>::namespaced(kube.clone(), api::SYSTEM);
    let patch =
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": PROXY, "image": image }] } } } });
    let params = PatchParams { field_manager: Some("kup".to_string()), ..PatchParams::default() };
    api::call("change kube-proxy", sets.patch(PROXY, &params, &Patch::Strategic(&patch))).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, perform};
    use super::*;

    const SET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy";
    const MAP: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
    const KEPT: &str = "kind: ClusterConfiguration\nkubernetesVersion: v1.34.2\n# by hand\nscheduler: {}\n";

    fn to() -> [(&'static str, Value); 1] {
        [("to", Value::Version("v1.33.4".parse().unwrap()))]
    }

    #[tokio::test]
    async fn kube_proxy_keeps_its_registry_and_loses_a_digest_that_names_another_image() {
        for (image, wanted) in [
            ("registry.k8s.io/kube-proxy:v1.34.2", "registry.k8s.io/kube-proxy:v1.33.4"),
            (
                "mirror.example:5000/k/kube-proxy:v1.34.2@sha256:ab",
                "mirror.example:5000/k/kube-proxy:v1.33.4",
            ),
        ] {
            let bench = Bench::default();
            let pod = json!({ "spec": { "containers": [{ "name": PROXY, "image": image }] } });
            bench.cluster.put(SET, json!({ "metadata": { "name": PROXY }, "spec": { "template": pod } }));
            let cx = bench.step(&to());
            let now = || bench.cluster.get(SET)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
            let Ok(Check::Needs { before, .. }) = SetProxyVersion.check(&cx).await else { panic!() };
            perform(&SetProxyVersion, &cx).await.unwrap();
            assert_eq!(now(), wanted);
            assert!(matches!(SetProxyVersion.check(&cx).await, Ok(Check::Done(_))));
            SetProxyVersion.undo(&cx, &before).await.unwrap();
            assert_eq!(now(), image);
        }
        let said = perform(&SetProxyVersion, &Bench::default().step(&to())).await.unwrap();
        assert_eq!(said.as_text(), Some("there is no kube-proxy: a network plugin does its work"));
    }

    #[tokio::test]
    async fn of_the_clusters_configuration_one_line_changes() {
        let bench = Bench::default();
        let map =
            json!({ "metadata": { "name": "kubeadm-config" }, "data": { "ClusterConfiguration": KEPT } });
        bench.cluster.put(MAP, map);
        let cx = bench.step(&to());
        let Ok(Check::Needs { before, .. }) = SetClusterVersion.check(&cx).await else { panic!() };
        perform(&SetClusterVersion, &cx).await.unwrap();
        let now = || bench.cluster.get(MAP)["data"]["ClusterConfiguration"].clone();
        assert_eq!(now(), KEPT.replace("v1.34.2", "v1.33.4"));
        assert!(matches!(SetClusterVersion.check(&cx).await, Ok(Check::Done(_))));
        SetClusterVersion.undo(&cx, &before).await.unwrap();
        assert_eq!(now(), KEPT);
    }
}

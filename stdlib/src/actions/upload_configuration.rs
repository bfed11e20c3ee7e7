//! `upload cluster configuration` and `upload kubelet configuration`: another configuration in the ConfigMap
//! that kubeadm reads it from. No node notices: each follows by a step of its own.

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Action, Check, Context, Progress};
use engine::event::Failure;
use indexmap::IndexMap;
use serde_json::Value as Json;

use super::argument;
use super::configuration::{CLUSTER, KUBELET, Kept, Kind, differences, documents, merge, yaml};
use super::host::Host;
use crate::api;

/// What of a ClusterConfiguration is reflected by writing the manifests of static pods, and nothing else.
const CLUSTER_MAY: [&str; 6] =
    ["apiServer.", "controllerManager.", "scheduler.", "etcd.local.", "featureGates.", "imageRepository"];

/// What of that is not: names in certificates, which are to be made anew, and where the data are.
const CLUSTER_MAY_NOT: [(&str, &str); 4] = [
    (
        "apiServer.certSANs",
        "the apiserver's certificate is to be made anew: `kubeadm init phase certs apiserver`",
    ),
    (
        "etcd.local.serverCertSANs",
        "etcd's certificate is to be made anew: `kubeadm init phase certs etcd-server`",
    ),
    (
        "etcd.local.peerCertSANs",
        "etcd's certificate is to be made anew: `kubeadm init phase certs etcd-peer`",
    ),
    ("etcd.local.dataDir", "the data are to be moved first, with the member stopped"),
];

/// What of a KubeletConfiguration asks for more than a restart of the kubelet.
const KUBELET_MAY_NOT: [(&str, &str); 2] = [
    (
        "cgroupDriver",
        "the container runtime is to follow: https://kubernetes.io/docs/tasks/administer-cluster/kubeadm/configure-cgroup-driver/",
    ),
    ("staticPodPath", "the control plane's manifests are to be moved with it"),
];

/// Changes a configuration; with the name of the verb.
pub(super) struct Upload(pub(super) &'static Kind, pub(super) &'static str);

#[async_trait]
impl Action for Upload {
    fn name(&self) -> &'static str {
        self.1
    }

    async fn check(&self, cx: &Context) -> Result<Check, Failure> {
        let kind = self.0;
        let kube = api::client(&cx.ports)?;
        let kept = kind.read(&kube).await?;
        let Some(wanted) = wanted(cx, kind, &kept).await? else {
            return Ok(Check::Done(format!("the file has no {}", kind.name)));
        };
        let paths = differences(&kept.value, &wanted);
        if paths.is_empty() {
            return Ok(Check::Done(format!("the {} says so already", kind.name)));
        }
        let mut before = IndexMap::from([("text".to_string(), Value::Text(kept.text.clone()))]);
        if let Some(annotation) = kept.annotation {
            before.insert("reflected".to_string(), Value::Text(annotation));
        }
        Ok(Check::Needs { now: String::new(), then: paths.join(", "), before: Value::Record(before) })
    }

    async fn start(&self, cx: &Context, _: &Value) -> Result<Progress, Failure> {
        let kind = self.0;
        let kube = api::client(&cx.ports)?;
        let kept = kind.read(&kube).await?;
        if let Some(wanted) = wanted(cx, kind, &kept).await? {
            // Whoever has no mark of its own reflects what was there before the first change.
            let reflected = kept.reflected_by(None).to_string();
            kind.write(&kube, &yaml(&wanted), Some(&reflected)).await?;
        }
        Ok(Progress::Done(Value::None))
    }

    async fn undo(&self, cx: &Context, before: &Value) -> Result<(), Failure> {
        let Some(text) = before.get("text").and_then(Value::as_text) else { return Ok(()) };
        let kube = api::client(&cx.ports)?;
        self.0.write(&kube, text, before.get("reflected").and_then(Value::as_text)).await
    }
}

/// Returns what the configuration shall be; `None` where the file says nothing of it.
async fn wanted(cx: &Context, kind: &Kind, kept: &Kept) -> Result<Option<Json>, Failure> {
    let path = argument::path(cx, "from")?.display().to_string();
    let Some(text) = Host::here(cx).read(&path).await? else {
        return Err(Failure::last(format!("there is no file {path}"))
            .with_hint("name a YAML file with a ClusterConfiguration, a KubeletConfiguration, or both"));
    };
    let documents = documents(&text).map_err(|failure| Failure {
        message: format!("cannot read {path}: {}", failure.message),
        ..failure
    })?;
    let known = [CLUSTER.name, KUBELET.name];
    if !documents.iter().any(|d| d["kind"].as_str().is_some_and(|kind| known.contains(&kind))) {
        return Err(Failure::last(format!(
            "{path} has neither a ClusterConfiguration nor a KubeletConfiguration"
        ))
        .with_hint("begin the document with `kind: ClusterConfiguration` or `kind: KubeletConfiguration`"));
    }
    let Some(patch) = documents.into_iter().find(|d| d["kind"] == kind.name) else { return Ok(None) };
    let mut wanted = kept.value.clone();
    merge(&mut wanted, &patch);
    for path in differences(&kept.value, &wanted) {
        may(kind, &path)?;
    }
    Ok(Some(wanted))
}

/// Holds that what is at a path can be changed in this way.
fn may(kind: &Kind, path: &str) -> Result<(), Failure> {
    let is_cluster = kind.name == CLUSTER.name;
    let refuse = |hint: &str| {
        Err(Failure::last(format!("`{path}` of the {} cannot be changed like this", kind.name))
            .with_hint(hint))
    };
    let more: &[(&str, &str)] = if is_cluster { &CLUSTER_MAY_NOT } else { &KUBELET_MAY_NOT };
    if let Some((_, hint)) = more.iter().find(|(one, _)| path.starts_with(one)) {
        return refuse(hint);
    }
    match path {
        "apiVersion" | "kind" => refuse(
            "write it in the version that the cluster has it in: kubeadm converts it at the next upgrade",
        ),
        "kubernetesVersion" => refuse("that is an upgrade: std/kubeadm-minor or std/kubeadm-patch"),
        _ if is_cluster && !CLUSTER_MAY.iter().any(|one| path.starts_with(one)) => refuse(
            "here go flags, volumes, images and feature gates: apiServer, controllerManager, scheduler, etcd.local, featureGates, imageRepository",
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::configuration::REFLECTED;
    use super::super::testing::{Bench, perform};
    use super::*;

    const UPLOAD: Upload = Upload(&CLUSTER, "upload cluster configuration");
    const MAP: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
    const NOW: &str = "apiServer:\n  timeoutForControlPlane: 4m0s\netcd:\n  local:\n    dataDir: /var/lib/etcd\nkind: ClusterConfiguration\n\
         kubernetesVersion: v1.33.4\nnetworking:\n  podSubnet: 10.244.0.0/16\n";

    fn cluster(file: &str) -> Bench {
        let bench = Bench::default().file("/playbooks/c.yaml", file);
        let map = json!({ "metadata": { "name": "kubeadm-config" }, "data": { "ClusterConfiguration": NOW, "other": "x" } });
        bench.cluster.put(MAP, map);
        bench
    }

    fn from() -> (&'static str, Value) {
        ("from", Value::Path("c.yaml".into()))
    }

    #[tokio::test]
    async fn a_flag_is_added_and_taken_back_and_the_nodes_are_said_to_reflect_the_old_ones() {
        let bench =
            cluster("kind: ClusterConfiguration\napiServer:\n  extraArgs:\n  - name: v\n    value: \"2\"\n");
        let cx = bench.step(&[from()]);
        let Ok(Check::Needs { then, before, .. }) = UPLOAD.check(&cx).await else { panic!() };
        assert_eq!(then, "apiServer.extraArgs");
        perform(&UPLOAD, &cx).await.unwrap();
        let map = bench.cluster.get(MAP);
        let text = map["data"]["ClusterConfiguration"].as_str().unwrap();
        assert!(
            text.starts_with(
                "apiServer:\n  timeoutForControlPlane: \"4m0s\"\n  extraArgs:\n  - name: v\n    value: \"2\"\n"
            ),
            "{text}"
        );
        assert_eq!(map["data"]["other"], "x");
        let kept = Kept { text: String::new(), value: documents(NOW).unwrap().remove(0), annotation: None };
        assert_eq!(map["metadata"]["annotations"][REFLECTED], kept.reflection().to_string());
        assert!(matches!(UPLOAD.check(&cx).await, Ok(Check::Done(_))));
        UPLOAD.undo(&cx, &before).await.unwrap();
        let map = bench.cluster.get(MAP);
        assert_eq!(map["data"]["ClusterConfiguration"], NOW);
        assert_eq!(map["metadata"]["annotations"].get(REFLECTED), None);
    }

    #[tokio::test]
    async fn what_is_no_reconfiguration_is_refused_with_the_road_to_take() {
        for (file, path, hint) in [
            ("kubernetesVersion: v1.34.2", "kubernetesVersion", "std/kubeadm-minor"),
            ("networking: { podSubnet: 10.0.0.0/8 }", "networking.podSubnet", "flags"),
            ("apiServer: { certSANs: [a.b] }", "apiServer.certSANs", "certs apiserver"),
            ("etcd: { local: { dataDir: /data } }", "etcd.local.dataDir", "moved"),
            ("etcd: { local: null, external: { endpoints: [a] } }", "etcd.external", "flags"),
        ] {
            let bench = cluster(&format!("kind: ClusterConfiguration\n{file}\n"));
            let failure = UPLOAD.check(&bench.step(&[from()])).await.unwrap_err();
            assert!(failure.message.contains(path) && failure.hint.contains(hint), "{failure:?}");
        }
    }

    #[tokio::test]
    async fn a_file_without_the_kind_has_nothing_to_do_and_one_without_any_is_told() {
        let bench = cluster("kind: KubeletConfiguration\nmaxPods: 150\n");
        assert!(matches!(UPLOAD.check(&bench.step(&[from()])).await, Ok(Check::Done(_))));
        for (file, why) in
            [("a: [", "cannot read /playbooks/c.yaml: it is no YAML"), ("a: 1\n", "has neither")]
        {
            let failure = UPLOAD.check(&cluster(file).step(&[from()])).await.unwrap_err();
            assert!(failure.message.contains(why), "{failure:?}");
        }
    }
}

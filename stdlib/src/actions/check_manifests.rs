//! `check manifests`: the static pods of the control plane are what kubeadm would write from its ClusterConfiguration. What a hand has
//! put there is gone with the next upgrade, and a file too many is run as a second pod.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::Context;
use engine::event::Failure;
use serde::Deserialize;
use serde_json::Value as Json;

use super::configuration::CLUSTER;
use super::facts::{self, Facts, Look};
use super::flags::{self, Flags, MANIFESTS};
use super::verdict::{Findings, Verdict};
use crate::api;
use crate::release::Dated;

/// The verb.
pub(super) struct CheckManifests;

const FOLDER: Look = ("files", "ls -A /etc/kubernetes/manifests");

#[derive(Deserialize)]
struct Table {
    #[serde(flatten)]
    dated: Dated,
    #[serde(flatten)]
    own: BTreeMap<String, Vec<String>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/kubeadm_flags.toml"))
        .expect("data/kubeadm_flags.toml is well formed")
});

#[async_trait]
impl Verdict for CheckManifests {
    fn name(&self) -> &'static str {
        "check manifests"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let lost = cx.args.get("lost").and_then(Value::as_text) != Some("allow");
        let kept = CLUSTER.read(&api::client(&cx.ports)?).await?;
        let looks: Vec<Look> = MANIFESTS.into_iter().chain([FOLDER]).collect();
        let nodes = facts::control_planes(cx);
        let all = facts::gather(cx, nodes, &looks).await?;
        let mut findings = Findings::default();
        for facts in &all {
            let name = &facts.node.name;
            findings.against.extend(strays(facts).map(|file| {
                format!(
                    "{name}: /etc/kubernetes/manifests/{file} is run as a pod, too; keep copies elsewhere"
                )
            }));
            for (component, _) in MANIFESTS {
                let there = flags::of_manifest(facts.of(component));
                for text in differences(component, &there, &wanted(&kept.value, component)) {
                    findings.add(lost, format!("{name}: {text}"));
                }
            }
        }
        if let Some(minor) = cx.inventory.version.as_ref().map(|version| version.minor()) {
            findings.notes.extend(TABLE.dated.note("kubeadm's own flags", minor));
        }
        let well = format!("the static pods of {} control planes are as kubeadm would write them", all.len());
        let hint = "put such flags into the ClusterConfiguration (`kup run std/kubeadm-config`), or let them be lost: lost=allow";
        findings.conclude(well, hint)
    }
}

/// Returns what the folder has beside kubeadm's files. A folder in it, and what begins with a dot, the kubelet leaves alone.
/// <https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/#configuration-files>
fn strays(facts: &Facts) -> impl Iterator<Item = &str> {
    let own =
        |file: &str| MANIFESTS.iter().any(|(component, _)| file.strip_suffix(".yaml") == Some(component));
    // A load balancer of the apiservers as a static pod is usual, and kubeadm's own guide proposes it.
    let usual = ["kube-vip.yaml", "haproxy.yaml", "keepalived.yaml"];
    facts
        .of("files")
        .lines()
        .filter(move |file| !own(file) && !file.starts_with('.') && !usual.contains(file))
}

/// Returns the flags that the ClusterConfiguration gives a component: a list since v1beta4, a map before.
fn wanted(cluster: &Json, component: &str) -> Flags {
    let place = match component {
        "etcd" => "/etcd/local/extraArgs",
        "kube-apiserver" => "/apiServer/extraArgs",
        "kube-controller-manager" => "/controllerManager/extraArgs",
        _ => "/scheduler/extraArgs",
    };
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    match cluster.pointer(place) {
        Some(Json::Array(list)) => list.iter().map(|arg| (text(&arg["name"]), text(&arg["value"]))).collect(),
        Some(Json::Object(map)) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        _ => Flags::new(),
    }
}

fn differences(component: &str, there: &Flags, wanted: &Flags) -> Vec<String> {
    // Without a manifest nothing is compared: etcd may be elsewhere.
    if there.is_empty() {
        return Vec::new();
    }
    let own = TABLE.own.get(component).map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for (name, value) in there.iter().filter(|(name, _)| !wanted.contains_key(*name) && !own.contains(name)) {
        found.push(format!(
            "{component} has --{name}={value}, which the ClusterConfiguration does not: an upgrade loses it"
        ));
    }
    for (name, value) in wanted {
        match there.get(name) {
            None => found.push(format!(
                "{component} lacks --{name}={value}, which the ClusterConfiguration has: an upgrade adds it"
            )),
            // kubeadm adds its own modes and plugins to these.
            Some(now) if now != value && !now.contains(value.as_str()) => {
                found.push(format!("{component} has --{name}={now}, and the ClusterConfiguration {value}: an upgrade changes it"));
            }
            Some(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use serde_json::json;

    const CONFIG: &str = "apiServer:\n  extraArgs:\n  - name: audit-log-path\n    value: /var/log/audit.log\nkind: ClusterConfiguration\n";
    const WELL: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --secure-port=6443\n    - --audit-log-path=/var/log/audit.log\n";

    async fn check(apiserver: &str, files: &str, lost: &str) -> Result<String, String> {
        let looks =
            MANIFESTS.iter().chain(&[FOLDER]).map(|(name, line)| format!("echo '== {name}'; {line}; "));
        let said = format!("== kube-apiserver\n{apiserver}== files\nkube-apiserver.yaml\n{files}");
        let bench = Bench::default().says(&format!("sh -c {}true", looks.collect::<String>()), &said);
        let map =
            json!({ "metadata": { "name": "kubeadm-config" }, "data": { "ClusterConfiguration": CONFIG } });
        bench.cluster.put("/api/v1/namespaces/kube-system/configmaps/kubeadm-config", map);
        let mut cx = bench.step(&[("lost", Value::Text(lost.into()))]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].control_plane = true;
        cx.inventory = inventory.into();
        CheckManifests.judge(&cx).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn manifests_of_kubeadm_pass() {
        let text = check(WELL, "etcd.yaml\n.kubelet-keep\nkube-vip.yaml\n", "refuse").await.unwrap();
        assert_eq!(text, "the static pods of 1 control planes are as kubeadm would write them");
    }

    #[tokio::test]
    async fn a_flag_of_a_hand_is_told_and_may_be_given_up() {
        let edited = WELL.replace("/var/log/audit.log", "/tmp/x") + "    - --profiling=false\n";
        let text = check(&edited, "", "refuse").await.unwrap_err();
        assert_eq!(
            text,
            "n1: kube-apiserver has --profiling=false, which the ClusterConfiguration does not: an upgrade loses it; n1: kube-apiserver has \
             --audit-log-path=/tmp/x, and the ClusterConfiguration /var/log/audit.log: an upgrade changes it"
        );
        assert!(
            check(&edited, "", "allow")
                .await
                .unwrap()
                .contains("note: n1: kube-apiserver has --profiling=false")
        );
        let lacks = WELL.replace("    - --audit-log-path=/var/log/audit.log\n", "");
        assert!(check(&lacks, "", "refuse").await.unwrap_err().contains("lacks --audit-log-path"));
    }

    #[tokio::test]
    async fn a_copy_beside_a_manifest_is_a_second_pod() {
        let text = check(WELL, "kube-apiserver.yaml.bak\n", "allow").await.unwrap_err();
        assert!(
            text.starts_with("n1: /etc/kubernetes/manifests/kube-apiserver.yaml.bak is run as a pod, too"),
            "{text}"
        );
    }

    #[test]
    fn arguments_are_read_in_both_forms() {
        let map = json!({ "scheduler": { "extraArgs": { "v": "4" } } });
        assert_eq!(wanted(&map, "kube-scheduler")["v"], "4");
        let list = json!({ "scheduler": { "extraArgs": [{ "name": "v", "value": "4" }] } });
        assert_eq!(wanted(&list, "kube-scheduler"), wanted(&map, "kube-scheduler"));
    }
}

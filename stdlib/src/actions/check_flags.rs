//! `check flags`: no component is started with a flag, a feature gate or an admission plugin that the target knows no more: it would
//! end at once.

use std::sync::LazyLock;

use async_trait::async_trait;
use dsl::value::Minor;
use engine::action::Context;
use engine::event::Failure;
use serde::Deserialize;

use super::argument;
use super::configuration;
use super::facts::{self, Facts, Look};
use super::flags::{self, Flags, MANIFESTS};
use super::verdict::{Findings, Verdict};
use crate::release::{Dated, minor};

/// The verb.
pub(super) struct CheckFlags;

/// The file that kubeadm writes, those that are the operator's, and the kubelet's configuration.
const KUBELET: [Look; 3] = [
    ("kubeadm", "cat /var/lib/kubelet/kubeadm-flags.env"),
    ("operator", "cat /etc/default/kubelet /etc/sysconfig/kubelet"),
    ("configuration", "cat /var/lib/kubelet/config.yaml"),
];

#[derive(Deserialize)]
struct Table {
    #[serde(flatten)]
    dated: Dated,
    flag: Vec<Flag>,
    gates: Vec<Gates>,
    plugin: Vec<Plugin>,
}

#[derive(Deserialize)]
struct Flag {
    component: String,
    names: Vec<String>,
    #[serde(deserialize_with = "minor")]
    removed: Minor,
    #[serde(default)]
    kubeadm_takes_out: bool,
    #[cfg(test)]
    source: String,
}

#[derive(Deserialize)]
struct Gates {
    #[serde(deserialize_with = "minor")]
    removed: Minor,
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Plugin {
    name: String,
    #[serde(deserialize_with = "minor")]
    removed: Minor,
    #[cfg(test)]
    source: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/removed_flags.toml"))
        .expect("data/removed_flags.toml is well formed")
});

#[async_trait]
impl Verdict for CheckFlags {
    fn name(&self) -> &'static str {
        "check flags"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let to = argument::minor(cx, "to")?;
        let looks: Vec<Look> = KUBELET.into_iter().chain(MANIFESTS).collect();
        let control_planes = facts::control_planes(cx);
        let workers = cx.inventory.nodes.values().filter(|node| !node.control_plane && !node.beside);
        let (mut all, workers) = futures::try_join!(
            facts::gather(cx, control_planes, &looks),
            facts::gather(cx, workers, &KUBELET)
        )?;
        all.extend(workers);
        let mut findings = Findings::default();
        for facts in &all {
            findings
                .against
                .extend(of_node(facts, to).into_iter().map(|text| format!("{}: {text}", facts.node.name)));
        }
        findings.notes.extend(TABLE.dated.note("removed flags", to));
        let well = format!(
            "no component of {} nodes has a flag that {to} does not know, as far as kup's table goes",
            all.len()
        );
        findings.conclude(well, "take them out first: of the ClusterConfiguration by `kup run std/kubeadm-config`, of a kubelet in its files")
    }
}

fn of_node(facts: &Facts, to: Minor) -> Vec<String> {
    let mut found = Vec::new();
    for (component, _) in MANIFESTS {
        found.extend(of_component(component, &flags::of_manifest(facts.of(component)), false, to));
    }
    found.extend(of_component("kubelet", &flags::of_environment(facts.of("kubeadm")), true, to));
    found.extend(of_component("kubelet", &flags::of_environment(facts.of("operator")), false, to));
    let documents = configuration::documents(facts.of("configuration")).unwrap_or_default();
    let gates =
        documents.iter().flat_map(|document| document["featureGates"].as_object().into_iter().flatten());
    found.extend(gates.filter_map(|(name, _)| gate("the kubelet's configuration", name, to)));
    found
}

/// `kubeadms`: the flags are those that kubeadm writes, and it takes some out by itself.
pub(super) fn of_component(component: &str, flags: &Flags, kubeadms: bool, to: Minor) -> Vec<String> {
    let mut found = Vec::new();
    let known = TABLE.flag.iter().filter(|flag| flag.component == component && flag.removed <= to);
    for flag in known.filter(|flag| !(kubeadms && flag.kubeadm_takes_out)) {
        let used = flag.names.iter().filter(|name| flags.contains_key(*name));
        found.extend(
            used.map(|name| format!("{component} has --{name}, which is gone since {}", flag.removed)),
        );
    }
    // The gates of etcd are its own.
    let gates = flags.get("feature-gates").filter(|_| component != "etcd");
    let names =
        gates.into_iter().flat_map(|gates| flags::listed(gates)).filter_map(|gate| gate.split('=').next());
    found.extend(names.filter_map(|name| gate(component, name, to)));
    for name in ["enable-admission-plugins", "disable-admission-plugins"] {
        let plugins: Vec<&str> =
            flags.get(name).into_iter().flat_map(|plugins| flags::listed(plugins)).collect();
        let gone = TABLE
            .plugin
            .iter()
            .filter(|plugin| plugin.removed <= to && plugins.contains(&plugin.name.as_str()));
        found.extend(gone.map(|p| {
            format!("{component} has the admission plugin {}, which is gone since {}", p.name, p.removed)
        }));
    }
    found
}

fn gate(who: &str, name: &str, to: Minor) -> Option<String> {
    let gone = TABLE
        .gates
        .iter()
        .find(|gates| gates.removed <= to && gates.names.iter().any(|known| known == name))?;
    Some(format!("{who} has the feature gate {name}, which is gone since {}", gone.removed))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use dsl::value::Value;

    const APISERVER: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --cloud-provider=external\n    - \
        --feature-gates=KMSv2=true,InPlacePodVerticalScaling=true\n    - --enable-admission-plugins=NodeRestriction,SecurityContextDeny\n";

    async fn check(apiserver: &str, env: &str, config: &str, to: &str) -> Result<String, String> {
        let looks =
            KUBELET.iter().chain(&MANIFESTS).map(|(name, line)| format!("echo '== {name}'; {line}; "));
        let said = format!("== kubeadm\n{env}== configuration\n{config}== kube-apiserver\n{apiserver}");
        let bench = Bench::default().says(&format!("sh -c {}true", looks.collect::<String>()), &said);
        let mut cx = bench.step(&[("to", Value::Minor(to.parse().unwrap()))]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].control_plane = true;
        cx.inventory = inventory.into();
        CheckFlags.judge(&cx).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn what_the_target_does_not_know_is_told_and_what_it_still_knows_is_not() {
        let all = "n1: kube-apiserver has --cloud-provider, which is gone since v1.33; n1: kube-apiserver has the feature gate KMSv2, which is \
            gone since v1.32; n1: kube-apiserver has the admission plugin SecurityContextDeny, which is gone since v1.30";
        assert_eq!(check(APISERVER, "", "", "v1.34").await.unwrap_err(), all);
        assert!(!check(APISERVER, "", "", "v1.31").await.unwrap_err().contains("KMSv2"));
        assert!(check(APISERVER, "", "", "v1.29").await.is_ok());
    }

    #[tokio::test]
    async fn what_kubeadm_takes_out_of_its_own_file_is_not_told() {
        let env = "KUBELET_KUBEADM_ARGS=\"--pod-infra-container-image=registry.k8s.io/pause:3.10 --keep-terminated-pod-volumes\"\n";
        let text = check("", env, "", "v1.35").await.unwrap_err();
        assert_eq!(text, "n1: kubelet has --keep-terminated-pod-volumes, which is gone since v1.31");
    }

    #[tokio::test]
    async fn the_gates_of_a_kubelets_configuration_count() {
        let text = check("", "", "featureGates:\n  AppArmor: true\n", "v1.33").await.unwrap_err();
        assert_eq!(
            text,
            "n1: the kubelet's configuration has the feature gate AppArmor, which is gone since v1.33"
        );
        let text = check("", "", "featureGates:\n  AppArmor: true\n", "v1.32").await.unwrap();
        assert!(text.starts_with("no component of 1 nodes"), "{text}");
        assert!(
            check("", "", "", "v1.39")
                .await
                .unwrap()
                .contains("note: kup's table of removed flags ends before v1.39")
        );
    }

    #[test]
    fn each_entry_has_a_source_and_stands_once() {
        assert!(TABLE.flag.iter().all(|flag| !flag.source.is_empty()));
        assert!(TABLE.plugin.iter().all(|plugin| !plugin.source.is_empty()));
        let mut names: Vec<&String> = TABLE.gates.iter().flat_map(|gates| &gates.names).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

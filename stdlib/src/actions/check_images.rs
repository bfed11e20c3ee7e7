//! `check images`: kubeadm pulls the images of the control plane from a registry that has those of the target, and from the mirror
//! that is wanted; and no machine starts its pods with an image of a registry that Kubernetes has left.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use dsl::value::Minor;
use engine::action::Context;
use engine::event::Failure;
use serde::Deserialize;
use serde_json::Value as Json;

use super::argument;
use super::configuration::CLUSTER;
use super::facts::{self, Facts, Look};
use super::verdict::{Findings, Verdict};
use crate::api;
use crate::release::{Dated, minor};

/// The verb.
pub(super) struct CheckImages;

/// Where it is said which image holds a pod together: in containerd's configuration, and in the flags of a kubelet before v1.35.
const LOOKS: [Look; 2] = [
    ("containerd", "cat /etc/containerd/config.toml"),
    ("flags", "cat /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet"),
];

/// What kubeadm pulls from unless it is told otherwise.
/// <https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/#kubeadm-k8s-io-v1beta4-ClusterConfiguration>
const DEFAULT: &str = "registry.k8s.io";

#[derive(Deserialize)]
struct Table {
    #[serde(flatten)]
    dated: Dated,
    registry: Vec<Left>,
}

/// A registry that Kubernetes has left.
#[derive(Deserialize)]
struct Left {
    name: String,
    /// The newest minor whose images it has.
    #[serde(deserialize_with = "minor")]
    last: Minor,
    instead: String,
    source: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/registries.toml")).expect("data/registries.toml is well formed")
});

#[async_trait]
impl Verdict for CheckImages {
    fn name(&self) -> &'static str {
        "check images"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let to = argument::minor(cx, "to")?;
        let wanted = argument::optional_text(cx, "registry").map(|registry| registry.trim_end_matches('/'));
        let kept = CLUSTER.read(&api::client(&cx.ports)?).await?.value;
        let nodes = cx.inventory.nodes.values().filter(|node| !node.beside);
        let all = facts::gather(cx, nodes, &LOOKS).await?;
        let mut findings = Findings::default();
        let main = text(&kept, "/imageRepository").unwrap_or(DEFAULT);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != main) {
            findings.against.push(format!("kubeadm pulls from {main}, and not from {wanted}"));
        }
        for (place, what) in [
            ("/imageRepository", "kubeadm pulls"),
            ("/dns/imageRepository", "CoreDNS comes"),
            ("/etcd/local/imageRepository", "etcd comes"),
        ] {
            let left = text(&kept, place).and_then(|from| Some((from, TABLE.left(from)?)));
            if let Some((from, left)) = left.filter(|(_, left)| left.last < to) {
                findings.against.push(format!(
                    "{what} from {from}, which has no images of {to}: its last were of {}; see {}",
                    left.last, left.source
                ));
            }
        }
        for (place, what) in [("/etcd/local/imageTag", "etcd"), ("/dns/imageTag", "CoreDNS")] {
            if let Some(tag) = text(&kept, place) {
                findings.notes.push(format!("kubeadm keeps {what} at {tag}, which its configuration pins"));
            }
        }
        let mut sandboxes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for facts in &all {
            if let Some(image) = sandbox(facts) {
                sandboxes.entry(image).or_default().push(&facts.node.name);
            }
        }
        for (image, nodes) in sandboxes {
            let nodes = nodes.join(", ");
            if let Some(left) = TABLE.left(image) {
                findings.notes.push(format!(
                    "{nodes}: pods are started with {image}, which is pulled from there no more one day; name that of {}",
                    left.instead
                ));
            } else if wanted.is_some_and(|wanted| !image.starts_with(&format!("{wanted}/"))) {
                findings
                    .notes
                    .push(format!("{nodes}: pods are started with {image}, which the mirror does not give"));
            }
        }
        findings.notes.extend(TABLE.dated.note("registries", to));
        findings.conclude(
            format!("images come from {main}"),
            "name the registry in the ClusterConfiguration, as imageRepository: kup run std/kubeadm-config",
        )
    }
}

impl Table {
    /// Returns the registry that an image or repository is of, if Kubernetes has left it.
    fn left(&self, image: &str) -> Option<&Left> {
        self.registry.iter().find(|left| image.split('/').next() == Some(left.name.as_str()))
    }
}

fn text<'a>(value: &'a Json, place: &str) -> Option<&'a str> {
    value
        .pointer(place)
        .and_then(Json::as_str)
        .map(|text| text.trim_end_matches('/'))
        .filter(|text| !text.is_empty())
}

/// Returns the image that holds a pod's namespaces: `sandbox_image` of containerd 1, `sandbox` of 2, or the kubelet's flag.
fn sandbox(facts: &Facts) -> Option<&str> {
    let set = facts.of("containerd").lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (matches!(key.trim(), "sandbox_image" | "sandbox") && value.contains('/')).then_some(value)
    });
    set.or_else(|| {
        let (_, rest) = facts.of("flags").split_once("--pod-infra-container-image=")?;
        rest.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).next()
    })
}

#[cfg(test)]
mod tests {
    use dsl::value::Value;
    use serde_json::json;

    use super::super::testing::Bench;
    use super::*;

    const SCRIPT: &str = "sh -c echo '== containerd'; cat /etc/containerd/config.toml; echo '== flags'; cat /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet; true";

    async fn check(configuration: &str, machine: &str, registry: Option<&str>) -> Result<String, String> {
        let bench = Bench::default().says(SCRIPT, machine);
        let text = format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{configuration}");
        let map = json!({
            "metadata": { "name": "kubeadm-config", "namespace": "kube-system" },
            "data": { "ClusterConfiguration": text },
        });
        bench.cluster.put("/api/v1/namespaces/kube-system/configmaps/kubeadm-config", map);
        let mut args = vec![("to", Value::Minor("v1.34".parse().unwrap()))];
        args.extend(registry.map(|registry| ("registry", Value::Text(registry.into()))));
        CheckImages.judge(&bench.step(&args)).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn what_nobody_has_changed_passes() {
        let text = check("kubernetesVersion: v1.33.4\n", "== containerd\n== flags\n", None).await;
        assert_eq!(text, Ok("images come from registry.k8s.io".into()));
    }

    #[tokio::test]
    async fn a_registry_that_kubernetes_has_left_is_refused_where_it_lacks_the_target() {
        let left =
            check("imageRepository: k8s.gcr.io\ndns:\n  imageRepository: k8s.gcr.io/coredns\n", "", None)
                .await;
        let text = left.unwrap_err();
        assert!(text.starts_with("kubeadm pulls from k8s.gcr.io, which has no images of v1.34: its last were of v1.26; see https://"), "{text}");
        assert!(text.contains("CoreDNS comes from k8s.gcr.io/coredns"), "{text}");
        let mirror = check("imageRepository: mirror.example/k8s.gcr.io\n", "", None).await;
        assert_eq!(mirror, Ok("images come from mirror.example/k8s.gcr.io".into()));
    }

    #[tokio::test]
    async fn a_mirror_that_is_wanted_must_be_kubeadms_too() {
        let wanted = Some("mirror.example:5000/k8s/");
        let text = check("imageRepository: mirror.example:5000/k8s\n", "", wanted).await;
        assert_eq!(text, Ok("images come from mirror.example:5000/k8s".into()));
        let text = check("", "", wanted).await.unwrap_err();
        assert_eq!(text, "kubeadm pulls from registry.k8s.io, and not from mirror.example:5000/k8s");
    }

    #[tokio::test]
    async fn what_pods_are_started_with_and_what_is_pinned_is_told() {
        let machine = "== containerd\n    sandbox_image = \"k8s.gcr.io/pause:3.6\"\n== flags\n";
        let text = check("etcd:\n  local:\n    imageTag: 3.5.21-0\n", machine, None).await.unwrap();
        assert!(
            text.contains("note: kubeadm keeps etcd at 3.5.21-0")
                && text.contains("n1: pods are started with k8s.gcr.io/pause:3.6"),
            "{text}"
        );
        for machine in [
            "== containerd\n      sandbox = 'registry.k8s.io/pause:3.10'\n",
            "== flags\nKUBELET_KUBEADM_ARGS=\"--pod-infra-container-image=registry.k8s.io/pause:3.10 --x=y\"\n",
        ] {
            let text = check("imageRepository: m/k\n", machine, Some("m/k")).await.unwrap();
            assert!(
                text.ends_with(
                    "pods are started with registry.k8s.io/pause:3.10, which the mirror does not give"
                ),
                "{text}"
            );
        }
    }
}

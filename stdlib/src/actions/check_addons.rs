//! `check addons`: the add-ons that kup knows by their images are tested by their makers with the target, and still supported.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use async_trait::async_trait;
use dsl::value::{Minor, Value};
use engine::action::Context;
use engine::event::Failure;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::{Api, ListParams};
use serde::Deserialize;

use super::argument;
use super::verdict::{Findings, Verdict};
use crate::api;
use crate::release::{Dated, minor, numbers};

/// The verb.
pub(super) struct CheckAddons;

#[derive(Deserialize)]
struct Table {
    #[serde(flatten)]
    dated: Dated,
    addon: Vec<Addon>,
}

#[derive(Deserialize)]
struct Addon {
    name: String,
    /// What the image's path ends with.
    images: Vec<String>,
    source: String,
    /// The oldest release that its maker still supports.
    supported_from: Option<String>,
    releases: Vec<Tested>,
}

/// The minors that a release was tested with.
#[derive(Deserialize)]
struct Tested {
    release: String,
    #[serde(deserialize_with = "minor")]
    from: Minor,
    #[serde(deserialize_with = "minor")]
    to: Minor,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // The file is compiled in, and a test reads it.
    toml::from_str(include_str!("../../data/addons.toml")).expect("data/addons.toml is well formed")
});

#[async_trait]
impl Verdict for CheckAddons {
    fn name(&self) -> &'static str {
        "check addons"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let to = argument::minor(cx, "to")?;
        let refuse = cx.args.get("untested").and_then(Value::as_text) == Some("refuse");
        let kube = api::client(&cx.ports)?;
        let mut images = BTreeSet::new();
        let sets = Api::<DaemonSet>::all(kube.clone());
        api::pages("list the DaemonSets", &sets, ListParams::default(), |set: DaemonSet| {
            images.extend(images_of(&set.spec.template));
        })
        .await?;
        let deployments = Api::<Deployment>::all(kube);
        api::pages("list the Deployments", &deployments, ListParams::default(), |deployment: Deployment| {
            images.extend(images_of(&deployment.spec.template));
        })
        .await?;
        let mut findings = Findings::default();
        let mut known = Vec::new();
        for image in &images {
            let Some((addon, release)) =
                TABLE.addon.iter().find_map(|addon| Some((addon, addon.release(image)?)))
            else {
                continue;
            };
            known.push(format!("{} {release}", addon.name));
            if let Some(text) = addon.doubt(release, to) {
                findings.add(refuse, format!("{text}; see {}", addon.source));
            }
        }
        findings.notes.extend(TABLE.dated.note("add-ons", to));
        let well = match known.is_empty() {
            true => "none of the add-ons that kup knows is here".to_string(),
            false => format!("add-ons: {}", known.join(", ")),
        };
        findings.conclude(well, "upgrade these add-ons first")
    }
}

fn images_of(template: &PodTemplateSpec) -> Vec<String> {
    let containers = template.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    containers.iter().filter_map(|container| container.image.clone()).collect()
}

impl Addon {
    /// Returns the release that an image is of, without `v`, if it is one of this add-on.
    fn release<'a>(&self, image: &'a str) -> Option<&'a str> {
        let path = image.split('@').next()?.rsplit_once(':')?.0;
        let ends = |name: &String| path == name || path.ends_with(&format!("/{name}"));
        self.images.iter().any(ends).then(|| api::tag(image).map(|tag| tag.trim_start_matches('v')))?
    }

    /// Tells why a release may not go with a minor.
    fn doubt(&self, release: &str, to: Minor) -> Option<String> {
        let (of, name) = (numbers(release), &self.name);
        if let Some(from) = self.supported_from.as_deref().filter(|from| of < numbers(from)) {
            return Some(format!("{name} {release} is out of support; its maker supports {from} and later"));
        }
        let same = |tested: &&Tested| {
            let known = numbers(&tested.release);
            of.len() >= known.len() && of[..known.len()] == known
        };
        let Some(tested) = self.releases.iter().find(same) else {
            let oldest = self.releases.first().filter(|oldest| of < numbers(&oldest.release))?;
            return Some(format!(
                "{name} {release} is older than kup's table, which begins with {}",
                oldest.release
            ));
        };
        let (from, until) = (tested.from, tested.to);
        (to < from || to > until)
            .then(|| format!("{name} {release} is tested with {from} to {until}, not with {to}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::testing::named;
    use serde_json::json;

    async fn check(image: &str, to: &str, untested: &str) -> Result<String, String> {
        let bench = Bench::default();
        let spec = json!({ "selector": {}, "template": { "spec": { "containers": [{ "name": "a", "image": image }] } } });
        let path = "/apis/apps/v1/namespaces/cni/daemonsets/node";
        bench.cluster.put(path, json!({ "metadata": named("cni", "node"), "spec": spec }));
        let cx = bench
            .step(&[("to", Value::Minor(to.parse().unwrap())), ("untested", Value::Text(untested.into()))]);
        CheckAddons.judge(&cx).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn an_add_on_within_its_range_passes() {
        assert_eq!(
            check("quay.io/calico/node:v3.31.2", "v1.35", "refuse").await.unwrap(),
            "add-ons: Calico 3.31.2"
        );
        let other = check("registry.local/web:v1", "v1.35", "refuse").await.unwrap();
        assert_eq!(other, "none of the add-ons that kup knows is here");
    }

    #[tokio::test]
    async fn one_that_is_not_tested_with_the_target_is_a_note_unless_it_is_wanted_otherwise() {
        let text = check("mirror:5000/quay/calico/node:v3.29.1@sha256:00", "v1.34", "note").await.unwrap();
        assert!(
            text.contains("note: Calico 3.29.1 is tested with v1.29 to v1.32, not with v1.34; see https://"),
            "{text}"
        );
        assert!(
            check("calico/node:v3.29.1", "v1.34", "refuse")
                .await
                .unwrap_err()
                .starts_with("Calico 3.29.1 is tested")
        );
    }

    #[tokio::test]
    async fn drivers_of_storage_are_known_with_their_calendar_versions_too() {
        let trident = check("docker.io/netapp/trident:25.10.1", "v1.35", "refuse").await.unwrap_err();
        assert!(
            trident.starts_with(
                "NetApp Trident 25.10.1 is tested with v1.27 to v1.34, not with v1.35; see https://"
            ),
            "{trident}"
        );
        let told = check("docker.io/netapp/trident:25.10.1", "v1.34", "refuse").await.unwrap();
        assert_eq!(told, "add-ons: NetApp Trident 25.10.1");
        let ceph = check("quay.io/cephcsi/cephcsi:v3.12.2", "v1.34", "refuse").await.unwrap_err();
        assert!(ceph.starts_with("Ceph CSI 3.12.2 is tested with v1.29 to v1.31"), "{ceph}");
        let old = check("registry.k8s.io/csi-vsphere/driver:v1.0.3", "v1.34", "refuse").await.unwrap_err();
        assert!(old.contains("older than kup's table, which begins with 2.0"), "{old}");
        // Between two releases of the table its maker's word is not known.
        assert!(check("registry.k8s.io/csi-vsphere/driver:v3.7.1", "v1.35", "refuse").await.is_ok());
    }

    #[tokio::test]
    async fn one_older_than_the_table_is_told_and_a_newer_one_is_not() {
        assert!(
            check("calico/node:v3.20.0", "v1.34", "refuse")
                .await
                .unwrap_err()
                .contains("older than kup's table")
        );
        assert!(check("calico/node:v3.40.0", "v1.34", "refuse").await.is_ok());
        let gpu = check("nvcr.io/nvidia/gpu-operator:v25.3.4", "v1.34", "refuse").await.unwrap_err();
        assert!(gpu.starts_with("NVIDIA GPU Operator 25.3.4 is out of support"), "{gpu}");
        assert!(check("nvcr.io/nvidia/gpu-operator:v25.10.0", "v1.34", "refuse").await.is_ok());
    }
}

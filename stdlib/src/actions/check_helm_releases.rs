//! `check helm releases`: no release that Helm keeps has an object of a version that the target serves no more: its next `helm upgrade`
//! would fail, for Helm reads the old manifest first.

use std::io::Read;

use async_trait::async_trait;
use base64::Engine;
use engine::action::Context;
use engine::event::Failure;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use serde_json::Value as Json;

use super::verdict::{Findings, Verdict};
use super::{argument, configuration, removed};
use crate::api;

/// The verb.
pub(super) struct CheckHelmReleases;

/// A release is no longer than a Secret can hold, but unpacks to more.
const MOST: u64 = 64 * 1024 * 1024;

#[async_trait]
impl Verdict for CheckHelmReleases {
    fn name(&self) -> &'static str {
        "check helm releases"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let to = argument::minor(cx, "to")?;
        let secrets = Api::<Secret>::all(api::client(&cx.ports)?);
        let mut findings = Findings::default();
        let mut releases = 0;
        let of_helm = ListParams::default().labels("owner=helm,status=deployed");
        api::pages("list Helm's releases", &secrets, of_helm, |secret: Secret| {
            let name = api::label(&secret.metadata, "name").unwrap_or_default();
            let name = format!("{}/{name}", secret.metadata.namespace.as_deref().unwrap_or_default());
            releases += 1;
            let packed = secret.data.as_ref().and_then(|data| data.get("release"));
            let Some(manifest) = packed.and_then(|packed| unpack(&packed.0)) else {
                findings.add(false, format!("release {name} cannot be read"));
                return;
            };
            for object in configuration::documents(&manifest).unwrap_or_default() {
                let (version, kind) = (text(&object, "apiVersion"), text(&object, "kind"));
                if let Some(gone) = removed::find(version, kind, to) {
                    findings
                        .add(true, format!("release {name} has a {kind} of {version}, {}", gone.advice()));
                }
            }
        })
        .await?;
        findings.notes.extend(removed::table().dated.note("removed APIs", to));
        let well = match releases {
            0 => "Helm keeps no release here".to_string(),
            1 => format!("the one release of Helm has no API that {to} does not serve"),
            many => format!("{many} releases of Helm have no API that {to} does not serve"),
        };
        findings.conclude(well, "upgrade the chart, or let the plugin `helm mapkubeapis` change what Helm keeps, before the cluster is upgraded")
    }
}

fn text<'a>(object: &'a Json, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// Returns the manifest of a release: JSON, packed by gzip, in base64 of its own.
/// helm/helm: pkg/storage/driver/util.go
fn unpack(packed: &[u8]) -> Option<String> {
    let packed = base64::engine::general_purpose::STANDARD.decode(packed).ok()?;
    let mut release = Vec::new();
    // What is not packed is JSON at once.
    if packed.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&packed[..]).take(MOST).read_to_end(&mut release).ok()?;
    } else {
        release = packed;
    }
    let release: Json = serde_json::from_slice(&release).ok()?;
    release["manifest"].as_str().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::testing::named;
    use dsl::value::Value;
    use serde_json::json;
    use std::io::Write;

    /// Packs a manifest as Helm does; a Secret has one base64 more.
    fn packed(manifest: &str) -> String {
        let base64 = base64::engine::general_purpose::STANDARD;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(json!({ "name": "web", "manifest": manifest }).to_string().as_bytes()).unwrap();
        base64.encode(base64.encode(gzip.finish().unwrap()))
    }

    async fn check(data: &str, to: &str) -> Result<String, String> {
        let bench = Bench::default();
        let mut metadata = named("shop", "sh.helm.release.v1.web.v3");
        metadata["labels"] = json!({ "owner": "helm", "status": "deployed", "name": "web" });
        let secret = json!({ "metadata": metadata, "data": { "release": data } });
        bench.cluster.put("/api/v1/namespaces/shop/secrets/sh.helm.release.v1.web.v3", secret);
        let cx = bench.step(&[("to", Value::Minor(to.parse().unwrap()))]);
        CheckHelmReleases.judge(&cx).await.map_err(|failure| failure.message)
    }

    const OLD: &str =
        "---\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\n---\napiVersion: v1\nkind: Service\n";

    #[tokio::test]
    async fn an_old_manifest_that_helm_keeps_is_told() {
        let text = check(&packed(OLD), "v1.25").await.unwrap_err();
        assert_eq!(
            text,
            "release shop/web has a PodDisruptionBudget of policy/v1beta1, gone since v1.25, use policy/v1"
        );
        assert_eq!(
            check(&packed(OLD), "v1.24").await.unwrap(),
            "the one release of Helm has no API that v1.24 does not serve"
        );
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_note_and_no_judgement() {
        let text = check("eA==", "v1.34").await.unwrap();
        assert!(text.ends_with("note: release shop/web cannot be read"), "{text}");
    }
}

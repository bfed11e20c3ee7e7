//! `check certificate requests`: no kubelet waits for somebody to sign its certificate.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, ListParams};

use super::verdict::Verdict;
use crate::api;

/// The verb.
pub(super) struct CheckCertificateRequests;

/// What a controller signs it signs within this time.
const SOON: SignedDuration = SignedDuration::from_secs(60);

#[async_trait]
impl Verdict for CheckCertificateRequests {
    fn name(&self) -> &'static str {
        "check certificate requests"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let requests = Api::<CertificateSigningRequest>::all(api::client(&cx.ports)?);
        let now = i64::try_from(cx.ports.clock.wall().as_secs()).unwrap_or(i64::MAX);
        let now = Timestamp::from_second(now).unwrap_or(Timestamp::MAX);
        let mut waiting = Vec::new();
        api::pages(
            "list the certificate requests",
            &requests,
            ListParams::default(),
            |request: CertificateSigningRequest| {
                let created = request.metadata.creation_timestamp.as_ref().map(|time| time.0);
                if is_pending(&request) && created.is_none_or(|created| created + SOON < now) {
                    let who = request.spec.username.as_deref().unwrap_or("somebody");
                    let name = request.metadata.name.as_deref().unwrap_or_default();
                    waiting.push(format!("{name} of {who} ({})", request.spec.signer_name));
                }
            },
        )
        .await?;
        if waiting.is_empty() {
            return Ok("no certificate request waits".to_string());
        }
        let text = format!("certificate requests wait to be approved: {}", waiting.join(", "));
        Err(Failure::transient(text)
            .with_hint("look at them, then `kubectl certificate approve NAME`, or mend what approves them"))
    }
}

/// A request without a verdict.
fn is_pending(request: &CertificateSigningRequest) -> bool {
    let conditions =
        request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    !conditions.iter().any(|c| matches!(c.type_.as_str(), "Approved" | "Denied" | "Failed"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::testing::named;
    use serde_json::{Value as Json, json};

    async fn check(created: &str, status: Json) -> Result<String, String> {
        let bench = Bench::default();
        let mut metadata = named("", "csr-1");
        metadata["creationTimestamp"] = json!(created);
        let spec = json!({ "request": "", "signerName": "kubernetes.io/kubelet-serving", "username": "system:node:w1", "usages": [] });
        let request = json!({ "metadata": metadata, "spec": spec, "status": status });
        bench.cluster.put("/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-1", request);
        CheckCertificateRequests.judge(&bench.step(&[])).await.map_err(|failure| failure.message)
    }

    #[tokio::test]
    async fn one_that_waits_for_long_is_told() {
        let text = check("2027-01-01T00:00:00Z", json!({})).await.unwrap_err();
        assert_eq!(
            text,
            "certificate requests wait to be approved: csr-1 of system:node:w1 (kubernetes.io/kubelet-serving)"
        );
    }

    #[tokio::test]
    async fn one_that_is_new_or_has_its_verdict_is_not() {
        // The clock of a bench stands at 2027-01-15T08:00:00Z.
        assert!(check("2027-01-15T07:59:30Z", json!({})).await.is_ok());
        let approved = json!({ "conditions": [{ "type": "Approved", "status": "True" }] });
        assert_eq!(check("2027-01-01T00:00:00Z", approved).await.unwrap(), "no certificate request waits");
    }
}

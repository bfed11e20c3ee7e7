//! `check certificates`: the certificates of every control plane node last long enough, and so do the
//! authorities behind them. An upgrade renews the first and never the second.

use async_trait::async_trait;
use engine::action::Context;
use engine::event::Failure;
use futures::StreamExt;

use super::argument;
use super::certificates::{Certificate, Certificates};
use super::host::Host;
use super::verdict::Verdict;

/// The verb.
pub(super) struct CheckCertificates;

/// How many nodes are asked at once.
const AT_ONCE: usize = 8;

#[async_trait]
impl Verdict for CheckCertificates {
    fn name(&self) -> &'static str {
        "check certificates"
    }

    async fn judge(&self, cx: &Context) -> Result<String, Failure> {
        let left = argument::duration(cx, "left")?;
        let nodes = cx.inventory.nodes.values().filter(|node| node.control_plane);
        let looks = nodes.map(|node| async move {
            let shell = cx.ports.shells.on(&node.ssh);
            let host = Host { name: node.name.clone(), node: Some(node.clone()), shell };
            (node.name.clone(), Certificates::of(&host).await)
        });
        let looks: Vec<_> = looks.collect();
        if looks.is_empty() {
            return Ok("no control plane node of ours has certificates".to_string());
        }
        let looks: Vec<_> = futures::stream::iter(looks).buffered(AT_ONCE).collect().await;
        let mut short = Vec::new();
        let mut first: Option<(String, Certificate)> = None;
        let mut authority = false;
        for (node, found) in looks {
            let found = found?;
            let all = found.certificates.iter().chain(&found.certificate_authorities);
            if let Some(next) = Certificates::first(all.clone())
                && first.as_ref().is_none_or(|(_, known)| next.ends_before(known))
            {
                first = Some((node.clone(), next.clone()));
            }
            authority |= found.certificate_authorities.iter().any(|c| !c.missing && !c.lasts(left));
            let names: Vec<String> = all.filter(|c| !c.missing && !c.lasts(left)).map(|c| c.told()).collect();
            if !names.is_empty() {
                short.push(format!("{node}: {}", names.join(", ")));
            }
        }
        if short.is_empty() {
            let first = first
                .map_or_else(String::new, |(node, first)| format!("; first on {node}: {}", first.told()));
            return Ok(format!("no certificate ends soon{first}"));
        }
        let hint = match authority {
            true => {
                "an authority is never renewed by kubeadm: https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/"
            }
            false => "renew them: `kup run std/certs-renew`",
        };
        Err(Failure::last(format!("certificates end soon: {}", short.join("; "))).with_hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use dsl::value::Value;

    const ASK: &str = "kubeadm certs check-expiration -o json";

    fn said(leaf: i64, authority: i64) -> String {
        let one = |name: &str, left: i64| {
            format!(
                r#"{{"name":"{name}","expirationDate":"2027-11-21T12:00:00Z","residualTime":{left},"externallyManaged":false,"missing":false}}"#
            )
        };
        let missing = r#"{"name":"super-admin.conf","expirationDate":null,"residualTime":0,"externallyManaged":false,"missing":true}"#;
        format!(
            "[check-expiration] Reading configuration\n{{\"kind\":\"CertificateExpirationInfo\",\"certificates\":[{},{},{missing}],\"certificateAuthorities\":[{}]}}\n",
            one("admin.conf", 300 * 86400),
            one("apiserver", leaf),
            one("ca", authority)
        )
    }

    async fn judge(leaf: i64, authority: i64) -> Result<String, Failure> {
        let bench = Bench::default().says(ASK, &said(leaf, authority));
        let mut cx = bench.step(&[("left", Value::Duration(7 * 86_400_000))]);
        let mut inventory = (*cx.inventory).clone();
        inventory.nodes[0].control_plane = true;
        cx.inventory = inventory.into();
        CheckCertificates.judge(&cx).await
    }

    #[tokio::test]
    async fn certificates_that_last_pass_with_the_first_that_ends() {
        let text = judge(30 * 86400, 3000 * 86400).await.unwrap();
        assert_eq!(text, "no certificate ends soon; first on n1: apiserver 30 days");
    }

    #[tokio::test]
    async fn those_that_end_are_named_with_what_to_do() {
        let failure = judge(36 * 3600, 3000 * 86400).await.unwrap_err();
        assert_eq!(failure.message, "certificates end soon: n1: apiserver 36 hours");
        assert!(failure.hint.contains("std/certs-renew"));
        let failure = judge(-5, 86400).await.unwrap_err();
        assert_eq!(failure.message, "certificates end soon: n1: apiserver expired, ca 24 hours");
        assert!(failure.hint.contains("never renewed by kubeadm"));
    }
}

//! `kubeadm certs renew all` and `kubeadm certs check-expiration -o json`. The texts are those of 1.29 and
//! later; the document is `CertificateExpirationInfo` of output.kubeadm.k8s.io/v1alpha3
//! (kubernetes/kubernetes, cmd/kubeadm/app/apis/output/v1alpha3/types.go).

use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::stamp;
use crate::node::kubelet::CERTIFICATES;
use crate::node::process::{Ended, Process, failed, said};

/// The certificates that kubeadm renews, their authorities, and what `renew` calls them.
const LEAVES: [(&str, &str, &str); 11] = [
    (
        "admin.conf",
        "ca",
        "certificate embedded in the kubeconfig file for the admin to use and for kubeadm itself",
    ),
    ("apiserver", "ca", "certificate for serving the Kubernetes API"),
    ("apiserver-etcd-client", "etcd-ca", "certificate the apiserver uses to access etcd"),
    ("apiserver-kubelet-client", "ca", "certificate for the API server to connect to kubelet"),
    (
        "controller-manager.conf",
        "ca",
        "certificate embedded in the kubeconfig file for the controller manager to use",
    ),
    ("etcd-healthcheck-client", "etcd-ca", "certificate for liveness probes to healthcheck etcd"),
    ("etcd-peer", "etcd-ca", "certificate for etcd nodes to communicate with each other"),
    ("etcd-server", "etcd-ca", "certificate for serving etcd"),
    ("front-proxy-client", "front-proxy-ca", "certificate for the front proxy client"),
    ("scheduler.conf", "ca", "certificate embedded in the kubeconfig file for the scheduler manager to use"),
    ("super-admin.conf", "ca", "certificate embedded in the kubeconfig file for the super-admin"),
];

const AUTHORITIES: [&str; 3] = ["ca", "etcd-ca", "front-proxy-ca"];

/// An authority lasts ten years.
const TEN_YEARS: Duration = Duration::from_secs(3650 * 24 * 3600);

pub(super) async fn certs(process: &Process, args: &[&str]) -> Ended {
    if !process.on(|n| n.control_plane) {
        return Ok(failed(
            1,
            "error: failed to load existing certificate apiserver: open /etc/kubernetes/pki/apiserver.crt: no such file or directory\nTo see the stack trace of this error execute with --v=5 or higher\n",
        ));
    }
    match args {
        ["renew", "all"] => {
            process.busy(900, 2500).await?;
            process.world(|w| {
                let ends = w.now() + CERTIFICATES;
                if let Some(node) = w.nodes.get_mut(&process.node) {
                    node.certificates = ends;
                }
            });
            let stacked = process.on(|n| n.etcd);
            let renewed: String = leaves(stacked).map(|(_, _, what)| format!("{what} renewed\n")).collect();
            Ok(said(format!(
                "[renew] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"...\n\
                 [renew] Use 'kubeadm init phase upload-config kubeadm --config your-config-file' to re-upload it.\n\n{renewed}\n\
                 Done renewing certificates. You must restart the kube-apiserver, kube-controller-manager, kube-scheduler and \
                 etcd, so that they can use the new certificates.\n"
            )))
        }
        ["check-expiration", "-o", "json"] => {
            process.busy(300, 800).await?;
            Ok(process.world(|w| {
                let ends = w.nodes.get(&process.node).map_or(Duration::ZERO, |n| n.certificates);
                let stacked = w.nodes.get(&process.node).is_some_and(|n| n.etcd);
                said(format!("{:#}\n", expiration(w.now(), ends, stacked)))
            }))
        }
        _ => Ok(super::super::not_known("kubeadm", &[&["certs"], args].concat())),
    }
}

/// Returns what kubeadm renews: with an external etcd none of etcd's
/// (kubernetes/kubernetes, cmd/kubeadm/app/phases/certs/renewal/manager.go).
fn leaves(stacked: bool) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    LEAVES.iter().filter(move |(_, authority, _)| stacked || *authority != "etcd-ca")
}

fn expiration(now: Duration, ends: Duration, stacked: bool) -> Value {
    let one = |name: &str, ends: Duration| {
        json!({
            "name": name, "expirationDate": stamp(ends), "residualTime": ends.saturating_sub(now).as_secs(),
            "externallyManaged": false, "missing": false,
        })
    };
    let leaf = |(name, authority, _): &(&str, &str, &str)| {
        let mut leaf = one(name, ends);
        leaf["caName"] = json!(authority);
        leaf
    };
    json!({
        "kind": "CertificateExpirationInfo", "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
        "certificates": leaves(stacked).map(leaf).collect::<Vec<_>>(),
        "certificateAuthorities": AUTHORITIES
            .iter()
            .filter(|name| stacked || **name != "etcd-ca")
            .map(|name| one(name, TEN_YEARS))
            .collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::node::stories::tell;

    #[test]
    fn certificates_last_a_year_from_their_renewal_and_are_those_of_the_node_alone() {
        tell(&[], |s| async move {
            let days = |text: &str| {
                let document: Value = serde_json::from_str(text).unwrap();
                let leaves = document["certificates"].as_array().unwrap();
                assert_eq!((leaves.len(), leaves[1]["name"].as_str()), (11, Some("apiserver")));
                leaves[1]["residualTime"].as_u64().unwrap() / 86400
            };
            let ask = "kubeadm certs check-expiration -o json";
            assert_eq!(days(&s.does("cp1", ask).await), 299);
            let said = s.does("cp1", "kubeadm certs renew all").await;
            assert!(said.contains("\ncertificate for serving etcd renewed\n"), "{said}");
            assert!(said.contains("You must restart the kube-apiserver"), "{said}");
            assert_eq!(days(&s.does("cp1", ask).await), 364);
            assert_eq!(days(&s.does("cp2", ask).await), 299);
            s.fails("w1", ask, 1, "apiserver.crt: no such file").await;
        });
    }

    #[test]
    fn a_container_that_is_stopped_comes_back_as_another_one() {
        tell(&[], |s| async move {
            let ps = "crictl ps --name ^etcd$ -q";
            let old = s.does("cp1", ps).await;
            s.does("cp1", &format!("crictl stop -t 30 {}", old.trim())).await;
            assert_eq!(s.does("cp1", ps).await, "");
            tokio::time::sleep(std::time::Duration::from_secs(10)).await;
            let new = s.does("cp1", ps).await;
            assert!(!new.is_empty() && new != old);
            s.fails("cp1", &format!("crictl stop -t 30 {}", old.trim()), 1, "NotFound").await;
        });
    }
}

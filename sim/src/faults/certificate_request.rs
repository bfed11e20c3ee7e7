//! F43: the kubelet of this node has asked for a certificate, and nobody approves it.

use serde_json::json;

use super::{Entry, Kind};
use crate::world::World;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::CertificateRequest,
    code: "F43",
    meaning: "a certificate request of the node's kubelet waits to be approved",
    symptom: "",
};

/// Puts the request into the world, an hour old.
pub(super) fn strike(world: &mut World, node: &str) {
    let request = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": format!("csr-{node}"), "creationTimestamp": "2025-12-31T23:00:00Z"},
        "spec": {
            "request": "", "signerName": "kubernetes.io/kubelet-serving", "username": format!("system:node:{node}"),
            "usages": ["digital signature", "server auth"],
        },
        "status": {},
    });
    world.store.insert("certificatesigningrequests", request);
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn the_request_has_no_verdict() {
        tell(&["F43@w1"], |s| async move {
            s.world(|w| {
                let request = w.store.get("certificatesigningrequests", "", "csr-w1").unwrap();
                assert!(request["status"]["conditions"].is_null());
            });
        });
    }
}

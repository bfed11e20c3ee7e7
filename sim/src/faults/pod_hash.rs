//! F11: the kubelet does not take up the apiserver's new manifest. kubeadm waits for five minutes and puts
//! the old manifests back by itself; the second try works.

use super::{Entry, Kind, strike};
use crate::node::Node;

pub(super) const ENTRY: Entry = Entry {
    kind: Kind::PodHash,
    code: "F11",
    meaning: "the hash of the apiserver's static pod does not change in five minutes, and kubeadm restores its manifests; once",
    symptom: "did not change after 5m0s",
};

/// Returns whether the kubelet leaves a component as it is.
pub(crate) fn strikes(node: &mut Node, component: &str) -> bool {
    component == "kube-apiserver" && strike(node, Kind::PodHash, 1)
}

#[cfg(test)]
mod tests {
    use crate::node::stories::tell;

    #[test]
    fn kubeadm_gives_up_after_five_minutes_and_puts_the_apiserver_back() {
        tell(&["F11@cp1"], |s| async move {
            s.configure();
            s.new_kubeadm("cp1").await;
            let began = s.now();
            let said = "couldn't upgrade control plane. kubeadm has tried to recover everything into the earlier state. Errors faced: static Pod hash for component kube-apiserver on Node cp1 did not change after 5m0s";
            s.fails("cp1", "kubeadm upgrade apply v1.34.4 --yes", 1, said).await;
            assert!(said.contains(super::ENTRY.symptom) && (s.now() - began).as_secs() > 300);
            let manifest = s.node("cp1", |n| n.files.text("/etc/kubernetes/manifests/kube-apiserver.yaml"));
            assert!(manifest.unwrap().contains("kube-apiserver:v1.33.13"));
            s.does("cp1", "kubeadm upgrade apply v1.34.4 --yes").await;
        });
    }
}

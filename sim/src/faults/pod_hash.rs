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
